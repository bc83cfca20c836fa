"""Quix Streams and Bytewax over the benchmark's stream, in an environment of their own: run by `throughput.py`.

    python elsewhere.py quix HOST:PORT TOPIC EVENTS
    python elsewhere.py bytewax FILE EVENTS

Their packages ask for other versions than ours (`requirements-elsewhere.txt`), so this file imports nothing of the
project. Each keeps what it would need at the least for a rate rule: per account, sliding windows of five minutes that
move by one, with the number of requests and of output tokens in each, by the time of the events. Both are spared what
can be spared: no changelog topic and no output topic for Quix, no Kafka and no recovery store for Bytewax (lines in
memory, decoded by msgspec). The last line printed is JSON: events, seconds, CPU seconds and peak bytes.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

LENGTH = timedelta(minutes=5)
STEP = timedelta(minutes=1)


class Event(msgspec.Struct):
    """What the windows need of an event."""

    account_id: str
    time_ms: int
    output_tokens: int = 0


class Clock:
    """Time and CPU time from the first event on."""

    def __init__(self) -> None:
        self.events = 0
        self._began = (0.0, 0.0)

    def tick(self) -> None:
        """Count an event."""
        if not self.events:
            self._began = time.perf_counter(), time.process_time()
        self.events += 1

    def told(self) -> str:
        """Return what was measured."""
        wall, cpu = self._began
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
        return json.dumps(
            {
                "events": self.events,
                "seconds": time.perf_counter() - wall,
                "cpu_seconds": time.process_time() - cpu,
                "peak_bytes": int(peak[1]) * 1024 if peak else 0,
            }
        )


def quix(brokers: str, topic_name: str, events: int) -> Clock:
    """Let Quix Streams work through the first `events` of the topic."""
    from quixstreams import Application  # noqa: PLC0415

    clock, decode = Clock(), msgspec.json.Decoder(Event).decode

    def event_of(value: bytes) -> dict[str, int]:
        clock.tick()
        if clock.events == events:
            application.stop()
        event = decode(value)
        return {"time_ms": event.time_ms, "tokens": event.output_tokens}

    application = Application(
        broker_address=brokers,
        consumer_group="quix",
        auto_offset_reset="earliest",
        state_dir=tempfile.mkdtemp(),
        use_changelog_topics=False,
        auto_create_topics=False,
        loglevel="ERROR",
    )
    topic = application.topic(topic_name, key_deserializer="str", value_deserializer="bytes")
    frame = application.dataframe(topic).apply(event_of)
    frame = frame.set_timestamp(lambda value, _key, _time, _headers: value["time_ms"])
    frame.hopping_window(LENGTH, STEP).reduce(
        reducer=lambda sums, event: {"requests": sums["requests"] + 1, "tokens": sums["tokens"] + event["tokens"]},
        initializer=lambda event: {"requests": 1, "tokens": event["tokens"]},
    ).final()
    application.run()
    return clock


def bytewax(file: str, events: int) -> Clock:
    """Let Bytewax work through the first `events` lines of a file, read beforehand."""
    import bytewax.operators as op  # noqa: PLC0415
    from bytewax.dataflow import Dataflow  # noqa: PLC0415
    from bytewax.operators import windowing as win  # noqa: PLC0415
    from bytewax.testing import TestingSink, TestingSource, run_main  # noqa: PLC0415

    with Path(file).open("rb") as lines:
        given = list(islice(lines, events))
    clock, decode = Clock(), msgspec.json.Decoder(Event).decode

    def keyed(line: bytes) -> tuple[str, Event]:
        clock.tick()
        event = decode(line)
        return event.account_id, event

    def added(sums: tuple[int, int], event: Event) -> tuple[int, int]:
        return sums[0] + 1, sums[1] + event.output_tokens

    align = datetime(2026, 1, 1, tzinfo=timezone.utc)  # noqa: UP017
    flow = Dataflow("windows")
    stream = op.map("decode", op.input("lines", flow, TestingSource(given, batch_size=1000)), keyed)
    windows = win.fold_window(
        "fold",
        stream,
        win.EventClock(
            lambda event: datetime.fromtimestamp(event.time_ms / 1000, timezone.utc),  # noqa: UP017
            wait_for_system_duration=timedelta(0),
        ),
        win.SlidingWindower(length=LENGTH, offset=STEP, align_to=align),
        builder=lambda: (0, 0),
        folder=added,
        merger=lambda one, other: (one[0] + other[0], one[1] + other[1]),
    )
    found: list[Any] = []
    op.output("sums", windows.down, TestingSink(found))
    run_main(flow)
    return clock


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    measured = (
        quix(arguments[0], arguments[1], int(arguments[2]))
        if name == "quix"
        else bytewax(arguments[0], int(arguments[1]))
    )
    print(measured.told())

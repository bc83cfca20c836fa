"""`make bench-latency`: from an event to its finding, at part of what one worker can take, and beyond.

    python -m tests.bench.latency [--stream sketched] [--seconds 240] [--shares 0.1,0.5,0.9] [--commit-ms 5000]

A gateway's clock runs: events bear the time at which they are sent, each a record of its own, of accounts of the
simulated world in the mix that they have there: *plain*, *sketched* or with the text of their *prompts*. Among them
are canaries, one event a second each, and of each a finding comes with every step of event time (a minute) in which it
was active, whatever else goes on. How long after the end of the step the broker has that finding (its own timestamp)
is the latency: what a finding waits for is the end of the step that it speaks of, and then this.

First an overload: for a while everything is sent as fast as can be, then nothing but the canaries, until the lag is
gone. What the worker counted meanwhile is its capacity here, with the sender, Kafka and Redis on the same cores; the
shares are of that. Overload is to cost time and not memory: both are said.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from detector import config as configuration
from detector import metrics
from detector.config import Config
from detector.decoders import partitions_of
from detector.errors import Unavailable
from detector.finding import Finding
from detector.runtime import servers, topics
from detector.runtime.demo import Worker
from detector.runtime.sketching import sketched
from detector.simulate import simulate
from tests.bench.settings import PARTITION_SETTINGS, end_on_sigterm

CANARIES: Final = tuple(f"canary-{number:02}" for number in range(32))
STREAMS: Final = ("plain", "sketched", "prompts")
TARGET_SECONDS: Final = 2.0
TARGET_SHARE: Final = 0.5
SLOT_SECONDS: Final = 0.05
AT_ONCE: Final = 5_000
LOOK_SECONDS: Final = 2.0
PATIENCE_SECONDS: Final = 300.0
_RESIDENT: Final = "process_resident_memory_bytes"
_CPU: Final = "process_cpu_seconds_total"

_event = msgspec.json.Decoder(dict[str, Any])
_finding = msgspec.json.Decoder(Finding)


@dataclass(slots=True)
class Phase:
    """What was sent for some seconds, and what came of it."""

    name: str
    rate: float  # events a second that were meant to be sent; 0: as fast as can be
    begin_ms: int = 0
    end_ms: int = 0
    sent: int = 0
    counted: int = 0  # by the worker
    cpu_seconds: float = 0.0
    most_lag: int = 0
    most_resident: int = 0
    latencies: list[float] = field(default_factory=list)  # seconds

    @property
    def seconds(self) -> float:
        return (self.end_ms - self.begin_ms) / 1000


class Sender:
    """Sends events of the simulated world, with the time of now, to their partitions."""

    def __init__(self, config: Config, events: int, stream: str = "plain") -> None:
        self._topic = config.topics.requests
        self._producer = Producer(
            {
                "bootstrap.servers": config.kafka.brokers,
                "linger.ms": 10,
                "queue.buffering.max.messages": 1_000_000,
                "log_level": 0,
            }
        )
        self._ids = itertools.count()
        crowd = [_halves(event) for event in itertools.islice(_world(stream), events)]
        self._crowd = itertools.cycle(list(self._placed(crowd, config)))
        canaries = [_halves({"account_id": name, "model": "small", "status": 200}) for name in CANARIES]
        self._canaries = itertools.cycle(list(self._placed(canaries, config)))

    def _placed(self, halves: list[tuple[str, bytes]], config: Config) -> Iterator[tuple[int, bytes, bytes]]:
        places = partitions_of([account for account, _ in halves], config.topics.partitions).tolist()
        for place, (account, rest) in zip(places, halves, strict=True):
            yield place, account.encode(), rest

    def send(self, crowd: int, canaries: int) -> None:
        """Queue so many events of each; waits only when the queue is full."""
        now_ms = b"%d" % (time.time_ns() // 1_000_000)
        for one in itertools.chain(itertools.islice(self._crowd, crowd), itertools.islice(self._canaries, canaries)):
            partition, key, rest = one
            value = b'{"id":"%x","time_ms":%b,%b' % (next(self._ids), now_ms, rest)
            while True:
                try:
                    self._producer.produce(self._topic, value, key, partition)
                    break
                except BufferError:
                    self._producer.poll(0.01)
        self._producer.poll(0)

    def flush(self) -> None:
        self._producer.flush()


def _world(stream: str) -> Iterator[dict[str, Any]]:
    chunks = simulate("quiet", 1, text=stream != "plain").chunks()
    if stream == "sketched":
        chunks = (lines for lines, _ in sketched(chunks, 0))
    for lines in chunks:
        yield from map(_event.decode, lines)


def _halves(event: dict[str, Any]) -> tuple[str, bytes]:
    """Return the account, and the event's line behind its id and time."""
    kept = {name: value for name, value in event.items() if name not in ("id", "time_ms")}
    return str(event["account_id"]), msgspec.json.encode(kept)[1:]


class Bench:
    """One worker, the sender beside it, and looks at the worker's metrics meanwhile."""

    def __init__(self, config: Config, worker: Worker, sender: Sender) -> None:
        self._config, self._worker, self._sender = config, worker, sender
        self._sent = 0

    def run(self, phase: Phase, seconds: float) -> Phase:
        """Send at the phase's rate, then return it with what was seen."""
        phase.begin_ms = time.time_ns() // 1_000_000
        before = self._look(phase)
        begin = looked = time.monotonic()
        slots = 0
        while (now := time.monotonic()) < begin + seconds:
            canaries = int((slots + 1) * SLOT_SECONDS * len(CANARIES)) - int(slots * SLOT_SECONDS * len(CANARIES))
            slots += 1
            crowd = int(slots * SLOT_SECONDS * phase.rate) - phase.sent if phase.rate else AT_ONCE
            self._sender.send(crowd, canaries)
            phase.sent += crowd
            self._sent += crowd + canaries
            if now - looked >= LOOK_SECONDS:
                looked = now
                self._look(phase)
            if phase.rate:
                time.sleep(max(0.0, begin + slots * SLOT_SECONDS - time.monotonic()))
        self._sender.flush()
        return self._ended(phase, before)

    def recovered(self, phase: Phase) -> Phase:
        """Send canaries only until the worker has counted everything; return the phase."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        phase.begin_ms = time.time_ns() // 1_000_000
        before = self._look(phase)
        while True:
            self._sender.send(0, len(CANARIES))
            self._sent += len(CANARIES)
            time.sleep(1.0)
            seen, _ = self._look(phase)
            if seen >= self._sent - 4 * len(CANARIES):
                return self._ended(phase, before)
            if time.monotonic() > deadline:
                raise Unavailable("worker", f"counted {seen:,} of {self._sent:,} events")

    def _ended(self, phase: Phase, before: tuple[int, float]) -> Phase:
        counted, cpu_seconds = self._look(phase)
        phase.end_ms = time.time_ns() // 1_000_000
        phase.counted, phase.cpu_seconds = counted - before[0], cpu_seconds - before[1]
        return phase

    def _look(self, phase: Phase) -> tuple[int, float]:
        """Return how many events the worker has counted and its CPU seconds; keep the peaks."""
        if not self._worker.alive:
            raise Unavailable("worker", self._worker.log.read_text("utf-8", "replace")[-500:])
        found = seen(self._config)
        phase.most_lag = max(phase.most_lag, int(found.get(metrics.LAG.name, 0)))
        phase.most_resident = max(phase.most_resident, int(found[_RESIDENT]))
        return int(found.get(metrics.EVENTS.name, 0)), found[_CPU]


def seen(config: Config) -> dict[str, float]:
    """Return what the worker's metrics say, each summed over its labels."""
    found: dict[str, float] = {}
    with urllib.request.urlopen(f"http://127.0.0.1:{config.web.port}/metrics", timeout=30) as page:
        for family in text_string_to_metric_families(page.read().decode()):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def delays(config: Config) -> Iterator[tuple[int, float]]:
    """Yield of each finding on a canary the end of its step, in epoch ms, and the seconds from then to the topic."""
    consumer = Consumer({"bootstrap.servers": config.kafka.brokers, "group.id": "latency"})
    topic = config.topics.findings
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    while records := consumer.consume(10_000, timeout=5):
        for record in records:
            finding = _finding.decode(record.value() or b"")
            if finding.subject in CANARIES:
                yield finding.time_ms, (record.timestamp()[1] - finding.time_ms) / 1000
    consumer.close()


def attributed(config: Config, phases: list[Phase]) -> None:
    """Give each phase the latencies of the canaries' findings whose step ended while it ran."""
    for step_ms, seconds in delays(config):
        for phase in phases:  # a step is told of under the load of the time when it ends
            if phase.begin_ms + config.stream.cadence_ms // 2 < step_ms <= phase.end_ms:
                phase.latencies.append(seconds)


@contextlib.contextmanager
def service(
    settings: Mapping[str, str], properties: Mapping[str, str] | None = None
) -> Iterator[tuple[Config, Worker, servers.RedisServer]]:
    """Yield one worker, not yet started, with a Redis and a Kafka (with such properties) of its own."""
    with tempfile.TemporaryDirectory(prefix="detector-latency-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with (
            servers.redis(folder / "redis") as redis,
            servers.kafka(folder / "kafka", properties=properties) as kafka,
        ):
            environment = {
                **PARTITION_SETTINGS,
                "DETECTOR_KAFKA_BROKERS": kafka.address,
                "DETECTOR_STORE_URL": redis.url,
                "DETECTOR_TOPICS_REPLICATION": "1",
                "DETECTOR_WEB_PORT": str(servers.free_port()),
                "DETECTOR_SIGNALS_CANARY_ACCOUNT_IDS": ",".join(CANARIES),
                **settings,
            }
            config = configuration.load(None, {**os.environ, **environment})
            topics.create_all(config)
            worker = Worker(folder / "worker", None, environment, config.web.port)
            try:
                yield config, worker, redis
            finally:
                worker.end()


def main(arguments: list[str]) -> int:
    """Measure, print the table; return 1 when the target is missed."""
    parser = argparse.ArgumentParser(prog="latency", description="from an event to its finding, by load")
    parser.add_argument("--stream", choices=STREAMS, default="plain")
    parser.add_argument("--seconds", type=float, default=240.0, help="of each load; a step of event time is 60")
    parser.add_argument("--overload-seconds", type=float, default=30.0)
    parser.add_argument("--shares", default="0.1,0.5,0.9", help="of the capacity, separated by commas")
    parser.add_argument("--commit-ms", type=int, default=5000)
    parser.add_argument("--publish-ms", type=int, default=200)
    parser.add_argument("--events", type=int, default=200_000, help="different ones; then the same again, later")
    options = parser.parse_args(arguments)
    end_on_sigterm()
    console = Console() if sys.stdout.isatty() else Console(width=140)
    commits = {
        "DETECTOR_STREAM_COMMIT_MS": str(options.commit_ms),
        "DETECTOR_STREAM_PUBLISH_MS": str(options.publish_ms),
    }
    with service(commits) as (config, worker, _):
        sender = Sender(config, options.events, options.stream)
        worker.start()
        phases = measured(Bench(config, worker, sender), options, console)
        worker.end()
        attributed(config, phases)
    console.print(table(phases))
    half = [one for phase in phases if phase.name == f"{TARGET_SHARE:.0%}" for one in phase.latencies]
    met = bool(half) and np.quantile(half, 0.99) <= TARGET_SECONDS
    said = "met" if met else "MISSED" if half else "not measured"
    console.print(f"p99 within {TARGET_SECONDS:g} s at {TARGET_SHARE:.0%}: [bold]{said}[/]")
    return 0 if met else 1


def measured(bench: Bench, options: argparse.Namespace, console: Console) -> list[Phase]:
    """Run the overload, its recovery, and each share of the capacity."""
    bench.run(Phase("start", 1_000), 10.0)
    overload = bench.run(Phase("overload", 0), options.overload_seconds)
    recovery = bench.recovered(Phase("recovery", 0))
    capacity = (overload.counted + recovery.counted) / (overload.seconds + recovery.seconds)
    phases = [overload, recovery]
    console.print(f"{capacity:,.0f} events/s are the capacity beside sender, Kafka and Redis", style="dim")
    for share in map(float, options.shares.split(",")):
        phases.append(bench.run(Phase(f"{share:.0%}", share * capacity), options.seconds))
        bench.recovered(Phase("between", 0))
        console.print(f"{share:.0%} done", style="dim")
    bench.run(Phase("end", 100), 75.0)  # ends the last step
    return phases


def table(phases: list[Phase]) -> Table:
    """Return the figures as a table."""
    made = Table(box=None, pad_edge=False)
    made.add_column("load")
    for heading in ("s", "sent/s", "counted/s", "CPU %", "most lag", "RSS MB", "findings", "p50 s", "p99 s", "most s"):
        made.add_column(heading, justify="right")
    for phase in phases:
        quantiles = np.quantile(phase.latencies, (0.5, 0.99, 1.0)) if phase.latencies else ()
        made.add_row(
            phase.name,
            f"{phase.seconds:.0f}",
            f"{phase.sent / phase.seconds:,.0f}",
            f"{phase.counted / phase.seconds:,.0f}",
            f"{100 * phase.cpu_seconds / phase.seconds:.0f}",
            f"{phase.most_lag:,}",
            f"{phase.most_resident / 1e6:,.0f}",
            str(len(phase.latencies)),
            *(f"{one:.2f}" for one in quantiles),
        )
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

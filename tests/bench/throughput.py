"""`make bench`: events per second from Kafka to findings, beside a stock Faust agent, a replay, and bare reading.

    python -m tests.bench.throughput [--events 600000] [--scale 4] [--stock-events 40000]

One simulated world without campaigns, its prompts as sketches and not as text, is put into 4 partitions of Apache
Kafka before anything is measured. `ours, live` is the process that production runs (`detector run`: real pipeline,
Redis with an append-only file, findings to Kafka), one worker, its figures from its own /metrics: from the first
event counted to the moment when all are counted and no stage has lag. The others are `contenders.py`. Nothing is warmed up and the best of nothing is taken; broker and Redis share the machine's cores,
which events per second suffer from and events per core (CPU time of the measured process alone) do not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from detector import config as configuration
from detector import metrics
from detector.config import Config
from detector.decoders import partitions_of
from detector.errors import Unavailable
from detector.runtime import servers, topics
from detector.runtime.demo import Worker
from detector.runtime.sketching import sketched
from detector.simulate import simulate
from tests.bench.contenders import Measured, alone, chunks_of, reading, replayed, stock
from tests.bench.settings import PARTITION_SETTINGS

SCENARIO: Final = "quiet"
TARGET_PER_CORE: Final = 100_000
TARGET_RATIO: Final = 20
PATIENCE_SECONDS: Final = 240.0
_LOOK_SECONDS: Final = 0.1
_TIME: Final = re.compile(rb'"time_ms":(\d+)')


class _Keyed(msgspec.Struct):
    account_id: str


_keyed = msgspec.json.Decoder(_Keyed)


def main(arguments: list[str]) -> int:
    """Measure, print the table; return 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="throughput", description="events per second from Kafka to findings")
    parser.add_argument("--events", type=int, default=600_000)
    parser.add_argument("--stock-events", type=int, default=40_000)
    parser.add_argument("--scale", type=float, default=4.0, help="of the simulated world: 1 is some 38,000 accounts")
    parser.add_argument("--dense", type=int, default=1, help="let event time run so many times slower than simulated")
    parser.add_argument("--only", default="live,replay,floor,stock", help="what to measure, separated by commas")
    options = parser.parse_args(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=140)
    chosen = options.only.split(",")
    with (
        tempfile.TemporaryDirectory(prefix="detector-bench-", ignore_cleanup_errors=True) as name,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        began = time.monotonic()
        span_s = recorded(folder, options.events, options.scale, options.dense)
        console.print(
            f"{options.events:,} events of {span_s:,.0f} s of event time, made in {time.monotonic() - began:.0f} s",
            style="dim",
        )
        redis = stack.enter_context(servers.redis(folder / "redis"))
        kafka = stack.enter_context(servers.kafka(folder / "kafka"))
        environment = {
            **PARTITION_SETTINGS,
            "DETECTOR_KAFKA_BROKERS": kafka.address,
            "DETECTOR_STORE_URL": redis.url,
            "DETECTOR_TOPICS_REPLICATION": "1",
            "DETECTOR_WEB_PORT": str(servers.free_port()),
        }
        config = configuration.load(None, {**os.environ, **environment})
        topics.create_all(config)
        began = time.monotonic()
        sent(config, folder)
        console.print(f"in Kafka {time.monotonic() - began:.0f} s later", style="dim")
        requests = config.topics.requests
        results: dict[str, Measured] = {}
        if "live" in chosen:
            results["ours, live"] = live(config, environment, folder, options.events)
        if "replay" in chosen:
            results["ours, replay"] = alone(
                replayed, folder / "events.ndjson", folder / "accounts.ndjson", config.pipeline()
            )
        if "floor" in chosen:
            results["aiokafka and msgspec, nothing else"] = alone(reading, kafka.address, requests, options.events)
        if "stock" in chosen:
            with servers.redis(folder / "redis-of-stock") as other:
                results["stock Faust agent"] = alone(stock, kafka.address, other.url, requests, options.stock_events)
    console.print(table(results))
    missed = 0
    for said, met in targets(results):
        console.print(f"{said}: [bold]{'met' if met else 'MISSED'}[/]")
        missed += not met
    return 1 if missed else 0


def recorded(folder: Path, events: int, scale: float, dense: int) -> float:
    """Write accounts and events of the simulated world; return how many seconds of event time they take."""
    world = simulate(SCENARIO, 1, scale=scale)
    (folder / "accounts.ndjson").write_bytes(b"\n".join(map(msgspec.json.encode, world.accounts)) + b"\n")
    begin_ms, left, last_ms = world.begin_ms, events, world.begin_ms

    def slower(match: re.Match[bytes]) -> bytes:
        return b'"time_ms":%d' % (begin_ms + (int(match[1]) - begin_ms) // dense)

    with (folder / "events.ndjson").open("wb") as file:
        for lines, _ in sketched(world.chunks(), 0):
            kept = [_TIME.sub(slower, line, count=1) if dense > 1 else line for line in lines[:left]]
            file.writelines(line + b"\n" for line in kept)
            left -= len(kept)
            if not left:
                last_ms = max(int(match[1]) for match in map(_TIME.search, kept) if match)
                return (last_ms - begin_ms) / 1000
    raise SystemExit(f"the world has {events - left:,} events only")


def sent(config: Config, folder: Path) -> None:
    """Put accounts and events into Kafka, each event a record keyed by its account, and wait for the last."""
    producer = Producer(
        {"bootstrap.servers": config.kafka.brokers, "linger.ms": 50, "queue.buffering.max.messages": 200_000}
    )
    for topic, file in ((config.topics.accounts, "accounts.ndjson"), (config.topics.requests, "events.ndjson")):
        for chunk in chunks_of(folder / file):
            keys = [_keyed.decode(line).account_id for line in chunk]
            for key, number, line in zip(
                keys, partitions_of(keys, config.topics.partitions).tolist(), chunk, strict=True
            ):
                producer.produce(topic, line.rstrip(), key.encode(), number)
                producer.poll(0)
            producer.flush()


# -- ours, live -----------------------------------------------------------------------------------


def live(config: Config, environment: dict[str, str], folder: Path, events: int) -> Measured:
    """Let one worker work through the topic."""
    worker = Worker(folder / "worker", None, environment, config.web.port)
    try:
        worker.start()
        measured = asyncio.run(_followed(config.web.port, worker, events))
    finally:
        worker.end()
    return measured


async def _followed(port: int, worker: Worker, events: int) -> Measured:
    deadline = time.monotonic() + PATIENCE_SECONDS
    first: tuple[float, float, float] | None = None
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        while True:
            page = await _page(session, port)
            now, counted = time.perf_counter(), page.get(metrics.EVENTS.name, 0)
            if counted and first is None:
                first = now, counted, page["process_cpu_seconds_total"]
            lag = page.get(metrics.LAG.name, 1)
            if first and counted >= events and not lag:
                wall, before, cpu = first
                return Measured(
                    int(counted - before),
                    now - wall,
                    page["process_cpu_seconds_total"] - cpu,
                    _peak_bytes(worker.pid or 0),
                    int(page.get(metrics.FINDINGS.name, 0)),
                )
            if time.monotonic() > deadline or not worker.alive:
                said = worker.log.read_text("utf-8", "replace").splitlines()[-5:]
                raise Unavailable("worker", f"stopped at {counted:,.0f} of {events:,} events: " + " | ".join(said))
            await asyncio.sleep(_LOOK_SECONDS)


async def _page(session: aiohttp.ClientSession, port: int) -> dict[str, float]:
    """Return the sum of every metric over its labels."""
    found: dict[str, float] = {}
    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        for family in text_string_to_metric_families(await answer.text()):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def _peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


# -- the table ------------------------------------------------------------------------------------


def table(results: dict[str, Measured]) -> Table:
    """Return the figures as a table."""
    made = Table(box=None, pad_edge=False)
    made.add_column("")
    for heading in ("events", "seconds", "events/s", "CPU seconds", "events/s per core", "peak MB", "findings"):
        made.add_column(heading, justify="right")
    for name, one in results.items():
        made.add_row(
            name,
            f"{one.events:,}",
            f"{one.seconds:.1f}",
            f"{one.per_second:,.0f}",
            f"{one.cpu_seconds:.1f}",
            f"{one.per_core:,.0f}",
            f"{one.peak_bytes / 1e6:,.0f}",
            "" if one.findings is None else f"{one.findings:,}",
        )
    return made


def targets(results: dict[str, Measured]) -> Iterator[tuple[str, bool]]:
    """Yield each target with whether it was met."""
    ours, theirs = results.get("ours, live"), results.get("stock Faust agent")
    if ours:
        yield (
            f"ours, live: {ours.per_core:,.0f} events/s per core, target {TARGET_PER_CORE:,}",
            ours.per_core >= TARGET_PER_CORE,
        )
    if ours and theirs:
        ratio, of_cpu = ours.per_second / theirs.per_second, ours.per_core / theirs.per_core
        yield (
            f"ours/stock: {ratio:.1f} x by the clock, target {TARGET_RATIO} x ({of_cpu:.1f} x by CPU)",
            ratio >= TARGET_RATIO,
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`make bench-scale`: what a second and a third worker cost, and the part that no worker can take over.

    python -m tests.bench.scale [--events 1000000] [--workers 1,2,3] [--stream plain]

The stream of `throughput.py` in 6 request and 2 link partitions, on a broker and a store of their own for each number
of workers. On a machine with few cores more workers are not faster, so the figure is CPU seconds per million events:
if it stays flat, workers do not get in each other's way, and a machine with more cores has the throughput. What is
serial is said by itself: the stage with one partition, which is one worker's whatever their number, and Redis. (Kafka
also takes the events in meanwhile.)

Cores share caches, memory and, in a rented machine, each other. What that costs is measured too: as many replays at
once, of the same stream, which have nothing to do with each other.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from rich.console import Console
from rich.table import Table

from detector import config as configuration
from detector import metrics
from detector.errors import Unavailable
from detector.runtime import servers, topics
from detector.runtime.demo import Worker
from tests.bench.contenders import CHUNK, cpu_seconds, peak_bytes, replayed
from tests.bench.settings import end_on_sigterm
from tests.bench.throughput import PATIENCE_SECONDS, record, send

SETTINGS: Final = {"DETECTOR_TOPICS_PARTITIONS": "6", "DETECTOR_TOPICS_LINK_PARTITIONS": "2"}
HELD: Final = "partitions held"
STAGES: Final = ("accounts", "links", "campaigns")
_LOOK_SECONDS: Final = 1.0
Page = dict[tuple[str, str], float]
"""Sum of every metric by name and stage (empty: none)."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """What so many workers took for `events`; CPU in seconds."""

    workers: int
    events: int
    seconds: float
    cpu_workers: list[float]
    cpu_redis: float
    cpu_kafka: float
    of_stage: dict[str, float]  # seconds of work in batches
    peak_bytes: int  # the largest worker's
    redis_bytes: int
    replayed: float  # CPU seconds a million events, of as many replays that share nothing

    def per_million(self, seconds: float) -> float:
        return seconds / self.events * 1e6


def main(arguments: list[str]) -> int:
    """Measure, print the table; return 0."""
    parser = argparse.ArgumentParser(prog="scale", description="CPU seconds per million events, by workers")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--scale", type=float, default=1.0, help="of the simulated world: 1 is some 38,000 accounts")
    parser.add_argument("--slower", type=int, default=100, help="event time runs so many times slower than simulated")
    parser.add_argument("--workers", default="1,2,3", help="numbers of workers, separated by commas")
    parser.add_argument("--stream", default="plain", choices=("plain", "sketched"))
    options = parser.parse_args(arguments)
    end_on_sigterm()
    console = Console() if sys.stdout.isatty() else Console(width=140)
    with tempfile.TemporaryDirectory(prefix="detector-scale-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        record(folder, options.events, options.scale, options.slower)
        results = []
        for workers in map(int, options.workers.split(",")):
            alone = replays(folder, options.stream, workers)
            results.append(scaled(folder, options.stream, options.events, workers, alone))
            console.print(f"{workers} done", style="dim")
    console.print(table(results))
    return 0


def replays(folder: Path, stream: str, number: int) -> float:
    """Return the CPU seconds that a million events take one of so many replays at once, their starts left out."""
    settings = configuration.load(None, {**os.environ, **SETTINGS}).pipeline()
    given = folder / f"{stream}.ndjson", folder / "accounts.ndjson", settings, CHUNK
    with get_context("spawn").Pool(number) as pool:
        done = pool.starmap(replayed, [given] * number, chunksize=1)
    return sum(one.cpu_seconds / one.events for one in done) / number * 1e6


def scaled(folder: Path, stream: str, events: int, workers: int, alone: float) -> Scaled:
    """Let so many workers work through the stream; `alone` is what `replays` said for as many."""
    own = folder / f"of-{workers}"
    with (
        servers.redis(own / "redis", "--appendfsync", "everysec") as redis,
        servers.kafka(own / "kafka") as kafka,
        contextlib.ExitStack() as stack,
    ):
        environment = {
            **SETTINGS,
            "DETECTOR_KAFKA_BROKERS": kafka.address,
            "DETECTOR_STORE_URL": redis.url,
            "DETECTOR_TOPICS_REPLICATION": "1",
        }
        config = configuration.load(None, {**os.environ, **environment})
        topics.create_all(config)
        send(config, config.topics.accounts, folder / "accounts.ndjson")
        running = []
        for number in range(workers):
            port = servers.free_port()
            worker = Worker(own / f"worker-{number}", None, {**environment, "DETECTOR_WEB_PORT": str(port)}, port)
            running.append(worker)
            stack.callback(worker.end)
            worker.start()
        asyncio.run(_settled(running, int(SETTINGS["DETECTOR_TOPICS_PARTITIONS"])))
        before, others_before = asyncio.run(_pages(running)), [cpu_seconds(one) for one in (redis, kafka)]
        began = time.perf_counter()
        send(config, config.topics.requests, folder / f"{stream}.ndjson")
        pages = asyncio.run(_done(running, events))
        seconds = time.perf_counter() - began
        gained = [
            {key: value - old.get(key, 0.0) for key, value in page.items()}
            for page, old in zip(pages, before, strict=True)
        ]
        work = f"{metrics.BATCH_SECONDS.name}_sum"
        cpu_redis, cpu_kafka = (cpu_seconds(one) - old for one, old in zip((redis, kafka), others_before, strict=True))
        with Redis.from_url(redis.url) as store:
            held = int(store.info("memory")["used_memory"])
        return Scaled(
            workers,
            events,
            seconds,
            [page["process_cpu_seconds_total", ""] for page in gained],
            cpu_redis,
            cpu_kafka,
            {stage: sum(page.get((work, stage), 0.0) for page in gained) for stage in STAGES},
            max(peak_bytes(one.pid or 0) for one in running),
            held,
            alone,
        )


async def _settled(running: Sequence[Worker], partitions: int) -> None:
    """Return when every worker has its part of the request partitions, or raise Unavailable."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        held = [page[HELD, "accounts"] for page in await _pages(running)]
        if sum(held) == partitions and max(held) - min(held) <= 1:
            return
        if time.monotonic() > deadline:
            raise Unavailable("workers", f"hold {held} of {partitions} request partitions")


async def _done(running: Sequence[Worker], events: int) -> list[Page]:
    """Return the pages of the workers when they have counted so many events and no stage has lag."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        pages = await _pages(running)
        counted = sum(_total(page, metrics.EVENTS.name) for page in pages)
        if counted >= events and not any(_total(page, metrics.LAG.name) for page in pages):
            return pages
        if time.monotonic() > deadline or not all(one.alive for one in running):
            raise Unavailable("workers", f"stopped at {counted:,.0f} of {events:,} events")


async def _pages(running: Sequence[Worker]) -> list[Page]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        return [await _page(session, one) for one in running]


async def _page(session: aiohttp.ClientSession, worker: Worker) -> Page:
    found: Page = defaultdict(float)
    async with session.get(f"http://127.0.0.1:{worker.port}/metrics") as answer:
        for family in text_string_to_metric_families(await answer.text()):
            for sample in family.samples:
                stage = sample.labels.get("stage", "")
                found[sample.name, stage] += sample.value
                found[HELD, stage] += sample.name == metrics.LAG.name  # one sample a partition
    return found


def _total(page: Page, name: str) -> float:
    return sum(value for (one, _), value in page.items() if one == name)


def table(results: Sequence[Scaled]) -> Table:
    """Return the figures as a table: CPU seconds per million events."""
    made = Table(box=None, pad_edge=False, title="seconds of CPU time per million events")
    for heading in ("workers", "events/s", "workers, together", "each", "a replay", *STAGES, "Redis", "Kafka"):
        made.add_column(heading, justify="right")
    made.add_column("peak MB", justify="right")
    made.add_column("Redis MB", justify="right")
    for one in results:
        made.add_row(
            str(one.workers),
            f"{one.events / one.seconds:,.0f}",
            f"{one.per_million(sum(one.cpu_workers)):.2f}",
            " ".join(f"{one.per_million(cpu):.2f}" for cpu in one.cpu_workers),
            f"{one.replayed:.2f}",
            *(f"{one.per_million(one.of_stage[stage]):.2f}" for stage in STAGES),
            f"{one.per_million(one.cpu_redis):.2f}",
            f"{one.per_million(one.cpu_kafka):.2f}",
            f"{one.peak_bytes / 1e6:,.0f}",
            f"{one.redis_bytes / 1e6:,.0f}",
        )
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

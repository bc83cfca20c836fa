"""What `throughput.py` compares, each in a process of its own: a stock Faust agent, our replay, and bare reading.

The stock agent is written as Faust's documentation would have it, and spared what can be spared: no table and no
changelog, `take(5000, within=0.2)`, and its counts folded by account in Python before they go to Redis, in one
pipeline per batch. One hash per account holds five windows of requests and output tokens, each in tiles of a
twentieth of the window's width (the 45 days: of a day); the tiles that it wrote are what it compares with a limit.
It judges nothing else, shares nothing between accounts, and can lose or double what was in flight when it dies.
"""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import faust
import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer
from redis.asyncio import Redis

from detector.account import AccountRecord
from detector.event import RequestEvent
from detector.pipeline import PipelineSettings
from detector.runtime.replay import Tally, replay

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
WINDOWS: Final = (
    ("5m", 15_000),
    ("1h", 3 * MINUTE_MS),
    ("24h", 72 * MINUTE_MS),
    ("7d", 504 * MINUTE_MS),
    ("45d", DAY_MS),
)
"""Name, and width of a tile in ms."""
TILE_LIMIT: Final = 100_000
TAKEN: Final = 5000
CHUNK: Final = 20_000


@dataclass(frozen=True, slots=True)
class Measured:
    """`events` were worked through in `seconds`, with `cpu_seconds` of the process that did it."""

    events: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    findings: int | None = None

    @property
    def per_second(self) -> float:
        return self.events / self.seconds

    @property
    def per_core(self) -> float:
        return self.events / self.cpu_seconds


def alone(work: Callable[..., Measured], *arguments: Any) -> Measured:
    """Return what `work` measures in a fresh process: its peak of memory is nobody else's."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


class Clock:
    """Time from the first event on."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None

    def begin(self) -> None:
        if self._began is None:
            self._began = time.perf_counter(), time.process_time()

    def measured(self, events: int, findings: int | None = None) -> Measured:
        assert self._began is not None
        wall, cpu = self._began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return Measured(events, time.perf_counter() - wall, time.process_time() - cpu, peak, findings)


# -- the floor ------------------------------------------------------------------------------------


def reading(brokers: str, topic: str, events: int) -> Measured:
    """Read records with aiokafka, decode each with msgspec, and do nothing with them."""
    return uvloop.run(_read(brokers, topic, events))


async def _read(brokers: str, topic: str, events: int) -> Measured:
    decoder, clock, left = msgspec.json.Decoder(RequestEvent), Clock(), events
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=brokers, auto_offset_reset="earliest", max_partition_fetch_bytes=4 << 20
    )
    await consumer.start()
    try:
        while left > 0:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                clock.begin()
                for record in records:
                    decoder.decode(record.value)
                left -= len(records)
        return clock.measured(events - left)
    finally:
        await consumer.stop()


# -- ours, of a file ------------------------------------------------------------------------------


def replayed(events: Path, accounts: Path, settings: PipelineSettings) -> Measured:
    """Replay a recording."""
    records = [msgspec.json.decode(line, type=AccountRecord) for line in accounts.read_bytes().splitlines()]
    clock, tally = Clock(), Tally()
    clock.begin()
    found = sum(1 for _ in replay(chunks_of(events), records, settings, tally=tally))
    return clock.measured(tally.events, found)


def chunks_of(file: Path) -> Iterator[list[bytes]]:
    """Yield the lines of a file."""
    with file.open("rb") as lines:
        chunk: list[bytes] = []
        for line in lines:
            chunk.append(line)
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
        yield chunk


# -- a stock Faust agent --------------------------------------------------------------------------


def stock(brokers: str, redis_url: str, topic: str, events: int) -> Measured:
    """Let a stock agent work through the first `events` of the topic."""
    return uvloop.run(_stock(brokers, redis_url, topic, events))


async def _stock(brokers: str, redis_url: str, topic: str, events: int) -> Measured:
    clock, left, done = Clock(), events, asyncio.Event()
    redis = Redis.from_url(redis_url)
    app = faust.App(
        "stock",
        broker=f"kafka://{brokers}",
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
        autodiscover=False,
        datadir=tempfile.mkdtemp(),
    )

    async def work(stream: Any) -> None:
        nonlocal left
        async for batch in stream.take(TAKEN, within=0.2):
            clock.begin()
            await _counted(redis, batch)
            left -= len(batch)
            if left <= 0:
                done.set()

    app.agent(app.topic(topic, value_serializer="json"))(work)
    await app.start()
    await done.wait()
    measured = clock.measured(events - left)
    await app.stop()
    await redis.aclose()
    return measured


async def _counted(redis: Any, batch: list[dict[str, Any]]) -> list[str]:
    """Add a batch to its accounts' windows; return the accounts that passed the limit."""
    sums: Counter[tuple[str, str]] = Counter()
    for event in batch:
        account, time_ms, tokens = event["account_id"], event["time_ms"], event.get("output_tokens") or 0
        for name, width in WINDOWS:
            tile = time_ms // width
            sums[account, f"{name}:{tile}:requests"] += 1
            sums[account, f"{name}:{tile}:tokens"] += tokens
    pipeline = redis.pipeline(transaction=False)
    for (account, field), amount in sums.items():
        pipeline.hincrby(account, field, amount)
    totals = await pipeline.execute()
    return [account for (account, _), total in zip(sums, totals, strict=True) if total > TILE_LIMIT]

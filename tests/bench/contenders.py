"""What `throughput.py` compares, each in a process of its own: our replay, bare reading, and other ways to do less.

The stock agent is written as Faust's documentation would have it, and spared what can be spared: no table and no
changelog, `take(5000, within=0.2)`, a batch folded by account in Python before it goes to Redis, and everything of
a batch in one pipeline. It keeps the same windows: one hash per account, a field for each tile of a window and
what is counted in it (requests, output tokens), twenty tiles a window, one a day for the 45 days. After each batch
it reads the hashes of the batch's accounts back, sums each window, compares it with a limit, and drops the tiles
that have left their window. It judges nothing else, shares nothing between accounts, and can lose or double what
was in flight when it dies.

The rules engine is the least that one can be whose state is in Redis and that decides event by event: read, decode,
one round trip with a counter for each of the same five windows, compare. Quix Streams and Bytewax need packages of
their own (`elsewhere.py`).
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import faust
import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from detector.account import AccountRecord
from detector.event import RequestEvent
from detector.pipeline import PipelineSettings
from detector.runtime.replay import Tally, replay
from detector.runtime.servers import Server

MINUTE_MS: Final = 60_000
WINDOWS: Final = {
    "5m": (MINUTE_MS // 4, 20),
    "1h": (3 * MINUTE_MS, 20),
    "24h": (72 * MINUTE_MS, 20),
    "7d": (504 * MINUTE_MS, 20),
    "45d": (1440 * MINUTE_MS, 45),
}
"""Width of a tile in ms, and how many a window has."""
LIMITS: Final = {"requests": 50_000, "tokens": 50_000_000}
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
    """Time and CPU time from the first event on, and the peak of this process's memory."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None

    def begin(self) -> None:
        if self._began is None:
            self._began = time.perf_counter(), time.process_time()

    def measured(self, events: int, findings: int | None = None) -> Measured:
        assert self._began is not None
        wall, cpu = self._began
        return Measured(events, time.perf_counter() - wall, time.process_time() - cpu, peak_bytes("self"), findings)


def peak_bytes(process: int | str) -> int:
    """Return the most memory that a process has held; `ru_maxrss` would take over that of its parent."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text("utf-8"))
    return int(found[1]) * 1024 if found else 0


def cpu_seconds(server: Server) -> float:
    """Return the CPU time of a server's process, all of its threads."""
    stat = Path(f"/proc/{server.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


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


# -- a rules engine -------------------------------------------------------------------------------


def rules(brokers: str, redis_url: str, topic: str, events: int) -> Measured:
    """Let a rules engine with one Redis round trip an event work through the first `events` of the topic."""
    return uvloop.run(_rules(brokers, redis_url, topic, events))


async def _rules(brokers: str, redis_url: str, topic: str, events: int) -> Measured:
    decoder, clock, left = msgspec.json.Decoder(RequestEvent), Clock(), events
    redis = SyncRedis.from_url(redis_url)  # synchronous: nothing else is to be done meanwhile, and it is the cheapest
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=brokers, auto_offset_reset="earliest")
    await consumer.start()
    above = 0
    try:
        while left > 0:
            for records in (await consumer.getmany(timeout_ms=500, max_records=left)).values():
                clock.begin()
                for record in records:
                    event = decoder.decode(record.value)
                    pipeline = redis.pipeline(transaction=False)
                    for window, (width, tiles) in WINDOWS.items():
                        name = f"{event.account_id}:{window}:{event.time_ms // (width * tiles)}"
                        pipeline.incr(name)
                        pipeline.pexpire(name, width * tiles)
                    above += any(count > LIMITS["requests"] for count in pipeline.execute()[::2])
                left -= len(records)
        return clock.measured(events - left, above)
    finally:
        await consumer.stop()
        redis.close()


# -- Quix Streams, Bytewax ------------------------------------------------------------------------


def elsewhere(python: Path, *arguments: str) -> Measured:
    """Run `elsewhere.py` with the Python that has its packages."""
    given = [str(python), str(Path(__file__).with_name("elsewhere.py")), *arguments]
    said = subprocess.run(given, check=True, capture_output=True, text=True).stdout
    return msgspec.json.decode(said.splitlines()[-1], type=Measured)


# -- ours, of a file ------------------------------------------------------------------------------


def replayed(events: Path, accounts: Path, settings: PipelineSettings, start: int = 0) -> Measured:
    """Replay a recording; measured is what comes after the first `start` events, in whole chunks, and the end."""
    records = [msgspec.json.decode(line, type=AccountRecord) for line in accounts.read_bytes().splitlines()]
    clock, tally, skipped = Clock(), Tally(), 0

    def timed() -> Iterator[list[bytes]]:
        nonlocal skipped
        for chunk in chunks_of(events):
            if skipped >= start:
                clock.begin()
            else:
                skipped += len(chunk)
            yield chunk

    found = sum(1 for _ in replay(timed(), records, settings, tally=tally))
    return clock.measured(tally.events - skipped, found)


def chunks_of(file: Path) -> Iterator[list[bytes]]:
    """Yield the lines of a file."""
    with file.open("rb") as lines:
        while chunk := list(islice(lines, CHUNK)):
            yield chunk


# -- a stock Faust agent --------------------------------------------------------------------------


def stock(brokers: str, redis_url: str, topic: str, events: int) -> Measured:
    """Let a stock agent work through the first `events` of the topic."""
    return uvloop.run(_stock(brokers, redis_url, topic, events))


def stock_app(brokers: str) -> faust.App:
    """Return a Faust app as it comes, without what only costs it time."""
    return faust.App(
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


async def _stock(brokers: str, redis_url: str, topic: str, events: int) -> Measured:
    clock, left, done = Clock(), events, asyncio.Event()
    redis = Redis.from_url(redis_url, decode_responses=True)
    app = stock_app(brokers)

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


async def _counted(redis: Any, batch: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Add a batch to its accounts' windows; return (account, window, what) for every sum above its limit."""
    sums: Counter[tuple[str, str]] = Counter()
    newest: dict[str, int] = {}
    for event in batch:
        account, time_ms, tokens = event["account_id"], event["time_ms"], event.get("output_tokens") or 0
        newest[account] = max(newest.get(account, 0), time_ms)
        for window, (width, _) in WINDOWS.items():
            tile = time_ms // width
            sums[account, f"{window}:{tile}:requests"] += 1
            sums[account, f"{window}:{tile}:tokens"] += tokens
    pipeline = redis.pipeline(transaction=False)
    for (account, field), amount in sums.items():
        pipeline.hincrby(account, field, amount)
    for account in newest:
        pipeline.hgetall(account)
    answers = await pipeline.execute()
    above: list[tuple[str, str, str]] = []
    for account, held in zip(newest, answers[len(sums) :], strict=True):
        totals: Counter[tuple[str, str]] = Counter()
        gone = []
        for field, amount in held.items():
            window, tile, what = field.split(":")
            width, tiles = WINDOWS[window]
            if int(tile) > newest[account] // width - tiles:
                totals[window, what] += int(amount)
            else:
                gone.append(field)
        if gone:
            pipeline.hdel(account, *gone)
        above += [(account, window, what) for (window, what), total in totals.items() if total > LIMITS[what]]
    await pipeline.execute()
    return above

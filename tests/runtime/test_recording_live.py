"""`detector run`, the process, on real Kafka and Redis: whatever happens to it, it says what a replay says.

    recording ─┬─► replay ─────────────────────────────────────► findings, byte for byte
               └─► requests topic ─► worker 1, worker 2 (Redis) ─► findings topic  ┘

A replay knows the end of its recording and closes what is open; a stream has no end. So the recording
ends with one event in each partition, two steps after everything else: they close every step before
them in either, and what is compared are all findings of those steps.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from detector import config as configuration
from detector import metrics
from detector.account import AccountRecord
from detector.config import Config
from detector.decoders import partition_of
from detector.finding import Finding, encode
from detector.runtime import servers, topics
from detector.runtime.demo import Worker
from detector.runtime.replay import replay
from detector.runtime.servers import KafkaServer, RedisServer
from detector.simulate import simulate
from tests.bench.through_kafka import page, send, send_all
from tests.chaos.stream import WORLD
from tests.servers import environment

pytestmark = [pytest.mark.asyncio, pytest.mark.chaos]

PARTITIONS = 4
PATIENCE_SECONDS = 120.0
SETTINGS = {
    "DETECTOR_TOPICS_PARTITIONS": str(PARTITIONS),
    "DETECTOR_TOPICS_LINK_PARTITIONS": "2",
    "DETECTOR_KAFKA_SESSION_MS": "6000",
    "DETECTOR_KAFKA_FETCH_BYTES": "65536",  # some hundred events
    "DETECTOR_ACCOUNTS_HOT_ACCOUNTS": "20",  # nearly all accounts leave memory and come back; a replay keeps all
    "DETECTOR_LOG_FORMAT": "json",
}

_finding = msgspec.json.Decoder(Finding)


@cache
def recording() -> tuple[list[AccountRecord], list[bytes], int]:
    """Account records, events, and the event time up to which every step is closed."""
    simulation = simulate(WORLD, 5)
    lines = [line for chunk in simulation.chunks() for line in chunk]
    cadence_ms = configuration.load(None, SETTINGS).stream.cadence_ms
    last_ms = max(msgspec.json.decode(line)["time_ms"] for line in lines)
    end_ms = (last_ms // cadence_ms + 2) * cadence_ms
    for partition in range(PARTITIONS):
        account = next(name for name in (f"last-{n}" for n in count()) if partition_of(name, PARTITIONS) == partition)
        lines.append(event(account, account, end_ms))
    return simulation.accounts, lines, end_ms


@cache
def expected() -> list[bytes]:
    """What a replay of it says, as far as every step is closed."""
    accounts, lines, end_ms = recording()
    found = replay([lines], accounts, configuration.load(None, SETTINGS).pipeline())
    return [encode(finding) for finding in found if finding.time_ms <= end_ms]


def event(identity: str, account: str, time_ms: int) -> bytes:
    return msgspec.json.encode({"id": identity, "time_ms": time_ms, "account_id": account, "model": "m"})


class Live:
    """Workers on topics of their own, and what they said."""

    def __init__(self, name: str, kafka: str, redis: str, folder: Path) -> None:
        self._environment = {**environment(name, kafka, redis), **SETTINGS}
        self._folder = folder
        self.config: Config = configuration.load(None, self._environment)
        self.workers: list[Worker] = []
        self.findings: dict[tuple[str, int], bytes] = {}
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
        self._consumer = self._reader(self.config.topics.findings)

    def _reader(self, topic: str) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            topic, bootstrap_servers=self.config.kafka.brokers, auto_offset_reset="earliest", enable_auto_commit=False
        )

    async def open(self) -> None:
        await asyncio.to_thread(topics.create_all, self.config)
        await self._consumer.start()

    async def close(self) -> None:
        for worker in self.workers:
            worker.kill()
        await self._consumer.stop()
        await self._session.close()

    async def start(self) -> Worker:
        """Start one more worker; return when it has joined the group."""
        port = servers.free_port()
        overrides = {**self._environment, "DETECTOR_WEB_PORT": str(port)}
        worker = Worker(self._folder / f"worker-{len(self.workers)}", None, overrides, port)
        self.workers.append(worker)
        await self.begin(worker)
        return worker

    async def begin(self, worker: Worker) -> None:
        """Start it, perhaps again; return when it has joined the group and works on what is its."""
        await asyncio.to_thread(worker.start)

        async def ready() -> bool:
            async with self._session.get(f"http://127.0.0.1:{worker.port}/readyz") as answer:
                return answer.status == 200

        await self.until(ready)

    async def send(self, lines: Sequence[bytes], accounts: Sequence[AccountRecord] = ()) -> None:
        await send(self.config, accounts, lines)

    async def until(self, true: Callable[[], Any]) -> None:
        """Read findings until `true` (a coroutine function) is; fail when patience ends."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not await true():
            logs = [worker.log.read_text()[-2000:] for worker in self.workers]
            assert time.monotonic() < deadline, "\n".join([f"{len(self.findings)} findings", *logs])
            await self.read()

    async def read(self) -> None:
        for records in (await self._consumer.getmany(timeout_ms=200)).values():
            self._take(records)

    def _take(self, records: Sequence[Any]) -> None:
        for record in records:
            finding = _finding.decode(record.value)
            before = self.findings.setdefault((finding.finding_id, finding.seq), record.value)
            assert before == record.value, "a repeated finding must repeat its bytes"

    async def measured(self, worker: Worker, meter: metrics.Meter) -> float:
        return (await page(self._session, worker.port)).get(meter.name, -1.0)

    async def counting(self, *workers: Worker) -> None:
        """Return when each of the workers has counted events."""

        async def all_do() -> bool:
            return all([await self.measured(worker, metrics.EVENTS) > 0 for worker in workers])

        await self.until(all_do)

    async def says_what_a_replay_says(self) -> None:
        """Every finding came, in that order, with those bytes, and no other when the workers have stopped in order."""

        async def all_came() -> bool:
            return len(self.findings) >= len(expected())

        await self.until(all_came)
        for worker in self.workers:
            await asyncio.to_thread(worker.stop)
        self._take(await self.everything(self.config.topics.findings))
        for number, (found, wanted) in enumerate(zip(self.findings.values(), expected(), strict=False)):
            one, other = msgspec.json.decode(found), msgspec.json.decode(wanted)
            differs = {name: (one.get(name), value) for name, value in other.items() if one.get(name) != value}
            assert found == wanted, f"finding {number}: {differs}"
        assert len(self.findings) == len(expected())

    async def everything(self, topic: str) -> list[Any]:
        """Return all records of a topic of one partition."""
        reader, found = self._reader(topic), []
        await reader.start()
        try:
            place = TopicPartition(topic, 0)
            end = (await reader.end_offsets([place]))[place]
            while await reader.position(place) < end:
                found += [record for records in (await reader.getmany(timeout_ms=200)).values() for record in records]
        finally:
            await reader.stop()
        return found

    def said(self, worker: Worker, name: str) -> list[dict[str, Any]]:
        """Return the lines of this event in the worker's log."""
        lines = [line for line in worker.log.read_text().splitlines() if line.startswith("{")]
        return [said for said in map(msgspec.json.decode, lines) if said["event"] == name]


@asynccontextmanager
async def opened(name: str, kafka: KafkaServer, redis: RedisServer, folder: Path) -> AsyncIterator[Live]:
    live = Live(name, kafka.address, redis.url, folder)
    await live.open()
    try:
        yield live
    finally:
        await live.close()


async def test_two_workers_say_byte_for_byte_what_a_replay_says(
    kafka_server: KafkaServer, redis_server: RedisServer, own_name: str, tmp_path: Path
) -> None:
    accounts, lines, _ = recording()
    kinds = {_finding.decode(one).kind for one in expected()}
    assert {"campaign", "block_replay"} <= kinds, "else the comparison would prove little"
    async with opened(own_name, kafka_server, redis_server, tmp_path) as live:
        await live.send([], accounts)
        workers = [await live.start(), await live.start()]
        await live.send(lines[: len(lines) // 2])
        await live.counting(*workers)
        await live.send(lines[len(lines) // 2 :])

        async def all_counted() -> bool:
            return sum([await live.measured(worker, metrics.EVENTS) for worker in workers]) >= len(lines)

        await live.until(all_counted)

        async def most_are_cold() -> bool:
            return 0 < sum([await live.measured(worker, metrics.ACCOUNTS) for worker in workers]) < len(accounts) / 2

        await live.until(most_are_cold)
        await live.says_what_a_replay_says()


async def test_a_worker_killed_in_mid_stream_and_started_again_does_not_show(
    kafka_server: KafkaServer, redis_server: RedisServer, own_name: str, tmp_path: Path
) -> None:
    accounts, lines, _ = recording()
    async with opened(own_name, kafka_server, redis_server, tmp_path) as live:
        await live.send([], accounts)
        killed, other = await live.start(), await live.start()
        await live.send(lines[: len(lines) // 2])
        await live.counting(killed, other)
        killed.kill()
        await live.send(lines[len(lines) // 2 :])
        await live.begin(killed)
        await live.says_what_a_replay_says()


async def test_a_worker_that_joins_and_leaves_in_mid_stream_does_not_show(
    kafka_server: KafkaServer, redis_server: RedisServer, own_name: str, tmp_path: Path
) -> None:
    accounts, lines, _ = recording()
    third = len(lines) // 3
    async with opened(own_name, kafka_server, redis_server, tmp_path) as live:
        await live.send([], accounts)
        stays = await live.start()
        await live.send(lines[:third])
        await live.counting(stays)
        joins = await live.start()
        await live.send(lines[third : 2 * third])
        await live.counting(joins)
        await asyncio.to_thread(joins.stop)
        await live.send(lines[2 * third :])
        await live.says_what_a_replay_says()


async def test_redis_away_for_ten_seconds_in_mid_stream_is_told_and_does_not_show(
    kafka_server: KafkaServer, own_name: str, tmp_path: Path
) -> None:
    accounts, lines, _ = recording()
    with servers.redis(tmp_path / "redis") as redis:
        async with opened(own_name, kafka_server, redis, tmp_path) as live:
            await live.send([], accounts)
            workers = [await live.start(), await live.start()]
            await live.send(lines[: len(lines) // 2])
            await live.counting(*workers)
            await asyncio.to_thread(redis.stop)
            back_at = time.monotonic() + 10
            await live.send(lines[len(lines) // 2 :])

            async def told() -> bool:
                store = [await live.measured(worker, metrics.STORE_AVAILABLE) for worker in workers]
                return store == [0, 0] and time.monotonic() >= back_at

            await live.until(told)
            assert all(one["service"] == "redis" for worker in workers for one in live.said(worker, "waiting"))
            assert not any(live.said(worker, "going_on") for worker in workers)
            assert all(worker.alive for worker in workers)
            await asyncio.to_thread(redis.start)

            async def again() -> bool:
                return all([await live.measured(worker, metrics.STORE_AVAILABLE) == 1 for worker in workers])

            await live.until(again)
            for worker in workers:
                assert live.said(worker, "waiting")
                assert all("redis" in one["services"] for one in live.said(worker, "going_on"))
                assert live.said(worker, "going_on")
            await live.says_what_a_replay_says()


async def test_a_worker_that_dies_while_redis_is_away_does_not_show(
    kafka_server: KafkaServer, own_name: str, tmp_path: Path
) -> None:
    """The other one is given its partitions and cannot take them over: it waits, says so, and then goes on."""
    accounts, lines, _ = recording()
    with servers.redis(tmp_path / "redis") as redis:
        async with opened(own_name, kafka_server, redis, tmp_path) as live:
            await live.send([], accounts)
            killed, other = await live.start(), await live.start()
            await live.send(lines[: len(lines) // 2])
            await live.counting(killed, other)
            await asyncio.to_thread(redis.stop)
            await live.send(lines[len(lines) // 2 :])
            killed.kill()

            async def cannot_take_over() -> bool:
                available = await live.measured(other, metrics.STORE_AVAILABLE)
                return available == 0 and bool(live.said(other, "take_over_waits"))

            await live.until(cannot_take_over)
            await asyncio.to_thread(redis.start)
            await live.begin(killed)

            async def took_over() -> bool:
                return await live.measured(other, metrics.STORE_AVAILABLE) == 1

            await live.until(took_over)
            await live.says_what_a_replay_says()


BAD = {
    b'{"id": "\xff", "time_ms": 1, "account_id": "a", "model": "m"}': "invalid_utf8",
    b"{half an obj": "invalid_json",
    b'{"id": "x", "time_ms": 1, "model": "m"}': "missing_field",
    b'{"id": "x", "time_ms": "noon", "account_id": "a", "model": "m"}': "invalid_field",
}


async def test_of_a_hundred_thousand_records_the_thousand_bad_ones_are_dead_letters_and_the_rest_counts(
    kafka_server: KafkaServer, redis_server: RedisServer, own_name: str, tmp_path: Path
) -> None:
    start_ms, bad = 1_780_000_000_000, list(BAD)
    pairs = [
        (b"a%d" % (n % 997), bad[n // 100 % len(bad)] if n % 100 == 99 else event(f"{n}", f"a{n % 997}", start_ms + n))
        for n in range(100_000)
    ]
    wanted = Counter(BAD[value] for _, value in pairs if value in BAD)
    assert wanted.total() == 1000
    async with opened(own_name, kafka_server, redis_server, tmp_path) as live:
        worker = await live.start()
        await send_all(live.config.kafka.brokers, live.config.topics.requests, pairs)

        async def all_counted() -> bool:
            return await live.measured(worker, metrics.EVENTS) >= 99_000

        await live.until(all_counted)
        assert await live.measured(worker, metrics.EVENTS) == 99_000
        assert await live.measured(worker, metrics.DEAD_LETTERS) == 1_000
        await asyncio.to_thread(worker.stop)
        letters = await live.everything(live.config.topics.dead_letters)
    assert Counter(dict(letter.headers)["reason"].decode() for letter in letters) == wanted
    assert all(BAD[letter.value].encode() == dict(letter.headers)["reason"] for letter in letters)
    assert len({(dict(one.headers)["source-partition"], dict(one.headers)["source-offset"]) for one in letters}) == 1000

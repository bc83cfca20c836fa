"""Promise 1 on real Apache Kafka and real Redis: whatever dies, every word is counted once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faust.types import TP

from detector.errors import Unavailable
from detector.runtime import servers, topics
from detector.runtime import worker as worker_module
from detector.runtime.servers import KafkaServer, RedisServer
from detector.runtime.topics import Topic
from detector.runtime.transport import _FETCH_WAIT_MS, Chunk
from detector.runtime.worker import Worker
from detector.stores.redis import RedisStore
from tests.runtime import toy
from tests.runtime.toy import EVERY, decoded

pytestmark = [pytest.mark.asyncio, pytest.mark.chaos]

PARTITIONS = 4
PATIENCE_SECONDS = 90.0
ROOT = Path(__file__).parents[2]


class World:
    """Topics, words, workers and what they found."""

    def __init__(self, name: str, brokers: str, redis: str, folder: Path) -> None:
        self.name, self.brokers, self.redis, self.folder = name, brokers, redis, folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self.sent: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        self.steps: dict[tuple[int, int], bytes] = {}
        self._producer = AIOKafkaProducer(bootstrap_servers=brokers)
        self._findings = AIOKafkaConsumer(
            f"{name}-findings", bootstrap_servers=brokers, auto_offset_reset="earliest", enable_auto_commit=False
        )

    async def open(self) -> None:
        counts = {"requests": PARTITIONS, "observations": 2, "candidates": 1, "findings": 1, "dead_letters": 1}
        made = [Topic(f"{self.name}-{role}", count) for role, count in counts.items()]
        await asyncio.to_thread(topics.create, self.brokers, made)
        await self._producer.start()
        await self._findings.start()

    async def close(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
        await self._producer.stop()
        await self._findings.stop()

    def start(self, session_seconds: float = 3.0) -> subprocess.Popen[bytes]:
        """Start a worker; what it says is in a file of the test's folder."""
        command = [sys.executable, "-m", "tests.runtime.toy", self.name, self.brokers, self.redis]
        with (self.folder / f"worker{len(self.workers)}.log").open("wb") as log:
            worker = subprocess.Popen(
                [*command, "--session", str(session_seconds)], cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        self.workers.append(worker)
        return worker

    def log(self, worker: subprocess.Popen[bytes]) -> str:
        return (self.folder / f"worker{self.workers.index(worker)}.log").read_text()

    async def send(self, steps: int) -> None:
        """Send so many whole steps of words to each partition."""
        for n in range(steps * EVERY * PARTITIONS):
            word = f"w{n * 7919 % 101}"
            self.sent[word] += 1
            await self._producer.send(f"{self.name}-requests", word.encode(), partition=n % PARTITIONS)
        await self._producer.flush()

    async def trickle(self) -> None:
        """Send one word to each partition."""
        for partition in range(PARTITIONS):
            self.sent["trickle"] += 1
            await self._producer.send_and_wait(f"{self.name}-requests", b"trickle", partition=partition)

    async def see(self, words: int, patience_seconds: float = PATIENCE_SECONDS, *, fail: bool = True) -> None:
        """Read findings until so many words are in them, or patience ends."""
        deadline = time.monotonic() + patience_seconds
        while self.found.total() < words:
            for records in (await self._findings.getmany(timeout_ms=200)).values():
                for record in records:
                    source, step, counts = decoded(record.value)
                    before = self.steps.setdefault((source, step), record.value)
                    assert before == record.value, "a repeated step must repeat its bytes"
                    if before is record.value:
                        self.found.update(counts)
            if time.monotonic() > deadline:
                if not fail:
                    return
                logs = "\n".join(self.log(worker)[-1500:] for worker in self.workers)
                pytest.fail(f"{self.found.total()} of {words} words found\n{logs}")

    async def joined(self, *workers: subprocess.Popen[bytes]) -> None:
        """Read on until each of the workers has been assigned partitions."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all("assigned " in self.log(worker) for worker in workers):
            assert time.monotonic() < deadline, [self.log(worker)[-1500:] for worker in workers]
            await self.see(self.found.total() + 1, patience_seconds=0.2, fail=False)

    async def all_seen(self) -> None:
        """Every word was found once, and the stages' own state says the same."""
        await self.see(self.sent.total())
        assert self.found == self.sent

    async def all_stored(self) -> None:
        """What the store holds, of every stage, is the number of words sent: to be asked when workers have stopped."""
        store = RedisStore(self.redis, prefix=self.name)
        for stage, partitions in (("accounts", PARTITIONS), ("links", 2), ("campaigns", 1)):
            stored: Counter[str] = Counter()
            for partition in range(partitions):
                rows = await store.rows(stage, partition)
                stored.update({key[1:]: decoded(row) for key, row in rows.items() if key != "meta"})
            assert stored == self.sent, stage
        await store.close()

    async def stop(self, worker: subprocess.Popen[bytes]) -> float:
        """Stop a worker in order, once it is a member; return how many seconds that took."""
        await self.joined(worker)
        started = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(worker.wait, 30)
        assert code == 0, self.log(worker)[-3000:]
        return time.monotonic() - started

    def said(self, worker: subprocess.Popen[bytes], event: str) -> int:
        return self.log(worker).count(event)


@pytest.fixture
def redis_of_its_own(tmp_path: Path) -> Iterator[RedisServer]:
    with servers.redis(tmp_path / "redis") as server:
        yield server


async def opened(name: str, kafka: KafkaServer, redis: RedisServer, folder: Path) -> World:
    world = World(name, kafka.address, redis.url, folder)
    await world.open()
    return world


@asynccontextmanager
async def in_process(
    name: str, kafka: KafkaServer, redis: RedisServer, folder: Path
) -> AsyncIterator[tuple[World, Worker, asyncio.Task[None]]]:
    """Yield a world, and a worker that runs in this process until it is left."""
    world = await opened(name, kafka, redis, folder)
    worker, store, publisher = toy.worker(name, kafka.address, redis.url, {"session_seconds": 6.0})
    running = asyncio.create_task(worker.run())
    try:
        yield world, worker, running
    finally:
        worker.stop()
        await asyncio.gather(running, return_exceptions=True)
        await publisher.stop()
        await store.close()
        await world.close()


async def test_words_are_counted_once_by_two_workers_and_each_ends_within_seconds(
    kafka_server: KafkaServer, redis_server: RedisServer, own_name: str, tmp_path: Path
) -> None:
    world = await opened(own_name, kafka_server, redis_server, tmp_path)
    try:
        await world.send(10)
        first, second = world.start(), world.start()
        await world.joined(first, second)
        await world.send(10)
        await world.all_seen()
        assert await world.stop(first) < 10
        await world.send(5)
        await world.all_seen()
        assert await world.stop(second) < 10
        await world.all_stored()
    finally:
        await world.close()


async def test_a_worker_killed_in_mid_stream_loses_nothing_and_counts_nothing_twice(
    kafka_server: KafkaServer, redis_server: RedisServer, own_name: str, tmp_path: Path
) -> None:
    world = await opened(own_name, kafka_server, redis_server, tmp_path)
    try:
        other = world.start()
        for _ in range(3):
            worker = world.start()
            await world.joined(worker)
            before = world.sent.total()
            await world.send(15)
            await world.see(before + EVERY)
            worker.kill()
            worker.wait()
        await world.all_seen()
        await world.stop(other)
        await world.all_stored()
    finally:
        await world.close()


async def test_all_workers_killed_at_once_go_on_where_the_store_is(
    kafka_server: KafkaServer, redis_server: RedisServer, own_name: str, tmp_path: Path
) -> None:
    world = await opened(own_name, kafka_server, redis_server, tmp_path)
    try:
        for _ in range(3):
            pair = world.start(), world.start()
            await world.joined(*pair)
            before = world.found.total()
            await world.send(15)
            await world.see(before + 3 * EVERY)
            for worker in pair:
                worker.kill()
                worker.wait()
        last = world.start()
        await world.all_seen()
        await world.stop(last)
        await world.all_stored()
    finally:
        await world.close()


async def test_a_worker_that_joins_and_leaves_changes_nothing(
    kafka_server: KafkaServer, redis_server: RedisServer, own_name: str, tmp_path: Path
) -> None:
    world = await opened(own_name, kafka_server, redis_server, tmp_path)
    try:
        stays = world.start()
        for _ in range(3):
            before = world.sent.total()
            await world.send(10)
            joins = world.start()
            await world.joined(joins)
            await world.send(10)
            await world.see(before + 10 * EVERY * PARTITIONS)
            await world.stop(joins)
        await world.all_seen()
        await world.stop(stays)
        await world.all_stored()
    finally:
        await world.close()


async def test_what_was_fetched_and_never_reached_the_stage_is_fetched_again(
    kafka_server: KafkaServer,
    redis_server: RedisServer,
    own_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Even when nothing follows it: so much is needed before the gap in the offsets would show."""
    monkeypatch.setattr(worker_module, "_STILL_SECONDS", 1.0)
    lost: set[TP] = set()

    class Losing(Worker):
        async def _work(self, chunk: Chunk) -> None:
            if chunk.tp not in lost:
                lost.add(chunk.tp)
                return
            await super()._work(chunk)

    monkeypatch.setattr(toy, "Worker", Losing)
    async with in_process(own_name, kafka_server, redis_server, tmp_path) as (world, _, running):
        await world.send(2)
        await world.all_seen()
        assert len(lost) == PARTITIONS + 2 + 1
        assert not running.done()


async def test_what_trickles_in_comes_in_few_chunks(
    kafka_server: KafkaServer,
    redis_server: RedisServer,
    own_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A chunk costs milliseconds however little is in it."""
    chunks: list[Chunk] = []

    class Noting(Worker):
        async def _work(self, chunk: Chunk) -> None:
            chunks.append(chunk)
            await super()._work(chunk)

    monkeypatch.setattr(toy, "Worker", Noting)
    async with in_process(own_name, kafka_server, redis_server, tmp_path) as (world, _, _):
        await world.send(1)
        await world.all_seen()
        chunks.clear()
        began = time.monotonic()
        for _ in range(EVERY):
            await world.trickle()
            await asyncio.sleep(0.02)
        await world.all_seen()
        lasted_ms = 1000 * (time.monotonic() - began)
    mine = [chunk for chunk in chunks if chunk.tp == TP(f"{own_name}-requests", 0)]
    assert sum(len(chunk.records) for chunk in mine) == EVERY
    assert len(mine) <= 2 + lasted_ms / _FETCH_WAIT_MS


async def test_a_worker_whose_fetches_have_died_gives_up_so_that_another_one_goes_on(
    kafka_server: KafkaServer,
    redis_server: RedisServer,
    own_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its heartbeats go on: to the group, and to itself by what a fetch said last, nothing is amiss."""
    monkeypatch.setattr(worker_module, "_STILL_SECONDS", 1.0)
    async with in_process(own_name, kafka_server, redis_server, tmp_path) as (world, worker, running):
        await world.send(2)
        await world.all_seen()
        thread = worker._consumer._thread
        thread.thread_loop.call_soon_threadsafe(thread._ensure_consumer()._fetcher._fetch_task.cancel)
        await world.send(2)
        with pytest.raises(Unavailable, match="and none of them come"):
            await asyncio.wait_for(running, 60.0)
        other = world.start()
        await world.all_seen()
        await world.stop(other)


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_while_redis_is_away_nothing_is_found_and_afterwards_everything_once(
    how: str,
    kafka_server: KafkaServer,
    redis_of_its_own: RedisServer,
    own_name: str,
    tmp_path: Path,
) -> None:
    world = await opened(own_name, kafka_server, redis_of_its_own, tmp_path)
    try:
        worker = world.start()
        await world.send(5)
        await world.all_seen()
        await world.send(10)
        await asyncio.to_thread(getattr(redis_of_its_own, how))
        found = world.found.total()
        await world.send(10)
        await world.see(world.sent.total(), patience_seconds=10, fail=False)
        assert found <= world.found.total() < world.sent.total()
        assert worker.poll() is None
        await asyncio.to_thread(redis_of_its_own.start)
        await world.all_seen()
        await world.stop(worker)
        await world.all_stored()
    finally:
        await world.close()


async def test_a_worker_that_starts_while_redis_is_away_says_so_and_ends(
    kafka_server: KafkaServer, redis_of_its_own: RedisServer, own_name: str, tmp_path: Path
) -> None:
    world = await opened(own_name, kafka_server, redis_of_its_own, tmp_path)
    try:
        await asyncio.to_thread(redis_of_its_own.stop)
        worker = world.start()
        assert await asyncio.to_thread(worker.wait, 30) != 0
        assert world.said(worker, "redis is unavailable")
    finally:
        await world.close()


async def test_a_zombie_is_fenced_and_then_works_again(
    kafka_server: KafkaServer, redis_server: RedisServer, own_name: str, tmp_path: Path
) -> None:
    world = await opened(own_name, kafka_server, redis_server, tmp_path)
    try:
        zombie = world.start()
        await world.send(5)
        await world.all_seen()
        await world.send(20)
        os.kill(zombie.pid, signal.SIGSTOP)
        heir = world.start()
        await world.all_seen()  # the heir owns every partition
        await world.send(20)
        os.kill(zombie.pid, signal.SIGCONT)
        await world.send(20)
        await world.all_seen()
        await world.stop(heir)
        await world.send(5)
        await world.all_seen()  # the zombie is a member again, and alone
        await world.stop(zombie)
        await world.all_stored()
    finally:
        await world.close()


async def test_kafka_restarted_in_mid_stream_changes_nothing(
    redis_server: RedisServer, own_name: str, tmp_path: Path
) -> None:
    with servers.kafka(tmp_path / "kafka") as kafka:
        world = await opened(own_name, kafka, redis_server, tmp_path)
        try:
            worker = world.start()
            await world.send(10)
            await world.see(EVERY)
            await asyncio.to_thread(kafka.kill)
            await asyncio.to_thread(kafka.start)
            await world.send(10)
            await world.all_seen()
            await world.stop(worker)
            await world.all_stored()
        finally:
            await world.close()

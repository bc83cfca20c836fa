"""A worker on Kafka as users run it: transactions, compaction, retention, compression, many partitions."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from detector.errors import ConfigError
from detector.runtime import topics
from detector.runtime.servers import RedisServer
from detector.runtime.topics import Topic
from detector.runtime.worker import Worker
from detector.stores.redis import RedisStore
from tests.runtime import toy
from tests.runtime.toy import decoded
from tests.servers.secured import SecuredKafka

pytestmark = pytest.mark.asyncio

PATIENCE_SECONDS = 30.0


class Words:
    """A topic of words with a worker that counts them."""

    def __init__(self, kafka: SecuredKafka, redis: RedisServer, name: str) -> None:
        self.kafka, self.redis, self.name = kafka, redis, name
        self.topic = f"{name}-requests"
        self.sent: Counter[str] = Counter()

    async def make(self, partitions: int = 1, **settings: str) -> None:
        """Make the topics; `settings` of the requests topic in Kafka's words, `_` for `.`."""
        others = {"observations": 2, "candidates": 1, "findings": 1, "dead_letters": 1}
        made = [Topic(f"{self.name}-{role}", count) for role, count in others.items()]
        await asyncio.to_thread(topics.create, self.kafka.address, made)
        configs = {name.replace("_", "."): value for name, value in settings.items()}
        await asyncio.to_thread(self.kafka.create, self.topic, partitions, configs)

    @asynccontextmanager
    async def producing(self, **settings: Any) -> AsyncIterator[AIOKafkaProducer]:
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka.address, **settings)
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def send(
        self,
        producer: AIOKafkaProducer,
        count: int,
        *,
        partition: int = 0,
        counts: bool = True,
        key: bytes | None = None,
        size: int = 0,
    ) -> None:
        """Send words in one go; those that nobody may read do not count."""
        words = [f"w{n}".ljust(size, "x") for n in range(count)]
        sent = [await producer.send(self.topic, w.encode(), key=key, partition=partition) for w in words]
        await asyncio.gather(*sent)
        if counts:
            self.sent.update(words)

    @asynccontextmanager
    async def counting(self, **settings: Any) -> AsyncIterator[Worker]:
        """Run a worker; what made it give up is raised at the end."""
        worker, store, publisher = toy.worker(
            self.name, self.kafka.address, self.redis.url, {"idle_seconds": 0.2, **settings}
        )
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await asyncio.wait([task], timeout=PATIENCE_SECONDS)
            await publisher.stop()
            await store.close()
        task.result()

    async def until(self, holds: Callable[[], bool], said: Callable[[], object] = str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, said()
            await asyncio.sleep(0.02)

    async def caught_up(self, worker: Worker, end: int, partition: int = 0) -> None:
        """Wait until the worker stands at the end of the log, without lag."""
        place = f"{self.topic}:{partition}"
        await self.until(lambda: worker.positions().get(place) == (end, 0), worker.positions)

    async def counted(self, partitions: int = 1) -> Counter[str]:
        """What the store holds."""
        store = RedisStore(self.redis.url, prefix=self.name)
        stored: Counter[str] = Counter()
        for partition in range(partitions):
            rows = await store.rows("accounts", partition)
            stored.update({key[1:]: decoded(row) for key, row in rows.items() if key.startswith("k")})
        await store.close()
        return stored

    async def left(self) -> list[int]:
        """The offsets that still have a record."""
        consumer = AIOKafkaConsumer(
            self.topic, bootstrap_servers=self.kafka.address, auto_offset_reset="earliest", enable_auto_commit=False
        )
        await consumer.start()
        try:
            (tp,) = consumer.assignment()
            end, offsets = (await consumer.end_offsets([tp]))[tp], []
            while await consumer.position(tp) < end:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    offsets += [record.offset for record in records]
            return offsets
        finally:
            await consumer.stop()

    async def configure(self, **settings: str) -> None:
        configs = {name.replace("_", "."): value for name, value in settings.items()}
        await asyncio.to_thread(self.kafka.configure, self.topic, configs)

    def make_anew(self) -> None:
        """Delete the topic and make it again, empty."""
        with self.kafka.administration() as admin:
            admin.delete_topics([self.topic])
        topics.create(self.kafka.address, [Topic(self.topic, 1)])

    async def delete_before(self, offset: int, partition: int = 0) -> None:
        """Do what retention does."""

        def delete() -> None:
            with self.kafka.administration() as admin:
                admin.delete_records({TopicPartition(self.topic, partition): offset})

        await asyncio.to_thread(delete)


def page(worker: Worker, metric: str) -> float:
    value = worker._recorder.registry.get_sample_value(metric, {"stage": "accounts"})
    assert value is not None
    return value


@pytest.fixture
def words(as_users_run_it: SecuredKafka, redis_server: RedisServer, own_name: str) -> Words:
    return Words(as_users_run_it, redis_server, own_name)


@asynccontextmanager
async def transaction(producer: AIOKafkaProducer, *, commits: bool) -> AsyncIterator[None]:
    await producer.begin_transaction()
    yield
    await (producer.commit_transaction() if commits else producer.abort_transaction())


# -- offsets without records ----------------------------------------------------------------------


async def test_what_a_transaction_aborted_is_not_counted_and_its_markers_are_no_lag(words: Words) -> None:
    await words.make()
    async with words.producing(transactional_id=words.name) as producer:
        for commits in (True, False, True, False):
            async with transaction(producer, commits=commits):
                await words.send(producer, 30, counts=commits)
    async with words.counting() as worker:
        await words.caught_up(worker, 4 * 31)  # each ends with a marker
        assert page(worker, "detector_lost_records_total") == 0
    assert await words.counted() == words.sent


async def test_an_open_transaction_is_waited_for_and_is_no_lag(words: Words) -> None:
    await words.make()
    async with words.producing(transactional_id=words.name) as producer, words.counting() as worker:
        async with transaction(producer, commits=True):
            await words.send(producer, 10)
            await words.caught_up(worker, 0)
        await words.caught_up(worker, 11)
    assert await words.counted() == words.sent


async def test_what_compaction_left_is_counted_once_up_to_the_end(words: Words) -> None:
    await words.make(
        cleanup_policy="compact",
        min_cleanable_dirty_ratio="0.01",
        max_compaction_lag_ms="1",
        segment_ms="100",
    )
    async with words.producing(max_batch_size=256) as producer:
        for _ in range(10):
            await words.send(producer, 50, counts=False, key=b"same")
        await words.send(producer, 50, counts=False, key=b"last")
        while len(left := await words.left()) > 300:
            await words.send(producer, 10, counts=False, key=b"last")  # which rolls the segment
    await words.configure(cleanup_policy="delete")
    left = await words.left()
    async with words.counting() as worker:
        await words.caught_up(worker, left[-1] + 1)
        assert page(worker, "detector_lost_records_total") == 0
    assert (await words.counted()).total() == len(left)


# -- retention ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [30, 0], ids=["something is left", "nothing is left"])
async def test_what_retention_removed_while_we_were_away_is_counted_as_lost_and_the_rest_is_read(
    words: Words, kept: int
) -> None:
    await words.make()
    async with words.producing() as producer:
        await words.send(producer, 40)
        async with words.counting() as worker:
            await words.caught_up(worker, 40)
        await words.send(producer, 60, counts=False)
        await words.delete_before(100 - kept)
        words.sent.update(f"w{n}" for n in range(60 - kept, 60))
        async with words.counting() as worker:
            await words.caught_up(worker, 100)
            assert page(worker, "detector_lost_records_total") == 60 - kept
            await words.send(producer, 10)
            await words.caught_up(worker, 110)
            assert page(worker, "detector_lost_records_total") == 60 - kept, "once"
    assert await words.counted() == words.sent


async def test_what_retention_removes_before_a_slow_worker_is_counted_as_lost_to_the_record(words: Words) -> None:
    await words.make()
    async with words.producing() as producer, words.counting(fetch_bytes=65_536) as worker:
        await words.send(producer, 10)
        await words.caught_up(worker, 10)
        async with worker.lanes[0].lock:  # it absorbs nothing now
            await words.send(producer, 4_000, size=1_000)
            await words.delete_before(4_000)
        await words.caught_up(worker, 4_010)
        lost = page(worker, "detector_lost_records_total")
    assert 500 < lost < 4_000
    assert (await words.counted()).total() + lost == 4_010


async def test_a_log_that_is_shorter_than_what_was_read_of_it_is_waited_for_and_told(words: Words) -> None:
    await words.make()
    async with words.producing() as producer, words.counting(metadata_seconds=0.2) as worker:
        await words.send(producer, 40)
        await words.caught_up(worker, 40)
        await asyncio.to_thread(words.make_anew)
        await words.send(producer, 10, counts=False)
        await words.until(lambda: "kafka" in worker.away)
    assert await words.counted() == words.sent


# -- compression ----------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_records_of_every_codec_are_read(words: Words, codec: str) -> None:
    await words.make()
    async with words.producing(compression_type=codec, linger_ms=50) as producer, words.counting() as worker:
        await words.send(producer, 500)
        await words.caught_up(worker, 500)
    assert await words.counted() == words.sent


@pytest.mark.parametrize("codec", ["snappy", "lz4", "zstd"])
async def test_a_codec_that_is_not_installed_stops_the_worker_which_says_what_to_install(
    words: Words, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await words.make()
    async with words.producing(compression_type=codec, linger_ms=50) as producer:
        await words.send(producer, 100)
    monkeypatch.setattr("aiokafka.codec.cramjam", None)
    with pytest.raises(ConfigError, match=rf"{words.topic}.*{codec}.*detector\[compression\]"):
        async with words.counting() as worker:
            await words.until(lambda: worker._ended is not None and worker._ended.done())


# -- partitions -----------------------------------------------------------------------------------


async def test_48_partitions_are_read_by_one_worker(words: Words) -> None:
    await words.make(48)
    async with words.producing() as producer:
        for partition in range(48):
            await words.send(producer, 1 + partition, partition=partition)
        async with words.counting() as worker:
            for partition in range(48):
                await words.caught_up(worker, 1 + partition, partition)
    assert await words.counted(48) == words.sent

"""A topic of words and a worker in this process that counts them: what the store holds at the end is what was sent."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from faust.types import TP

from detector.runtime import topics
from detector.runtime.publisher import KafkaPublisher
from detector.runtime.servers import RedisServer
from detector.runtime.topics import Topic
from detector.runtime.worker import Worker
from detector.stores.redis import RedisStore
from tests.runtime import toy
from tests.runtime.toy import decoded
from tests.servers.secured import SecuredKafka

PATIENCE_SECONDS = 30.0


async def until(holds: Callable[[], object], said: Callable[[], object] = str) -> None:
    """Wait until something holds; fail with what is said when it does not."""
    deadline, never = time.monotonic() + PATIENCE_SECONDS, asyncio.get_running_loop().create_future()
    while not holds():
        assert time.monotonic() < deadline, said()
        await asyncio.wait([never], timeout=0.02)


def ended(worker: Worker) -> bool:
    """Whether the worker has given up, or was told to."""
    return worker._ended is not None and worker._ended.done()


class Words:
    """A topic of words with a worker that counts them."""

    def __init__(self, kafka: SecuredKafka, redis: RedisServer, name: str) -> None:
        self.kafka, self.redis, self.name = kafka, redis, name
        self.topic, self.prefix = f"{name}-requests", name
        self.sent: Counter[str] = Counter()

    async def make(self, partitions: int = 1, **settings: str) -> None:
        """Make the topics; `settings` of the requests topic in Kafka's words, `_` for `.`."""
        await self.make_internal()
        configs = {name.replace("_", "."): value for name, value in settings.items()}
        await asyncio.to_thread(self.kafka.create, self.topic, partitions, configs)

    async def make_internal(self) -> None:
        """Make the topics that the worker writes."""
        counts = {"observations": 2, "candidates": 1, "findings": 1, "dead_letters": 1}
        made = [Topic(f"{self.prefix}-{role}", count) for role, count in counts.items()]
        await asyncio.to_thread(topics.create, self.kafka.address, made)

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

    def worker(self, **settings: Any) -> tuple[Worker, RedisStore, KafkaPublisher]:
        """A worker with its store and its publisher, not yet running."""
        settings = {"idle_seconds": 0.2, **settings}
        return toy.worker(self.name, self.kafka.address, self.redis.url, settings, self.prefix)

    @asynccontextmanager
    async def counting(self, **settings: Any) -> AsyncIterator[Worker]:
        """Run a worker; what made it give up is raised at the end."""
        worker, store, publisher = self.worker(**settings)
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await asyncio.wait([task], timeout=PATIENCE_SECONDS)
            await publisher.stop()
            await store.close()
        task.result()

    async def caught_up(self, worker: Worker, end: int, partition: int = 0) -> None:
        """Wait until the worker stands at the end of the log, without lag."""
        place = f"{self.topic}:{partition}"
        await until(lambda: worker.positions().get(place) == (end, 0), worker.positions)

    async def committed(self, worker: Worker, end: int, partition: int = 0) -> None:
        """Wait until the store knows that the worker stood there: a position that only memory has goes with it."""
        holding = worker._holdings[TP(self.topic, partition)]
        await until(lambda: holding.stored == end, lambda: holding.stored)

    async def counted(self, partitions: int = 1, stage: str = "accounts") -> Counter[str]:
        """What the store holds of a stage."""
        store = RedisStore(self.redis.url, prefix=self.prefix)
        stored: Counter[str] = Counter()
        for partition in range(partitions):
            rows = await store.rows(stage, partition)
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

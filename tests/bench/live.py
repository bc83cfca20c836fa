"""Kafka -> stage -> commit in records/s, beside a stock Faust agent that does the same: `python -m tests.bench.live`.

One process each, Apache Kafka and Redis on loopback, records of 100 bytes on 4 partitions, all of them
produced before the clock starts. The stage counts records and commits to Redis once a second; the stock
agent (`take(5000, within=0.2)`) counts them and commits nothing but Kafka's offsets. What is measured is
the time from the first record that arrives to the last.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop
from aiokafka import AIOKafkaProducer

from detector.runtime import servers, topics
from detector.runtime.feeds import RecordFeed
from detector.runtime.publisher import KafkaPublisher
from detector.runtime.worker import Worker, WorkerSettings
from detector.stores import Message
from detector.stores.redis import RedisStore
from tests.bench.contenders import stock_app
from tests.bench.settings import end_on_sigterm

PARTITIONS = 4
VALUE = b"x" * 100


class Counted:
    """How many came, and when the first and the last one did."""

    def __init__(self, records: int) -> None:
        self.left = records
        self.records = records
        self.began = 0.0
        self.done = asyncio.Event()

    def take(self, records: int) -> None:
        self.began = self.began or time.perf_counter()
        self.left -= records
        if self.left <= 0:
            self.done.set()

    async def rate(self) -> float:
        await self.done.wait()
        return self.records / (time.perf_counter() - self.began)


class Counting:
    """A stage that does as good as nothing."""

    name = "accounts"

    def __init__(self, counted: Counted) -> None:
        self.counted = counted
        self.total: dict[int, int] = {}

    def assign(self, partition: int, rows: dict[str, bytes]) -> None:
        self.total[partition] = int(rows.get("total", b"0"))

    def revoke(self, partition: int) -> None:
        del self.total[partition]

    def absorb(self, partition: int, values: list[bytes]) -> None:
        self.total[partition] += len(values)
        self.counted.take(len(values))

    def drain(self, partition: int) -> tuple[dict[str, bytes | None], list[Message]]:
        return {"total": b"%d" % self.total[partition]}, []

    def waiting(self, partition: int) -> bool:
        return False

    def clock_ms(self, partition: int) -> int:
        return -1


async def filled(brokers: str, records: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=brokers, linger_ms=20, max_batch_size=1 << 19)
    await producer.start()
    for n in range(records):
        await producer.send("requests", VALUE, partition=n % PARTITIONS)
    await producer.stop()


async def ours(brokers: str, redis: str, records: int) -> float:
    counted = Counted(records)
    store, publisher = RedisStore(redis), KafkaPublisher(brokers, {})
    settings = WorkerSettings(brokers=brokers, group="ours", commit_seconds=1.0)
    worker = Worker(settings, store, publisher, [RecordFeed(Counting(counted), "requests")])
    running = asyncio.create_task(worker.run())
    rate = await counted.rate()
    worker.stop()
    await running
    await store.close()
    return rate


async def stock(brokers: str, records: int) -> float:
    counted = Counted(records)
    app = stock_app(brokers)

    async def count(stream: Any) -> None:
        async for batch in stream.take(5000, within=0.2):
            counted.take(len(batch))

    app.agent(app.topic("requests", value_serializer="raw", value_type=bytes))(count)
    await app.start()
    rate = await counted.rate()
    await app.stop()
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--stock-records", type=int, default=60_000)
    given = parser.parse_args()
    end_on_sigterm()
    with (
        tempfile.TemporaryDirectory() as name,
        servers.redis(Path(name) / "redis") as redis,
        servers.kafka(Path(name) / "kafka") as kafka,
    ):
        topics.create(kafka.address, [topics.Topic("requests", PARTITIONS)])
        uvloop.run(filled(kafka.address, given.stock_records))
        slow = uvloop.run(stock(kafka.address, given.stock_records))
        uvloop.run(filled(kafka.address, given.records - given.stock_records))
        fast = uvloop.run(ours(kafka.address, redis.url, given.records))
    print(f"stock Faust agent, take(5000)   {slow:>10,.0f} records/s")
    print(f"batch transport, with commits   {fast:>10,.0f} records/s   {fast / slow:.0f} x")


if __name__ == "__main__":
    main()

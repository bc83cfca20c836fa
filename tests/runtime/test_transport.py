"""What a partition delivers is contiguous and whole, whenever its records were fetched."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from detector.runtime import unpacking
from detector.runtime.transport import SCHEME, Batches, Consumer, Records, Transport

ONE = TP("requests", 0)


@dataclass(frozen=True)
class Record:
    offset: int


class Fetching(Consumer):
    """The consumer above a log instead of a broker; `fetches` are (where from, how many) of each fetch.

    A fetch from elsewhere than the position was under way when a rebalance moved the position. The log ends at
    `end`: behind its last record there may be offsets without one, which a fetch passes over. The first `stopped`
    fetches return while Faust throws away what it is given (None: as the consumer itself has it).
    """

    def __init__(
        self, log: list[int], fetches: list[tuple[int | None, int]], stopped: int | None = 0, end: int = 0
    ) -> None:
        self.stopped, self._revocations = stopped, 0
        self._expected, self._holes, self._read_offset = {ONE: 0}, {}, {}
        self.app = SimpleNamespace(consumer_generation_id=1)
        self.log, self.fetches, self.at, self.end = log, list(fetches), 0, max([end, *(one + 1 for one in log)])
        self.gone_back: list[TP] = []
        self.on_gone_back = self.gone_back.append

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109
        if self.stopped is not None:
            self._flowing = self.stopped <= 0
            self.stopped -= 1
        start, count = self.fetches.pop() if self.fetches else (None, 3)
        found = [Record(offset) for offset in self.log if offset >= (self.at if start is None else start)]
        if start is None:
            self.at = found[count].offset if len(found) > count else self.end
        return {ONE: found[:count]}, None

    def _at(self, _: TP) -> int:
        return self.at

    async def _passed(self, *_: Any) -> bool:
        return True

    def assignment(self) -> set[TP]:
        return {ONE}

    async def _seek_to(self, offsets: Any) -> None:
        self.at = offsets[ONE]


@given(
    log=st.sets(st.integers(0, 40)).map(sorted),
    fetches=st.lists(st.tuples(st.none() | st.integers(0, 45), st.integers(1, 10)), max_size=12),
    stopped=st.integers(0, 3),
    end=st.integers(0, 45),
)
def test_a_partition_is_delivered_whole_in_order_and_to_its_end_whatever_was_fetched_when(
    log: list[int], fetches: list[tuple[int | None, int]], stopped: int, end: int
) -> None:
    async def everything() -> tuple[list[Any], Fetching]:
        consumer = Fetching(log, fetches, stopped, end)
        chunks = []
        for _ in range(len(fetches) + 2 * len(log) + 4 + stopped):
            given = [message.value async for _, message in consumer.getmany(0.0)]
            assert consumer._flowing or not given
            chunks += given
        return chunks, consumer

    chunks, consumer = asyncio.run(everything())
    assert [record.offset for chunk in chunks for record in chunk.records] == log
    assert [chunk.start for chunk in chunks] == [0, *(chunk.end for chunk in chunks)][: len(chunks)]
    assert (chunks[-1].end if chunks else 0) == consumer.end, "or there would be lag for ever"
    assert all(chunk.start < chunk.end for chunk in chunks)
    assert not consumer.gone_back


def test_a_log_that_ends_before_what_was_delivered_is_delivered_no_further_and_told() -> None:
    async def story() -> tuple[list[Any], Fetching]:
        consumer = Fetching([0, 1, 2], [])
        delivered = [message.value async for _, message in consumer.getmany(0.0)]
        consumer.log, consumer.at, consumer.end = [0, 1], 0, 2  # as aiokafka begins anew when its position is gone
        delivered += [message.value async for _, message in consumer.getmany(0.0)]
        return delivered, consumer

    chunks, consumer = asyncio.run(story())
    assert [record.offset for chunk in chunks for record in chunk.records] == [0, 1, 2]
    assert consumer.gone_back == [ONE]


def test_records_are_read_without_a_copy_of_each_and_are_the_same() -> None:
    """Also behind an offset in the middle of a batch, as after a seek."""
    batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 16)
    for number, (key, value) in enumerate([(b"a", b"1"), (None, b"2"), (b"c", None), (b"d", b"4")]):
        batch.append(number, 1, key, value, [("h", b"x")])
    data = bytes(batch.build())

    def parsed() -> PartitionRecords:
        return PartitionRecords(TopicPartition("requests", 0), MemoryRecords(data), [], 1, None, None, True, 0)

    copied, plain = parsed(), parsed()
    plain.__class__ = Records
    found = list(plain)
    assert [(r.offset, r.key, r.value) for r in found] == [(r.offset, r.key, r.value) for r in copied]
    assert not any(isinstance(record, ConsumerRecord) for record in found)
    assert plain.next_fetch_offset == copied.next_fetch_offset == 4


def fetched(data: bytes, offset: int, told: list[Any]) -> tuple[list[Any], int]:
    """The records of one fetch from `offset` on, and where the next one begins."""
    records = PartitionRecords(TopicPartition("requests", 0), MemoryRecords(data), [], offset, None, None, True, 0)
    records.__class__ = Records
    records._records, records.told = Batches(records._records), lambda *what: told.append(what)
    return list(records), records.next_fetch_offset


def test_a_fetch_of_many_batches_unpacks_to_little_more_than_one_may_and_what_cannot_be_is_passed_over() -> None:
    """Each of them is small, packed: of a fetch of 4 MB thousands would do."""
    batches, told, sizes = list[bytes](), list[Any](), (300_000, 300_000, 500_000, 2_000_000, 100_000, 900_000, 900_000)
    for base, size in enumerate(sizes):
        batch = DefaultRecordBatchBuilder(2, 4, 0, -1, -1, -1, 1 << 26)
        batch.append(0, 1, None, b"x" * size, [])
        built = bytearray(batch.build())
        built[:8] = base.to_bytes(8, "big")  # its offset is not part of what the checksum is of
        batches.append(bytes(built))
    unpacking.bound(1_000_000)
    try:
        at, found = 0, list[list[int]]()
        while at < len(sizes):
            records, at = fetched(b"".join(batches[at:]), at, told)
            found.append([len(record.value) for record in records])
    finally:
        unpacking.bound(64 << 20)
    assert [size for sizes in found for size in sizes] == [size for size in sizes if size <= 1_000_000]
    assert max(map(sum, found)) < 2_000_000
    assert told == [(TP("requests", 0), 3, 4)]


def test_nothing_is_delivered_of_a_partition_that_was_not_started() -> None:
    async def delivered() -> list[Any]:
        consumer = Fetching([1, 2, 3], [])
        consumer.stop_delivering(ONE)
        return [message async for _, message in consumer.getmany(0.0)]

    assert asyncio.run(delivered()) == []


def test_the_end_of_a_rebalance_that_another_one_overtook_sets_nothing_flowing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faust ends the first one all the same, with its queues still to be cleared at the end of the second."""

    async def nothing(*_: Any) -> None:
        pass

    monkeypatch.setattr(driver.Consumer, "on_partitions_revoked", nothing)
    monkeypatch.setattr(driver.Consumer, "resume_flow", lambda _: None)

    async def delivered(consumer: Fetching) -> list[Any]:
        return [message async for _, message in consumer.getmany(0.0)]

    async def story() -> None:
        consumer, taking_over = Fetching([0, 1, 2], [], stopped=None), asyncio.Event()

        async def take_over(_: frozenset[TP]) -> None:
            await taking_over.wait()
            consumer._expected[ONE] = 0

        consumer.on_assigned, consumer.on_revoked = take_over, nothing
        await consumer.on_partitions_revoked({ONE})
        first = asyncio.ensure_future(consumer.seek_to_committed())
        await asyncio.wait([first], timeout=0)
        await consumer.on_partitions_revoked({ONE})
        taking_over.set()
        await first
        consumer.resume_flow()
        assert await delivered(consumer) == []
        await consumer.seek_to_committed()
        assert await delivered(consumer) == [], "not before the flow is resumed"
        consumer.resume_flow()
        assert len(await delivered(consumer)) == 1

    asyncio.run(story())


def test_a_broker_url_names_the_transport() -> None:
    app = faust.App("named", broker=f"{SCHEME}://localhost:9092", autodiscover=False)
    assert isinstance(app.transport, Transport)
    assert Transport.Consumer is Consumer

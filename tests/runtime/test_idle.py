"""Which partition is idle: only one of which the broker says, after the others came so far, that it holds nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
from faust.types import TP

from detector.errors import Unavailable
from detector.runtime.feeds import RecordFeed
from detector.runtime.holding import Holding
from detector.runtime.worker import Worker, WorkerSettings
from detector.stores.memory import MemoryStore
from tests.runtime.toy import Counting

pytestmark = pytest.mark.asyncio

BUSY, QUIET = TP("requests", 0), TP("requests", 1)
NEWEST_MS, LATENESS_MS = 10_000_000, 600_000


class Clocked(RecordFeed):
    """A feed with a clock for each partition."""

    follows = True

    def __init__(self) -> None:
        super().__init__(Counting("accounts", "observations", 1), "requests")
        self.clocks = {0: NEWEST_MS, 1: 0}

    def clock_ms(self, partition: int) -> int:
        return self.clocks[partition]

    def advance(self, partition: int, clock_ms: int) -> None:
        self.clocks[partition] = clock_ms


class Broker:
    """The worker's consumer: of QUIET every fetch so far brought nothing."""

    def __init__(self, end: int | None) -> None:
        self.end = end

    def lag(self, tp: TP, position: int | None) -> int:
        return 0

    def partitions(self, topic: str) -> range:
        return range(2)

    async def ends(self, partitions: Sequence[TP]) -> dict[TP, int]:
        if self.end is None:
            raise Unavailable("kafka", "out of reach")
        return dict.fromkeys(partitions, self.end)


class Unjoined(Worker):
    """A worker that has both partitions, at offset 7, and no group."""

    broker: Broker

    @property
    def _consumer(self) -> Any:
        return self.broker

    async def clock_of_the_quiet_one(self, end: int | None, *, busy_seconds_ago: float = 60.0) -> int:
        self.broker = Broker(end)
        await self._taken_over_by_hand()
        self._busy_at = {BUSY: time.monotonic(), QUIET: time.monotonic() - busy_seconds_ago}
        try:
            await self._followed(self.lanes[0])
        except Unavailable:
            assert end is None
        return self.lanes[0].feed.clock_ms(1)

    async def _taken_over_by_hand(self) -> None:
        for tp in (BUSY, QUIET):
            holding = self._holdings[tp] = Holding(self.lanes[0], tp.partition)
            await holding.take_over()
            holding.starts_at(7)
            self._started.add(tp)


@pytest.fixture
def worker() -> Unjoined:
    settings = WorkerSettings(brokers="nowhere:1", idle_seconds=5.0, lateness_ms=LATENESS_MS)
    return Unjoined(settings, MemoryStore(), None, [Clocked()])  # type: ignore[arg-type]


async def test_a_partition_that_holds_nothing_more_follows_the_newest_clock(worker: Unjoined) -> None:
    assert await worker.clock_of_the_quiet_one(end=7) == NEWEST_MS - LATENESS_MS


async def test_a_partition_with_records_that_no_fetch_brought_yet_does_not(worker: Unjoined) -> None:
    assert await worker.clock_of_the_quiet_one(end=8) == 0


async def test_a_partition_whose_broker_is_out_of_reach_does_not_however_empty_it_seems(worker: Unjoined) -> None:
    assert await worker.clock_of_the_quiet_one(end=None) == 0


async def test_a_partition_that_had_records_just_now_does_not(worker: Unjoined) -> None:
    assert await worker.clock_of_the_quiet_one(end=7, busy_seconds_ago=1.0) == 0

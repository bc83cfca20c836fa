"""The caretaker: what is due is committed, of all partitions together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from faust.types import TP

from detector.runtime.feeds import RecordFeed
from detector.runtime.holding import Holding
from detector.runtime.worker import Worker, WorkerSettings
from detector.stores import Commit
from detector.stores.memory import MemoryStore
from tests.runtime.test_holding import Away, Published
from tests.runtime.toy import EVERY, Words

pytestmark = pytest.mark.asyncio

PARTITIONS = 3


class Slow(MemoryStore):
    """Answers a commit when one of each partition has been asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.done = asyncio.Barrier(PARTITIONS), asyncio.Barrier(PARTITIONS + 1)

    async def commit(self, stage: str, partition: int, token: int, commit: Commit) -> int:
        await self.asked.wait()
        return await super().commit(stage, partition, token, commit)

    async def published(self, stage: str, partition: int, token: int, epoch: int) -> None:
        await super().published(stage, partition, token, epoch)
        await self.done.wait()


class Unjoined(Worker):
    """A worker that has all partitions, and no group."""

    @property
    def _consumer(self) -> Any:
        raise AssertionError

    async def begun(self) -> None:
        for partition in range(PARTITIONS):
            tp = TP("requests", partition)
            holding = self._holdings[tp] = Holding(self.lanes[0], partition)
            await holding.take_over()
            self.lanes[0].feed.stage.absorb(partition, [b"word"] * EVERY)  # type: ignore[attr-defined]
            holding.starts_at(0)
            holding._uncommitted = True  # as it is behind an `absorb`
            self._committed_at[tp] = 0.0
            self._started.add(tp)


async def test_partitions_whose_commits_are_due_do_not_wait_for_each_other() -> None:
    store, out = Slow(), Published(Away())
    feed = RecordFeed(Words("accounts", "observations", 1), "requests")
    worker = Unjoined(WorkerSettings(brokers="nowhere"), store, out, [feed])
    await worker.begun()
    care = asyncio.ensure_future(worker._care(worker.lanes[0]))
    await asyncio.wait_for(store.done.wait(), 20)
    care.cancel()
    assert sorted(message.key for message in out.messages) == ["0", "1", "2"]

"""What a worker makes of an assignment, and of one that is taken away."""

from __future__ import annotations

import asyncio

import pytest
from faust.types import TP

from detector.errors import ConfigError
from detector.runtime.feeds import RecordFeed
from detector.runtime.worker import Worker, WorkerSettings
from detector.stores import Claim, Commit
from detector.stores.memory import MemoryStore
from tests.runtime.toy import Counting

pytestmark = pytest.mark.asyncio

TOPIC, PARTITIONS = "observations", 6


class Broker:
    """The worker's consumer: it delivers nothing, and the broker says that the topic has so many partitions."""

    def __init__(self, told: int) -> None:
        self.told = told

    def partitions(self, topic: str) -> range:
        return range(self.told)

    def stop_delivering(self, tp: TP) -> None:
        pass

    async def start_at(self, tp: TP, offset: int | None) -> int:
        return offset or 0

    def lag(self, tp: TP, position: int | None) -> int:
        return 0


class Store(MemoryStore):
    """A store that takes its time for a commit."""

    def __init__(self) -> None:
        super().__init__()
        self.claims = 0
        self.asked, self.may = asyncio.Event(), asyncio.Event()

    async def claim(self, stage: str, partition: int) -> Claim:
        self.claims += 1
        return await super().claim(stage, partition)

    async def commit(self, stage: str, partition: int, token: int, commit: Commit) -> int:
        self.asked.set()
        await self.may.wait()
        return await super().commit(stage, partition, token, commit)


class Member(Worker):
    """A worker of a group that is this test."""

    def __init__(self, told: int) -> None:
        self.broker, self.store = Broker(told), Store()
        settings = WorkerSettings(brokers="nowhere:1", partitions={TOPIC: range(PARTITIONS, PARTITIONS + 1)})
        self.stage = Counting("links", "candidates", 1)
        feed = RecordFeed(self.stage, TOPIC)
        super().__init__(settings, self.store, None, [feed])  # type: ignore[arg-type]

    @property
    def _consumer(self) -> Broker:  # type: ignore[override]
        return self.broker

    async def assigned(self, *partitions: int) -> None:
        self._ended = asyncio.get_running_loop().create_future()
        await self._on_assigned(frozenset(TP(TOPIC, number) for number in partitions))


async def test_a_broker_that_does_not_say_yet_how_many_partitions_there_are_is_no_reason_to_give_up() -> None:
    """The share of this worker does not hold the last one, which is not to say that there is none."""
    member = Member(told=0)
    await member.assigned(0, PARTITIONS - 2)
    assert not member._ended.done()  # type: ignore[union-attr]
    assert member.counts == (2, 2)


@pytest.mark.parametrize(("told", "number"), [(PARTITIONS - 1, 0), (PARTITIONS + 1, 0), (0, PARTITIONS)])
async def test_another_number_of_partitions_is_a_reason(told: int, number: int) -> None:
    member = Member(told)
    await member.assigned(number)
    with pytest.raises(ConfigError, match="partitions, not 6"):
        await member._ended  # type: ignore[misc]
    assert member.counts == (0, 1), "nothing is read"


async def test_what_is_being_left_is_not_taken_over_meanwhile() -> None:
    """A revocation waits for the store, and the next look at what is missing comes meanwhile."""
    member = Member(told=PARTITIONS)
    await member.assigned(0)
    member._holdings[TP(TOPIC, 0)]._uncommitted = True
    leaving = asyncio.create_task(member._on_revoked(frozenset({TP(TOPIC, 0)})))
    await member.store.asked.wait()
    member._take_over()
    assert not member.ready
    member.store.may.set()
    await leaving
    await member.assigned(1)
    assert member.counts == (1, 1)
    assert set(member._started) == set(member._holdings) == {TP(TOPIC, 1)}
    assert member.store.claims == 2, "one of each"


async def test_who_learns_at_a_revocation_that_it_was_fenced_drops_what_it_holds_and_goes_on() -> None:
    """An ordinary end: the group gave the partition to another worker, which was quicker."""
    member = Member(told=PARTITIONS)
    member.store.may.set()
    await member.assigned(0, 1)
    fenced, other = (member._holdings[TP(TOPIC, number)] for number in (0, 1))
    fenced._uncommitted = other._uncommitted = True
    await member.store.claim("links", 0)
    await member._on_revoked(frozenset(member._holdings))
    assert not member._ended.done()  # type: ignore[union-attr]
    assert (fenced.position, fenced.dirty) == (None, False)
    assert (other.stored, other.dirty) == (0, False)
    await member.assigned(0, 1)
    assert member.counts == (2, 2)


@pytest.mark.parametrize("seconds", [0.0, 0.01, None])
async def test_an_assignment_that_nothing_revoked_before_leaves_nothing_started_that_it_does_not_hold(
    seconds: float | None,
) -> None:
    """Faust may tell of two in succession: before anything is taken over, while it is, or when it was (None)."""
    member = Member(told=PARTITIONS)
    may = asyncio.Event()
    claim = member.store.claim

    async def slow(stage: str, partition: int) -> Claim:
        await may.wait()
        return await claim(stage, partition)

    member.store.claim = slow  # type: ignore[method-assign]
    first = asyncio.create_task(member.assigned(0, 1, 2))
    if seconds is None:
        may.set()
        await first
        assert member.counts == (3, 3)
    else:
        await asyncio.sleep(seconds)
    second = asyncio.create_task(member.assigned(2))
    await asyncio.sleep(0)
    may.set()
    await asyncio.gather(first, second)
    member._take_over()
    await asyncio.sleep(0.01)
    assert member._started == {TP(TOPIC, 2)} == set(member._holdings)
    assert set(member.positions()) == {f"{TOPIC}:2"}
    assert set(member.stage.total) == {2}  # nor is anything in memory

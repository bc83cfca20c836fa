"""A partition in a worker's hands: whatever fails and whoever takes over, each record counts once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import Fenced, InputError, Unavailable
from detector.metrics import Recorder
from detector.runtime import holding as holding_module
from detector.runtime.feeds import RequestFeed
from detector.runtime.holding import DeadLetter, Feed, Holding, Lane, Quality, Taken
from detector.stages.accounts import AccountSettings, AccountStage
from detector.stores import Claim, Commit, Message
from detector.stores.memory import MemoryStore
from tests.runtime.toy import EVERY, WordFeed, Words, decoded


@dataclass(frozen=True)
class Record:
    offset: int
    value: bytes
    key: bytes | None = None


LOG = [Record(offset, f"w{offset * 7 % 23}".encode()) for offset in range(6 * EVERY)]


class Away:
    """Says `Unavailable` before or after doing what it is asked, as often as it is told to."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def before(self) -> None:
        if self.faults and self.faults[-1] == "before":
            self.faults.pop()
            raise Unavailable("redis")

    def after(self) -> None:
        if self.faults and self.faults[-1] == "after":
            self.faults.pop()
            raise Unavailable("redis")


class FlakyStore(MemoryStore):
    def __init__(self, away: Away) -> None:
        super().__init__()
        self.away = away

    async def claim(self, stage: str, partition: int) -> Claim:
        self.away.before()
        claim = await super().claim(stage, partition)
        self.away.after()
        return claim

    async def rows(self, stage: str, partition: int, keys: Sequence[str] | None = None) -> dict[str, bytes]:
        self.away.before()
        return await super().rows(stage, partition, keys)

    async def commit(self, stage: str, partition: int, token: int, commit: Commit) -> int:
        self.away.before()
        epoch = await super().commit(stage, partition, token, commit)
        self.away.after()
        return epoch

    async def published(self, stage: str, partition: int, token: int, epoch: int) -> None:
        self.away.before()
        await super().published(stage, partition, token, epoch)
        self.away.after()


class Published:
    def __init__(self, away: Away) -> None:
        self.away = away
        self.messages: list[Message] = []
        self.dead: list[DeadLetter] = []

    async def publish(self, messages: Sequence[Message], owned: Callable[[], Awaitable[None]]) -> None:
        self.away.before()
        self.messages += messages
        self.away.after()

    async def dead_letter(self, letters: Sequence[DeadLetter]) -> None:
        self.dead += letters


class World:
    """One store, one topic of results, and any number of workers that want the one partition."""

    def __init__(self, feed: type[WordFeed] = WordFeed, quality: Quality | None = None) -> None:
        self.away = Away()
        self.store = FlakyStore(self.away)
        self.out = Published(self.away)
        self.feed = feed
        self.quality = quality or Quality()
        self.workers = [self.worker(), self.worker()]

    def worker(self) -> Holding:
        feed: Feed = self.feed(Words("accounts", "observations", None), "requests")
        return Holding(Lane(feed, self.store, self.out, Recorder(), self.quality), 0)

    async def take(self, one: Holding) -> None:
        """Take over, from the log's beginning where nothing was ever committed."""
        await one.take_over()
        one.starts_at(0)

    async def absorb(self, one: Holding, records: int) -> None:
        at = one.position or 0
        if one.held and LOG[at : at + records]:
            await one.absorb(at, min(at + records, len(LOG)), LOG[at : at + records])

    async def finish(self) -> None:
        """Let a fresh worker take over and take the rest."""
        self.away.faults.clear()
        last = self.worker()
        await self.take(last)
        await self.absorb(last, len(LOG))
        await last.commit()

    async def outcome(self) -> tuple[Counter[str], list[bytes]]:
        """Return the words counted in the store, and what was told, each step once, in the order of first telling."""
        rows = await self.store.rows("accounts", 0)
        told = dict.fromkeys(message.value or b"" for message in self.out.messages)
        return Counter({key[1:]: decoded(row) for key, row in rows.items() if key != "meta"}), list(told)


async def undisturbed() -> tuple[Counter[str], list[bytes]]:
    world = World()
    await world.finish()
    return await world.outcome()


faults = st.lists(st.sampled_from(["before", "after", ""]), max_size=4)
who = st.integers(0, 1)
actions = st.one_of(
    st.tuples(st.just("take"), who, faults),
    st.tuples(st.just("absorb"), who, st.integers(1, 2 * EVERY)),
    st.tuples(st.just("commit"), who, faults),
    st.tuples(st.just("leave"), who, faults),
    st.tuples(st.just("crash"), who, st.none()),
)


@settings(max_examples=400, deadline=None)
@given(story=st.lists(actions, max_size=30))
def test_no_sequence_of_faults_and_owners_shows_in_the_outcome(story: list[tuple[str, int, Any]]) -> None:
    async def told() -> tuple[Counter[str], list[bytes]]:
        world = World()
        for action, number, detail in story:
            one = world.workers[number]
            world.away.faults = list(detail) if isinstance(detail, list) else []
            try:
                match action:
                    case "take":
                        await world.take(one)
                    case "absorb":
                        await world.absorb(one, detail)
                    case "commit":
                        await one.commit()
                    case "leave":
                        one.leave()
                        await one.settle()
                    case "crash":
                        world.workers[number] = world.worker()
            except Unavailable:
                pass
        await world.finish()
        return await world.outcome()

    retry, holding_module._RETRY_SECONDS = holding_module._RETRY_SECONDS, 0.0
    try:
        assert asyncio.run(told()) == asyncio.run(undisturbed())
    finally:
        holding_module._RETRY_SECONDS = retry


@pytest.mark.asyncio
async def test_a_partition_that_comes_back_untouched_goes_on_from_memory() -> None:
    world = World()
    one = world.workers[0]
    await world.take(one)
    await world.absorb(one, 10)
    one.leave()
    world.away.faults = ["before"]
    with pytest.raises(Unavailable):
        await one.settle()
    await world.take(one)
    assert one.position == 10
    await one.commit()
    assert (await world.store.claim("accounts", 0)).offset == 10


@pytest.mark.asyncio
async def test_rows_that_left_memory_with_a_commit_that_failed_are_stored_before_they_are_called_back() -> None:
    world = World()
    one = world.workers[0]
    await world.take(one)
    await world.absorb(one, 25)
    one.leave()
    world.away.faults = ["before"]
    with pytest.raises(Unavailable):
        await one.settle()
    await world.take(one)
    await world.absorb(one, 25)
    await one.commit()
    stored, _ = await world.outcome()
    assert stored == Counter(record.value.decode() for record in LOG[:50])


@pytest.mark.asyncio
async def test_a_partition_that_another_worker_wrote_is_read_anew() -> None:
    world = World()
    one, other = world.workers
    await world.take(one)
    await world.absorb(one, 10)
    one.leave()
    await world.take(other)
    await world.absorb(other, 30)
    await other.commit()
    await world.take(one)
    assert one.position == 30


@pytest.mark.asyncio
async def test_the_outbox_of_the_last_owner_is_published_before_anything_is_absorbed() -> None:
    world = World()
    one, other = world.workers
    await world.take(one)
    await world.absorb(one, EVERY)
    one.leave()
    world.store.away = Away()  # only the broker is away
    world.away.faults = ["before"]
    with pytest.raises(Unavailable):
        await one.settle()
    assert world.out.messages == []
    await world.take(other)
    assert len(world.out.messages) == 1
    assert (await world.store.claim("accounts", 0)).outbox == []


class Reminded(Words):
    """Finds something to tell in what the store has, as a stage does whose rules are others than they were."""

    def assign(self, partition: int, rows: dict[str, bytes]) -> None:
        super().assign(partition, rows)
        if rows:
            self.tell(partition, {"found": 1})


@pytest.mark.asyncio
async def test_what_a_stage_finds_in_its_rows_is_published_without_waiting_for_a_record() -> None:
    world = World()
    one, other = world.workers
    await world.take(one)
    await world.absorb(one, 10)
    await one.commit()
    assert world.out.messages == []
    other.stage = other.lane.feed.stage = Reminded("accounts", "observations", None)  # type: ignore[misc]
    await world.take(other)
    assert other.dirty
    await other.commit()
    assert len(world.out.messages) == 1
    claim = await world.store.claim("accounts", 0)
    assert (claim.offset, claim.outbox) == (10, [])


@pytest.mark.asyncio
async def test_a_fenced_holding_forgets_everything_and_writes_nothing() -> None:
    world = World()
    one, other = world.workers
    await world.take(one)
    await world.absorb(one, 10)
    await world.take(other)
    with pytest.raises(Fenced):
        await one.commit()
    assert not one.held
    assert one.position is None
    assert (await world.store.claim("accounts", 0)).offset is None


@pytest.mark.asyncio
async def test_records_before_the_position_are_passed_over_and_a_hole_is_refused() -> None:
    world = World()
    one = world.workers[0]
    await world.take(one)
    assert await one.absorb(0, 20, LOG[:20])
    assert await one.absorb(10, 30, LOG[10:30])
    assert not await one.absorb(31, 40, LOG[31:40])
    assert one.position == 30
    await one.commit()
    stored, _ = await world.outcome()
    assert stored.total() == 30


@pytest.mark.asyncio
async def test_offsets_without_records_move_the_position_and_are_committed() -> None:
    world = World()
    one = world.workers[0]
    await world.take(one)
    assert await one.absorb(0, 20, LOG[:20])
    assert await one.absorb(20, 27, [])
    await one.commit()
    assert (one.position, (await world.store.claim("accounts", 0)).offset) == (27, 27)


@pytest.mark.asyncio
async def test_records_absorbed_while_delivery_was_being_asked_for_are_not_taken_back() -> None:
    world = World()
    one = world.workers[0]
    await world.take(one)
    asked_for = one.position
    assert asked_for is not None
    await world.absorb(one, 20)
    one.starts_at(asked_for)
    assert one.position == 20


@pytest.mark.asyncio
async def test_a_holding_that_left_ends_its_waiting() -> None:
    world = World()
    one = world.workers[0]
    await world.take(one)
    await world.absorb(one, 10)
    world.away.faults = ["before"] * 1_000_000
    commit = asyncio.ensure_future(one.commit())
    while "redis" not in one.lane.away:
        await asyncio.wait([commit], timeout=0.01)
    one.leave()
    await asyncio.wait_for(commit, 5)
    assert one.dirty


class Rejecting(WordFeed):
    """Takes every record for a bad one."""

    def take(self, partition: int, records: Sequence[Any]) -> Taken:
        dead = [DeadLetter("invalid_json", "requests", partition, r.offset, 0, r.key, r.value) for r in records]
        return Taken((partition, []), 0, dead)


@pytest.mark.asyncio
async def test_bad_records_go_to_the_dead_letter_topic_and_the_stream_goes_on() -> None:
    world = World(Rejecting, Quality(least_records=1000))
    one = world.workers[0]
    await world.take(one)
    await world.absorb(one, 5)
    assert [letter.offset for letter in world.out.dead] == [0, 1, 2, 3, 4]
    assert one.position == 5


@pytest.mark.asyncio
async def test_when_most_records_are_bad_the_worker_stops_and_says_which_topic() -> None:
    world = World(Rejecting, Quality(least_records=20))
    one = world.workers[0]
    await world.take(one)
    with pytest.raises(InputError, match="'requests'"):
        await world.absorb(one, 50)
    assert (await world.store.claim("accounts", 0)).offset is None, "nothing of it is committed"


def test_a_few_bad_records_among_many_never_stop_the_worker() -> None:
    quality = Quality(most_bad_share=0.5, least_records=10)
    for _ in range(10_000):
        quality.count(good=2, bad=1, topic="requests")


DAY_MS = 86_400_000
BEGIN_MS = 1_770_000_000_000


class Requests:
    """A partition of the account stage, which forgets after two days, and its log."""

    def __init__(self) -> None:
        self.away = Away()
        self.store = FlakyStore(self.away)
        stage = AccountStage(AccountSettings(forget_days=2.0))
        feed = RequestFeed(stage, "requests", 0, Recorder())
        self.holding = Holding(Lane(feed, self.store, Published(self.away), Recorder(), Quality()), 0)
        self.end = 0

    async def ask(self, day: float, *accounts: str) -> None:
        time_ms = BEGIN_MS + int(day * DAY_MS)
        lines = [
            b'{"id":"%d","time_ms":%d,"account_id":"%s","model":"m"}' % (self.end + i, time_ms, name.encode())
            for i, name in enumerate(accounts)
        ]
        records = [Record(self.end + i, line) for i, line in enumerate(lines)]
        assert await self.holding.absorb(self.end, self.end + len(records), records)
        self.end += len(records)

    async def accounts(self) -> set[str]:
        return {key[1:] for key in await self.store.rows("accounts", 0) if key[0] == "a"}


@pytest.mark.asyncio
async def test_accounts_without_a_request_for_long_leave_the_store_with_a_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = Requests()
    await world.holding.take_over()
    world.holding.starts_at(0)
    for day in range(5):
        await world.ask(day, "b", "c", *["a"][day:])
        await world.holding.commit()
    assert await world.accounts() == {"a", "b", "c"}  # not looked at yet
    monkeypatch.setattr(holding_module, "_SWEEP_SECONDS", 0.0)
    await world.ask(5, "b", "c")
    world.away.faults = ["before"]  # the look has to wait, the commit has not
    await world.holding.commit()
    assert (await world.accounts(), world.holding.dirty) == ({"a", "b", "c"}, False)
    await world.ask(6, "b", "c")
    await world.holding.commit()
    assert await world.accounts() == {"b", "c"}

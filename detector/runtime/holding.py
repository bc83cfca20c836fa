"""One stage-partition in the hands of a worker: what makes every record count once.

    take_over:  claim ─► publish what the last owner left ─► rows ─► stage.assign ─► read from its offset
    absorb:     records ─► stage, in memory                                            │
    commit:     stage.drain ─► rows + next offset + outbox, in one write ─► publish ─► published

A crash before the write replays from the old offset over the old rows; after it, the next owner
publishes the same outbox again. A partition that comes back to the same worker after a rebalance,
with nobody's commit in between, goes on from memory: the store's epoch says so.

When the store or the broker is away a holding waits, and holds everything: it neither forgets nor
judges. Waiting ends with the answer, or with the partition leaving the worker (`leave`).

This file knows neither Faust nor Kafka's consumer: see live.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from detector.errors import Fenced, InputError, Unavailable
from detector.metrics import BATCH_SECONDS, COMMIT_SECONDS, DEAD_LETTERS, FENCED, Meter, Recorder
from detector.stages import Stage
from detector.stores import Commit, Message, Store, read_back

_RETRY_SECONDS: Final = 0.25
_SWEEP_SECONDS: Final = 5.0  # so often some rows of the store are looked at, whether they are to be forgotten
_SWEEP_ROWS: Final = 500
_CLOCK_ROW: Final = "~clock"
"""Where a commit leaves the partition's clock for workers that have idle partitions only. No stage reads it."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record, or a line of one, that is no event; `offset` is its record's."""

    reason: str
    topic: str
    partition: int
    offset: int
    line: int
    key: bytes | None
    value: bytes


class Publisher(Protocol):
    """Where messages go; both raise Unavailable, and may then have published a part."""

    async def publish(self, messages: Sequence[Message], owned: Callable[[], Awaitable[None]]) -> None:
        """Return when the broker has all of them, in this order per topic partition.

        `owned` raises Fenced when the partition that they come from is another worker's by now: for a publisher
        that shuts out who published before, and may be who was to be shut out.
        """

    async def dead_letter(self, letters: Sequence[DeadLetter]) -> None:
        """Return when the dead-letter topic has all of them."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Records made ready for a stage: `payload` is the stage's own, `events` how many it holds."""

    payload: Any
    events: int
    dead: list[DeadLetter]


class Feed(Protocol):
    """A stage, the topic that it reads, and how records of that topic become its input."""

    @property
    def stage(self) -> Stage:
        """The stage."""

    @property
    def topic(self) -> str:
        """The name of the topic on the broker."""

    @property
    def follows(self) -> bool:
        """Whether the clock of a partition without records has to follow the others."""

    def take(self, partition: int, records: Sequence[Any]) -> Taken:
        """Decode records of one partition; never raises for what is in a record that strangers write."""

    def wanted(self, payload: Any) -> list[str]:
        """Return the keys of rows that the payload needs and that have left memory."""

    @property
    def expires(self) -> bool:
        """Whether rows of the stage grow old."""

    def expire(self, partition: int, rows: dict[str, bytes]) -> None:
        """Let the stage see some rows of the store: its next drain deletes those that it does not need any more."""

    def absorb(self, partition: int, payload: Any, rows: dict[str, bytes]) -> None:
        """Give the payload to the stage, after the rows that it needs."""

    def clock_ms(self, partition: int) -> int:
        """Return the event time that the partition has reached; -1: none yet."""

    def advance(self, partition: int, clock_ms: int) -> None:
        """Declare that nothing older than `clock_ms` will come to this idle partition."""


@dataclass(slots=True)
class Quality:
    """Share of bad records lately, to stop when it is absurd: a wrong format, not a bad client."""

    most_bad_share: float = 0.5
    least_records: int = 1000
    _good: int = 0
    _bad: int = 0

    def count(self, good: int, bad: int, topic: str) -> None:
        """Count; raise InputError when, over a thousand records or more, too many were bad."""
        self._good += good
        self._bad += bad
        counted = self._good + self._bad
        if counted < self.least_records:
            return
        if self._bad > self.most_bad_share * counted:
            raise InputError(
                f"{self._bad} of the last {counted} events of topic {topic!r} could not be read: "
                "the topic's wire format is not the configured one; see the dead-letter topic for the reasons"
            )
        if counted > 10 * self.least_records:
            self._good, self._bad = self._good // 2, self._bad // 2


class Lane:
    """What the holdings of one stage share: its feed, its lock, who is away."""

    def __init__(self, feed: Feed, store: Store, publisher: Publisher, recorder: Recorder, quality: Quality) -> None:
        self.feed = feed
        self.store = store
        self.publisher = publisher
        self.recorder = recorder
        self.quality = quality
        self.away: set[str] = set()  # the services that are being waited for
        # A drain may let rows of any partition leave memory, so it must not fall between the look
        # for what is missing and the absorbing.
        self.lock = asyncio.Lock()

    def waits(self, error: Unavailable) -> None:
        """Note a service that is away, and say so when that is news."""
        if error.service not in self.away:
            log.warning("waiting", stage=self.feed.stage.name, service=error.service, error=str(error))
        self.away.add(error.service)

    def goes_on(self) -> None:
        """Note that what was waited for is done."""
        if self.away:
            log.info("going_on", stage=self.feed.stage.name, services=sorted(self.away))
            self.away.clear()

    async def stored_clock_ms(self, partition: int) -> int:
        """Return a partition's clock as its owner committed it last; -1: none yet. Raises Unavailable."""
        rows = await self.store.rows(self.feed.stage.name, partition, [_CLOCK_ROW])
        with read_back(f"{self.feed.stage.name}:{partition}"):
            return int(rows.get(_CLOCK_ROW, b"-1"))


class Holding:
    """One (stage, partition) of this worker, from its first assignment on, over rebalances.

    `position` is the offset of the next record to absorb; None before the first take-over.
    `held` is true from a take-over until `leave`, a fence or a failure.
    """

    def __init__(self, lane: Lane, partition: int) -> None:
        self.lane = lane
        self.partition = partition
        self.stage = lane.feed.stage
        self.held = False
        self.position: int | None = None
        self.stored: int | None = None  # the offset of the last commit in the store, where known
        self._uncommitted = False
        self._token = 0
        self._epoch = -1  # of the last commit that is in memory; -1: the stage does not have this partition
        self._commit: Commit | None = None  # drained from the stage, not yet in the store
        self._outbox: list[Message] = []  # in the store, not yet published
        self._lock = asyncio.Lock()
        self._cursor = 0  # behind the rows that were looked at last, whether they are to be forgotten
        self._swept_at = time.monotonic()

    @property
    def _name(self) -> tuple[str, int]:
        return self.stage.name, self.partition

    # -- taking over, leaving -------------------------------------------------------------------

    async def take_over(self) -> None:
        """Claim the partition and be ready to absorb from `position`; raise Unavailable (try again)."""
        async with self._lock:
            if self.held:
                return
            claim = await self.lane.store.claim(*self._name)
            self._token = claim.token
            if claim.outbox:
                await self.lane.publisher.publish(claim.outbox, self._owned)
                await self.lane.store.published(*self._name, claim.token, claim.epoch)
                log.info("outbox_of_last_owner_published", stage=self.stage.name, messages=len(claim.outbox))
            self._outbox = []
            if self._epoch != claim.epoch:
                self._forget()
                rows = await self.lane.store.rows(*self._name)
                self.stage.assign(self.partition, rows)
                self._epoch, self.position = claim.epoch, claim.offset
                if self.stage.waiting(self.partition):  # what the journal of a worker with other rules brings by ours
                    log.info("told_by_other_rules", stage=self.stage.name, partition=self.partition)
                    self._uncommitted = True
            self.stored = claim.offset
            self.held = True

    def starts_at(self, offset: int) -> None:
        """Take the offset from which the partition is delivered, where the store knew none.

        Where there is a position it stays: records that were delivered before may have moved it meanwhile.
        """
        if self.position is None:
            self.position = offset

    def leave(self) -> None:
        """Absorb nothing more and end every wait: a rebalance begins, or the worker stops."""
        self.held = False

    async def settle(self) -> None:
        """Commit and publish what there is after `leave`, without waiting; raise Unavailable or Fenced."""
        async with self._lock:
            if self._epoch >= 0:
                await self._write(wait=False)

    def forget(self) -> None:
        """Free the memory: the partition is another worker's."""
        self.held = False
        self._forget()

    def _forget(self) -> None:
        if self._epoch >= 0:
            self.stage.revoke(self.partition)
        self._epoch, self.position, self._commit, self._outbox = -1, None, None, []
        self._uncommitted = False

    # -- work -----------------------------------------------------------------------------------

    async def absorb(self, start: int, end: int, records: Sequence[Any]) -> bool:
        """Take all records from offset `start` up to `end`; False when they do not continue `position`.

        Records before `position` are passed over: they are counted already. Waits for the store when
        rows are needed from it. Raises InputError when most of what comes is unreadable.
        """
        async with self._lock:
            if not self.held or self.position is None or start > self.position:
                return False
            if self._commit is not None:  # its rows may have left memory, and the store does not have them yet
                await self._write(wait=True)
                if self._gone():
                    return False
            fresh = (
                [record for record in records if record.offset >= self.position] if start < self.position else records
            )
            if not fresh:  # offsets without records: a hole in the log
                self.position, self._uncommitted = max(end, self.position), True
                return True
            taken = self.lane.feed.take(self.partition, fresh)
            if taken.dead:
                if not await self._waited(lambda: self.lane.publisher.dead_letter(taken.dead)):
                    return False
                for letter in taken.dead:
                    self.lane.recorder.add(DEAD_LETTERS, reason=letter.reason)
            self.lane.quality.count(taken.events, len(taken.dead), self.lane.feed.topic)
            async with self.lane.lock:
                if self._gone():  # while we waited, and perhaps forgotten by now
                    return False
                rows: dict[str, bytes] = {}
                keys = self.lane.feed.wanted(taken.payload)
                if keys and not await self._waited(lambda: self._recall(rows, keys)):
                    return False
                with self._timed(BATCH_SECONDS):
                    self.lane.feed.absorb(self.partition, taken.payload, rows)
            self.position = max(end, self.position)
            self._uncommitted = True
            return True

    def _gone(self) -> bool:
        return not self.held

    async def _recall(self, rows: dict[str, bytes], keys: list[str]) -> None:
        rows |= await self.lane.store.rows(*self._name, keys)

    def clock_ms(self) -> int:
        """Return the event time that the partition has reached; -1: none yet."""
        return self.lane.feed.clock_ms(self.partition) if self._epoch >= 0 else -1

    @property
    def dirty(self) -> bool:
        """Whether a commit would do anything."""
        return self._uncommitted or self._commit is not None or bool(self._outbox)

    @property
    def unpublished(self) -> int:
        """Messages that are in the store and not yet published."""
        return len(self._outbox)

    def waiting(self) -> bool:
        """Return whether a commit would publish something."""
        return self._epoch >= 0 and (bool(self._outbox) or self.stage.waiting(self.partition))

    async def advance(self, clock_ms: int) -> None:
        """Let an idle partition's clock follow the others."""
        async with self._lock:
            if self.held and self.clock_ms() < clock_ms:
                self.lane.feed.advance(self.partition, clock_ms)
                self._uncommitted = True

    async def commit(self) -> None:
        """Write what changed and publish it, waiting for store and broker while the partition is held."""
        async with self._lock:
            if self.held:
                await self._sweep()
                await self._write(wait=True)

    async def _sweep(self) -> None:
        """Look at some more rows of the store now and then; what is deleted is part of the commit that follows."""
        due = self.lane.feed.expires and time.monotonic() - self._swept_at >= _SWEEP_SECONDS
        if not due or self._commit is not None or not self._uncommitted:
            return
        self._swept_at = time.monotonic()
        with contextlib.suppress(Unavailable):  # it can wait
            self._cursor, rows = await self.lane.store.some_rows(*self._name, self._cursor, _SWEEP_ROWS)
            async with self.lane.lock:
                if not self._gone():
                    self.lane.feed.expire(self.partition, rows)

    async def _write(self, *, wait: bool) -> None:
        try:
            while True:
                if self._outbox and not await self._tried(self._publish, wait=wait):
                    return
                if self._commit is None:
                    async with self.lane.lock:
                        if not self._uncommitted or self.position is None:
                            return
                        rows, outbox = self.stage.drain(self.partition)
                        if self.lane.feed.follows:
                            rows[_CLOCK_ROW] = b"%d" % self.clock_ms()
                        self._commit = Commit(offset=self.position, rows=rows, outbox=outbox)
                        self._uncommitted = False
                if not await self._tried(self._store, wait=wait):
                    return
        except Fenced:
            self.lane.recorder.add(FENCED)
            log.warning("fenced", stage=self.stage.name, partition=self.partition)
            self.forget()
            raise

    async def _store(self) -> None:
        assert self._commit is not None
        with self._timed(COMMIT_SECONDS):
            self._epoch = await self.lane.store.commit(*self._name, self._token, self._commit)
        self.stored = self._commit.offset
        self._outbox, self._commit = self._commit.outbox, None

    async def _publish(self) -> None:
        await self.lane.publisher.publish(self._outbox, self._owned)
        await self.lane.store.published(*self._name, self._token, self._epoch)
        self._outbox = []

    async def _owned(self) -> None:
        await self.lane.store.owned(*self._name, self._token)

    async def _tried(self, work: Callable[[], Awaitable[None]], *, wait: bool) -> bool:
        if wait:
            return await self._waited(work)
        await work()
        return True

    async def _waited(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do it, again and again while a service is away; False when the partition left meanwhile."""
        while self.held:
            try:
                await work()
            except Fenced:
                raise
            except Unavailable as error:
                self.lane.waits(error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self.lane.goes_on()
                return self.held
        return False

    @contextlib.contextmanager
    def _timed(self, meter: Meter) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.lane.recorder.observe(meter, time.perf_counter() - began, stage=self.stage.name)

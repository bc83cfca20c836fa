"""One worker: three stages as Faust agents, joined by Kafka topics, their state in a store.

    llm.requests.v1 ──► RequestFeed ─► accounts ──► detector-observations ──► links ──► detector-candidates
                                                                                 campaigns ◄──┘ ──► findings, verdicts

A worker is one process with all three agents, one actor each. Kafka's consumer group deals the
partitions out; a `Holding` per stage-partition sees to it that every record counts once
(holding.py); `transport.py` brings records in chunks from the offsets of the store. What is here:

- *assignment*: claim every partition that is ours now, start it at its offset. One whose store is away
  is tried again by the caretaker, and nothing of it is delivered until then.
- *revocation*: stop absorbing, commit and publish what there is within a time limit, keep the memory: a
  partition that comes back unchanged goes on from there.
- *the caretaker* of each stage commits what is due; another task moves the clocks of idle partitions.
- *the account topic* is read wholly before the first record is judged, then followed.

When Redis or Kafka is away the agents wait inside a holding, Faust's bounded queues fill, and fetching
stops: that is the back-pressure.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import faust
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from detector.errors import ConfigError, Fenced, Unavailable
from detector.metrics import DROPPED, LAG, LOST, OUTBOX, SNAPSHOT_AGE, WATERMARK_DELAY, Recorder
from detector.runtime import unpacking
from detector.runtime.access import explained
from detector.runtime.holding import Feed, Holding, Lane, Publisher, Quality
from detector.runtime.transport import SCHEME, Chunk, Chunks, Consumer
from detector.stores import Store

_ROUND_SECONDS: Final = 0.05  # how often a caretaker looks
_FOLLOW_SECONDS: Final = 0.5  # how often the clocks of idle partitions move
_TELL_SECONDS: Final = 5.0
_TAKE_OVER_SECONDS: Final = 20.0  # a rebalance waits so long for the store, then goes on without it
_SETTLE_SECONDS: Final = 5.0  # a revocation or stop takes no longer for commits and publication
_STOP_SECONDS: Final = 15.0
_STILL_SECONDS: Final = 10.0  # a partition with records of which none come is started anew
_MOST_REVIVALS: Final = 3  # without a record, then the worker gives up: what fetches is dead, and heartbeats go on
_QUEUED_CHUNKS: Final = 16  # between fetching and a stage, over all of its partitions

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker needs to know of its surroundings.

    `commit_seconds`: state is committed so often; with something to publish, after `publish_seconds`.
    `idle_seconds`: a partition without lag for so long lets its clock follow the newest of its topic, whoever
    owns that one, `lateness_ms` behind.
    `session_seconds`: the group takes a silent worker's partitions away after that.
    `instance`: static membership (a pod's name): a restart within the session does not rebalance.
    `metadata_seconds`: so soon a change of the topics (their partitions) is noticed.
    `partitions`: how many each topic may have; another number is a ConfigError, before anything of it is read.
    """

    brokers: str
    group: str = "detector"
    accounts_topic: str | None = None
    commit_seconds: float = 5.0
    publish_seconds: float = 0.2
    idle_seconds: float = 5.0
    lateness_ms: int = 600_000
    session_seconds: float = 20.0
    instance: str | None = None
    fetch_bytes: int = 4 << 20
    unpacked_bytes: int = 64 << 20
    metadata_seconds: float = 30.0
    partitions: Mapping[str, range] = field(default_factory=dict)
    most_bad_share: float = 0.5
    bad_share_of: int = 1000
    credentials: Any = None  # Faust's
    security: Mapping[str, Any] = field(default_factory=dict)  # aiokafka's


class _App(faust.App):
    """A Faust app that keeps nothing on disk."""

    def _create_directories(self) -> None:
        """Nothing: there are no tables."""


class Worker:
    """One worker. `run` returns after `stop`; it raises what made it give up."""

    def __init__(
        self,
        settings: WorkerSettings,
        store: Store,
        publisher: Publisher,
        feeds: Sequence[Feed],
        learn: Callable[[list[bytes | None]], None] | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """`learn` takes the values of records of the account topic."""
        self.settings = settings
        self._recorder = recorder or Recorder()
        quality = Quality(settings.most_bad_share, settings.bad_share_of)
        self.lanes = [Lane(feed, store, publisher, self._recorder, replace(quality)) for feed in feeds]
        self._store = store
        self._learn = learn
        self._lane_of = {lane.feed.topic: lane for lane in self.lanes}
        self._holdings: dict[TP, Holding] = {}
        self._started: set[TP] = set()
        self._assigned: frozenset[TP] = frozenset()
        self._taking: asyncio.Task[None] | None = None
        self._fenced_at: dict[TP, float] = {}
        self._committed_at: dict[TP, float] = {}
        self._busy_at: dict[TP, float] = {}
        self._elsewhere: dict[str, tuple[float, int]] = {}  # when other workers' newest clock was looked up, and it
        self._absorbing: set[str] = set()  # the topics whose agent has a chunk in hand
        self._stands: dict[TP, tuple[int | None, float]] = {}  # where a partition stands, and since when
        self._revived: dict[TP, tuple[int | None, int]] = {}  # where it stood when it was started anew, how often
        self._told: set[TP] = set()
        self._unpackable: dict[TP, int] = {}  # behind the last batch that could not be unpacked
        self._joined = False
        self._ended: asyncio.Future[None] | None = None
        self._app = self._built()

    # -- running --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until `stop`. Raises Unavailable when store or broker are away at the start, and what was fatal."""
        self._ended = asyncio.get_running_loop().create_future()
        tasks: list[asyncio.Task[None]] = []
        settle = False
        try:
            await self._store.ping()
            if self.settings.accounts_topic and self._learn:
                reader = await self._accounts_read(self.settings.accounts_topic)
                tasks.append(self._spawned(self._accounts_followed(reader, self.settings.accounts_topic)))
            self._consumer.on_assigned, self._consumer.on_revoked = self._on_assigned, self._on_revoked
            self._consumer.on_lost, self._consumer.on_gone_back = self._on_lost, self._restart
            self._consumer.on_unpackable = self._on_unpackable
            unpacking.bound(self.settings.unpacked_bytes)
            await self._app.start()
            if not self._ended.done():  # a topic may have been refused by now
                tasks += [self._spawned(self._care(lane)) for lane in self.lanes]
                tasks += [self._spawned(self._follow(lane)) for lane in self.lanes if lane.feed.follows]
                tasks += [self._spawned(self._watch()), self._spawned(self._tell())]
            await self._ended
            settle = True
        finally:
            await self._left(settle=settle)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._app.stop(), _STOP_SECONDS)

    def stop(self) -> None:
        """Finish: commit, publish, leave the group."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def _fail(self, error: BaseException) -> None:
        if self._ended is not None and not self._ended.done():
            log.error("worker_gives_up", error=str(error), kind=type(error).__name__)
            self._ended.set_exception(error)

    def _spawned(self, work: Awaitable[None]) -> asyncio.Task[None]:
        async def guarded() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001  # whatever it is, the worker must not go on without this task
                self._fail(error)

        return asyncio.get_running_loop().create_task(guarded())

    # -- for health and metrics -----------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether this worker is a member of the group, all topics are there, and it works on all that is assigned."""
        there = all(self._consumer.partitions(topic) for topic in self._lane_of) if self._joined else False
        return there and not self._app.rebalancing and self._started == self._assigned

    @property
    def counts(self) -> tuple[int, int]:
        """Partitions that it works on, and that are assigned to it, of all stages."""
        return len(self._started), len(self._assigned)

    @property
    def away(self) -> list[str]:
        """Services that it is waiting for."""
        return sorted(set().union(*(lane.away for lane in self.lanes)))

    def positions(self) -> Mapping[str, tuple[int, int]]:
        """Return the next offset of every partition that is worked on, and its lag in records; -1: not known yet."""
        found = {}
        for tp in sorted(self._started):
            position, lag = self._holdings[tp].position, self._lag(tp)
            found[f"{tp.topic}:{tp.partition}"] = position or 0, -1 if lag is None else lag
        return found

    def _lag(self, tp: TP) -> int | None:
        return self._consumer.lag(tp, self._holdings[tp].position)

    def measure(self, now_ms: int) -> None:
        """Set the gauges that are true at a time only; `now_ms` is the machine's clock."""
        recorder, now = self._recorder, time.monotonic()
        for tp in self._told - self._started:
            recorder.forget(LAG, stage=self._lane_of[tp.topic].feed.stage.name, partition=str(tp.partition))
        self._told = set(self._started)
        slowest: dict[str, int] = {}
        for tp in self._started:
            name, lag = self._lane_of[tp.topic].feed.stage.name, self._lag(tp)
            if lag is not None:
                recorder.set(LAG, lag, stage=name, partition=str(tp.partition))
            clock_ms = self._holdings[tp].clock_ms()
            if clock_ms >= 0:
                slowest[name] = min(clock_ms, slowest.get(name, clock_ms))
        for name, clock_ms in slowest.items():
            recorder.set(WATERMARK_DELAY, max(now_ms - clock_ms, 0) / 1000, stage=name)
        recorder.set(OUTBOX, sum(holding.unpublished for holding in self._holdings.values()))
        dirty = [self._committed_at[tp] for tp in self._started if self._holdings[tp].dirty]
        recorder.set(SNAPSHOT_AGE, max((now - at for at in dirty), default=0.0))

    # -- the group ------------------------------------------------------------------------------

    async def _on_assigned(self, assigned: frozenset[TP]) -> None:
        self._assigned = frozenset(tp for tp in assigned if tp.topic in self._lane_of)
        for tp in set(self._holdings) - self._assigned:  # after an assignment that nothing revoked some are started
            self._consumer.stop_delivering(tp)
            self._started.discard(tp)
            self._holdings.pop(tp).forget()
        for lane in self.lanes:
            lane.away.clear()  # whoever waited has left; taking over finds out anew
        self._joined = True
        try:
            self._check_partitions()
        except ConfigError as error:
            self._fail(error)
            return
        log.info("assigned", partitions=len(self._assigned), resumable=len(self._holdings))
        self._fenced_at.clear()
        self._take_over()
        if self._taking is not None:
            await asyncio.wait([self._taking], timeout=_TAKE_OVER_SECONDS)

    def _check_partitions(self) -> None:
        """Raise ConfigError when a topic has another number of partitions than it may; wait for one that is missing.

        A topic that grew spreads its accounts anew, so this is for a person to decide. Nothing of the new
        partitions was read, and what was read of the others is committed (`_on_revoked`).
        """
        for lane in self.lanes:
            topic = lane.feed.topic
            told = len(self._consumer.partitions(topic))  # 0 also where a broker that just began did not say
            numbers = [tp.partition + 1 for tp in self._assigned if tp.topic == topic]
            found = max([told, *numbers])  # an assignment may know more than we; but it is not all of the topic
            wanted = self.settings.partitions.get(topic)
            if not found:
                lane.waits(Unavailable("kafka", f"there is no topic {topic!r}: run `detector topics create`"))
            elif wanted is not None and found not in wanted and (told or found >= wanted.stop):
                setting = "topics.partitions" if lane is self.lanes[0] else "topics.link_partitions"
                raise ConfigError(
                    setting,
                    f"topic {topic!r} has {found} partitions, not {wanted.start}; nothing was read of those that are "
                    "not expected. 'More partitions' in deploy/README.md says how to go on and what that means",
                )

    def _take_over(self) -> None:
        """Begin to take over what is assigned and not started, unless that is under way."""
        if self._taking is not None and not self._taking.done():
            return
        now = time.monotonic()
        missing = [
            tp
            for tp in sorted(self._assigned - self._started)
            if now - self._fenced_at.get(tp, -1e9) > 2 * self.settings.session_seconds
        ]
        if missing:
            self._taking = self._spawned(self._taken_over(missing))

    async def _taken_over(self, missing: Sequence[TP]) -> None:
        async def one(tp: TP) -> None:
            if tp not in self._assigned:
                return
            holding = self._holdings.setdefault(tp, Holding(self._lane_of[tp.topic], tp.partition))
            try:
                await holding.take_over()
                offset = await self._consumer.start_at(tp, holding.position)
            except Unavailable as error:
                log.warning("take_over_waits", topic=tp.topic, partition=tp.partition, error=str(error))
                holding.lane.waits(error)
                return
            if self._holdings.get(tp) is not holding:  # another assignment came meanwhile, without it
                self._consumer.stop_delivering(tp)
                holding.forget()
                return
            holding.lane.goes_on()
            holding.starts_at(offset)
            self._busy_at[tp] = self._committed_at[tp] = time.monotonic()
            self._started.add(tp)

        await asyncio.gather(*(one(tp) for tp in missing))

    async def _on_revoked(self, revoked: frozenset[TP]) -> None:
        log.info("revoked", partitions=len(revoked))
        await self._left(settle=True)

    def _on_lost(self, tp: TP, records: int) -> None:
        self._recorder.add(LOST, records, stage=self._lane_of[tp.topic].feed.stage.name)

    def _on_unpackable(self, tp: TP, first: int, end: int) -> None:
        if first >= self._unpackable.get(tp, 0):  # else it was told before: what leaves a hole is read twice
            self._unpackable[tp] = end
            self._recorder.add(DROPPED, end - first, bound="batches")

    async def _left(self, *, settle: bool) -> None:
        """Stop absorbing everything; commit and publish as far as that goes now.

        Nothing is assigned from here on: else `_watch` would take over again what is being left.
        """
        self._assigned, self._joined = frozenset(), False
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.gather(self._taking, return_exceptions=True)
        holdings = [holding for holding in self._holdings.values() if holding.held]
        for tp, holding in self._holdings.items():
            self._consumer.stop_delivering(tp)
            holding.leave()
        self._started.clear()
        if settle and holdings:
            work = asyncio.gather(*(holding.settle() for holding in holdings), return_exceptions=True)
            try:
                for error in await asyncio.wait_for(work, _SETTLE_SECONDS):
                    if isinstance(error, Unavailable):
                        log.warning("left_unsettled", error=str(error))
                    elif isinstance(error, BaseException):
                        self._fail(error)
            except TimeoutError:
                log.warning("left_unsettled", error="time limit")

    def _fenced(self, tp: TP) -> None:
        """Drop the partition; claim it again when reassigned, or when nobody took it from us for long."""
        self._consumer.stop_delivering(tp)
        self._started.discard(tp)
        self._fenced_at[tp] = time.monotonic()

    # -- the work -------------------------------------------------------------------------------

    async def _work(self, chunk: Chunk) -> None:
        holding = self._holdings.get(chunk.tp)
        if holding is None or chunk.tp not in self._started:
            return
        self._absorbing.add(chunk.tp.topic)
        try:
            if await holding.absorb(chunk.start, chunk.end, chunk.records):
                self._busy_at[chunk.tp] = time.monotonic()
            elif holding.held and chunk.tp in self._started:
                self._restart(chunk.tp)
        except Fenced:
            self._fenced(chunk.tp)
        except Exception as error:  # noqa: BLE001  # Faust would restart the actor and go on behind the record
            self._fail(error)
        finally:
            self._absorbing.discard(chunk.tp.topic)

    async def _care(self, lane: Lane) -> None:
        while True:
            await asyncio.sleep(_ROUND_SECONDS)
            # together: a commit waits half a dozen times, and each time for whatever batch is being absorbed
            await asyncio.gather(*(self._cared(tp) for tp in sorted(self._started) if tp.topic == lane.feed.topic))

    async def _tell(self) -> None:
        """Tell Kafka where the store stands; aiokafka tries for as long as the coordinator is away, and we do not."""
        while True:
            await asyncio.sleep(_TELL_SECONDS)
            held = {tp: self._holdings[tp].stored for tp in self._started}
            offsets = {tp: offset for tp, offset in held.items() if offset is not None}
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._consumer.tell_progress(offsets), _TELL_SECONDS)

    async def _cared(self, tp: TP) -> None:
        holding = self._holdings.get(tp)
        if holding is None or not holding.held:
            return
        now, settings = time.monotonic(), self.settings
        try:
            since = now - self._committed_at[tp]
            due = since >= settings.commit_seconds or (since >= settings.publish_seconds and holding.waiting())
            if due and holding.dirty:
                await holding.commit()
                self._committed_at[tp] = time.monotonic()
        except Fenced:
            self._fenced(tp)

    async def _follow(self, lane: Lane) -> None:
        """Let the clocks of idle partitions follow the newest one of their topic.

        First the newest clock, then the question whether a partition holds nothing more: what it was given before
        others came so far is in the answer. What a fetch said last will not do: to a worker that cannot
        reach the broker every partition seems empty, while the others go on.
        """
        while True:
            await asyncio.sleep(_FOLLOW_SECONDS)
            with contextlib.suppress(Unavailable, TimeoutError):
                await asyncio.wait_for(self._followed(lane), self.settings.session_seconds)

    async def _followed(self, lane: Lane) -> None:
        idle_since = time.monotonic() - self.settings.idle_seconds
        idle = {
            tp: self._holdings[tp]
            for tp in sorted(self._started)
            if tp.topic == lane.feed.topic and self._busy_at[tp] <= idle_since and self._lag(tp) == 0
        }
        if not idle:
            return
        clock_ms = await self._newest_ms(lane) - self.settings.lateness_ms
        behind = [tp for tp, holding in idle.items() if holding.held and holding.clock_ms() < clock_ms]
        if behind:
            for tp, end in (await self._consumer.ends(behind)).items():
                if tp in self._started and self._busy_at[tp] <= idle_since and end == idle[tp].position:
                    await idle[tp].advance(clock_ms)

    async def _newest_ms(self, lane: Lane) -> int:
        """Return the newest clock of the stage: here as it is, elsewhere as it was committed and lately seen."""
        topic, now = lane.feed.topic, time.monotonic()
        here = {tp.partition: one for tp, one in self._holdings.items() if tp.topic == topic and one.held}
        asked_at, elsewhere_ms = self._elsewhere.get(topic, (-1e9, -1))
        if now - asked_at >= self.settings.idle_seconds:
            others = set(self._consumer.partitions(topic)) - here.keys()
            with contextlib.suppress(Unavailable):  # the next commit says so, and waits
                stored = await asyncio.gather(*map(lane.stored_clock_ms, sorted(others)))
                elsewhere_ms = max(stored, default=elsewhere_ms)
            self._elsewhere[topic] = now, elsewhere_ms
        return max([elsewhere_ms, *(one.clock_ms() for one in here.values())])

    async def _watch(self) -> None:
        """Take over what could not be taken over before, or stands still; give up when Faust has."""
        while True:
            await asyncio.sleep(10 * _ROUND_SECONDS)
            if self._app.crashed:
                raise explained(self._app.crash_reason, self._lane_of)
            if not self._app.rebalancing:
                await self._start_what_stands_still()
                self._take_over()

    async def _start_what_stands_still(self) -> None:
        """Begin anew, from its position, every partition that has records and of which none come.

        Between the broker and us are two layers that may drop what they fetched when partitions change
        hands. If they do, that is a delay and a line in the log, and not a partition that is never read again.
        The broker is asked what there is: a fetcher that has died goes on saying what it heard last. One that is
        dead stays so, and then it is for another process to go on: Unavailable.
        """
        now, before, self._stands = time.monotonic(), self._stands, {}
        for tp in sorted(self._started):
            position = self._holdings[tp].position
            if tp.topic not in self._absorbing and not self._lane_of[tp.topic].away:
                stood_at, since = before.get(tp, (None, now))
                self._stands[tp] = position, since if stood_at == position else now
        still = [tp for tp, (_, since) in self._stands.items() if now - since >= _STILL_SECONDS]
        if not still:
            return
        try:
            ends = await asyncio.wait_for(self._consumer.ends(still), self.settings.session_seconds)
        except (Unavailable, TimeoutError):  # the broker is away; whoever fetches waits for it as well
            return
        for tp, end in ends.items():
            position, _ = self._stands.pop(tp)  # and is looked at again when it stands from now on
            if (
                tp not in self._started
                or position is None
                or self._holdings[tp].position != position
                or end <= position
            ):
                continue
            log.warning("stood_still", topic=tp.topic, partition=tp.partition, offset=position, end=end)
            stood_at, times = self._revived.get(tp, (None, 0))
            self._revived[tp] = position, times + 1 if stood_at == position else 1
            if self._revived[tp][1] > _MOST_REVIVALS:
                said = f"{tp.topic}:{tp.partition} has records from {position} to {end}, and none of them come"
                raise Unavailable("kafka", said)
            self._restart(tp)

    def _restart(self, tp: TP) -> None:
        """Deliver nothing of the partition until `_watch` starts it where it stands."""
        self._consumer.stop_delivering(tp)
        self._started.discard(tp)

    # -- the account topic ----------------------------------------------------------------------

    async def _accounts_read(self, topic: str) -> Any:
        """Read the account topic up to its present end; return the consumer that stands there."""
        reader = AIOKafkaConsumer(
            bootstrap_servers=self.settings.brokers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # when what is read next was deleted: go on with what is left
            isolation_level="read_committed",
            **self.settings.security,
        )
        try:
            await reader.start()
            numbers = await self._partitions_of(reader, topic)
            partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
            reader.assign(partitions)
            await reader.seek_to_beginning(*partitions)
            ends = await reader.end_offsets(partitions)
            records = 0
            while any([await reader.position(one) < ends[one] for one in partitions]):
                records += self._learned(await reader.getmany(timeout_ms=1000))
            log.info("account_topic_read", topic=topic, records=records)
        except KafkaError as error:
            await reader.stop()
            raise explained(error, [topic]) from error
        except Unavailable:
            await reader.stop()
            raise
        return reader

    @staticmethod
    async def _partitions_of(reader: Any, topic: str) -> set[int]:
        await reader._client.force_metadata_update()  # noqa: SLF001  # the one way to ask without subscribing
        reader._client.add_topic(topic)  # noqa: SLF001
        await reader._client.force_metadata_update()  # noqa: SLF001
        numbers: set[int] | None = reader.partitions_for_topic(topic)
        if not numbers:
            raise Unavailable("kafka", f"there is no topic {topic!r}: run `detector topics create`")
        return numbers

    async def _accounts_followed(self, reader: Any, topic: str) -> None:
        try:
            while True:
                self._learned(await reader.getmany(timeout_ms=1000))
        except KafkaError as error:
            raise explained(error, [topic]) from error
        finally:
            await reader.stop()

    def _learned(self, found: Mapping[Any, Sequence[Any]]) -> int:
        values = [record.value for one in sorted(found) for record in found[one]]
        if values and self._learn is not None:
            self._learn(values)
        return len(values)

    # -- Faust ----------------------------------------------------------------------------------

    def _built(self) -> faust.App:
        settings = self.settings
        app = _App(
            settings.group,
            broker=[f"{SCHEME}://{one.strip()}" for one in settings.brokers.split(",")],
            broker_credentials=settings.credentials,
            broker_session_timeout=settings.session_seconds,
            broker_heartbeat_interval=settings.session_seconds / 5,
            broker_request_timeout=max(30.0, settings.session_seconds + _TAKE_OVER_SECONDS),
            broker_max_poll_interval=7 * 86_400.0,  # waiting for Redis is no reason to leave the group
            broker_commit_interval=3_600.0,  # there is nothing that Faust could commit
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=settings.fetch_bytes,
            consumer_metadata_max_age_ms=int(settings.metadata_seconds * 1000),
            consumer_group_instance_id=settings.instance,
            stream_buffer_maxsize=_QUEUED_CHUNKS,
            stream_wait_empty=False,
            stream_recovery_delay=0.0,
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
            autodiscover=False,
        )
        for lane in self.lanes:
            topic = app.topic(lane.feed.topic, schema=Chunks(), acks=False)
            app.agent(topic, name=f"detector.{lane.feed.stage.name}", concurrency=1)(self._agent())
        return app

    @property
    def _consumer(self) -> Consumer:
        return cast("Consumer", self._app.consumer)

    def _agent(self) -> Callable[[Any], Awaitable[None]]:
        async def work(stream: Any) -> None:
            async for chunk in stream:
                await self._work(chunk)

        return work

"""Faust at full speed: a transport whose messages are whole fetched chunks of a partition.

Faust's cost is per message. Here one message is all that a fetch brought for one partition, so
the cost is per chunk, and everything else of Faust stays: agents, the consumer group,
rebalancing, its threads and services. A broker URL `detector-batch://host:port` names it.

    aiokafka fetch ─► {partition: [record, record, …]} ─► one Chunk a partition ─► agent

Progress is ours, not Faust's (topics are declared with `acks=False`): a partition is delivered only
between `start_at(tp, offset)` and the next rebalance, and what is delivered is *contiguous from that
offset*. So it does not matter when a record was fetched. One that was fetched before a seek is cut
off or, when it would leave a hole, asked for again:

    expected 100, chunk  90..119   deliver 100..119
    expected 100, chunk 140..149   a stale fetch or a real hole in the log (compaction, retention, aborted
                                   transactions): seek to 100 and see; the same again is a hole
    expected 100, no chunk at 140  the same: a hole at the end of the log is one too, or lag would never end

Offsets behind the last record of a chunk that aiokafka passed over (transaction markers) belong to the chunk.
Of a hole, what lies before the log's beginning is lost: retention was faster than us. It is told (`on_lost`),
record by record. Transactions that were aborted are not read, and those that are open not yet.

From the beginning of a rebalance until all partitions are taken over, Faust throws away what it is
given. A fetch that was under way then may bring records of a partition that is started already:
they are not given to Faust, and asked for again. Nor may the end of a rebalance that another one
overtook set records flowing: Faust clears its queues once more at the end of the later one.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, TypeVar

import faust
import structlog
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.errors import IllegalStateError, KafkaError, KafkaTimeoutError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import TRANSPORTS, aiokafka
from faust.types import TP, ConsumerMessage

from detector.errors import Unavailable
from detector.runtime import unpacking
from detector.runtime.unpacking import Unpackable

SCHEME: Final = "detector-batch"

_IDLE_SECONDS: Final = 0.05
_ANSWER_SECONDS: Final = 60.0  # aiokafka asks again and again for some things, and a thread may be dead
_FETCH_WAIT_MS: Final = 200
_FETCH_LEAST_BYTES: Final = 1 << 20
"""The broker holds a fetch until there is so much, but no longer than that. A chunk costs some milliseconds however few
events it has: at 300 events/s, each fetched as it came, half a core. aiokafka has one fetch under way per broker, so
no partition waits longer for another one that is empty; Faust would let the broker hold it for 1.5 s."""

log = structlog.get_logger()
_offset = attrgetter("offset")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of one partition: all that it has from offset `start` up to `end` (excluded)."""

    tp: TP
    start: int
    end: int
    records: list[Any]


class Chunks(faust.Schema[Any, Any]):
    """The schema that hands a chunk to the agent as it is."""

    def compile(self, app: Any, **_options: Any) -> Callable[..., Awaitable[Any]]:
        """Return Faust's decode function."""

        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001  # Faust's signature
            return app.create_event(None, message.value, message.headers, message)

        return decode


class Records(PartitionRecords):
    """Records as the parser makes them: a `ConsumerRecord` says again what the chunk says, at the price of parsing.

    A batch that cannot be unpacked is passed over and told: whoever reads it anew, however often, cannot either. It is
    the last of its fetch, and so is the one that fills the bound: what follows is fetched again.
    """

    told: Callable[[TP, int, int], None]

    def _consumer_record(self, _tp: Any, record: Any) -> Any:
        return record

    def __iter__(self) -> Iterator[Any]:
        try:
            for record in self._records_iterator:  # noqa: UP028 - which would end it with us, and we may be asked again
                yield record
        except Unpackable as error:
            batch = self._records.last
            place = {"topic": self._tp.topic, "partition": self._tp.partition, "offset": batch.base_offset}
            log.error("batch_cannot_be_unpacked", **place, end=batch.next_offset, error=str(error))  # noqa: TRY400
            self.told(TP(self._tp.topic, self._tp.partition), batch.base_offset, batch.next_offset)
            self.next_fetch_offset = batch.next_offset


class Batches:
    """The batches of a fetch until they have unpacked to as much as one of them may; and which one is being read."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches
        self._before = unpacking.counted.unpacked_bytes
        self.last: Any = None

    def has_next(self) -> bool:
        unpacked = unpacking.counted.unpacked_bytes - self._before
        return unpacked <= unpacking.counted.most_bytes and bool(self._batches.has_next())

    def next_batch(self) -> Any:
        self.last = self._batches.next_batch()
        return self.last


class _Fetcher(Fetcher):
    """A fetcher whose buffers give such records."""

    told: Callable[[TP, int, int], None]

    async def _proc_fetch_request(self, assignment: Any, node_id: int, request: Any) -> bool:
        woken: bool = await super()._proc_fetch_request(assignment, node_id, request)
        for result in self._records.values():  # nobody can have read what came just now: nothing was awaited since
            if isinstance(result, FetchResult) and result.has_more():
                records = result._partition_records  # noqa: SLF001
                if not isinstance(records, Records):
                    records.__class__ = Records  # aiokafka has no way to choose it
                    records._records, records.told = Batches(records._records), self.told  # noqa: SLF001
        return woken


class _Thread(aiokafka.AIOKafkaConsumerThread):
    """Faust's consumer thread: fetches are few, yet soon, bring only what was committed, and are not copied."""

    async def on_start(self) -> None:
        """Start the consumer."""
        await super().on_start()
        fetcher = self._ensure_consumer()._fetcher  # noqa: SLF001
        fetcher.__class__ = _Fetcher  # nothing is assigned yet
        fetcher.told = self._told

    def _told(self, tp: TP, first: int, end: int) -> None:
        consumer: Any = self.consumer
        consumer.on_unpackable(tp, first, end)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS  # noqa: SLF001  # Faust has no setting for any of these
        most = consumer._max_partition_fetch_bytes  # noqa: SLF001  # a partition that has more than that is not waited for
        consumer._fetch_min_bytes = min(_FETCH_LEAST_BYTES, most // 4)  # noqa: SLF001
        consumer._isolation_level = "read_committed"  # noqa: SLF001
        return consumer


class Consumer(aiokafka.Consumer):
    """Faust's consumer in chunks, from offsets that the runtime gives.

    After every rebalance, before anything is delivered, `on_assigned` is awaited with what is ours
    now: the runtime says `start_at` for each partition, and one that it cannot start yet stays
    undelivered until it can. `on_revoked` is awaited when a rebalance begins, while all are still ours.
    `on_lost` is told how many records of a partition retention removed before they were read, and
    `on_gone_back` of a partition whose log ends before what was delivered of it already. `on_unpackable` is told, in
    the consumer's thread and perhaps again, of a batch (its first offset, and the one behind it) that cannot be
    unpacked.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._expected: dict[TP, int] = {}
        self._flowing = False  # what is yielded now reaches the agents
        self._revocations = 0
        self._taken_over = False  # since the last revocation
        self._holes: dict[TP, tuple[int, int]] = {}  # expected offset and first one fetched, when last asked again
        self.on_assigned: Callable[[frozenset[TP]], Awaitable[None]] = _nothing
        self.on_revoked: Callable[[frozenset[TP]], Awaitable[None]] = _nothing
        self.on_lost: Callable[[TP, int], None] = _ignored
        self.on_gone_back: Callable[[TP], None] = _ignored
        self.on_unpackable: Callable[[TP, int, int], None] = _ignored
        super().__init__(*args, **kwargs)

    # -- for the runtime ------------------------------------------------------------------------

    async def start_at(self, tp: TP, offset: int | None) -> int:
        """Deliver the partition from `offset` on (None: from its earliest record) and return the offset.

        Raises Unavailable when the broker does not answer, when a rebalance took the partition away
        meanwhile, and when the log ends before `offset`, which is for a person to look at.
        """
        try:
            kafka = self._kafka
            if offset is None:
                offset = int((await self._in_thread(kafka.beginning_offsets([tp])))[tp])
            else:
                end = (await self.ends([tp]))[tp]
                if end < offset:
                    said = f"{tp.topic}:{tp.partition} ends at {end}, before the stored offset {offset}"
                    raise Unavailable("kafka", f"{said}: was the topic made anew?")
            self._holes.pop(tp, None)
            await self._seek_to({tp: offset})
        except (KafkaError, IllegalStateError) as error:
            raise Unavailable("kafka", str(error)) from error
        self._expected[tp] = offset
        return offset

    async def ends(self, partitions: Sequence[TP]) -> dict[TP, int]:
        """Return the offsets behind the last records, as the broker says now; raise Unavailable when it does not."""
        try:
            found = await self._in_thread(self._kafka.end_offsets(list(partitions)))
        except (KafkaError, IllegalStateError) as error:
            raise Unavailable("kafka", str(error)) from error
        return {tp: int(found[tp]) for tp in partitions}

    def stop_delivering(self, tp: TP) -> None:
        """Deliver nothing of the partition until `start_at`."""
        self._expected.pop(tp, None)

    def lag(self, tp: TP, position: int | None) -> int | None:
        """Return how many records of a delivered partition there are from `position` on; None: not known yet.

        As of the last answer to a fetch, which is long ago when the broker is out of reach.
        """
        with contextlib.suppress(AssertionError, KafkaError, IllegalStateError):
            end, stable = self._kafka.highwater(tp), self._kafka.last_stable_offset(tp)
            if stable is not None and stable >= 0:  # beyond it are open transactions, which nobody may read yet
                end = stable
            if tp in self._expected and position is not None and end is not None:
                return max(int(end) - position, 0)
        return None

    def partitions(self, topic: str) -> range:
        """Return the numbers of the partitions that a topic of ours has."""
        return range(len(self._kafka.partitions_for_topic(topic) or ()))

    async def tell_progress(self, offsets: Mapping[TP, int]) -> None:
        """Commit offsets to Kafka, for lag dashboards only: nothing here ever reads them."""
        told = {
            TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in self._expected
        }
        with contextlib.suppress(KafkaError, IllegalStateError):
            if told:
                await self._in_thread(self._kafka.commit(told))

    # -- Faust's side ---------------------------------------------------------------------------

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop delivering, let the runtime finish, and let Faust clear its queues."""
        self._revocations += 1
        self._flowing = self._taken_over = False
        self._expected.clear()
        await self.on_revoked(frozenset(revoked))
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Tell the runtime of an empty assignment; of another, `seek_to_committed` tells it."""
        await super().on_partitions_assigned(assigned, generation_id)
        if not assigned:
            await self.on_assigned(frozenset())

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Let the runtime take over what is assigned: the offsets are those of its store."""
        revocations = self._revocations
        await self.on_assigned(frozenset(self.assignment()))
        self._taken_over = revocations == self._revocations
        return dict(self._expected)

    def resume_flow(self) -> None:
        """Let records flow, unless this ends a rebalance that another one overtook."""
        super().resume_flow()
        self._flowing = self._taken_over

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[Any]]:  # noqa: ASYNC109
        started = {tp for tp in active_partitions or () if tp in self._expected}
        if not started or not self._flowing:  # to aiokafka the empty set means all
            await self.sleep(_IDLE_SECONDS)
            return {}
        found: Mapping[TP, list[Any]] = await super()._getmany(started, timeout)
        return found

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109
        """Yield one message for each partition that records came for, or that has a hole at its end."""
        records, _ = await self._wait_next_records(timeout)
        again: dict[TP, int] = {}
        for tp, expected in list(self._expected.items()):
            if self._expected.get(tp) != expected:  # a rebalance, while a chunk before was being delivered
                continue
            found, at = (records or {}).get(tp, []), self._at(tp)
            if found and at is not None and at <= found[-1].offset:
                found = []  # the position was moved after this fetch: they come again
            if not found and (at is None or at == expected):
                continue
            if at is not None and at < expected:
                log.error("log_went_back", topic=tp.topic, partition=tp.partition, offset=expected, end=at)
                self.stop_delivering(tp)
                self.on_gone_back(tp)
                continue
            if not self._flowing:
                again[tp] = expected
                continue
            kept = found[bisect_left(found, expected, key=_offset) :]
            first = kept[0].offset if kept else at or expected
            if not kept and first == expected:
                continue
            if first > expected and self._holes.get(tp) != (expected, first):
                self._holes[tp] = expected, first
                again[tp] = expected
                continue
            if first > expected and not await self._passed(tp, expected, first):
                continue
            end = max(kept[-1].offset + 1 if kept else first, at or 0)
            self._expected[tp] = end
            yield tp, self._message(Chunk(tp, expected, end, kept))
        if again:
            with contextlib.suppress(IllegalStateError):  # a rebalance took it: whoever has it now starts it
                await self._seek_to(again)

    def _at(self, tp: TP) -> int | None:
        """Return where aiokafka stands: behind what it gave out and the offsets without records that followed."""
        try:
            state = self._kafka._subscription.subscription.assignment.state_value(tp)  # noqa: SLF001
            return int(state.position) if state.has_valid_position else None
        except AttributeError:  # nothing is assigned now
            return None

    async def _passed(self, tp: TP, expected: int, first: int) -> bool:
        """Say what a hole was; False when that cannot be known now, or nobody needs to know any more."""
        try:
            beginning = int((await self._in_thread(self._kafka.beginning_offsets([tp])))[tp])
        except (KafkaError, IllegalStateError):
            return False
        if self._expected.get(tp) != expected:
            return False
        lost = min(beginning, first) - expected
        place = {"topic": tp.topic, "partition": tp.partition, "offset": expected, "end": first}
        if lost > 0:
            log.error("records_lost", **place, records=lost)
            self.on_lost(tp, lost)
        else:
            log.info("log_has_a_hole", **place)
        return True

    def _message(self, chunk: Chunk) -> ConsumerMessage:
        tp = chunk.tp
        generation = self.app.consumer_generation_id
        make: Callable[..., ConsumerMessage] = ConsumerMessage  # whose types know bytes only
        return make(
            tp.topic, tp.partition, chunk.end - 1, 0.0, 0, [], None, chunk, None, 0, 0, tp, generation_id=generation
        )

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust would look at acknowledgements, which are not ours. The runtime says whether it progresses."""

    async def _seek_to(self, offsets: Mapping[TP, int]) -> None:
        async def seek() -> None:
            for tp, offset in offsets.items():
                self._kafka.seek(tp, offset)

        await self._in_thread(seek())
        for tp in offsets:
            self._read_offset[tp] = None  # Faust would drop what lies before the last offset that it saw

    @property
    def _kafka(self) -> Any:
        return self._thread._ensure_consumer()  # noqa: SLF001  # what Faust's own methods of the thread use

    async def _in_thread(self, work: Coroutine[Any, Any, T]) -> T:
        """Run in the consumer's own loop, beside the long poll that Faust's method queue may be busy with."""
        asked = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._thread.thread_loop))
        try:
            return await asyncio.wait_for(asked, _ANSWER_SECONDS)
        except TimeoutError as error:
            raise KafkaTimeoutError(f"no answer in {_ANSWER_SECONDS:.0f} s") from error


def _ignored(*_: Any) -> None:
    pass


async def _nothing(_partitions: frozenset[TP]) -> None:
    pass


class Transport(aiokafka.Transport):
    """Faust's aiokafka transport with the consumer above."""

    Consumer = Consumer


TRANSPORTS.aliases[SCHEME] = f"{__name__}:Transport"

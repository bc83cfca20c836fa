"""A stream through a group of workers, and what is left of it: what every chaos test has in common.

    sender ─► Kafka ◄─► workers ◄─► Redis

Things go wrong at *moments*: shares of the stream, not of the clock. They begin when their share has been sent and
run beside each other. A worker that ends without being asked to is started again, as any orchestrator would. The
sender stays at most `backlog` events ahead of what is committed, so that there is always something to disturb and
never nothing but a backlog. What is left of the stream when everything has begun is sent one by one while any of it
still goes on: who has nothing to do cannot be disturbed.

The run is over when every record of every topic between the stages is committed by the stage that reads it
and no outbox waits. Then the workers stop in order, and what is in topics and store is the outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from redis.asyncio import Redis
from redis.exceptions import RedisError

from detector.config import Config
from detector.runtime import topics
from detector.runtime.security import store_arguments
from detector.runtime.servers import KafkaServer, RedisServer
from detector.stores.redis import RedisStore
from tests.bench.through_kafka import send_all
from tests.chaos.comparison import Outcome, each_once, standing, stored
from tests.chaos.faults import WORKERS
from tests.chaos.members import Member
from tests.chaos.stream import Stream, key_of

PATIENCE_SECONDS: Final = 180.0  # without anything new committed
NAME: Final = "chaos"
_LOOK_SECONDS: Final = 0.2
_TAIL_SECONDS: Final = 0.5  # between two events when nothing more begins: so the last of them outlast what goes on
_LAST_WORDS: Final = 12_000  # characters of a worker's log, when it is stuck
_FLIGHT: Final = 1_000  # records on their way to the broker
_SENDER_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Setting:
    """How the workers are set up. `backlog` is in events; `seconds`: at least so long the stream is sent over."""

    partitions: int = 6
    link_partitions: int = 2
    session_ms: int = 6_000
    fetch_bytes: int = 65_536
    hot_accounts: int = 200
    commit_ms: int = 300
    idle_ms: int = 2_000
    backlog: int = 20_000
    seconds: float = 0.0

    def environment(self) -> dict[str, str]:
        """Return what differs from the defaults, but for addresses."""
        return {
            "DETECTOR_TOPICS_PARTITIONS": str(self.partitions),
            "DETECTOR_TOPICS_LINK_PARTITIONS": str(self.link_partitions),
            "DETECTOR_KAFKA_SESSION_MS": str(self.session_ms),
            "DETECTOR_KAFKA_FETCH_BYTES": str(self.fetch_bytes),
            "DETECTOR_ACCOUNTS_HOT_ACCOUNTS": str(self.hot_accounts),  # most leave memory and come back
            "DETECTOR_STREAM_COMMIT_MS": str(self.commit_ms),
            "DETECTOR_STREAM_IDLE_MS": str(self.idle_ms),
            "DETECTOR_VERDICTS_ENFORCE": "true",
            "DETECTOR_VERDICTS_TTL_MS": "3600000",
            "DETECTOR_LOG_FORMAT": "json",
        }


@dataclass(slots=True)
class Progress:
    """How far a run is: told to whoever watches."""

    events: int
    sent: int = 0
    committed: int = 0
    faults: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Moment:
    """Something of this kind happens when the share `at` (0..1) of the stream has been sent."""

    at: float
    kind: str
    happens: Callable[[], Coroutine[Any, Any, None]]


class Group:
    """Servers and workers; `opened` starts and ends them. The first WORKERS are there from the beginning."""

    def __init__(
        self, setting: Setting, config: Config, kafka: KafkaServer, redis: RedisServer, members: Sequence[Member]
    ) -> None:
        """`config` is that of a worker, with the addresses at which the test itself reaches the servers."""
        self.setting, self.config, self.members = setting, config, members
        self.kafka, self.redis = kafka, redis
        self.exits: Counter[int] = Counter()
        self._plain = Redis.from_url(self.redis.url, socket_timeout=2.0, socket_connect_timeout=2.0)
        self._offsets: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """Start servers, topics and workers, and end them."""
        supervising = None
        try:
            await asyncio.gather(asyncio.to_thread(self.redis.start), asyncio.to_thread(self.kafka.start))
            await asyncio.to_thread(topics.create_all, self.config)
            for member in self.members[:WORKERS]:
                member.begin()
            supervising = asyncio.create_task(self._supervised())
            yield self
        finally:
            if supervising is not None:
                supervising.cancel()
                await asyncio.gather(supervising, return_exceptions=True)
            for member in self.members:
                member.send(signal.SIGCONT)
                member.kill()
            await self._plain.aclose()
            await asyncio.to_thread(self.kafka.kill)
            await asyncio.to_thread(self.redis.kill)

    async def _supervised(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for member in self.members:
                code = member.ended()
                if code is not None:
                    self.exits[code] += 1
                    if member.wanted:
                        member.start()

    # -- the stream -----------------------------------------------------------------------------

    async def run(self, stream: Stream, moments: Sequence[Moment], told: Callable[[Progress], None]) -> Outcome:
        """Send the stream while things go wrong; return what is left. Raises AssertionError when it gets stuck."""
        records = ((one.account_id.encode(), msgspec.json.encode(one)) for one in stream.accounts)
        await send_all(self.kafka.address, self.config.topics.accounts, records)
        progress = Progress(stream.events)
        watching = asyncio.create_task(self._watched(progress, told))
        happening: list[asyncio.Task[None]] = []
        try:
            await self._send(stream, moments, progress, happening)
            await asyncio.gather(*happening)
            await self._settled(progress)
        finally:
            for task in (watching, *happening):
                task.cancel()
            await asyncio.gather(watching, *happening, return_exceptions=True)
        told(progress)
        await self._stopped()
        config = msgspec.structs.replace(
            self.config, store=msgspec.structs.replace(self.config.store, url=self.redis.url)
        )
        return await left_behind(stream, config)

    async def _send(
        self, stream: Stream, moments: Sequence[Moment], progress: Progress, happening: list[asyncio.Task[None]]
    ) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.kafka.address,
            linger_ms=5,
            max_batch_size=1 << 18,
            enable_idempotence=True,
            request_timeout_ms=int(_SENDER_SECONDS * 1000),
        )
        await producer.start()
        began, waiting = time.monotonic(), []
        due = list(moments)
        lines = sum(stream.slices)
        try:
            for piece in stream.pieces():
                for line in piece:
                    waiting.append(await producer.send(self.config.topics.requests, line, key=key_of(line)))
                    progress.sent += 1
                    share = progress.sent / lines
                    while due and due[0].at <= share:
                        moment = due.pop(0)
                        progress.faults[moment.kind] += 1
                        happening.append(asyncio.create_task(moment.happens()))
                    last = not due and any(not one.done() for one in happening)
                    if last or len(waiting) >= _FLIGHT:
                        await asyncio.gather(*waiting)
                        waiting.clear()
                        await self._paced(progress, began + share * self.setting.seconds)
                    if last:
                        await asyncio.sleep(_TAIL_SECONDS)
                await asyncio.gather(*waiting)
                waiting.clear()
                await self._paced(progress, began + progress.sent / lines * self.setting.seconds)
        finally:
            await producer.stop()

    async def _paced(self, progress: Progress, not_before: float) -> None:
        """Wait until it is time for more: for the clock, and for the workers."""
        last, moved = -1, time.monotonic()
        while time.monotonic() < not_before or progress.sent - progress.committed > self.setting.backlog:
            await asyncio.sleep(_LOOK_SECONDS)
            if progress.committed != last:
                last, moved = progress.committed, time.monotonic()
            assert time.monotonic() < moved + PATIENCE_SECONDS + self.setting.seconds, f"stuck at {self._offsets}"

    async def _watched(self, progress: Progress, told: Callable[[Progress], None]) -> None:
        while True:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._look()
            own = [offset for name, offset in self._offsets.items() if "{accounts:" in name]
            progress.committed = max(progress.committed, sum(own))
            told(progress)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> bool:
        """Look up how far every stage has committed; return whether no outbox waits to be published."""
        counts = {"accounts": self.setting.partitions, "links": self.setting.link_partitions, "campaigns": 1}
        places = [f"{NAME}:{{{stage}:{n}}}" for stage, partitions in counts.items() for n in range(partitions)]
        pipeline = self._plain.pipeline(transaction=False)
        for place in places:
            pipeline.hget(f"{place}:head", "offset")
            pipeline.hlen(f"{place}:outbox")
        answers = await pipeline.execute()
        self._offsets = {place: int(offset or 0) for place, offset in zip(places, answers[::2], strict=True)}
        return not any(answers[1::2])

    async def _settled(self, progress: Progress) -> None:
        """Return when every topic between the stages is worked through."""
        names, before, moved = self.config.topics, self._offsets, time.monotonic()
        stages = {"accounts": names.requests, "links": names.observations, "campaigns": names.candidates}
        while True:
            ends = {
                f"{NAME}:{{{stage}:{place.partition}}}": end
                for stage, topic in stages.items()
                for place, end in (await ends_of(topic, self.config)).items()
            }
            if await self._look() and self._offsets == ends and ends == before:
                return
            if self._offsets != before:
                before, moved = self._offsets, time.monotonic()
            if time.monotonic() >= moved + PATIENCE_SECONDS:
                raise AssertionError(f"stuck at {self._offsets} of {ends}\n{await self._last_words()}")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _last_words(self) -> str:
        """Return where each worker's threads are, and the end of its log."""
        for member in self.members:
            member.send(signal.SIGUSR1)
        await asyncio.sleep(1.0)
        ends = [member.log.read_text("utf-8", "replace")[-_LAST_WORDS:] for member in self.members if member.runs]
        return "\n".join(ends)

    async def _stopped(self) -> None:
        for member in self.members:
            member.wanted = False
        await asyncio.gather(*(asyncio.to_thread(member.stop) for member in self.members))

    def told(self) -> tuple[Counter[str], list[str]]:
        """Return what the workers' logs say of what happened to them, and why any gave up."""
        found = [member.told() for member in self.members]
        return sum((told for told, _ in found), Counter[str]()), [reason for _, reasons in found for reason in reasons]


# -- what is left -----------------------------------------------------------------------------------


async def left_behind(stream: Stream, config: Config) -> Outcome:
    """Return what is in the topics and in the store when the workers have stopped."""
    store = RedisStore(config.store.url, **{**store_arguments(config.store), "timeout_seconds": 30.0})
    try:
        outcome = await stored(store, stream.accounts, config)
    finally:
        await store.close()
    told = await _everything(config.topics.findings, config)
    outcome.findings, outcome.told_again = each_once(record.value for record in told)
    verdicts = await _everything(config.topics.verdicts, config)
    outcome.verdicts = standing((record.key.decode(), record.value) for record in verdicts)
    outcome.dead = {record.value for record in await _everything(config.topics.dead_letters, config)}
    return outcome


async def _everything(topic: str, config: Config) -> list[Any]:
    reader, found = AIOKafkaConsumer(bootstrap_servers=config.kafka.brokers, enable_auto_commit=False), []
    await reader.start()
    try:
        ends = await ends_of(topic, config)
        reader.assign(list(ends))
        await reader.seek_to_beginning()
        for place, end in ends.items():
            while await reader.position(place) < end:
                for records in (await reader.getmany(timeout_ms=200)).values():
                    found += records
    finally:
        await reader.stop()
    return found


async def ends_of(topic: str, config: Config) -> dict[TopicPartition, int]:
    """Return the offset behind the last record of each partition."""
    reader = AIOKafkaConsumer(bootstrap_servers=config.kafka.brokers, enable_auto_commit=False)
    await reader.start()
    try:
        names = config.topics
        counts = {
            names.requests: names.partitions,
            names.verdicts: names.partitions,
            names.observations: names.link_partitions,
        }
        places = [TopicPartition(topic, number) for number in range(counts.get(topic, 1))]
        found: dict[TopicPartition, int] = await reader.end_offsets(places)
        return found
    finally:
        await reader.stop()

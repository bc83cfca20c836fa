"""A stream through three workers while things go wrong, and what is left of it.

    sender ─► Kafka ◄─ proxy ─┐                ┌─ proxy ─► Redis
                 ◄─── proxy ──┤ workers 0 1 2 3├─ proxy ──►
                 ◄─── …       ┘                └─ …

Every worker reaches the servers through proxies of its own; the sender and whoever looks at the result go
straight. Faults begin when their share of the stream has been sent, run beside each other, and queue only
where they are about the same process. A worker that ends without being asked to is started again, as any
orchestrator would. The sender stays at most `backlog` events ahead of what is committed, so that there is always
something to disturb and never nothing but a backlog.

The run is over when every record of every topic between the stages is committed by the stage that reads it
and no outbox waits. Then the workers stop in order, and what is in topics and store is the outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from redis.asyncio import Redis
from redis.exceptions import RedisError

from detector import config as configuration
from detector.config import Config
from detector.finding import Finding
from detector.runtime import servers, topics
from detector.runtime.servers import RedisServer
from detector.stores.redis import RedisStore
from tests.bench.through_kafka import send_all
from tests.chaos.comparison import Outcome, standing, stored
from tests.chaos.faults import WORKERS, Fault, Kind
from tests.chaos.members import Broker, Clock, Member, StoreServer
from tests.chaos.proxy import Proxy, Way
from tests.chaos.stream import Stream, key_of
from tests.servers import environment

PATIENCE_SECONDS: Final = 180.0  # without anything new committed
_LOOK_SECONDS: Final = 0.2
_NAME: Final = "chaos"
_FLIGHT: Final = 1_000  # records on their way to the broker
_SENDER_SECONDS: Final = 300.0
_CLOCK_SECONDS: Final = 5.0  # a clock is wrong
_DAY_SECONDS: Final = 86_400.0

_finding = msgspec.json.Decoder(Finding)


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
    faults: Counter[Kind] = field(default_factory=Counter)


class World:
    """Servers, proxies and workers on a folder; `opened` starts and ends them."""

    def __init__(self, folder: Path, setting: Setting) -> None:
        self.setting = setting
        ports = [servers.free_port() for _ in range(3 * (WORKERS + 1))]
        self.to_broker = [Proxy(call, listen) for call, listen in zip(ports[::3], ports[1::3], strict=True)]
        self.store_clock = Clock(folder / "redis")
        self.redis: RedisServer = StoreServer(folder / "redis", self.store_clock)
        self.to_store = [Proxy(port, self.redis.port) for port in ports[2::3]]
        ways = list(zip(ports[1::3], ports[::3], strict=True))
        self.kafka = Broker(folder / "kafka", ways)
        own = {**environment(_NAME, self.kafka.address, self.redis.url), **setting.environment()}
        self.config: Config = configuration.load(None, own)
        self.members = [
            Member(
                folder / f"worker-{number}",
                {
                    **own,
                    "DETECTOR_KAFKA_BROKERS": f"127.0.0.1:{broker.port}",
                    "DETECTOR_STORE_URL": f"redis://127.0.0.1:{store.port}/0",
                    "DETECTOR_WEB_PORT": str(servers.free_port()),
                },
            )
            for number, (broker, store) in enumerate(zip(self.to_broker, self.to_store, strict=True))
        ]
        self.exits: Counter[int] = Counter()
        self._locks: dict[object, asyncio.Lock] = {}
        self._plain = Redis.from_url(self.redis.url, socket_timeout=2.0, socket_connect_timeout=2.0)
        self._offsets: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[World]:
        """Start servers, topics, proxies and workers, and end them."""
        supervising = None
        try:
            await asyncio.gather(asyncio.to_thread(self.redis.start), asyncio.to_thread(self.kafka.start))
            await asyncio.to_thread(topics.create_all, self.config)
            for proxy in (*self.to_broker, *self.to_store):
                await proxy.start()
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
            for proxy in (*self.to_broker, *self.to_store):
                with contextlib.suppress(AssertionError):
                    await proxy.stop()
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

    async def run(self, stream: Stream, faults: Sequence[Fault], told: Callable[[Progress], None]) -> Outcome:
        """Send the stream while the faults happen; return what is left. Raises AssertionError when it gets stuck."""
        records = ((one.account_id.encode(), msgspec.json.encode(one)) for one in stream.accounts)
        await send_all(self.kafka.address, self.config.topics.accounts, records)
        progress = Progress(stream.events)
        watching = asyncio.create_task(self._watched(progress, told))
        happening: list[asyncio.Task[None]] = []
        try:
            await self._send(stream, faults, progress, happening)
            await asyncio.gather(*happening)
            await self._settled(progress)
        finally:
            for task in (watching, *happening):
                task.cancel()
            await asyncio.gather(watching, *happening, return_exceptions=True)
        told(progress)
        await self._stopped()
        return await self._outcome(stream)

    async def _send(
        self, stream: Stream, faults: Sequence[Fault], progress: Progress, happening: list[asyncio.Task[None]]
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
        due = list(faults)
        lines = sum(stream.slices)
        try:
            for piece in stream.pieces():
                for line in piece:
                    waiting.append(await producer.send(self.config.topics.requests, line, key=key_of(line)))
                    progress.sent += 1
                    share = progress.sent / lines
                    while due and due[0].at <= share:
                        fault = due.pop(0)
                        progress.faults[fault.kind] += 1
                        happening.append(asyncio.create_task(self._happens(fault)))
                    if len(waiting) >= _FLIGHT:
                        await asyncio.gather(*waiting)
                        waiting.clear()
                        await self._paced(progress, began + share * self.setting.seconds)
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
        places = [f"{_NAME}:{{{stage}:{n}}}" for stage, partitions in counts.items() for n in range(partitions)]
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
                f"{_NAME}:{{{stage}:{place.partition}}}": end
                for stage, topic in stages.items()
                for place, end in (await self._ends(topic)).items()
            }
            if await self._look() and self._offsets == ends and ends == before:
                return
            if self._offsets != before:
                before, moved = self._offsets, time.monotonic()
            assert time.monotonic() < moved + PATIENCE_SECONDS, f"stuck at {self._offsets} of {ends}"
            await asyncio.sleep(_LOOK_SECONDS)

    async def _stopped(self) -> None:
        for member in self.members:
            member.wanted = False
        await asyncio.gather(*(asyncio.to_thread(member.stop) for member in self.members))

    # -- what is left ---------------------------------------------------------------------------

    async def _outcome(self, stream: Stream) -> Outcome:
        store = RedisStore(self.redis.url, timeout_seconds=30.0, prefix=_NAME)
        try:
            outcome = await stored(store, stream.accounts, self.config)
        finally:
            await store.close()
        told: dict[tuple[str, int], bytes] = {}
        for record in await self._everything(self.config.topics.findings):
            finding = _finding.decode(record.value)
            before = told.setdefault((finding.finding_id, finding.seq), record.value)
            if before != record.value:  # a repeat repeats its bytes; this one is a finding of its own
                told[finding.finding_id, -len(told)] = record.value
        outcome.findings = list(told.values())
        verdicts = await self._everything(self.config.topics.verdicts)
        outcome.verdicts = standing((record.key.decode(), record.value) for record in verdicts)
        outcome.dead = {record.value for record in await self._everything(self.config.topics.dead_letters)}
        return outcome

    async def _everything(self, topic: str) -> list[Any]:
        reader, found = AIOKafkaConsumer(bootstrap_servers=self.kafka.address, enable_auto_commit=False), []
        await reader.start()
        try:
            ends = await self._ends(topic)
            reader.assign(list(ends))
            await reader.seek_to_beginning()
            for place, end in ends.items():
                while await reader.position(place) < end:
                    for records in (await reader.getmany(timeout_ms=200)).values():
                        found += records
        finally:
            await reader.stop()
        return found

    async def _ends(self, topic: str) -> dict[TopicPartition, int]:
        reader = AIOKafkaConsumer(bootstrap_servers=self.kafka.address, enable_auto_commit=False)
        await reader.start()
        try:
            counts = {
                self.config.topics.requests: self.setting.partitions,
                self.config.topics.verdicts: self.setting.partitions,
                self.config.topics.observations: self.setting.link_partitions,
            }
            places = [TopicPartition(topic, number) for number in range(counts.get(topic, 1))]
            found: dict[TopicPartition, int] = await reader.end_offsets(places)
            return found
        finally:
            await reader.stop()

    # -- what goes wrong ------------------------------------------------------------------------

    def _lock(self, about: object) -> asyncio.Lock:
        return self._locks.setdefault(about, asyncio.Lock())

    async def _happens(self, fault: Fault) -> None:
        kind, much, member = fault.kind, fault.much, self.members[fault.worker]
        match kind:
            case Kind.KILL:
                async with self._lock(member):
                    member.wanted = False
                    await asyncio.to_thread(member.kill)
                    await asyncio.sleep(much)
                    member.begin()
            case Kind.LEAVE:
                async with self._lock(member):
                    await self._leaves(member)
                    await asyncio.sleep(much)
                    member.begin()
            case Kind.JOIN:
                extra = self.members[WORKERS]
                async with self._lock(extra):
                    extra.begin()
                    await asyncio.sleep(much)
                    await self._leaves(extra)
            case Kind.ZOMBIE:
                async with self._lock(member):
                    member.send(signal.SIGSTOP)
                    await asyncio.sleep(much * self.setting.session_ms / 1000)
                    member.send(signal.SIGCONT)
            case Kind.CLOCK | Kind.STORE_CLOCK:
                clock = member.clock if kind == Kind.CLOCK else self.store_clock
                async with self._lock(clock):
                    clock.set(much * _DAY_SECONDS)
                    await asyncio.sleep(_CLOCK_SECONDS)
                    clock.set(0)
            case Kind.STORE_STOP | Kind.STORE_KILL | Kind.BROKER_STOP | Kind.BROKER_KILL:
                server = self.redis if kind in {Kind.STORE_STOP, Kind.STORE_KILL} else self.kafka
                async with self._lock(server):
                    how = server.kill if kind in {Kind.STORE_KILL, Kind.BROKER_KILL} else server.stop
                    await asyncio.to_thread(how)
                    await asyncio.sleep(much)
                    await asyncio.to_thread(server.start)
            case Kind.STORE_PAUSE:
                async with self._lock(self.redis):
                    os.kill(self.redis.pid or 0, signal.SIGSTOP)
                    await asyncio.sleep(much)
                    os.kill(self.redis.pid or 0, signal.SIGCONT)
            case Kind.STORE_CUT | Kind.STORE_MUTE | Kind.BROKER_CUT | Kind.BROKER_MUTE:
                proxy = self._proxy(fault)
                proxy.cut(Way.REQUEST if kind in {Kind.STORE_CUT, Kind.BROKER_CUT} else Way.ANSWER, int(much))
            case Kind.STORE_STALL | Kind.STORE_LATE | Kind.BROKER_STALL | Kind.BROKER_LATE:
                proxy = self._proxy(fault)
                async with self._lock(proxy):
                    (proxy.hold if kind in {Kind.STORE_LATE, Kind.BROKER_LATE} else proxy.stall)()
                    await asyncio.sleep(much)
                    proxy.flow()

    def _proxy(self, fault: Fault) -> Proxy:
        ways = self.to_store if fault.kind.startswith("store") else self.to_broker
        return ways[fault.worker]

    async def _leaves(self, member: Member) -> None:
        member.wanted = False
        with contextlib.suppress(subprocess.TimeoutExpired):  # and then it was killed
            await asyncio.to_thread(member.stop)

    def moved(self, redis: RedisServer) -> None:
        """Let everybody find the store in another server from now on, as a name does that follows a fail-over."""
        self.redis = redis
        self._plain = Redis.from_url(redis.url, socket_timeout=2.0, socket_connect_timeout=2.0)
        for proxy in self.to_store:
            proxy.retarget(redis.port)

    async def epochs(self, redis: RedisServer) -> dict[str, int]:
        """Return the epoch of every partition of every stage, as this server knows it."""
        plain = Redis.from_url(redis.url, socket_timeout=2.0, decode_responses=True)
        try:
            return {key: int(await plain.hget(key, "epoch") or 0) async for key in plain.scan_iter("*:head")}
        finally:
            await plain.aclose()

    def told(self) -> tuple[Counter[str], list[str]]:
        """Return what the workers' logs say of what happened to them, and why any gave up."""
        found = [member.told() for member in self.members]
        return sum((told for told, _ in found), Counter[str]()), [reason for _, reasons in found for reason in reasons]

    def cuts(self) -> int:
        """Return how many connections were cut in the middle."""
        return sum(proxy.cuts for proxy in (*self.to_broker, *self.to_store))

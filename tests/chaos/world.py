"""A group of workers whose ways to the servers go through proxies, and everything in faults.py.

    sender ─► Kafka ◄─ proxy ─┐                ┌─ proxy ─► Redis
                 ◄─── proxy ──┤ workers 0 1 2 3├─ proxy ──►
                 ◄─── …       ┘                └─ …

The sender and whoever looks at the result go straight. Faults queue only where they are about the same process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from detector import config as configuration
from detector.runtime import servers
from detector.runtime.servers import RedisServer
from detector.stores.redis import _Script
from tests.chaos.faults import WORKERS, Fault, Kind
from tests.chaos.group import NAME, Group, Moment, Setting
from tests.chaos.members import Broker, Clock, Member, StoreServer
from tests.chaos.proxy import Proxy, Way
from tests.servers import environment

_CLOCK_SECONDS: Final = 5.0  # a clock is wrong
_SLOW_SECONDS: Final = 5.0  # a store answers late
_WRONG_SECONDS: Final = 60.0  # more than that is wrong
_EFFECT_SECONDS: Final = 60.0  # so long a fault is waited for until it hits something
_LOOK_SECONDS: Final = 0.1
_COMMIT: Final = _Script("commit").sha.encode()  # what a commit begins with
_DAY_SECONDS: Final = 86_400.0


class World(Group):
    """Servers, proxies and workers on a folder."""

    def __init__(self, folder: Path, setting: Setting) -> None:
        ports = [servers.free_port() for _ in range(3 * (WORKERS + 1))]
        self.to_broker = [Proxy(call, listen) for call, listen in zip(ports[::3], ports[1::3], strict=True)]
        self.store_clock = Clock(folder / "redis")
        redis = StoreServer(folder / "redis", self.store_clock)
        self.to_store = [Proxy(port, redis.port) for port in ports[2::3]]
        kafka = Broker(folder / "kafka", list(zip(ports[1::3], ports[::3], strict=True)))
        own = {**environment(NAME, kafka.address, redis.url), **setting.environment()}
        members = [
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
        super().__init__(setting, configuration.load(None, own), kafka, redis, members)
        self.effects: Counter[Kind] = Counter()  # faults that hit something
        self._locks: dict[object, asyncio.Lock] = {}

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """Start servers, topics, proxies and workers, and end them."""
        try:
            for proxy in (*self.to_broker, *self.to_store):
                await proxy.start()
            async with super().opened():
                yield self
        finally:
            for proxy in (*self.to_broker, *self.to_store):
                with contextlib.suppress(AssertionError):
                    await proxy.stop()

    def moments(self, faults: Sequence[Fault]) -> list[Moment]:
        """Return the faults as moments of a run."""
        return [Moment(fault.at, fault.kind, partial(self._happens, fault)) for fault in faults]

    # -- what goes wrong ------------------------------------------------------------------------

    def _lock(self, about: object) -> asyncio.Lock:
        return self._locks.setdefault(about, asyncio.Lock())

    async def _happens(self, fault: Fault) -> None:
        self.effects[fault.kind] += await self._had_effect(fault)

    async def _had_effect(self, fault: Fault) -> bool:
        """Let it go wrong; return whether it did: a fault that hits nothing proves nothing."""
        kind, much, member = fault.kind, fault.much, self.members[fault.worker]
        match kind:
            case Kind.KILL | Kind.LEAVE:
                async with self._lock(member):
                    hit = await _until(lambda: member.runs)
                    member.wanted = False
                    await (self._leaves(member) if kind == Kind.LEAVE else asyncio.to_thread(member.kill))
                    await asyncio.sleep(much)
                    member.begin()
            case Kind.JOIN:
                extra = self.members[WORKERS]
                async with self._lock(extra):
                    before = extra.said("assigned")
                    extra.begin()
                    hit = await _until(lambda: extra.said("assigned") > before)
                    await asyncio.sleep(much)
                    await self._leaves(extra)
            case Kind.ZOMBIE:
                hit = await self._suspended(fault, member)
            case Kind.CLOCK:
                async with self._lock(member.clock):
                    hit = await self._set(member.clock, much, lambda: member.has_its_clock)
            case Kind.STORE_CLOCK:
                async with self._lock(self.store_clock):
                    hit = await self._set(self.store_clock, much, self._store_is_wrong)
            case Kind.STORE_STOP | Kind.STORE_KILL | Kind.BROKER_STOP | Kind.BROKER_KILL:
                server = self.redis if kind in {Kind.STORE_STOP, Kind.STORE_KILL} else self.kafka
                async with self._lock(server):
                    pid = server.pid
                    how = server.kill if kind in {Kind.STORE_KILL, Kind.BROKER_KILL} else server.stop
                    await asyncio.to_thread(how)
                    await asyncio.sleep(much)
                    await asyncio.to_thread(server.start)
                    hit = pid is not None and server.pid != pid
            case Kind.STORE_PAUSE:
                async with self._lock(self.redis):
                    os.kill(self.redis.pid or 0, signal.SIGSTOP)
                    hit = await self._store_is_silent()
                    await asyncio.sleep(much)
                    os.kill(self.redis.pid or 0, signal.SIGCONT)
            case Kind.STORE_SLOW:
                async with self._lock(Kind.STORE_SLOW):
                    before = sum(proxy.slowed for proxy in self.to_store)
                    for proxy in self.to_store:
                        proxy.slow(much)
                    await asyncio.sleep(_SLOW_SECONDS)
                    hit = await _until(lambda: sum(proxy.slowed for proxy in self.to_store) > before)
                    for proxy in self.to_store:
                        proxy.slow(0)
            case Kind.STORE_CUT | Kind.STORE_MUTE | Kind.BROKER_CUT | Kind.BROKER_MUTE:
                way = Way.REQUEST if kind in {Kind.STORE_CUT, Kind.BROKER_CUT} else Way.ANSWER
                hit = await self._cut(self._proxy(fault), way, int(much))
            case Kind.STORE_STALL | Kind.STORE_LATE | Kind.BROKER_STALL | Kind.BROKER_LATE:
                proxy = self._proxy(fault)
                async with self._lock(proxy):
                    fails = proxy.hold if kind in {Kind.STORE_LATE, Kind.BROKER_LATE} else proxy.stall
                    hit = await self._kept_waiting(proxy, fails)
                    await asyncio.sleep(much)
                    proxy.flow()
        return hit

    async def _suspended(self, fault: Fault, member: Member) -> bool:
        """Suspend a worker whose commit is on its way, until the group has gone on without it; then both go on."""
        proxy = self.to_store[fault.worker]
        others = [one for one in self.members if one is not member]
        async with self._lock(member), self._lock(proxy):
            proxy.hold_at(_COMMIT)
            commits = await _until(proxy.held.is_set)
            assigned = sum(one.said("assigned") for one in others)
            member.send(signal.SIGSTOP)
            await asyncio.sleep(fault.much * self.setting.session_ms / 1000)
            replaced = await _until(lambda: sum(one.said("assigned") for one in others) > assigned)
            proxy.flow()
            member.send(signal.SIGCONT)
            return commits and replaced

    async def _set(self, clock: Clock, days: float, is_wrong: Callable[[], bool | Awaitable[bool]]) -> bool:
        clock.set(days * _DAY_SECONDS)
        found = await _until(is_wrong)
        await asyncio.sleep(_CLOCK_SECONDS)
        clock.set(0)
        return found

    async def _store_is_wrong(self) -> bool:
        """Return whether Redis, where it answers, tells another time than ours."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            seconds, _ = await self._plain.time()
            return abs(seconds - time.time()) > _WRONG_SECONDS
        return False

    async def _store_is_silent(self) -> bool:
        try:
            await asyncio.wait_for(self._plain.ping(), _LOOK_SECONDS)
        except (RedisError, OSError, TimeoutError):
            return True
        return False

    async def _cut(self, proxy: Proxy, way: Way, after_bytes: int) -> bool:
        """Cut what is on its way; where so many bytes do not come in time, at the next one."""
        async with self._lock((proxy, way)):
            before = proxy.cuts[way]
            for least in (after_bytes, 1):
                proxy.cut(way, least)
                if await _until(lambda: proxy.cuts[way] > before):
                    return True
        return False

    async def _kept_waiting(self, proxy: Proxy, fails: Callable[[], None]) -> bool:
        """Let a way fail, with the connections that there are by then, until somebody waits."""
        before = proxy.kept_waiting

        def waits() -> bool:
            fails()
            return proxy.kept_waiting > before

        return await _until(waits)

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

    def cuts(self) -> int:
        """Return how many connections were cut in the middle."""
        return sum(proxy.cuts.total() for proxy in (*self.to_broker, *self.to_store))


async def _until(true: Callable[[], bool | Awaitable[bool]]) -> bool:
    """Wait for something; return whether it came within some patience."""
    deadline = time.monotonic() + _EFFECT_SECONDS
    while time.monotonic() < deadline:
        found = true()
        if found if isinstance(found, bool) else await found:
            return True
        await asyncio.sleep(_LOOK_SECONDS)
    return False

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
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Self

from redis.asyncio import Redis

from detector import config as configuration
from detector.runtime import servers
from detector.runtime.servers import RedisServer
from tests.chaos.faults import WORKERS, Fault, Kind
from tests.chaos.group import NAME, Group, Moment, Setting
from tests.chaos.members import Broker, Clock, Member, StoreServer
from tests.chaos.proxy import Proxy, Way
from tests.servers import environment

_CLOCK_SECONDS: Final = 5.0  # a clock is wrong
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

    def cuts(self) -> int:
        """Return how many connections were cut in the middle."""
        return sum(proxy.cuts for proxy in (*self.to_broker, *self.to_store))

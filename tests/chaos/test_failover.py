"""Redis with a replica and Sentinel: a fail-over that loses what was acknowledged, and what the workers make of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from detector.runtime import servers
from tests.chaos import comparison, stream
from tests.chaos.group import Moment, Progress, Setting
from tests.chaos.members import Sentinel
from tests.chaos.proxy import Proxy
from tests.chaos.world import World

pytestmark = [pytest.mark.asyncio, pytest.mark.chaos]

EVENTS = 4_000
# Sent by the clock alone: a worker that has nothing to commit does not notice before it has.
SETTING = Setting(partitions=4, session_ms=3_000, hot_accounts=50, backlog=EVENTS, seconds=12.0)


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + 60
    while not await true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_acknowledged_commits_that_a_fail_over_loses_are_made_again_from_the_offset_that_is_left(
    tmp_path: Path,
) -> None:
    """The replica hears nothing any more, the master goes on and dies, and the replica becomes the master."""
    world = World(tmp_path, SETTING)
    recorded = stream.made(tmp_path / "stream", EVENTS, 1, world.config)
    wanted = comparison.expected(recorded, world.config)
    progress = Progress(0)

    def seen(now: Progress) -> None:
        progress.sent, progress.committed = now.sent, now.committed

    link = Proxy(servers.free_port(), world.redis.port)
    await link.start()
    replica = servers.redis(tmp_path / "replica", "--replicaof", "127.0.0.1", str(link.port))
    sentinel = Sentinel(tmp_path / "sentinel", world.redis)
    master, lost = world.redis, []
    committed_when_deaf: list[int] = []

    async def has(events: int) -> bool:
        return progress.committed >= events

    async def goes_deaf() -> None:
        await until(lambda: has(EVENTS // 8))
        link.stall()
        committed_when_deaf.append(progress.committed)

    async def fails_over() -> None:
        async def is_deaf() -> bool:
            return bool(committed_when_deaf)

        await until(is_deaf)
        await until(lambda: has(committed_when_deaf[0] + 1))
        await asyncio.to_thread(sentinel.start)
        watching = Redis(port=sentinel.port, decode_responses=True)

        async def knows_the_replica() -> bool:
            masters = await watching.sentinel_masters()
            return bool(masters["store"]["num-slaves"] == 1)

        async def promoted() -> bool:
            address = await watching.sentinel_get_master_addr_by_name("store")
            return bool(int(address[1]) == replica.port)

        await until(knows_the_replica)
        acknowledged = await world.epochs(master)
        await asyncio.to_thread(master.kill)
        await until(promoted)
        left = await world.epochs(replica)
        lost.extend(place for place, epoch in acknowledged.items() if left.get(place, 0) < epoch)
        world.moved(replica)
        await watching.aclose()

    moments = [Moment(0.25, "replica-deaf", goes_deaf), Moment(0.6, "fail-over", fails_over)]
    try:
        async with world.opened():
            await asyncio.to_thread(replica.start)
            found = await world.run(recorded, moments, seen)
            assert lost, "else this proves nothing"
            assert world.told()[0]["fenced"], "whoever held what is lost must notice"
    finally:
        sentinel.kill()
        replica.kill()
        master.kill()
        await link.stop()
    verdict = comparison.compared(wanted, found)
    assert verdict.well, verdict

"""Promise 1, all at once: whatever goes wrong, findings, accounts and dead letters are those of an undisturbed replay.

This is the short form, one seed with a fault of every kind; the long one is `make chaos`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import comparison, stream
from tests.chaos.faults import WORKERS, Kind, schedule
from tests.chaos.group import Progress, Setting
from tests.chaos.world import World

pytestmark = [pytest.mark.asyncio, pytest.mark.chaos, pytest.mark.timeout(400)]

EVENTS = 5_000
SEED = 1
CUTS = {Kind.STORE_CUT, Kind.STORE_MUTE, Kind.BROKER_CUT, Kind.BROKER_MUTE}
# As many partitions as leave no worker without one: who has none cannot be disturbed.
SETTING = Setting(partitions=2 * WORKERS, session_ms=3_000, hot_accounts=50, backlog=300, seconds=12.0)


async def test_a_fault_of_every_kind_and_nothing_is_lost_nothing_counted_twice(tmp_path: Path) -> None:
    world = World(tmp_path, SETTING)
    recorded = stream.made(tmp_path / "stream", EVENTS, SEED, world.config)
    wanted = comparison.expected(recorded, world.config)
    assert len(wanted.findings) > 20
    assert len(wanted.accounts) > 100
    assert len(wanted.dead) >= 5
    assert wanted.verdicts
    happened: list[Progress] = []
    async with world.opened():
        found = await world.run(recorded, world.moments(schedule(SEED, len(Kind))), happened.append)
    assert set(happened[-1].faults) == set(Kind)
    assert set(+world.effects) == set(Kind), "each of them hit something"
    assert world.cuts() == len(CUTS)
    told, _ = world.told()
    assert told["waiting"], "somebody missed the store"
    assert told["fenced"] + told["left_unsettled"], (
        "a worker that was suspended in the middle of a commit cannot make it"
    )
    verdict = comparison.compared(wanted, found)
    assert verdict.well, verdict

"""`make bench-accounts`: bytes per account in memory and at rest, and whether an event costs more when there are many.

    python -m tests.bench.hot_accounts [--accounts 10000,100000,1000000] [--days 1,45]

Every account first has a history: some five events (geometric, so that most have few), spread over so many days. Then
in every minute 10,000 of the accounts, drawn anew, send two events each, 20,000 in a batch, for 40 minutes; the rows
are drained for the store after each, and every account that was active is judged: the most that an event can cost, and
the same however many accounts there are; what differs is how far apart in memory it happens. The account stage alone,
4 partitions; processor time.

*In memory* is what the resident set of the process grew by while the accounts came, over their number. *At rest* is
the mean length of an account's row in the store after its history; *in Redis* is what `used_memory` grew by when a
real server was given the rows (as the store writes them, in one hash a partition), over their number.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
from redis import Redis

from detector.campaign.link import mix
from detector.event import EventBatch
from detector.runtime import servers
from detector.stages.accounts import AccountSettings, AccountStage
from detector.stores import Commit
from detector.stores.redis import RedisStore
from detector.window.activity import DAY_MS, MINUTE_MS
from tests.event_columns import batch_of

PARTITIONS: Final = 4
BATCH: Final = 20_000
ACTIVE: Final = BATCH // 2
MINUTES: Final = 40
MEAN_EVENTS: Final = 5
BEGIN_MS: Final = 1_770_000_000_000
_ROWS_A_COMMIT: Final = 20_000


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one run: how many accounts there were, and what they took."""

    accounts: int
    days: int
    memory_bytes: float
    rest_bytes: float
    redis_bytes: float
    event_us: float


def main(arguments: list[str]) -> None:
    """Measure each number of accounts with each length of history, each in a process of its own; print as they come."""
    parser = argparse.ArgumentParser(prog="hot_accounts", description="what an account takes, and an event among many")
    parser.add_argument("--accounts", default="10000,100000,1000000")
    parser.add_argument("--days", default="1,45")
    options = parser.parse_args(arguments)
    print("| accounts | days of history | bytes in memory | bytes at rest | bytes in Redis | us an event |")
    print("|---:|---:|---:|---:|---:|---:|", flush=True)
    for days in map(int, options.days.split(",")):
        for accounts in map(int, options.accounts.split(",")):
            with get_context("spawn").Pool(1) as pool:
                one = pool.apply(measured, (accounts, days))
            print(
                f"| {one.accounts:,} | {one.days} | {one.memory_bytes:,.0f} | {one.rest_bytes:,.0f}"
                f" | {one.redis_bytes:,.0f} | {one.event_us:.2f} |",
                flush=True,
            )


def measured(accounts: int, days: int) -> Measured:
    """Let accounts come with their history, then let some of them be active."""
    _with_history(_World(1_000), days)
    before = _resident_bytes()
    stage, world = _with_history(_World(accounts), days)
    memory = (_resident_bytes() - before) / accounts
    rows: list[dict[str, bytes]] = [{} for _ in range(PARTITIONS)]
    now_ms = BEGIN_MS + days * DAY_MS
    events, seconds = 0, 0.0
    for minute in range(MINUTES):
        batch = world.minute(now_ms + minute * MINUTE_MS)
        began = time.process_time()
        stage.absorb(batch)
        drained = _drained(stage)
        seconds += time.process_time() - began
        for partition, changed in enumerate(drained):
            rows[partition] |= {key: row for key, row in changed.items() if row is not None}
        events += len(batch)
    kept = [{key: row for key, row in some.items() if key[0] == "a"} for some in rows]
    number = sum(map(len, kept))
    rest = sum(len(row) for some in kept for row in some.values()) / number
    return Measured(accounts, days, memory, rest, asyncio.run(_in_redis(kept)) / number, seconds / events * 1e6)


def _with_history(world: _World, days: int) -> tuple[AccountStage, _World]:
    stage = AccountStage(AccountSettings(hot_accounts=max(world.accounts, 1_000_000), growth=0))
    for partition in range(PARTITIONS):
        stage.assign(partition, {})
    for number, batch in enumerate(world.history(days)):
        stage.absorb(batch)
        if number % 10 == 9:
            _drained(stage)
    _drained(stage)
    return stage, world


def _drained(stage: AccountStage) -> list[dict[str, bytes | None]]:
    return [stage.drain(partition)[0] for partition in range(PARTITIONS)]


class _World:
    """Accounts and what they send, from a fixed seed."""

    def __init__(self, accounts: int) -> None:
        self._rng = np.random.default_rng(1)
        self.accounts = accounts
        self._hashes = self._rng.integers(1, 1 << 63, (2, 50), dtype=np.uint64)

    def history(self, days: int) -> Iterator[EventBatch]:
        """Yield the events of all accounts before the measured time, every account at least once."""
        batches = self._events(days)
        for start in range(0, len(batches[0]), BATCH):
            yield self.batch(*(part[start : start + BATCH] for part in batches))

    def _events(self, days: int) -> tuple[Any, Any]:
        count = self._rng.geometric(1 / MEAN_EVENTS, self.accounts)
        who = np.repeat(np.arange(self.accounts), count)
        when = BEGIN_MS + np.sort(self._rng.integers(0, days * DAY_MS, len(who)))
        return self._rng.permutation(who), when

    def minute(self, begin_ms: int) -> EventBatch:
        """Return the events of a minute: of accounts drawn anew, two each."""
        who = self._rng.choice(self.accounts, ACTIVE, replace=False)
        when = begin_ms + np.sort(self._rng.integers(0, MINUTE_MS, BATCH))
        return self.batch(self._rng.permutation(np.repeat(who, 2)), when)

    def batch(self, who: Any, when: Any) -> EventBatch:
        """Return plain events of these accounts at these times."""
        rng, n = self._rng, len(who)
        used, index = np.unique(who, return_inverse=True)
        return batch_of(
            when,
            index,
            tuple(f"acct_{i:016x}" for i in used.tolist()),
            event_id=rng.integers(1, 1 << 63, n, dtype=np.uint64),
            partition=who % PARTITIONS,
            models=("large", "small"),
            model=rng.integers(0, 2, n),
            system=self._hashes[0, who % 50],
            address=mix(who.astype(np.uint64), 1),
            prefix=mix(who.astype(np.uint64) // np.uint64(3), 2),
            asn=who % 100 + 1,
            user_agent=self._hashes[0, who % 30],
            tls=self._hashes[1, who % 30],
            input_tokens=rng.integers(50, 5000, n),
            output_tokens=rng.integers(10, 2000, n),
            max_tokens=np.full(n, 1024),
            temperature=np.full(n, 0.7),
            user_turns=rng.integers(1, 4, n),
            outcome=np.where(rng.random(n) < 0.01, 4, 0),
        )


async def _in_redis(rows: list[dict[str, bytes]]) -> int:
    """Return what a Redis server's memory grows by when the store is given these rows of each partition."""
    with tempfile.TemporaryDirectory() as folder, servers.redis(Path(folder)) as server:
        client, store = Redis.from_url(server.url), RedisStore(server.url)
        before = int(client.info("memory")["used_memory"])
        for partition, some in enumerate(rows):
            claim = await store.claim("accounts", partition)
            keys = sorted(some)
            for start in range(0, len(keys), _ROWS_A_COMMIT):
                part: dict[str, bytes | None] = {key: some[key] for key in keys[start : start + _ROWS_A_COMMIT]}
                await store.commit("accounts", partition, claim.token, Commit(offset=start, rows=part, outbox=[]))
        await store.close()
        return int(client.info("memory")["used_memory"]) - before


def _resident_bytes() -> int:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the allocator keeps for later is no account's
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    return pages * 4096


if __name__ == "__main__":
    main(sys.argv[1:])

"""The stream that is disturbed: simulated requests, some told twice, some no requests at all.

    simulation ─► lines ─┬─ every 499th again, a little later: a gateway's retry, the same id
                         └─ every 997th followed by one that is no event ─► a dead letter
    ... and at the end one event in each partition, two steps after everything else.

A replay knows the end of its recording and closes what is open; a stream has no end. So the last events
close every step before them in either, and what is compared are all findings of those steps.

The lines are a file, cut into *slices* of event time. A slice is sent whole before the next one, and is
shorter than the lateness that is allowed: so however long a partition of it has to wait, it cannot be taken
for idle to the harm of its events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Final

import msgspec

from detector.account import AccountRecord
from detector.config import Config
from detector.decoders import partition_of
from detector.simulate import Content, Dials, Scenario, Simulation, simulate

HARVEST: Final = Dials(
    accounts=60,
    per_account_day=120.0,
    start_day=0.0,
    days=0.3,
    content=(Content(share=0.7), Content(share=0.3, family="coding", templates=3)),
    shared_payment=0.2,
    block_replay=0.02,
)
FEW: Final = replace(HARVEST, accounts=3, per_account_day=2000.0, content=(Content(),), shared_payment=0.0)
WORLD: Final = Scenario(
    days=0.3, benign_accounts=3000, campaigns=(HARVEST, FEW), release_day=None, outage_days=(), begin_hour=9.0
)
BAD: Final = (
    b'{"id": "\xff%d", "time_ms": 1, "account_id": "a", "model": "m"}',
    b"{half an obj%d",
    b'{"id": "x%d", "time_ms": 1, "model": "m"}',
    b'{"id": "x%d", "time_ms": "noon", "account_id": "a", "model": "m"}',
)
_MOST_ACCOUNTS: Final = 30_000  # more events than these have in a day take more days
_TWICE: Final = 499
_BAD: Final = 997
_TOLD_AGAIN_AFTER: Final = 200
_SLICE_SHARE: Final = 2  # slices in the time that an event may be late


class _Event(msgspec.Struct):
    account_id: str
    time_ms: int


_event = msgspec.json.Decoder(_Event)


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream on disk: `events` lines that are events, `twice` of them repeats, and `bad` that are none.

    Findings up to `end_ms` are final; `slices` are the lines and the bytes of each.
    """

    path: Path
    accounts: list[AccountRecord]
    events: int
    twice: int
    bad: list[bytes]
    end_ms: int
    slices: list[int]

    def pieces(self) -> Iterator[list[bytes]]:
        """Yield the lines, slice by slice."""
        with self.path.open("rb") as file:
            for lines in self.slices:
                yield [file.readline()[:-1] for _ in range(lines)]


def key_of(line: bytes) -> bytes:
    """Return the key of a line's record; of a line that is no event, the line."""
    try:
        return _event.decode(line).account_id.encode()
    except msgspec.DecodeError:
        return line


def made(path: Path, events: int, seed: int, config: Config) -> Stream:
    """Simulate at least so many `events` and write them to `path`."""
    ample = 1.3  # what a simulation says that it will give is an estimate
    while True:
        stream = _written(path, events, _simulated(ample * events, seed), config)
        if stream.events >= events:
            return stream
        ample *= 1.5


def _written(path: Path, events: int, simulation: Simulation, config: Config) -> Stream:
    bad: list[bytes] = []
    slices = [0]
    again: deque[tuple[int, bytes]] = deque()
    sent = twice = newest_ms = slice_end_ms = 0
    with path.open("wb") as file:

        def put(line: bytes) -> None:
            file.write(line + b"\n")
            slices[-1] += 1

        for line in (line for chunk in simulation.chunks() for line in chunk):
            if sent >= events:
                break
            newest_ms = max(newest_ms, _event.decode(line).time_ms)
            if newest_ms >= slice_end_ms:
                slice_end_ms = newest_ms + config.stream.lateness_ms // _SLICE_SHARE
                slices.append(0)
            put(line)
            sent += 1
            if sent % _TWICE == 0:
                again.append((sent + _TOLD_AGAIN_AFTER, line))
            if again and again[0][0] <= sent:
                put(again.popleft()[1])
                sent, twice = sent + 1, twice + 1
            if sent % _BAD == 0:
                bad.append(BAD[len(bad) % len(BAD)] % len(bad))
                put(bad[-1])
        cadence_ms = config.stream.cadence_ms
        end_ms = (newest_ms // cadence_ms + 2) * cadence_ms
        slices.append(0)
        for partition in range(config.topics.partitions):
            account = _of(partition, config.topics.partitions)
            put(msgspec.json.encode({"id": account, "time_ms": end_ms, "account_id": account, "model": "m"}))
            sent += 1
    return Stream(path, simulation.accounts, sent, twice, bad, end_ms, [lines for lines in slices if lines])


def _simulated(events: float, seed: int) -> Simulation:
    """Return a simulation of some `events` or more, by its own estimate: more accounts, and then more days."""
    accounts = min(max(int(events) // 10, 500), _MOST_ACCOUNTS)
    days = WORLD.days
    while True:
        campaigns = tuple(replace(one, days=days) for one in WORLD.campaigns)
        found = simulate(replace(WORLD, benign_accounts=accounts, days=days, campaigns=campaigns), seed)
        if found.total_events > events:
            return found
        if accounts < _MOST_ACCOUNTS:
            accounts = min(accounts * 5 // 4, _MOST_ACCOUNTS)
        else:
            days *= max(1.1, events / found.total_events)


def _of(partition: int, partitions: int) -> str:
    return next(name for name in (f"last-{n}" for n in count()) if partition_of(name, partitions) == partition)

"""What goes wrong, and when: a pure function of a seed.

    schedule(seed, 30) ─► Fault(at=0.07, kind=CUT_STORE, worker=2, amount=0.41), Fault(at=0.11, …), …

A moment is a share of the stream, not of the clock: the same seed disturbs the same stretch of it on a
machine that is busy. `amount` says how much of a fault, between the two ends of its kind (`RANGES`).
Kinds are dealt like cards: none comes a second time before all have come once.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

WORKERS: Final = 3
_FIRST, _LAST = 0.08, 0.97  # of the stream: workers are at work, and something is still to come


class Kind(StrEnum):
    """What can go wrong; each name is a column of the summary."""

    KILL = "kill"  # a worker, by kill -9, and started again
    LEAVE = "leave"  # a worker stops in order and comes back: two rebalances
    JOIN = "join"  # one worker more, which leaves again
    ZOMBIE = "zombie"  # a worker is suspended past its session and goes on
    CLOCK = "clock"  # a worker's wall clock jumps, and later back
    STORE_STOP = "store-stop"
    STORE_KILL = "store-kill"
    STORE_PAUSE = "store-pause"  # accepts, and answers nobody for a while
    STORE_SLOW = "store-slow"  # answers everybody, but late
    STORE_CUT = "store-cut"  # a worker's connection ends in the middle of what it writes
    STORE_MUTE = "store-mute"  # ... in the middle of the answer: what was asked for has happened
    STORE_STALL = "store-stall"  # nothing gets through for a while; what was sent arrives after that
    STORE_LATE = "store-late"  # ... and what is sent anew passes it
    STORE_CLOCK = "store-clock"  # its wall clock, by which it gives out fencing tokens
    BROKER_STOP = "broker-stop"
    BROKER_KILL = "broker-kill"
    BROKER_CUT = "broker-cut"
    BROKER_MUTE = "broker-mute"
    BROKER_STALL = "broker-stall"
    BROKER_LATE = "broker-late"


RANGES: Final[dict[Kind, tuple[float, float]]] = {
    Kind.KILL: (0.0, 3.0),
    Kind.LEAVE: (0.0, 3.0),
    Kind.JOIN: (3.0, 10.0),
    Kind.ZOMBIE: (1.5, 3.0),  # in sessions
    Kind.CLOCK: (-40.0, 40.0),  # in days
    Kind.STORE_STOP: (0.5, 6.0),
    Kind.STORE_KILL: (0.0, 3.0),
    Kind.STORE_PAUSE: (1.0, 5.0),
    Kind.STORE_SLOW: (0.02, 0.08),  # each answer
    Kind.STORE_CUT: (1, 30_000),  # in bytes
    Kind.STORE_MUTE: (1, 200),
    Kind.STORE_STALL: (1.0, 8.0),
    Kind.STORE_LATE: (2.0, 8.0),
    Kind.STORE_CLOCK: (-40.0, 40.0),
    Kind.BROKER_STOP: (0.0, 3.0),
    Kind.BROKER_KILL: (0.0, 3.0),
    Kind.BROKER_CUT: (1, 60_000),
    Kind.BROKER_MUTE: (1, 60_000),
    Kind.BROKER_STALL: (3.0, 12.0),
    Kind.BROKER_LATE: (5.0, 20.0),  # whoever publishes waits ten for an answer
}
"""How much of a kind there can be: seconds, unless said otherwise."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that goes wrong when the share `at` (0..1) of the stream has been sent."""

    at: float
    kind: Kind
    worker: int
    amount: float

    @property
    def much(self) -> float:
        """How much of it, in the unit of its kind."""
        least, most = RANGES[self.kind]
        return least + self.amount * (most - least)


def schedule(seed: int, faults: int, kinds: Sequence[Kind] = tuple(Kind)) -> list[Fault]:
    """Return so many faults in the order of their moments."""
    draw = random.Random(seed)
    moments = sorted(draw.uniform(_FIRST, _LAST) for _ in range(faults))
    dealt: list[Kind] = []
    while len(dealt) < faults:
        deck = list(kinds)
        draw.shuffle(deck)
        dealt += deck
    return [
        Fault(at, kind, draw.randrange(WORKERS), draw.random())
        for at, kind in zip(moments, dealt[:faults], strict=True)
    ]

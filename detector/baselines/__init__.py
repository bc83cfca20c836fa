"""What simpler ways would have found on the same stream, for the same table.

    Requests (columns of a chunk) -> Baseline.absorb -> Flags; Baseline.finish -> Flags

A baseline says which accounts it flags when, and where it claims a campaign, in which group. One baseline
per file; none learns from labels, and each states its thresholds and where they come from. Not here:
PRADA, SEAT, CAP, DATE, whose published single-client figures stand in the documentation (none is better
than MMD, which is here).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from detector.baselines.duplicate_prompts import duplicate_prompts
from detector.baselines.mmd import KernelTest
from detector.baselines.rate_limit import RateLimit
from detector.baselines.requests import Baseline, Flag, Reader, RequestReader, Requests
from detector.baselines.shared_address import shared_address
from detector.baselines.shared_beginning import shared_beginning
from detector.baselines.synchrotrap import SynchroTrap
from detector.baselines.token_rules import TokenRules

BASELINES: Final[tuple[Callable[[], Baseline], ...]] = (
    RateLimit,
    TokenRules,
    shared_address,
    duplicate_prompts,
    shared_beginning,
    SynchroTrap,
    KernelTest,
)

__all__ = ["BASELINES", "Baseline", "Flag", "Reader", "RequestReader", "Requests"]

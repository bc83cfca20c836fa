"""What is usual among accounts, by which a link or a group stands out: how many are young, and since when we look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from detector.campaign.prevalence import age_class, newborn, proven, purity
from detector.event import F64, I8, I32, I64, Mask

DAY_MS: Final = 86_400_000


@dataclass(slots=True)
class Population:
    """The accounts of the stream, now.

    `share` is that of young accounts, as the link partitions count them; `start_ms` when the stream began: of words
    that were there on its first day nobody knows for how long, nor of accounts without a record before long.
    """

    established_days: float
    newborn_days: float
    share: float = 0.15
    start_ms: int = -1

    def ages(self, created_ms: I64, first_seen_ms: I64, at_ms: I64) -> I8:
        """Return the age class of accounts at such times: 1 young, 2 established, 0 unknown."""
        return age_class(created_ms, first_seen_ms, at_ms, self.start_ms, int(self.established_days * DAY_MS))

    def recent(self, born_ms: I64, step_ms: int) -> Mask:
        """Tell which links appeared lately, and not on the first day."""
        return newborn(born_ms, self.start_ms + DAY_MS, step_ms, int(self.newborn_days * DAY_MS))

    def purity(self, young: I32, established: I32) -> F64:
        """Return the share of the young accounts of links that their established ones do not explain."""
        return purity(young, established, self.share)

    def proven(self, young: I32, established: I32) -> Mask:
        """Tell which links are their young accounts' alone, whoever is still to come."""
        return proven(young, established, self.share)

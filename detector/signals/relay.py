"""Relay: many different harnesses over many networks behind one account, as when it is resold.

A harness shows in its system prompt. An application has a few; a reseller passes on whatever its customers run, from
wherever they are. Harmless causes: an LLM gateway with thousands of end users (it should say so with `end_user_id`; an
account whose end users are known is not taken for a relay), a platform on which users write their own system prompts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from detector.event import F32
from detector.signals import ramp
from detector.window.columns import AccountColumns, Column


@dataclass(frozen=True, slots=True)
class Relay:
    """The weaker of two ramps: distinct harnesses, and distinct networks; 0 where end users are declared."""

    name: ClassVar[str] = "relay"
    needs: ClassVar[tuple[Column, ...]] = (Column.HARNESSES_24H, Column.NETWORKS_24H)
    rises_with: ClassVar[tuple[Column, ...]] = (Column.HARNESSES_24H, Column.NETWORKS_24H)
    few_harnesses: float = 6.0  # distinct system prompts a day where the ramp begins ...
    many_harnesses: float = 40.0  # ... and where it ends
    few_networks: float = 4.0  # distinct networks a day where the ramp begins ...
    many_networks: float = 25.0  # ... and where it ends

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength per account; NaN where harnesses or networks are unknown."""
        harnesses = ramp.logarithmic(accounts[Column.HARNESSES_24H], self.few_harnesses, self.many_harnesses)
        networks = ramp.logarithmic(accounts[Column.NETWORKS_24H], self.few_networks, self.many_networks)
        declared = accounts[Column.END_USERS_24H] >= accounts[Column.HARNESSES_24H]  # False where unknown
        return np.minimum(harnesses, networks) * ~declared

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Distinct system prompts in 24 to 36 hours, estimated."""
        return accounts.at(Column.HARNESSES_24H, row)

    def baseline(self, _accounts: AccountColumns, _row: int) -> float:
        """Harnesses where the ramp begins."""
        return self.few_harnesses

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it."""
        return (
            f"about {self.value(accounts, row):.0f} different system prompts from"
            f" {accounts.at(Column.NETWORKS_24H, row):.0f} networks in a day, and no end users named"
        )

"""Narrow capability: the account asks for one kind of task and nothing else.

Campaigns have narrow targets (agentic reasoning, coding, kernel development). Harmless causes: nearly every application
does one thing. Its weight is low; it matters as a property that the accounts of a campaign share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from detector.event import F32
from detector.signals import ramp
from detector.window.columns import AccountColumns, Column


@dataclass(frozen=True, slots=True)
class NarrowCapability:
    """Ramp over the share of the most frequent capability, from `least` labelled requests on."""

    name: ClassVar[str] = "narrow_capability"
    needs: ClassVar[tuple[Column, ...]] = (Column.CAPABILITIES, Column.TOP_CAPABILITY)
    rises_with: ClassVar[tuple[Column, ...]] = (Column.TOP_CAPABILITY,)
    mixed_share: float = 0.9  # share of the most frequent capability where the ramp begins ...
    narrow_share: float = 1.0  # ... and where it ends: nothing else at all
    least: float = 50.0  # labelled requests, below which a share says nothing

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength per account; NaN below `least` labelled requests."""
        return ramp.linear(self._share(accounts), self.mixed_share, self.narrow_share)

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Share of the most frequent capability since first seen."""
        return float(self._share(accounts)[row])

    def baseline(self, _accounts: AccountColumns, _row: int) -> float:
        """Share where the ramp begins."""
        return self.mixed_share

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it."""
        n = accounts.at(Column.CAPABILITIES, row)
        return f"{100 * self.value(accounts, row):.0f} % of {n:.0f} labelled requests are of one capability"

    def _share(self, accounts: AccountColumns) -> F32:
        return ramp.share(accounts[Column.TOP_CAPABILITY], accounts[Column.CAPABILITIES], self.least)

"""No idle time: active in nearly every hour of the day, day and night.

Harmless causes: most always-on API applications (11 to 30 % of public API clients are active in 95 % of all windows),
monitoring probes, an app with users in many time zones. Evidence only together with something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from detector.event import F32
from detector.signals import ramp
from detector.window.columns import AccountColumns, Column


@dataclass(frozen=True, slots=True)
class NoIdle:
    """Ramp over the hours of the last 24 that saw a request."""

    name: ClassVar[str] = "no_idle"
    needs: ClassVar[tuple[Column, ...]] = (Column.ACTIVE_HOURS_24H,)
    rises_with: ClassVar[tuple[Column, ...]] = (Column.ACTIVE_HOURS_24H,)
    waking_hours: float = 18.0  # nobody is awake for longer day after day
    all_hours: float = 24.0  # every hour of the day: full strength

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength per account."""
        return ramp.linear(accounts[Column.ACTIVE_HOURS_24H], self.waking_hours, self.all_hours)

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Active hours of the last 24."""
        return accounts.at(Column.ACTIVE_HOURS_24H, row)

    def baseline(self, _accounts: AccountColumns, _row: int) -> float:
        """Hours a person may be awake."""
        return self.waking_hours

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it."""
        return f"active in {self.value(accounts, row):.0f} of the last 24 hours; a person sleeps"

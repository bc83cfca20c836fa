"""Request rate: an account sends faster than a person or a normal client does.

Harmless causes: a batch job, a load test, an agent with many parallel calls, a retry storm after our own outage.
The ramp is logarithmic because rates are; a step would make the score jump on one event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from detector.event import F32
from detector.signals import ramp
from detector.window.columns import AccountColumns, Column


@dataclass(frozen=True, slots=True)
class RequestRate:
    """Ramp from 0 at `ordinary_per_minute` to 1 at `extreme_per_minute`, over five minutes."""

    name: ClassVar[str] = "request_rate"
    needs: ClassVar[tuple[Column, ...]] = (Column.REQUESTS_5M,)
    rises_with: ClassVar[tuple[Column, ...]] = (Column.REQUESTS_5M,)
    ordinary_per_minute: float = 60.0  # the fixed rule of a published rate-based detector; agents reach it in bursts
    extreme_per_minute: float = 1200.0  # twenty a second: nobody types, and few clients need it

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength per account; always known."""
        per_minute = accounts[Column.REQUESTS_5M] / np.float32(5)
        return ramp.logarithmic(per_minute, self.ordinary_per_minute, self.extreme_per_minute)

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Requests per minute."""
        return accounts.at(Column.REQUESTS_5M, row) / 5

    def baseline(self, _accounts: AccountColumns, _row: int) -> float:
        """Requests per minute where the ramp begins."""
        return self.ordinary_per_minute

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it."""
        return (
            f"{self.value(accounts, row):.0f} requests a minute over 5 minutes;"
            f" ordinary is up to {self.ordinary_per_minute:.0f}"
        )

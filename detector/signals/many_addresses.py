"""Many addresses: one account over more network addresses in a day than a person or an office has.

Harmless causes: a CI fleet on fresh addresses, serverless functions, an app whose requests carry its users' addresses.
Counted in a bitmap of 128 bits: good to some 10 % up to a hundred, and it says at most about 620.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from detector.event import F32
from detector.signals import ramp
from detector.window.columns import AccountColumns, Column


@dataclass(frozen=True, slots=True)
class ManyAddresses:
    """Ramp by ratio over the number of distinct addresses in a day."""

    name: ClassVar[str] = "many_addresses"
    needs: ClassVar[tuple[Column, ...]] = (Column.ADDRESSES_24H,)
    rises_with: ClassVar[tuple[Column, ...]] = (Column.ADDRESSES_24H,)
    ordinary: float = 12.0  # a phone changes networks a few times a day; an office has a handful
    extreme: float = 120.0  # ten times as many: full strength

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength per account; NaN where no request said."""
        return ramp.logarithmic(accounts[Column.ADDRESSES_24H], self.ordinary, self.extreme)

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Distinct addresses in 24 to 36 hours, estimated."""
        return accounts.at(Column.ADDRESSES_24H, row)

    def baseline(self, _accounts: AccountColumns, _row: int) -> float:
        """Where the ramp begins."""
        return self.ordinary

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it."""
        return f"about {self.value(accounts, row):.0f} addresses in a day; ordinary is up to {self.ordinary:.0f}"

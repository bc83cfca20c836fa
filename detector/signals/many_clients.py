"""Many clients: one account through more client programs than a person or a service uses.

A client is a user agent with its TLS print. Harmless causes: a gateway that passes its users' agents on, a company
with one account for all of its tools, a test matrix over library versions.
Counted in a bitmap of 64 bits: good to some 15 % up to fifty, and it says at most about 266.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from detector.event import F32
from detector.signals import ramp
from detector.window.columns import AccountColumns, Column


@dataclass(frozen=True, slots=True)
class ManyClients:
    """Ramp by ratio over the number of distinct clients in a day."""

    name: ClassVar[str] = "many_clients"
    needs: ClassVar[tuple[Column, ...]] = (Column.CLIENTS_24H,)
    rises_with: ClassVar[tuple[Column, ...]] = (Column.CLIENTS_24H,)
    ordinary: float = 5.0  # a person's browser, phone, editor and scripts
    extreme: float = 40.0  # eight times as many: full strength

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength per account; NaN where no request said."""
        return ramp.logarithmic(accounts[Column.CLIENTS_24H], self.ordinary, self.extreme)

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Distinct clients in 24 to 36 hours, estimated."""
        return accounts.at(Column.CLIENTS_24H, row)

    def baseline(self, _accounts: AccountColumns, _row: int) -> float:
        """Where the ramp begins."""
        return self.ordinary

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it."""
        return f"about {self.value(accounts, row):.0f} client programs in a day; ordinary is up to {self.ordinary:.0f}"

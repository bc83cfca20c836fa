"""Block replay: reasoning blocks presented that were issued to another account, session or model.

An encrypted reasoning block only comes from the session that produced it; presented elsewhere, somebody collects and
moves them. Near-deterministic. Harmless causes: a customer who moves a running session between two accounts of its own,
or a gateway that loses track of sessions; a few at most, so the ramp wants `certain` of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from detector.event import F32
from detector.signals import ramp
from detector.window.columns import AccountColumns, Column


@dataclass(frozen=True, slots=True)
class BlockReplay:
    """Ramp over the number of foreign blocks in 24 hours."""

    name: ClassVar[str] = "block_replay"
    needs: ClassVar[tuple[Column, ...]] = (Column.FOREIGN_BLOCKS_24H,)
    rises_with: ClassVar[tuple[Column, ...]] = (Column.FOREIGN_BLOCKS_24H,)
    certain: float = 3.0  # so many foreign blocks a day are full strength

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength per account; NaN where no presented block's issuer is known."""
        return ramp.linear(accounts[Column.FOREIGN_BLOCKS_24H], 0.0, self.certain)

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Foreign blocks in 24 hours."""
        return accounts.at(Column.FOREIGN_BLOCKS_24H, row)

    def baseline(self, _accounts: AccountColumns, _row: int) -> float:
        """None are ordinary."""
        return 0.0

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it."""
        n = accounts.at(Column.BLOCKS_24H, row)
        return f"{self.value(accounts, row):.0f} of {n:.0f} reasoning blocks were issued to somebody else"

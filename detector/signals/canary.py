"""Canary: an account of ours, set up to be found, was active.

It proves the whole path from gateway to sink: no finding for it within its hour of traffic means that something
in between is broken. Harmless by definition, and told at full strength so that no threshold hides it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from detector.event import F32, hash64
from detector.window.columns import AccountColumns, Column


@dataclass(frozen=True, slots=True)
class Canary:
    """Strength 1 for the configured accounts."""

    name: ClassVar[str] = "canary"
    needs: ClassVar[tuple[Column, ...]] = ()
    rises_with: ClassVar[tuple[Column, ...]] = ()
    account_ids: tuple[str, ...] = ()  # none unless configured
    hash_key: int = 0  # that of the account stage

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return 1 for a canary, else 0; always known."""
        canaries = np.array([hash64(account_id, self.hash_key) for account_id in self.account_ids], np.uint64)
        return np.isin(accounts.account, canaries).astype(np.float32)

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Requests in 24 hours."""
        return accounts.at(Column.REQUESTS_24H, row)

    def baseline(self, _accounts: AccountColumns, _row: int) -> float:
        """A canary is silent unless somebody tests."""
        return 0.0

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it."""
        return f"a configured canary sent {self.value(accounts, row):.0f} requests in 24 hours: the path works"

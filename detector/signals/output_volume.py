"""Output volume: the account takes away far more generated text than ordinary accounts do.

Answers are what a harvest is after. Harmless causes: a large application, a licensed synthetic-data job, agents.
By itself it says "large customer"; the busiest campaigns stay below a large customer's volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from detector.event import F32
from detector.signals import ramp
from detector.window.columns import AccountColumns, Column


@dataclass(frozen=True, slots=True)
class OutputVolume:
    """Ramp by ratio over output tokens in 24 hours."""

    name: ClassVar[str] = "output_volume"
    needs: ClassVar[tuple[Column, ...]] = (Column.OUTPUT_TOKENS_24H,)
    rises_with: ClassVar[tuple[Column, ...]] = (Column.OUTPUT_TOKENS_24H,)
    ordinary_tokens: float = 1e6  # 857 requests (the peak of a public campaign's accounts) of 1,200 tokens
    extreme_tokens: float = 3e7  # thirty times as many: full strength

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength per account; NaN where no output length is known."""
        return ramp.logarithmic(accounts[Column.OUTPUT_TOKENS_24H], self.ordinary_tokens, self.extreme_tokens)

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Output tokens in 24 hours."""
        return accounts.at(Column.OUTPUT_TOKENS_24H, row)

    def baseline(self, _accounts: AccountColumns, _row: int) -> float:
        """Tokens where the ramp begins."""
        return self.ordinary_tokens

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it."""
        return (
            f"{self.value(accounts, row):,.0f} output tokens in 24 hours; ordinary is up to {self.ordinary_tokens:,.0f}"
        )

"""Reasoning extraction: the share of prompts that ask for the reasoning behind an answer to be written out.

The most direct sign of distillation in the public reports. The label comes from the sketch and wants more than
"step by step", which every student writes. Harmless causes: prompt-engineering courses, research on explanations,
a tutor that asks for worked solutions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from detector.event import F32
from detector.signals import ramp
from detector.window.columns import AccountColumns, Column


@dataclass(frozen=True, slots=True)
class ReasoningExtraction:
    """Ramp over the share of such prompts, from `least` prompts on."""

    name: ClassVar[str] = "reasoning_extraction"
    needs: ClassVar[tuple[Column, ...]] = (Column.TEXTS_24H, Column.EXTRACTIONS_24H)
    rises_with: ClassVar[tuple[Column, ...]] = (Column.EXTRACTIONS_24H,)
    ordinary_share: float = 0.02  # what a course or a tutor may reach
    extreme_share: float = 0.3  # nearly a third of its prompts: full strength
    least: float = 20.0  # prompts with a sketch in 24 h, below which a share says nothing

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength per account; NaN below `least` prompts with a sketch."""
        return ramp.linear(self._share(accounts), self.ordinary_share, self.extreme_share)

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Share of prompts that ask for reasoning to be written out."""
        return float(self._share(accounts)[row])

    def baseline(self, _accounts: AccountColumns, _row: int) -> float:
        """Share where the ramp begins."""
        return self.ordinary_share

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it."""
        n = accounts.at(Column.TEXTS_24H, row)
        return (
            f"{100 * self.value(accounts, row):.0f} % of {n:.0f} prompts ask for the reasoning itself to be written out"
        )

    def _share(self, accounts: AccountColumns) -> F32:
        return ramp.share(accounts[Column.EXTRACTIONS_24H], accounts[Column.TEXTS_24H], self.least)

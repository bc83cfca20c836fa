"""Grading: nearly all prompts have the model score or compare answers by a rubric.

A model used as a reward model is part of the training pipelines seen in public campaigns. Harmless causes: evaluation
runs and quality checks of honest companies do exactly this, which is why the ramp starts high and the weight is low.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from detector.event import F32
from detector.signals import ramp
from detector.window.columns import AccountColumns, Column


@dataclass(frozen=True, slots=True)
class Grading:
    """Ramp over the share of such prompts, from `least` prompts on."""

    name: ClassVar[str] = "grading"
    needs: ClassVar[tuple[Column, ...]] = (Column.TEXTS_24H, Column.GRADINGS_24H)
    rises_with: ClassVar[tuple[Column, ...]] = (Column.GRADINGS_24H,)
    ordinary_share: float = 0.3  # a mixed evaluation account
    extreme_share: float = 0.9  # nearly every prompt grades: full strength
    least: float = 20.0  # prompts with a sketch in 24 h, below which a share says nothing

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength per account; NaN below `least` prompts with a sketch."""
        return ramp.linear(self._share(accounts), self.ordinary_share, self.extreme_share)

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Share of prompts that grade."""
        return float(self._share(accounts)[row])

    def baseline(self, _accounts: AccountColumns, _row: int) -> float:
        """Share where the ramp begins."""
        return self.ordinary_share

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it."""
        n = accounts.at(Column.TEXTS_24H, row)
        return f"{100 * self.value(accounts, row):.0f} % of {n:.0f} prompts grade answers by a rubric"

    def _share(self, accounts: AccountColumns) -> F32:
        return ramp.share(accounts[Column.GRADINGS_24H], accounts[Column.TEXTS_24H], self.least)

"""Harvest shape: single turns, `max_tokens` pinned, long answers, several samples or log-probabilities.

What one asks for when the answer is to become training data. Single turns are the gate: a conversation is no harvest
shape, however long its answers. Harmless causes: a customer who makes synthetic data under licence, bulk
classification (though its answers are short), evaluation runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from detector.event import F32
from detector.signals import ramp
from detector.window.columns import AccountColumns, Column


@dataclass(frozen=True, slots=True)
class HarvestShape:
    """Share of single turns times the strongest of: long answers at a pinned limit, and several samples."""

    name: ClassVar[str] = "harvest_shape"
    needs: ClassVar[tuple[Column, ...]] = (Column.TURNS_24H, Column.SINGLE_TURN_24H, Column.LONG_OUTPUTS_24H)
    rises_with: ClassVar[tuple[Column, ...]] = (Column.LONG_OUTPUTS_24H, Column.SINGLE_TURN_24H)
    least: float = 20.0  # requests in 24 h, below which a share says nothing
    single_from: float = 0.7  # share of single turns where the ramp begins; it ends at all
    long_from: float = 0.1  # 5 % of ordinary answers are as long (public chat and agent traces)
    long_to: float = 0.6  # ... and full strength when most answers are
    samples_from: float = 0.05  # share of requests for several samples or log-probabilities where the ramp begins ...
    samples_to: float = 0.5  # ... and where it ends

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength per account; NaN below `least` requests whose turns and lengths are known."""
        single = ramp.linear(self._single(accounts), self.single_from, 1.0)
        length = ramp.share(accounts[Column.LONG_OUTPUTS_24H], accounts[Column.OUTPUTS_24H], self.least)
        lengths = ramp.linear(length, self.long_from, self.long_to)
        pinned = ramp.share(accounts[Column.SAME_LIMITS_24H], accounts[Column.LIMITS_24H], self.least)
        samples = ramp.share(accounts[Column.MANY_SAMPLES_24H], accounts[Column.SAMPLINGS_24H], self.least)
        shape = lengths * np.where(pinned >= 0.9, np.float32(1), np.float32(0.6))  # unknown limits are not pinned
        sampled = np.nan_to_num(ramp.linear(samples, self.samples_from, self.samples_to))
        return single * np.maximum(shape, sampled)

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Share of single-turn requests."""
        return float(self._single(accounts)[row])

    def baseline(self, _accounts: AccountColumns, _row: int) -> float:
        """Share of single turns where the ramp begins."""
        return self.single_from

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it."""
        long = accounts.at(Column.LONG_OUTPUTS_24H, row) / accounts.at(Column.OUTPUTS_24H, row)
        return (
            f"{100 * self.value(accounts, row):.0f} % of the requests are single turns and {100 * long:.0f} % of the"
            " answers are long, as when answers are collected"
        )

    def _single(self, accounts: AccountColumns) -> F32:
        return ramp.share(accounts[Column.SINGLE_TURN_24H], accounts[Column.TURNS_24H], self.least)

"""The best published test of one account: kernel two-sample test over its last queries (arXiv 2606.05725).

Our own, as a check of the argument that one account says nothing at campaign rates: the squared maximum mean
discrepancy, unbiased, between a window of an account's queries and a reference of everybody's,
with the linear kernel on a hashed histogram of letter triples (the paper uses sentence embeddings and an RBF kernel).

Thresholds are set without labels: the first day of the stream is the calibration slice. The reference is a sample
of it, at most `per_account` queries each; the threshold is the largest value of any account's own window
in it, and never less than `least`, because hardly any account fills a window in a day.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from detector.baselines.requests import TRIPLES, Flag, Requests
from detector.event import F64

DAY_MS = 86_400_000


@dataclass(slots=True)
class _Window:
    n: int = 0
    total: F64 = field(default_factory=lambda: np.zeros(TRIPLES))


@dataclass(slots=True)
class KernelTest:
    """Windows of 1,500 queries that follow each other; an account is judged when it fills one."""

    name: ClassVar[str] = "mmd_per_account"
    window: int = 1_500
    per_account: int = 5
    least: float = 0.1
    _windows: dict[int, _Window] = field(default_factory=dict)
    _taken: dict[int, int] = field(default_factory=dict)
    _reference: _Window = field(default_factory=_Window)
    _until_ms: int = 0
    _calibrated: list[_Window] = field(default_factory=list)
    _threshold: float | None = None
    _flagged: set[int] = field(default_factory=set)

    def absorb(self, requests: Requests) -> list[Flag]:
        """Take the next chunk."""
        flags: list[Flag] = []
        if not requests.triples.size:
            return flags
        for row in np.flatnonzero(~np.isnan(requests.triples[:, 0])).tolist():
            account, time_ms = int(requests.account[row]), int(requests.time_ms[row])
            query = requests.triples[row]
            self._until_ms = self._until_ms or time_ms + DAY_MS
            if time_ms < self._until_ms and self._taken.get(account, 0) < self.per_account:
                self._taken[account] = self._taken.get(account, 0) + 1
                self._reference.n += 1
                self._reference.total += query
            if account in self._flagged:
                continue
            window = self._windows.setdefault(account, _Window())
            window.n += 1
            window.total += query
            if window.n < self.window:
                continue
            del self._windows[account]
            if time_ms < self._until_ms:
                self._calibrated.append(window)
            elif self._discrepancy(window) > self._calibrate():
                self._flagged.add(account)
                flags.append(Flag(time_ms, (account,)))
        return flags

    def finish(self) -> list[Flag]:
        """Nothing is left to say."""
        return []

    def _calibrate(self) -> float:
        if self._threshold is None:
            self._threshold = max([self.least, *map(self._discrepancy, self._calibrated)])
        return self._threshold

    def _discrepancy(self, window: _Window) -> float:
        return (
            _within(window)
            + _within(self._reference)
            - 2 * float(window.total @ self._reference.total / (window.n * max(self._reference.n, 1)))
        )


def _within(window: _Window) -> float:
    """Return the mean kernel value of two different queries; each row has length 1, so k(x, x) = 1."""
    n = window.n
    return float((window.total @ window.total - n) / (n * (n - 1))) if n > 1 else 0.0

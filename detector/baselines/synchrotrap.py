"""SynchroTrap (Cao et al., CCS 2014), offline over the whole stream: an upper bound, not a competitor.

Two accounts are linked when the Jaccard likeness of their sets of (beginning of the prompt, hour) is at least
`likeness`; connected accounts, at least `smallest` of them, are a group. The original works day by
day on (object, time) with a tolerance of the time; we take the whole stream at once, in hours of the clock,
and credit every member from its first request on: it cannot be beaten in time, only in who it finds
and whom it accuses. Actions of more than `widest` accounts are left out, as the original does to bound its pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from scipy import sparse

from detector.baselines.requests import Flag, Requests

HOUR_MS = 3_600_000
BLOCK = 1_000


@dataclass(slots=True)
class SynchroTrap:
    """Groups of accounts that do the same things in the same hours."""

    name: ClassVar[str] = "synchrotrap_offline"
    likeness: float = 0.5
    fewest_actions: int = 5
    smallest: int = 10
    widest: int = 3_000
    _actions: dict[int, set[int]] = field(default_factory=dict)
    _first_ms: dict[int, int] = field(default_factory=dict)

    def absorb(self, requests: Requests) -> list[Flag]:
        """Take the next chunk; nothing is said before the end."""
        known = np.flatnonzero(requests.beginning)
        hour = (requests.time_ms[known] // HOUR_MS).astype(np.uint64)
        action = requests.beginning[known] ^ (hour * np.uint64(0x9E3779B97F4A7C15))
        times = requests.time_ms[known].tolist()
        for account, a, t in zip(requests.account[known].tolist(), action.tolist(), times, strict=True):
            self._actions.setdefault(account, set()).add(a)
            self._first_ms[account] = min(t, self._first_ms.get(account, t))
        return []

    def finish(self) -> list[Flag]:
        """Return the groups."""
        accounts = sorted(a for a, actions in self._actions.items() if len(actions) >= self.fewest_actions)
        if not accounts:
            return []
        rows = np.repeat(np.arange(len(accounts)), [len(self._actions[a]) for a in accounts])
        _, columns = np.unique(
            np.array([x for a in accounts for x in self._actions[a]], np.uint64), return_inverse=True
        )
        uses = np.bincount(columns)
        keep = (uses[columns] > 1) & (uses[columns] <= self.widest)
        size = np.array([len(self._actions[a]) for a in accounts], np.float32)
        used = sparse.csr_matrix(
            (np.ones(keep.sum(), np.float32), (rows[keep], columns[keep])), shape=(len(accounts), len(uses))
        )
        links = []
        for start in range(0, len(accounts), BLOCK):
            both = (used[start : start + BLOCK] @ used.T).tocoo()
            union = size[both.row + start] + size[both.col] - both.data
            alike = both.data >= self.likeness * union
            links.append(np.column_stack([both.row[alike] + start, both.col[alike]]))
        pairs = np.concatenate(links)
        graph = sparse.coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(accounts),) * 2)
        _, component = sparse.csgraph.connected_components(graph, directed=False)
        flags = []
        for c in np.flatnonzero(np.bincount(component) >= self.smallest).tolist():
            members = [accounts[i] for i in np.flatnonzero(component == c).tolist()]
            flags += [Flag(self._first_ms[a], (a,), f"{self.name}-{c}") for a in members]
        return sorted(flags)

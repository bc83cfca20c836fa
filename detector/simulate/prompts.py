"""Real prompts in the place of the grammars: whose they are, so that nobody shares more than the collections do.

    benign, no family   │a0 a0 a0│a7 a7 a7│a3 …     people: a window of neighbouring prompts each; who has none
    benign, a family    │ a2's own │  a9's  │ …     API customers: a family each            writes as before
    harvest, a family   │ operator 1 │ operator 2 │ campaigns: of the family that their content names (or any),
                        │m0│m1│m2│…  │            │ a slice for each operator, of it a slice for each account

A person asks a real prompt in six of ten sessions, as their first request; customers and campaigns ask
nothing else. An account asks what is in its own window or slice again and again, in no order. Only where a slice
has fewer prompts than accounts do several accounts ask the same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from detector.simulate.actors import I64, Table, mixed
from detector.simulate.writers import BUSINESS, CHAT, MANY

WINDOW: Final = 8  # prompts of a person, at least
REAL_SESSIONS: Final = 60  # of a hundred of a person's


@dataclass(frozen=True, slots=True)
class Collections:
    """Real prompts by family ("" where none is told), each prompt JSON-escaped."""

    benign: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    harvest: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Author:
    """One part of an operator's content: its writer's number, the family it asks for, the accounts that ask."""

    writer: int
    family: str
    accounts: I64


class RealPrompts:
    """Which real prompt each request brings."""

    def __init__(
        self,
        collections: Collections,
        rng: np.random.Generator,
        accounts: int,
        people: I64,
        customers: I64,
        authors: Sequence[Author],
    ) -> None:
        """Deal the prompts out to `accounts` accounts; `people` and `customers` are those with such writers."""
        self._accounts = accounts
        self.texts: list[str] = []
        self._windows: dict[int, tuple[I64, I64]] = {}  # by writer: begin and width of each account's window
        own = self._add([collections.benign.get("", ())])[0]
        windows = _split(*own, max(1, min(len(people), (own[1] - own[0]) // WINDOW)))
        self._windows[CHAT] = self._windows[MANY] = self._dealt(rng, people, windows)
        families = self._add([rows for name, rows in sorted(collections.benign.items()) if name])
        self._windows[BUSINESS] = self._dealt(rng, customers, families)
        names = sorted(name for name, rows in collections.harvest.items() if rows)
        slices = dict(zip(names, self._add([collections.harvest[name] for name in names]), strict=True))
        asking: dict[str, list[Author]] = {}
        for author in authors if names else ():
            name = author.family if author.family in slices else names[author.writer % len(names)]
            asking.setdefault(name, []).append(author)
        for name, together in asking.items():
            for author, portion in zip(together, _split(*slices[name], len(together)), strict=True):
                each = _split(*portion, len(author.accounts))
                self._windows[author.writer] = self._given(author.accounts, each)

    def choose(self, rows: Table) -> I64:
        """Return for each request the number of its prompt in `texts`, -1 where it brings none of them."""
        chosen = np.full(len(rows), -1, np.int64)
        for writer in np.unique(rows["writer"]).tolist():
            if writer not in self._windows:
                continue
            mine = np.flatnonzero(rows["writer"] == writer)
            if writer in {CHAT, MANY}:
                mine = mine[(rows["turn"][mine] == 0) & (mixed(rows["key"][mine]) % np.uint64(100) < REAL_SESSIONS)]
            begin, width = (column[rows["account"][mine]] for column in self._windows[writer])
            mine, begin, width = mine[width > 0], begin[width > 0], width[width > 0]
            drawn = mixed(rows["seed"][mine]) % width.astype(np.uint64)
            chosen[mine] = begin + drawn.astype(np.int64)
        return chosen

    def _add(self, parts: Iterable[Sequence[str]]) -> list[tuple[int, int]]:
        places = []
        for part in parts:
            begin = len(self.texts)
            self.texts.extend(part)
            places.append((begin, len(self.texts)))
        return places

    def _dealt(self, rng: np.random.Generator, accounts: I64, windows: list[tuple[int, int]]) -> tuple[I64, I64]:
        """Give a window each to accounts drawn at random; where there are more accounts, the others have none."""
        order = rng.permutation(accounts)
        return self._given(order[: len(windows)], windows[: len(order)])

    def _given(self, accounts: I64, windows: list[tuple[int, int]]) -> tuple[I64, I64]:
        begin, width = np.zeros(self._accounts, np.int64), np.zeros(self._accounts, np.int64)
        bounds = np.array(windows, np.int64).reshape(-1, 2)
        begin[accounts], width[accounts] = bounds[:, 0], bounds[:, 1] - bounds[:, 0]
        return begin, width


def _split(begin: int, end: int, parts: int) -> list[tuple[int, int]]:
    """Cut [begin, end) into so many neighbouring slices; where there are too few, slices of one, used in turns."""
    size = end - begin
    if 0 < size < parts:
        return [(begin + part % size, begin + part % size + 1) for part in range(parts)]
    return [(begin + size * part // parts, begin + size * (part + 1) // parts) for part in range(parts)]

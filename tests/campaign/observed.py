"""Small observations, written as one reads them: `observed(step, source, [(account, kind, value), …])`.

A row may also name the text that was asked: (account, kind, value, text). Rows of the same account and
link are added up. `Crowd` is the same over time: it remembers since when each account is seen and how
much it has asked, as the account stage does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detector.campaign import observation
from detector.campaign.link import mix
from detector.campaign.observation import CAPABILITIES, AccountFacts, Judged, LinkKind, Observations, Pairs
from detector.event import LABELS, hash64

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
STEPS_A_DAY = 1440
FIRST_STEP = 20_000 * STEPS_A_DAY  # a midnight

Row = tuple[Any, ...]


def value_of(kind: LinkKind, value: int | str) -> int:
    """The 64-bit value of a link, mixed with its kind as `links_of` does."""
    number = np.array([hash64(str(value), 7)], np.uint64)
    return int(mix(number, kind)[0])


def at_ms(step: int, account: str) -> int:
    """A time within the step, another one for each account."""
    return step * MINUTE + hash64(account, step) % MINUTE


def facts_of(accounts: Sequence[str], columns: Mapping[str, Callable[[str], Any]] | None = None) -> AccountFacts:
    """The facts of these accounts: unknown, unless a column says otherwise of an account."""
    given = columns or {}
    n = len(accounts)

    def column(name: str, dtype: type[np.generic], unknown: float) -> Any:
        return np.array([given[name](a) if name in given else unknown for a in accounts], dtype).reshape(n)

    return AccountFacts(
        ids=tuple(accounts),
        created_ms=column("created_ms", np.int64, -1),
        first_seen_ms=column("first_seen_ms", np.int64, FIRST_STEP * MINUTE),
        status_ms=column("status_ms", np.int64, -1),
        org=column("org", np.uint64, 0),
        prefix=column("prefix", np.uint64, 0),
        tier=column("tier", np.int8, -1),
        status=column("status", np.int8, -1),
        requests=column("requests", np.int64, 1),
        output_tokens=column("output_tokens", np.int64, 100),
        requests_24h=column("requests_24h", np.float32, np.nan),
        active_hours_24h=column("active_hours_24h", np.float32, np.nan),
        refused_24h=column("refused_24h", np.float32, np.nan),
        single_turn_24h=column("single_turn_24h", np.float32, np.nan),
        score=column("score", np.float32, 0),
        capabilities=np.zeros((n, len(CAPABILITIES)), np.int32),
        labels=np.zeros((n, len(LABELS)), np.int32),
    )


def pairs_of(step: int, accounts: Sequence[str], rows: Iterable[Row]) -> Pairs:
    """One pair for each account and link of the rows, sorted."""
    index = {account: i for i, account in enumerate(accounts)}
    texts: dict[tuple[int, int, int], list[int]] = {}
    for account, kind, value, *text in rows:
        item = hash64(str(text[0]), 3) if text else 0
        texts.setdefault((index[account], int(kind), value_of(kind, value)), []).append(item)
    merged = sorted(texts.items())
    n = len(merged)
    known = [[item for item in items if item] for _, items in merged]
    at = np.array([at_ms(step, accounts[account]) for (account, _, _), _ in merged], np.int64)
    return Pairs(
        account=np.array([key[0] for key, _ in merged], np.int32).reshape(n),
        kind=np.array([key[1] for key, _ in merged], np.uint8).reshape(n),
        value=np.array([key[2] for key, _ in merged], np.uint64).reshape(n),
        count=np.array([len(items) for _, items in merged], np.int32).reshape(n),
        items=np.array([len(set(items)) for items in known], np.int32).reshape(n),
        item=np.array([min(items, default=0) for items in known], np.uint64).reshape(n),
        output_tokens=np.array([100 * len(items) for _, items in merged], np.int64).reshape(n),
        first_ms=at,
        last_ms=at,
    )


def judged_of(accounts: Sequence[str], rows: Sequence[tuple[str, int, float, Sequence[Any]]] = ()) -> Judged:
    """Judgements (account, tick_ms, score, reasons)."""
    return Judged(
        account=np.array([accounts.index(row[0]) for row in rows], np.int32),
        tick_ms=np.array([row[1] for row in rows], np.int64),
        score=np.array([row[2] for row in rows], np.float32),
        strengths=np.zeros((len(rows), 1 if rows else 0), np.float32),
        because=tuple(tuple(tuple(reason) for reason in row[3]) for row in rows),
    )


def observed(
    step: int,
    source: int,
    rows: Sequence[Row],
    *,
    judged: Sequence[tuple[str, int, float, Sequence[Any]]] = (),
    models: Mapping[str, str] | None = None,
    **columns: Callable[[str], Any],
) -> Observations:
    """What one source saw in one step; `columns` give facts of accounts by name, as functions of the account."""
    accounts = sorted({row[0] for row in rows} | {row[0] for row in judged})
    pairs = pairs_of(step, accounts, rows)
    used = {} if models is None else models
    return Observations(
        source=source,
        step=step,
        accounts=facts_of(accounts, columns),
        pairs=pairs,
        judged=judged_of(accounts, judged),
        models=tuple((accounts.index(a), used[a], 1) for a in accounts if a in used),
    )


@dataclass
class Crowd:
    """Accounts of one source over time; `created_ms` (-1 unknown) and `prefix` are of an account."""

    source: int = 0
    created_ms: Callable[[str], int] = lambda _: -1
    single_turn: float = 1.0
    prefix: Callable[[str], int] = lambda account: hash64(account, 1)  # a network for each
    requests: dict[str, int] = field(default_factory=dict)
    first_seen: dict[str, int] = field(default_factory=dict)

    def step(self, step: int, rows: Sequence[Row], **more: Any) -> bytes:
        """The record of one step; each row is one request on a link."""
        asked: dict[tuple[str, LinkKind], int] = {}
        for account, kind, *_ in rows:
            asked[account, kind] = asked.get((account, kind), 0) + 1
            self.first_seen.setdefault(account, step * MINUTE)
        for account in {account for account, _ in asked}:
            most = max(count for (who, _), count in asked.items() if who == account)
            self.requests[account] = self.requests.get(account, 0) + most
        columns = {
            "created_ms": self.created_ms,
            "first_seen_ms": lambda account: self.first_seen.get(account, step * MINUTE),
            "requests": lambda account: self.requests.get(account, 0),
            "output_tokens": lambda account: 100 * self.requests.get(account, 0),
            "requests_24h": lambda account: self.requests.get(account, 0),
            "single_turn_24h": lambda account: self.single_turn * self.requests.get(account, 0),
            "prefix": self.prefix,
        }
        return observation.encode(observed(step, self.source, rows, **{**columns, **more}))

"""From pairs of account and link to what stage 1 says: the records of closed steps.

Everything is done for all partitions and steps of a batch at once, and cut into records at the end:
a slow replay closes thousands of steps a batch with a handful of events in each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.campaign import observation
from detector.campaign.observation import Judged
from detector.event import F32, I64, U64, places
from detector.stores import Message
from detector.window.activity import rows_of

Sentences = tuple[tuple[str, float, float, float | None, float | None, str], ...]
Rows = npt.NDArray[Any]

MODEL: Final = 0  # the kind of a pair that counts requests to a model; no link

PAIR: Final = np.dtype(
    [
        ("row", "<i8"),
        ("step", "<i8"),
        ("value", "<u8"),
        ("item", "<u8"),
        ("output_tokens", "<i8"),
        ("first_ms", "<i8"),
        ("last_ms", "<i8"),
        ("count", "<i4"),
        ("kind", "u1"),
    ]
)
"""An account row used link (kind, value) with text `item` (0 unknown) in a step."""

CLOSED: Final = np.dtype(
    [("row", "<i8"), ("step", "<i8"), ("account", "<u8"), ("partition", "<i4"), ("facts", observation.FACTS)]
)
"""AccountFacts of an account row at the end of a step in which it was active."""

# A pair's place in the records of a batch, as one number: record (33 bits), account (26), kind (5).
_ACCOUNT_BITS: Final = np.uint64(26)
_ACCOUNT_MASK: Final = np.uint64((1 << 26) - 1)
_KIND_BITS: Final = np.uint64(5)
_KIND_MASK: Final = np.uint64((1 << 5) - 1)

_PLACES_EACH: Final = 8  # a table with a place for every (row, step) is faster than a search where so few are empty
_PLACES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Judgements that are told: J account rows at the end of a step, with strengths [J, signals] and sentences."""

    row: I64
    step: I64
    end_ms: I64
    score: F32
    strengths: F32
    because: tuple[Sentences, ...]


def starts_of(*columns: Rows) -> I64:
    """Return where runs of equal entries begin."""
    if not len(columns[0]):
        return np.zeros(0, np.int64)
    change = np.zeros(len(columns[0]), bool)
    change[0] = True
    for column in columns:
        change[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(change)


def nothing(source: int, step: int, link_partition: int) -> Message:
    """Return the announcement that a source has closed a step in which it has nothing to say to a link partition."""
    record = observation.record_of(source, step, (), b"", b"", None, ())
    return Message("observations", link_partition, str(source), record)


def messages(
    facts: Rows, pairs: Rows, verdicts: Verdicts, ids: list[str], models: dict[int, str], link_partitions: int
) -> list[tuple[int, int, list[Message]]]:
    """Return (source, step, one message per link partition) for every closed step in `facts`, in that order.

    Pairs, verdicts and `facts` are of the same (account row, step). `ids` names the rows, `models` the
    values of MODEL pairs. A link's pairs go to partition value mod `link_partitions`; what is about
    the account itself (facts, models, verdicts) to its home, account mod `link_partitions`.
    """
    if not len(facts):
        return []
    facts = rows_of(facts, np.lexsort((facts["account"], facts["step"], facts["partition"])))
    begins = starts_of(facts["partition"], facts["step"])
    of_step = np.zeros(len(facts), np.int64)
    of_step[begins] = 1
    of_step = np.cumsum(of_step) - 1
    wide = np.uint64(link_partitions)
    fact_message: U64 = of_step.astype(np.uint64) * wide
    home: U64 = np.add(fact_message, facts["account"] % wide)

    find = _Finder(facts)
    at = find(pairs["row"], pairs["step"])
    kind = pairs["kind"].astype(np.uint64)
    to: U64 = np.add(fact_message[at], pairs["value"] % wide)
    to[kind == MODEL] = home[at[kind == MODEL]]
    head, rows = folded((((to << _ACCOUNT_BITS) | at.astype(np.uint64)) << _KIND_BITS) | kind, pairs)
    at_home = (home << _ACCOUNT_BITS) | np.arange(len(facts), dtype=np.uint64)
    used = head >> _KIND_BITS
    table = np.sort(np.concatenate([used[starts_of(used)], at_home]))
    table = table[starts_of(table)]
    count_messages = len(begins) * link_partitions
    edges = np.arange(count_messages + 1, dtype=np.uint64)
    table_bounds = np.searchsorted(table, edges << _ACCOUNT_BITS)
    told = rows_of(facts, (table & _ACCOUNT_MASK).astype(np.int64))
    told_ids = [ids[row] for row in told["row"].tolist()]

    index = np.searchsorted(table, used) - table_bounds[(head >> (_ACCOUNT_BITS + _KIND_BITS)).astype(np.int64)]
    is_link = (head & _KIND_MASK) != MODEL
    rows["account"] = index
    by_model, rows = rows[~is_link], rows[is_link]
    model_bounds = np.searchsorted(head[~is_link], edges << (_ACCOUNT_BITS + _KIND_BITS)).tolist()
    model_rows = [
        (account, models[value], count)
        for account, value, count in zip(
            by_model["account"].tolist(), by_model["value"].tolist(), by_model["count"].tolist(), strict=True
        )
    ]
    judged, judged_bounds = _judged(verdicts, find, at_home, table, table_bounds, edges)

    pair_at = (
        np.searchsorted(head[is_link], edges << (_ACCOUNT_BITS + _KIND_BITS)) * observation.PAIRS.itemsize
    ).tolist()
    table_at, judged_at = table_bounds.tolist(), judged_bounds.tolist()
    fact_bytes, pair_bytes = told["facts"].tobytes(), rows.tobytes()
    fact_size = observation.FACTS.itemsize
    result = []
    m = 0
    for source, step in zip(facts["partition"][begins].tolist(), facts["step"][begins].tolist(), strict=True):
        out = []
        for q in range(link_partitions):
            a, a_end = table_at[m], table_at[m + 1]
            record = observation.record_of(
                source,
                step,
                told_ids[a:a_end],
                fact_bytes[a * fact_size : a_end * fact_size],
                pair_bytes[pair_at[m] : pair_at[m + 1]],
                _between(judged, judged_at[m], judged_at[m + 1]) if judged_at[m] < judged_at[m + 1] else None,
                model_rows[model_bounds[m] : model_bounds[m + 1]],
            )
            out.append(Message("observations", q, str(source), record))
            m += 1
        result.append((source, step, out))
    return result


class _Finder:
    """Where the facts of (account row, step) stand."""

    def __init__(self, facts: Rows) -> None:
        self._first = int(facts["step"].min())
        self._span = int(facts["step"].max()) - self._first + 1
        keys = facts["row"] * self._span + (facts["step"] - self._first)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        self._places: I64 | None = None
        if self._keys[-1] < _PLACES_EACH * len(keys) + _PLACES:
            self._places = np.empty(self._keys[-1] + 1, np.int64)
            self._places[keys] = np.arange(len(keys))

    def __call__(self, row: I64, step: I64) -> I64:
        keys = row * self._span + (step - self._first)
        if self._places is not None:
            place: I64 = self._places[keys]
        else:
            place = self._order[np.searchsorted(self._keys, keys)]
        return place


def folded(key: U64, pairs: Rows) -> tuple[U64, Rows]:
    """Return one row (dtype observation.PAIRS; `account` left open) for each (key, value) of the pairs, in that order.

    One sort of 64-bit numbers is several times faster than a sort by two columns, so the key is filled up with the
    first bits of the value, and the loop sorts again what this leaves undecided. The key ends in the pair's kind.
    """
    if not len(pairs):
        return key, np.zeros(0, observation.PAIRS)
    from detector.stages import loops  # noqa: PLC0415 - numba costs a second and 100 MB

    room = 64 - int(key.max()).bit_length()
    packed = (key << np.uint64(room)) | (pairs["value"] >> np.uint64(64 - room)) if 0 < room < 64 else key
    order = np.argsort(packed)
    first, rows = loops.folded(
        order, packed[order], pairs, places(pairs["item"], 1 << 63), np.empty(len(pairs), observation.PAIRS)
    )
    return key[first], rows


def _between(judged: Judged, start: int, end: int) -> Judged:
    return Judged(
        judged.account[start:end],
        judged.tick_ms[start:end],
        judged.score[start:end],
        judged.strengths[start:end],
        judged.because[start:end],
    )


def _judged(
    verdicts: Verdicts, find: _Finder, at_home: U64, table: U64, table_bounds: I64, edges: U64
) -> tuple[Judged, I64]:
    """Return the verdicts in the order of the records, and where each record's begin."""
    key = at_home[find(verdicts.row, verdicts.step)]
    order = np.argsort(key, kind="stable")
    key = key[order]
    message = (key >> _ACCOUNT_BITS).astype(np.int64)
    account = (np.searchsorted(table, key) - table_bounds[message]).astype(np.int32)
    judged = Judged(
        account,
        verdicts.end_ms[order],
        verdicts.score[order],
        verdicts.strengths[order],
        tuple(verdicts.because[i] for i in order.tolist()),
    )
    return judged, np.searchsorted(key, edges << _ACCOUNT_BITS)


def joined(parts: Sequence[Rows], dtype: np.dtype[Any]) -> Rows:
    """Return structured arrays one after the other; as plain bytes, for numpy would copy field by field."""
    plain = f"V{dtype.itemsize}"
    return np.concatenate([np.zeros(0, plain), *(part.view(plain) for part in parts)]).view(dtype)

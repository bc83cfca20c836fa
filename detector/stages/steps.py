"""From what a batch saw to what stage 1 says: pairs gathered per step, and the records of closed steps.

Everything is done for all partitions and steps of a batch at once, and cut into records at the end:
a slow replay closes thousands of steps a batch with a handful of events in each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from detector.campaign import observation
from detector.campaign.observation import CAPABILITIES, AccountFacts, Judged, Observations, Pairs
from detector.event import F32, I64, LABELS, U64
from detector.stores import Message

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

FACTS: Final = np.dtype(
    [
        ("row", "<i8"),
        ("step", "<i8"),
        ("account", "<u8"),
        ("partition", "<i4"),
        ("created_ms", "<i8"),
        ("first_seen_ms", "<i8"),
        ("status_ms", "<i8"),
        ("org", "<u8"),
        ("tier", "i1"),
        ("status", "i1"),
        ("requests", "<i8"),
        ("output_tokens", "<i8"),
        ("requests_24h", "<f4"),
        ("active_hours_24h", "<f4"),
        ("refused_24h", "<f4"),
        ("single_turn_24h", "<f4"),
        ("score", "<f4"),
        ("capabilities", "<i4", (len(CAPABILITIES),)),
        ("labels", "<i4", (len(LABELS),)),
    ]
)
"""AccountFacts of an account row at the end of a step in which it was active."""

_FACT_COLUMNS: Final = tuple(name for name in AccountFacts.__dataclass_fields__ if name != "ids")
_NO_ITEM: Final = np.uint64(0xFFFFFFFFFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Judgements that are told: J account rows at the end of a step, with strengths [J, signals] and sentences."""

    row: I64
    step: I64
    end_ms: I64
    score: F32
    strengths: F32
    because: tuple[Sentences, ...]


def gathered(key: U64, pairs: Rows) -> tuple[U64, Rows]:
    """Sort pairs by (key, value, item) and merge those that agree in all three; return keys and pairs."""
    columns = (pairs["value"], key)
    order = np.lexsort((pairs["item"], *columns) if pairs["item"].any() else columns)
    key, pairs = key[order], pairs[order]
    starts = _starts(key, pairs["value"], pairs["item"])
    if len(starts) == len(pairs):
        return key, pairs
    merged = pairs[starts]
    merged["count"] = np.add.reduceat(pairs["count"], starts)
    merged["output_tokens"] = np.add.reduceat(pairs["output_tokens"], starts)
    merged["first_ms"] = np.minimum.reduceat(pairs["first_ms"], starts)
    merged["last_ms"] = np.maximum.reduceat(pairs["last_ms"], starts)
    return key[starts], merged


def _starts(*columns: Rows) -> I64:
    """Return where runs of equal entries begin."""
    if not len(columns[0]):
        return np.zeros(0, np.int64)
    change = np.zeros(len(columns[0]), bool)
    change[0] = True
    for column in columns:
        change[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(change)


def compacted(pairs: Rows) -> Rows:
    """Merge the pairs of one open step that agree in row, kind, value and item."""
    return gathered((pairs["row"].astype(np.uint64) << np.uint64(8)) | pairs["kind"], pairs)[1]


def nothing(source: int, step: int, link_partition: int) -> Message:
    """Return the announcement that a source has closed a step in which it has nothing to say to a link partition."""
    return Message("observations", link_partition, str(source), _empty(source, step))


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
    facts = facts[np.lexsort((facts["account"], facts["step"], facts["partition"]))]
    begins = _starts(facts["partition"], facts["step"])
    of_step = np.zeros(len(facts), np.int64)
    of_step[begins] = 1
    of_step = np.cumsum(of_step) - 1
    wide = np.uint64(link_partitions)
    fact_message = of_step.astype(np.uint64) * wide
    home = fact_message + facts["account"] % wide

    find = _Finder(facts)
    at = find(pairs["row"], pairs["step"])
    kind = pairs["kind"].astype(np.uint64)
    to = np.where(kind == MODEL, home[at], fact_message[at] + pairs["value"] % wide)
    key, pairs = gathered(((to << np.uint64(26) | at.astype(np.uint64)) << np.uint64(5)) | kind, pairs)
    starts = _starts(key, pairs["value"])
    at_home = (home << np.uint64(26)) | np.arange(len(facts), dtype=np.uint64)
    table = np.unique(np.concatenate([key[starts] >> np.uint64(5), at_home]))
    count_messages = len(begins) * link_partitions
    edges = np.arange(count_messages + 1, dtype=np.uint64)
    table_bounds = np.searchsorted(table, edges << np.uint64(26))
    told = facts[(table & np.uint64((1 << 26) - 1)).astype(np.int64)]
    told_ids = [ids[row] for row in told["row"].tolist()]

    head = key[starts]
    index = np.searchsorted(table, head >> np.uint64(5)) - table_bounds[(head >> np.uint64(31)).astype(np.int64)]
    is_link = (head & np.uint64(31)) != MODEL
    link_key, model_key = head[is_link], head[~is_link]
    columns = Pairs(index[is_link].astype(np.int32), *(column[is_link] for column in _pair_columns(pairs, starts)))
    pair_bounds = np.searchsorted(link_key, edges << np.uint64(31))
    model_bounds = np.searchsorted(model_key, edges << np.uint64(31)).tolist()
    model_counts = np.add.reduceat(pairs["count"], starts)[~is_link] if len(starts) else np.zeros(0, np.int32)
    model_rows = list(
        zip(
            index[~is_link].tolist(),
            (models[value] for value in pairs["value"][starts][~is_link].tolist()),
            model_counts.tolist(),
            strict=True,
        )
    )
    judged, judged_bounds = _judged(verdicts, find, at_home, table, table_bounds, edges)

    result = []
    table_at, pair_at, judged_at = table_bounds.tolist(), pair_bounds.tolist(), judged_bounds.tolist()
    facts_columns = {name: np.ascontiguousarray(told[name]) for name in _FACT_COLUMNS}
    for number, (source, step) in enumerate(
        zip(facts["partition"][begins].tolist(), facts["step"][begins].tolist(), strict=True)
    ):
        out = []
        for q in range(link_partitions):
            m = number * link_partitions + q
            a, a_end, p, p_end, j, j_end = (
                table_at[m],
                table_at[m + 1],
                pair_at[m],
                pair_at[m + 1],
                judged_at[m],
                judged_at[m + 1],
            )
            if a == a_end:
                out.append(nothing(source, step, q))
                continue
            record = Observations(
                source,
                step,
                AccountFacts(
                    tuple(told_ids[a:a_end]), **{name: column[a:a_end] for name, column in facts_columns.items()}
                ),
                _cut(columns, p, p_end),
                Judged(
                    judged.account[j:j_end],
                    judged.tick_ms[j:j_end],
                    judged.score[j:j_end],
                    judged.strengths[j:j_end],
                    judged.because[j:j_end],
                ),
                tuple(model_rows[model_bounds[m] : model_bounds[m + 1]]),
            )
            out.append(Message("observations", q, str(source), observation.encode(record)))
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

    def __call__(self, row: I64, step: I64) -> I64:
        place: I64 = self._order[np.searchsorted(self._keys, row * self._span + (step - self._first))]
        return place


def _pair_columns(pairs: Rows, starts: I64) -> list[Rows]:
    """Return the columns of Pairs after `account`: each run of texts of a pair merged into one row."""
    if not len(starts):
        empty = pairs[:0]
        return [empty[n] for n in ("kind", "value", "count", "count", "item", "output_tokens", "first_ms", "last_ms")]
    item = pairs["item"]
    least = np.minimum.reduceat(np.where(item == 0, _NO_ITEM, item), starts)
    return [
        pairs["kind"][starts],
        pairs["value"][starts],
        np.add.reduceat(pairs["count"], starts),
        np.add.reduceat((item != 0).astype(np.int32), starts),
        np.where(least == _NO_ITEM, np.uint64(0), least),
        np.add.reduceat(pairs["output_tokens"], starts),
        np.minimum.reduceat(pairs["first_ms"], starts),
        np.maximum.reduceat(pairs["last_ms"], starts),
    ]


def _cut(pairs: Pairs, start: int, end: int) -> Pairs:
    return Pairs(
        pairs.account[start:end],
        pairs.kind[start:end],
        pairs.value[start:end],
        pairs.count[start:end],
        pairs.items[start:end],
        pairs.item[start:end],
        pairs.output_tokens[start:end],
        pairs.first_ms[start:end],
        pairs.last_ms[start:end],
    )


def _judged(
    verdicts: Verdicts, find: _Finder, at_home: U64, table: U64, table_bounds: I64, edges: U64
) -> tuple[Judged, I64]:
    """Return the verdicts in the order of the records, and where each record's begin."""
    key = at_home[find(verdicts.row, verdicts.step)]
    order = np.argsort(key, kind="stable")
    key = key[order]
    message = (key >> np.uint64(26)).astype(np.int64)
    account = (np.searchsorted(table, key) - table_bounds[message]).astype(np.int32)
    judged = Judged(
        account,
        verdicts.end_ms[order],
        verdicts.score[order],
        verdicts.strengths[order],
        tuple(verdicts.because[i] for i in order.tolist()),
    )
    return judged, np.searchsorted(key, edges << np.uint64(26))


def _nobody() -> AccountFacts:
    columns = {name: np.zeros(0, FACTS).copy()[name] for name in _FACT_COLUMNS}
    return AccountFacts((), **columns)


_NO_PAIRS: Final = Pairs(np.zeros(0, np.int32), *_pair_columns(np.zeros(0, PAIR), np.zeros(0, np.int64)))
_NO_VERDICTS: Final = Judged(
    np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 0), np.float32), ()
)
_SILENCE: Final = observation.encode(Observations(0, 0, _nobody(), _NO_PAIRS, _NO_VERDICTS, ()))


def _empty(source: int, step: int) -> bytes:
    """Encode an empty record: as `_SILENCE`, but for source and step."""
    return observation.encode(Observations(source, step, _nobody(), _NO_PAIRS, _NO_VERDICTS, ()))


class Pending:
    """The pairs of one partition's open step, and the chunks of them that the store already holds."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._kept: list[Rows] = []
        self._fresh: list[Rows] = []
        self._size = 0
        self._compact_at = COMPACT_AT_LEAST
        self.chunks = 0

    def add(self, pairs: Rows) -> None:
        """Add pairs of the open step."""
        self._fresh.append(pairs)
        self._size += len(pairs)
        if self._size > self._compact_at:
            self._fresh = [compacted(np.concatenate(self._fresh))]
            self._size = len(self._fresh[0])
            self._compact_at = max(COMPACT_AT_LEAST, 4 * self._size)

    def take(self) -> list[Rows]:
        """Give up all pairs, as the step closes."""
        taken = self._kept + self._fresh
        self._kept, self._fresh, self._size = [], [], 0
        return taken

    def drain(self, ids: list[str], models: dict[int, str]) -> bytes | None:
        """Return what was added since the last drain, in terms of ids and names; None when nothing was."""
        if not self._fresh:
            return None
        pairs = compacted(np.concatenate(self._fresh))
        self._kept.append(pairs)
        self._fresh, self._size = [], 0
        rows, index = np.unique(pairs["row"], return_inverse=True)
        written = pairs.copy()
        written["row"] = index
        named = sorted(set(pairs["value"][pairs["kind"] == MODEL].tolist()))
        content = ([ids[row] for row in rows.tolist()], [(value, models[value]) for value in named], written.tobytes())
        return msgspec.msgpack.encode(content)

    def restore(self, chunk: bytes, rows_of: dict[str, int], models: dict[int, str]) -> None:
        """Take back a chunk; `rows_of` says where each account's row is now."""
        names, named, content = msgspec.msgpack.decode(chunk, type=tuple[list[str], list[tuple[int, str]], bytes])
        pairs = np.frombuffer(content, PAIR).copy()
        pairs["row"] = np.array([rows_of[name] for name in names], np.int64)[pairs["row"]]
        models.update(named)
        self._kept.append(pairs)


COMPACT_AT_LEAST: Final = 500_000  # pairs, some 60 bytes each

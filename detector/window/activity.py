"""What is kept of an account: one row of fixed size, and how a batch of events goes into it.

    events ─► cells: what one account did in one step and one minute ─► rings of tiles, bitmaps, totals
                                                                           └─► AccountColumns at a time T

Volumes are kept in all five windows, traits in the 24 h window only. A trait is a count, and
beside it stands how many events *knew*: events without the field are in neither.

Everything added commutes within an account's step (sums, maxima, bit sets, stamps), so a step may
be cut into batches anywhere. What depends on the order of an account's events (the pause since the
one before, whether it repeats its `max_tokens`) is taken in arrival order before events become cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.event import F32, I64, LABELS, OUTCOMES, U64, EventBatch, Mask
from detector.window import distinct, mixture
from detector.window.columns import AccountColumns, Column
from detector.window.tiles import LIMIT, NEVER, U32, Level

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS

FIVE_MINUTES: Final = Level("5m", MINUTE_MS, 5)
HOUR: Final = Level("1h", 10 * MINUTE_MS, 6)
DAY: Final = Level("24h", 4 * HOUR_MS, 6)
WEEK: Final = Level("7d", DAY_MS, 7)
SIX_WEEKS: Final = Level("45d", 9 * DAY_MS, 5)
MARKS: Final = Level("marks", 12 * HOUR_MS, 2)

LONG_OUTPUT_TOKENS: Final = 1000  # p95 of chat is ~450, of coding agents ~1,040 (public traces)
CAPABILITY_CLASSES: Final = 8
_REFUSED: Final = OUTCOMES.index("refused")
_HOURS_KEPT: Final = 64
_OCTAVE: Final = 8  # pauses are kept as eighths of an octave


class Volume(IntEnum):
    """Summed in every window."""

    REQUESTS = 0
    INPUT_TOKENS = auto()
    OUTPUT_TOKENS = auto()
    CACHE_READ_TOKENS = auto()


class Trait(IntEnum):
    """Summed in the 24 h window, after the volumes."""

    INPUTS = len(Volume)
    OUTPUTS = auto()
    LONG_OUTPUTS = auto()
    CACHES = auto()
    OUTCOMES = auto()
    REFUSED = auto()
    FAILED = auto()
    TURNS = auto()
    SINGLE_TURN = auto()
    LIMITS = auto()
    SAME_LIMITS = auto()
    SAMPLINGS = auto()
    MANY_SAMPLES = auto()
    TEXTS = auto()
    EXTRACTIONS = auto()
    GRADINGS = auto()
    PROBES = auto()
    BLOCKS = auto()
    FOREIGN_BLOCKS = auto()
    GAPS = auto()
    GAP_LOGS = auto()
    GAP_SQUARES = auto()


AMOUNTS: Final = len(Volume) + len(Trait)


class Mark(IntEnum):
    """Where each bitmap of distinct things begins, in 64-bit words."""

    ADDRESSES = 0
    END_USERS = 2
    NETWORKS = 4
    CLIENTS = 5
    HARNESSES = 6


_MARK_WORDS: Final = {Mark.ADDRESSES: 2, Mark.END_USERS: 2, Mark.NETWORKS: 1, Mark.CLIENTS: 1, Mark.HARNESSES: 1}
MARK_WORDS: Final = sum(_MARK_WORDS.values())

ROW: Final = np.dtype(
    [
        ("first_seen_ms", "<i8"),
        ("newest_ms", "<i8"),  # newest event time in the windows
        ("last_ms", "<i8"),  # time of the event that arrived last
        ("hours", "<u8"),  # bit i: active i hours before the hour of newest_ms
        (
            "prefix",
            "<u8",
        ),  # of the prefixes it came from the one with the greatest hash: a choice that no order changes
        ("requests", "<i8"),
        ("output_tokens", "<i8"),
        ("judged_ms", "<i8"),
        ("marks", "<u8", (MARKS.slots, MARK_WORDS)),
        ("capabilities", "<u4", (CAPABILITY_CLASSES,)),
        ("labels", "<u4", (len(LABELS),)),
        ("open_step", "<i4"),  # in which it was active and that is not closed yet: steps of a second until 2038
        ("signup_links", "<u4"),  # hash of the record's links as last told
        ("last_limit", "<f4"),  # max_tokens of the event that arrived last
        ("unjudged", "<i4"),  # requests since the last judgement
        ("score", "<f4"),
        ("told_score", "<f4"),  # the score last told, 0 when not raised
        ("requests_24h", "<f4"),  # as of the last judgement, as are the next two and active_hours_24h
        ("refused_24h", "<f4"),
        ("single_turn_24h", "<f4"),
        ("stamps_5m", "<i4", (FIVE_MINUTES.slots,)),
        ("stamps_1h", "<i4", (HOUR.slots,)),
        ("stamps_24h", "<i4", (DAY.slots,)),
        ("stamps_7d", "<i4", (WEEK.slots,)),
        ("stamps_45d", "<i4", (SIX_WEEKS.slots,)),
        ("stamps_marks", "<i4", (MARKS.slots,)),
        ("buckets", "<u2", (MARKS.slots, distinct.BUCKETS)),
        ("tiles_5m", "<u4", (FIVE_MINUTES.slots, len(Volume))),
        ("tiles_1h", "<u4", (HOUR.slots, len(Volume))),
        ("tiles_7d", "<u4", (WEEK.slots, len(Volume))),
        ("tiles_45d", "<u4", (SIX_WEEKS.slots, len(Volume))),
        ("tiles_24h", "<u4", (DAY.slots, AMOUNTS)),
        ("signup_day", "<i2"),  # on which the record's links were told
        *mixture.FIELDS,
        ("active_hours_24h", "u1"),
    ]
)
"""One account: wide fields first, narrow ones last, the whole a multiple of 8 bytes, so that every field is aligned."""

STAMPED: Final = (FIVE_MINUTES, HOUR, DAY, WEEK, SIX_WEEKS, MARKS)
_VOLUME_LEVELS: Final = (FIVE_MINUTES, HOUR, WEEK, SIX_WEEKS)

KNOWN: Final = np.dtype(
    [
        ("created_ms", "<i8"),
        ("status_ms", "<i8"),
        ("org", "<u8"),
        ("next_ms", "<i8"),  # when the next record takes effect
        ("links", "<u4"),  # hash of the links that the record has, 0 for none
        ("quota", "<f4"),
        ("tier", "i1"),
        ("status", "i1"),
    ]
)
"""What the account's record says at the time of its last judgement: -1, NaN or 0 where unknown."""


def rows_of(table: npt.NDArray[Any], rows: I64) -> npt.NDArray[Any]:
    """Return a copy of some rows of a structured array; as plain bytes, for numpy would copy field by field."""
    return np.take(table.view(f"V{table.dtype.itemsize}"), rows).view(table.dtype)


def grown(column: npt.NDArray[Any], used: int, capacity: int) -> npt.NDArray[Any]:
    """Return a longer array that begins with what is used of this one; memory behind that is not touched yet."""
    plain = f"V{column.dtype.itemsize}"
    result = np.empty(capacity, plain)
    result[:used] = column[:used].view(plain)
    return result.view(column.dtype)


def fresh(n: int) -> npt.NDArray[Any]:
    """Return n rows of accounts that have done nothing yet."""
    rows = np.zeros(n, ROW)
    for name in ("first_seen_ms", "newest_ms", "last_ms", "open_step", "judged_ms", "signup_day"):
        rows[name] = -1
    for level in STAMPED:
        rows[f"stamps_{level.name}"] = NEVER
    rows["last_limit"] = np.nan
    return rows


@dataclass(frozen=True, slots=True)
class Cells:
    """What n (account row, step, minute) cells hold, sorted by them."""

    row: I64
    step: I64
    time_ms: I64  # start of the minute
    newest_ms: I64  # newest event that goes into the windows, -1 for none
    first_ms: I64
    prefix: U64
    amounts: U32  # [n, AMOUNTS]
    marks: U64  # [n, MARK_WORDS]
    buckets: U32  # [n, BUCKETS]
    requests: I64  # late ones included, as in the next three
    output_tokens: I64
    capabilities: U32
    labels: U32


def _counted(column: F32) -> npt.NDArray[np.uint64]:
    return np.clip(np.nan_to_num(column), 0, 1e12).astype(np.uint64)


def amounts_of(batch: EventBatch, table: npt.NDArray[Any], rows: I64, at_ms: I64) -> npt.NDArray[np.uint64]:
    """Return the volumes and traits of each event, [AMOUNTS, n]; remember in `table` what the next batch compares with.

    `rows` are the events' account rows, `at_ms` their times as windowed.
    """
    n = len(batch)
    out = np.zeros((AMOUNTS, n), np.uint64)
    out[Volume.REQUESTS] = 1
    for volume, trait, column in (
        (Volume.INPUT_TOKENS, Trait.INPUTS, batch.input_tokens),
        (Volume.OUTPUT_TOKENS, Trait.OUTPUTS, batch.output_tokens),
        (Volume.CACHE_READ_TOKENS, Trait.CACHES, batch.cache_read_tokens),
    ):
        out[volume] = _counted(column)
        out[trait] = ~np.isnan(column)
    out[Trait.LONG_OUTPUTS] = batch.output_tokens >= LONG_OUTPUT_TOKENS
    out[Trait.OUTCOMES] = batch.outcome >= 0
    out[Trait.REFUSED] = batch.outcome == _REFUSED
    out[Trait.FAILED] = (batch.outcome > 0) & (batch.outcome != _REFUSED)
    out[Trait.TURNS] = ~np.isnan(batch.user_turns)
    out[Trait.SINGLE_TURN] = batch.user_turns <= 1
    out[Trait.SAMPLINGS] = ~np.isnan(batch.n) | (batch.logprobs >= 0) | ~np.isnan(batch.top_logprobs)
    out[Trait.MANY_SAMPLES] = (batch.n > 1) | (batch.logprobs == 1) | (batch.top_logprobs > 0)
    out[Trait.TEXTS] = batch.sketches.known
    for trait, label in (
        (Trait.EXTRACTIONS, "reasoning_extraction"),
        (Trait.GRADINGS, "grading"),
        (Trait.PROBES, "probe"),
    ):
        out[trait] = (batch.sketches.labels >> LABELS.index(label)) & 1
    out[Trait.BLOCKS] = batch.block_foreign >= 0
    out[Trait.FOREIGN_BLOCKS] = batch.block_foreign == 1

    place = np.uint64(max(n - 1, 1).bit_length())  # rows and arrival in one number: sorting those is fastest
    numbered = np.sort((rows.astype(np.uint64) << place) | np.arange(n, dtype=np.uint64))
    order = (numbered & ((np.uint64(1) << place) - np.uint64(1))).astype(np.int64)
    sorted_rows, time, limit = rows[order], at_ms[order], batch.max_tokens[order]
    first = np.concatenate([[True], sorted_rows[1:] != sorted_rows[:-1]])
    before_ms, before_limit = np.roll(time, 1), np.roll(limit, 1)
    heads = sorted_rows[first]
    before_ms[first], before_limit[first] = table["last_ms"][heads], table["last_limit"][heads]
    last = np.concatenate([first[1:], [True]])
    table["last_ms"][heads], table["last_limit"][heads] = time[last], limit[last]

    pause = np.abs(time - before_ms)
    octaves = np.where(before_ms >= 0, np.log2(pause.astype(np.float64) + 1) * _OCTAVE, 0).round().astype(np.uint64)
    out[Trait.GAPS, order] = before_ms >= 0
    out[Trait.GAP_LOGS, order] = octaves
    out[Trait.GAP_SQUARES, order] = octaves * octaves
    out[Trait.LIMITS, order] = ~np.isnan(limit) & ~np.isnan(before_limit)
    out[Trait.SAME_LIMITS, order] = limit == before_limit
    return out


def marks_of(batch: EventBatch) -> U64:
    """Return the bits of each event's address, end user, network, client and harness, [n, MARK_WORDS]."""
    client = batch.user_agent ^ (batch.tls >> np.uint64(1))
    columns = (
        (Mark.ADDRESSES, batch.address),
        (Mark.END_USERS, batch.end_user),
        (Mark.NETWORKS, batch.asn * np.uint64(0x9E3779B97F4A7C15)),
        (Mark.CLIENTS, client),
        (Mark.HARNESSES, batch.system),
    )
    out = np.zeros((len(batch), MARK_WORDS), np.uint64)
    for mark, column in columns:
        if column.any():
            out[:, mark : mark + _MARK_WORDS[mark]] = distinct.bits(column, _MARK_WORDS[mark])
    return out


def cells_of(
    batch: EventBatch,
    table: npt.NDArray[Any],
    rows: I64,
    step: I64,
    at_ms: I64,
    clock_ms: I64,
    late: Mask,
    capability: I64,
) -> Cells:
    """Gather a batch into cells.

    `at_ms`: event time as it counts; `late` events count towards the totals only;
    `capability`: class of each event, -1 unknown.
    """
    amounts = amounts_of(batch, table, rows, at_ms)
    marks = marks_of(batch)
    tokens = amounts[Volume.OUTPUT_TOKENS].astype(np.int64)
    template = batch.sketches.template
    if late.any():
        amounts[:, late] = 0
        marks[late] = 0
    minute = np.where(late, clock_ms, at_ms) // MINUTE_MS
    order = _cell_order(rows, step, minute)
    row, step, minute = rows[order], step[order], minute[order]
    start = np.concatenate([[True], (row[1:] != row[:-1]) | (step[1:] != step[:-1]) | (minute[1:] != minute[:-1])])
    starts = np.flatnonzero(start)
    cell = np.empty(len(order), np.int64)
    cell[order] = np.cumsum(start) - 1
    n = len(starts)

    def histogram(classes: I64, width: int, use: Mask) -> U32:
        if not use.any():
            return np.zeros((n, width), np.uint32)
        flat = cell[use] * width + classes[use]
        return np.bincount(flat, minlength=n * width).reshape(n, width).astype(np.uint32)

    labels = np.zeros((n, len(LABELS)), np.uint32)
    if batch.sketches.labels.any():
        for label in range(len(LABELS)):
            labels[:, label] = np.bincount(cell[(batch.sketches.labels >> label) & 1 == 1], minlength=n)
    groups = _Groups(order, starts)
    return Cells(
        row=row[starts],
        step=step[starts],
        time_ms=minute[starts] * MINUTE_MS,
        newest_ms=groups.reduced(np.maximum, np.where(late, -1, at_ms)),
        first_ms=groups.reduced(np.minimum, at_ms),
        prefix=groups.reduced(np.maximum, batch.prefix),
        amounts=np.ascontiguousarray(np.minimum(groups.reduced(np.add, amounts), LIMIT).T.astype(np.uint32)),
        marks=groups.reduced(np.bitwise_or, marks.T).T,
        buckets=histogram(distinct.bucket(template), distinct.BUCKETS, (template != 0) & ~late),
        requests=groups.sizes,
        output_tokens=groups.reduced(np.add, tokens),
        capabilities=histogram(capability, CAPABILITY_CLASSES, capability >= 0),
        labels=labels,
    )


def _cell_order(rows: I64, step: I64, minute: I64) -> I64:
    """Return an order by row, step and minute: one sort of one number where they fit, as they nearly always do."""
    step, minute = step - step.min(), minute - minute.min()
    step_bits, minute_bits = int(step.max()).bit_length(), int(minute.max()).bit_length()
    if int(rows.max()).bit_length() + step_bits + minute_bits <= 62:
        return np.argsort((rows << (step_bits + minute_bits)) | (step << minute_bits) | minute)
    return np.lexsort((minute, step, rows))


class _Groups:
    """Runs of `order` that begin at `starts`. Most hold one event, so only the others are reduced."""

    def __init__(self, order: I64, starts: I64) -> None:
        self.sizes: I64 = np.diff(np.append(starts, len(order)))
        self._first = order[starts]
        self._several = np.flatnonzero(self.sizes > 1)
        sizes = self.sizes[self._several]
        self._among = order[np.repeat(self.sizes > 1, self.sizes)]
        self._starts = np.cumsum(sizes) - sizes

    def reduced(self, how: np.ufunc, columns: npt.NDArray[Any]) -> Any:
        """Return the reduction of each run of `columns` [..., n]."""
        out = columns[..., self._first]
        if len(self._several):
            out[..., self._several] = how.reduceat(columns[..., self._among], self._starts, axis=-1)
        return out


def add(table: npt.NDArray[Any], cells: Cells, chosen: I64) -> None:
    """Add the chosen cells, at most one per account row, to their rows."""
    rows, time, amounts = cells.row[chosen], cells.time_ms[chosen], cells.amounts[chosen]
    volumes = np.ascontiguousarray(amounts[:, : len(Volume)])
    for level in _VOLUME_LEVELS:
        level.add(table[f"stamps_{level.name}"], table[f"tiles_{level.name}"], rows, time, volumes)
    DAY.add(table["stamps_24h"], table["tiles_24h"], rows, time, amounts)
    _add_marks(table, rows, time, cells.marks[chosen], cells.buckets[chosen])
    _add_hours(table, rows, cells.newest_ms[chosen])
    first, earlier = table["first_seen_ms"][rows], cells.first_ms[chosen]
    table["first_seen_ms"][rows] = np.where(first < 0, earlier, np.minimum(first, earlier))
    table["prefix"][rows] = np.maximum(table["prefix"][rows], cells.prefix[chosen])
    table["requests"][rows] += cells.requests[chosen]
    table["unjudged"][rows] += cells.requests[chosen].astype(np.int32)
    foreign = amounts[:, Trait.FOREIGN_BLOCKS] > 0
    table["judged_ms"][rows[foreign]] = -1  # proof is judged at once
    table["output_tokens"][rows] += cells.output_tokens[chosen]
    table["capabilities"][rows] += cells.capabilities[chosen]
    table["labels"][rows] += cells.labels[chosen]
    table["open_step"][rows] = cells.step[chosen]


def _add_marks(table: npt.NDArray[Any], rows: I64, time_ms: I64, marks: U64, buckets: U32) -> None:
    taken, slot, stale = MARKS.place(table["stamps_marks"], rows, time_ms // MARKS.tile_ms)
    rows = rows[taken]
    held = table["marks"][rows, slot]
    held[stale] = 0
    table["marks"][rows, slot] = held | marks[taken]
    counts = table["buckets"][rows, slot].astype(np.uint32)
    counts[stale] = 0
    table["buckets"][rows, slot] = np.minimum(counts + buckets[taken], 0xFFFF)


def _add_hours(table: npt.NDArray[Any], rows: I64, newest_ms: I64) -> None:
    windowed = newest_ms >= 0
    rows, newest_ms = rows[windowed], newest_ms[windowed]
    before = table["newest_ms"][rows]
    hours = table["hours"][rows]
    forward = np.where(before < 0, _HOURS_KEPT, newest_ms // HOUR_MS - before // HOUR_MS)
    shift = np.minimum(np.abs(forward), _HOURS_KEPT - 1).astype(np.uint64)
    one = np.uint64(1)
    ahead = np.where(forward >= _HOURS_KEPT, one, (hours << shift) | one)
    behind = np.where(forward <= -_HOURS_KEPT, hours, hours | (one << shift))
    table["hours"][rows] = np.where(forward >= 0, ahead, behind)
    table["newest_ms"][rows] = np.maximum(before, newest_ms)


def _unless_unknown(count: F32, known: F32) -> F32:
    return np.where(known > 0, count, np.float32(np.nan))


def columns(table: npt.NDArray[Any], rows: I64, end_ms: I64, known: npt.NDArray[Any], account: U64) -> AccountColumns:
    """Return what signals read of `rows` for the windows that end at `end_ms` [n].

    `known` [n] is what the records say (dtype KNOWN), `account` [n] the hashes of the ids.
    """
    n = len(rows)
    nan = np.float32(np.nan)
    out = np.empty((len(Column), n), np.float32)
    day = DAY.sums(table["stamps_24h"], table["tiles_24h"], rows, end_ms)
    five, hour, week, six = (
        level.sums(table[f"stamps_{level.name}"], table[f"tiles_{level.name}"], rows, end_ms)
        for level in _VOLUME_LEVELS
    )
    out[Column.REQUESTS_5M] = five[Volume.REQUESTS]
    out[Column.REQUESTS_1H] = hour[Volume.REQUESTS]
    out[Column.REQUESTS_24H] = day[Volume.REQUESTS]
    out[Column.REQUESTS_7D] = week[Volume.REQUESTS]
    out[Column.REQUESTS_45D] = six[Volume.REQUESTS]
    outputs = day[Trait.OUTPUTS]
    out[Column.INPUT_TOKENS_24H] = _unless_unknown(day[Volume.INPUT_TOKENS], day[Trait.INPUTS])
    out[Column.OUTPUT_TOKENS_1H] = _unless_unknown(hour[Volume.OUTPUT_TOKENS], outputs)
    out[Column.OUTPUT_TOKENS_24H] = _unless_unknown(day[Volume.OUTPUT_TOKENS], outputs)
    out[Column.OUTPUT_TOKENS_45D] = _unless_unknown(six[Volume.OUTPUT_TOKENS], outputs)
    out[Column.CACHE_READ_TOKENS_24H] = _unless_unknown(day[Volume.CACHE_READ_TOKENS], day[Trait.CACHES])
    out[Column.ACTIVE_HOURS_24H] = _active_hours(table, rows, end_ms)
    for known_column, trait, counted in (
        (Column.OUTCOMES_24H, Trait.OUTCOMES, ((Column.REFUSED_24H, Trait.REFUSED), (Column.FAILED_24H, Trait.FAILED))),
        (Column.TURNS_24H, Trait.TURNS, ((Column.SINGLE_TURN_24H, Trait.SINGLE_TURN),)),
        (Column.OUTPUTS_24H, Trait.OUTPUTS, ((Column.LONG_OUTPUTS_24H, Trait.LONG_OUTPUTS),)),
        (Column.LIMITS_24H, Trait.LIMITS, ((Column.SAME_LIMITS_24H, Trait.SAME_LIMITS),)),
        (Column.SAMPLINGS_24H, Trait.SAMPLINGS, ((Column.MANY_SAMPLES_24H, Trait.MANY_SAMPLES),)),
        (
            Column.TEXTS_24H,
            Trait.TEXTS,
            (
                (Column.EXTRACTIONS_24H, Trait.EXTRACTIONS),
                (Column.GRADINGS_24H, Trait.GRADINGS),
                (Column.PROBES_24H, Trait.PROBES),
            ),
        ),
        (Column.BLOCKS_24H, Trait.BLOCKS, ((Column.FOREIGN_BLOCKS_24H, Trait.FOREIGN_BLOCKS),)),
    ):
        out[known_column] = day[trait]
        for column, part in counted:
            out[column] = _unless_unknown(day[part], day[trait])
    gaps = day[Trait.GAPS]
    out[Column.GAPS_24H] = gaps
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = day[Trait.GAP_LOGS].astype(np.float64) / gaps
        variance = day[Trait.GAP_SQUARES].astype(np.float64) / gaps - mean * mean
    out[Column.GAP_OCTAVES_24H] = np.where(gaps >= 2, np.sqrt(np.maximum(variance, 0)) / _OCTAVE, nan)
    _distinct_columns(out, table, rows, end_ms)
    capabilities = table["capabilities"][rows]
    out[Column.CAPABILITIES] = capabilities.sum(axis=1)
    out[Column.TOP_CAPABILITY] = _unless_unknown(capabilities.max(axis=1).astype(np.float32), out[Column.CAPABILITIES])
    created = known["created_ms"]
    out[Column.AGE_DAYS] = np.where(created >= 0, np.maximum(end_ms - created, 0) / DAY_MS, np.nan)
    out[Column.SEEN_DAYS] = (end_ms - table["first_seen_ms"][rows]) / DAY_MS
    out[Column.TIER] = np.where(known["tier"] >= 0, known["tier"], np.float32(np.nan))
    out[Column.QUOTA_TOKENS] = known["quota"]
    return AccountColumns(out, account)


def _active_hours(table: npt.NDArray[Any], rows: I64, end_ms: I64) -> F32:
    """Count the hours of the clock that lie in the last 24, the current one included, and saw a request."""
    newest = table["newest_ms"][rows]
    past = np.clip((end_ms - 1) // HOUR_MS - newest // HOUR_MS, 0, 24)  # hours since the newest
    window = (np.uint64(1) << (24 - past).astype(np.uint64)) - np.uint64(1)
    active: F32 = np.bitwise_count(table["hours"][rows] & window).astype(np.float32)
    return active


def _distinct_columns(out: F32, table: npt.NDArray[Any], rows: I64, end_ms: I64) -> None:
    live = MARKS.weights(table["stamps_marks"], rows, end_ms) > 0
    held = table["marks"][rows]
    held[~live] = 0
    marks = np.bitwise_or.reduce(held, axis=1)
    for mark, column in (
        (Mark.ADDRESSES, Column.ADDRESSES_24H),
        (Mark.NETWORKS, Column.NETWORKS_24H),
        (Mark.CLIENTS, Column.CLIENTS_24H),
        (Mark.END_USERS, Column.END_USERS_24H),
        (Mark.HARNESSES, Column.HARNESSES_24H),
    ):
        count = distinct.count(marks[:, mark : mark + _MARK_WORDS[mark]])
        out[column] = _unless_unknown(count, count)
    counts = (table["buckets"][rows] * live[:, :, None]).sum(axis=1, dtype=np.int64).astype(np.float32)
    out[Column.TEMPLATES_24H] = counts.sum(axis=1)
    out[Column.TEMPLATE_EVENNESS_24H] = distinct.evenness(counts)

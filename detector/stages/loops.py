"""Compiled: what is done to each pair of account and link, one pair after the other.

By whole arrays every step went over all pairs anew, some twenty to an event: that was half of the account stage with
sketches. `pairs` are records of `steps.PAIR`, `rows` of `observation.PAIRS`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from detector.event import I64, U8, U64
from detector.likeness.compiled import entry, inlined

Rows = npt.NDArray[Any]


@entry
def spread(
    event: I64,
    kind: U8,
    value: U64,
    columns: tuple[I64, I64, U64, I64, I64],
    partition: I64,
    place: I64,
    pairs: Rows,
) -> None:
    """Write the pairs of m links of n events, those of partition p from place[p] on, in the order of the links.

    `columns` are the events' rows, steps, texts, tokens and times. Bounds: an event is below n, and the caller has
    counted how many links of each partition there are.
    """
    row, step, text, tokens, at_ms = columns
    for n in range(len(event)):
        of = event[n]
        to = partition[of]
        pair = pairs[place[to]]
        place[to] += 1
        pair["row"], pair["step"] = row[of], step[of]
        pair["kind"], pair["value"] = kind[n], value[n]
        pair["item"] = text[of] if kind[n] != 0 else np.uint64(0)
        pair["output_tokens"] = tokens[of]
        pair["first_ms"] = at_ms[of]
        pair["last_ms"] = at_ms[of]
        pair["count"] = 1


@entry
def add(pairs: Rows, at: I64, table: Rows, size: int) -> None:
    """Add each pair to row at[n] of a table of pairs, `size` of which are used.

    Bounds: the table has room for the rows that are new, and of these each is the next one, so that it is known by it.
    """
    for n in range(len(pairs)):
        if at[n] == size:
            table[size] = pairs[n]
            size += 1
            continue
        held, pair = table[at[n]], pairs[n]
        held["count"] += pair["count"]
        held["output_tokens"] += pair["output_tokens"]
        held["first_ms"] = min(held["first_ms"], pair["first_ms"])
        held["last_ms"] = max(held["last_ms"], pair["last_ms"])


@entry
def folded(order: I64, packed: U64, pairs: Rows, chance: U64, rows: Rows) -> tuple[I64, Rows]:
    """Return a row for all pairs of one key and value, and a pair of each; `account` is left open.

    `packed` [m] are keys and first bits of values, ascending; `order` are the pairs that have them, and is put in order
    by all bits. `chance` are 63 bits for each pair that depend on its text, `rows` is room for m rows.

    Bounds: `order` numbers the pairs; of m texts fewer than half of the slots are used, and these are at most 4 m.
    """
    first = np.empty(len(order), np.int64)
    slots = np.empty(4 * len(order), np.uint64)
    kept = begin = 0
    while begin < len(order):
        end = begin + 1
        value = pairs[order[begin]]["value"]
        differs = False
        while end < len(order) and packed[end] == packed[begin]:
            differs |= pairs[order[end]]["value"] != value
            end += 1
        if differs:
            _sort(order[begin:end], pairs)
        while begin < end:
            first[kept] = order[begin]
            begin += _fold(order[begin:end], pairs, chance, slots, rows[kept])
            kept += 1
    return first[:kept], rows[:kept]


@inlined
def _sort(order: I64, pairs: Rows) -> None:
    """Put pairs in the order of their values."""
    values = np.empty(len(order), np.uint64)
    for n in range(len(order)):
        values[n] = pairs[order[n]]["value"]
    order[:] = order[np.argsort(values, kind="mergesort")]


@inlined
def _fold(order: I64, pairs: Rows, chance: U64, slots: U64, row: Any) -> int:
    """Fold the first pairs of an order that are of one value into a row; return how many they are."""
    head = pairs[order[0]]
    count, tokens, first_ms, last_ms = 0, 0, head["first_ms"], head["last_ms"]
    text = head["item"]
    size = 0
    while size < len(order):
        pair = pairs[order[size]]
        if pair["value"] != head["value"]:
            break
        count += pair["count"]
        tokens += pair["output_tokens"]
        first_ms, last_ms = min(first_ms, pair["first_ms"]), max(last_ms, pair["last_ms"])
        if pair["item"] != 0:
            text = min(text, pair["item"]) if text != 0 else pair["item"]
        size += 1
    row["value"], row["kind"], row["item"] = head["value"], head["kind"], text
    row["count"], row["output_tokens"] = count, tokens
    row["first_ms"], row["last_ms"] = first_ms, last_ms
    row["items"] = _distinct(order[:size], pairs, chance, slots) if size > 1 else text != 0
    return size


@inlined
def _distinct(order: I64, pairs: Rows, chance: U64, slots: U64) -> int:
    """Return how many texts pairs have; 0 is none."""
    bits = 1
    while 1 << bits < 2 * len(order):
        bits += 1
    slots[: 1 << bits] = 0
    mask, shift = np.uint64((1 << bits) - 1), np.uint64(63 - bits)
    found = 0
    for n in order:
        text = pairs[n]["item"]
        slot = chance[n] >> shift
        while slots[slot] != 0 and slots[slot] != text:
            slot = (slot + np.uint64(1)) & mask
        found += slots[slot] != text
        slots[slot] = text
    return found

"""What is compiled gives what the plain words for it give."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detector.campaign import observation
from detector.event import hash64, places
from detector.stages import loops
from detector.stages.steps import PAIR, folded

FEW = st.integers(0, 3)
PAIRS = st.lists(
    st.fixed_dictionaries(
        {
            "row": FEW,
            "kind": FEW,
            "value": st.sampled_from([0, 1, 2, 1 << 63, (1 << 63) + 1, (1 << 64) - 1]),
            "item": st.sampled_from([0, 0, 1, 2, 1 << 63, (1 << 64) - 1, *(hash64(str(n), 0) for n in range(9))]),
            "count": st.integers(1, 3),
            "output_tokens": st.integers(0, 10**12),
            "first_ms": FEW,
            "last_ms": FEW,
        }
    ),
    max_size=60,
)


def rows_of(pairs: list[dict[str, int]]) -> Any:
    rows = np.zeros(len(pairs), PAIR)
    for name in pairs[0] if pairs else ():
        rows[name] = np.array([pair[name] for pair in pairs], rows.dtype[name])
    return rows


def summed(pairs: list[dict[str, int]]) -> dict[str, int]:
    """All pairs of one key and value, in plain words."""
    items = {pair["item"] for pair in pairs} - {0}
    return {
        "kind": pairs[0]["kind"],
        "value": pairs[0]["value"],
        "item": min(items, default=0),
        "items": len(items),
        "count": sum(pair["count"] for pair in pairs),
        "output_tokens": sum(pair["output_tokens"] for pair in pairs),
        "first_ms": min(pair["first_ms"] for pair in pairs),
        "last_ms": max(pair["last_ms"] for pair in pairs),
    }


@given(PAIRS, st.integers(0, 63 - 4))
def test_pairs_are_folded_by_key_and_value(pairs: list[dict[str, int]], shift: int) -> None:
    """Whatever room the key leaves for the first bits of the value."""
    keys = [(pair["row"] << 2 | pair["kind"]) << shift for pair in pairs]
    found, rows = folded(np.array(keys, np.uint64), rows_of(pairs))
    together: dict[tuple[int, int], list[dict[str, int]]] = {}
    for key, pair in zip(keys, pairs, strict=True):
        together.setdefault((key, pair["value"]), []).append(pair)
    expected = [summed(together[both]) for both in sorted(together)]
    assert found.tolist() == [key for key, _ in sorted(together)]
    assert [{name: int(row[name]) for name in one} for one, row in zip(expected, rows, strict=True)] == expected


@given(PAIRS)
def test_pairs_are_added_to_a_table_in_the_order_in_which_they_come(pairs: list[dict[str, int]]) -> None:
    names = [(pair["row"], pair["kind"], pair["value"], pair["item"]) for pair in pairs]
    place = {name: number for number, name in enumerate(dict.fromkeys(names))}
    table = rows_of([])
    size = 0
    for part in (slice(0, len(pairs) // 2), slice(len(pairs) // 2, None)):
        table = np.concatenate([table[:size], np.zeros(len(pairs), PAIR)])
        at = np.array([place[name] for name in names[part]], np.int64)
        loops.add(rows_of(pairs[part]), at, table, size)
        size = max([size, *(at + 1).tolist()])
    assert size == len(place)
    for name, number in place.items():
        mine = summed([pair for pair, its in zip(pairs, names, strict=True) if its == name])
        for column in ("count", "output_tokens", "first_ms", "last_ms"):
            assert table[number][column] == mine[column], column


@given(st.lists(st.tuples(st.integers(0, 4), FEW), max_size=40), st.lists(FEW, min_size=5, max_size=5))
def test_links_are_spread_over_the_partitions_of_their_events(links: list[tuple[int, int]], parts: list[int]) -> None:
    event, kind = (np.array(column, np.int64) for column in (zip(*links, strict=True) if links else ([], [])))
    partition, value = np.array(parts, np.int64), np.arange(len(links), dtype=np.uint64)
    columns = tuple(np.arange(5, dtype=np.int64) + 10 * n for n in range(5))
    rows, step, text, tokens, at_ms = columns
    sizes = np.bincount(partition[event], minlength=4)
    pairs, place = np.empty(len(links), PAIR), np.cumsum(sizes) - sizes
    given_columns = rows, step, text.astype(np.uint64), tokens, at_ms
    loops.spread(event, kind.astype(np.uint8), value, given_columns, partition, place, pairs)
    order = np.argsort(partition[event], kind="stable")
    assert pairs["value"].tolist() == order.tolist()
    of = event[order]
    expected = {"row": rows, "step": step, "output_tokens": tokens, "first_ms": at_ms, "last_ms": at_ms}
    for name, column in expected.items():
        assert pairs[name].tolist() == column[of].tolist(), name
    assert pairs["item"].tolist() == np.where(kind[order] == 0, 0, text[of]).tolist()
    assert pairs["count"].tolist() == [1] * len(links)


@given(st.integers(1, 3_000), st.integers(1, 3_000), st.booleans())
def test_texts_of_one_link_are_counted_however_many_and_wherever_they_are_looked_for(
    size: int, different: int, in_one_place: bool
) -> None:
    """Also where all of them look for the last slot first, and go on at the first."""
    different = min(size, different)
    pairs = np.zeros(size, PAIR)
    pairs["item"] = 1 + np.arange(size) % different
    chance = (
        np.full(size, (1 << 63) - 1, np.uint64) if in_one_place and different < 300 else places(pairs["item"], 1 << 63)
    )
    order, keys = np.arange(size), np.zeros(size, np.uint64)
    first, rows = loops.folded(order, keys, pairs, chance, np.empty(size, observation.PAIRS))
    assert (len(first), rows["items"].tolist()) == (1, [different])

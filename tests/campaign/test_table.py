"""The table behind links, edges and accounts, held against a dict."""

from __future__ import annotations

from itertools import count, groupby, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from detector.campaign.table import HashIndex, Table, cut
from detector.event import hash64
from detector.window.recent import IdSet

# Few low bits, so that probes collide; the rest of the key tells them apart.
CROWDED = st.builds(lambda high, low: (high << 20 | low) + 1, st.integers(0, 2**43), st.integers(0, 3))
KEYS = st.one_of(CROWDED, st.integers(1, 40), st.integers(1, 2**64 - 1))


def u64(values: list[int]) -> np.ndarray:
    return np.array(values, np.uint64)


@given(st.lists(st.sets(KEYS, max_size=60), max_size=8), st.lists(KEYS, max_size=40))
def test_an_index_finds_the_row_of_every_key_put_in_and_of_no_other(parts: list[set[int]], asked: list[int]) -> None:
    index, known = HashIndex(8), dict[int, int]()
    for part in parts:
        new = sorted(part - known.keys())
        rows = np.arange(len(known), len(known) + len(new))
        index.insert(u64(new), rows)
        known |= dict(zip(new, rows.tolist(), strict=True))
    every = [*known, *asked]
    assert index.lookup(u64(every)).tolist() == [known.get(key, -1) for key in every]


@given(st.lists(st.tuples(st.sets(KEYS, max_size=60), st.randoms(use_true_random=False)), max_size=8))
def test_an_index_whose_rows_are_renumbered_forgets_what_is_gone_and_may_be_given_it_again(parts) -> None:
    index, known = HashIndex(8), dict[int, int]()
    for part, chance in parts:
        new = sorted(part - known.keys())
        index.insert(u64(new), np.arange(len(known), len(known) + len(new)))
        keys = [*known, *new]
        left = [key for key in keys if chance.random() < 0.5]
        known = {key: row for row, key in enumerate(left)}
        index.renumber(np.array([known.get(key, -1) for key in keys], np.int64))
        assert index.lookup(u64([*keys, *part])).tolist() == [known.get(key, -1) for key in [*keys, *part]]


def test_an_index_gives_back_the_room_of_what_is_gone() -> None:
    index = HashIndex(8)
    keys = np.arange(1, 100_001, dtype=np.uint64)
    index.insert(keys, np.arange(100_000))
    index.renumber(np.where(keys <= 10, keys.astype(np.int64) - 1, -1))
    assert index.slots < 2_000
    assert index.lookup(u64([1, 10, 11])).tolist() == [0, 9, -1]


def crowd(many: int) -> list[str]:
    """Names that somebody chose who knows the hash and no key: their hashes end in the same twelve bits."""
    names = (f"acct-{n}" for n in count())
    return list(islice((name for name in names if not hash64(name, 0) & 0xFFF), many))


def longest_run(slots: np.ndarray) -> int:
    """The most slots that a look-up may have to go through."""
    return max((len(list(run)) for used, run in groupby((slots != 0).tolist()) if used), default=0)


def test_names_that_were_chosen_to_collide_do_not_collide() -> None:
    names = crowd(600)
    index, recent = HashIndex(8), IdSet()
    for key in (0, 7):
        hashes = u64([hash64(name, key) for name in names])
        index.insert(hashes, np.arange(len(hashes)))
        recent.add(hashes)
    assert longest_run(index._keys) < 60
    assert longest_run(recent._slots) < 60
    assert len({hash64(name, 7) & 0xFFF for name in names}) > 400


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.integers(0, 5)), max_size=60), st.integers(0, 30))
def test_of_too_many_rows_the_oldest_of_each_standing_go_and_of_equal_ones_the_first(rows, most: int) -> None:
    stays = np.array([stay for stay, _, _ in rows], np.bool_)
    standing, time_ms = (np.array([row[place] for row in rows], np.int64) for place in (1, 2))
    before = [(at, row, stands) for row, (stay, stands, at) in enumerate(rows) if stay]
    gone = cut(stays, standing, time_ms, most)
    left = np.flatnonzero(stays).tolist()
    assert len(left) == len(before) - gone == (len(before) if len(before) <= most else most - most // 8)
    parts = 1 + max((stands for _, _, stands in before), default=0)
    for stands in range(parts):
        mine = sorted((at, row) for at, row, other in before if other == stands)
        kept = [row for row in left if rows[row][1] == stands]
        assert kept == sorted(row for _, row in mine[len(mine) - len(kept) :])
        assert len(kept) >= min(len(mine), (most - most // 8) // parts)
        if len(kept) > (most - most // 8) // parts:  # above its part: nobody who stands higher lacks anything
            assert all(row in left for _, row, other in before if other > stands)


class TableIsADict(RuleBasedStateMachine):
    """Whatever is done to a table, it holds what a dict of rows would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table(number="<i8", name="u1", vector=("<f4", 2))
        self.rows: dict[int, tuple[int, int, float]] = {}  # in the order of the table

    @rule(keys=st.lists(KEYS, max_size=30), value=st.integers(-5, 5))
    def add(self, keys: list[int], value: int) -> None:
        rows, new = self.table.rows_of(u64(keys))
        unknown = sorted(set(keys) - self.rows.keys())
        assert new.tolist() == list(range(len(self.rows), len(self.rows) + len(unknown)))
        self.rows |= dict.fromkeys(unknown, (0, 0, 0.0))  # new rows are zeros
        order = list(self.rows)
        assert [order[row] for row in rows] == keys
        self.table["number"][rows] = value
        self.table["name"][rows] = value % 7
        self.table["vector"][rows] = (value, value / 2)
        self.rows |= dict.fromkeys(keys, (value, value % 7, value / 2))

    @rule(keep=st.randoms(use_true_random=False))
    def compact(self, keep) -> None:
        mask = np.array([keep.random() < 0.6 for _ in self.rows], bool)
        before = list(self.rows)
        renumbered = self.table.compact(mask)
        self.rows = {key: row for (key, row), kept in zip(self.rows.items(), mask, strict=True) if kept}
        after = list(self.rows)
        assert renumbered.tolist() == [after.index(key) if key in self.rows else -1 for key in before]

    @rule()
    def write_and_read_back(self) -> None:
        dumped = self.table.dump()
        self.table = Table(number="<i8", name="u1", vector=("<f4", 2))
        self.table.load(dumped)
        assert self.table.dump() == dumped

    @invariant()
    def holds_what_the_dict_holds(self) -> None:
        assert len(self.table) == len(self.rows)
        assert self.table.keys.tolist() == list(self.rows)
        assert self.table.lookup(u64(list(self.rows))).tolist() == list(range(len(self.rows)))
        assert self.table["number"].tolist() == [number for number, _, _ in self.rows.values()]
        assert self.table["name"].tolist() == [name for _, name, _ in self.rows.values()]
        assert self.table["vector"].tolist() == [[number, half] for number, _, half in self.rows.values()]
        assert self.table.lookup(u64([2**63 + 12345])).tolist() == [-1]


TestTableIsADict = TableIsADict.TestCase


def test_a_table_grows_beyond_its_first_room_and_keeps_its_rows() -> None:
    table = Table(number="<i8")
    for start in range(0, 50_000, 7_000):
        keys = np.arange(start + 1, start + 7_001, dtype=np.uint64)
        rows, new = table.rows_of(keys)
        table["number"][new] = keys.astype(np.int64)
        assert np.array_equal(rows, new)
    assert np.array_equal(table["number"], np.arange(1, len(table) + 1))
    assert table.bytes_used == 16 * len(table)


def test_a_restored_table_may_be_written() -> None:
    table = Table(number="<i8", vector=("<i4", 3))
    table.rows_of(u64([5, 9]))
    other = Table(number="<i8", vector=("<i4", 3))
    other.load(table.dump())
    other["number"][:] = 4
    other["vector"][1, 2] = 8
    assert other["number"].tolist() == [4, 4]
    assert table["number"].tolist() == [0, 0]


def test_the_order_of_keys_in_a_call_does_not_show() -> None:
    dumps = set()
    for keys in ([9, 5, 7], [7, 9, 5, 5], [5, 7, 9]):
        table = Table(number="<i8")
        table.rows_of(u64(keys))
        dumps.add(table.dump())
    assert len(dumps) == 1


@pytest.mark.parametrize("keep", [True, False])
def test_compacting_all_or_nothing(keep: bool) -> None:
    table = Table(number="<i8")
    table.rows_of(u64([1, 2, 3]))
    assert table.compact(np.full(3, keep)).tolist() == ([0, 1, 2] if keep else [-1, -1, -1])
    assert len(table) == (3 if keep else 0)
    assert table.rows_of(u64([2]))[0].tolist() == ([1] if keep else [0])


def test_keys_are_interned_in_the_order_in_which_they_appear_first() -> None:
    index = HashIndex(4)
    index.insert(np.array([7], np.uint64), np.array([3]))
    rows, new = index.intern(np.array([5, 7, 9, 5, 9, 1], np.uint64), 10)
    assert rows.tolist() == [10, 3, 11, 10, 11, 12]
    assert new.tolist() == [0, 2, 5]
    keys = np.arange(1, 5_000, dtype=np.uint64)
    rows, new = index.intern(keys, 13)
    assert len(new) == len(keys) - 4
    assert index.lookup(keys).tolist() == rows.tolist()
    assert sorted(rows.tolist()) == [3, *range(10, 10 + len(keys) - 1)]


def test_a_key_that_is_gone_is_new_when_it_is_interned_again() -> None:
    index = HashIndex()
    index.insert(np.array([5, 7], np.uint64), np.array([0, 1]))
    index.renumber(np.array([-1, 0]))
    rows, new = index.intern(np.array([7, 5, 5], np.uint64), 1)
    assert (rows.tolist(), new.tolist()) == ([0, 1, 1], [1])

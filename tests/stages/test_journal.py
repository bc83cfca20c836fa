"""Snapshot and journal: whatever was committed is there again after a crash, and the store stays small."""

from __future__ import annotations

from importlib import resources
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.stages import journal, rules
from detector.stages.journal import Journal
from detector.stages.links import LinkSettings


class Heard:
    """A state that is the list of what it absorbed; it grows by a byte for each record."""

    def __init__(self) -> None:
        self.records: list[bytes] = []

    def absorb(self, record: bytes) -> None:
        self.records.append(record)

    def dump(self) -> dict[str, bytes]:
        return {"count": str(len(self.records)).encode(), "heard": b"\x00".join(self.records)}

    def load(self, parts: dict[str, bytes]) -> None:
        self.records = parts["heard"].split(b"\x00") if parts["count"] != b"0" else []


def apply(store: dict[str, bytes], rows: dict[str, bytes | None]) -> None:
    for name, value in rows.items():
        if value is None:
            del store[name]  # deleting what is not there would be a leak elsewhere
        else:
            store[name] = value


def restored(store: dict[str, bytes]) -> tuple[Heard, Journal]:
    state, held = Heard(), Journal()
    for record in held.restore(store, state):
        state.absorb(record)
    return state, held


RECORDS = st.binary(min_size=1, max_size=12).map(lambda record: record.replace(b"\x00", b"\x01"))
COMMITS = st.lists(st.tuples(st.lists(RECORDS, max_size=4), st.booleans()), max_size=25)


@given(COMMITS, st.sampled_from([0, 20, 60, 4 << 20]))
def test_killed_after_any_commit_the_state_is_that_of_the_commit(
    commits: list[tuple[list[bytes], bool]], at_least: int
) -> None:
    """After each commit the worker may be killed, with records absorbed that were not committed."""
    with mock.patch.object(journal, "SNAPSHOT_AT_LEAST_BYTES", at_least):
        store: dict[str, bytes] = {}
        state, held = restored(store)
        committed: list[bytes] = []
        for records, killed in commits:
            for record in records:
                state.absorb(record)
                held.append(record)
            apply(store, held.rows(state))
            committed += records
            if killed:
                state.absorb(b"lost")
                held.append(b"lost")
                state, held = restored(store)
            assert restored(store)[0].records == committed == state.records


@given(st.lists(RECORDS, min_size=1, max_size=200), st.sampled_from([0, 50, 200]))
def test_the_store_holds_at_most_a_snapshot_and_a_journal_of_twice_its_size(records: list[bytes], least: int) -> None:
    with mock.patch.object(journal, "SNAPSHOT_AT_LEAST_BYTES", least):
        store: dict[str, bytes] = {}
        state, held = restored(store)
        for record in records:
            state.absorb(record)
            held.append(record)
            apply(store, held.rows(state))
            snapshot = sum(len(value) for name, value in store.items() if name.startswith("snapshot/"))
            entries = sum(len(value) for name, value in store.items() if name.startswith("journal/"))
            assert entries <= max(least, 2 * snapshot)


def test_nothing_absorbed_is_nothing_to_write() -> None:
    assert Journal().rows(Heard()) == {}


def test_what_was_drained_is_not_written_again() -> None:
    state, held = Heard(), Journal()
    held.append(b"one")
    assert held.rows(state)
    assert held.rows(state) == {}


def test_a_snapshot_part_that_the_state_no_longer_has_is_deleted() -> None:
    state, held = Heard(), Journal()
    held.restore({"snapshot/old": b"x", "snapshot/count": b"0", "snapshot/heard": b""}, state)
    with mock.patch.object(journal, "SNAPSHOT_AT_LEAST_BYTES", 0):
        held.append(b"x" * 100)
        assert held.rows(state)["snapshot/old"] is None


def test_entries_come_back_in_the_order_they_were_written_beyond_the_tenth() -> None:
    state, held, store = Heard(), Journal(), dict[str, bytes]()
    for number in range(25):
        held.append(str(number).encode())
        apply(store, held.rows(state))
    assert [int(record) for record in Journal().restore(store, Heard())] == list(range(25))


@pytest.mark.parametrize("record", [b"", b"\x00\x00\x00\x00", b"x" * 70_000])
def test_a_record_of_any_bytes_survives(record: bytes) -> None:
    held = Journal()
    held.append(record)
    held.append(b"end")
    rows = {name: value for name, value in held.rows(Heard()).items() if value is not None}
    assert Journal().restore(rows, Heard()) == [record, b"end"]


# -- by other rules ---------------------------------------------------------------------------------


def committed(rules: bytes, records: list[bytes]) -> dict[str, bytes]:
    store: dict[str, bytes] = {}
    state, held = Heard(), Journal(rules)
    for record in records:
        state.absorb(record)
        held.append(record)
        apply(store, held.rows(state))
    return store


def test_a_journal_is_foreign_to_whoever_has_other_rules_and_a_snapshot_is_not() -> None:
    store = committed(b"ours", [b"one", b"two"])
    for own, foreign in ((b"ours", False), (b"theirs", True), (b"", True)):
        held = Journal(own)
        assert held.restore(store, Heard()) == [b"one", b"two"]
        assert held.foreign is foreign
    with mock.patch.object(journal, "SNAPSHOT_AT_LEAST_BYTES", 0):
        store = committed(b"ours", [b"one"])
    held = Journal(b"theirs")
    assert held.restore(store, Heard()) == []
    assert not held.foreign, "nothing is absorbed anew"


@pytest.mark.parametrize("more", [[], [b"three"]], ids=["nothing more", "more"])
def test_the_next_commit_of_a_foreign_journal_is_a_snapshot_by_ones_own_rules(more: list[bytes]) -> None:
    store = committed(b"ours", [b"one", b"two"])
    state, held = Heard(), Journal(b"theirs")
    for record in [*held.restore(store, state), *more]:
        state.absorb(record)
    for record in more:
        held.append(record)
    apply(store, held.rows(state))
    assert not held.foreign
    assert not [name for name in store if name.startswith("journal/")]
    again, state = Journal(b"theirs"), Heard()
    assert again.restore(store, state) == []
    assert state.records == [b"one", b"two", *more]
    assert not Journal(b"theirs").rows(state)


def test_whoever_goes_on_behind_a_snapshot_of_other_rules_says_that_the_journal_is_by_its_own() -> None:
    with mock.patch.object(journal, "SNAPSHOT_AT_LEAST_BYTES", 0):
        store = committed(b"ours", [b"one"])
    state, held = Heard(), Journal(b"theirs")
    held.restore(store, state)
    state.absorb(b"two")
    held.append(b"two")
    apply(store, held.rows(state))
    again = Journal(b"theirs")
    assert again.restore(store, Heard()) == [b"two"]
    assert not again.foreign


def test_rules_are_other_ones_with_other_settings_and_with_other_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    before = rules.rules_of(LinkSettings())
    assert before == rules.rules_of(LinkSettings())
    assert before != rules.rules_of(LinkSettings(least_accounts=6))
    monkeypatch.setattr(rules, "_code", lambda: "one line of code")
    assert before != rules.rules_of(LinkSettings())


def test_the_sources_are_all_of_the_package() -> None:
    names = [source.name for source in rules._sources(resources.files("detector"))]
    assert {"campaigns.py", "weights.toml", "grading.py"} <= set(names)
    assert not [name for name in names if name.endswith((".pyc", ".so"))]

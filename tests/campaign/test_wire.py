"""Internal records as bytes: what goes in comes out, and what is no record is said to be none."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from detector.campaign import candidate, observation, wire
from detector.campaign.candidate import CandidateLinks, Candidates, Edges
from detector.campaign.observation import LinkKind, Observations
from detector.errors import DecodeError
from detector.event import F32, I64, U64
from tests.campaign.observed import FIRST_STEP, facts_of, judged_of, observed

REASON = ("request_rate", 0.9, 2.0, 120.0, None, "120 requests a minute")
OBSERVATIONS = observed(
    FIRST_STEP,
    3,
    [("ann", LinkKind.TEMPLATE, 1, "why"), ("bob", LinkKind.TEMPLATE, 1), ("bob", LinkKind.CLIENT, 2)],
    judged=[("bob", FIRST_STEP * 60_000, 0.9, [REASON])],
    models={"ann": "large"},
)
CANDIDATES = Candidates(
    source=1,
    step=FIRST_STEP,
    young_share=0.15,
    stream_start_ms=5,
    facts=facts_of(["ann", "bob"]),
    links=CandidateLinks(
        *(np.ones(2, dtype) for dtype in ("<u8", "u1", "<i8", "<i4", "<i4", "<i4", "<f4", "<i4", "<i4"))
    ),
    edges=Edges(*(np.zeros(3, dtype) for dtype in ("<i4", "<i4", "<i4", "<i4", "<i8", "<i8", "<i8"))),
    judged=judged_of(["ann"], [("ann", 5, 0.5, [REASON])]),
    models=((0, "large", 2),),
)


def same(one: Any, other: Any) -> bool:
    if is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, np.ndarray):
        exact = one.dtype == other.dtype and one.shape == other.shape
        return bool(exact and np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))
    return type(one) is type(other) and one == other


@dataclass(frozen=True)
class Inner:
    bits: U64
    names: tuple[str, ...]


@dataclass(frozen=True)
class Outer:
    number: int
    share: float
    wide: F32
    inner: Inner
    times: I64
    told: tuple[tuple[int, str, float | None], ...]


OUTERS = st.builds(
    Outer,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2, min_side=0)),
    st.builds(Inner, arrays.arrays(np.uint64, st.integers(0, 5)), st.lists(st.text()).map(tuple)),
    arrays.arrays(np.int64, st.integers(0, 5)),
    st.lists(st.tuples(st.integers(0, 9), st.text(), st.none() | st.floats(allow_nan=False))).map(tuple),
)


@given(OUTERS)
def test_decoding_gives_back_what_was_encoded_to_the_bit(record: Outer) -> None:
    data = wire.encode(record)
    back = wire.decode(Outer, data)
    assert same(record, back)
    assert wire.encode(back) == data


def test_observations_and_candidates_come_back() -> None:
    assert same(observation.decode(observation.encode(OBSERVATIONS)), OBSERVATIONS)
    assert same(candidate.decode(candidate.encode(CANDIDATES)), CANDIDATES)


def test_a_step_in_which_nothing_happened_is_a_record_too() -> None:
    nothing = observed(FIRST_STEP, 2, [])
    assert same(observation.decode(observation.encode(nothing)), nothing)


def test_decoded_columns_cannot_be_written_because_they_are_the_record_itself() -> None:
    columns = observation.decode(observation.encode(OBSERVATIONS))
    with pytest.raises(ValueError, match="read-only"):
        columns.pairs.count[0] = 5


def no_other_error(data: bytes) -> None:
    for decode in (observation.decode, candidate.decode):
        with suppress(DecodeError):
            decode(data)


@given(st.binary(max_size=200))
def test_random_bytes_are_no_record(data: bytes) -> None:
    no_other_error(data)


GOOD = observation.encode(OBSERVATIONS)


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_bytes_are_a_decode_error_or_another_record_and_never_another_error(
    damage: list[tuple[int, int]],
) -> None:
    data = bytearray(GOOD)
    for at, byte in damage:
        data[at] = byte
    no_other_error(bytes(data))


@given(st.integers(0, len(GOOD) - 1))
def test_a_record_cut_short_is_malformed(length: int) -> None:
    with pytest.raises(DecodeError, match="internal_malformed"):
        observation.decode(GOOD[:length])


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=4), st.binary(max_size=9)
)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=6), max_leaves=20)
ARRAYS = st.tuples(
    st.sampled_from(["<i4", "<u8", "O", "<U3", "(2,", "i4,(", "V0", "<M8", "", "S0", "<i4,<i4"]),
    st.lists(st.sampled_from([0, 1, 2, -1, 2**63, 2**64 - 1]), max_size=3),
    st.binary(max_size=16),
)


@settings(max_examples=400)
@given(st.lists(TREES | ARRAYS, max_size=6) | TREES)
def test_messagepack_of_the_wrong_shape_is_malformed(tree: Any) -> None:
    with pytest.raises(DecodeError):
        wire.decode(Inner, msgspec.msgpack.encode((wire.VERSION, tree)))


@given(st.integers(0, 5), TREES | ARRAYS)
def test_one_field_of_the_wrong_type_is_malformed(position: int, wrong: Any) -> None:
    record = Outer(
        1, 0.5, np.zeros((1, 2), np.float32), Inner(np.zeros(1, np.uint64), ("a",)), np.zeros(2, np.int64), ()
    )
    _, packed = msgspec.msgpack.decode(wire.encode(record))
    packed[position] = wrong
    try:
        back = wire.decode(Outer, msgspec.msgpack.encode((wire.VERSION, packed)))
    except DecodeError:
        return
    assert type(getattr(back, fields(Outer)[position].name)) is type(getattr(record, fields(Outer)[position].name))


def test_a_column_of_another_type_is_malformed() -> None:
    packed = [("<i4", (1,), bytes(4)), []]
    with pytest.raises(DecodeError, match="internal_malformed"):
        wire.decode(Inner, msgspec.msgpack.encode((wire.VERSION, packed)))


def test_a_sum_that_came_out_wider_is_written_as_declared_and_a_number_of_another_kind_is_refused() -> None:
    counts = np.add.reduceat(np.ones(4, np.uint32), [0, 2])
    assert counts.dtype != np.uint32
    assert wire.decode(Inner, wire.encode(Inner(counts, ()))).bits.tolist() == [2, 2]
    with pytest.raises(TypeError, match="same_kind"):
        wire.encode(Inner(np.ones(1), ()))


def test_a_record_of_another_version_is_named_so() -> None:
    with pytest.raises(DecodeError, match="internal_version"):
        wire.decode(Inner, msgspec.msgpack.encode((wire.VERSION + 1, [])))


def test_one_kind_of_record_is_not_taken_for_another() -> None:
    with pytest.raises(DecodeError):
        candidate.decode(GOOD)
    with pytest.raises(DecodeError):
        wire.decode(Observations, candidate.encode(CANDIDATES))


def test_a_record_nested_without_end_is_malformed() -> None:
    with pytest.raises(DecodeError, match="internal_malformed"):
        candidate.decode(b"\x92\x01" + b"\x91" * 100_000)


@pytest.mark.parametrize("account", [-1, 2])
def test_a_row_of_an_account_that_the_record_does_not_name_is_malformed(account: int) -> None:
    pairs = replace(OBSERVATIONS.pairs, account=np.full(3, account, np.int32))
    judged = replace(OBSERVATIONS.judged, account=np.full(1, account, np.int32))
    for wrong in (replace(OBSERVATIONS, pairs=pairs), replace(OBSERVATIONS, judged=judged)):
        with pytest.raises(DecodeError, match="internal_malformed"):
            observation.decode(observation.encode(wrong))

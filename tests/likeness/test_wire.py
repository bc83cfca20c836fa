"""The string form of sketches."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detector.event import Sketches
from detector.likeness import decode, encode, sketch
from detector.likeness.wire import LENGTH

TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=200)), max_size=8)
GOOD = encode(sketch(["Write a poem about the sea and its many colours in winter."], 3))[0]


@given(TEXTS, st.integers(0, 2**64 - 1))
def test_decoding_gives_back_what_was_encoded(texts: list[str | None], key: int) -> None:
    sketches = sketch(texts, key)
    back, bad = decode(encode(sketches))
    assert len(bad) == 0
    for f in fields(Sketches):
        assert np.array_equal(getattr(back, f.name), getattr(sketches, f.name)), f.name


def test_a_sketch_is_a_short_plain_string() -> None:
    assert len(GOOD) == LENGTH < 120
    assert GOOD.isascii()
    assert GOOD.startswith("s1.")


@given(st.lists(st.one_of(st.just(GOOD), st.none(), st.text(), st.text(min_size=LENGTH, max_size=LENGTH)), max_size=8))
def test_malformed_strings_are_reported_by_row_and_do_not_disturb_the_others(strings: list[str | None]) -> None:
    sketches, bad = decode(strings)
    assert sketches.known.tolist() == [s == GOOD for s in strings]
    assert bad.tolist() == [i for i, s in enumerate(strings) if s and s != GOOD]


@given(st.integers(0, LENGTH - 1), st.characters())
def test_any_damaged_character_is_noticed(at: int, char: str) -> None:
    damaged = GOOD[:at] + char + GOOD[at + 1 :]
    _, bad = decode([GOOD, damaged])
    assert bad.tolist() == ([] if damaged == GOOD else [1])


def test_a_sketch_of_another_version_is_malformed() -> None:
    _, bad = decode(["s2." + GOOD[3:]])
    assert bad.tolist() == [0]


def test_no_strings_are_no_rows() -> None:
    sketches, bad = decode([])
    assert len(sketches.known) == len(bad) == 0

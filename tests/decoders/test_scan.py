"""What is scanned is what msgspec reads: the same columns, rejects and names, whatever the bytes."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from detector.decoders import Decoded, decode, native
from detector.decoders.scan import scan
from detector.decoders.wire import NUMBERED, NUMBERS, Wire
from detector.event import COLUMNS, EventBatch, RequestEvent, Sketches
from detector.simulate import simulate
from tests.decoders import by_structs

KEY = 7
REQUIRED = b'"id":"r","time_ms":1780000000000,"account_id":"a","model":"m"'


def event(more: bytes = b"", at: int = 0) -> bytes:
    return b'{"id":"r%d",%s%s}' % (at, REQUIRED[9:], b"," + more if more else b"")


def many(*values: bytes | None) -> list[bytes | None]:
    """So many values that they are scanned, these among them."""
    return [
        *(event(at=at) for at in range(native.FEWEST // 2)),
        *values,
        *(event(at=-at) for at in range(native.FEWEST)),
    ]


def assert_same(values: list[bytes | None]) -> Decoded:
    ours, theirs = decode(values, 3, hash_key=KEY), decode(values, 3, hash_key=KEY, wire_format=by_structs)
    assert (ours.rejects, ours.tombstones) == (theirs.rejects, theirs.tombstones)
    for name in COLUMNS:
        got, expected = getattr(ours.batch, name), getattr(theirs.batch, name)
        if isinstance(got, np.ndarray):
            assert got.dtype == expected.dtype, name
            np.testing.assert_array_equal(got, expected, err_msg=name)
        elif name != "sketches":
            assert got == expected, name
    for field in fields(Sketches):
        got, expected = getattr(ours.batch.sketches, field.name), getattr(theirs.batch.sketches, field.name)
        np.testing.assert_array_equal(got, expected, err_msg=field.name)
    return ours


def scanned(*values: bytes) -> list[bool]:
    """Return which of the values are plain."""
    rest = {row for first, behind in scan(values).others for row in range(first, behind)}
    return [row not in rest for row in range(len(values))]


# -- any bytes --------------------------------------------------------------------------------------

TEXTS = st.one_of(
    st.text(max_size=12),
    st.text(st.sampled_from('ab"\\/\n\x00\x1f\x7fé漢😀\ufffd'), max_size=12),
    st.sampled_from(["", "a", "ok", "chat", "none", "text", "0" * 16, "10.0.0.1", "::1", "a/s/m", "x/s", "q" * 300]),
)
RAW_STRINGS = st.one_of(
    TEXTS.map(json.dumps),
    TEXTS.map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(
        ['"\\ud83d"', '"\\q"', '"\\u00e9"', '"\\u0061"', '"a\\', '"', '"a\tb"', '"\\"', '"\\\\"', '"\x80"']
    ),
).map(lambda text: text.encode("utf-8", "surrogatepass"))
RAW_BYTES = st.binary(max_size=4).map(lambda text: b'"' + text + b'"')
RAW_NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.integers(-5, 10**6).map(str),
    st.floats().map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9).map(str),
    st.sampled_from(
        "-0 -0.0 0 00 01 -01 0.0 1.0 1. .5 - + 1e5 1E+5 1e-5 1e 1e+ 1e400 -1e400 0e0 1.5e3 9007199254740993 "
        "9007199254740992 123456789012345678 1234567890123456789 0.1234567890123456789 1-2 1.2.3 0x1 NaN".split(" ")
    ),
).map(str.encode)
RAW_OTHERS = st.sampled_from(
    [
        b"null",
        b"true",
        b"false",
        b"nul",
        b"nulll",
        b"True",
        b"[]",
        b"{}",
        b'{"a":1}',
        b"[1]",
        b"",
        b" ",
        b'{"tier":"pro"}',
    ]
)
RAW_VALUES = st.one_of(RAW_STRINGS, RAW_BYTES, RAW_NUMBERS, RAW_OTHERS)
NAMES = st.one_of(
    st.sampled_from(Wire.__struct_fields__).map(str.encode),
    st.sampled_from([b"x", b"", b"extra", b"i\\u0064", b"prompt_tex", b"prompt_texts", b"\xc3\xa9", b"\xff", b"a\nb"]),
)
BLANKS = st.sampled_from([b"", b"", b"", b"", b" ", b"\n", b"\t", b"\r\n", b"\x0b", b"\xc2\xa0"])


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """Something like an event: fields of any kind, blanks anywhere, a piece of it missing or twice."""
    parts = [b"%s%s%s" % (draw(BLANKS), part, draw(BLANKS)) for part in draw(st.permutations(REQUIRED.split(b",")))]
    for name, value in draw(st.lists(st.tuples(NAMES, RAW_VALUES), max_size=6)):
        pair = b'%s"%s"%s:%s%s%s' % (draw(BLANKS), name, draw(BLANKS), draw(BLANKS), value, draw(BLANKS))
        parts.insert(draw(st.integers(0, len(parts))), pair)
    if draw(st.integers(0, 9)) == 0:
        parts.pop(draw(st.integers(0, len(parts) - 1)))
    whole = draw(BLANKS) + b"{" + b",".join(parts) + b"}" + draw(BLANKS)
    how = draw(st.integers(0, 11))
    if how == 0:
        return whole[: draw(st.integers(0, len(whole)))]
    if how == 1:
        at = draw(st.integers(0, len(whole)))
        return whole[:at] + draw(st.binary(max_size=2)) + whole[at:]
    return whole


VALUES = st.lists(st.one_of(objects(), objects(), st.binary(max_size=9), st.none()), min_size=1, max_size=8)


@given(VALUES)
def test_whatever_comes_is_read_as_by_msgspec(values: list[bytes | None]) -> None:
    assert_same(many(*values))


@given(st.sampled_from(Wire.__struct_fields__), RAW_VALUES)
@example("temperature", b"0.30000000000000004")
@example("time_ms", b"1780000000000.0")
@example("account", b'{"tier":"pro"}')
def test_each_field_takes_and_refuses_what_msgspec_does(name: str, value: bytes) -> None:
    assert_same(many(event(b'"%s":%s' % (name.encode(), value))))


@given(st.lists(st.floats(0, 2**53, allow_nan=False) | st.decimals(0, 1000, places=4), min_size=1, max_size=20))
def test_a_number_is_the_nearest_double(numbers: list[Any]) -> None:
    values = [
        event(b'"temperature":%s,"duration_ms":%s' % ((str(number).encode(),) * 2), at)
        for at, number in enumerate(numbers)
    ]
    found = scan(values).numbers["temperature"]
    assert found.tolist() == [float(number) for number in numbers]


# -- what is scanned, and what is not ---------------------------------------------------------------


def test_what_the_simulator_writes_is_scanned_whole() -> None:
    """A mirror: if none were plain, every other test here would compare msgspec with itself."""
    lines = next(simulate("hydra-mixed", 1, scale=0.01).chunks())
    assert len(lines) > native.FEWEST
    assert all(scanned(*lines))
    assert len(assert_same(list(lines)).batch) == len(lines)


def test_an_event_with_every_field_is_scanned() -> None:
    kinds: dict[str, Any] = {number.name: 3 for number in NUMBERS} | {"v": 1, "stream": True, "logprobs": False}
    text = {name: "0" * 16 for name in Wire.__struct_fields__ if name not in kinds}
    classes = {"operation": "chat", "outcome": "ok", "thinking": "none", "response_format": "text"}
    whole = text | classes | kinds | {"has_tool_calls": None, "account": None, "prompt_text": 'a "b"\né', "extra": 1}
    assert set(whole) == {*Wire.__struct_fields__, "extra"}
    value = json.dumps(whole).encode()
    assert scanned(value) == [True]
    assert_same(many(value))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        event(b'"account":{"tier":"pro"}'),
        event(b'"metadata":{"a":1}'),
        event(b'"input_tokens":"3"'),
        event(b'"stream":1'),
        event(b'"operation":"chatting"'),
        event(b'"mod\\u0065l":"m"'),
        event(b'"extra":"\\q"'),
        event() + b"\n" + event(),
        b'{"id":"r"}',
    ],
)
def test_what_is_not_plain_is_left_to_msgspec(value: bytes) -> None:
    assert scanned(event(), value, event()) == [True, False, True]
    assert_same(many(value))


@pytest.mark.parametrize(
    "more",
    [
        b'"prompt_text":"\xff"',
        b'"prompt_text":"\\ud83d"',
        b'"user_agent":"\xff"',
        b'"country":"\\q"',
        b'"session_id":"\xc3"',
        b'"max_tokens":1e400',
    ],
)
def test_what_only_looks_plain_is_left_to_msgspec_and_costs_nobody_else(more: bytes) -> None:
    bad = event(more)
    assert scanned(event(), bad, event(), bad, bad) == [True, False, True, False, False]
    assert_same(many(bad, event(), bad))


def test_events_stand_in_their_order_whoever_read_them() -> None:
    """So do the names: those of an event that msgspec read are not behind those of all that were scanned."""
    values = many(*(event(b'"account":{"tier":"pro"},"capability":"c%d"' % at, 1000 + at) for at in range(3)))
    values[3] = b'{"id":"odd","time_ms":1,"account_id":"first","model":"rare","metadata":{}}'
    values[5] = event(at=1) + b"\n{}\n" + event(at=2)
    found = assert_same(values)
    assert found.batch.account_ids == ("a", "first")
    assert [(reject.index, reject.line) for reject in found.rejects] == [(5, 2)]
    assert len(found.batch.records) == 3


def test_long_texts_are_left_to_msgspec_and_nothing_shows() -> None:
    text = b'"prompt_text":"%s"' % (b"a long text, " * (native.LONGEST // 4))
    with mock.patch("detector.decoders.scan.scan", side_effect=AssertionError("it was scanned")):
        assert_same(many(*(event(text, at) for at in range(3 * native.FEWEST))))
        with pytest.raises(AssertionError, match="it was scanned"):
            decode(many(), 3, hash_key=KEY)


def test_as_many_strings_as_there_are_events_keep_their_numbers() -> None:
    """The table grows; equal strings that are written in two ways are one."""
    values = [event(b'"user_agent":"agent %d"' % (at % 3_000), at) for at in range(6_000)]
    values += [event(b'"user_agent":"\\u0061gent %d"' % at, at) for at in range(10)]
    batch = assert_same(list(values)).batch
    assert len(np.unique(batch.user_agent)) == 3_000


def test_fields_in_another_order_each_time_are_found() -> None:
    whole = {"id": "r", "time_ms": 1, "account_id": "a", "model": "m", "ip": "1.2.3.4", "n": 2, "stream": True}
    values = []
    for at in range(native.FEWEST):
        turned = list(whole.items())
        turned = turned[at % 7 :] + turned[: at % 7]
        values.append(json.dumps(dict(turned)).encode())
    assert all(scanned(*values))
    assert_same(list(values))


def test_a_missing_number_is_none_of_a_column() -> None:
    found = scan([event(b'"n":2'), event(b'"n":null'), event()])
    assert set(found.numbers) == {"time_ms", "n"}
    assert found.numbers["n"][0] == 2
    assert [math.isnan(n) for n in found.numbers["n"].tolist()] == [False, True, True]


def test_the_fields_of_the_contract_are_all_of_a_kind_that_is_scanned() -> None:
    """A field that is added to the contract is scanned, or this says that it is not."""
    whole = RequestEvent(id="r", time_ms=1, account_id="a", model="m")
    assert scanned(msgspec.json.encode(whole)) == [True]
    assert set(NUMBERED) <= set(Wire.__struct_fields__)
    assert isinstance(decode([msgspec.json.encode(whole)] * native.FEWEST, 0, hash_key=KEY).batch, EventBatch)

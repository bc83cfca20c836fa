"""What the decoders make of bytes: every value gives events or a reject, never an exception."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector import likeness
from detector.decoders import REASONS, Decoded, decode, repartitioned
from detector.decoders.columns import networks
from detector.decoders.json_lines import PIECE
from detector.decoders.wire import Wire
from detector.event import COLUMNS, OPERATIONS, EventBatch, RequestEvent, Sketches, hash64

KEY = 7
REQUIRED = {"id": "r1", "time_ms": 1_780_000_000_000, "account_id": "a1", "model": "m"}


def event(**fields: Any) -> bytes:
    return json.dumps({**REQUIRED, **fields}).encode()


def decoded(*values: bytes | None) -> Decoded:
    return decode(values, 3, hash_key=KEY)


def one(**fields: Any) -> EventBatch:
    result = decoded(event(**fields))
    assert not result.rejects
    assert len(result.batch) == 1
    return result.batch


def why(value: bytes) -> tuple[str, str]:
    result = decoded(value)
    assert len(result.batch) == 0
    assert len(result.rejects) == 1
    return result.rejects[0].reason, result.rejects[0].detail


def test_the_wire_struct_has_the_fields_of_the_contract() -> None:
    assert Wire.__struct_fields__ == RequestEvent.__struct_fields__


def test_what_is_missing_is_unknown_and_not_zero() -> None:
    batch = one()
    for name in ("input_tokens", "max_tokens", "temperature", "tool_count", "prompt_chars", "thinking_budget"):
        assert np.isnan(getattr(batch, name)).all(), name
    for name in ("end_user", "system", "tools", "address", "prefix", "asn", "tls", "block"):
        assert getattr(batch, name).tolist() == [0], name
    for name in ("operation", "outcome", "thinking", "response_format", "stream", "logprobs", "block_foreign"):
        assert getattr(batch, name).tolist() == [-1], name
    assert batch.capability.tolist() == [-1]
    assert not batch.sketches.known.any()
    assert batch.records == ()


def test_an_explicit_null_is_a_missing_value() -> None:
    nulls = dict.fromkeys(set(Wire.__struct_fields__) - set(REQUIRED))
    mixed = decoded(event(**nulls), event(input_tokens=5, stream=True, session_id="s")).batch
    absent = one()
    for name in COLUMNS:
        if name not in ("sketches", "records"):
            np.testing.assert_array_equal(np.asarray(getattr(mixed, name))[:1], getattr(absent, name), name)
    assert mixed.input_tokens[1] == 5
    assert mixed.stream.tolist() == [-1, 1]


def test_identifiers_become_keyed_hashes() -> None:
    batch = one(end_user_id="e", reasoning_effort="low", user_agent="ua", tls_ja4="t", id="r1")
    names = {"end_user": "e", "reasoning_effort": "low", "user_agent": "ua", "tls": "t", "event_id": "r1"}
    for column, text in names.items():
        assert getattr(batch, column).tolist() == [hash64(text, KEY)], column


def test_numbers_and_flags_keep_their_value() -> None:
    batch = one(input_tokens=10, output_tokens=20, temperature=0.5, stream=False, logprobs=True, asn=64512, n=2)
    assert batch.input_tokens.tolist() == [10]
    assert batch.temperature.tolist() == [0.5]
    assert (batch.stream.tolist(), batch.logprobs.tolist(), batch.has_tool_calls.tolist()) == ([0], [1], [-1])
    assert batch.asn.tolist() == [64512]
    assert batch.time_ms.tolist() == [1_780_000_000_000]


def test_an_integral_float_is_an_integer() -> None:
    value = event().replace(b"1780000000000", b"1780000000000.0")
    assert decoded(value).batch.time_ms.tolist() == [1_780_000_000_000]
    assert one(max_tokens=12.0).max_tokens.tolist() == [12]
    assert one(account={"created_ms": 12.0}).records[0][1].created_ms == 12


def test_strings_that_findings_name_are_kept_once_each() -> None:
    values = [event(account_id=a, model=m, capability=c) for a, m, c in [("b", "x", "coding"), ("a", "y", None)] * 2]
    batch = decode(values, 0, hash_key=KEY).batch
    assert (batch.account_ids, batch.account.tolist()) == (("b", "a"), [0, 1, 0, 1])
    assert (batch.models, batch.model.tolist()) == (("x", "y"), [0, 1, 0, 1])
    assert (batch.capabilities, batch.capability.tolist()) == (("coding",), [0, -1, 0, -1])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_has_its_code(operation: str) -> None:
    assert OPERATIONS[one(operation=operation).operation[0]] == operation


def test_unknown_fields_are_ignored() -> None:
    assert len(one(x_truth="campaign", nested={"a": [1, {"b": None}]})) == 1


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "empty_record"),
        (b" \n ", "empty_record"),
        (b"nonsense", "invalid_json"),
        (event()[:-1], "invalid_json"),
        (event() + event(), "invalid_json"),
        (event(temperature=math.nan), "invalid_json"),
        (b"\x00\xff\xfe" * 9, "invalid_json"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_json"),
        (b"[]", "not_an_object"),
        (b"3", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"null", "not_an_object"),
    ],
)
def test_what_is_no_json_object_is_rejected_with_its_reason(value: bytes, reason: str) -> None:
    assert why(value)[0] == reason


@pytest.mark.parametrize("field", REQUIRED)
def test_a_missing_required_field_is_named(field: str) -> None:
    rest = {name: value for name, value in REQUIRED.items() if name != field}
    assert why(json.dumps(rest).encode()) == ("missing_field", field)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", 5),
        ("time_ms", -1),
        ("time_ms", "2026-01-01"),
        ("time_ms", None),
        ("time_ms", 1.5),
        ("time_ms", 1_780_000_000_000_000),
        ("time_ms", 2**70),
        ("account_id", ""),
        ("account_id", None),
        ("account_id", "é" * 65),
        ("model", ""),
        ("model", "m" * 10_000),
        ("operation", "images"),
        ("outcome", "fine"),
        ("thinking", "deep"),
        ("response_format", "xml"),
        ("input_tokens", -1),
        ("input_tokens", 10**400),
        ("output_tokens", 3.5),
        ("output_tokens", "12"),
        ("output_tokens", True),
        ("duration_ms", -0.5),
        ("stream", 1),
        ("temperature", "hot"),
        ("user_agent", ["a"]),
        ("system_hash", "abc"),
        ("tools_hash", "zzzzzzzzzzzzzzzz"),
        ("asn", -5),
        ("v", "1"),
        ("provider", 5),
        ("account", "a1"),
    ],
)
def test_a_wrong_field_makes_the_record_invalid_and_is_named(field: str, value: Any) -> None:
    reason, detail = why(event(**{field: value}))
    assert reason == "invalid_field"
    assert detail.split(":")[0] == field


def test_a_wrong_field_of_an_inline_account_is_named() -> None:
    assert why(event(account={"status": "gone"})) == ("invalid_field", "account.status: not a known value")
    assert why(event(account={"created_ms": -4}))[1].startswith("account.created_ms: ")
    assert why(event(account={"created_ms": 10**30}))[1].startswith("account.created_ms: ")


@pytest.mark.parametrize("version", [0, 2, 1.5, -1, 10**30])
def test_another_version_is_unsupported_even_when_its_fields_have_other_types(version: float) -> None:
    assert why(event(v=version))[0] == "unsupported_version"
    assert why(event(v=version, input_tokens="many"))[0] == "unsupported_version"


def test_version_one_may_be_said() -> None:
    assert len(one(v=1)) == 1


@pytest.mark.parametrize("field", ["max_tokens", "n", "top_logprobs", "thinking_budget_tokens", "temperature", "top_p"])
@pytest.mark.parametrize("senseless", [-1, 10**40, 10**400, -(10**4000)], ids=["-1", "1e40", "1e400", "-1e4000"])
def test_a_client_cannot_have_its_event_refused_by_what_it_asks_for(field: str, senseless: float) -> None:
    column = {"thinking_budget_tokens": "thinking_budget"}.get(field, field)
    assert np.isnan(getattr(one(**{field: senseless}), column)).all()


def test_a_client_cannot_have_its_event_refused_by_broken_text() -> None:
    for broken in (b"\xff", b"\\ud800", b"\\udc00 and \\ud83d"):
        value = event(prompt_text="PLACE", user_agent="PLACE").replace(b"PLACE", broken)
        assert len(decoded(value).batch) == 1
    whole = event(prompt_text="PLACE").replace(b"PLACE", b"\\ud83d\\ude00")
    assert decoded(whole).batch.sketches.text.tolist() == likeness.sketch(["😀"], KEY).text.tolist()


def test_a_number_that_no_double_holds_is_mended_and_what_looks_like_one_in_a_text_is_not() -> None:
    text = 'say "1e999" and 1e999'
    batch = decoded(event(max_tokens="PLACE", n=2, prompt_text=text).replace(b'"PLACE"', b"1e999")).batch
    assert (np.isnan(batch.max_tokens).tolist(), batch.n.tolist()) == ([True], [2])
    assert batch.sketches.text.tolist() == likeness.sketch([text], KEY).text.tolist()


_surrogates = st.sampled_from(["\ud83d", "\ude00", "\\", "\\ud83d", "\\ude00", "u", "d", '"', "x", "\0", "\ufffd"])


@given(st.lists(_surrogates, max_size=8).map("".join), st.booleans())
def test_whatever_text_a_client_sends_its_event_is_read(text: str, escaped: bool) -> None:
    value = json.dumps({**REQUIRED, "prompt_text": text, "user_agent": text}, ensure_ascii=escaped)
    result = decoded(value.encode("utf-8", "surrogatepass"))
    assert result.rejects == []


@pytest.mark.parametrize("field", ["id", "account_id", "model"])
@pytest.mark.parametrize("broken", [b"\xff", b"\\ud800"])
def test_a_damaged_identifier_is_refused(field: str, broken: bytes) -> None:
    assert why(event(**{field: "PLACE"}).replace(b"PLACE", b"x" + broken)) == ("invalid_utf8", field)


def test_an_address_that_is_none_is_unknown() -> None:
    for text in ("unknown", "", "1.2.3", "1.2.3.4.5", "300.1.1.1", "1.2.3.4:80", "\x00", "x" * 100_000):
        batch = one(ip=text)
        assert (batch.address.tolist(), batch.prefix.tolist()) == ([0], [0])


def test_the_prefix_is_the_24_of_ipv4_and_the_48_of_ipv6() -> None:
    texts = ["10.1.2.3", "junk", "10.1.2.250", "2001:db8:1:2::1", "2001:DB8:1:ffff::9", "::ffff:10.1.2.3", "10.1.3.3"]
    address, prefix = (column.tolist() for column in networks(texts, KEY))
    assert address[0] == hash64("10.1.2.3", KEY) == address[5]
    assert address[1] == prefix[1] == 0
    assert prefix[0] == prefix[2] == prefix[5] == hash64("10.1.2.0/24", KEY)
    assert prefix[3] == prefix[4] == hash64("2001:db8:1::/48", KEY)
    assert prefix[6] not in prefix[:6]


def test_lines_of_one_record_are_events_of_their_own() -> None:
    value = b"\n".join([event(id="a"), b"", event(id="b"), b"broken", event(id="c", time_ms=-1), event(id="d")]) + b"\n"
    result = decode([event(id="0"), value, event(id="z")], [5, 6, 7], hash_key=KEY)
    assert result.batch.event_id.tolist() == [hash64(i, KEY) for i in "0abdz"]
    assert result.batch.partition.tolist() == [5, 6, 6, 6, 7]
    assert [(r.index, r.line, r.reason, r.raw) for r in result.rejects] == [
        (1, 4, "invalid_json", b"broken"),
        (1, 5, "invalid_field", event(id="c", time_ms=-1)),
    ]


def test_an_object_may_be_spread_over_lines() -> None:
    assert len(decoded(json.dumps(REQUIRED, indent=1).encode()).batch) == 1
    spread = json.dumps({**REQUIRED, "time_ms": "x"}, indent=1).encode()
    assert why(spread) == ("invalid_field", "time_ms: Expected `float`, got `str`")


def test_a_bad_record_costs_itself_and_not_its_batch() -> None:
    values = [event(id=str(i)) if i % 3 else b"bad" for i in range(100)]
    result = decode(values, list(range(100)), hash_key=KEY)
    good = [i for i in range(100) if i % 3]
    assert result.batch.partition.tolist() == good
    assert result.batch.event_id.tolist() == [hash64(str(i), KEY) for i in good]
    assert [r.index for r in result.rejects] == [i for i in range(100) if not i % 3]


def test_tombstones_are_counted_apart() -> None:
    result = decoded(None, event(), None)
    assert (len(result.batch), result.tombstones, result.rejects) == (1, 2, [])


def test_no_detail_quotes_a_value() -> None:
    secret = "the prompt"
    for name in RequestEvent.__struct_fields__:
        for value in (secret, [secret], {"x": secret}):
            for reject in decoded(event(**{name: value})).rejects:
                assert secret not in reject.detail


def test_the_text_of_a_prompt_wins_over_its_sketch() -> None:
    given_sketch = likeness.encode(likeness.sketch(["from the gateway"], KEY))[0]
    batch = decoded(
        event(prompt_text="a question"),
        event(),
        event(prompt_sketch=given_sketch),
        event(prompt_text="a question", prompt_sketch=given_sketch),
    ).batch
    expected = likeness.sketch(["a question", "from the gateway"], KEY).template.tolist()
    assert batch.sketches.known.tolist() == [True, False, True, True]
    assert batch.sketches.template.tolist() == [expected[0], 0, expected[1], expected[0]]


def test_a_sketch_that_is_none_is_unknown() -> None:
    assert not one(prompt_sketch="?").sketches.known.any()


def test_the_hash_of_the_system_prompt_is_the_gateways_or_that_of_its_text() -> None:
    of_text = int(likeness.sketch(["be brief"], KEY).text[0])
    batch = decoded(
        event(system_hash="00000000000000FF"),
        event(system_text="be brief"),
        event(system_text="be brief", system_hash="00000000000000ff"),
        event(),
    ).batch
    assert batch.system.tolist() == [255, of_text, 255, 0]


@pytest.mark.parametrize(
    ("issuer", "foreign"),
    [
        ("a/1/s/openai/m", 0),
        ("b/s/openai/m", 1),
        ("a/1/t/openai/m", 1),
        ("a/1/s/openai/n", 1),
        ("/s/openai/m", 0),
        ("//openai/m", 0),
        ("//other", 1),
        ("a/1//", 0),
        ("a/1", 0),
        ("a/12", 1),
        ("//", -1),
        ("", -1),
    ],
)
def test_a_reasoning_block_is_foreign_when_any_known_part_of_its_issuer_differs(issuer: str, foreign: int) -> None:
    batch = one(
        account_id="a/1", session_id="s", model="openai/m", reasoning_block_hash="h", reasoning_block_issuer=issuer
    )
    assert batch.block_foreign.tolist() == [foreign]


@pytest.mark.parametrize(
    ("issuer", "other"),
    [
        ("b/2/s/openai/m", "b/2"),  # accounts of one provider have equally many slashes
        ("a/12/s", "a/12"),
        ("a/1/t/m", ""),
        ("a/1", ""),
        ("/t/m", ""),
        ("", ""),
    ],
)
def test_a_block_of_another_account_names_both_accounts_and_no_other_block_does(issuer: str, other: str) -> None:
    batch = one(account_id="a/1", session_id="s", model="m", reasoning_block_hash="h", reasoning_block_issuer=issuer)
    named = [hash64(other, KEY), hash64("a/1", KEY)] if other else [0, 0]
    assert [*batch.block_of.tolist(), *batch.block_by.tolist()] == named


def test_an_unknown_session_says_nothing_about_the_issuer() -> None:
    assert one(reasoning_block_issuer="a1/s/m").block_foreign.tolist() == [0]
    assert one(reasoning_block_issuer="a1/s/n").block_foreign.tolist() == [1]
    assert one(reasoning_block_issuer="/s/").block_foreign.tolist() == [-1]


def test_an_inline_account_record_is_about_the_account_of_the_event() -> None:
    batch = decoded(event(), event(account={"tier": "pro", "account_id": "someone else"})).batch
    ((row, record),) = batch.records
    assert (row, record.account_id, record.tier) == (1, "a1", "pro")


def test_no_values_give_an_empty_batch() -> None:
    result = decode([], [], hash_key=KEY)
    assert len(result.batch) == 0
    assert result.batch.account_ids == ()
    assert all(len(getattr(result.batch.sketches, name)) == 0 for name in Sketches.__dataclass_fields__)


def test_events_go_to_the_partition_of_their_account() -> None:
    values = [event(account_id=f"a{i % 5}") for i in range(20)]
    batch = repartitioned(decode(values, 0, hash_key=KEY).batch, 4)
    assert set(batch.partition.tolist()) <= set(range(4))
    by_account = dict(zip(batch.account.tolist(), batch.partition.tolist(), strict=True))
    assert [by_account[a] for a in batch.account.tolist()] == batch.partition.tolist()


_things: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        3,
        2**53 + 1,
        2**70,
        1.5,
        7.0,
        1e300,
        "",
        "x",
        "é/\ud800",
        "1.2.3.4",
        "ok",
        "0" * 16,
        [],
        {},
        {"status": 1},
    ]
)
_events = st.dictionaries(st.sampled_from(Wire.__struct_fields__), _things, max_size=4).map(lambda f: event(**f))
_lines = st.binary(max_size=9) | _events
_values = st.lists(_lines | st.none() | st.lists(_lines, max_size=4).map(b"\n".join), max_size=8)


@given(_values)
def test_every_byte_string_gives_events_or_a_reject(values: list[bytes | None]) -> None:
    result = decode(values, list(range(len(values))), hash_key=KEY)
    accounted = {*result.batch.partition.tolist(), *(r.index for r in result.rejects)}
    assert accounted == {i for i, value in enumerate(values) if value is not None}
    assert result.tombstones == values.count(None)
    assert {r.reason for r in result.rejects} <= set(REASONS)
    assert [r.index for r in result.rejects] == sorted(r.index for r in result.rejects)
    for name in COLUMNS:
        column = getattr(result.batch, name)
        if isinstance(column, np.ndarray):
            assert len(column) == len(result.batch), name


@given(_values, st.integers(0, 8))
def test_the_cut_into_batches_does_not_show(values: list[bytes | None], cut: int) -> None:
    whole = decode(values, 0, hash_key=KEY)
    parts = [decode(part, 0, hash_key=KEY) for part in (values[:cut], values[cut:])]
    assert [(r.reason, r.raw) for r in whole.rejects] == [(r.reason, r.raw) for p in parts for r in p.rejects]
    for name in ("event_id", "time_ms", "end_user", "input_tokens", "operation", "address", "block_foreign", "stream"):
        joined = np.concatenate([getattr(part.batch, name) for part in parts])
        np.testing.assert_array_equal(getattr(whole.batch, name), joined, name)


def test_a_refused_event_leaves_no_name_behind() -> None:
    """What it alone names is in no table, and the others stand in the order in which good events name them."""
    good = [
        event(id="1", account_id="b", model="m2", capability="coding"),
        event(id="2", account_id="a", model="m1"),
        event(id="3", account_id="b", model="m1", capability="vision"),
    ]
    bad = [
        event(id="4", account_id="a", model="m0", capability="vision", input_tokens=-1),
        event(id="5", account_id="c", model="", capability="writing"),
        event(id="", account_id="d", model="m3"),
    ]
    with_bad, alone = decoded(bad[0], good[0], bad[1], *good[1:], bad[2]), decoded(*good)
    assert [(r.index, r.reason) for r in with_bad.rejects] == [(i, "invalid_field") for i in (0, 2, 5)]
    for name in ("account", "account_ids", "model", "models", "capability", "capabilities", "event_id"):
        np.testing.assert_array_equal(getattr(with_bad.batch, name), getattr(alone.batch, name), name)


@pytest.mark.parametrize("at", [0, PIECE - 1, PIECE, 2 * PIECE + 1])
def test_what_is_bad_is_found_in_whatever_piece_it_lies(at: int) -> None:
    values: list[bytes | None] = [event(id=f"r{i}", ip=f"10.0.{i % 7}.1") for i in range(2 * PIECE + 2)]
    values[at] = event(id="x", tools_hash="no hash")
    result = decode(values, 3, hash_key=KEY)
    assert [(r.index, r.reason, r.raw) for r in result.rejects] == [(at, "invalid_field", values[at])]
    kept = decode([value for i, value in enumerate(values) if i != at], 3, hash_key=KEY).batch
    for name in ("event_id", "address", "prefix", "partition", "time_ms"):
        np.testing.assert_array_equal(getattr(result.batch, name), getattr(kept, name), name)


def test_a_value_of_many_lines_in_a_later_piece_is_named_by_its_own_number() -> None:
    values = [event(id=f"r{i}") for i in range(PIECE + 1)]
    values.append(event(id="a") + b"\n{\n" + event(id="b"))
    result = decode(values, 0, hash_key=KEY)
    assert [(r.index, r.line) for r in result.rejects] == [(PIECE + 1, 2)]
    assert len(result.batch) == PIECE + 3


def test_a_valid_event_of_the_contract_survives_as_msgspec_writes_it() -> None:
    full = RequestEvent(id="x", time_ms=1, account_id="a", model="m", stream=True, max_tokens=4, temperature=1.0)
    batch = decoded(msgspec.json.encode(full)).batch
    assert (batch.max_tokens.tolist(), batch.temperature.tolist(), batch.stream.tolist()) == ([4], [1], [1])

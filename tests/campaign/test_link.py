"""What accounts can share, read off events and account records."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.account import AccountRecord
from detector.campaign.link import CONTENT, IDENTITY, client_of, links_of, links_of_record, mix, mix_one, shape_of
from detector.campaign.observation import LinkKind
from detector.decoders import decode
from detector.event import EventBatch

KEY = 11
PROMPT = "Write a short poem about the sea in winter and name every colour that you see in it."


def batch(*events: dict[str, Any]) -> EventBatch:
    required = {"id": "r", "time_ms": 1_780_000_000_000, "account_id": "a", "model": "m"}
    decoded = decode([json.dumps({**required, **event}).encode() for event in events], 0, hash_key=KEY)
    assert not decoded.rejects
    return decoded.batch


def found(*events: dict[str, Any]) -> Counter[tuple[int, int, int]]:
    links = links_of(batch(*events))
    return Counter(zip(links.event.tolist(), links.kind.tolist(), links.value.tolist(), strict=True))


def kinds(event: dict[str, Any]) -> set[LinkKind]:
    return {LinkKind(kind) for _, kind, _ in found(event)}


EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "prompt_text": st.sampled_from([PROMPT, "What is 2 + 2?", "", "Fix this: x = 1"]),
        "system_hash": st.sampled_from(["00000000000000aa", "00000000000000bb"]),
        "tools_hash": st.sampled_from(["00000000000000aa", "00000000000000cc"]),
        "ip": st.sampled_from(["10.1.2.3", "10.1.2.4", "2001:db8::1"]),
        "asn": st.sampled_from([64500, 64501]),
        "tls_ja4": st.sampled_from(["t1", "t2"]),
        "user_agent": st.sampled_from(["u1", "u2"]),
        "temperature": st.sampled_from([0.0, 0.7]),
        "max_tokens": st.sampled_from([256, 4096]),
        "n": st.sampled_from([1, 4]),
        "logprobs": st.booleans(),
        "response_format": st.sampled_from(["text", "json_object"]),
        "reasoning_block_hash": st.just("block"),
    },
)


@settings(max_examples=40)
@given(st.lists(EVENTS, min_size=1, max_size=6))
def test_a_batch_has_the_links_of_its_events_one_by_one(events: list[dict[str, Any]]) -> None:
    apart: Counter[tuple[int, int, int]] = Counter()
    for row, event in enumerate(events):
        apart += Counter({(row, kind, value): n for (_, kind, value), n in found(event).items()})
    assert found(*events) == apart


def test_what_is_unknown_links_nobody() -> None:
    assert not found({})


def test_no_events_have_no_links() -> None:
    assert len(links_of(batch()).value) == 0


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"system_hash": "00000000000000aa"}, LinkKind.SYSTEM),
        ({"tools_hash": "00000000000000aa"}, LinkKind.TOOLS),
        ({"asn": 64500}, LinkKind.NETWORK),
        ({"reasoning_block_hash": "b"}, LinkKind.BLOCK),
        ({"tls_ja4": "t", "user_agent": "u"}, LinkKind.CLIENT),
    ],
)
def test_each_thing_is_a_link_of_its_kind(event: dict[str, Any], kind: LinkKind) -> None:
    assert kinds(event) == {kind}


def test_a_block_of_another_account_links_with_it_and_ones_own_with_nobody() -> None:
    def issuers(account: str, issuer: str) -> set[int]:
        event = {"account_id": account, "reasoning_block_issuer": issuer}
        return {value for _, kind, value in found(event) if kind == LinkKind.ISSUER}

    assert len(issuers("a", "b/s/m")) == 2
    assert len(issuers("a", "b/s/m") & issuers("c", "a/s/m")) == 1
    assert issuers("a", "b/s/m") == issuers("b", "a/s/m")
    assert not issuers("a", "a/t/m")


def test_an_address_is_a_link_and_its_prefix_another() -> None:
    assert kinds({"ip": "10.1.2.3"}) == {LinkKind.ADDRESS, LinkKind.PREFIX}
    shared = found({"ip": "10.1.2.3"}) & found({"ip": "10.1.2.99"})
    assert {kind for _, kind, _ in shared} == {LinkKind.PREFIX}


def test_an_autonomous_system_links_those_who_come_from_it_on_the_same_day() -> None:
    midnight = 1_767_225_600_000

    def session(asn: int, time_ms: int) -> set[int]:
        return {value for _, kind, value in found({"asn": asn, "time_ms": time_ms}) if kind == LinkKind.NETWORK}

    assert len(session(64500, midnight)) == 1
    assert session(64500, midnight) == session(64500, midnight + 86_399_999)
    assert not session(64500, midnight) & session(64500, midnight - 1)
    assert not session(64500, midnight) & session(64501, midnight)


def test_a_prompt_links_by_what_it_says() -> None:
    assert kinds({"prompt_text": PROMPT}) <= CONTENT
    assert {LinkKind.TEXT, LinkKind.TEMPLATE, LinkKind.FRAGMENT} <= kinds({"prompt_text": PROMPT})


def test_half_of_a_client_print_is_none() -> None:
    assert client_of(batch({"tls_ja4": "t"}, {"user_agent": "u"}, {})).tolist() == [0, 0, 0]


def test_the_same_value_of_different_kinds_is_not_the_same_link() -> None:
    event = {"system_hash": "00000000000000aa", "tools_hash": "00000000000000aa", "asn": 0xAA}
    values = links_of(batch(event)).value.tolist()
    assert len(set(values)) == len(values) == 3


def test_the_same_fragment_in_another_column_is_another_link() -> None:
    links = links_of(batch({"prompt_text": PROMPT}))
    fragments = links.value[links.kind == LinkKind.FRAGMENT].tolist()
    assert len(set(fragments)) == len(fragments)


def test_defaults_that_every_client_sends_are_no_shape() -> None:
    chosen = [
        {},
        {"stream": True},
        {"temperature": 0.7},
        {"operation": "chat", "stream": True, "response_format": "text"},
    ]
    assert shape_of(batch(*chosen)).tolist() == [0, 0, 0, 0]


def test_a_shape_tells_apart_every_parameter_and_unknown_from_zero() -> None:
    base = {"temperature": 0.7, "max_tokens": 1000}
    others = [
        {**base, "temperature": 0.0},
        {**base, "max_tokens": 1001},
        {**base, "top_p": 1.0},
        {**base, "n": 4},
        {**base, "tool_count": 0},
        {**base, "logprobs": True},
        {**base, "stream": True},
        {**base, "stream": False},
        {**base, "reasoning_effort": "high"},
        {**base, "response_format": "json_object"},
        {"temperature": 1000, "max_tokens": 0.7 * 0 + 1},
    ]
    shapes = shape_of(batch(base, *others)).tolist()
    assert 0 not in shapes
    assert len(set(shapes)) == len(shapes)
    assert shape_of(batch(base)).tolist() == shapes[:1]


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, unique=True), st.integers(0, 300), st.integers(0, 300))
def test_mixing_keeps_values_apart_and_salts_differ(values: list[int], salt: int, other: int) -> None:
    column = np.array(values, np.uint64)
    mixed = mix(column, salt)
    assert len(np.unique(mixed)) == len(values)
    assert (mix(column, other) == mixed).any() == (salt == other)


def record(**fields: Any) -> AccountRecord:
    return AccountRecord(account_id="a", **fields)


def test_a_record_that_says_nothing_links_nobody() -> None:
    assert links_of_record(record(tier="free", country="DE", verified=True), KEY) == []


def test_a_record_links_by_payment_mail_and_address() -> None:
    links = links_of_record(record(payment_fp="p", email_domain="mail.example", signup_ip="10.0.0.1"), KEY)
    assert [kind for kind, _ in links] == [LinkKind.PAYMENT, LinkKind.EMAIL, LinkKind.ADDRESS]
    assert {kind for kind, _ in links} <= IDENTITY
    assert len({value for _, value in links}) == 3


def test_a_bank_by_itself_is_no_link() -> None:
    assert links_of_record(record(card_bin="411111"), KEY) == []
    assert [k for k, _ in links_of_record(record(card_bin="411111", signup_asn=64500), KEY)] == [LinkKind.CARD]
    one, two = (links_of_record(record(card_bin="411111", signup_asn=asn), KEY) for asn in (64500, 64501))
    assert one != two


def test_mail_domains_do_not_depend_on_case() -> None:
    one, two = (links_of_record(record(email_domain=name), KEY) for name in ("Mail.Example", "mail.example"))
    assert one == two


@pytest.mark.parametrize("address", ["10.1.2.3", "2001:db8::1", "2001:DB8:0:0::1"])
def test_the_address_of_a_sign_up_and_of_a_request_is_one_link(address: str) -> None:
    (signup,) = (value for kind, value in links_of_record(record(signup_ip=address), KEY) if kind == LinkKind.ADDRESS)
    requests = {value for _, kind, value in found({"ip": address}) if kind == LinkKind.ADDRESS}
    assert requests == {signup}


def test_under_another_key_identifiers_are_other_values() -> None:
    one, two = (links_of_record(record(payment_fp="p"), key) for key in (1, 2))
    assert one != two


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1), st.integers(0, 200))
def test_one_value_is_mixed_as_a_column_is(values: list[int], salt: int) -> None:
    assert mix(np.array(values, np.uint64), salt).tolist() == [mix_one(value, salt) for value in values]

"""Account records from their topic."""

from __future__ import annotations

import json
from typing import Any

import pytest

from detector.decoders import decode, decode_accounts


def record(**fields: Any) -> bytes:
    return json.dumps({"account_id": "a1", **fields}).encode()


def test_records_come_in_order_one_per_value_or_line() -> None:
    result = decode_accounts([record(tier="pro"), record(account_id="b") + b"\n" + record(account_id="c"), None])
    assert [r.account_id for r in result.records] == ["a1", "b", "c"]
    assert (result.records[0].tier, result.rejects, result.tombstones) == ("pro", [], 1)


def test_an_integral_float_is_an_integer() -> None:
    assert decode_accounts([record(created_ms=5.0)]).records[0].created_ms == 5


def test_a_long_text_is_cut_and_still_told_apart() -> None:
    texts = ["d" * 256, "d" * 1_000_000, "d" * 999_999 + "e"]
    kept = [str(one.email_domain) for one in decode_accounts([record(email_domain=text) for text in texts]).records]
    assert kept[0] == texts[0]
    assert len(set(kept)) == 3
    assert max(map(len, kept)) < 300
    event = {"id": "r", "time_ms": 1, "account_id": "a", "model": "m", "account": {"email_domain": texts[1]}}
    assert decode([json.dumps(event).encode()], 0, hash_key=7).batch.records[0][1].email_domain == kept[1]


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (b"", "empty_record", ""),
        (b"{}", "missing_field", "account_id"),
        (record(account_id=""), "missing_field", "account_id"),
        (record(account_id="x" * 129), "invalid_field", "account_id: longer than 128 bytes"),
        (b'{"account_id":"\xff"}', "invalid_utf8", "account_id"),
        (record(status="gone"), "invalid_field", "status: not a known value"),
        (record(created_ms=-1), "invalid_field", "created_ms: not an integer from 0 to 253402300799999"),
        (record(created_ms=10**30), "invalid_field", "created_ms: not an integer from 0 to 253402300799999"),
    ],
)
def test_what_is_no_account_record_is_rejected_with_its_reason(value: bytes, reason: str, detail: str) -> None:
    result = decode_accounts([record(), value, record()])
    assert len(result.records) == 2
    assert [(r.index, r.reason, r.detail, r.raw) for r in result.rejects] == [(1, reason, detail, value)]

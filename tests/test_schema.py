"""The published schemas are those of the code, and accept what the decoders accept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.decoders import decode, decode_accounts
from detector.event import RequestEvent
from detector.schema import RECORDS, schema_of

ROOT = Path(__file__).parents[1]
REQUIRED = {"id": "r1", "time_ms": 1_780_000_000_000, "account_id": "a1", "model": "m"}


@pytest.mark.parametrize("record", RECORDS)
def test_the_published_schema_is_that_of_the_code(record: str) -> None:
    written = (ROOT / "deploy" / "schemas" / f"{record}.json").read_text("utf-8")
    assert written == schema_of(record), f"run: detector schema {record} > deploy/schemas/{record}.json"


@pytest.mark.parametrize("record", RECORDS)
def test_every_field_is_described(record: str) -> None:
    document = json.loads(schema_of(record))
    jsonschema.Draft202012Validator.check_schema(document)
    for part in (document, *document.get("$defs", {}).values()):
        assert set(part["properties"]) >= set(part.get("required", ()))
        for name, field in part["properties"].items():
            assert field.get("description"), name


def test_the_required_fields_are_those_of_the_contract() -> None:
    assert json.loads(schema_of("request"))["required"] == ["id", "time_ms", "account_id", "model"]
    assert json.loads(schema_of("account"))["required"] == ["account_id"]


_validate = jsonschema.Draft202012Validator(json.loads(schema_of("request")))
_validate_account = jsonschema.Draft202012Validator(json.loads(schema_of("account")))
_things: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        0,
        1,
        -1,
        2**54,
        1.5,
        7.0,
        "",
        "x",
        "m" * 129,
        "m" * 257,
        "ok",
        "chat",
        "free",
        "banned",
        "0" * 16,
        [],
        {},
    ]
)
_ASKED_FOR = {"max_tokens", "n", "top_logprobs", "seed", "thinking_budget_tokens", "temperature", "top_p"}


@given(st.dictionaries(st.sampled_from(RequestEvent.__struct_fields__), _things, max_size=3))
def test_the_schema_and_the_decoder_agree_on_what_a_request_is(fields: dict[str, Any]) -> None:
    event = {**REQUIRED, **fields}
    accepted = not decode([json.dumps(event).encode()], 0, hash_key=0).rejects
    if any(isinstance(event.get(name), float) for name in _ASKED_FOR):
        return  # 1.5 choices are unknown to the decoder and no integer to the schema
    assert _validate.is_valid(event) == accepted


@given(st.dictionaries(st.sampled_from(RECORDS["account"].__struct_fields__), _things, max_size=3))
def test_the_schema_and_the_decoder_agree_on_what_an_account_record_is(fields: dict[str, Any]) -> None:
    record = {"account_id": "a1", **fields}
    accepted = not decode_accounts([msgspec.json.encode(record)]).rejects
    assert _validate_account.is_valid(record) == accepted

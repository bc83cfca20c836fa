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
_THINGS: tuple[Any, ...] = (
    *(None, True, False, [], {}, ["x"], [1], {"a": 1}),
    *(0, 1, 2, -1, 2**53, 2**54, 2**63, 2**64, 1.5, 7.0, -0.0, 1e300),
    *("", "x", "é", "m" * 129, "m" * 257, "ok", "chat", "free", "banned", "0" * 16),
)
_ASKED_FOR = {"max_tokens", "n", "top_logprobs", "seed", "thinking_budget_tokens", "temperature", "top_p"}


def _agree_on_request(fields: dict[str, Any]) -> bool:
    event = {**REQUIRED, **fields}
    accepted = not decode([json.dumps(event).encode()], 0, hash_key=0).rejects
    if any(isinstance(event.get(name), float) for name in _ASKED_FOR):
        return True  # 1.5 choices are unknown to the decoder and no integer to the schema
    return bool(_validate.is_valid(event) == accepted)


def _agree_on_account(fields: dict[str, Any]) -> bool:
    record = {"account_id": "a1", **fields}
    accepted = not decode_accounts([msgspec.json.encode(record)]).rejects
    return bool(_validate_account.is_valid(record) == accepted)


_AGREE = {"request": _agree_on_request, "account": _agree_on_account}


@pytest.mark.parametrize("record", _AGREE)
def test_the_schema_and_the_decoder_agree_on_every_value_of_a_field(record: str) -> None:
    assert [
        (name, thing)
        for name in RECORDS[record].__struct_fields__
        for thing in _THINGS
        if not _AGREE[record]({name: thing})
    ] == []


@pytest.mark.parametrize("record", _AGREE)
@given(data=st.data())
def test_the_schema_and_the_decoder_agree_on_several_fields(record: str, data: st.DataObject) -> None:
    names = st.sampled_from(RECORDS[record].__struct_fields__)
    assert _AGREE[record](data.draw(st.dictionaries(names, st.sampled_from(_THINGS), min_size=2, max_size=3)))

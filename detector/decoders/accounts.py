"""Account records: `llm.accounts.v1`, one JSON object per record or per line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import msgspec

from detector.account import AccountRecord
from detector.decoders.json_lines import read_json
from detector.decoders.reject import Origins, Raw, Reject
from detector.decoders.wire import MAX_INTEGER, MAX_TIME_MS
from detector.event import MAX_ACCOUNT_ID_BYTES, hash64

MAX_TEXT_CHARS: Final = 256
_TEXTS: Final = tuple(
    field.name
    for field in msgspec.structs.fields(AccountRecord)
    if field.type == str | None  # `account_id` is checked instead
)

_decode: Final = msgspec.json.Decoder(AccountRecord).decode


@dataclass(frozen=True, slots=True)
class DecodedAccounts:
    """The records in order, and what gave none: rejects (in order) and a count of tombstones."""

    records: list[AccountRecord]
    rejects: list[Reject]
    tombstones: int


def decode_accounts(values: Sequence[bytes | None]) -> DecodedAccounts:
    """Return the account records of `values`; like `decode`, it never raises for what is in a value."""
    origins = Origins()
    read = list(chain.from_iterable(read_json(values, _decode, origins, [(0, len(values))])))
    value, line = origins.columns()
    raw = Raw(values)
    records: list[AccountRecord] = []
    for row, record in enumerate(read):
        wrong = wrong_id(record.account_id) or wrong_number(record)
        if wrong is None:
            records.append(shortened(record))
        else:
            index, number = int(value[row]), int(line[row])
            origins.rejects.append(Reject(index, number, *wrong, raw.of(index, number)))
    return DecodedAccounts(records, origins.sorted_rejects(), origins.tombstones)


def shortened(record: AccountRecord) -> AccountRecord:
    """Return the record with long texts cut, and still told apart: who signs up must not choose how much is kept."""
    long = {
        name: f"{text[:MAX_TEXT_CHARS]}…{hash64(text, 0):016x}"
        for name in _TEXTS
        if (text := getattr(record, name)) is not None and len(text) > MAX_TEXT_CHARS
    }
    return msgspec.structs.replace(record, **long) if long else record


def wrong_id(account_id: str) -> tuple[str, str] | None:
    """Return (reason, detail) when this is no account id."""
    if not account_id:
        return "missing_field", "account_id"
    if len(account_id.encode()) > MAX_ACCOUNT_ID_BYTES:
        return "invalid_field", f"account_id: longer than {MAX_ACCOUNT_ID_BYTES} bytes"
    if "\ufffd" in account_id:
        return "invalid_utf8", "account_id"
    return None


def wrong_number(record: AccountRecord) -> tuple[str, str] | None:
    """Return (reason, detail) when a number of the record cannot be true."""
    numbers: tuple[tuple[str, Any, int], ...] = (
        ("created_ms", record.created_ms, MAX_TIME_MS),
        ("status_ms", record.status_ms, MAX_TIME_MS),
        ("signup_asn", record.signup_asn, MAX_INTEGER),
        ("quota_tokens_per_day", record.quota_tokens_per_day, MAX_INTEGER),
    )
    for name, number, most in numbers:
        if number is not None and not 0 <= number <= most:
            return "invalid_field", f"{name}: not an integer from 0 to {most}"
    return None

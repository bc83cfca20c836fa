"""The JSON Schemas of the records: structure from the types that read and write them, meaning and limits from here.

The limits are those that the decoders enforce, so what a schema accepts is not dead-lettered.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from detector.account import AccountRecord
from detector.decoders.columns import MAX_NAME_BYTES
from detector.decoders.wire import MAX_INTEGER, MAX_TIME_MS, NUMBERS
from detector.event import MAX_ACCOUNT_ID_BYTES, RequestEvent
from detector.finding import Finding, Reason, Verdict

RECORDS: Final[dict[str, type[msgspec.Struct]]] = {
    "request": RequestEvent,
    "account": AccountRecord,
    "finding": Finding,
    "verdict": Verdict,
}

_MEANINGS: Final[dict[type[msgspec.Struct], dict[str, str]]] = {
    RequestEvent: {
        "v": "version of this record; absent means 1",
        "id": "unique request id; redelivery of the same id is counted once",
        "time_ms": "start of the request, milliseconds since 1970 UTC: event time",
        "account_id": f"the unit of billing and of abuse, at most {MAX_ACCOUNT_ID_BYTES} bytes; may be a pseudonym",
        "org_id": "the organisation that the account belongs to",
        "key_id": "hash of the API key, never the key",
        "end_user_id": "the customer's own user, where the customer names one",
        "session_id": "conversation or agent session",
        "provider": "who serves the model",
        "model": "the model that served the request",
        "model_requested": "the model that was asked for",
        "operation": "kind of endpoint",
        "status": "HTTP status",
        "outcome": "how the request ended",
        "error_type": "the provider's name for the error",
        "duration_ms": "from the start of the request to the end of the response",
        "ttft_ms": "time to the first token",
        "input_tokens": "includes cached tokens, whatever the provider's own convention",
        "output_tokens": "includes reasoning tokens",
        "cache_read_tokens": "part of input_tokens",
        "cache_write_tokens": "part of input_tokens",
        "reasoning_tokens": "part of output_tokens",
        "stream": "the response was streamed",
        "logprobs": "log-probabilities were asked for",
        "has_tool_calls": "the response calls tools",
        "max_tokens": "as the client asked; a negative number is taken as unknown",
        "n": "choices asked for; a negative number is taken as unknown",
        "top_logprobs": "as the client asked; a negative number is taken as unknown",
        "seed": "as the client asked",
        "tool_count": "tools that the request defines",
        "message_count": "messages in the request",
        "user_turns": "messages of role user in the request",
        "prompt_chars": "length of the last user message in characters",
        "temperature": "as the client asked; a negative number is taken as unknown",
        "top_p": "as the client asked; a negative number is taken as unknown",
        "thinking": "reasoning mode asked for",
        "thinking_budget_tokens": "as the client asked; a negative number is taken as unknown",
        "reasoning_effort": "as the client asked",
        "response_format": "format asked for",
        "system_hash": "16 hex digits: keyed 64-bit hash of the normalised system prompt",
        "tools_hash": "16 hex digits: keyed 64-bit hash of the tool definitions",
        "prompt_sketch": "sketch of the last user message by detector.likeness, so that no text leaves the gateway",
        "prompt_text": "the last user message; features are extracted, then it is dropped",
        "system_text": "the system prompt; hashed, then dropped",
        "reasoning_block_hash": "hash of a reasoning block that the request presents",
        "reasoning_block_issuer": "account_id/session_id/model that the block was issued to; unknown parts empty",
        "capability": "label of the task class, where the gateway has a classifier",
        "ip": "address of the client; what is none is taken as unknown",
        "asn": "autonomous system of the address",
        "country": "ISO 3166 code of the address, two letters",
        "user_agent": "as the client sent it",
        "tls_ja4": "JA4 print of the client's TLS handshake",
        "src": "the adapter that made the event",
        "account": "the account record, where there is no account topic; it is about the event's own account",
    },
    AccountRecord: {
        "account_id": f"which account, at most {MAX_ACCOUNT_ID_BYTES} bytes; required on the topic and in files",
        "created_ms": "when the account was made, milliseconds since 1970 UTC",
        "org_id": "the organisation that it belongs to",
        "tier": "plan: free, pro, team, enterprise, api-1 to api-5",
        "programme": "education, research or startup, where it has the benefit of one",
        "payment_fp": "fingerprint of the means of payment",
        "card_bin": "first digits of the card",
        "email_domain": "domain of the address it signed up with",
        "email_disposable": "that domain is one of throw-away addresses",
        "signup_ip": "address that it signed up from",
        "signup_asn": "autonomous system of that address",
        "country": "ISO 3166 code, two letters",
        "verified": "identity or means of payment was verified",
        "quota_tokens_per_day": "what its plan allows",
        "status": "what may be done with it",
        "status_ms": "since when; the record takes effect then, or else at created_ms",
    },
    Finding: {
        "v": "version of this record",
        "finding_id": "stable over the life of an alert",
        "seq": "counts the updates of the finding from 0",
        "kind": "what it is about",
        "subject": "account id or campaign id",
        "state": "where in its life it is",
        "severity": "watch never pages and never leads to a verdict stronger than allow",
        "score": "from 0 to 1",
        "time_ms": "event time of the decision: nothing after it was used",
        "first_seen_ms": "begin of the activity that the finding is about, in event time",
        "last_seen_ms": "end of that activity so far, in event time",
        "accounts_added": "accounts that the previous seq did not have",
        "accounts_removed": "accounts that the previous seq had",
        "accounts_total": "members now",
        "requests_total": "requests of all members since first_seen_ms",
        "output_tokens_total": "output tokens of all members since first_seen_ms",
        "reasons": "what spoke for it, strongest first",
        "evidence": "what links the members, what they take, when, and related campaigns",
        "shadow": "decided, not delivered",
    },
    Reason: {
        "signal": "which behaviour",
        "strength": "from 0 to 1",
        "weight": "how much it counts",
        "value": "what was measured; null where one number does not say it",
        "baseline": "what is usual; null where nothing is",
        "because": "a sentence with numbers",
    },
    Verdict: {
        "v": "version of this record; absent means 1",
        "account_id": "about whom",
        "action": "what the gateway does; no verdict means allow",
        "reason_code": "the strongest signal of the finding",
        "finding_id": "the finding that led to it",
        "score": "of that finding",
        "issued_ms": "event time",
        "expires_ms": "event time after which it no longer holds",
        "limit_tokens_per_minute": "for throttle",
        "decided_by": "policy, or a person",
    },
}

_TEXT: Final[dict[str, Any]] = {"minLength": 1}
_HASH: Final[dict[str, Any]] = {"pattern": "^[0-9a-fA-F]{16}$"}
_TIME: Final[dict[str, Any]] = {"minimum": 0, "maximum": MAX_TIME_MS}
_WHOLE: Final[dict[str, Any]] = {"minimum": 0, "maximum": MAX_INTEGER}
_SHARE: Final[dict[str, Any]] = {"minimum": 0, "maximum": 1}
_LIMITS: Final[dict[type[msgspec.Struct], dict[str, dict[str, Any]]]] = {
    RequestEvent: {
        **{n.name: {"minimum": 0, "maximum": n.most} for n in NUMBERS if n.measured},
        "v": {"const": 1},
        "id": _TEXT,
        "account_id": {**_TEXT, "maxLength": MAX_ACCOUNT_ID_BYTES},
        "model": {**_TEXT, "maxLength": MAX_NAME_BYTES},
        "capability": {"maxLength": MAX_NAME_BYTES},
        "system_hash": _HASH,
        "tools_hash": _HASH,
    },
    AccountRecord: {
        "account_id": {**_TEXT, "maxLength": MAX_ACCOUNT_ID_BYTES},
        "created_ms": _TIME,
        "status_ms": _TIME,
        "signup_asn": _WHOLE,
        "quota_tokens_per_day": _WHOLE,
    },
    Finding: {"score": _SHARE},
    Reason: {"strength": _SHARE},
    Verdict: {"score": _SHARE},
}


def schema_of(record: str) -> str:
    """Return the schema of a record as indented JSON, the same bytes each time."""
    (root,), definitions = msgspec.json.schema_components([RECORDS[record]], ref_template="#/$defs/{name}")
    for kind, meanings in _MEANINGS.items():
        if kind.__name__ in definitions:
            properties = definitions[kind.__name__]["properties"]
            for name, meaning in meanings.items():
                properties[name]["description"] = meaning
            for name, limits in _LIMITS.get(kind, {}).items():
                _plain(properties[name]).update(limits)
    name = root["$ref"].rpartition("/")[2]
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:detector:{record}:v1",
        **definitions.pop(name),
    }
    if record == "account":
        document["required"] = ["account_id"]
        del document["properties"]["account_id"]["default"]
    if definitions:
        document["$defs"] = definitions
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the part that a limit belongs to: the alternative that is not null."""
    return next((part for part in schema.get("anyOf", ()) if part.get("type") != "null"), schema)

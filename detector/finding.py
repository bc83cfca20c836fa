"""What we say: the finding and the verdict of the contract. Times are event time."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Severity = Literal["watch", "warning", "critical"]
Kind = Literal["account", "campaign", "block_replay"]
State = Literal["raised", "updated", "cleared"]
Action = Literal["allow", "verify", "throttle", "block"]


class Reason(msgspec.Struct, frozen=True, gc=False):
    """One reading that weighed in, with the sentence an analyst reads."""

    signal: str
    strength: float
    weight: float
    value: float | None
    baseline: float | None
    because: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One update of one alert; see the contract for each field."""

    v: int = 1
    finding_id: str
    seq: int
    kind: Kind
    subject: str
    state: State
    severity: Severity
    score: float
    time_ms: int
    first_seen_ms: int
    last_seen_ms: int
    accounts_added: list[str]
    accounts_removed: list[str]
    accounts_total: int
    requests_total: int
    output_tokens_total: int
    reasons: list[Reason]
    evidence: dict[str, Any]
    shadow: bool = False


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the gateway is told of one account; no verdict means `allow`.

    Of several on one account the one that comes last on the topic holds, as compaction has it: they are written in
    transactions that shut out a worker that was held up. One that was not acknowledged is written again, the same.
    """

    v: int = 1
    account_id: str
    action: Action
    reason_code: str
    finding_id: str
    score: float
    issued_ms: int
    expires_ms: int
    limit_tokens_per_minute: int | None = None
    decided_by: str = "policy"


def encode(record: Finding | Verdict) -> bytes:
    """Return the record as one line of JSON without the newline; the same record, the same bytes."""
    return msgspec.json.encode(record)

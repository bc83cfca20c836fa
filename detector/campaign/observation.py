"""What the account stage tells the link stage: "account a used link k, n times, first and last at …".

One `Observations` record holds what one source partition saw in one *step* (the campaign
cadence of event time, 60 s by default): the accounts that were active, what is known of each,
and one row for each pair of account and link. It also announces the watermark: the source has
closed `step`, also when it saw nothing. Rows are sorted, so the same events give the same bytes.

On Kafka (`wire`) a row of pairs takes some 55 bytes before compression.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from detector.campaign import wire
from detector.event import F32, I8, I32, I64, U8, U64


class LinkKind(IntEnum):
    """The things that accounts can share. The numbers are on the wire: add, never reuse."""

    TEXT = 1  # the same question, word for word
    TEMPLATE = 2  # the same prompt when its slots are masked
    HEAD = 3
    TAIL = 4
    FRAGMENT = 5
    SKELETON = 6
    SHAPE = 7  # the request's parameters: sampling, limits, format, tools
    SYSTEM = 8
    TOOLS = 9
    PAYMENT = 10
    CARD = 11  # BIN with sign-up network and domain
    EMAIL = 12
    ADDRESS = 13
    PREFIX = 14
    NETWORK = 15  # ASN
    CLIENT = 16  # TLS print with user agent
    BLOCK = 17  # a presented reasoning block
    PROFILE = 18  # the narrow cell of an account's behaviour profile


CAPABILITIES: Final = ("coding", "agentic", "reasoning", "vision", "writing", "math", "data", "other")
"""Cumulative request counts are kept per account for these; an unlisted label counts as `other`."""


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What stage 1 knows of the A accounts of a step, at the end of the step.

    `created_ms`, `status_ms`: -1 unknown. `tier`, `status`: index into account.TIERS and
    (active, limited, suspended, banned), -1 unknown. `requests`, `output_tokens`: since
    `first_seen_ms`. `*_24h`: requests in the sliding 24 h (NaN where it cannot be known).
    `capabilities` [A, len(CAPABILITIES)] and `labels` [A, len(event.LABELS)]: cumulative requests.
    """

    ids: tuple[str, ...]
    created_ms: I64
    first_seen_ms: I64
    status_ms: I64
    org: U64
    tier: I8
    status: I8
    requests: I64
    output_tokens: I64
    requests_24h: F32
    active_hours_24h: F32
    refused_24h: F32
    single_turn_24h: F32
    score: F32
    capabilities: I32
    labels: I32


@dataclass(frozen=True, slots=True)
class Pairs:
    """P rows: account (index into the step's accounts) used link (kind, value).

    `count` requests, of them `items` with distinct text, the smallest text hash being `item`
    (0: text unknown); `output_tokens` their sum; `first_ms`, `last_ms` their event times.
    """

    account: I32
    kind: U8
    value: U64
    count: I32
    items: I32
    item: U64
    output_tokens: I64
    first_ms: I64
    last_ms: I64


@dataclass(frozen=True, slots=True)
class Judged:
    """J accounts judged in this step whose alert state or score changed (`strengths` [J, signals], NaN unavailable).

    `because` holds for each row the sentences of its strongest readings: (signal, strength, weight, value, baseline, text).
    """

    account: I32
    tick_ms: I64
    score: F32
    strengths: F32
    because: tuple[tuple[tuple[str, float, float, float | None, float | None, str], ...], ...]


@dataclass(frozen=True, slots=True)
class Observations:
    """One step of one source partition."""

    source: int
    step: int
    accounts: AccountFacts
    pairs: Pairs
    judged: Judged
    models: tuple[tuple[int, str, int], ...]  # (account index, model, requests in this step)


def encode(observations: Observations) -> bytes:
    """Return the record's bytes; equal observations give equal bytes."""
    return wire.encode(observations)


def decode(data: bytes) -> Observations:
    """Return the observations of a record; raise DecodeError when it is not one."""
    return wire.decode(Observations, data)

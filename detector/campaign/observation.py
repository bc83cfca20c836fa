"""What the account stage tells the link stage: "account a used link k, n times, first and last at …".

One `Observations` record holds what one source partition saw in one *step* (the campaign
cadence of event time, 60 s by default): the accounts that were active, what is known of each,
and one row for each pair of account and link. It also announces the watermark: the source has
closed `step`, also when it saw nothing. Rows are sorted, so the same events give the same bytes.

The record on Kafka is MessagePack with the columns as little-endian buffers: some 40 bytes a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import msgspec
import numpy as np

from detector.errors import DecodeError
from detector.event import F32, I8, I32, I64, U64


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

_ACCOUNT_COLUMNS: Final = (
    ("created_ms", "<i8"),
    ("first_seen_ms", "<i8"),
    ("status_ms", "<i8"),
    ("org", "<u8"),
    ("tier", "i1"),
    ("status", "i1"),
    ("requests", "<i8"),
    ("output_tokens", "<i8"),
    ("requests_24h", "<f4"),
    ("active_hours_24h", "<f4"),
    ("refused_24h", "<f4"),
    ("single_turn_24h", "<f4"),
    ("score", "<f4"),
)
_PAIR_COLUMNS: Final = (
    ("account", "<i4"),
    ("kind", "u1"),
    ("value", "<u8"),
    ("count", "<i4"),
    ("items", "<i4"),
    ("item", "<u8"),
    ("output_tokens", "<i8"),
    ("first_ms", "<i8"),
    ("last_ms", "<i8"),
)
_JUDGED_COLUMNS: Final = (("account", "<i4"), ("tick_ms", "<i8"), ("score", "<f4"))


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
    kind: np.ndarray
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

    `because` holds for each row the sentences of its strongest readings:
    (signal, strength, weight, value, baseline, text).
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


class _Wire(msgspec.Struct, array_like=True):
    version: int
    source: int
    step: int
    ids: tuple[str, ...]
    accounts: tuple[bytes, ...]
    capabilities: bytes
    labels: bytes
    pairs: tuple[bytes, ...]
    judged: tuple[bytes, ...]
    strengths: bytes
    because: tuple[tuple[tuple[str, float, float, float | None, float | None, str], ...], ...]
    models: tuple[tuple[int, str, int], ...]


_VERSION: Final = 1


def encode(observations: Observations) -> bytes:
    """Return the record's bytes; equal observations give equal bytes."""
    a, p, j = observations.accounts, observations.pairs, observations.judged
    return msgspec.msgpack.encode(
        _Wire(
            _VERSION,
            observations.source,
            observations.step,
            a.ids,
            tuple(np.asarray(getattr(a, name), dtype).tobytes() for name, dtype in _ACCOUNT_COLUMNS),
            np.asarray(a.capabilities, "<i4").tobytes(),
            np.asarray(a.labels, "<i4").tobytes(),
            tuple(np.asarray(getattr(p, name), dtype).tobytes() for name, dtype in _PAIR_COLUMNS),
            tuple(np.asarray(getattr(j, name), dtype).tobytes() for name, dtype in _JUDGED_COLUMNS),
            np.asarray(j.strengths, "<f4").tobytes(),
            j.because,
            observations.models,
        )
    )


_decoder = msgspec.msgpack.Decoder(_Wire)


def decode(data: bytes) -> Observations:
    """Return the observations of a record; raise DecodeError when it is not one."""
    try:
        wire = _decoder.decode(data)
        if wire.version != _VERSION:
            raise DecodeError("observations_version", f"version {wire.version}, this worker reads {_VERSION}")
        n = len(wire.ids)
        accounts = AccountFacts(
            wire.ids,
            *(np.frombuffer(b, dtype) for b, (_, dtype) in zip(wire.accounts, _ACCOUNT_COLUMNS, strict=True)),
            capabilities=np.frombuffer(wire.capabilities, "<i4").reshape(n, -1) if n else np.zeros((0, 1), np.int32),
            labels=np.frombuffer(wire.labels, "<i4").reshape(n, -1) if n else np.zeros((0, 1), np.int32),
        )
        pairs = Pairs(*(np.frombuffer(b, dtype) for b, (_, dtype) in zip(wire.pairs, _PAIR_COLUMNS, strict=True)))
        columns = [np.frombuffer(b, dtype) for b, (_, dtype) in zip(wire.judged, _JUDGED_COLUMNS, strict=True)]
        j = len(columns[0])
        strengths = np.frombuffer(wire.strengths, "<f4").reshape(j, -1) if j else np.zeros((0, 1), np.float32)
        return Observations(
            wire.source, wire.step, accounts, pairs, Judged(*columns, strengths, wire.because), wire.models
        )
    except (msgspec.MsgspecError, ValueError) as error:
        raise DecodeError("observations_malformed", str(error)) from None

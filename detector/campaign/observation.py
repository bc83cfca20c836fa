"""What the account stage tells the link stage: "account a used link k, n times, first and last at …".

One `Observations` record holds what one source partition saw in one *step* (the campaign
cadence of event time, 60 s by default): the accounts that were active, what is known of each,
and one row for each pair of account and link. It also announces the watermark: the source has
closed `step`, also when it saw nothing. Rows are sorted, so the same events give the same bytes.

On Kafka a row of pairs takes 53 bytes before compression, an account some 140. Rows are kept together
rather than columns: most records have a handful of rows, and one buffer is cheaper to cut than nine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from detector.campaign import wire
from detector.errors import DecodeError
from detector.event import F32, I8, I32, I64, LABELS, U8, U64


class LinkKind(IntEnum):
    """The things that accounts can share. The numbers are on the wire: add, never reuse (18 was one)."""

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
    NETWORK = 15  # an ASN session: the autonomous system over one UTC day
    CLIENT = 16  # TLS print with user agent
    BLOCK = 17  # a presented reasoning block
    MIXTURE = 19  # a sample of the templates that an account keeps coming back to
    ISSUER = 20  # an account whose reasoning blocks others present; who presents such blocks has its own as well


CAPABILITIES: Final = ("coding", "agentic", "reasoning", "vision", "writing", "math", "data", "other")
"""Cumulative request counts are kept per account for these; an unlisted label counts as `other`."""


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What stage 1 knows of the A accounts of a step, at the end of the step.

    `created_ms`, `status_ms`: -1 unknown. `tier`, `status`: index into account.TIERS and
    (active, limited, suspended, banned), -1 unknown. `prefix`: one network it came from (0 unknown),
    the same one every time. `requests`, `output_tokens`: since `first_seen_ms`. `*_24h`: requests in
    the sliding 24 h as of the account's last judgement, which is at most 5 % of its requests or half an
    hour of activity ago (NaN where it cannot be known).
    `capabilities` [A, len(CAPABILITIES)] and `labels` [A, len(event.LABELS)]: cumulative requests.
    """

    ids: tuple[str, ...]
    created_ms: I64
    first_seen_ms: I64
    status_ms: I64
    org: U64
    prefix: U64
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

    `because` holds for each row the sentences of its strongest readings, each as
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


FACTS: Final = np.dtype(
    [
        ("created_ms", "<i8"),
        ("first_seen_ms", "<i8"),
        ("status_ms", "<i8"),
        ("org", "<u8"),
        ("prefix", "<u8"),
        ("requests", "<i8"),
        ("output_tokens", "<i8"),
        ("requests_24h", "<f4"),
        ("active_hours_24h", "<f4"),
        ("refused_24h", "<f4"),
        ("single_turn_24h", "<f4"),
        ("score", "<f4"),
        ("capabilities", "<i4", (len(CAPABILITIES),)),
        ("labels", "<i4", (len(LABELS),)),
        ("tier", "i1"),
        ("status", "i1"),
    ]
)
"""The columns of AccountFacts beside `ids`, as they lie in a record."""

PAIRS: Final = np.dtype(
    [
        ("value", "<u8"),
        ("item", "<u8"),
        ("output_tokens", "<i8"),
        ("first_ms", "<i8"),
        ("last_ms", "<i8"),
        ("account", "<i4"),
        ("count", "<i4"),
        ("items", "<i4"),
        ("kind", "u1"),
    ]
)
"""The columns of Pairs, as they lie in a record."""

MOST_STEP: Final = 1 << 40  # of a millisecond even, some decades
MOST_ROWS: Final = 1 << 31
_VERSION: Final = 1
_FACT_NAMES: Final = tuple(name for name in AccountFacts.__dataclass_fields__ if name != "ids")
_NOBODY: Final = Judged(
    np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 0), np.float32), ()
)
_decoder = msgspec.msgpack.Decoder(
    tuple[int, int, int, tuple[str, ...], bytes, bytes, bytes, tuple[tuple[int, str, int], ...]]
)


def encode(observations: Observations) -> bytes:
    """Return the record's bytes; equal observations give equal bytes."""
    accounts = observations.accounts
    facts = np.empty(len(accounts.ids), FACTS)
    for name in _FACT_NAMES:
        facts[name] = getattr(accounts, name)
    pairs = np.empty(len(observations.pairs.value), PAIRS)
    for name in PAIRS.names or ():
        pairs[name] = getattr(observations.pairs, name)
    return record_of(
        observations.source,
        observations.step,
        accounts.ids,
        facts.tobytes(),
        pairs.tobytes(),
        observations.judged if observations.judged.strengths.shape != (0, 0) else None,
        observations.models,
    )


def record_of(
    source: int,
    step: int,
    ids: Sequence[str],
    facts: bytes,
    pairs: bytes,
    judged: Judged | None,
    models: Sequence[tuple[int, str, int]],
) -> bytes:
    """Return the record whose rows are already bytes (dtypes FACTS and PAIRS): a batch closes thousands of steps."""
    told = b"" if judged is None else wire.encode(judged)
    return msgspec.msgpack.encode((_VERSION, source, step, ids, facts, pairs, told, models))


def check_step(source: int, step: int) -> None:
    """Raise ValueError for a source or a step that cannot be."""
    if not (-1 <= source < MOST_ROWS and -1 <= step <= MOST_STEP):
        raise ValueError(f"step {step} of source {source}")


def check_judged(judged: Judged) -> None:
    """Raise ValueError when the columns are not of one length."""
    check_lengths(judged.account, judged.tick_ms, judged.score, judged.strengths, judged.because)


def check_lengths(*columns: Sequence[Any] | npt.NDArray[Any]) -> None:
    """Raise ValueError when the columns are not of one length."""
    if len({len(column) for column in columns}) > 1:
        raise ValueError("columns of different lengths")


def check_links(values: U64) -> None:
    """Raise ValueError when a link has no value: tables take 0 for an empty place."""
    if not values.all():
        raise ValueError("a link without a value")


def check_rows(name: str, most: int, *columns: Sequence[int] | npt.NDArray[Any]) -> None:
    """Raise ValueError when a number is not in [0, most)."""
    for column in columns:
        rows = np.asarray(column, np.int64)
        if not ((rows >= 0) & (rows < most)).all():
            raise ValueError(f"a row of {name} {most} or beyond")


def decode(data: bytes) -> Observations:
    """Return the observations of a record, views of its bytes; raise DecodeError when it is not one."""
    try:
        version, source, step, ids, fact_rows, pair_rows, told, models = _decoder.decode(data)
        if version != _VERSION:
            raise DecodeError("internal_version", f"observations of version {version}, this worker reads {_VERSION}")
        facts, pairs = np.frombuffer(fact_rows, FACTS), np.frombuffer(pair_rows, PAIRS)
        if len(facts) != len(ids):
            raise DecodeError("internal_malformed", f"{len(ids)} accounts with facts of {len(facts)}")
        judged = wire.decode(Judged, told) if told else _NOBODY
        check_step(source, step)
        check_judged(judged)
        check_links(pairs["value"])
        check_rows("account", len(ids), pairs["account"], judged.account, [account for account, _, _ in models])
        check_rows("count", MOST_ROWS, [count for _, _, count in models])
    except (msgspec.MsgspecError, OverflowError, TypeError, ValueError) as error:
        raise DecodeError("internal_malformed", f"Observations: {error}") from None
    return Observations(
        source,
        step,
        AccountFacts(ids, **{name: facts[name] for name in _FACT_NAMES}),
        Pairs(**{name: pairs[name] for name in PAIRS.names or ()}),
        judged,
        models,
    )

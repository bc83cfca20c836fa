"""Links: the things that accounts can share, read off a batch of events or an account record.

A link is a (kind, 64-bit value) pair. Nothing here judges: a link that a hundred thousand
established accounts share is as good a link as one that forty new accounts share; how much
it says is for the link stage. What is unknown (hash 0) links nobody.

The values of different kinds are mixed with their kind, so a value alone identifies a link
and spreads evenly over the link partitions. None is 0, which tables take for an empty place: a
gateway's hash that is mixed into it can be computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detector.account import AccountRecord
from detector.campaign.observation import LinkKind
from detector.decoders.columns import canonical
from detector.event import F32, I8, I32, U64, EventBatch, hash64

CONTENT: Final = frozenset(
    {
        LinkKind.TEXT,
        LinkKind.TEMPLATE,
        LinkKind.HEAD,
        LinkKind.TAIL,
        LinkKind.FRAGMENT,
        LinkKind.SKELETON,
        LinkKind.MIXTURE,
    }
)
"""Kinds that say what is asked."""

IDENTITY: Final = frozenset(
    {
        LinkKind.PAYMENT,
        LinkKind.CARD,
        LinkKind.EMAIL,
        LinkKind.ADDRESS,
        LinkKind.PREFIX,
        LinkKind.NETWORK,
        LinkKind.CLIENT,
        LinkKind.BLOCK,
        LinkKind.ISSUER,
    }
)
"""Kinds that say who asks, or from where."""

WORDS: Final = frozenset(
    {
        LinkKind.TEXT,
        LinkKind.TEMPLATE,
        LinkKind.HEAD,
        LinkKind.TAIL,
        LinkKind.FRAGMENT,
        LinkKind.SYSTEM,
        LinkKind.TOOLS,
    }
)
"""Kinds that hold a prompt's own words; a structure or parameters are common property."""

ASKED: Final = WORDS | {LinkKind.MIXTURE}
"""Kinds by which requests are an account's part of a group. A mixture is made of words, but is not born with them."""

_M1: Final = np.uint64(0xBF58476D1CE4E5B9)
_M2: Final = np.uint64(0x94D049BB133111EB)
_DAY_MS: Final = 86_400_000
_GOLDEN: Final = 0x9E3779B97F4A7C15
_ALL: Final = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True, slots=True)
class Links:
    """L links of a batch: `event` is the row in the batch, `value` is mixed with its `kind`."""

    event: I32
    kind: npt.NDArray[np.uint8]
    value: U64


def mix(values: U64, salt: int) -> U64:
    """Return a bijective scramble of 64-bit values (SplitMix64's finaliser) that differs by salt."""
    with np.errstate(over="ignore"):
        x = values + np.uint64((salt * _GOLDEN) & _ALL)
        x = (x ^ (x >> np.uint64(30))) * _M1
        x = (x ^ (x >> np.uint64(27))) * _M2
        return x ^ (x >> np.uint64(31))


def mix_one(value: int, salt: int) -> int:
    """Return `mix` of one value: numpy takes ten times as long over a single number."""
    x = (value + salt * _GOLDEN) & _ALL
    x = ((x ^ (x >> 30)) * int(_M1)) & _ALL
    x = ((x ^ (x >> 27)) * int(_M2)) & _ALL
    return x ^ (x >> 31)


def _combine(columns: list[U64]) -> U64:
    total = np.zeros_like(columns[0])
    for position, column in enumerate(columns):
        total = mix(total ^ column, position + 1)
    return total


def _number(column: F32) -> U64:
    """A float column as bits; every NaN (unknown) is one and the same value."""
    return np.where(np.isnan(column), np.float32(np.nan), column).astype(np.float32).view(np.uint32).astype(np.uint64)


def _code(column: I8) -> U64:
    return column.astype(np.uint8).astype(np.uint64)


def shape_of(batch: EventBatch) -> U64:
    """Return the hash of each request's parameters, 0 where fewer than two were chosen.

    Defaults that every SDK sends (streaming, one choice, text output) are no choice by themselves.
    """
    numbers = (batch.temperature, batch.top_p, batch.max_tokens, batch.n, batch.top_logprobs, batch.thinking_budget)
    codes = (batch.operation, batch.response_format, batch.thinking, batch.logprobs, batch.stream)
    chosen = sum((~np.isnan(column)).astype(np.int8) for column in numbers)
    chosen = chosen + (batch.response_format > 0) + (batch.thinking > 0) + (batch.logprobs > 0)
    combined = _combine([*map(_number, numbers), *map(_code, codes), _number(batch.tool_count), batch.reasoning_effort])
    return np.where(chosen >= 2, combined | np.uint64(1), np.uint64(0))


def network_of(batch: EventBatch) -> U64:
    """Return the hash of each request's ASN session, its autonomous system over one UTC day, 0 where that is unknown.

    A provider has all sorts of customers in a week; on the day on which a pool works from it, the pool stands out.
    """
    day = (batch.time_ms // _DAY_MS).astype(np.uint64)
    return np.where(batch.asn != 0, _combine([batch.asn, day]), np.uint64(0))


def client_of(batch: EventBatch) -> U64:
    """Return the hash of TLS print and user agent together, 0 where either is unknown."""
    return np.where((batch.tls != 0) & (batch.user_agent != 0), _combine([batch.tls, batch.user_agent]), np.uint64(0))


def links_of(batch: EventBatch) -> Links:
    """Return the links of a batch of events, grouped by kind in a fixed order.

    Fragments are four links of one kind: the same fragment in another column is another link,
    as min-wise columns are independent samples.
    """
    sketches = batch.sketches
    columns: list[tuple[LinkKind, U64]] = [
        (LinkKind.TEXT, sketches.text),
        (LinkKind.TEMPLATE, sketches.template),
        (LinkKind.HEAD, sketches.head),
        (LinkKind.TAIL, sketches.tail),
        *((LinkKind.FRAGMENT, mix(column, 101 + i) * (column != 0)) for i, column in enumerate(sketches.fragments.T)),
        (LinkKind.SKELETON, sketches.skeleton),
        (LinkKind.SHAPE, shape_of(batch)),
        (LinkKind.SYSTEM, batch.system),
        (LinkKind.TOOLS, batch.tools),
        (LinkKind.ADDRESS, batch.address),
        (LinkKind.PREFIX, batch.prefix),
        (LinkKind.NETWORK, network_of(batch)),
        (LinkKind.CLIENT, client_of(batch)),
        (LinkKind.BLOCK, batch.block),
        (LinkKind.ISSUER, batch.block_of),
        (LinkKind.ISSUER, batch.block_by),
    ]
    events, kinds, values = [], [], []
    for kind, column in columns:
        rows = np.flatnonzero(column)
        events.append(rows.astype(np.int32))
        kinds.append(np.full(len(rows), kind, np.uint8))
        values.append(np.maximum(mix(column[rows], kind), np.uint64(1)))
    return Links(np.concatenate(events), np.concatenate(kinds), np.concatenate(values))


def links_of_record(record: AccountRecord, key: int) -> list[tuple[LinkKind, int]]:
    """Return the links that an account has by its sign-up, as (kind, value) with the kind mixed in.

    A card BIN alone is a bank; with the sign-up network and the mail domain it is a sign-up pattern.
    """
    found: list[tuple[LinkKind, int]] = []
    if record.payment_fp:
        found.append((LinkKind.PAYMENT, hash64(record.payment_fp, key)))
    if record.card_bin and (record.signup_asn or record.email_domain):
        pattern = f"{record.card_bin}|{record.signup_asn}|{record.email_domain}"
        found.append((LinkKind.CARD, hash64(pattern, key)))
    if record.email_domain:
        found.append((LinkKind.EMAIL, hash64(record.email_domain.lower(), key)))
    if record.signup_ip:
        found.append((LinkKind.ADDRESS, hash64(canonical(record.signup_ip) or record.signup_ip, key)))
    return [(kind, mix_one(value, kind) or 1) for kind, value in found]

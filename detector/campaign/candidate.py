"""What the link stage tells the campaign stage: the links that are rare and surprising, and who uses them.

One `Candidates` record is one step of one link partition, also when nothing stood out: it is the
watermark. Link and edge values are *cumulative*, so a later record replaces an earlier one, and a
repeat changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from detector.campaign import wire
from detector.campaign.observation import (
    MOST_ROWS,
    AccountFacts,
    Judged,
    check_judged,
    check_lengths,
    check_links,
    check_rows,
    check_step,
)
from detector.errors import DecodeError
from detector.event import F32, I32, I64, U8, U64


@dataclass(frozen=True, slots=True)
class CandidateLinks:
    """L links. `accounts` distinct ones so far, of which `young` and `established` (the rest: age unknown).

    `surprise` is the negative log tail probability of so many young accounts under the
    population's mix, in nats. Of `items_sampled` texts, `items_repeated` came from several accounts.
    """

    value: U64
    kind: U8
    born_ms: I64
    accounts: I32
    young: I32
    established: I32
    surprise: F32
    items_sampled: I32
    items_repeated: I32


@dataclass(frozen=True, slots=True)
class Edges:
    """E rows: `account` (index into facts) used `link` (index into links) `count` times in all."""

    link: I32
    account: I32
    count: I32
    items: I32
    output_tokens: I64
    first_ms: I64
    last_ms: I64


@dataclass(frozen=True, slots=True)
class Candidates:
    """One step of one link partition."""

    source: int
    step: int
    young_share: float  # of the accounts active in the last 24 h whose age is known
    stream_start_ms: int
    facts: AccountFacts
    links: CandidateLinks
    edges: Edges
    judged: Judged
    models: tuple[tuple[int, str, int], ...]


def encode(candidates: Candidates) -> bytes:
    """Return the record's bytes; equal candidates give equal bytes."""
    return wire.encode(candidates)


def decode(data: bytes) -> Candidates:
    """Return the candidates of a record; raise DecodeError when it is not one."""
    found = wire.decode(Candidates, data)
    try:
        _check(found)
    except (OverflowError, TypeError, ValueError) as error:
        raise DecodeError("internal_malformed", f"Candidates: {error}") from None
    return found


def _check(found: Candidates) -> None:
    """Raise what `decode` turns into its error where parts do not fit each other."""
    check_step(found.source, found.step)
    if not 0 <= found.young_share <= 1:
        raise ValueError(f"a share of {found.young_share}")
    check_judged(found.judged)
    for columns in (found.facts, found.links, found.edges):
        check_lengths(*(getattr(columns, name) for name in columns.__dataclass_fields__))
    check_links(found.links.value)
    models = [account for account, _, _ in found.models]
    check_rows("account", len(found.facts.ids), found.edges.account, found.judged.account, models)
    check_rows("link", len(found.links.value), found.edges.link)
    check_rows("count", MOST_ROWS, [count for _, _, count in found.models])

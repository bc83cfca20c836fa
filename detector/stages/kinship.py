"""Which campaigns are one, and which one is two: what members ask in the words of others, and what they do not.

    two are one    half of the members of the smaller one ask much in the words of the other         `across`
    one is two     its accounts fall into parts that share no words (`campaign.parts`), nor payments,
                   nor reasoning blocks, for a day beside each other; each a campaign by itself       `in_two`
    one has grown  a group that would be loud by itself holds nearly all of its members              `outgrown`

Between them is much room, so that nothing goes back and forth. And two that were one have words in common from then:
what nobody used since says nothing of now.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from detector.campaign.evolve import NOBODY_ELSE, Campaign, belongs_to
from detector.campaign.group import MIXED_BELOW, few_each
from detector.campaign.link import ASKED, IDENTITY
from detector.campaign.membership import CLEAN, through
from detector.campaign.observation import LinkKind
from detector.campaign.parts import Part, parts
from detector.event import F64, I64
from detector.stages.candidates import CandidateTables, numbered

DAY_MS: Final = 24 * 3_600_000
MUCH: Final = 0.2  # of its requests, an account asks in the words of another campaign
_IDENTITY: Final = [int(kind) for kind in IDENTITY]
_PAID: Final = [int(LinkKind.PAYMENT), int(LinkKind.BLOCK), int(LinkKind.ISSUER)]
_TIES: Final = [*map(int, ASKED), *_PAID]  # of one operator


def across(tables: CandidateTables, campaigns: dict[int, Campaign], purity: Callable[[I64], F64]) -> tuple[I64, I64]:
    """Return, for each account that does much of its asking in another campaign's words, the two campaigns.

    Much is a part of what it asks, or of what a reseller's account asks in any campaign's words. Words that were last
    used when one of the two was split do not count. `purity` is that of links (rows).
    """
    accounts, links = tables.accounts, tables.links
    of, account = tables.edges["of"].astype(np.int64), tables.edges["who"].astype(np.int64)
    member, owner = accounts["campaign"][account], links["owner"][of]
    edges = np.flatnonzero((member > 0) & (owner > 0) & (member != owner))
    split_ms = np.zeros(max(campaigns, default=0) + 1, np.int64)
    for number, campaign in campaigns.items():
        split_ms[number] = campaign.split_ms
    edges = edges[tables.edges["last_ms"][edges] > np.maximum(split_ms[member[edges]], split_ms[owner[edges]])]
    kind = links["kind"][of[edges]]
    kept = np.isin(kind, _TIES) & (purity(of[edges]) > CLEAN)
    edges, kind = edges[kept], kind[kept]
    asks = np.zeros(len(accounts), np.bool_)
    asks[account[edges]] = True
    own = np.flatnonzero((member > 0) & (member == owner) & asks[account])
    own = own[np.isin(links["kind"][of[own]], _TIES)]
    in_own = through(account[own], links["kind"][of[own]], tables.edges["count"][own], len(accounts))
    pairs, index = np.unique(np.stack([account[edges], owner[edges]]), axis=1, return_inverse=True)
    index, n = index.ravel(), pairs.shape[1]
    asked = through(index, kind, tables.edges["count"][edges], n)
    asked[index[np.isin(kind, _PAID)]] = math.inf
    every = accounts["requests"][pairs[0]]
    of_campaigns = in_own[pairs[0]] + asked
    much = asked >= MUCH * np.where(of_campaigns < MIXED_BELOW * every, of_campaigns, every)
    return accounts["campaign"][pairs[0][much]].astype(np.int64), pairs[1][much]


def outgrown(campaigns: list[Campaign], accounts: set[int]) -> Campaign | None:
    """Return the first loud campaign nearly all of whose members are in a group of accounts; None without.

    It began with a part of a pool, and what the whole of that shares has outgrown it.
    """
    loud = (campaign for campaign in campaigns if campaign.severity != "watch")
    return next((c for c in loud if len(c.members & accounts) >= NOBODY_ELSE * len(c.members)), None)


def in_two(tables: CandidateTables, campaign: Campaign, step_ms: int, least: int) -> tuple[Part, Part] | None:
    """Return the part that is the campaign, and the largest other one beside it, as rows of links and of accounts.

    None where all is one. The campaign is the part with most of those who were named first. Networks and prints hold
    nothing together; payments and reasoning blocks do, whenever they were seen and though no campaign owns them, and
    so does all of the campaign's that is not identity.
    """
    links = tables.links
    holds = (links["owner"] == campaign.number) & ~np.isin(links["kind"], _IDENTITY)
    edges = tables.edges_of(np.flatnonzero(holds | np.isin(links["kind"], _PAID)))
    edges = edges[tables.accounts["campaign"][tables.edges["who"][edges]] == campaign.number]
    edges = edges[few_each(tables.edges["account"][edges], tables.edges["link"][edges])]
    link_rows, link = numbered(tables.edges["of"][edges], len(links))
    rows, account = tables.people(edges)
    count, first_ms, last_ms = (tables.edges[name][edges] for name in ("count", "first_ms", "last_ms"))
    lasting = np.isin(links["kind"][link_rows], _PAID)
    found = [
        Part(link_rows[part.links], rows[part.accounts], part.begin_ms, part.end_ms)
        for part in parts(link, account, count, first_ms, last_ms, lasting, step_ms - DAY_MS, least)
    ]
    if len(found) < 2:
        return None
    named = np.array(campaign.named_first, np.uint64)
    first = [int(np.isin(tables.accounts.keys[part.accounts], named).sum()) for part in found]
    stays = found.pop(first.index(max(first)))  # of equals the largest
    return next(((stays, part) for part in found if stays.beside(part)), None)


def belongings(tables: CandidateTables, campaign: Campaign, part: Part) -> tuple[I64, I64]:
    """Return what goes with a part of a campaign: edges (rows) of its accounts, and their links (rows).

    That is each of the campaign's links, whatever its kind, that hardly any other member uses.
    """
    edges = tables.edges_of(np.flatnonzero(tables.links["owner"] == campaign.number))
    edges = edges[tables.accounts["campaign"][tables.edges["who"][edges]] == campaign.number]
    link_rows, link = numbered(tables.edges["of"][edges], len(tables.links))
    theirs = np.isin(tables.edges["who"][edges], part.accounts)
    mostly = np.bincount(link, theirs) >= NOBODY_ELSE * np.bincount(link)
    return edges[theirs & mostly[link]], link_rows[mostly]


def one_since(tables: CandidateTables, one: Campaign, other: Campaign, edges: I64, overlap: float) -> bool:
    """Tell whether a group (edges) that makes two campaigns one does so by what was used since they were split."""
    since = edges[tables.edges["last_ms"][edges] > max(one.split_ms, other.split_ms)]
    keys = tables.accounts.keys[tables.people(since)[0]]
    return len(since) == len(edges) or len(belongs_to(set(keys.tolist()), [one, other], overlap)) > 1

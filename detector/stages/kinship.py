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
from detector.event import F64, I64, Mask
from detector.stages.candidates import CandidateTables, numbered

DAY_MS: Final = 24 * 3_600_000
MUCH: Final = 0.2  # of its requests, an account asks in the words of another campaign
_IDENTITY: Final = [int(kind) for kind in IDENTITY]
_PAID: Final = [int(LinkKind.PAYMENT), int(LinkKind.BLOCK), int(LinkKind.ISSUER)]
_ENDS: Final = [int(LinkKind.HEAD), int(LinkKind.TAIL)]
_TIES: Final = [*map(int, ASKED), *_PAID]  # of one operator


def across(tables: CandidateTables, campaigns: dict[int, Campaign], purity: Callable[[I64], F64]) -> tuple[I64, I64]:
    """Return, for each account that does much of its asking in another campaign's words, the two campaigns.

    Words that were last used when one of the two was split do not count. `purity` is that of links (rows).
    """
    accounts, links = tables.accounts, tables.links
    of, account = tables.edges["of"].astype(np.int64), tables.edges["who"].astype(np.int64)
    member, owner = accounts["campaign"][account], links["owner"][of]
    edges = np.flatnonzero((member > 0) & (owner > 0) & (member != owner))
    split_ms = np.zeros(max(campaigns, default=0) + 1, np.int64)
    for number, campaign in campaigns.items():
        split_ms[number] = campaign.split_ms
    edges = edges[tables.edges["last_ms"][edges] > np.maximum(split_ms[member[edges]], split_ms[owner[edges]])]
    edges = edges[np.isin(links["kind"][of[edges]], _TIES)]
    edges = edges[purity(of[edges]) > CLEAN]
    pairs, index = np.unique(np.stack([account[edges], owner[edges]]), axis=1, return_inverse=True)
    much = _much(tables, pairs[0], pairs[1], edges, index.ravel())
    return accounts["campaign"][pairs[0][much]].astype(np.int64), pairs[1][much]


def _much(tables: CandidateTables, rows: I64, other: I64, edges: I64, index: I64) -> Mask:
    """Tell which members (rows) do much of their asking by these edges (rows), each of which is of rows[index].

    Much is a part of what it asks, or of what a reseller's account asks in any campaign's words. Paying the way is as
    good as asking. An opening says little where what it opens ends as few of the `other` campaign end it, and so does
    an ending: two operators may well ask for answers in the same form.
    """
    kind, count = tables.links["kind"][tables.edges["of"][edges]], tables.edges["count"][edges]
    head, tail = (np.bincount(index, np.where(kind == end, count, 0), len(rows)) for end in _ENDS)
    whole = ~np.isin(kind, _ENDS)
    asked = through(index[whole], kind[whole], count[whole], len(rows))
    own = _own_edges(tables, np.unique(rows))
    own_head, own_tail = _nobody_elses(tables, rows, other, own)
    for in_common in (np.minimum(head, tail), head - own_tail, tail - own_head):
        asked = np.maximum(asked, in_common)
    asked[index[np.isin(kind, _PAID)]] = math.inf
    own_kind = tables.links["kind"][tables.edges["of"][own]]
    in_own = through(tables.edges["who"][own], own_kind, tables.edges["count"][own], len(tables.accounts))
    every, of_campaigns = tables.accounts["requests"][rows], in_own[rows] + asked
    return np.asarray(asked >= MUCH * np.where(of_campaigns < MIXED_BELOW * every, of_campaigns, every), np.bool_)


def _own_edges(tables: CandidateTables, rows: I64) -> I64:
    """Return the edges (rows) of members to what their own campaign asks in."""
    edges = tables.edges_by(rows)
    member, of = tables.accounts["campaign"][tables.edges["who"][edges]], tables.edges["of"][edges]
    own: Mask = (member > 0) & (tables.links["owner"][of] == member) & np.isin(tables.links["kind"][of], _TIES)
    return np.asarray(edges[own], np.int64)


def _nobody_elses(tables: CandidateTables, rows: I64, other: I64, own: I64) -> tuple[F64, F64]:
    """Return for each account (row) the requests that begin, and end, as few members of another campaign's do.

    `own` are the edges (rows) of these accounts to their campaigns' words. A few: those who strayed into it.
    """
    of, who = tables.edges["of"][own], tables.edges["who"][own]
    kind, count = tables.links["kind"][of], tables.edges["count"][own]
    users = tables.edges_of(np.unique(of[np.isin(kind, _ENDS)]))
    used, campaign = tables.edges["of"][users], tables.accounts["campaign"][tables.edges["who"][users]]
    begin, end = np.zeros(len(rows)), np.zeros(len(rows))
    members = np.bincount(tables.accounts["campaign"], minlength=int(other.max(initial=0)) + 1)
    for number in np.unique(other).tolist():
        links, uses = np.unique(used[campaign == number], return_counts=True)
        theirs = links[uses >= MUCH * members[number]]
        alone = ~np.isin(of, theirs)
        for requests, which in zip((begin, end), _ENDS, strict=True):
            asked = np.bincount(who, np.where(alone & (kind == which), count, 0), len(tables.accounts))
            requests[other == number] = asked[rows[other == number]]
    return begin, end


def outgrown(campaigns: list[Campaign], accounts: set[int]) -> Campaign | None:
    """Return the first campaign nearly all of whose members are in a group of accounts; None without.

    It began with a part of a pool, and what the whole of that shares has outgrown it.
    """
    return next((c for c in campaigns if len(c.members & accounts) >= NOBODY_ELSE * len(c.members)), None)


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
    edges = edges[few_each(tables.edges["who"][edges], tables.edges["link"][edges])]
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
    """Tell whether a group (edges) that holds most of two campaigns makes them one.

    It does when those who do much of their asking through it, since the two were split, are most of both.
    """
    since = edges[tables.edges["last_ms"][edges] > max(one.split_ms, other.split_ms)]
    since = since[np.isin(tables.links["kind"][tables.edges["of"][since]], _TIES)]
    rows, index = tables.people(since)
    other_of = np.where(tables.accounts["campaign"][rows] == one.number, other.number, one.number)
    keys = tables.accounts.keys[rows[_much(tables, rows, other_of, since, index)]]
    return len(belongs_to(set(keys.tolist()), [one, other], overlap)) > 1

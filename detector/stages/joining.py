"""Which accounts join a campaign: each by what it shares, some only in company, nobody in their first minutes.

its edges ─► membership.belongs ─► young, and like a member: joins
                                └► old, or told apart: joins when several of its manner do, and old ones after a day
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.campaign.behaviour import TILE_MS
from detector.campaign.evolve import Campaign
from detector.campaign.group import units
from detector.campaign.membership import Manner, belongs, days_between, through
from detector.event import F64, I8, I64, Mask
from detector.stages.candidates import CandidateTables
from detector.stages.conduct import unrolled

DAY_MS: Final = 86_400_000
AT_ONCE: Final = 6.0  # requests in the campaign's words in each five minutes in which there are any
PATIENCE_MS: Final = 10 * 60_000  # in which an account that uses a campaign's words shows whether it is busy
# so many of one manner belong to a campaign that its plain ones give away: customers, and of them and the plain ones
SEVERAL: Final = 3
SEVERAL_OF: Final = {
    Manner.COPIED: 0.5,  # most, where words are hardly shared
    Manner.AGED: 0.05,
    Manner.BUSY: 0.05,
    Manner.PIECES: 0.05,
    Manner.SHAPED: 0.5,
    Manner.AT_ONCE: 0.05,
}


@dataclass(frozen=True, slots=True)
class Joining:
    """A accounts in no campaign, with edges to this one's links."""

    rows: I64  # of the accounts
    first_ms: I64  # first use of these links
    joins: Mask
    manner: I8  # a `Manner` each

    def early(self, step_ms: int) -> Mask:
        """Tell who joins and came just now: a busy customer of the same words looks like a member then."""
        return np.asarray(self.joins & (step_ms - self.first_ms < PATIENCE_MS), np.bool_)


def joining(
    tables: CandidateTables,
    campaign: Campaign,
    edges: I64,
    step_ms: int,
    least_accounts: int,
) -> Joining:
    """Return who joins a campaign, by these edges to its links, among those who are in none.

    An operator who has aged accounts, works unevenly, or paraphrases all of it, has many such accounts; one or two
    among hundreds of plain ones have the words for reasons of their own.
    """
    edges = edges[tables.accounts["campaign"][tables.edges["who"][edges]] == 0]
    link, columns = tables.edges["of"][edges], tables.edges
    rows, index = tables.people(edges)
    first = np.full(len(rows), np.iinfo(np.int64).max)
    np.minimum.at(first, index, columns["first_ms"][edges])
    age = tables.ages(rows, first)
    joins, manner = belongs(
        index,
        tables.links["kind"][link],
        tables.purity(link, step_ms, newborn=campaign.newborn),
        columns["count"][edges],
        tables.population.proven(tables.links["young"][link], tables.links["established"][link]),
        age,
        tables.accounts["requests"][rows],
        days_between(index, columns["first_ms"][edges], columns["last_ms"][edges], len(rows)),
        newborn=campaign.newborn,
        typical=(campaign.typical, campaign.pace),
        share_of_established=campaign.least_share,
        resold=campaign.resold,
    )
    asked = through(index, tables.links["kind"][link], columns["count"][edges], len(rows))
    mine = np.flatnonzero(joins)
    manner[mine[_at_once(tables, rows[mine], asked[mine], step_ms)]] = Manner.AT_ONCE
    plain = campaign.joined[Manner.PLAIN] + int((joins & (manner == Manner.PLAIN)).sum())
    if plain >= least_accounts:
        joins &= (age == 1) | (step_ms - first >= DAY_MS)
        for like, part in SEVERAL_OF.items():
            mine = joins & (manner == like)
            several = campaign.joined[like] + units(tables.accounts["org"][rows[mine]])
            if several < max(SEVERAL, part * (plain + several)):
                joins &= ~mine
    return Joining(rows, first, joins, manner)


def _at_once(tables: CandidateTables, rows: I64, asked: F64, step_ms: int) -> Mask:
    """Tell which accounts ask all of it within minutes, as a job does, by what they `asked` in the campaign's words.

    What of it was asked in the last day is estimated by its part of all that they ask.
    """
    accounts = tables.accounts
    part = np.minimum(1.0, asked / np.maximum(accounts["requests"][rows], 1))
    active = unrolled(accounts["tiles"][rows], accounts["tile"][rows], (step_ms - 1) // TILE_MS).sum(axis=1)
    return np.asarray(part * accounts["requests_24h"][rows] >= AT_ONCE * np.maximum(active, 1), np.bool_)

"""What stage 3 holds of candidate links: who uses them, and how often; bounded.

    links ◄── of ── edges ── who ──► accounts        an edge: this account used that link so often

Values are cumulative, so a later record replaces an earlier one. An edge knows the rows of its link
and its account; rows are renumbered when something is forgotten, which is rare, and the edges of some links or accounts
are found by an index that is built anew when the edges have grown by an eighth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.campaign.candidate import Candidates
from detector.campaign.group import GroupColumns
from detector.campaign.link import ASKED, IDENTITY, WORDS, mix
from detector.campaign.membership import through
from detector.campaign.observation import CAPABILITIES, AccountFacts, LinkKind
from detector.campaign.rows import RowsBy
from detector.campaign.table import Table, cut
from detector.event import F64, I8, I32, I64, LABELS, U64, Mask, hash64
from detector.stages.conduct import COLUMNS
from detector.stages.population import Population

_LINK_COLUMNS: Final = (
    *("kind", "born_ms", "accounts", "young", "established", "surprise", "items_sampled", "items_repeated"),
)
_EDGE_COLUMNS: Final = ("count", "items", "output_tokens", "first_ms", "last_ms")
HOUR_MS: Final = 3_600_000
MOST_READ: Final = 1_000  # groups at a time
_IDENTITY: Final = [int(kind) for kind in IDENTITY]
_ASKED: Final = [int(kind) for kind in ASKED]
_WORDS: Final = [int(kind) for kind in WORDS]
SURPRISING: Final = 8.0  # nats
PURE: Final = 0.7  # a link of which less of the young surplus is beyond chance is shared with the world
MOSTLY_YOUNG: Final = 0.9  # a group with fewer young accounts may be known by its words being new
HARVEST_LABELS: Final = [LABELS.index(name) for name in ("reasoning_extraction", "grading", "generation")]
_FACTS: Final = tuple(name for name in AccountFacts.__dataclass_fields__ if name != "ids")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most rows of each table; one record may bring more before they are cut."""

    edges: int
    links: int
    accounts: int


class CandidateTables:
    """Links, accounts and the edges between them."""

    def __init__(self, hash_key: int, population: Population) -> None:
        """Start empty; how old accounts are, and how new links, is as the population says."""
        self._hash_key = hash_key
        self.population = population
        self.ids: list[str] = []
        self.accounts = Table(
            created_ms="<i8",
            first_seen_ms="<i8",
            status_ms="<i8",
            org="<u8",
            prefix="<u8",
            tier="i1",
            status="i1",
            requests="<i8",
            output_tokens="<i8",
            requests_24h="<f4",
            active_hours_24h="<f4",
            refused_24h="<f4",
            single_turn_24h="<f4",
            score="<f4",
            capabilities=("<i4", len(CAPABILITIES)),
            labels=("<i4", len(LABELS)),
            campaign="<i4",
            manner="i1",  # in which it joined that
            seen_ms="<i8",
            **COLUMNS,
        )
        self.links = Table(
            kind="u1",
            born_ms="<i8",
            accounts="<i4",
            young="<i4",
            established="<i4",
            surprise="<f4",
            items_sampled="<i4",
            items_repeated="<i4",
            owner="<i4",
            seen_ms="<i8",
            read_uses="<i8",  # of its group, when that was last read and found to be no campaign
            read_ms="<i8",  # when that was
            used="<i4",  # by so many accounts that are here: the number of its edges
        )
        self.edges = Table(
            link="<u8",
            account="<u8",
            of="<i4",  # the row of the link
            who="<i4",  # the row of the account
            count="<i4",
            items="<i4",
            output_tokens="<i8",
            first_ms="<i8",
            last_ms="<i8",
        )
        self._by_link, self._by_account = RowsBy(), RowsBy()

    def learn(self, facts: AccountFacts, step_ms: int) -> I64:
        """Take over what is known of accounts; return their rows."""
        keys = np.fromiter((hash64(account, self._hash_key) for account in facts.ids), np.uint64, len(facts.ids))
        rows, new = self.accounts.rows_of(keys)
        if len(new):
            names = dict(zip(keys.tolist(), facts.ids, strict=True))
            self.ids.extend(names[key] for key in self.accounts.keys[new].tolist())
        for name in _FACTS:
            self.accounts[name][rows] = getattr(facts, name)
        self.accounts["seen_ms"][rows] = step_ms
        return rows

    def merge(self, record: Candidates, accounts: I64) -> I64:
        """Take over links and edges, `accounts` being the rows of the record's accounts; return the edge rows."""
        link_rows, _ = self.links.rows_of(record.links.value)
        for name in _LINK_COLUMNS:
            self.links[name][link_rows] = getattr(record.links, name)
        of, who = link_rows[record.edges.link], accounts[record.edges.account]
        link, account = record.links.value[record.edges.link], self.accounts.keys[who]
        rows, new = self.edges.rows_of(mix(link ^ mix(account, 1), 2) | np.uint64(1))
        for name, column in (("link", link), ("account", account), ("of", of), ("who", who)):
            self.edges[name][rows] = column
        for name in _EDGE_COLUMNS:
            self.edges[name][rows] = getattr(record.edges, name)
        np.add.at(self.links["used"], self.edges["of"][new], 1)
        np.maximum.at(self.links["seen_ms"], of, record.edges.last_ms)
        return rows

    def edges_of(self, links: I64) -> I64:
        """Return the rows of the edges of some links (rows), ascending."""
        return self._by_link(self.edges["of"], links, len(self.links))

    def edges_by(self, accounts: I64) -> I64:
        """Return the rows of the edges of some accounts (rows), ascending."""
        return self._by_account(self.edges["who"], accounts, len(self.accounts))

    def share_in_words(self, account: int, campaign: int) -> float:
        """Return the share of an account's (row) requests that is in the words of a campaign (number)."""
        edges = self.edges_by(np.array([account]))
        of = self.edges["of"][edges]
        words = (self.links["owner"][of] == campaign) & np.isin(self.links["kind"][of], _ASKED)
        kind, count = self.links["kind"][of[words]], self.edges["count"][edges[words]]
        asked = float(through(np.zeros(len(kind), np.int64), kind, count, 1)[0])
        return min(1.0, asked / max(1, int(self.accounts["requests"][account])))

    def people(self, edges: I64) -> tuple[I64, I64]:
        """Return the accounts (rows) of some edges in the order of their keys, and which of these each edge is of."""
        rows, index = numbered(self.edges["who"][edges], len(self.accounts))
        order = np.argsort(self.accounts.keys[rows])
        place = np.empty(len(rows), np.int64)
        place[order] = np.arange(len(rows))
        return rows[order], place[index]

    def ages(self, accounts: I64, at_ms: I64) -> I8:
        """Return the age class that accounts (rows) had at such times."""
        created, seen = self.accounts["created_ms"][accounts], self.accounts["first_seen_ms"][accounts]
        return self.population.ages(created, seen, at_ms)

    def recent(self, links: I64, step_ms: int) -> Mask:
        """Tell which links (rows) are new."""
        return self.population.recent(self.links["born_ms"][links], step_ms)

    def purity(self, links: I64, step_ms: int, *, newborn: bool) -> F64:
        """Return how far links (rows) are a campaign's alone: by the youth of their accounts, or by their own."""
        clean = self.population.purity(self.links["young"][links], self.links["established"][links])
        if newborn:
            clean[np.isin(self.links["kind"][links], _WORDS) & self.recent(links, step_ms)] = 1.0
        return clean

    def group(self, edges: I64, link_rows: I64, step_ms: int) -> GroupColumns:
        """Return the columns of a group: `link_rows` are the links of its edges."""
        rows, account = self.people(edges)
        links, link = numbered(link_rows, len(self.links))
        first = np.full(len(rows), np.iinfo(np.int64).max)
        np.minimum.at(first, account, self.edges["first_ms"][edges])
        labels, asked = self.accounts["labels"][rows], self.accounts["requests_24h"][rows]
        totals = labels.sum(axis=1)
        age = self.ages(rows, first)
        said = links[np.isin(self.links["kind"][links], _WORDS)]
        return GroupColumns(
            kind=self.links["kind"][links],
            accounts_on=self.links["accounts"][links],
            young_on=self.links["young"][links],
            established_on=self.links["established"][links],
            items_sampled=self.links["items_sampled"][links],
            items_repeated=self.links["items_repeated"][links],
            link=link,
            account=account,
            count=self.edges["count"][edges].astype(np.int64),
            first_ms=self.edges["first_ms"][edges],
            last_ms=self.edges["last_ms"][edges],
            age=age.astype(np.int32),
            org=self.accounts["org"][rows],
            prefix=self.accounts["prefix"][rows],
            requests=self.accounts["requests"][rows],
            single_turn=np.minimum(1.0, self.accounts["single_turn_24h"][rows] / np.where(asked > 0, asked, np.nan)),
            trades=self._trades(rows, links, account, link),
            harvest_labels=np.where(totals > 0, labels[:, HARVEST_LABELS].sum(axis=1) / np.maximum(totals, 1), np.nan),
            young_share=self.population.share,
            newborn=bool(len(said) and self.recent(said, step_ms).mean() > 0.5 and (age == 1).mean() < MOSTLY_YOUNG),
        )

    def _trades(self, rows: I64, links: I64, account: I64, link: I64) -> Mask:
        """Tell which accounts (rows) present others' reasoning blocks, while others present theirs.

        `account` and `link` are the edges, places in `rows` and `links`.
        """
        trades = np.zeros(len(rows), np.bool_)
        shared = (self.links["kind"][links] == LinkKind.ISSUER) & (self.links["used"][links] > 1)
        edges = np.flatnonzero(shared[link])
        named = mix(self.accounts.keys[rows[account[edges]]], LinkKind.ISSUER)
        trades[account[edges[named == self.links.keys[links[link[edges]]]]]] = True
        return trades

    def standing(self, step_ms: int) -> tuple[Mask, Mask]:
        """Tell which links stand out by the youth of their accounts, and which by their own."""
        links = self.links
        exchanged = (links["kind"] == LinkKind.ISSUER) & (links["used"] > 1)
        by_youth = np.asarray((links["surprise"] > SURPRISING) | exchanged, np.bool_)  # a ring surprises as a whole
        rows = np.flatnonzero(by_youth)
        by_youth[rows] = self.purity(rows, step_ms, newborn=False) >= PURE
        others = np.flatnonzero(~by_youth)
        by_birth = np.zeros(len(by_youth), np.bool_)
        by_birth[others] = self.recent(others, step_ms)
        return by_youth, by_birth

    def worth(
        self, label: I64, link_rows: I64, of: I64, account: I64, count: I32, step_ms: int, growth: float, least: int
    ) -> tuple[I64, Mask]:
        """Return each group's uses, and which groups to read: those of `least` accounts, with news.

        What was read and found to be no campaign reads the same until its uses grow (by a share `growth`). But for what
        goes by time, such as how its accounts behave otherwise: so it is read again when an hour has passed, unless
        there are too many. Of those the largest come first.
        """
        groups, people = int(label.max()) + 1, int(account.max()) + 1
        uses = np.bincount(of, count, groups).astype(np.int64)
        pairs = np.sort(of * people + account)
        size = np.bincount(pairs[np.diff(pairs, prepend=-1) > 0] // people, minlength=groups)
        before, read_ms = np.zeros(groups, np.int64), np.zeros(groups, np.int64)
        np.maximum.at(before, label, self.links["read_uses"][link_rows])
        np.maximum.at(read_ms, label, self.links["read_ms"][link_rows])
        news = (uses < before) | (uses > (1 + growth) * before)
        long_ago = step_ms - read_ms >= HOUR_MS
        worth = (size >= least) & (news | long_ago)
        if worth.sum() > MOST_READ:
            worth &= news
            cut(worth, np.zeros(groups, np.int8), size, MOST_READ)
        return uses, worth

    def sharing_content(self, edges: I64, link_rows: I64) -> tuple[I64, I64]:
        """Return the edges of those accounts that share content or reasoning blocks, where there are, and their links.

        A network is shared by many who have nothing else in common with the group.
        """
        kind = self.links["kind"][link_rows]
        said = ~np.isin(kind, _IDENTITY) | (kind == LinkKind.ISSUER)
        if not said.any():
            return edges, link_rows
        who = self.edges["who"]
        sharing = np.zeros(len(self.accounts), np.bool_)
        sharing[who[edges[said]]] = True
        keep = sharing[who[edges]]
        return edges[keep], link_rows[keep]

    def first_use(self, links: I64, accounts: I64) -> I64:
        """Return when each account (rows) first used any of the links (rows); the end of time where it never did."""
        edges = self.edges_of(links)
        first = np.full(len(self.accounts), np.iinfo(np.int64).max)
        np.minimum.at(first, self.edges["who"][edges], self.edges["first_ms"][edges])
        return first[accounts]

    def full(self, most: Bounds) -> bool:
        """Return whether a table is beyond its bound."""
        return len(self.edges) > most.edges or len(self.links) > most.links or len(self.accounts) > most.accounts

    def forget(self, stale_ms: int, most: Bounds, dropped: dict[str, int]) -> U64:
        """Drop what nobody used since `stale_ms` and no campaign holds, then the oldest of what is too many.

        Adds to `dropped` what was too many; returns the keys of the members among the accounts that are gone.
        """
        links, accounts, edges = self.links, self.accounts, self.edges
        owned, seen = links["owner"] > 0, links["seen_ms"]
        keep = (seen > stale_ms) | owned
        dropped["candidate_links"] += cut(keep, owned, seen, most.links)
        held, seen = accounts["campaign"] > 0, accounts["seen_ms"]
        stay = held | (seen > stale_ms)
        dropped["candidate_accounts"] += cut(stay, held, seen, most.accounts)
        gone = accounts.keys[held & ~stay].copy()
        hold = keep[edges["of"]] & stay[edges["who"]] & (edges["last_ms"] > stale_ms)
        dropped["candidate_edges"] += cut(hold, owned[edges["of"]], edges["last_ms"], most.edges)
        if not hold.all():
            edges.compact(hold)
        if not keep.all():
            edges["of"][:] = links.compact(keep)[edges["of"]]
        if not stay.all():
            self.ids = [name for name, held in zip(self.ids, stay.tolist(), strict=True) if held]
            edges["who"][:] = accounts.compact(stay)[edges["who"]]
        links["used"][:] = np.bincount(edges["of"], minlength=len(links))
        self._by_link, self._by_account = RowsBy(), RowsBy()
        return gone

    def dump(self) -> dict[str, bytes]:
        """Return the tables as bytes; `ids` are for the caller to keep."""
        return {"accounts": self.accounts.dump(), "links": self.links.dump(), "edges": self.edges.dump()}

    def load(self, parts: dict[str, bytes], ids: list[str]) -> None:
        """Become the dumped tables."""
        self.ids = ids
        for name in ("accounts", "links", "edges"):
            getattr(self, name).load(parts[name])
        self._by_link, self._by_account = RowsBy(), RowsBy()


def numbered(rows: I64 | I32, size: int) -> tuple[I64, I64]:
    """Return the distinct ones of some rows of a table of `size` rows, ascending, and which of these each is.

    Where they are many beside the table, they are counted rather than sorted.
    """
    if 8 * len(rows) < size:
        distinct, index = np.unique(rows, return_inverse=True)
        return distinct.astype(np.int64), index
    there = np.zeros(size, np.bool_)
    there[rows] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[rows]

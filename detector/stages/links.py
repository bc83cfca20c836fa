"""Stage 2, keyed by link: which of the things that accounts share are rare and surprising.

    Observations (per source, per step) ─► wait until every source has closed the step
      ─► first-seen filter ─► link table ─► edge table ─► surprise ─► Candidates

Most links are seen from one account and never again. They live in a *first-seen filter* of fixed
size, a direct-mapped cache in which a newer singleton overwrites an older one; only when a second
account shows the same link does it get a row and edges. So memory is bounded under endless unique
prompts; the price is that a link whose second account comes very late counts from that account on.

A link that is shared widely and unsurprisingly is *common*: its edges are dropped and it is looked
at afresh a day later. What passes goes on with all of its edges, and with each change after that.

Everything happens when a step closes, over the sorted union of what the sources said of it, so
neither the order of arrival nor the cut into batches can show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from detector.campaign import candidate, observation
from detector.campaign.candidate import CandidateLinks, Candidates, Edges
from detector.campaign.link import WORDS, mix
from detector.campaign.observation import AccountFacts, Judged, LinkKind, Observations
from detector.campaign.prevalence import age_class, bar, newborn, purity, surprise, young_share
from detector.campaign.rows import RowsBy
from detector.campaign.table import Table, cut
from detector.event import I64, U64, hash64
from detector.stages.journal import Journal
from detector.stages.rules import rules_of
from detector.stages.waiting import Waiting
from detector.stores import Message, read_back

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
SAMPLE: Final = 16  # texts kept per content link, the smallest hashes: a uniform sample of distinct texts
_SAMPLED: Final = np.array(
    [LinkKind.TEMPLATE, LinkKind.HEAD, LinkKind.TAIL, LinkKind.FRAGMENT, LinkKind.SKELETON, LinkKind.MIXTURE]
)
_BORN: Final = np.array(sorted(WORDS - {LinkKind.TEXT} | {LinkKind.SHAPE}))
_HARD: Final = np.array([LinkKind.PAYMENT, LinkKind.BLOCK, LinkKind.ISSUER])  # told whatever the ages, until common
_FACTS: Final = tuple(name for name in AccountFacts.__dataclass_fields__ if name != "ids")
_PAIRS: Final = ("kind", "count", "items", "item", "output_tokens", "first_ms", "last_ms")
SAMPLED_FROM: Final = 4  # accounts on a link before its texts are sampled
FORGET_EVERY_STEPS: Final = 60
_NO_ITEM: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_COUNTED: Final = ("steps", "candidates", "edges_dropped", "links_dropped", "accounts_dropped", "steps_forced")
_rest: Final = msgspec.msgpack.Decoder(
    tuple[list[tuple[int, int]], int, list[tuple[int, list[bytes]]], int, float, list[str], int, int, list[int]]
)
CANDIDATE: Final = 1
COMMON: Final = 2


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Bounds and levels of the link stage."""

    sources: int = 24  # partitions of the request topic
    cadence_ms: int = 60_000
    established_days: float = 30.0  # an account older than that is established: what it uses is prevalent
    false_discovery: float = 0.01  # over all links tested
    least_accounts: int = 5  # fewer than that is a team
    least_purity: float = 0.7  # a link stands out only when so much of its young surplus is beyond chance
    newborn_accounts: int = 15  # a newborn link is told as soon as so many accounts share it
    newborn_days: float = 7.0  # a link first seen so recently is newborn
    mixture_hours: float = 12.0  # a mixture is told when it has gone on for so long: a class with one sheet is over
    common_accounts: int = 256  # shared by so many without surprise: common
    idle_days: float = 7.0  # an edge or link not used for so long is forgotten
    filter_slots: int = 1 << 20  # of the first-seen filter: links seen from one account only, 24 bytes each
    # pairs of account and link in memory, as the next two for each link partition; beyond, the oldest go, with equal
    # parts left to links of few accounts, of many, and to candidates; one step may bring more before they go
    most_edges: int = 4_000_000
    most_links: int = 1_000_000  # that two accounts share; as above
    most_accounts: int = 1_000_000  # as above: without a shared link, with one, with a candidate
    # records that wait for a slower source; beyond, steps are closed without it, and what it says of them comes later
    most_waiting_bytes: int = 268_435_456
    hash_key: int = 0


class LinkPartition:
    """The state of one link partition, and what a step does to it."""

    def __init__(self, settings: LinkSettings) -> None:
        """Start knowing nothing."""
        self.settings = settings
        self.waiting = Waiting(settings.sources, settings.most_waiting_bytes)
        self.start_ms = -1
        self.swept = self.counted_ms = -1
        self.share = young_share(0, 0)
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
            capabilities=("<i4", len(observation.CAPABILITIES)),
            labels=("<i4", 6),
            seen_ms="<i8",
        )
        self.links = Table(
            kind="u1",
            flags="u1",
            born_ms="<i8",
            last_ms="<i8",
            accounts="<i4",
            young="<i4",
            established="<i4",
            looked_ms="<i8",
            sample=("<u8", SAMPLE),
            owner=("<u8", SAMPLE),
            repeated=("u1", SAMPLE),
        )
        self.edges = Table(
            link="<i8",
            account="<i8",
            count="<i4",
            items="<i4",
            output_tokens="<i8",
            first_ms="<i8",
            last_ms="<i8",
            age="i1",
        )
        self._by_link = RowsBy()
        self.untold = np.zeros(0, np.uint64)  # candidate links, by key, that no record told of
        self.counts = dict.fromkeys(_COUNTED, 0)
        self.filter_link = np.zeros(settings.filter_slots, np.uint64)
        self.filter_account = np.zeros(settings.filter_slots, np.uint64)
        self.filter_first_ms = np.zeros(settings.filter_slots, np.int64)

    # -- input ------------------------------------------------------------------------------

    def absorb(self, value: bytes) -> list[Candidates]:
        """Take one record; return what closing steps brought, in order of step."""
        observations = observation.decode(value)
        source, step = observations.source, observations.step
        if step <= self.waiting.closed.get(source, -1):
            return []  # a repeat after a crash upstream: counted already
        before, forced = self.waiting.done, self.waiting.forced
        over = self.waiting.arrive(source, step, value if len(observations.accounts.ids) else None)
        self.counts["steps_forced"] += self.waiting.forced - forced
        found = [self._close(step, self._decoded(records)) for step, records in over]
        done = self.waiting.done
        if done > (over[-1][0] if over else before):
            self.counts["steps"] += 1
            found.append(self._nothing(done))
        return found

    @staticmethod
    def _decoded(records: list[bytes]) -> list[Observations]:
        return sorted(map(observation.decode, records), key=lambda record: (record.source, record.step))

    # -- one step ---------------------------------------------------------------------------

    def _close(self, step: int, records: list[Observations]) -> Candidates:
        step_ms = (step + 1) * self.settings.cadence_ms
        who = self._learn(records, step_ms)
        pairs = [record.pairs for record in records]
        account = np.concatenate([w[p.account] for p, w in zip(pairs, who, strict=True)])
        value = np.concatenate([p.value for p in pairs])
        order = np.lexsort((self.accounts.keys[account], value))
        value, account = value[order], account[order]
        columns = {name: np.concatenate([getattr(p, name) for p in pairs])[order] for name in _PAIRS}
        if len(records) > len({record.source for record in records}):
            value, account, columns = _folded(value, account, columns)
        touched, edge_rows = self._connect(value, account, columns)
        fresh = self._judge(touched, step_ms)
        self.counts["steps"] += 1
        self.counts["candidates"] += len(fresh)
        result = self._report(step, records, who, edge_rows, np.union1d(fresh, self._taken_untold()))
        if step - self.swept >= FORGET_EVERY_STEPS or self._full():
            self.swept = step
            self._forget(step_ms)
        return result

    def _learn(self, records: list[Observations], step_ms: int) -> list[I64]:
        """Take over the facts of the step's accounts; return the rows of each record's accounts."""
        ids = [account for record in records for account in record.accounts.ids]
        keys = np.fromiter((hash64(account, self.settings.hash_key) for account in ids), np.uint64, len(ids))
        rows, new = self.accounts.rows_of(keys)
        if len(new):
            names = dict(zip(keys.tolist(), ids, strict=True))
            self.ids.extend(names[key] for key in self.accounts.keys[new].tolist())
        for name in _FACTS:
            self.accounts[name][rows] = np.concatenate([getattr(record.accounts, name) for record in records])
        self.accounts["seen_ms"][rows] = step_ms
        if self.start_ms < 0:
            self.start_ms = step_ms - self.settings.cadence_ms
        if step_ms - self.counted_ms >= HOUR_MS // 2:
            self.counted_ms = step_ms
            self._census(step_ms)
        return np.split(rows, np.cumsum([len(record.accounts.ids) for record in records])[:-1])

    def _census(self, step_ms: int) -> None:
        """Measure the share of young accounts among those active in the last 24 h."""
        active = self.accounts["seen_ms"] > step_ms - DAY_MS
        classes = self._age_class(
            self.accounts["created_ms"][active],
            self.accounts["first_seen_ms"][active],
            np.full(int(active.sum()), step_ms),
        )
        self.share = young_share(int((classes == 1).sum()), int((classes == 2).sum()))

    def _age_class(self, created_ms: I64, first_seen_ms: I64, at_ms: I64) -> npt.NDArray[np.int8]:
        established_ms = int(self.settings.established_days * DAY_MS)
        return age_class(created_ms, first_seen_ms, at_ms, self.start_ms, established_ms)

    def _connect(self, value: U64, who: I64, columns: dict[str, npt.NDArray[Any]]) -> tuple[I64, I64]:
        """Add the pairs (sorted by value, then account key) to links and edges; return the rows of both that changed.

        `who` are account rows.
        """
        row = self.links.lookup(value)
        missing = np.flatnonzero(row < 0)
        early_link, early_who, early_ms = (np.zeros(0, np.int64) for _ in range(3))
        if missing.size:
            early_link, early_who, early_ms = self._promote(value[missing], who[missing], columns, missing)
            row[missing] = self.links.lookup(value[missing])
        known = np.flatnonzero(row >= 0)
        row_known = row[known]
        np.maximum.at(self.links["last_ms"], row_known, columns["last_ms"][known])
        rare = self.links["flags"][row_known] != COMMON
        known, row_known = known[rare], row_known[rare]
        n = len(early_link)
        link, account = np.concatenate([early_link, row_known]), np.concatenate([early_who, who[known]])
        edge, new = self.edges.rows_of(
            mix(self.links.keys[link] ^ mix(self.accounts.keys[account], 1), 2) | np.uint64(1)
        )
        if len(new):
            position = np.zeros(len(new), np.int64)
            fresh = np.flatnonzero(edge >= new[0])[::-1]
            position[edge[fresh] - new[0]] = fresh  # the first pair of each new edge
            first_ms = np.concatenate([early_ms, columns["first_ms"][known]])[position]
            link_new, who_new = link[position], account[position]
            age = self._age_class(
                self.accounts["created_ms"][who_new], self.accounts["first_seen_ms"][who_new], first_ms
            )
            for name, column in (("link", link_new), ("account", who_new), ("first_ms", first_ms), ("age", age)):
                self.edges[name][new] = column
            np.add.at(self.links["accounts"], link_new, 1)
            np.add.at(self.links["young"], link_new, age == 1)
            np.add.at(self.links["established"], link_new, age == 2)
        self.edges["count"][edge[:n]] += 1
        self.edges["items"][edge[:n]] += 1
        self.edges["last_ms"][edge[:n]] = np.maximum(self.edges["last_ms"][edge[:n]], early_ms)
        later = edge[n:]
        for name in ("count", "items", "output_tokens"):
            self.edges[name][later] += columns[name][known]
        self.edges["last_ms"][later] = np.maximum(self.edges["last_ms"][later], columns["last_ms"][known])
        self._sample(row_known, self.accounts.keys[who[known]], columns["item"][known])
        return np.unique(row_known), later

    def _promote(self, value: U64, who: I64, columns: dict[str, npt.NDArray[Any]], rows: I64) -> tuple[I64, I64, I64]:
        """Give a row to each unknown link that a second account shows; return the first sightings this brings back.

        `value` and `who` are the pairs of unknown links, `rows` their places in `columns`.
        """
        first_ms = columns["first_ms"][rows]
        key = self.accounts.keys[who]
        starts = np.flatnonzero(np.r_[True, value[1:] != value[:-1]])
        several = np.diff(np.r_[starts, len(value)]) > 1
        several |= columns["kind"][rows][starts] == LinkKind.ISSUER  # who presents it is not whom it is of: two already
        head, key = value[starts], key[starts]
        slot = head & np.uint64(len(self.filter_link) - 1)
        seen = self.filter_link[slot] == head
        another = seen & (several | (self.filter_account[slot] != key))
        kept = ~seen & ~several
        self.filter_link[slot[kept]] = head[kept]
        self.filter_account[slot[kept]] = key[kept]
        self.filter_first_ms[slot[kept]] = first_ms[starts][kept]
        promoted = several | another
        if not promoted.any():
            return rows[:0], rows[:0], rows[:0]
        link, _ = self.links.rows_of(head[promoted])
        earliest = np.minimum.reduceat(first_ms, starts)
        earliest[another] = np.minimum(earliest[another], self.filter_first_ms[slot[another]])
        self.links["kind"][link] = columns["kind"][rows][starts][promoted]
        self.links["born_ms"][link] = earliest[promoted]
        self.links["sample"][link] = _NO_ITEM
        before = self.accounts.lookup(self.filter_account[slot[another]])
        held = before >= 0  # else the first account was forgotten meanwhile: leave it out
        return self.links.lookup(head[another][held]), before[held], self.filter_first_ms[slot[another]][held]

    def _sample(self, row: I64, account: U64, item: U64) -> None:
        """Keep for each content link the smallest text hashes, and which of them several accounts sent."""
        use = (item != 0) & (self.links["accounts"][row] >= SAMPLED_FROM) & np.isin(self.links["kind"][row], _SAMPLED)
        use[use] = item[use] <= self.links["sample"][row[use], -1]
        if not use.any():
            return
        rows, inverse = np.unique(row[use], return_inverse=True)
        n = len(rows)
        link = np.concatenate([np.repeat(np.arange(n), SAMPLE), inverse])
        texts = np.concatenate([self.links["sample"][rows].ravel(), item[use]])
        owners = np.concatenate([self.links["owner"][rows].ravel(), account[use]])
        repeated = np.concatenate([self.links["repeated"][rows].ravel(), np.zeros(int(use.sum()), np.uint8)])
        order = np.lexsort((np.arange(len(link)), texts, link))
        link, texts, owners, repeated = link[order], texts[order], owners[order], repeated[order]
        first = np.r_[True, (link[1:] != link[:-1]) | (texts[1:] != texts[:-1])]
        starts = np.flatnonzero(first)
        other = (owners != owners[starts][np.cumsum(first) - 1]).astype(np.uint8)
        again = np.maximum.reduceat(np.maximum(repeated, other), starts)
        link, texts, owners = link[starts], texts[starts], owners[starts]
        again[texts == _NO_ITEM] = 0
        rank = np.arange(len(link)) - np.searchsorted(link, link)
        keep = rank < SAMPLE
        place = (rows[link[keep]], rank[keep])
        self.links["sample"][rows] = _NO_ITEM
        self.links["owner"][rows] = 0
        self.links["repeated"][rows] = 0
        self.links["sample"][place] = texts[keep]
        self.links["owner"][place] = owners[keep]
        self.links["repeated"][place] = again[keep]

    def _judge(self, touched: I64, step_ms: int) -> I64:
        """Flag what is surprising among the touched links, and what is common; return the rows newly flagged."""
        s, links = self.settings, self.links
        issued = links["kind"][touched] == LinkKind.ISSUER  # told from the first account on: its ring may be large
        enough = issued | (links["accounts"][touched] >= s.least_accounts)
        touched, issued = touched[enough], issued[enough]
        accounts, young, established = (
            links["accounts"][touched],
            links["young"][touched],
            links["established"][touched],
        )
        nats = surprise(young, established, self.share)
        stands_out = nats > bar(len(links), s.false_discovery)
        stands_out &= purity(young, established, self.share) >= s.least_purity
        lasting = step_ms - links["born_ms"][touched] >= int(s.mixture_hours * HOUR_MS)
        stands_out &= lasting | (links["kind"][touched] != LinkKind.MIXTURE)
        recent = newborn(links["born_ms"][touched], self.start_ms + DAY_MS, step_ms, int(s.newborn_days * DAY_MS))
        recent &= (accounts >= s.newborn_accounts) & np.isin(links["kind"][touched], _BORN)
        hard = np.isin(links["kind"][touched], _HARD)
        flagged = stands_out | recent | (hard & (accounts < s.common_accounts))
        was = links["flags"][touched] == CANDIDATE
        links["flags"][touched[flagged]] = CANDIDATE
        common = ~flagged & (~was | hard) & (accounts >= s.common_accounts)
        links["flags"][touched[common]] = COMMON
        links["looked_ms"][touched[common]] = step_ms
        return touched[np.asarray(flagged & ~was, np.bool_)]

    # -- output -----------------------------------------------------------------------------

    def candidates(self) -> U64:
        """Return the keys of the candidate links."""
        found: U64 = self.links.keys[self.links["flags"] == CANDIDATE]
        return found

    def _taken_untold(self) -> I64:
        """Return the rows of the links that are untold, as far as they are candidates still; they are told now."""
        rows, self.untold = self.links.lookup(self.untold), self.untold[:0]
        there: I64 = rows[rows >= 0]
        return there[np.asarray(self.links["flags"][there] == CANDIDATE, np.bool_)]

    def _report(self, step: int, records: list[Observations], who: list[I64], touched: I64, fresh: I64) -> Candidates:
        """Return the candidates of a step: the candidate links' edges that changed, all edges of the fresh ones."""
        edges, links = self.edges, self.links
        mine = touched[links["flags"][edges["link"][touched]] == CANDIDATE]
        if len(fresh):
            mine = np.concatenate([mine, self._by_link(edges["link"], fresh, len(links))])
        rows = np.unique(mine)
        link_rows, link_index = np.unique(edges["link"][rows], return_inverse=True)
        judged = [w[record.judged.account] for record, w in zip(records, who, strict=True)]
        account_rows = np.unique(np.concatenate([edges["account"][rows], *judged]))
        place = np.full(len(self.accounts), -1, np.int64)
        place[account_rows] = np.arange(len(account_rows))
        models = [
            (int(place[w[account]]), model, count)
            for record, w in zip(records, who, strict=True)
            for account, model, count in record.models
            if place[w[account]] >= 0
        ]
        young, established = links["young"][link_rows], links["established"][link_rows]
        strengths = [record.judged.strengths for record in records if len(record.judged.account)]
        return Candidates(
            source=-1,
            step=step,
            young_share=self.share,
            stream_start_ms=self.start_ms,
            facts=self._facts(account_rows),
            links=CandidateLinks(
                links.keys[link_rows],
                links["kind"][link_rows],
                links["born_ms"][link_rows],
                links["accounts"][link_rows],
                young,
                established,
                surprise(young, established, self.share).astype(np.float32),
                (links["sample"][link_rows] != _NO_ITEM).sum(axis=1).astype(np.int32),
                links["repeated"][link_rows].sum(axis=1).astype(np.int32),
            ),
            edges=Edges(
                link_index.astype(np.int32),
                place[edges["account"][rows]].astype(np.int32),
                *(edges[name][rows] for name in ("count", "items", "output_tokens", "first_ms", "last_ms")),
            ),
            judged=Judged(
                np.concatenate([place[rows] for rows in judged] or [place[:0]]).astype(np.int32),
                np.concatenate([record.judged.tick_ms for record in records] or [np.zeros(0, np.int64)]),
                np.concatenate([record.judged.score for record in records] or [np.zeros(0, np.float32)]),
                np.concatenate(strengths) if strengths else np.zeros((0, 1), np.float32),
                tuple(because for record in records for because in record.judged.because),
            ),
            models=tuple(models),
        )

    def _facts(self, rows: I64) -> AccountFacts:
        columns = {name: self.accounts[name][rows] for name in _FACTS}
        return AccountFacts(tuple(self.ids[row] for row in rows.tolist()), **columns)

    def _nothing(self, step: int) -> Candidates:
        none = np.zeros(0, np.int64)
        return self._report(step, [], [], none, none)

    # -- bounds -----------------------------------------------------------------------------

    def _full(self) -> bool:
        s = self.settings
        bounds = ((self.edges, s.most_edges), (self.links, s.most_links), (self.accounts, s.most_accounts))
        return any(len(table) > most for table, most in bounds)

    def _forget(self, step_ms: int) -> None:
        """Drop what is idle or beyond a bound, and the edges of common links; look again at links common for a day."""
        s = self.settings
        stale = step_ms - int(s.idle_days * DAY_MS)
        links, edges, accounts = self.links, self.edges, self.accounts
        of, candidate_link = edges["link"], links["flags"] == CANDIDATE
        shared_by_many = (links["accounts"] >= s.least_accounts) | (links["looked_ms"] > 0)
        standing = np.where(candidate_link, 2, shared_by_many)
        alive = (links["last_ms"] > stale) & (links["last_ms"] > 0)
        self.counts["links_dropped"] += cut(alive, standing, links["last_ms"], s.most_links)
        keep = (edges["last_ms"] > stale) & (links["flags"][of] != COMMON) & alive[of]
        ties = np.zeros(len(accounts), np.int64)
        np.maximum.at(ties, edges["account"][keep], 1 + candidate_link[of[keep]])
        held = (accounts["seen_ms"] > step_ms - 2 * DAY_MS) | (ties > 0)
        self.counts["accounts_dropped"] += cut(held, ties, accounts["seen_ms"], s.most_accounts)
        keep &= held[edges["account"]]
        self.counts["edges_dropped"] += cut(keep, standing[of], edges["last_ms"], s.most_edges)
        gone = ~keep & (links["flags"][of] != COMMON)
        link, age_class = of[gone], edges["age"][gone]
        np.subtract.at(links["accounts"], link, 1)
        np.subtract.at(links["young"], link, age_class == 1)
        np.subtract.at(links["established"], link, age_class == 2)
        again = (links["flags"] == COMMON) & (links["looked_ms"] <= step_ms - DAY_MS)
        for name in ("flags", "accounts", "young", "established"):
            links[name][again] = 0
        alive &= (links["accounts"] > 0) | (links["looked_ms"] > 0)  # once common: its birth is kept
        if not keep.all():
            edges.compact(keep)
        if not alive.all():
            edges["link"][:] = links.compact(alive)[edges["link"]]
        if not held.all():
            self.ids = [name for name, stays in zip(self.ids, held.tolist(), strict=True) if stays]
            edges["account"][:] = accounts.compact(held)[edges["account"]]
        self._by_link = RowsBy()

    # -- durable form -----------------------------------------------------------------------

    def dump(self) -> dict[str, bytes]:
        """Return the whole state."""
        rest = (
            *self.waiting.dump(),
            self.start_ms,
            self.share,
            self.ids,
            self.swept,
            self.counted_ms,
            self.untold.tolist(),
        )
        return {
            "rest": msgspec.msgpack.encode(rest),
            "accounts": self.accounts.dump(),
            "links": self.links.dump(),
            "edges": self.edges.dump(),
            "filter": np.concatenate(
                [self.filter_link, self.filter_account, self.filter_first_ms.view(np.uint64)]
            ).tobytes(),
        }

    def load(self, parts: dict[str, bytes]) -> None:
        """Become the dumped state."""
        rest = _rest.decode(parts["rest"])
        closed, done, waiting, self.start_ms, self.share, self.ids, self.swept, self.counted_ms, untold = rest
        self.untold = np.array(untold, np.uint64)
        self.waiting.load(closed, done, waiting)
        self.accounts.load(parts["accounts"])
        self.links.load(parts["links"])
        self.edges.load(parts["edges"])
        self._by_link = RowsBy()
        link, account, first = np.split(np.frombuffer(parts["filter"], np.uint64), 3)
        self.filter_link, self.filter_account, self.filter_first_ms = (
            link.copy(),
            account.copy(),
            first.view(np.int64).copy(),
        )


def _folded(value: U64, account: I64, columns: dict[str, npt.NDArray[Any]]) -> tuple[U64, I64, dict[str, Any]]:
    """Make one of the pairs (sorted) of a link and account: a source that was late says several steps at once."""
    starts = np.flatnonzero(np.r_[True, (value[1:] != value[:-1]) | (account[1:] != account[:-1])][: len(value)])
    if not len(starts):
        return value, account, columns
    texts = np.where(columns["item"] == 0, _NO_ITEM, columns["item"])
    folded = {name: np.add.reduceat(columns[name], starts) for name in ("count", "items", "output_tokens")}
    folded["kind"] = columns["kind"][starts]
    folded["item"] = np.minimum.reduceat(texts, starts)
    folded["item"][folded["item"] == _NO_ITEM] = 0
    folded["first_ms"] = np.minimum.reduceat(columns["first_ms"], starts)
    folded["last_ms"] = np.maximum.reduceat(columns["last_ms"], starts)
    return value[starts], account[starts], folded


class LinkStage:
    """The link partitions this worker owns."""

    name = "links"

    def __init__(self, settings: LinkSettings, *, durable: bool = True) -> None:
        """`durable=False` keeps no journal: a replay starts over rather than from a store."""
        self._settings = settings
        self._durable = durable
        self._rules = rules_of(settings)
        self.counts = dict.fromkeys(_COUNTED, 0)
        self._partitions: dict[int, LinkPartition] = {}
        self._journals: dict[int, Journal] = {}
        self._outbox: dict[int, list[Message]] = {}

    def assign(self, partition: int, rows: dict[str, bytes]) -> None:
        """Start (again) from the rows of the last commit.

        The records of steps that a foreign journal closes were published, and others in their place would be taken
        for repeats: what became a candidate in them is told whole with the next step.
        """
        state, journal = LinkPartition(self._settings), Journal(self._rules)
        with read_back(f"links:{partition}"):
            records = journal.restore(rows, state)
            before = state.candidates()
            for record in records:
                state.absorb(record)
            if journal.foreign:
                state.untold = np.union1d(state.untold, np.setdiff1d(state.candidates(), before))
        state.counts = self.counts  # from here on: what a journal repeats was counted
        self._partitions[partition], self._journals[partition], self._outbox[partition] = state, journal, []

    def revoke(self, partition: int) -> None:
        """Forget the partition."""
        for held in (self._partitions, self._journals, self._outbox):
            held.pop(partition, None)

    def absorb(self, partition: int, values: list[bytes]) -> None:
        """Take observation records in the order of the partition; raise DecodeError at one that is not."""
        state = self._partitions[partition]
        for value in values:
            for found in state.absorb(value):
                record = candidate.encode(replace(found, source=partition))
                self._outbox[partition].append(Message("candidates", 0, str(partition), record))
            if self._durable:
                self._journals[partition].append(value)

    def drain(self, partition: int) -> tuple[dict[str, bytes | None], list[Message]]:
        """Return the rows changed since the last drain and what to publish, and forget both."""
        outbox, self._outbox[partition] = self._outbox[partition], []
        return self._journals[partition].rows(self._partitions[partition]), outbox

    def waiting(self, partition: int) -> bool:
        """Return whether a drain would give something to publish."""
        return bool(self._outbox[partition])

    def clock_ms(self, partition: int) -> int:
        """Return the end of the last step that any source has closed; -1 before."""
        last = max(self._partitions[partition].waiting.closed.values(), default=-1)
        return (last + 1) * self._settings.cadence_ms if last >= 0 else -1

    def sizes(self) -> dict[str, int]:
        """Return what the partitions hold: accounts, links, candidates, edges."""
        held = list(self._partitions.values())
        return {
            "accounts": sum(len(p.accounts) for p in held),
            "links": sum(len(p.links) for p in held),
            "candidates": sum(int((p.links["flags"] == CANDIDATE).sum()) for p in held),
            "edges": sum(len(p.edges) for p in held),
        }

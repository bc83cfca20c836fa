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
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from detector.campaign import candidate, observation
from detector.campaign.candidate import CandidateLinks, Candidates, Edges
from detector.campaign.link import mix
from detector.campaign.observation import AccountFacts, Judged, LinkKind, Observations
from detector.campaign.prevalence import age_class, bar, newborn, purity, surprise, young_share
from detector.campaign.table import Table
from detector.event import I64, U64, hash64
from detector.stages.journal import Journal
from detector.stores import Message

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
SAMPLE: Final = 16  # texts kept per content link, the smallest hashes: a uniform sample of distinct texts
_SAMPLED: Final = np.array([LinkKind.TEMPLATE, LinkKind.HEAD, LinkKind.TAIL, LinkKind.FRAGMENT, LinkKind.SKELETON])
_BORN: Final = np.array(
    [
        LinkKind.TEMPLATE,
        LinkKind.HEAD,
        LinkKind.TAIL,
        LinkKind.FRAGMENT,
        LinkKind.SYSTEM,
        LinkKind.TOOLS,
        LinkKind.SHAPE,
    ]
)
_NO_ITEM: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
CANDIDATE: Final = 1
COMMON: Final = 2


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Bounds and levels of the link stage."""

    sources: int = 24  # partitions of the request topic
    cadence_ms: int = 60_000
    established_days: float = 30.0
    false_discovery: float = 0.01  # over all links tested
    least_accounts: int = 5  # fewer than that is a team
    least_purity: float = 0.5
    newborn_accounts: int = 15
    newborn_days: float = 7.0
    common_accounts: int = 256  # shared by so many without surprise: common
    idle_days: float = 7.0  # an edge or link not used for so long is forgotten
    filter_slots: int = 1 << 20
    most_edges: int = 4_000_000
    hash_key: int = 0


class LinkPartition:
    """The state of one link partition, and what a step does to it."""

    def __init__(self, settings: LinkSettings) -> None:
        """Start knowing nothing."""
        self.settings = settings
        self.closed: dict[int, int] = {}
        self.done = -1
        self.waiting: dict[int, list[bytes]] = {}
        self.start_ms = -1
        self.share = young_share(0, 0)
        self.ids: list[str] = []
        self.accounts = Table(
            created_ms="<i8",
            first_seen_ms="<i8",
            status_ms="<i8",
            org="<u8",
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
            link="<u8",
            account="<u8",
            count="<i4",
            items="<i4",
            output_tokens="<i8",
            first_ms="<i8",
            last_ms="<i8",
            age="i1",
        )
        self.filter_link = np.zeros(settings.filter_slots, np.uint64)
        self.filter_account = np.zeros(settings.filter_slots, np.uint64)
        self.filter_first_ms = np.zeros(settings.filter_slots, np.int64)

    # -- input ------------------------------------------------------------------------------

    def absorb(self, value: bytes) -> list[Candidates]:
        """Take one record; return what closing steps brought, in order of step."""
        observations = observation.decode(value)
        source, step = observations.source, observations.step
        if step <= self.closed.get(source, -1):
            return []  # a repeat after a crash upstream: counted already
        self.closed[source] = step
        if len(observations.accounts.ids):
            self.waiting.setdefault(step, []).append(value)
        if len(self.closed) < self.settings.sources:
            return []
        ready = min(self.closed.values())
        if ready <= self.done:
            return []
        steps = sorted(waiting for waiting in self.waiting if waiting <= ready)
        found = [self._close(waiting, [observation.decode(v) for v in self.waiting.pop(waiting)]) for waiting in steps]
        self.done = ready
        if not steps or steps[-1] < ready:
            found.append(self._nothing(ready))
        return found

    # -- one step ---------------------------------------------------------------------------

    def _close(self, step: int, records: list[Observations]) -> Candidates:
        records.sort(key=lambda record: record.source)
        step_ms = (step + 1) * self.settings.cadence_ms
        keys, offsets = self._learn(records, step_ms)
        pairs = [record.pairs for record in records]
        account = np.concatenate([keys[p.account + offset] for p, offset in zip(pairs, offsets, strict=True)])
        value = np.concatenate([p.value for p in pairs])
        order = np.lexsort((account, value))
        columns = {
            name: np.concatenate([getattr(p, name) for p in pairs])[order]
            for name in ("kind", "count", "items", "item", "output_tokens", "first_ms", "last_ms")
        }
        touched, edge_rows = self._connect(value[order], account[order], columns)
        self._sample(value[order], account[order], columns["item"])
        fresh = self._judge(touched, step_ms)
        result = self._report(step, records, keys, offsets, edge_rows, fresh)
        if step % 60 == 0:
            self._forget(step_ms)
        return result

    def _learn(self, records: list[Observations], step_ms: int) -> tuple[U64, list[int]]:
        """Take over the facts of the step's accounts; return their keys and where each record's begin."""
        ids = [account for record in records for account in record.accounts.ids]
        keys = np.fromiter((hash64(account, self.settings.hash_key) for account in ids), np.uint64, len(ids))
        offsets = np.cumsum([0] + [len(record.accounts.ids) for record in records])[:-1].tolist()
        rows, new = self.accounts.rows_of(keys)
        if len(new):
            names = dict(zip(keys.tolist(), ids, strict=True))
            self.ids.extend(names[key] for key in self.accounts.keys[new].tolist())
        for name in (
            "created_ms",
            "first_seen_ms",
            "status_ms",
            "org",
            "tier",
            "status",
            "requests",
            "output_tokens",
            "requests_24h",
            "active_hours_24h",
            "refused_24h",
            "single_turn_24h",
            "score",
            "capabilities",
            "labels",
        ):
            self.accounts[name][rows] = np.concatenate([getattr(record.accounts, name) for record in records])
        self.accounts["seen_ms"][rows] = step_ms
        if self.start_ms < 0:
            self.start_ms = step_ms - self.settings.cadence_ms
        if step_ms // self.settings.cadence_ms % 30 == 0 or len(new) == len(keys):
            self._census(step_ms)
        return keys, offsets

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
        return age_class(created_ms, first_seen_ms, at_ms, self.start_ms + DAY_MS, established_ms)

    def _connect(self, value: U64, account: U64, columns: dict[str, npt.NDArray[np.generic]]) -> tuple[I64, I64]:
        """Add the pairs (sorted by value, account) to links and edges; return the rows of both that changed."""
        row = self.links.lookup(value)
        missing = np.flatnonzero(row < 0)
        early: tuple[U64, U64, I64] = (value[:0], account[:0], np.zeros(0, np.int64))
        if missing.size:
            early = self._promote(value, account, columns, missing)
            row = self.links.lookup(value)
        known = np.flatnonzero(row >= 0)
        known = known[self.links["flags"][row[known]] != COMMON]
        self.links["last_ms"][row[row >= 0]] = np.maximum(
            self.links["last_ms"][row[row >= 0]], columns["last_ms"][row >= 0]
        )
        early_value, early_account, early_ms = early
        all_value = np.concatenate([early_value, value[known]])
        all_account = np.concatenate([early_account, account[known]])
        first_ms = np.concatenate([early_ms, columns["first_ms"][known]])
        key = mix(all_value ^ mix(all_account, 1), 2) | np.uint64(1)
        edge, new = self.edges.rows_of(key)
        if len(new):
            position = np.zeros(len(self.edges), np.int64)
            position[edge[::-1]] = np.arange(len(edge))[::-1]  # the first pair of each new edge
            position = position[new]
            self.edges["link"][new] = all_value[position]
            self.edges["account"][new] = all_account[position]
            self.edges["first_ms"][new] = first_ms[position]
            who = self.accounts.lookup(all_account[position])
            age = self._age_class(
                self.accounts["created_ms"][who], self.accounts["first_seen_ms"][who], first_ms[position]
            )
            self.edges["age"][new] = age
            link = self.links.lookup(all_value[position])
            np.add.at(self.links["accounts"], link, 1)
            np.add.at(self.links["young"], link, age == 1)
            np.add.at(self.links["established"], link, age == 2)
        n = len(early_value)
        if n:
            self.edges["count"][edge[:n]] += 1
            self.edges["items"][edge[:n]] += 1
            self.edges["last_ms"][edge[:n]] = np.maximum(self.edges["last_ms"][edge[:n]], early_ms)
        later = edge[n:]
        for name in ("count", "items", "output_tokens"):
            self.edges[name][later] += columns[name][known]
        self.edges["last_ms"][later] = np.maximum(self.edges["last_ms"][later], columns["last_ms"][known])
        return np.unique(row[known]).astype(np.int64), later

    def _promote(
        self, value: U64, account: U64, columns: dict[str, npt.NDArray[np.generic]], missing: I64
    ) -> tuple[U64, U64, I64]:
        """Give a row to each unknown link that a second account shows; return the first sightings this brings back."""
        values, accounts, first_ms = value[missing], account[missing], columns["first_ms"][missing].astype(np.int64)
        starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
        several = np.diff(np.r_[starts, len(values)]) > 1
        head = values[starts]
        slot = head & np.uint64(len(self.filter_link) - 1)
        seen = self.filter_link[slot] == head
        another = seen & (several | (self.filter_account[slot] != accounts[starts]))
        promoted = several | another
        kept = ~promoted & ~seen
        self.filter_link[slot[kept]] = head[kept]
        self.filter_account[slot[kept]] = accounts[starts][kept]
        self.filter_first_ms[slot[kept]] = first_ms[starts][kept]
        _, new = self.links.rows_of(head[promoted])
        link = self.links.lookup(head[promoted])
        earliest = np.minimum.reduceat(first_ms, starts)[promoted]
        before = another[promoted]
        earliest[before] = np.minimum(earliest[before], self.filter_first_ms[slot[another]])
        self.links["kind"][link] = columns["kind"][missing][starts][promoted]
        self.links["born_ms"][link] = earliest
        self.links["sample"][new] = _NO_ITEM
        known = another & (self.accounts.lookup(self.filter_account[slot]) >= 0)  # forgotten meanwhile: leave it out
        return head[known], self.filter_account[slot[known]], self.filter_first_ms[slot[known]]

    def _sample(self, value: U64, account: U64, item: U64) -> None:
        """Keep for each content link the smallest text hashes, and which of them several accounts sent."""
        row = self.links.lookup(value)
        use = (row >= 0) & (item != 0)
        use[use] = (self.links["flags"][row[use]] != COMMON) & np.isin(self.links["kind"][row[use]], _SAMPLED)
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
        group = np.cumsum(first) - 1
        starts = np.flatnonzero(first)
        again = np.maximum.reduceat(np.maximum(repeated, (owners != owners[starts][group]).astype(np.uint8)), starts)
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
        touched = touched[links["accounts"][touched] >= s.least_accounts]
        accounts, young, established = (
            links["accounts"][touched],
            links["young"][touched],
            links["established"][touched],
        )
        nats = surprise(young, established, self.share)
        surprising = (nats > bar(len(links), s.false_discovery)) & (
            purity(young, established, self.share) >= s.least_purity
        )
        recent = newborn(links["born_ms"][touched], self.start_ms + DAY_MS, step_ms, int(s.newborn_days * DAY_MS))
        recent &= (accounts >= s.newborn_accounts) & np.isin(links["kind"][touched], _BORN)
        paid = (links["kind"][touched] == LinkKind.PAYMENT) | (links["kind"][touched] == LinkKind.BLOCK)
        flagged = surprising | recent | paid
        was = links["flags"][touched] == CANDIDATE
        links["flags"][touched[flagged]] = CANDIDATE
        common = ~flagged & ~was & (accounts >= s.common_accounts)
        links["flags"][touched[common]] = COMMON
        links["looked_ms"][touched[common]] = step_ms
        return touched[flagged & ~was]

    # -- output -----------------------------------------------------------------------------

    def _report(
        self, step: int, records: list[Observations], keys: U64, offsets: list[int], touched: I64, fresh: I64
    ) -> Candidates:
        edges = self.edges
        mine = touched[self.links["flags"][self.links.lookup(edges["link"][touched])] == CANDIDATE]
        if len(fresh):
            mine = np.concatenate([mine, np.flatnonzero(np.isin(edges["link"], self.links.keys[fresh]))])
        rows = np.unique(mine)
        link_values, link_index = np.unique(edges["link"][rows], return_inverse=True)
        judged_keys = [keys[record.judged.account + offset] for record, offset in zip(records, offsets, strict=True)]
        account_keys = np.unique(np.concatenate([edges["account"][rows], *judged_keys]))
        account_rows = self.accounts.lookup(account_keys)
        link_rows = self.links.lookup(link_values)
        facts = self._facts(account_rows)
        place = np.full(len(self.accounts), -1, np.int64)
        place[account_rows] = np.arange(len(account_rows))
        models = []
        for record, offset in zip(records, offsets, strict=True):
            if record.models:
                where = place[self.accounts.lookup(keys[offset : offset + len(record.accounts.ids)])]
                models += [(int(where[a]), model, count) for a, model, count in record.models if where[a] >= 0]
        young, established = self.links["young"][link_rows], self.links["established"][link_rows]
        return Candidates(
            source=-1,
            step=step,
            young_share=self.share,
            stream_start_ms=self.start_ms,
            facts=facts,
            links=CandidateLinks(
                link_values,
                self.links["kind"][link_rows],
                self.links["born_ms"][link_rows],
                self.links["accounts"][link_rows],
                young,
                established,
                surprise(young, established, self.share).astype(np.float32),
                (self.links["sample"][link_rows] != _NO_ITEM).sum(axis=1).astype(np.int32),
                self.links["repeated"][link_rows].sum(axis=1).astype(np.int32),
            ),
            edges=Edges(
                link_index.astype(np.int32),
                place[self.accounts.lookup(edges["account"][rows])].astype(np.int32),
                edges["count"][rows],
                edges["items"][rows],
                edges["output_tokens"][rows],
                edges["first_ms"][rows],
                edges["last_ms"][rows],
            ),
            judged=Judged(
                np.concatenate([place[self.accounts.lookup(k)] for k in judged_keys]).astype(np.int32),
                np.concatenate([record.judged.tick_ms for record in records]),
                np.concatenate([record.judged.score for record in records]),
                np.concatenate(
                    [record.judged.strengths for record in records if len(record.judged.account)]
                    or [np.zeros((0, 1), np.float32)]
                ),
                tuple(because for record in records for because in record.judged.because),
            ),
            models=tuple(models),
        )

    def _facts(self, rows: I64) -> AccountFacts:
        columns = {name: self.accounts[name][rows] for name in AccountFacts.__dataclass_fields__ if name != "ids"}
        return AccountFacts(tuple(self.ids[row] for row in rows.tolist()), **columns)

    def _nothing(self, step: int) -> Candidates:
        return self._report(step, [], np.zeros(0, np.uint64), [], np.zeros(0, np.int64), np.zeros(0, np.int64))

    # -- bounds -----------------------------------------------------------------------------

    def _forget(self, step_ms: int) -> None:
        """Drop idle edges, links and accounts, and the edges of common links; look again at links common for a day."""
        s = self.settings
        stale = step_ms - int(s.idle_days * DAY_MS)
        links, edges, accounts = self.links, self.edges, self.accounts
        again = (links["flags"] == COMMON) & (links["looked_ms"] <= step_ms - DAY_MS)
        links["flags"][again] = 0
        for name in ("accounts", "young", "established"):
            links[name][again] = 0
        of = links.lookup(edges["link"])
        keep = (edges["last_ms"] > stale) & (of >= 0)
        keep &= links["flags"][of] != COMMON
        if keep.sum() > s.most_edges:  # the oldest go first, candidates last
            age = np.where(links["flags"][of] == CANDIDATE, np.iinfo(np.int64).max, edges["last_ms"])
            keep &= age > np.partition(age[keep], len(age[keep]) - s.most_edges)[len(age[keep]) - s.most_edges]
        gone = ~keep & (of >= 0)
        gone[gone] = links["flags"][of[gone]] != COMMON
        for name, counted in (
            ("accounts", edges["age"] >= 0),
            ("young", edges["age"] == 1),
            ("established", edges["age"] == 2),
        ):
            np.subtract.at(links[name], of[gone & counted], 1)
        if not keep.all():
            edges.compact(keep)
        alive = links["last_ms"] > stale
        if not alive.all():
            links.compact(alive)
        held = np.zeros(len(accounts), bool)
        held[accounts.lookup(np.unique(edges["account"]))] = True
        held |= accounts["seen_ms"] > step_ms - 2 * DAY_MS
        if not held.all():
            self.ids = [name for name, stays in zip(self.ids, held.tolist(), strict=True) if stays]
            accounts.compact(held)

    # -- durable form -----------------------------------------------------------------------

    def dump(self) -> dict[str, bytes]:
        """Return the whole state."""
        rest = (list(self.closed.items()), self.done, list(self.waiting.items()), self.start_ms, self.share, self.ids)
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
        kind = tuple[list[tuple[int, int]], int, list[tuple[int, list[bytes]]], int, float, list[str]]
        closed, self.done, waiting, self.start_ms, self.share, self.ids = msgspec.msgpack.decode(
            parts["rest"], type=kind
        )
        self.closed, self.waiting = dict(closed), dict(waiting)
        self.accounts.load(parts["accounts"])
        self.links.load(parts["links"])
        self.edges.load(parts["edges"])
        link, account, first = np.split(np.frombuffer(parts["filter"], np.uint64), 3)
        self.filter_link, self.filter_account, self.filter_first_ms = (
            link.copy(),
            account.copy(),
            first.view(np.int64).copy(),
        )


class LinkStage:
    """The link partitions this worker owns."""

    name = "links"

    def __init__(self, settings: LinkSettings, *, durable: bool = True) -> None:
        """`durable=False` keeps no journal: a replay starts over rather than from a store."""
        self._settings = settings
        self._durable = durable
        self._partitions: dict[int, LinkPartition] = {}
        self._journals: dict[int, Journal] = {}
        self._outbox: dict[int, list[Message]] = {}

    def assign(self, partition: int, rows: dict[str, bytes]) -> None:
        """Start (again) from the rows of the last commit."""
        state, journal = LinkPartition(self._settings), Journal()
        for record in journal.restore(rows, state):
            state.absorb(record)
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

    def sizes(self) -> dict[str, int]:
        """Return what the partitions hold: accounts, links, candidates, edges."""
        held = list(self._partitions.values())
        return {
            "accounts": sum(len(p.accounts) for p in held),
            "links": sum(len(p.links) for p in held),
            "candidates": sum(int((p.links["flags"] == CANDIDATE).sum()) for p in held),
            "edges": sum(len(p.edges) for p in held),
        }

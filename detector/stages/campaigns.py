"""Stage 3, one partition: which accounts act together, since when, and what we say of it.

    Candidates (per link partition, per step) ─► wait until every partition has closed the step
      ─► merge ─► grow known campaigns ─► group what no campaign owns ─► read ─► confidence ─► Finding

Account findings pass through here as well, because they are inhibited by a campaign that holds
the account: one loud thing instead of a thousand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec
import numpy as np

from detector.alert.accounts import AccountAlerts, AccountAlertSettings
from detector.campaign import candidate
from detector.campaign.candidate import Candidates
from detector.campaign.confidence import at_most, confidence, severity
from detector.campaign.dossier import compose
from detector.campaign.evolve import (
    MOST_NAMES,
    NOBODY_ELSE,
    RANK,
    Campaign,
    apart,
    belongs_to,
    campaign_id,
    merge,
    split,
)
from detector.campaign.group import (
    GroupColumns,
    Reading,
    components,
    few_each,
    in_common,
    read,
    typical,
)
from detector.campaign.membership import counted
from detector.campaign.parts import Part
from detector.campaign.weights import DEFAULT, Weights
from detector.event import F64, I64, U64, hash64
from detector.finding import Finding, Severity
from detector.stages.candidates import PURE, Bounds, CandidateTables, numbered
from detector.stages.conduct import Conducts
from detector.stages.joining import PATIENCE_MS, Joining, joining
from detector.stages.kinship import across, belongings, in_two, one_since, outgrown
from detector.stages.population import Population
from detector.stages.waiting import Waiting

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
REREAD_GROWTH: Final = 0.1  # a campaign is read afresh when so much of its edges changed, or after REREAD_MS
REREAD_MS: Final = HOUR_MS // 2
PARTED_MS: Final = 6 * HOUR_MS  # between two looks whether a loud campaign is two; that takes a day to show
LARGE: Final = 500_000  # edges; of more, all that goes through them by the clock is done less often in proportion
REGROUP_STEPS: Final = {"young": 10, "recent": 60}
"""At the latest, links are grouped anew that stand out by the youth of their accounts, and those that are new: many."""
LET_GO_AT: Final = 0.5  # of `watch_at`: below, a campaign on watch is let go; between, it still holds its accounts
COMMON_PROPERTY: Final = 0.5  # less pure than that, a link is lost to its campaign
COUNTED: Final = (
    *("candidate_edges", "candidate_links", "candidate_accounts", "candidate_steps", "campaigns", "members", "alerts"),
)  # what a bound took

Observer = Callable[[list[str], list[Reading]], None]
"""Told of every group that is read: its accounts, in order, and its readings. `detector fit` learns from them."""


@dataclass(frozen=True, slots=True)
class CampaignSettings:
    """Bounds and levels of the campaign stage."""

    sources: int = 8  # link partitions
    cadence_ms: int = 60_000
    established_days: float = 30.0  # an account older than that is established
    least_accounts: int = 8  # a smaller group is none
    watch_at: float = 0.5  # a group is a campaign on watch from this score on
    newborn_days: float = 7.0  # links first seen so recently are newborn; idle links are forgotten after as long
    update_every_ms: int = 5 * 60_000  # later updates of a campaign are at least so far apart, in event time
    prompt_updates: int = 20  # the first so many updates of a campaign are not held back
    overlap: float = 0.5  # a group, or a link, with so much of its accounts in a campaign is that campaign's
    regroup_growth: float = 0.03  # links are grouped anew when their edges grew by so much
    # pairs of account and candidate link in memory; beyond, the oldest go, with equal parts left to those of campaigns
    # and to others; here and below one step may bring more before they go
    most_edges: int = 4_000_000
    most_links: int = 500_000  # candidate links in memory; as above
    most_accounts: int = 1_000_000  # accounts that used one, or were told by themselves; as above
    most_campaigns: int = 1_000  # the least severe and least convincing end for more convincing ones
    most_members: int = 100_000  # of a campaign; who comes later is not named
    # records that wait for a slower link partition; beyond, steps are closed without it, and what it says comes later
    most_waiting_bytes: int = 268_435_456
    hash_key: int = 0
    shadow: bool = False
    weights: Weights = DEFAULT  # TOML file, as `detector fit` writes it; empty: the weights that come with the detector
    alerts: AccountAlertSettings = field(default_factory=AccountAlertSettings)


class CampaignPartition:
    """All campaigns, and the candidate links that are none yet."""

    def __init__(self, settings: CampaignSettings, observer: Observer | None = None) -> None:
        """Start knowing nothing."""
        self.settings = settings
        self._observer = observer
        self.waiting = Waiting(settings.sources, settings.most_waiting_bytes)
        self.dropped = dict.fromkeys(COUNTED, 0)
        self.population = Population(settings.established_days, settings.newborn_days)
        self._bounds = Bounds(settings.most_edges, settings.most_links, settings.most_accounts)
        self.tables = CandidateTables(settings.hash_key, self.population)
        self.accounts, self.links, self.edges = self.tables.accounts, self.tables.links, self.tables.edges
        self.conducts = Conducts(self.accounts)
        self.campaigns: dict[int, Campaign] = {}
        self.models: dict[int, dict[str, int]] = {}
        self.ended: list[Finding] = []  # of the step at hand
        self.grouped: dict[str, tuple[int, int]] = {}  # edges and step of the last time, young and recent links
        self.swept_day = -1
        self.alerts = AccountAlerts(settings.alerts)

    def absorb(self, value: bytes) -> list[Finding]:
        """Take one record; return the findings of the steps that it closed, in order."""
        record = candidate.decode(value)
        if record.step <= self.waiting.closed.get(record.source, -1):
            return []  # a repeat after a crash upstream: counted already
        forced = self.waiting.forced
        over = self.waiting.arrive(record.source, record.step, value if len(record.facts.ids) else None)
        self.dropped["candidate_steps"] += self.waiting.forced - forced
        return [finding for step, values in over for finding in self._close(step, values)]

    # -- one step ---------------------------------------------------------------------------

    def _close(self, step: int, values: list[bytes]) -> list[Finding]:
        records = sorted(map(candidate.decode, values), key=lambda record: (record.source, record.step))
        step_ms = (step + 1) * self.settings.cadence_ms
        self.population.share = float(np.mean([record.young_share for record in records]))
        self.population.start_ms = min(record.stream_start_ms for record in records)
        rows = [self._learn(record, step_ms) for record in records]
        told = [self.tables.merge(record, accounts) for record, accounts in zip(records, rows, strict=True)]
        self.conducts.refresh(step_ms, lambda rows: self.tables.ages(rows, np.full(len(rows), step_ms)) == 2)
        touched = np.unique(np.concatenate(told))
        changed = self._grow(touched, step_ms)
        changed |= self._regroup(step, step_ms)
        findings, self.ended = self.ended, []
        findings += [
            finding
            for number in sorted(changed & self.campaigns.keys(), key=lambda n: (self.campaigns[n].raised, n))
            for finding in self._say(self.campaigns[number], step_ms)
        ]  # those that begin come first: who goes over to one that was split off is always in one
        for record, accounts in zip(records, rows, strict=True):
            held = self.accounts["campaign"][accounts]
            loud = np.isin(held, [number for number, c in self.campaigns.items() if c.severity != "watch"])
            findings += self.alerts.update(record.judged, record.facts, held > 0, loud, shadow=self.settings.shadow)
        if step_ms // DAY_MS > self.swept_day or self.tables.full(self._bounds) or self.alerts.full:
            self.swept_day = step_ms // DAY_MS
            self._forget(step_ms)
        return findings

    def _learn(self, record: Candidates, step_ms: int) -> I64:
        """Take over what a record says of accounts; return their rows."""
        rows = self.tables.learn(record.facts, step_ms)
        self.conducts.learn(record, rows, self.population.start_ms, step_ms)
        for account, model, count in record.models:
            number = int(self.accounts["campaign"][rows[account]])
            if number:
                self._count_model(number, model, count)
        return rows

    def _count_model(self, number: int, model: str, count: int) -> None:
        models = self.models.setdefault(number, {})
        model = model if model in models or len(models) < MOST_NAMES else "other"
        models[model] = models.get(model, 0) + count

    def _own_purity(self, link_rows: I64, step_ms: int) -> F64:
        """Return how far links of campaigns are their owner's alone: new words too, if that is what gave it away."""
        new = [number for number, campaign in self.campaigns.items() if campaign.newborn]
        by_youth, by_birth = (self.tables.purity(link_rows, step_ms, newborn=newborn) for newborn in (False, True))
        return np.where(np.isin(self.links["owner"][link_rows], new), by_birth, by_youth)

    def _grow(self, touched: I64, step_ms: int) -> set[int]:
        """Let accounts that newly use a campaign's links join it; return the campaigns with news."""
        owner = self.links["owner"][self.edges["of"][touched]]
        touched, owner = touched[owner > 0], owner[owner > 0]
        changed: set[int] = set()
        ripe = {number for number, campaign in self.campaigns.items() if campaign.is_ripe(step_ms)}
        for number in sorted(ripe | set(owner.tolist())):
            campaign = self.campaigns[number]
            mine = owner == number
            campaign.last_seen_ms = max(campaign.last_seen_ms, int(self.edges["last_ms"][touched[mine]].max(initial=0)))
            campaign.touched += int(mine.sum())
            self._admit_anew(campaign, touched[mine], step_ms)
            self._reread_when_due(campaign, step_ms)
            unsaid = not campaign.raised or not campaign.members <= campaign.announced  # grown louder: a new alert
            if unsaid or step_ms - campaign.updated_ms >= HOUR_MS:
                changed.add(number)
        return changed

    def _joining(self, campaign: Campaign, edges: I64, step_ms: int) -> Joining:
        """Return who joins by these edges; nobody, where what was loud reads as a campaign no more."""
        if campaign.severity != "watch" and campaign.score < self.settings.watch_at:
            edges = edges[:0]
        return joining(self.tables, campaign, edges, step_ms, self.settings.least_accounts)

    def _admit_anew(self, campaign: Campaign, edges: I64, step_ms: int) -> None:
        """Admit who waited for long enough, and who belongs by these touched edges, if by all its edges it does."""
        touched = self._joining(campaign, edges, step_ms)
        waited = self.accounts.lookup(np.array(campaign.ripe(step_ms), np.uint64))
        theirs = np.unique(np.concatenate([touched.rows[touched.joins], waited[waited >= 0]]))  # some may be forgotten
        if len(theirs):
            edges = self.tables.edges_by(theirs)
            self._admit(campaign, edges[self.links["owner"][self.edges["of"][edges]] == campaign.number], step_ms)

    def _admit(self, campaign: Campaign, edges: I64, step_ms: int) -> int:
        """Admit the accounts of these edges that belong to the campaign; return how many.

        What is loud names nobody in their first minutes: they wait.
        """
        found = self._joining(campaign, edges, step_ms)
        key, joins = self.accounts.keys[found.rows], found.joins
        if campaign.severity != "watch":
            early = found.early(step_ms)
            until = found.first_ms[early] + PATIENCE_MS
            campaign.waiting.update(zip(key[early].tolist(), until.tolist(), strict=True))
            joins &= ~early
        beyond = np.flatnonzero(joins)[max(0, self.settings.most_members - len(campaign.members)) :]
        joins[beyond] = False
        self.dropped["members"] += len(beyond)
        self.accounts["campaign"][found.rows[joins]] = campaign.number
        self.accounts["manner"][found.rows[joins]] = found.manner[joins]
        campaign.joined = [a + b for a, b in zip(campaign.joined, counted(found.manner[joins]), strict=True)]
        campaign.members.update(key[joins].tolist())
        if joins.any():
            campaign.first_seen_ms = min(campaign.first_seen_ms, int(found.first_ms[joins].min()))
        return int(joins.sum())

    def _regroup(self, step: int, step_ms: int) -> set[int]:
        """Group the links that no campaign owns, read the groups, and found or extend campaigns."""
        changed: set[int] = set()
        free = self.links["owner"] == 0
        standing = self.tables.standing(step_ms)
        for which, stands in zip(REGROUP_STEPS, standing, strict=True):
            if self._due(which, int(self.links["used"][free & stands].sum()), step):
                left = np.flatnonzero(stands & (self.links["owner"] == 0))
                changed |= self._group(self.tables.edges_of(left), step, step_ms)
        if changed or step % (REGROUP_STEPS["young"] * _rarer(len(self.edges))) == 0:
            changed |= self._unite(step_ms) | self._split(step, step_ms)
        return changed

    def _due(self, which: str, edges: int, step: int) -> bool:
        """Tell whether links are to be grouped anew: their edges grew, or it is long ago."""
        most_steps = REGROUP_STEPS[which]
        last_edges, last_step = self.grouped.get(which, (0, -most_steps))
        due = edges > (1 + self.settings.regroup_growth) * last_edges or (edges and step - last_step >= most_steps)
        if due:
            self.grouped[which] = edges, step
        return bool(due)

    def _group(self, edges: I64, step: int, step_ms: int) -> set[int]:
        """Group free links by their accounts, given their edges; return the campaigns with news."""
        if not len(edges):
            return set()
        edges = edges[few_each(self.edges["who"][edges], self.edges["link"][edges])]
        link_rows, link = numbered(self.edges["of"][edges], len(self.links))
        _, account = self.tables.people(edges)
        label = components(link, account, self.links["kind"][link_rows])
        news = self.settings.regroup_growth, self.settings.least_accounts
        uses, worth = self.tables.worth(
            label, link_rows, label[link], account, self.edges["count"][edges], step_ms, *news
        )
        order = np.argsort(label[link], kind="stable")
        order = order[worth[label[link[order]]]]
        bounds = np.flatnonzero(np.diff(label[link[order]], prepend=-1, append=-1))
        read: list[tuple[int, I64, int]] = []
        for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            mine = order[begin:end]
            number = self._consider(step, step_ms, edges[mine], link_rows[link[mine]])
            read.append((number, link_rows[link[mine]], int(uses[label[link[order[begin]]]])))
        changed = {number for number, _, _ in read if number}
        for number in sorted(changed & self.campaigns.keys()):
            self._reread_when_due(self.campaigns[number], step_ms)
        for number, mine, used in read:
            if number not in self.campaigns:  # none, or none once its members were read alone
                self.links["read_uses"][mine], self.links["read_ms"][mine] = used, step_ms
        return changed

    def _unite(self, step_ms: int) -> set[int]:
        """Make one of two campaigns when half of the smaller one's members ask much in the larger one's words.

        Paying its way, or presenting its reasoning blocks, is as good. A few words in common are not.
        """
        changed: set[int] = set()
        if len(self.campaigns) < 2:
            return changed
        member, owner = across(self.tables, self.campaigns, lambda links: self._own_purity(links, step_ms))
        for number in sorted(self.campaigns):
            campaign = self.campaigns.get(number)
            found, users = np.unique(owner[member == number], return_counts=True)
            if campaign is None or not len(found):
                continue
            other = self.campaigns.get(int(found[users.argmax()]))
            half = self.settings.overlap * len(campaign.members)
            if not other or apart(campaign, other):
                continue
            if len(other.members) >= len(campaign.members) and users.max() >= half:
                into, gone = sorted((campaign, other), key=lambda c: c.number)
                self._absorb_campaign(into, gone, step_ms)
                self._reread(into, step_ms)
                changed.add(into.number)
        return changed

    def _split(self, step: int, step_ms: int) -> set[int]:
        """Make two of a loud campaign whose parts have nothing in common any more; one on watch is refounded anyway."""
        changed: set[int] = set()
        for campaign in list(self.campaigns.values()):
            few = len(campaign.members) < 2 * self.settings.least_accounts
            wait_ms = min(DAY_MS, PARTED_MS * _rarer(campaign.read_at_edges))
            if few or campaign.severity == "watch" or step_ms - campaign.parted_ms < wait_ms:
                continue
            campaign.parted_ms = step_ms
            two = in_two(self.tables, campaign, step_ms, self.settings.least_accounts)
            if two and len(self.campaigns) < self.settings.most_campaigns:
                loud = [self._severity(part, step_ms) for part in two]
                if "watch" not in loud:
                    new = self._leave(campaign, two[1], loud[1], step, step_ms)
                    changed |= {campaign.number, new.number}
        return changed

    def _severity(self, part: Part, step_ms: int) -> Severity:
        """Return how loud a part of a campaign is by itself."""
        edges = self.tables.edges_of(part.links)
        own = edges[np.isin(self.edges["who"][edges], part.accounts)]
        group, _, readings = self._read(edges, own, step_ms)
        return severity(confidence(readings, self.settings.weights), readings, int(group.asked.sum()))

    def _leave(self, old: Campaign, part: Part, loud: Severity, step: int, step_ms: int) -> Campaign:
        """Found a campaign on a part of another one, whose members leave that, and hear of it anew."""
        own, takes = belongings(self.tables, old, part)
        new = self._found(step, own, self.edges["of"][own], newborn=old.newborn)
        new.severity = loud
        new.members = set(self.accounts.keys[part.accounts].tolist())
        new.joined = counted(self.accounts["manner"][part.accounts])
        split(old, new, step_ms)
        self.campaigns[new.number] = new
        self.accounts["campaign"][part.accounts] = new.number
        self.links["owner"][takes] = new.number
        for campaign in (old, new):
            self._reread(campaign, step_ms)
        return new

    def _consider(self, step: int, step_ms: int, edges: I64, link_rows: I64) -> int:
        """Read one group; return the number of the campaign it founded or extended, 0 if neither."""
        s = self.settings
        edges, link_rows = self.tables.sharing_content(edges, link_rows)
        keys = self.accounts.keys[self.tables.people(edges)[0]]
        if len(keys) < s.least_accounts:
            return 0
        accounts = set(keys.tolist())
        known = belongs_to(accounts, self._holding(keys), s.overlap)
        if known:
            campaign = known[0]
            for other in known[1:]:
                if not apart(campaign, other) and one_since(self.tables, campaign, other, edges, s.overlap):
                    self._absorb_campaign(campaign, other, step_ms)
        else:
            group = self.tables.group(edges, link_rows, step_ms)
            readings = read(group)
            if not self._observer and at_most(readings, s.weights) < s.watch_at:
                return 0  # however its accounts behave otherwise
            readings = self._told(edges, readings, step_ms)
            score = confidence(readings, s.weights)
            if score < s.watch_at:
                return 0
            loud = severity(score, readings, int(group.asked.sum()))
            holding = self._holding(keys)
            if loud != "watch" and (old := outgrown([c for c in holding if c.severity == "watch"], accounts)):
                return self._take_over(old, edges, link_rows)
            if not self._has_room(score, step_ms):
                return 0
            campaign = self._found(step, edges, link_rows, newborn=group.newborn)
            campaign.typical, campaign.pace = typical(group)
            if self._admit(campaign, edges, step_ms) < s.least_accounts:
                self._release(campaign)
                old = outgrown([c for c in holding if c.severity != "watch"], accounts) if loud != "watch" else None
                return self._take_over(old, edges, link_rows) if old else 0
            self.campaigns[campaign.number] = campaign
            self.links["owner"][link_rows] = campaign.number
        if known and not self._attach(campaign, edges, link_rows, step_ms):
            return 0
        return campaign.number

    def _take_over(self, campaign: Campaign, edges: I64, link_rows: I64) -> int:
        self.links["owner"][link_rows] = campaign.number
        campaign.touched += len(edges)
        return campaign.number

    def _holding(self, keys: U64) -> list[Campaign]:
        """Return the campaigns that hold any of these accounts, oldest first."""
        numbers = np.unique(self.accounts["campaign"][self.accounts.lookup(keys)]).tolist()
        return [self.campaigns[number] for number in numbers if number]

    def _has_room(self, score: float, step_ms: int) -> bool:
        """Return whether one more campaign may be; of too many the weakest ends, if that is not the new one."""
        if len(self.campaigns) < self.settings.most_campaigns:
            return True
        self.dropped["campaigns"] += 1
        weakest = min(self.campaigns.values(), key=lambda c: (RANK[c.severity], c.score, -c.number))
        if weakest.score < score:
            self._dissolve(weakest, step_ms)
        return weakest.score < score

    def _attach(self, campaign: Campaign, edges: I64, link_rows: I64, step_ms: int) -> bool:
        """Give the campaign those of the links that are mostly its members'; return whether there were any."""
        rows, link = numbered(link_rows, len(self.links))
        member = self.accounts["campaign"][self.edges["who"][edges]] == campaign.number
        least = self.settings.overlap if campaign.severity == "watch" else NOBODY_ELSE
        mostly = np.bincount(link, member) >= least * np.bincount(link)
        mostly &= self.tables.purity(rows, step_ms, newborn=campaign.newborn) >= PURE
        self.links["owner"][rows[mostly]] = campaign.number
        campaign.touched += int(mostly[link].sum())
        return bool(mostly.any())

    def _found(self, step: int, edges: I64, link_rows: I64, *, newborn: bool) -> Campaign:
        first, last = int(self.edges["first_ms"][edges].min()), int(self.edges["last_ms"][edges].max())
        identity = campaign_id(step, self.links.keys[np.unique(link_rows)].tolist())
        return Campaign(max(self.campaigns, default=0) + 1, identity, first, last, newborn)

    def _reread_when_due(self, campaign: Campaign, step_ms: int) -> None:
        """Read a campaign afresh when much of its edges changed or came with new links, or when it is long ago."""
        wait_ms = REREAD_MS * _rarer(campaign.read_at_edges)
        if campaign.touched > REREAD_GROWTH * campaign.read_at_edges or step_ms - campaign.read_ms >= wait_ms:
            self._reread(campaign, step_ms)

    def _reread(self, campaign: Campaign, step_ms: int) -> None:
        """Read a campaign afresh over those of its links that are still its own, and admit, escalate or dissolve it."""
        campaign.touched = 0
        owned = np.flatnonzero(self.links["owner"] == campaign.number)
        self.links["owner"][owned[self.tables.purity(owned, step_ms, newborn=campaign.newborn) < COMMON_PROPERTY]] = 0
        edges = self.tables.edges_of(np.flatnonzero(self.links["owner"] == campaign.number))
        if not len(edges):
            if campaign.severity == "watch":
                self._dissolve(campaign, step_ms)
            return
        if campaign.severity == "watch":  # who belongs is open still
            self._release(campaign)
            campaign.members.clear()
            campaign.joined = counted(np.zeros(0, np.int8))
        self._admit(campaign, edges, step_ms)
        own = edges[self.accounts["campaign"][self.edges["who"][edges]] == campaign.number]
        group, members, campaign.readings = self._read(edges, own, step_ms)
        if campaign.severity == "watch":
            campaign.newborn = group.newborn
        if members:
            campaign.asked, campaign.mixed, campaign.mixed_share = in_common(members)
        campaign.typical, campaign.pace = typical(members or group)
        campaign.score = confidence(campaign.readings, self.settings.weights)
        campaign.read_ms, campaign.read_at_edges = step_ms, len(edges)
        if campaign.severity == "watch" and campaign.score < LET_GO_AT * self.settings.watch_at:
            self._dissolve(campaign, step_ms)
        else:
            self._escalate(campaign, severity(campaign.score, campaign.readings, int(group.asked.sum())), step_ms)

    def _read(self, edges: I64, own: I64, step_ms: int) -> tuple[GroupColumns, GroupColumns | None, list[Reading]]:
        """Return the group of these edges, its members, whose edges are `own`, and how it reads."""
        shared, shared_rows = self.tables.sharing_content(edges, self.edges["of"][edges])
        group = self.tables.group(shared, shared_rows, step_ms)
        members = self.tables.group(own, self.edges["of"][own], step_ms) if len(own) else None
        return group, members, self._told(shared, read(group, members), step_ms)

    def _dissolve(self, campaign: Campaign, step_ms: int) -> None:
        """Let go of what was only watched and does not hold up."""
        self._end(campaign, step_ms)
        self._release(campaign)
        self.links["owner"][self.links["owner"] == campaign.number] = 0
        self.models.pop(campaign.number, None)
        del self.campaigns[campaign.number]

    def _release(self, campaign: Campaign) -> None:
        self.accounts["campaign"][self.accounts["campaign"] == campaign.number] = 0

    def _escalate(self, campaign: Campaign, loud: Severity, step_ms: int) -> None:
        """Raise the severity; out of `watch` a new alert begins, which names every member afresh."""
        if campaign.severity == "watch" and loud != "watch":
            self._louder(campaign, step_ms)
        if RANK[loud] > RANK[campaign.severity]:
            campaign.severity = loud

    def _louder(self, campaign: Campaign, step_ms: int) -> None:
        self._end(campaign, step_ms, louder=f"f-{campaign.campaign_id}")
        campaign.begin_alert()

    def _absorb_campaign(self, into: Campaign, other: Campaign, step_ms: int) -> None:
        self._end(other, step_ms, merged_into=into.campaign_id)
        if into.severity == "watch" and other.severity != "watch":
            self._louder(into, step_ms)
        merge(into, other)
        for model, count in self.models.pop(other.number, {}).items():
            self._count_model(into.number, model, count)
        self.accounts["campaign"][self.accounts["campaign"] == other.number] = into.number
        self.links["owner"][self.links["owner"] == other.number] = into.number
        del self.campaigns[other.number]

    def _told(self, edges: I64, readings: list[Reading], step_ms: int) -> list[Reading]:
        """Tell the observer, if there is one, how the group of these edges reads; return the readings, conduct too."""
        rows, _ = self.tables.people(edges)
        readings = readings + self.conducts.read(rows, step_ms)
        if self._observer:
            self._observer(self._names(set(self.accounts.keys[rows].tolist())), readings)
        return readings

    # -- output -----------------------------------------------------------------------------

    def _say(self, campaign: Campaign, step_ms: int) -> list[Finding]:
        s = self.settings
        news = campaign.members - campaign.announced
        waits = campaign.seq >= s.prompt_updates and step_ms - campaign.updated_ms < s.update_every_ms
        due = news or step_ms - campaign.updated_ms >= HOUR_MS or not campaign.raised
        if (campaign.split_ms != step_ms and (waits or not due)) or not campaign.members:
            return []
        left = campaign.announced - campaign.members  # of one that is only watched, who belongs is open
        finding = self._finding(campaign, step_ms, self._names(news), self._names(left))
        campaign.told(step_ms)
        return [finding]

    def _finding(self, campaign: Campaign, step_ms: int, added: list[str], removed: list[str]) -> Finding:
        s = self.settings
        members = self._rows(campaign)
        owned = np.flatnonzero(self.links["owner"] == campaign.number)
        names = ("requests", "output_tokens", "capabilities", "status", "status_ms")
        return compose(
            campaign,
            step_ms,
            added=added,
            removed=removed,
            accounts={
                **{name: self.accounts[name][members] for name in names},
                "first_ms": self.tables.first_use(owned, members),
            },
            links={name: self.links[name][owned] for name in ("kind", "accounts", "young", "established", "surprise")},
            models=self.models.get(campaign.number, {}),
            weights=s.weights,
            shadow=s.shadow,
        )

    def _rows(self, campaign: Campaign) -> I64:
        rows = self.accounts.lookup(np.array(sorted(campaign.members), np.uint64))
        return rows[rows >= 0]

    def _names(self, keys: set[int]) -> list[str]:
        rows = self.accounts.lookup(np.array(sorted(keys), np.uint64))
        return sorted(self.tables.ids[row] for row in rows[rows >= 0].tolist())

    def _end(self, campaign: Campaign, step_ms: int, **evidence: Any) -> None:
        """Say that the campaign's alert is over, if there was one."""
        if campaign.raised:
            last = self._finding(campaign, step_ms, [], self._names(campaign.announced))
            evidence = {**last.evidence, **evidence}
            self.ended.append(msgspec.structs.replace(last, state="cleared", accounts_total=0, evidence=evidence))

    def tell_anew(self) -> None:
        """Let every alert that is open begin again at its next change, for who listens from here on."""
        for campaign in self.campaigns.values():
            campaign.begin_alert()
        self.alerts.tell_anew()

    def described(self, identity: str) -> Finding | None:
        """Return what would be said now of a campaign, naming every member; nothing is changed by asking."""
        now_ms = (self.waiting.done + 1) * self.settings.cadence_ms
        for campaign in self.campaigns.values():
            if campaign.campaign_id == identity:
                asked = replace(campaign, announced=set(), updated_ms=0)
                return next(iter(self._say(asked, now_ms)), None)
        return None

    def membership(self, account_id: str) -> tuple[str, float] | None:
        """Return the id of the campaign that holds the account, and what share of its requests is in its words."""
        rows = self.accounts.lookup(np.array([hash64(account_id, self.settings.hash_key)], np.uint64))
        number = int(self.accounts["campaign"][rows[0]]) if rows[0] >= 0 else 0
        held = number in self.campaigns
        return (self.campaigns[number].campaign_id, self.tables.share_in_words(int(rows[0]), number)) if held else None

    # -- bounds -----------------------------------------------------------------------------

    def _forget(self, step_ms: int) -> None:
        """Drop links that no campaign owns and nobody used for long, what hangs on them, and what is too many."""
        stale_ms = step_ms - int(self.settings.newborn_days * DAY_MS)
        gone = set(self.tables.forget(stale_ms, self._bounds, self.dropped).tolist())
        for campaign in self.campaigns.values() if gone else ():
            if not gone.isdisjoint(campaign.members):
                campaign.members -= gone
                campaign.joined = counted(self.accounts["manner"][self._rows(campaign)])
            campaign.announced -= gone
        self.dropped["alerts"] += self.alerts.forget(stale_ms)

    # -- durable form -----------------------------------------------------------------------

    def dump(self) -> dict[str, bytes]:
        """Return the whole state."""
        campaigns = [replace(c, members=set(), announced=set()) for _, c in sorted(self.campaigns.items())]
        sets = [(sorted(c.members), sorted(c.announced)) for _, c in sorted(self.campaigns.items())]
        rest = _Rest(
            *self.waiting.dump(),
            self.population.share,
            self.population.start_ms,
            self.tables.ids,
            campaigns,
            sets,
            sorted(self.models.items()),
            sorted(self.grouped.items()),
            self.swept_day,
        )
        return {
            "rest": msgspec.msgpack.encode(rest),
            "alerts": self.alerts.dump(),
            "conducts": self.conducts.dump(),
            **self.tables.dump(),
        }

    def load(self, parts: dict[str, bytes]) -> None:
        """Become the dumped state."""
        rest = msgspec.msgpack.decode(parts["rest"], type=_Rest)
        self.waiting.load(rest.closed, rest.done, rest.waiting)
        self.population.share, self.population.start_ms = rest.share, rest.start_ms
        self.campaigns = {
            c.number: replace(c, members=set(members), announced=set(announced))
            for c, (members, announced) in zip(rest.campaigns, rest.sets, strict=True)
        }
        self.models = dict(rest.models)
        self.grouped = dict(rest.grouped)
        self.swept_day = rest.swept_day
        self.alerts.load(parts["alerts"])
        self.tables.load(parts, rest.ids)
        self.conducts.load(parts["conducts"])


def _rarer(edges: int) -> int:
    return max(1, edges // LARGE)


class _Rest(msgspec.Struct, array_like=True):
    closed: list[tuple[int, int]]
    done: int
    waiting: list[tuple[int, list[bytes]]]
    share: float
    start_ms: int
    ids: list[str]
    campaigns: list[Campaign]
    sets: list[tuple[list[int], list[int]]]
    models: list[tuple[int, dict[str, int]]]
    grouped: list[tuple[str, tuple[int, int]]]
    swept_day: int

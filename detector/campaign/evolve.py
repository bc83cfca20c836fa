"""A campaign over time: birth, growth, merge, split, dormancy, and which campaign a new group belongs to.

The identity of a campaign is its links and members, not the cut of one step: a group found later
that overlaps with a known campaign *is* that campaign, whether it grew, changed its template
mixture or moved to fresh accounts that use the same prompts. Its id is a hash of how it began, so
that a replay gives the same one. Of one that turns out to be two, the part with most of those who
were named first keeps the id.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import xxhash

from detector.campaign.group import Reading
from detector.campaign.membership import PART, Manner
from detector.finding import Severity

NOBODY_ELSE: Final = 0.8  # of a group that makes several campaigns one, or a link that one takes over, are members
FROM_MANY_NETWORKS: Final = 0.5  # strength of the reading `spread`
GOOD_PART: Final = 0.3  # of what an established account asks
MOST_FIRST: Final = 1_000  # members remembered as named first, and
MOST_NAMES: Final = 100  # campaigns that one was merged from, or split into
RANK: Final[dict[Severity, int]] = {"watch": 0, "warning": 1, "critical": 2}


@dataclass(slots=True)
class Campaign:
    """One campaign. `members` are account keys; `announced` those that a finding has named."""

    number: int  # 1, 2, …: how tables refer to it
    campaign_id: str
    first_seen_ms: int
    last_seen_ms: int
    newborn: bool  # its links are new rather than its accounts young: aged accounts belong as well
    score: float = 0.0
    severity: Severity = "watch"
    readings: list[Reading] = field(default_factory=list)
    members: set[int] = field(default_factory=set)
    announced: set[int] = field(default_factory=set)
    waiting: dict[int, int] = field(default_factory=dict)  # accounts that belong but came just now: to be named when
    seq: int = 0
    updated_ms: int = 0
    read_ms: int = 0
    read_at_edges: int = 0
    typical: float = -1.0  # requests of a member in its words, the median; -1 before they were counted
    pace: float = -1.0  # requests of a member in its words, a day, the median; -1 before they were counted
    joined: list[int] = field(default_factory=lambda: [0] * len(Manner))  # members, by their manner when they did
    asked: int = 0  # requests of its members through its links
    mixed: int = 0  # members that ask for other things in the main
    mixed_share: float = 0.0  # of what those ask, the campaign's, the median
    touched: int = 0  # edges changed since it was read
    raised: bool = False
    merged_from: list[str] = field(default_factory=list)
    split_from: list[str] = field(default_factory=list)
    split_into: list[str] = field(default_factory=list)
    split_ms: int = 0  # what was used last before then is no sign that the two are one; 0 never
    parted_ms: int = 0  # when it was last looked at whether it is two
    named_first: list[int] = field(default_factory=list)  # by its alert's first finding; of many some

    @property
    def least_share(self) -> float:
        """Return the share of its requests that an established account asks in the campaign's words, to belong.

        A good part; or a quarter of what a reseller's accounts do, where most of the members are such: its customers
        ask differently much.
        """
        return min(GOOD_PART, PART[0] * self.mixed_share) if self.resold else GOOD_PART

    @property
    def resold(self) -> bool:
        """Whether most of its members are accounts that a reseller's customers use as well."""
        return self.newborn and 2 * self.mixed > len(self.members)

    def is_ripe(self, step_ms: int) -> bool:
        """Return whether anybody has waited for long enough to be named."""
        return min(self.waiting.values(), default=step_ms + 1) <= step_ms

    def ripe(self, step_ms: int) -> list[int]:
        """Take out those who have waited for long enough."""
        ripe = sorted(key for key, ms in self.waiting.items() if ms <= step_ms)
        for key in ripe:
            del self.waiting[key]
        return ripe

    def begin_alert(self) -> None:
        """Begin another alert, which names every member afresh: out of `watch`, whose alert flags nobody."""
        self.announced, self.seq, self.raised = set(), 0, False

    def told(self, step_ms: int) -> None:
        """Take down that a finding of this step has named every member."""
        if not self.raised:
            self.named_first = sorted(self.members)[:MOST_FIRST]
        self.announced, self.seq, self.updated_ms, self.raised = set(self.members), self.seq + 1, step_ms, True


def campaign_id(step: int, links: list[int]) -> str:
    """Return the id of a campaign born at `step` with these links."""
    return f"c-{xxhash.xxh3_64_hexdigest(repr((step, min(links))).encode())}"


def belongs_to(accounts: set[int], campaigns: list[Campaign], least_share: float) -> list[Campaign]:
    """Return the campaigns that a group of accounts is, oldest first; several are one campaign, seen in parts.

    One: `least_share` of the group are its members. Several: the group holds that share of the members of each,
    and there is hardly anybody else in it: a phrase that two pools happen to use, and others with them, does not
    make them one.
    """
    common = [(len(accounts & campaign.members), campaign) for campaign in campaigns]
    held = [(shared, c) for shared, c in common if shared >= max(1.0, least_share * len(c.members))]
    if len(held) > 1 and sum(shared for shared, _ in held) >= NOBODY_ELSE * len(accounts):
        return [c for _, c in held]
    most = max(common, key=lambda pair: (pair[0], -pair[1].number), default=None)
    return [most[1]] if most and most[0] >= max(1.0, least_share * len(accounts)) else []


def apart(one: Campaign, other: Campaign) -> bool:
    """Tell whether one sits in one place and the other comes from many networks: they are not the same people.

    A hackathon uses some of everybody's words, those among them that a campaign's accounts use as well.
    """
    spread = [next((r.strength for r in c.readings if r.name == "spread"), math.nan) for c in (one, other)]
    return min(spread) <= 0.0 and max(spread) >= FROM_MANY_NETWORKS  # NaN compares False: unknown is not apart


def merge(into: Campaign, other: Campaign) -> None:
    """Let the older campaign take over the younger one, as loud as the louder; its members are named anew.

    The alert of the younger one is over, and whoever follows the older one's must hear of them.
    """
    into.severity = max(into.severity, other.severity, key=RANK.__getitem__)
    into.members |= other.members
    into.waiting |= other.waiting
    into.joined = [a + b for a, b in zip(into.joined, other.joined, strict=True)]
    into.first_seen_ms = min(into.first_seen_ms, other.first_seen_ms)
    into.last_seen_ms = max(into.last_seen_ms, other.last_seen_ms)
    into.newborn = into.newborn or other.newborn
    into.touched += other.read_at_edges
    into.split_ms = max(into.split_ms, other.split_ms)
    into.merged_from += [other.campaign_id, *other.merged_from]
    del into.merged_from[:-MOST_NAMES]


def split(old: Campaign, new: Campaign, step_ms: int) -> None:
    """Let the members of a new campaign leave the old one, of which they were a part."""
    old.members -= new.members
    old.joined = [a - b for a, b in zip(old.joined, new.joined, strict=True)]
    old.split_into = [*old.split_into, new.campaign_id][-MOST_NAMES:]
    new.split_from = [old.campaign_id]
    old.split_ms = new.split_ms = new.parted_ms = step_ms

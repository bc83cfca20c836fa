"""The score card: how much of a campaign was served before it was found, at what cost to the innocent.

Two things go in, and are brought together only at the end:

    the exchanges   (account, event time, part of a harvest?)   from the stream, as blocks of columns
    the flags       (account, event time), and groups of them   from findings, or from a baseline

What is kept is per account, per campaign and per group; the exchanges themselves stay with the caller,
who must be able to give them twice: first they are counted, then, when every time that matters is known,
it is counted what came before it. So a finding may name a time that lies behind the events already seen
(they do: judging waits for the watermark), and the figures are still exact.

Definitions are those of `evaluation.md`; where that leaves a choice:

- An account is *flagged* at the first time at which a finding of `warning` or above, not shadow, lists it
  as added. A campaign finding that was only a `watch` so far and lists nobody anew when it is raised flags nobody.
- A campaign is *actionable* at the first update, of `warning` or above and not shadow, after which the
  finding holds at least `min(10, 5 % of the campaign)` of its accounts and at least half of all its
  members belong to true campaigns. Members are everyone added and not removed at any severity.
- An account stands in the group that took it in last, so that groups are disjoint for purity, completeness and
  pairwise F1. Benign members lower purity and are no class of their own.
- An account that was never flagged counts into exposure with everything it sent.
- A *claim* is a campaign that a finding named, at whatever severity: the last score that was published of it, and
  whether at least half of its members were of true campaigns, the last time that it had any.
- Accounts that the truth does not name are neither right nor wrong; they are counted as `unlabelled_accounts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from detector.event import F64, I8, I32, I64, Mask
from detector.finding import Finding

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
NEVER: Final = np.iinfo(np.int64).max

ENOUGH_EXCHANGES: Final = 5  # an account that sent fewer has shown nothing to be recognised by
ACTIONABLE_ACCOUNTS: Final = 10
ACTIONABLE_SHARE: Final = 0.05
CURVE_POINTS: Final = 48

Claim = tuple[float, bool]
"""The last score of a campaign that was found, and whether there was one."""

_EDGES: Final = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97)  # the levels of watch, warning and critical are among them

_Number = TypeVar("_Number", int, float)


class TruthRecord(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One line of the ground truth."""

    account_id: str
    label: Literal["benign", "campaign"]
    campaign_id: str | None = None
    cohort: str | None = None

    @property
    def campaign(self) -> str | None:
        """The campaign the account is of; one without a name is called `campaign`."""
        return (self.campaign_id or "campaign") if self.label == "campaign" else None


@dataclass(frozen=True, slots=True)
class Exchanges:
    """A block of n exchanges; `harvest` is 1 or 0 where the event says it, -1 where its account decides."""

    account: I32
    time_ms: I64
    harvest: I8


class CampaignScore(msgspec.Struct, frozen=True, kw_only=True):
    """One true campaign. Times since its first exchange; None: never."""

    campaign_id: str
    accounts: int
    exchanges: int
    served_share: float
    served_share_by_account: float
    hours_to_detect: float | None
    exchanges_to_detect: int | None
    hours_to_half: float | None
    exchanges_to_half: int | None
    hours_to_most: float | None
    exchanges_to_most: int | None
    recall: float | None
    curve: list[tuple[float, float, float]]


class CohortScore(msgspec.Struct, frozen=True, kw_only=True):
    """False flags of one benign cohort."""

    cohort: str
    accounts: int
    account_days: int
    false_flags: int
    per_million_account_days: float


class ScoreCard(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one system on one stream. None: the stream does not allow the figure.

    Over several campaigns the served shares are of all their exchanges together, and the times to detect
    are of the slowest (None when one was never detected); `served_share_last` is that of the campaign that
    began last, which is how a succession shows. `..._by_account` counts until each account's own flag.
    """

    system: str
    scenario: str = ""
    seed: int = 0
    events: int
    days: float
    accounts: int
    unlabelled_accounts: int
    served_share: float | None
    served_share_by_account: float | None
    served_share_last: float | None
    hours_to_detect: float | None
    exchanges_to_detect: int | None
    hours_to_half: float | None
    hours_to_most: float | None
    recall: float | None
    precision: float | None
    recall_all: float | None
    precision_all: float | None
    campaign_recall: float | None
    purity: float | None
    completeness: float | None
    pairwise_f1: float | None
    benign_account_days: int
    false_flags: int
    false_flags_per_million: float | None
    wrong_campaigns: int
    wrong_campaigns_per_day: float
    exposure_median: float | None
    exposure_p90: float | None
    findings_per_day: float
    brier: float | None = None
    calibration_error: float | None = None
    events_per_second: float | None = None
    bytes_per_account: float | None = None
    campaigns: list[CampaignScore] = msgspec.field(default_factory=list)
    cohorts: list[CohortScore] = msgspec.field(default_factory=list)
    claims: list[Claim] = msgspec.field(default_factory=list)


class Truth:
    """The labels of all accounts, looked up by name."""

    def __init__(self, records: Sequence[TruthRecord]) -> None:
        self._records = {r.account_id: r for r in records}
        self.sizes = Counter(r.campaign for r in self._records.values() if r.campaign is not None)

    def campaign(self, account_id: str) -> str | None:
        """Return the campaign of the account; None where it is benign or unknown."""
        record = self._records.get(account_id)
        return record.campaign if record else None

    def cohort(self, account_id: str) -> str | None:
        """Return the cohort of a benign account; None for a campaign's or an unknown one."""
        record = self._records.get(account_id)
        return (record.cohort or "benign") if record and record.label == "benign" else None

    def enough(self, campaign: str) -> float:
        """Return how many accounts of the campaign a finding must hold to be actionable."""
        return min(ACTIONABLE_ACCOUNTS, ACTIONABLE_SHARE * self.sizes[campaign])


@dataclass(slots=True)
class _Group:
    members: set[str] = field(default_factory=set)
    of_campaign: Counter[str] = field(default_factory=Counter)
    seen: bool = False
    wrong: bool = False

    def wrong_now(self) -> bool:
        return 2 * self.of_campaign.total() < len(self.members)


class Flags:
    """Who was flagged when, and together with whom: all that a score card needs of findings."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._groups: dict[str, _Group] = {}
        self._seen: set[str] = set()
        self._latest: dict[str, str] = {}
        self.flagged_ms: dict[str, int] = {}
        self.actionable_ms: dict[str, int] = {}
        self.claims: dict[str, Claim] = {}  # by campaign

    def absorb(self, finding: Finding) -> None:
        """Take the next finding, in the order they were published."""
        loud = finding.severity != "watch" and not finding.shadow and finding.state != "cleared"
        self.add(
            finding.finding_id,
            finding.time_ms,
            finding.accounts_added,
            removed=finding.accounts_removed,
            group=finding.kind == "campaign" and not finding.shadow,
            loud=loud,
        )
        if finding.kind == "campaign" and not finding.shadow:
            _, true = self.claims.get(finding.subject, (0.0, False))
            if finding.state != "cleared":  # one that is over has no members any more
                true = not self._groups[finding.finding_id].wrong_now()
            self.claims[finding.subject] = (finding.score, true)

    def add(
        self,
        finding_id: str,
        time_ms: int,
        added: Sequence[str],
        *,
        removed: Sequence[str] = (),
        group: bool = True,
        loud: bool = True,
    ) -> None:
        """Take one update of a finding; `loud` means that a person sees it, `group` that it claims a campaign."""
        if loud:
            self._seen.add(finding_id)
            for account in added:
                self.flagged_ms[account] = min(time_ms, self.flagged_ms.get(account, time_ms))
        if not group:
            return
        held = self._groups.setdefault(finding_id, _Group())
        for account in added:
            if account not in held.members:
                held.members.add(account)
                held.of_campaign.update(filter(None, [self._truth.campaign(account)]))
            self._latest[account] = finding_id
        for account in removed:
            if account in held.members:
                held.members.remove(account)
                held.of_campaign.subtract(filter(None, [self._truth.campaign(account)]))
                if self._latest.get(account) == finding_id:
                    del self._latest[account]
        if not loud:
            return
        held.seen = True
        held.wrong = held.wrong or held.wrong_now()
        if held.members and not held.wrong_now():
            for campaign, n in held.of_campaign.items():
                if n and n >= self._truth.enough(campaign):
                    self.actionable_ms[campaign] = min(time_ms, self.actionable_ms.get(campaign, time_ms))

    @property
    def findings(self) -> int:
        """Number of different findings that a person saw."""
        return len(self._seen)

    @property
    def wrong_campaigns(self) -> int:
        """Number of campaign findings of which ever, while seen, less than half were of true campaigns."""
        return sum(group.wrong for group in self._groups.values())

    def groups(self) -> dict[str, set[str]]:
        """Return the groups that a person saw, disjoint."""
        found: dict[str, set[str]] = {name: set() for name, group in self._groups.items() if group.seen}
        for account, name in self._latest.items():
            if name in found:
                found[name].add(account)
        return {name: members for name, members in found.items() if members}


def score(
    system: str,
    account_ids: Sequence[str],
    exchanges: Callable[[], Iterator[Exchanges]],
    truth: Truth,
    flags: Flags,
) -> ScoreCard:
    """Return the card of one system over the exchanges of `account_ids`, which `Exchanges.account` indexes.

    `exchanges` is called twice and must give the same blocks.
    """
    accounts = _Accounts(account_ids, truth, flags)
    counted = _count(accounts, exchanges())
    before = _count_before(accounts, counted, exchanges())
    campaigns = [_campaign(accounts, counted, before, c, name) for c, name in enumerate(accounts.campaigns)]
    campaigns = [c for c in campaigns if c.exchanges]
    cohorts = _cohorts(accounts, counted)

    harvested = sum(c.exchanges for c in campaigns)
    benign, harvesting = accounts.cohort >= 0, accounts.campaign >= 0
    flagged = accounts.flagged_ms < NEVER
    known, enough = counted.sent > 0, counted.sent >= ENOUGH_EXCHANGES
    exposure = before.of_account[harvesting & known]
    days = max((counted.last_ms - counted.first_ms) / DAY_MS, 1 / DAY_MS) if counted.total else 0.0
    account_days = sum(c.account_days for c in cohorts)
    false_flags = int((benign & flagged & known).sum())
    purity, completeness, f1 = _grouping(truth, flags.groups())
    return ScoreCard(
        system=system,
        events=counted.total,
        days=days,
        accounts=int(known.sum()),
        unlabelled_accounts=int((known & ~benign & ~harvesting).sum()),
        served_share=_share(sum(c.served_share * c.exchanges for c in campaigns), harvested),
        served_share_by_account=_share(sum(c.served_share_by_account * c.exchanges for c in campaigns), harvested),
        served_share_last=_last_served(campaigns, counted, accounts.campaigns),
        hours_to_detect=_slowest([c.hours_to_detect for c in campaigns]),
        exchanges_to_detect=_slowest([c.exchanges_to_detect for c in campaigns]),
        hours_to_half=_slowest([c.hours_to_half for c in campaigns]),
        hours_to_most=_slowest([c.hours_to_most for c in campaigns]),
        recall=_share((harvesting & flagged & enough).sum(), (harvesting & enough).sum()),
        precision=_share((harvesting & flagged & enough).sum(), ((harvesting | benign) & flagged & enough).sum()),
        recall_all=_share((harvesting & flagged & known).sum(), (harvesting & known).sum()),
        precision_all=_share((harvesting & flagged & known).sum(), ((harvesting | benign) & flagged & known).sum()),
        campaign_recall=_share(sum(c.hours_to_detect is not None for c in campaigns), len(campaigns)),
        purity=purity,
        completeness=completeness,
        pairwise_f1=f1,
        benign_account_days=account_days,
        false_flags=false_flags,
        false_flags_per_million=_share(1e6 * false_flags, account_days),
        wrong_campaigns=flags.wrong_campaigns,
        wrong_campaigns_per_day=flags.wrong_campaigns / days if days else 0.0,
        exposure_median=float(np.median(exposure)) if len(exposure) else None,
        exposure_p90=float(np.quantile(exposure, 0.9)) if len(exposure) else None,
        findings_per_day=flags.findings / days if days else 0.0,
        brier=brier(list(flags.claims.values())),
        calibration_error=calibration_error(list(flags.claims.values())),
        campaigns=campaigns,
        cohorts=cohorts,
        claims=[claim for _, claim in sorted(flags.claims.items())],
    )


class Bin(msgspec.Struct, frozen=True):
    """Claims with a score in [low, high), the last bin up to 1 included: how many, how sure on average, how many true.

    Narrower towards 1, where scores are and where something is done about them.
    """

    low: float
    high: float
    claims: int
    mean_score: float
    true: int


def bins(claims: Sequence[Claim]) -> list[Bin]:
    """Return the bins that hold claims, lowest first."""
    found = []
    for low, high in zip(_EDGES, (*_EDGES[1:], 1.0), strict=True):
        held = [claim for claim in claims if low <= claim[0] and (claim[0] < high or high == 1.0)]
        if held:
            mean = sum(score for score, _ in held) / len(held)
            found.append(Bin(low, high, len(held), mean, sum(true for _, true in held)))
    return found


def brier(claims: Sequence[Claim]) -> float | None:
    """Return the mean squared distance of a score from what was the case: 0 is best, 0.25 says nothing."""
    return _share(sum((score - true) ** 2 for score, true in claims), len(claims))


def calibration_error(claims: Sequence[Claim]) -> float | None:
    """Return the expected calibration error: how far the mean score of a bin is from its share of true, by claims."""
    return _share(sum(abs(b.claims * b.mean_score - b.true) for b in bins(claims)), len(claims))


class _Accounts:
    """Truth and flags as columns over the accounts."""

    def __init__(self, account_ids: Sequence[str], truth: Truth, flags: Flags) -> None:
        campaigns = [truth.campaign(a) for a in account_ids]
        cohorts = [truth.cohort(a) for a in account_ids]
        self.campaigns = sorted({c for c in campaigns if c is not None})
        self.cohorts = sorted({c for c in cohorts if c is not None})
        self.campaign = _codes(campaigns, self.campaigns)
        self.cohort = _codes(cohorts, self.cohorts)
        self.flagged_ms: I64 = np.array([flags.flagged_ms.get(a, NEVER) for a in account_ids], np.int64)
        self.actionable_ms: I64 = np.array([flags.actionable_ms.get(c, NEVER) for c in self.campaigns], np.int64)

    def __len__(self) -> int:
        return len(self.campaign)

    def harvests(self, block: Exchanges) -> I64:
        """Return the campaign that each exchange is a harvest of, -1 for none."""
        of = self.campaign[block.account].astype(np.int64)
        return np.where(block.harvest == 0, -1, of)


@dataclass(slots=True)
class _Counted:
    """What the first pass counts."""

    sent: I64
    days: dict[int, Mask]
    harvested: I64
    campaign_first_ms: I64
    campaign_last_ms: I64
    total: int = 0
    first_ms: int = NEVER
    last_ms: int = -1


@dataclass(slots=True)
class _Before:
    """What the second pass counts: exchanges strictly before a time."""

    of_account: I64
    actionable: I64
    own_flag: I64
    half: I64
    most: I64
    half_ms: I64
    most_ms: I64
    curve: I64


def _count(accounts: _Accounts, blocks: Iterator[Exchanges]) -> _Counted:
    k = len(accounts.campaigns)
    counted = _Counted(
        np.zeros(len(accounts), np.int64),
        {},
        np.zeros(k, np.int64),
        np.full(k, NEVER, np.int64),
        np.full(k, -1, np.int64),
    )
    for block in blocks:
        if not len(block.time_ms):
            continue
        counted.sent += np.bincount(block.account, minlength=len(accounts))
        day = block.time_ms // DAY_MS
        for d in np.unique(day).tolist():
            counted.days.setdefault(d, np.zeros(len(accounts), np.bool_))[block.account[day == d]] = True
        of = accounts.harvests(block)
        c, t = of[of >= 0], block.time_ms[of >= 0]
        counted.harvested += np.bincount(c, minlength=k)
        np.minimum.at(counted.campaign_first_ms, c, t)
        np.maximum.at(counted.campaign_last_ms, c, t)
        counted.total += len(block.time_ms)
        counted.first_ms = min(counted.first_ms, int(block.time_ms.min()))
        counted.last_ms = max(counted.last_ms, int(block.time_ms.max()))
    return counted


def _count_before(accounts: _Accounts, counted: _Counted, blocks: Iterator[Exchanges]) -> _Before:
    k = len(accounts.campaigns)
    half_ms, most_ms = (np.full(k, NEVER, np.int64) for _ in range(2))
    for campaign in range(k):
        times = np.sort(accounts.flagged_ms[(accounts.campaign == campaign) & (counted.sent > 0)])
        if n := len(times):
            half_ms[campaign], most_ms[campaign] = times[-(-n // 2) - 1], times[-(-9 * n // 10) - 1]  # rounded up
    before = _Before(
        of_account=np.zeros(len(accounts), np.int64),
        actionable=np.zeros(k, np.int64),
        own_flag=np.zeros(k, np.int64),
        half=np.zeros(k, np.int64),
        most=np.zeros(k, np.int64),
        half_ms=half_ms,
        most_ms=most_ms,
        curve=np.zeros((k, CURVE_POINTS), np.int64),
    )
    span = np.maximum(counted.campaign_last_ms - counted.campaign_first_ms, 1)
    for block in blocks:
        own = block.time_ms < accounts.flagged_ms[block.account]
        before.of_account += np.bincount(block.account[own], minlength=len(accounts))
        of = accounts.harvests(block)
        rows = of >= 0
        c, t = of[rows], block.time_ms[rows]
        before.own_flag += np.bincount(c[own[rows]], minlength=k)
        before.actionable += np.bincount(c[t < accounts.actionable_ms[c]], minlength=k)
        before.half += np.bincount(c[t < half_ms[c]], minlength=k)
        before.most += np.bincount(c[t < most_ms[c]], minlength=k)
        point = np.minimum((t - counted.campaign_first_ms[c]) * CURVE_POINTS // span[c], CURVE_POINTS - 1)
        np.add.at(before.curve, (c, point), 1)
    return before


def _campaign(accounts: _Accounts, counted: _Counted, before: _Before, c: int, name: str) -> CampaignScore:
    exchanges = int(counted.harvested[c])
    first, last = int(counted.campaign_first_ms[c]), int(counted.campaign_last_ms[c])
    members = (accounts.campaign == c) & (counted.sent > 0)
    flagged = accounts.flagged_ms[members]
    enough = members & (counted.sent >= ENOUGH_EXCHANGES)

    def since(time_ms: int) -> float | None:
        return (time_ms - first) / HOUR_MS if time_ms < NEVER and exchanges else None

    def until(time_ms: int, n: int) -> int | None:
        return n if time_ms < NEVER and exchanges else None

    curve: list[tuple[float, float, float]] = []
    if exchanges:
        edges = first + (last - first) * np.arange(1, CURVE_POINTS + 1) // CURVE_POINTS
        sent = np.cumsum(before.curve[c]) / exchanges
        shares: F64 = np.searchsorted(np.sort(flagged), edges, side="right") / max(len(flagged), 1)
        curve = [
            (round((int(e) - first) / HOUR_MS, 3), round(float(s), 4), round(float(f), 4))
            for e, s, f in zip(edges, sent, shares, strict=True)
        ]
    return CampaignScore(
        campaign_id=name,
        accounts=int(members.sum()),
        exchanges=exchanges,
        served_share=_share(before.actionable[c], exchanges) or 0.0,
        served_share_by_account=_share(before.own_flag[c], exchanges) or 0.0,
        hours_to_detect=since(int(accounts.actionable_ms[c])),
        exchanges_to_detect=until(int(accounts.actionable_ms[c]), int(before.actionable[c])),
        hours_to_half=since(int(before.half_ms[c])),
        exchanges_to_half=until(int(before.half_ms[c]), int(before.half[c])),
        hours_to_most=since(int(before.most_ms[c])),
        exchanges_to_most=until(int(before.most_ms[c]), int(before.most[c])),
        recall=_share((enough & (accounts.flagged_ms < NEVER)).sum(), enough.sum()),
        curve=curve,
    )


def _last_served(campaigns: Sequence[CampaignScore], counted: _Counted, names: Sequence[str]) -> float | None:
    began = dict(zip(names, counted.campaign_first_ms.tolist(), strict=True))
    last = max(campaigns, key=lambda c: (began[c.campaign_id], c.campaign_id), default=None)
    return last.served_share if last else None


def _cohorts(accounts: _Accounts, counted: _Counted) -> list[CohortScore]:
    k = len(accounts.cohorts)
    benign, known = accounts.cohort >= 0, counted.sent > 0
    days = np.zeros(k, np.int64)
    for active in counted.days.values():
        days += np.bincount(accounts.cohort[active & benign], minlength=k)
    members = np.bincount(accounts.cohort[benign & known], minlength=k)
    flagged = np.bincount(accounts.cohort[benign & known & (accounts.flagged_ms < NEVER)], minlength=k)
    return [
        CohortScore(
            cohort=name,
            accounts=int(members[i]),
            account_days=int(days[i]),
            false_flags=int(flagged[i]),
            per_million_account_days=_share(1e6 * flagged[i], days[i]) or 0.0,
        )
        for i, name in enumerate(accounts.cohorts)
    ]


def _grouping(truth: Truth, groups: Mapping[str, set[str]]) -> tuple[float | None, float | None, float | None]:
    """Return purity, completeness and pairwise F1 of disjoint groups against the true campaigns."""
    overlaps = [Counter(c for c in map(truth.campaign, members) if c is not None) for members in groups.values()]
    grouped, true = sum(len(m) for m in groups.values()), sum(truth.sizes.values())
    purity = _share(sum(max(o.values(), default=0) for o in overlaps), grouped)
    completeness = _share(sum(max((o[c] for o in overlaps), default=0) for c in truth.sizes), true)
    together = sum(_pairs(n) for o in overlaps for n in o.values())
    pairs = sum(_pairs(len(m)) for m in groups.values()) + sum(_pairs(n) for n in truth.sizes.values())
    return purity, completeness, _share(2 * together, pairs)


def _pairs(n: int) -> int:
    return n * (n - 1) // 2


def _codes(values: Sequence[str | None], names: Sequence[str]) -> npt.NDArray[np.int32]:
    code = {name: i for i, name in enumerate(names)}
    return np.array([code.get(v, -1) if v is not None else -1 for v in values], np.int32)


def _share(part: float | np.integer | np.floating, whole: float | np.integer) -> float | None:
    return float(part) / float(whole) if whole else None


def _slowest(times: Sequence[_Number | None]) -> _Number | None:
    known = [t for t in times if t is not None]
    return max(known) if known and len(known) == len(times) else None

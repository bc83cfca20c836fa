"""A story and how it is judged: what was found in a recorded stream, against what `story.toml` expects of it.

Expectations are bounds with room to them (found within three hours, nine tenths of its accounts), never exact
findings: they are what a change of weights or thresholds must not take away. These hold in every story, unsaid:

- no benign account is flagged (`warning` or above);
- an alert is raised, then updated, then cleared and silent; what grew louder or was merged goes on in what it names;
- a reason says its number, and an alert names whom it is about.

Each expectation has a name (`benign_flagged`, `campaign-1.within_hours`), and `known_gap` lists those that are not
met today, with what was measured: a gap that closes must be struck from the list, and no other may open.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import msgspec

from detector.account import AccountRecord
from detector.config import load
from detector.finding import Finding, Kind, Severity
from detector.runtime.files import chunks_of, lines_of
from detector.runtime.replay import replay
from detector.scorecard import TruthRecord
from tests.bench.settings import PARTITION_SETTINGS

FOLDER: Final = Path(__file__).parent
HOUR_MS: Final = 3_600_000
RANK: Final[dict[Severity, int]] = {"watch": 0, "warning": 1, "critical": 2}
FOUND_ACCOUNTS: Final = 0.05  # a finding that holds so much of a campaign, and mostly campaigns' accounts, has found it
FOUND_LEAST: Final = 3
ENOUGH_EXCHANGES: Final = 5  # an account that sent fewer has shown nothing to be recognised by


class ExpectedCampaign(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One true campaign, by its id in truth.ndjson. Times count from its first exchange.

    Found is when a campaign finding of `severity` or above holds a twentieth of its accounts, and more accounts of
    campaigns than others. `accounts_share` of those with at least five exchanges stand in such findings at the end.
    """

    id: str
    severity: Severity
    within_hours: float
    within_exchanges: int
    accounts_share: float
    signals: tuple[str, ...]  # among the reasons at the end
    links: tuple[str, ...] = ()  # kinds of link in the evidence at the end
    evidence: tuple[str, ...] = ("links", "models")  # not empty at the end
    one_finding: float = 0.8  # least share of its found accounts that stand together in one finding at the end
    apart_from: str | None = None  # another campaign, which does not stand in the same finding
    succeeds: str | None = None  # another campaign, found in the same alert or named by it


class ExpectedAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Findings about single accounts: at least so many of those that are named, or that are of the campaign.

    A campaign speaks for the accounts it holds, so none about them follows (`detector.alert.accounts`): one counts too
    when a campaign finding of `severity` or above adds it and gives a reason of `spoken_for_by`.
    """

    name: str  # an account id or a campaign id
    kind: Kind
    severity: Severity
    least_accounts: int = 1
    spoken_for_by: tuple[str, ...] = ()
    within_hours: float  # of the account's own first exchange, for the first of them
    signals: tuple[str, ...]


class Story(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `story.toml` says."""

    kind: Literal["attack", "look-alike"]
    title: str
    story: str  # who does what; which evasion, or which harmless cause
    cohorts: tuple[str, ...] = ()  # that a look-alike is about
    watch: bool = True  # may benign accounts stand in a campaign finding of `watch`?
    campaign: tuple[ExpectedCampaign, ...] = ()
    account: tuple[ExpectedAccount, ...] = ()
    known_gap: dict[str, str] = {}


class Exchange(msgspec.Struct, frozen=True):
    """Of an event, what expectations count."""

    time_ms: int
    account_id: str
    x_truth: str | None = None


def stories() -> list[str]:
    """Return the names of all stories."""
    return sorted(path.parent.name for path in FOLDER.glob("*/story.toml"))


def told(name: str) -> Story:
    """Return what a story says of itself; a key that is not known is a msgspec.ValidationError."""
    return msgspec.convert(tomllib.loads((FOLDER / name / "story.toml").read_text()), Story)


def truth_of(name: str) -> dict[str, TruthRecord]:
    """Return the true labels of the recorded accounts."""
    lines = lines_of(str(FOLDER / name / "truth.ndjson.zst"))
    records = (msgspec.json.decode(line, type=TruthRecord) for _, line in lines)
    return {record.account_id: record for record in records}


@dataclass(slots=True)
class Alert:
    """One finding id: its records in order, and who stands in it at the end."""

    records: list[Finding]
    members: set[str]

    @property
    def last(self) -> Finding:
        return self.records[-1]


class Telling:
    """A story replayed: its findings beside its truth."""

    def __init__(self, name: str) -> None:
        folder = FOLDER / name
        self.story = told(name)
        self.truth = truth_of(name)
        chunks = list(chunks_of([str(folder / "events.ndjson.zst")]))
        accounts = [
            msgspec.json.decode(line, type=AccountRecord) for _, line in lines_of(str(folder / "accounts.ndjson.zst"))
        ]
        config = folder / "config.toml"
        settings = load(config if config.exists() else None, PARTITION_SETTINGS).pipeline()
        self.findings = list(replay(chunks, accounts, settings))
        decode = msgspec.json.Decoder(Exchange).decode
        self.exchanges = [decode(line) for chunk in chunks for line in chunk]

    @cached_property
    def alerts(self) -> dict[str, Alert]:
        """All alerts by their id."""
        found: dict[str, Alert] = {}
        for finding in self.findings:
            alert = found.setdefault(finding.finding_id, Alert([], set()))
            alert.records.append(finding)
            alert.members |= set(finding.accounts_added)
            alert.members -= set(finding.accounts_removed)
        return found

    def campaign_of(self, account_id: str) -> str | None:
        return self.truth[account_id].campaign

    def broken(self) -> dict[str, str]:
        """Return the expectations that are not met: name -> what was found instead."""
        return {name: what for name, what in self._rules() if what}

    def _rules(self) -> Iterator[tuple[str, str]]:
        yield "benign_flagged", self._benign(("warning", "critical"))
        if not self.story.watch:
            yield "watch", self._benign(("watch",))
        yield "life_cycle", "; ".join(what for fid, alert in self.alerts.items() for what in self._life(fid, alert))
        yield "sentences", "; ".join(sorted({what for finding in self.findings for what in _sentences(finding)}))
        for campaign in self.story.campaign:
            for rule, what in self._campaign(campaign):
                yield f"{campaign.id}.{rule}", what
        for account in self.story.account:
            for rule, what in self._account(account):
                yield f"{account.name}.{rule}", what

    def _benign(self, severities: tuple[Severity, ...]) -> str:
        """Say which benign accounts were added to findings so loud, by cohort; of `watch`, those of campaigns only."""
        by_cohort: dict[str, set[str]] = defaultdict(set)
        for finding in self.findings:
            if finding.severity in severities and (finding.severity != "watch" or finding.kind == "campaign"):
                for account in finding.accounts_added:
                    if self.campaign_of(account) is None:
                        by_cohort[self.truth[account].cohort or "benign"].add(account)
        return ", ".join(f"{len(accounts)} of {cohort}" for cohort, accounts in sorted(by_cohort.items()))

    def _life(self, finding_id: str, alert: Alert) -> Iterator[str]:
        states = [finding.state for finding in alert.records]
        if states[0] != "raised" or {"raised", "cleared"} & set(states[1:-1]) or states[1:][-1:] == ["raised"]:
            yield f"{finding_id} goes through {states}"
        if [RANK[f.severity] for f in alert.records] != sorted(RANK[f.severity] for f in alert.records):
            yield f"{finding_id} grows quieter"
        if any(later.time_ms < sooner.time_ms for sooner, later in zip(alert.records, alert.records[1:], strict=False)):
            yield f"{finding_id} goes back in time"
        if states[-1] == "cleared" and alert.last.kind == "campaign":
            louder, into = alert.last.evidence.get("louder"), alert.last.evidence.get("merged_into")
            if louder is not None and louder not in self.alerts:
                yield f"{finding_id} grew into {louder}, which is not there"
            if into is not None and into not in {finding.subject for finding in self.findings}:
                yield f"{finding_id} was merged into {into}, which is not there"
            if alert.last.severity != "watch" and into is None:
                yield f"{finding_id} was {alert.last.severity}, and is cleared for no named reason"

    def _campaign(self, expected: ExpectedCampaign) -> Iterator[tuple[str, str]]:
        mine = [e for e in self.exchanges if self.campaign_of(e.account_id) == expected.id and e.x_truth != "benign"]
        assert mine, f"nothing of {expected.id} is recorded"
        first_ms = min(exchange.time_ms for exchange in mine)
        found_ms = self._found_ms(expected)
        if found_ms is None:
            heard = sorted({finding.severity for finding in self._about(expected.id)})
            yield "severity", f"never found at {expected.severity}, only {', '.join(heard) or 'nothing'}"
            return
        hours, before = (found_ms - first_ms) / HOUR_MS, sum(exchange.time_ms < found_ms for exchange in mine)
        yield "within_hours", _over(round(hours, 1), expected.within_hours)
        yield "within_exchanges", _over(before, expected.within_exchanges)
        standing = {
            fid: alert
            for fid, alert in self.alerts.items()
            if alert.last.kind == "campaign" and alert.last.state != "cleared" and alert.last.severity != "watch"
        }
        held = {fid: self._of(expected.id, alert.members) for fid, alert in standing.items()}
        accounts = [exchange.account_id for exchange in mine]
        enough = {account for account in set(accounts) if accounts.count(account) >= ENOUGH_EXCHANGES}
        share = len(enough & set().union(*held.values())) / max(len(enough), 1)
        yield "accounts_share", _under(share, expected.accounts_share)
        largest = max(held, key=lambda fid: len(held[fid]), default=None)
        if largest is None:
            yield "standing", "nothing of it stands at the end"
            return
        together = len(held[largest]) / max(len(set().union(*held.values())), 1)
        yield "one_finding", _under(together, expected.one_finding)
        last = standing[largest].last
        signals, evidence = {reason.signal for reason in last.reasons}, last.evidence
        yield "signals", _missing(expected.signals, signals)
        yield "links", _missing(expected.links, {link["kind"] for link in evidence["links"]})
        yield "evidence", _missing(expected.evidence, {name for name, value in evidence.items() if value})
        if expected.apart_from is not None:
            others = self._of(expected.apart_from, standing[largest].members)
            yield "apart", f"{len(others)} of {expected.apart_from} stand beside {len(held[largest])}" if others else ""
        if expected.succeeds is not None:
            known = {f.subject for f in self._about(expected.succeeds) if f.severity != "watch"}
            continues = last.subject in known or known & set(evidence.get("succeeds", ()))
            yield "succeeds", "" if continues else f"{last.subject} does not say that it succeeds {sorted(known)}"

    def _found_ms(self, expected: ExpectedCampaign) -> int | None:
        """Return when a finding that is loud enough first holds enough of the campaign."""
        of_campaign = sum(record.campaign == expected.id for record in self.truth.values())
        members: dict[str, set[str]] = defaultdict(set)
        for finding in self.findings:
            held = members[finding.finding_id]
            held |= set(finding.accounts_added)
            held -= set(finding.accounts_removed)
            mine = len(self._of(expected.id, held))
            harvesting = sum(self.campaign_of(account) is not None for account in held)
            if (
                finding.kind == "campaign"
                and finding.state != "cleared"
                and RANK[finding.severity] >= RANK[expected.severity]
                and mine >= max(FOUND_LEAST, FOUND_ACCOUNTS * of_campaign)
                and 2 * harvesting > len(held)
            ):
                return finding.time_ms
        return None

    def _about(self, campaign: str) -> list[Finding]:
        """Return the campaign findings that add accounts of the campaign."""
        return [f for f in self.findings if f.kind == "campaign" and self._of(campaign, set(f.accounts_added))]

    def _of(self, campaign: str, accounts: set[str]) -> set[str]:
        return {account for account in accounts if self.campaign_of(account) == campaign}

    def _account(self, expected: ExpectedAccount) -> Iterator[tuple[str, str]]:
        named = {a for a, record in self.truth.items() if expected.name in {a, record.campaign}}
        first_ms: dict[str, int] = {}
        for exchange in self.exchanges:
            first_ms.setdefault(exchange.account_id, exchange.time_ms)
        found = [
            finding
            for finding in self.findings
            if finding.kind == expected.kind
            and finding.subject in named
            and RANK[finding.severity] >= RANK[expected.severity]
        ]
        accounts = {finding.subject for finding in found}
        held = {account for finding in self._speaking(expected) for account in finding.accounts_added} & named
        if not accounts or len(accounts | held) < expected.least_accounts:
            spoken = f" and {len(held - accounts)} spoken for" if expected.spoken_for_by else ""
            yield "accounts", f"{len(accounts)} found as {expected.kind}{spoken}, at least {expected.least_accounts}"
            return
        hours = min((finding.time_ms - first_ms[finding.subject]) / HOUR_MS for finding in found)
        yield "within_hours", _over(round(hours, 1), expected.within_hours)
        for finding in found:
            missing = _missing(expected.signals, {reason.signal for reason in finding.reasons})
            if missing:
                yield "signals", f"{finding.subject}: {missing}"
                return

    def _speaking(self, expected: ExpectedAccount) -> list[Finding]:
        """Return the campaign findings that speak for accounts as loudly, for one of the reasons asked."""
        return [
            finding
            for finding in self.findings
            if finding.kind == "campaign"
            and finding.state != "cleared"
            and RANK[finding.severity] >= RANK[expected.severity]
            and {reason.signal for reason in finding.reasons} & set(expected.spoken_for_by)
        ]


def _over(measured: float, most: float) -> str:
    return f"{measured:g}, at most {most:g}" if measured > most else ""


def _under(share: float, least: float) -> str:
    return f"{share:.2f}, at least {least:.2f}" if share < least else ""


def _missing(expected: tuple[str, ...], there: set[str]) -> str:
    absent = [name for name in expected if name not in there]
    return f"no {', '.join(absent)} among {', '.join(sorted(there)) or 'nothing'}" if absent else ""


def _sentences(finding: Finding) -> Iterator[str]:
    """Say what is wrong with the reasons: a sentence has a number, and whoever is accused is told why."""
    for reason in finding.reasons:
        if not any(character.isdigit() for character in reason.because):
            yield f"{reason.signal} says no number: {reason.because!r}"
    if not finding.reasons:
        yield f"{finding.kind} {finding.state} without a reason"

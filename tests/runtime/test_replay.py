"""A replay after a history: what was learnt of it holds, what was open at its end is told anew."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import msgspec
import numpy as np
import pytest

from detector.account import AccountRecord
from detector.errors import Unavailable
from detector.finding import Finding
from detector.runtime.apart import CampaignsApart
from detector.runtime.replay import Tally, replay
from tests.bench.settings import pipeline_settings
from tests.test_pipeline import SETTINGS, findings_of, world

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START = 20_000 * DAY_MS


@cache
def second_half() -> list[Finding]:
    """The findings of a campaign's second half, after its first half and all that was said of it."""
    simulation, lines = world()
    middle = len(lines) // 2
    return list(replay([list(lines[middle:])], simulation.accounts, SETTINGS, warm_up=[list(lines[:middle])]))


def test_what_is_open_at_the_end_of_the_history_is_raised_anew() -> None:
    first: dict[str, Finding] = {}
    for finding in second_half():
        first.setdefault(finding.finding_id, finding)
    assert {(finding.state, finding.seq) for finding in first.values()} == {("raised", 0)}
    began_ms = min(finding.first_seen_ms for finding in first.values() if finding.kind == "campaign")
    assert began_ms < second_half()[0].time_ms - HOUR_MS  # in the history


def test_after_a_history_the_findings_stand_by_themselves() -> None:
    members: dict[str, set[str]] = defaultdict(set)
    for finding in second_half():
        named = members[finding.finding_id]
        assert not named & set(finding.accounts_added)
        assert named >= set(finding.accounts_removed)
        named |= set(finding.accounts_added)
        named -= set(finding.accounts_removed)
        if finding.kind == "campaign":
            assert len(named) == finding.accounts_total
    harvesters = {truth["account_id"] for truth in world()[0].truth if truth["label"] == "campaign"}
    flagged = {account for f in second_half() if f.severity != "watch" for account in f.accounts_added}
    assert flagged <= harvesters
    assert len(flagged) >= 0.9 * len(harvesters)


def test_a_campaign_keeps_its_name_over_the_end_of_the_history() -> None:
    loud = [{f.subject for f in told if f.severity == "critical"} for told in (second_half(), findings_of([]))]
    assert loud[0] == loud[1]


def test_the_findings_of_the_history_are_not_given_out_and_its_events_not_counted() -> None:
    simulation, lines = world()
    tally = Tally()
    middle = len(lines) // 2
    told = replay([list(lines[middle:])], simulation.accounts, SETTINGS, warm_up=[list(lines[:middle])], tally=tally)
    assert len(list(told)) == tally.findings
    assert tally.events == len(lines) - middle
    whole = findings_of([])
    assert min(f.time_ms for f in second_half()) > min(f.time_ms for f in whole)


@pytest.mark.parametrize("cut", [0, 2])
def test_with_the_campaign_stage_in_a_process_of_its_own_the_findings_are_the_same(cut: int) -> None:
    simulation, lines = world()
    middle = len(lines) // 2 if cut else 0
    history, chunks = [list(lines[:middle])] if cut else [], [list(lines[middle:][at::3]) for at in range(3)]
    tallies = Tally(), Tally()
    told = [
        list(replay(chunks, simulation.accounts, SETTINGS, warm_up=history, tally=tally, processes=processes))
        for processes, tally in enumerate(tallies, 1)
    ]
    assert told[0] == told[1] != []
    assert tallies[0] == tallies[1]


def test_a_campaign_stage_that_ends_before_its_time_is_told() -> None:
    with CampaignsApart(SETTINGS.campaigns, SETTINGS.verdicts) as apart:
        apart.absorb(0, [b"no record of ours"])
        apart.drain(0)
        with pytest.raises(Unavailable, match=r"campaign stage.*ended with 1"):
            apart.rest()


class Fashion:
    """Accounts of all ages, half of whom ask in one wording for three days; then forty new ones do nothing else.

    Whoever sees only the last day sees a rare wording in the hands of new accounts.
    """

    def __init__(self) -> None:
        self.rng = np.random.default_rng(41)
        self.accounts: list[AccountRecord] = []
        self._asked: list[tuple[int, bytes]] = []
        for number in range(160):
            self._signed_up(f"p{number:03}", 0.5 if number % 7 == 0 else 200.0)
            for _ in range(12):
                self._asks(f"p{number:03}", 0.0, 4.0)
            for _ in range(6 if number % 2 else 0):
                self._asks(f"p{number:03}", 0.0, 3.0, self.popular())
        for number in range(40):
            self._signed_up(f"n{number:02}", -2.9)
            for _ in range(20):
                self._asks(f"n{number:02}", 3.0, 4.0, self.popular())

    def popular(self) -> str:
        city = self.rng.integers(1 << 30)
        return f"Act as a seasoned travel guide and tell me what to see in city number {city}, in three paragraphs."

    def events(self, begin_day: float, end_day: float) -> list[bytes]:
        begin_ms, end_ms = (START + int(day * DAY_MS) for day in (begin_day, end_day))
        return [line for time_ms, line in sorted(self._asked) if begin_ms <= time_ms < end_ms]

    def _signed_up(self, name: str, age_days: float) -> None:
        self.accounts.append(AccountRecord(account_id=name, created_ms=START - int(age_days * DAY_MS)))

    def _asks(self, name: str, begin_day: float, end_day: float, text: str = "") -> None:
        time_ms = START + int(self.rng.uniform(begin_day, end_day) * DAY_MS)
        words = self.rng.integers(1 << 40, size=6)
        event = {
            "id": f"r{len(self._asked)}",
            "time_ms": time_ms,
            "account_id": name,
            "model": "m",
            "prompt_text": text or " ".join(f"w{word:x}" for word in words.tolist()),
        }
        self._asked.append((time_ms, msgspec.json.encode(event)))


def test_a_wording_that_the_history_knows_as_popular_flags_nobody_and_without_it_would() -> None:
    fashion = Fashion()
    history, today = fashion.events(0.0, 3.0), fashion.events(3.0, 4.0)

    def flagged(*warm_up: list[bytes]) -> set[str]:
        told = replay([today], fashion.accounts, pipeline_settings(None), warm_up=warm_up)
        return {account for f in told if f.severity != "watch" for account in f.accounts_added}

    without = flagged()
    assert without <= {f"n{number:02}" for number in range(40)}
    assert len(without) >= 36
    assert not flagged(history)

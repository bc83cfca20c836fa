"""What was decided in shadow and what is said when shadow ends, by a worker that takes over."""

from __future__ import annotations

from functools import cache

import msgspec
import pytest

from detector.finding import Finding, Verdict
from detector.stages.campaigns import CampaignSettings
from detector.stages.issuing import SHADOW, CampaignStage
from detector.stores import Message
from detector.verdict import VerdictPolicy
from tests.stages.test_campaigns import HARVEST, candidates_of, harvest, recorded


@cache
def records() -> tuple[bytes, ...]:
    """Six hours, a record each five minutes; the campaign is found in the first two."""
    (one,) = candidates_of(recorded(harvest()))
    return tuple(one)


class Partition:
    """The rows of the store, and the workers that own them one after another."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}

    def run(self, begin: int, end: int, *, shadow: bool, killed_every: int = 1_000) -> list[Message]:
        """Absorb records, with a commit after each; return what was published by them."""
        published: list[Message] = []
        stage: CampaignStage | None = None
        for number in range(begin, end):
            if stage is None or number % killed_every == 0:
                stage = CampaignStage(CampaignSettings(sources=1, shadow=shadow), VerdictPolicy(enforce=True))
                stage.assign(0, dict(self.rows))
            stage.absorb(0, [records()[number]])
            rows, messages = stage.drain(0)
            published += messages
            for name, value in rows.items():
                self.rows.pop(name, None)
                if value is not None:
                    self.rows[name] = value
        return published


def findings(messages: list[Message]) -> list[Finding]:
    return [msgspec.json.decode(m.value, type=Finding) for m in messages if m.topic == "findings" and m.value]


def verdicts(messages: list[Message]) -> dict[str, Verdict]:
    return {
        m.key: msgspec.json.decode(m.value, type=Verdict)
        for m in messages
        if m.topic == "verdicts" and m.value and m.key
    }


def test_when_shadow_ends_what_is_open_is_raised_with_all_of_its_accounts_and_verdicts_follow() -> None:
    partition = Partition()
    quiet = partition.run(0, 36, shadow=True)
    assert {finding.shadow for finding in findings(quiet)} == {True}
    assert {a for f in findings(quiet) for a in f.accounts_added} == set(HARVEST)
    assert not verdicts(quiet)
    loud = partition.run(36, 72, shadow=False)
    first = findings(loud)[0]
    assert (first.state, first.seq, first.shadow) == ("raised", 0, False)
    assert set(first.accounts_added) == set(HARVEST) == set(verdicts(loud))
    assert findings(loud)[1].state == "updated"


@pytest.mark.parametrize("killed_every", [1, 5])
def test_a_worker_that_dies_after_shadow_ended_is_followed_by_one_that_says_the_same(killed_every: int) -> None:
    calm, rough = Partition(), Partition()
    for partition in (calm, rough):
        partition.run(0, 36, shadow=True)
    assert rough.run(36, 72, shadow=False, killed_every=killed_every) == calm.run(36, 72, shadow=False)


def test_who_goes_into_shadow_and_out_again_is_told_what_came_meanwhile() -> None:
    partition = Partition()
    before = findings(partition.run(0, 24, shadow=False))
    assert {finding.shadow for finding in before} == {False}
    assert {finding.shadow for finding in findings(partition.run(24, 48, shadow=True, killed_every=7))} == {True}
    after = findings(partition.run(48, 72, shadow=False, killed_every=7))
    assert (after[0].state, after[0].shadow, set(after[0].accounts_added)) == ("raised", False, set(HARVEST))


def test_without_shadow_there_is_no_row_of_it_and_no_snapshot_before_its_time() -> None:
    partition = Partition()
    partition.run(0, 12, shadow=False, killed_every=3)
    assert SHADOW not in partition.rows
    assert not [name for name in partition.rows if name.startswith("snapshot/")]
    partition.run(12, 13, shadow=True)
    assert SHADOW in partition.rows
    partition.run(13, 14, shadow=False)
    assert SHADOW not in partition.rows

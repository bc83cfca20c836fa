"""Verdicts that follow from findings: keyed by account, the same however the input came, ended by a tombstone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from unittest import mock

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.campaign import candidate
from detector.finding import Finding, Verdict
from detector.stages import journal
from detector.stages.campaigns import CampaignPartition, CampaignSettings
from detector.stages.issuing import CampaignStage, Issuing
from detector.stores import Message
from detector.verdict import VerdictPolicy, Verdicts
from tests.campaign.observed import HOUR, Row
from tests.stages.test_campaigns import HARVEST, candidates_of, harvest, recorded

PARTITIONS = 2
ENFORCING = VerdictPolicy(enforce=True, ttl_ms=HOUR)


def with_a_pause(minute: int) -> Sequence[Row]:
    return harvest()(minute) if minute < 180 or 360 <= minute < 420 else []


@cache
def recording() -> tuple[tuple[bytes, ...], ...]:
    """The candidate records of two link partitions: a harvest, a pause in which verdicts end, and the harvest again."""
    return tuple(map(tuple, candidates_of(recorded(with_a_pause, hours=9), PARTITIONS)))


def in_turn() -> list[bytes]:
    return [record for pair in zip(*recording(), strict=True) for record in pair]


def stage_of(policy: VerdictPolicy = ENFORCING, *, shadow: bool = False) -> CampaignStage:
    stage = CampaignStage(CampaignSettings(sources=PARTITIONS, shadow=shadow), policy)
    stage.assign(0, {})
    return stage


def published(stage: CampaignStage, records: Sequence[bytes]) -> list[Message]:
    stage.absorb(0, list(records))
    return stage.drain(0)[1]


@cache
def expected() -> tuple[Message, ...]:
    return tuple(published(stage_of(), in_turn()))


def verdicts_of(messages: Sequence[Message]) -> list[tuple[str, Verdict | None]]:
    return [
        (one.key, None if one.value is None else msgspec.json.decode(one.value, type=Verdict))
        for one in messages
        if one.topic == "verdicts"
    ]


def test_every_flagged_account_and_nobody_else_gets_a_verdict_under_its_own_key() -> None:
    told = verdicts_of(expected())
    assert {account for account, _ in told} == set(HARVEST)
    assert all(verdict.account_id == account for account, verdict in told if verdict)
    assert {verdict.action for _, verdict in told if verdict} <= {"verify", "throttle"}


def test_a_verdict_comes_after_the_finding_that_it_names() -> None:
    known: set[str] = set()
    for message in expected():
        if message.topic == "findings" and message.value:
            known.add(msgspec.json.decode(message.value, type=Finding).finding_id)
        elif message.value:
            assert msgspec.json.decode(message.value, type=Verdict).finding_id in known


def test_when_the_harvest_is_over_every_verdict_ends_with_a_tombstone_and_not_before_its_time() -> None:
    standing: dict[str, Verdict] = {}
    ended = set()
    for account, verdict in verdicts_of(expected()):
        if verdict is None:
            ended.add(standing.pop(account).account_id)
        else:
            standing[account] = verdict
    assert ended == set(HARVEST)
    assert not standing
    issued = [verdict.issued_ms for _, verdict in verdicts_of(expected()) if verdict]
    assert max(issued) - min(issued) > 3 * HOUR, "it was issued anew after the pause"


def test_without_enforcement_and_in_the_shadow_nothing_is_issued() -> None:
    assert verdicts_of(published(stage_of(VerdictPolicy()), in_turn())) == []
    assert verdicts_of(published(stage_of(shadow=True), in_turn())) == []


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=12))
def test_however_the_partitions_interleave_the_messages_are_the_same(runs: list[int]) -> None:
    """One partition runs ahead by some steps, then the other."""
    queues = [list(one) for one in recording()]
    records, which = [], 0
    for run in [*runs, 1_000, 1_000]:
        records += queues[which][:run]
        del queues[which][:run]
        which = 1 - which
    assert tuple(published(stage_of(), records)) == expected()


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, 106)))
def test_steps_in_which_a_partition_has_nothing_to_say_may_be_closed_one_by_one_or_many_at_once(kept: set[int]) -> None:
    first, second = recording()
    last = len(second) - 1
    thin = [one for n, one in enumerate(second) if n in kept or n == last or len(candidate.decode(one).facts.ids)]
    assert tuple(published(stage_of(), [*first, *thin])) == expected()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2 * 108), st.booleans())
def test_a_worker_that_takes_over_goes_on_with_the_verdicts_that_stand(cut: int, snapshot: bool) -> None:
    with mock.patch.object(journal, "SNAPSHOT_AT_LEAST_BYTES", 0 if snapshot else 1 << 30):
        first = stage_of()
        first.absorb(0, in_turn()[:cut])
        rows, messages = first.drain(0)
        second = stage_of()
        second.assign(0, {name: value for name, value in rows.items() if value is not None})
        assert (*messages, *published(second, in_turn()[cut:])) == expected()


def test_what_other_rules_find_in_the_journal_is_told_by_whoever_takes_over_and_once() -> None:
    """The rules before found nothing; all of the recording is in the journal when they change."""
    deaf = CampaignStage(CampaignSettings(sources=PARTITIONS, watch_at=2.0), ENFORCING)
    deaf.assign(0, {})
    deaf.absorb(0, in_turn())
    changed, messages = deaf.drain(0)
    assert messages == []
    rows = {name: value for name, value in changed.items() if value is not None}
    for _ in range(2):  # who crashes before its commit tells nothing, and the next one tells it
        stage = stage_of()
        stage.assign(0, rows)
        assert stage.waiting(0)
    changed, messages = stage.drain(0)
    assert tuple(messages) == expected()
    rows = {name: value for name, value in (rows | changed).items() if value is not None}
    again = stage_of()
    again.assign(0, rows)
    assert again.drain(0) == ({}, [])


def test_what_the_same_rules_find_in_the_journal_was_told() -> None:
    first, second = stage_of(), stage_of()
    first.absorb(0, in_turn())
    changed, messages = first.drain(0)
    assert messages
    second.assign(0, {name: value for name, value in changed.items() if value is not None})
    assert not second.waiting(0)
    assert second.drain(0) == ({}, [])


def test_dumped_and_loaded_it_is_the_same_state() -> None:
    def fresh() -> Issuing:
        return Issuing(CampaignPartition(CampaignSettings(sources=PARTITIONS)), Verdicts(ENFORCING))

    first, second = fresh(), fresh()
    for record in in_turn()[:90]:
        first.absorb(record)
    second.load(first.dump())
    assert second.dump() == first.dump()


def test_a_step_that_brings_nothing_counts_and_so_do_campaigns_that_stand() -> None:
    stage = stage_of()
    stage.absorb(0, in_turn())
    assert stage.counts["steps"] == len(recording()[0])
    assert sum(stage.standing().values()) == stage.sizes()["campaigns"] > 0

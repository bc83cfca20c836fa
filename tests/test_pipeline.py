"""The whole flow on a simulated recording: however it is cut, the findings are the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.alert.accounts import AccountAlertSettings
from detector.decoders import decode, partition_of, repartitioned
from detector.finding import Finding, encode
from detector.pipeline import Pipeline, PipelineSettings
from detector.runtime.replay import replay
from detector.simulate import Content, Dials, Scenario, Simulation, simulate
from detector.stages.accounts import AccountSettings
from detector.stages.campaigns import CampaignSettings
from detector.stages.links import LinkSettings
from detector.stores import Message
from detector.verdict import VerdictPolicy

SOURCES, LINK_PARTITIONS = 3, 2
SETTINGS = PipelineSettings(
    AccountSettings(link_partitions=LINK_PARTITIONS),
    LinkSettings(sources=SOURCES, filter_slots=1 << 14),
    CampaignSettings(sources=LINK_PARTITIONS, alerts=AccountAlertSettings(raise_at=0.45, clear_at=0.3)),
    VerdictPolicy(enforce=True),
)
HARVEST = Dials(
    accounts=60,
    per_account_day=120.0,
    start_day=0.0,
    days=0.2,
    content=(Content(share=0.7), Content(share=0.3, family="coding", templates=3)),
    shared_payment=0.2,
    block_replay=0.02,
)
WORLD = Scenario(days=0.2, benign_accounts=400, campaigns=(HARVEST,), release_day=None, outage_days=(), begin_hour=9.0)


@cache
def world() -> tuple[Simulation, tuple[bytes, ...]]:
    simulation = simulate(WORLD, 5)
    return simulation, tuple(line for chunk in simulation.chunks() for line in chunk)


def findings_of(cuts: Sequence[int]) -> list[Finding]:
    """The findings when the recording is cut before the lines of these numbers."""
    simulation, lines = world()
    edges = [0, *sorted(cuts), len(lines)]
    chunks = [list(lines[begin:end]) for begin, end in pairwise(edges)]
    return list(replay(chunks, simulation.accounts, SETTINGS))


@cache
def expected() -> tuple[bytes, ...]:
    return tuple(map(encode, findings_of([])))


def assert_same(findings: Sequence[bytes | None]) -> None:
    """One by one: a difference of the whole takes minutes to print."""
    for number, (found, wanted) in enumerate(zip(findings, expected(), strict=False)):
        assert found == wanted, f"finding {number}"
    assert len(findings) == len(expected())


def test_the_campaign_of_the_recording_is_found_and_nobody_else_is_flagged() -> None:
    harvesters = {truth["account_id"] for truth in world()[0].truth if truth["label"] == "campaign"}
    flagged = {account for f in findings_of([]) if f.severity != "watch" for account in f.accounts_added}
    assert flagged <= harvesters
    assert len(flagged) >= 0.9 * len(harvesters)


@settings(max_examples=4, deadline=None)
@given(st.lists(st.integers(0, 3_000), max_size=12))
def test_however_a_recording_is_cut_into_batches_the_findings_are_the_same_bytes(cuts: list[int]) -> None:
    assert_same([*map(encode, findings_of(cuts))])


def test_fine_even_cuts_give_the_same_bytes() -> None:
    assert_same([*map(encode, findings_of(range(100, len(world()[1]), 100)))])


def test_partitions_may_run_apart_by_hours() -> None:
    """One partition is consumed to its end before the next one begins."""
    simulation, lines = world()
    pipeline = Pipeline(SETTINGS)
    pipeline.learn(simulation.accounts)
    batch = repartitioned(decode(list(lines), 0, hash_key=0).batch, SOURCES)
    homes = [partition_of(batch.account_ids[account], SOURCES) for account in batch.account.tolist()]
    messages: list[Message] = []
    for partition in (2, 0, 1):
        mine = [line for line, home in zip(lines, homes, strict=True) if home == partition]
        messages += pipeline.feed(repartitioned(decode(mine, 0, hash_key=0).batch, SOURCES))
    messages += pipeline.finish()
    assert_same([message.value for message in messages if message.topic == "findings"])
    whole = Pipeline(SETTINGS)
    whole.learn(simulation.accounts)
    verdicts = [one for one in (*whole.feed(batch), *whole.finish()) if one.topic == "verdicts"]
    assert {one.key for one in verdicts} == {
        a for f in findings_of([]) if f.severity != "watch" for a in f.accounts_added
    }
    assert [one for one in messages if one.topic == "verdicts"] == verdicts


@pytest.mark.parametrize("field", ["time_ms", "last_seen_ms"])
def test_findings_use_nothing_after_their_time(field: str) -> None:
    findings = findings_of([])
    assert all(getattr(finding, field) <= finding.time_ms for finding in findings)
    campaigns = [finding.time_ms for finding in findings if finding.kind == "campaign"]
    assert campaigns == sorted(campaigns)

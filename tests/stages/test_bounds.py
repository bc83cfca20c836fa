"""Stages 2 and 3 under a flood of endless links and accounts (the small one of tests/bench/links.py): bounded."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.campaign.candidate import CandidateLinks, Candidates, Edges
from detector.stages.campaigns import CampaignSettings
from detector.stages.candidates import Bounds, CandidateTables
from detector.stages.links import LinkSettings
from detector.stages.population import Population
from tests.bench.links import Flood, Stages
from tests.campaign.observed import facts_of, judged_of

STEPS = 60
LINKS = LinkSettings(filter_slots=1 << 12, most_edges=1_500, most_links=250, most_accounts=1_500)
CAMPAIGNS = CampaignSettings(
    most_edges=600, most_links=80, most_accounts=300, most_campaigns=5, most_members=12, watch_at=0.2
)


def flooded(steps: int = STEPS) -> Stages:
    stages = Stages(LINKS, CAMPAIGNS)
    for record in islice(Flood(links_per_step=200).records(), steps):
        stages.absorb(record)
    return stages


def test_every_table_stays_under_its_bound_and_what_is_dropped_is_counted() -> None:
    stages, largest = Stages(LINKS, CAMPAIGNS), dict[str, int]()
    for record in islice(Flood(links_per_step=200).records(), STEPS):
        stages.absorb(record)
        sizes = stages.sizes()
        largest = {name: max(size, largest.get(name, 0)) for name, size in sizes.items()}
        members = [len(campaign.members) for campaign in stages.campaigns.campaigns.values()]
        assert max(members, default=0) <= CAMPAIGNS.most_members
        assert len(stages.links.ids) == sizes["stage 2 accounts"]
        assert len(stages.campaigns.tables.ids) == sizes["stage 3 accounts"]
    for stage, given_bounds in (("stage 2", LINKS), ("stage 3", CAMPAIGNS)):
        for table in ("accounts", "links", "edges"):
            most = getattr(given_bounds, f"most_{table}")
            assert most // 2 < largest[f"{stage} {table}"] <= most, (stage, table)
    assert largest["campaigns"] == CAMPAIGNS.most_campaigns
    dropped = {**stages.links.counts, **stages.campaigns.dropped}
    for name in (
        *("edges_dropped", "links_dropped", "accounts_dropped"),
        *("candidate_edges", "candidate_links", "candidate_accounts", "campaigns"),
    ):
        assert dropped[name] > 0, name


def test_the_same_flood_leaves_the_same_state() -> None:
    one, other = flooded(), flooded()
    assert one.links.dump() == other.links.dump()
    assert one.campaigns.dump() == other.campaigns.dump()


@pytest.mark.parametrize("cut", [20, 45])
def test_dumped_and_loaded_under_a_flood_it_goes_on_the_same(cut: int) -> None:
    records = list(islice(Flood(links_per_step=200).records(), STEPS))
    one, other = Stages(LINKS, CAMPAIGNS), Stages(LINKS, CAMPAIGNS)
    for record in records[:cut]:
        one.absorb(record)
    other.links.load(one.links.dump())
    other.campaigns.load(one.campaigns.dump())
    for record in records[cut:]:
        one.absorb(record)
        other.absorb(record)
    assert one.links.dump() == other.links.dump()
    assert one.campaigns.dump() == other.campaigns.dump()


def told(step: int, pairs: list[tuple[int, int]]) -> Candidates:
    """A record of edges (link, account), used in that minute."""
    links, accounts = sorted({link for link, _ in pairs}), sorted({account for _, account in pairs})
    n = len(links)
    zeros, at = np.zeros(n, np.int32), np.full(len(pairs), step * 60_000)
    ones = np.ones(len(pairs), np.int32)
    of, who = ([links.index(link) for link, _ in pairs], [accounts.index(account) for _, account in pairs])
    return Candidates(
        source=0,
        step=step,
        young_share=0.15,
        stream_start_ms=0,
        facts=facts_of([f"a{account}" for account in accounts]),
        links=CandidateLinks(
            np.array(links, np.uint64) + np.uint64(1),
            np.full(n, 2, np.uint8),
            np.zeros(n, np.int64),
            *(zeros, zeros, zeros, zeros.astype(np.float32), zeros, zeros),
        ),
        edges=Edges(np.array(of, np.int32), np.array(who, np.int32), ones, ones, at, at, at),
        judged=judged_of([]),
        models=(),
    )


PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=12, unique=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(PAIRS, min_size=1, max_size=25), st.integers(3, 40), st.sets(st.integers(0, 12)))
def test_an_edge_knows_its_link_and_its_account_whatever_was_forgotten(records, most: int, asked) -> None:
    tables, dropped = (
        CandidateTables(0, Population(30.0, 7.0)),
        dict.fromkeys(("candidate_links", "candidate_accounts", "candidate_edges"), 0),
    )
    bounds = Bounds(edges=most, links=max(1, most // 3), accounts=max(1, most // 2))
    for step, pairs in enumerate(records, 1):
        record = told(step, pairs)
        tables.merge(record, tables.learn(record.facts, step * 60_000))
        if tables.full(bounds):
            tables.forget(0, bounds, dropped)
        assert not tables.full(bounds)
        assert len(tables.ids) == len(tables.accounts)
        links, edges = tables.links, tables.edges
        assert np.array_equal(links.keys[edges["of"]], edges["link"])
        assert np.array_equal(tables.accounts.keys[edges["who"]], edges["account"])
        wanted = np.array(sorted(link for link in asked if link < len(links)), np.int64)
        assert tables.edges_of(wanted).tolist() == np.flatnonzero(np.isin(edges["of"], wanted)).tolist()
        wanted = np.array(sorted(account for account in asked if account < len(tables.accounts)), np.int64)
        assert tables.edges_by(wanted).tolist() == np.flatnonzero(np.isin(edges["who"], wanted)).tolist()


def test_what_no_campaign_holds_goes_before_what_one_holds() -> None:
    tables, dropped = (
        CandidateTables(0, Population(30.0, 7.0)),
        dict.fromkeys(("candidate_links", "candidate_accounts", "candidate_edges"), 0),
    )
    for step, pairs in enumerate([[(0, 0)], [(1, 1)], [(2, 2)], [(3, 3)]], 1):
        record = told(step, pairs)
        tables.merge(record, tables.learn(record.facts, step * 60_000))
    tables.links["owner"][0] = tables.accounts["campaign"][0] = 1  # the oldest
    gone = tables.forget(0, Bounds(edges=2, links=2, accounts=2), dropped)
    assert gone.tolist() == []
    assert tables.links.keys.tolist() == [1, 4]
    assert tables.ids == ["a0", "a3"]
    assert len(tables.edges) == 2
    assert dropped["candidate_links"] == dropped["candidate_accounts"] == 2

"""Campaigns have the intensity, the content and the infrastructure that their dials say."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from detector.simulate import SCENARIOS, Content, Dials, Scenario, simulate
from detector.simulate.actors import BENIGN, BLOCKED, CAMPAIGN, DAY_MS, NEW_MODEL, REFUSED, Table
from detector.simulate.campaign import Pool
from detector.simulate.grammar import mixed64
from detector.simulate.scenario import Timing
from detector.simulate.writers import naked, scaffold


def pools(dials: Dials, *, release_day: float | None = None, seed: int = 2) -> list[tuple[Pool, Table]]:
    """The pools of one campaign in a tiny world, each with all of its rows."""
    world = Scenario(dials.start_day + dials.days, (dials,), 300, release_day, ())
    simulation = simulate(world, seed, 1.0, text=False)
    rng = np.random.default_rng(1)
    made = [source for source in simulation._sources if isinstance(source, Pool)]
    hours = range(simulation.begin_ms, simulation.end_ms, DAY_MS // 4)
    return [(pool, np.concatenate([pool.requests(rng, hour, hour + DAY_MS // 4) for hour in hours])) for pool in made]


def per_account_day(pool: Pool, rows: Table) -> float:
    days = np.clip(pool.table["end_ms"] - pool.table["start_ms"], 0, None).sum() / DAY_MS
    return len(rows) / float(days)


def counts(pool: Pool, rows: Table) -> np.ndarray:
    return np.bincount(rows["account"] - pool.table["account"][0], minlength=len(pool.table))


@pytest.mark.parametrize("timing", ["lockstep", "balanced", "human"])
@pytest.mark.parametrize("intensity", [5.6, 25.6, 733.0])
def test_the_intensity_is_what_the_dial_says(timing: Timing, intensity: float) -> None:
    pool, rows = pools(Dials(accounts=60, per_account_day=intensity, start_day=0.5, days=4.0, timing=timing))[0]
    assert per_account_day(pool, rows) == pytest.approx(intensity, rel=0.12 if timing != "human" else 0.3)


@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - {"quiet"}))
def test_the_named_scenarios_have_the_public_intensities(name: str) -> None:
    dials = replace(
        SCENARIOS[name].campaigns[0],
        accounts=60,
        successor_accounts=60,
        days=min(SCENARIOS[name].campaigns[0].days, 8.0),
    )
    for pool, rows in pools(replace(dials, ban_day=None)):
        served = rows[rows["truth"] != BENIGN]
        assert per_account_day(pool, served) == pytest.approx(
            dials.per_account_day, rel=0.3 if dials.timing == "human" else 0.12
        )


def test_april_june_is_28_8_million_exchanges_at_full_scale() -> None:
    simulation = simulate("april-june", 1, 1.0, text=False)
    pool = next(source for source in simulation._sources if isinstance(source, Pool))
    assert pool.expected(simulation.begin_ms, simulation.end_ms) == pytest.approx(28.8e6, rel=0.05)
    assert sum(row["label"] == "campaign" for row in simulation.truth) == pytest.approx(25_000 * 1.17, rel=0.05)


def test_april_june_grows_from_fifty_probing_accounts_to_full_strength_in_five_days() -> None:
    simulation = simulate("april-june", 1, 1.0, text=False)
    pool = next(source for source in simulation._sources if isinstance(source, Pool))
    alive = [
        int(((pool.table["start_ms"] <= at) & (pool.table["end_ms"] > at)).sum())
        for at in (pool.begin_ms + int(day * DAY_MS) for day in (0.5, 3.0, 5.1))
    ]
    assert alive[0] == 50
    assert 50 < alive[1] < 5_000
    assert alive[2] == pytest.approx(25_000, rel=0.01)


def test_probes_are_mostly_refused() -> None:
    pool, rows = pools(Dials(accounts=200, start_day=0.5, days=4.0, probe_accounts=20, probe_days=1.0, ramp_days=2.0))[
        0
    ]
    probing = rows["time_ms"] < pool.probe_end_ms
    assert 0.5 < (rows["outcome"][probing] == REFUSED).mean() < 0.7
    assert (rows["outcome"][~probing] == REFUSED).mean() < 0.05


def test_balanced_load_is_more_even_than_chance_and_human_load_less() -> None:
    even = counts(*pools(Dials(accounts=100, per_account_day=20.0, start_day=0.1, days=4.0, timing="balanced"))[0])
    human = counts(*pools(Dials(accounts=100, per_account_day=20.0, start_day=0.1, days=4.0, timing="human"))[0])
    assert even.var() / even.mean() < 0.4
    assert human.var() / human.mean() > 3


def test_lockstep_accounts_meet_in_the_same_five_minutes() -> None:
    rows = pools(Dials(accounts=100, per_account_day=12.0, start_day=0.1, days=3.0, timing="lockstep"))[0][1]
    tiles = np.unique(rows["time_ms"] // 300_000)
    assert len(tiles) < 3 * 3 * 24
    per_tile = Counter((rows["time_ms"] // 300_000).tolist()).most_common(1)[0][1]
    assert per_tile > 50


def test_humanlike_accounts_have_nights_of_their_own() -> None:
    pool, rows = pools(Dials(accounts=80, per_account_day=40.0, start_day=0.1, days=4.0, timing="human"))[0]
    shift = pool.table["shift_h"][rows["account"] - pool.table["account"][0]]
    hour = (rows["time_ms"] / 3_600_000 + shift) % 24
    assert ((hour >= 1) & (hour < 5)).mean() < 0.06


def test_every_work_item_is_asked_once_and_slices_are_disjoint() -> None:
    rows = pools(Dials(accounts=100, per_account_day=200.0, start_day=0.1, days=2.0, content=(Content(kind="naked"),)))[
        0
    ][1]
    assert len(np.unique(rows["key"])) == len(rows)
    write = naked(12345, 0)
    texts = [write(int(key), 0, 0) for key in rows["key"][:4000]]
    assert len(set(texts)) > 0.985 * len(texts)
    beginnings = Counter(text[:64] for text in texts)
    assert sum(count for count in beginnings.values() if count >= 5) / len(texts) < 0.06


def test_one_template_shares_its_words_and_full_rewriting_does_not() -> None:
    def shared_words(rewrite: float) -> float:
        texts = [set(scaffold("coding", 1, rewrite, 3)(mixed64(item), 0, 0).split()) for item in range(200)]
        return float(np.mean([len(one & other) / len(one | other) for one, other in pairwise(texts)]))

    assert shared_words(0.0) > 0.3
    assert shared_words(0.0) > shared_words(0.15) > shared_words(1.0)
    assert shared_words(1.0) < 0.25


def test_contents_come_in_their_shares_over_the_same_accounts() -> None:
    content = (Content(share=0.4), Content(share=0.4, family="coding", templates=200), Content(kind="naked", share=0.2))
    pool, rows = pools(Dials(accounts=50, per_account_day=100.0, start_day=0.1, days=2.0, content=content))[0]
    parts = np.bincount(rows["writer"] - pool.first_writer) / len(rows)
    assert parts == pytest.approx([0.4, 0.4, 0.2], abs=0.03)
    assert len(np.unique(rows["account"][rows["writer"] == pool.first_writer + 2])) == 50


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_identifiers_are_shared_by_the_share_of_accounts_asked_for(share: float) -> None:
    dials = Dials(
        accounts=200, start_day=0.1, days=1.0, shared_payment=share, shared_network=share, shared_client=share
    )
    simulation = simulate(Scenario(2.0, (dials,), 300, None, ()), 3, 1.0, text=False)
    label = {row["account_id"]: row["label"] for row in simulation.truth}
    paid = Counter(r.payment_fp for r in simulation.accounts if r.payment_fp and label[r.account_id] == "campaign")
    assert sum(count for count in paid.values() if count > 3) == pytest.approx(200 * share, abs=30)
    pool = next(source for source in simulation._sources if isinstance(source, Pool))
    exits = set(pool.exits.tolist())
    rows = np.concatenate([pool.requests(np.random.default_rng(1), pool.begin_ms, pool.end_ms)])
    through = np.unique(rows["account"][np.isin(rows["address"], list(exits))])
    assert len(through) == pytest.approx(200 * share, abs=30)
    most = Counter(pool.table["shape"].tolist()).most_common(1)[0][1]
    assert (most >= 200 * share - 30) if share else (most < 60)


def test_a_reseller_mixes_its_customers_into_the_same_accounts() -> None:
    dials = Dials(accounts=80, per_account_day=10.0, start_day=0.1, days=4.0, mixed=0.9, timing="human")
    simulation = simulate(Scenario(4.1, (dials,), 300, None, ()), 3, 1.0, text=False)
    rows = np.concatenate(list(simulation.slices()))
    kinds = np.bincount(rows["truth"], minlength=3)
    assert kinds[BENIGN] / (kinds[BENIGN] + kinds[CAMPAIGN]) == pytest.approx(0.9, abs=0.05)
    both = set(rows["account"][rows["truth"] == BENIGN].tolist()) & set(
        rows["account"][rows["truth"] == CAMPAIGN].tolist()
    )
    assert len(both) > 70


def test_aged_accounts_were_there_and_used_before_the_campaign() -> None:
    dials = Dials(accounts=200, start_day=3.0, days=1.0, aged=1.0)
    simulation = simulate(Scenario(4.0, (dials,), 300, None, ()), 3, 1.0, text=False)
    pool = next(source for source in simulation._sources if isinstance(source, Pool))
    records = simulation._setting.roster.records
    ages = [pool.begin_ms - (records[account].created_ms or 0) for account in pool.table["account"].tolist()]
    assert min(ages) > 25 * DAY_MS
    rows = np.concatenate(list(simulation.slices()))
    warm = rows[(rows["truth"] == BENIGN) & (rows["time_ms"] < pool.begin_ms)]
    assert len(np.unique(warm["account"])) > 30


def test_churn_replaces_accounts_and_keeps_the_pool_size() -> None:
    pool, _ = pools(Dials(accounts=200, start_day=0.1, days=6.0, churn_per_day=0.1))[0]
    assert len(pool.table) == pytest.approx(200 * 1.6, rel=0.15)
    middle = pool.begin_ms + 3 * DAY_MS
    assert ((pool.table["start_ms"] <= middle) & (pool.table["end_ms"] > middle)).sum() == 200


def test_after_a_ban_a_fresh_pool_takes_over_within_hours_with_the_same_content() -> None:
    dials = Dials(accounts=100, start_day=0.1, days=4.0, ban_day=2.0, successor_accounts=70, successor_delay_h=3.0)
    (first, before), (second, after) = pools(dials)
    assert not set(first.table["account"].tolist()) & set(second.table["account"].tolist())
    assert (before["outcome"][before["time_ms"] >= first.banned_ms] == BLOCKED).all()
    assert before["time_ms"].max() < first.banned_ms + DAY_MS // 24
    assert 3.0 <= (after["time_ms"].min() - first.banned_ms) / 3_600_000 < 5.5
    assert first.first_writer == second.first_writer
    assert first.name != second.name


def test_a_ban_is_a_later_record_of_the_account() -> None:
    simulation = simulate("succession", 1, 0.01, text=False)
    banned = [record for record in simulation.accounts if record.status == "banned"]
    ban_ms = simulation.begin_ms + int((2.0 + 4.0) * DAY_MS)
    assert len(banned) == 50
    assert {record.status_ms for record in banned} == {ban_ms}
    assert all(record.effective_ms == ban_ms for record in banned)
    order = [record.effective_ms for record in simulation.accounts]
    assert order == sorted(order)


def test_half_of_the_traffic_is_on_the_new_model_a_day_after_its_release() -> None:
    rows = pools(Dials(accounts=300, start_day=0.1, days=5.0), release_day=2.0)[0][1]
    release = rows["time_ms"].min() - int(0.1 * DAY_MS) + 2 * DAY_MS
    day_after = rows[(rows["time_ms"] > release + DAY_MS * 0.9) & (rows["time_ms"] < release + DAY_MS * 1.2)]
    assert 0.4 < (day_after["model"] == NEW_MODEL).mean() < 0.65


def test_two_operators_share_the_proxies_and_nothing_else() -> None:
    (one, a), (other, b) = pools(Dials(accounts=60, start_day=0.1, days=2.0, operators=2, shared_network=1.0))
    assert set(one.exits.tolist()) == set(other.exits.tolist())
    assert set(a["address"].tolist()) & set(b["address"].tolist())
    assert not set(a["writer"].tolist()) & set(b["writer"].tolist())
    assert one.name != other.name


def test_replayed_blocks_were_issued_to_another_account() -> None:
    rows = pools(Dials(accounts=60, start_day=0.1, days=2.0, block_replay=0.5))[0][1]
    presented = rows[rows["block"] > 0]
    assert len(presented) / len(rows) == pytest.approx(0.5, abs=0.05)
    assert (presented["issuer"] != presented["account"]).mean() > 0.9


def test_scale_multiplies_accounts_and_not_intensities() -> None:
    small, large = simulate("relay", 1, 0.05, text=False), simulate("relay", 1, 0.1, text=False)

    def campaign(simulation: object) -> int:
        return sum(row["label"] == "campaign" for row in simulation.truth)  # type: ignore[attr-defined]

    assert campaign(large) == pytest.approx(2 * campaign(small), rel=0.02)
    assert len(large.truth) == pytest.approx(2 * len(small.truth), rel=0.2)


def test_dials_refuse_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="mixed"):
        Dials(mixed=0.99)
    with pytest.raises(ValueError, match="add up"):
        Dials(content=(Content(share=0.5),))
    with pytest.raises(ValueError, match="family"):
        Content(family="poetry")

"""The benign cohorts do what their docstrings claim, as far as figures go."""

import json
from collections import Counter

import numpy as np
import pytest

from detector.simulate import Simulation, simulate
from detector.simulate.actors import DAY_MS, HOUR_MS, NEW_MODEL, Cohort, Table
from detector.simulate.grammar import mixed64
from detector.simulate.networks import MOBILE_HOSTS, NETWORKS
from detector.simulate.writers import BenignWriters
from tests.simulate.worlds import World

COHORTS = {
    "people", "developers", "api_apps", "api_large", "gateway", "popular_tool", "niche_tool", "automation_platform",
    "nightly_evaluation", "ci_fleet", "office", "company_accounts", "bulk_classification", "retrieval_backfill",
    "licensed_synthetic_data", "class", "hackathon", "release_day", "retry_storm", "shared_address",
}  # fmt: skip


@pytest.fixture(scope="module")
def large() -> Simulation:
    """A bigger world whose parameters are looked at, and of which single cohorts are drawn."""
    return simulate("quiet", 3, 0.2, text=False)


def cohort(simulation: Simulation, name: str) -> Cohort:
    return next(source for source in simulation._sources if source.name == name and isinstance(source, Cohort))


def drawn(simulation: Simulation, name: str, days: int) -> Table:
    begin = simulation.begin_ms
    rows = cohort(simulation, name).requests(np.random.default_rng(1), begin, begin + days * DAY_MS)
    return rows[np.lexsort((rows["time_ms"], rows["session"]))]


def gaps_s(rows: Table) -> np.ndarray:
    same = rows["session"][1:] == rows["session"][:-1]
    gaps: np.ndarray = np.diff(rows["time_ms"])[same] / 1000
    return gaps


def test_every_cohort_is_in_the_quiet_world_and_sends_something(quiet: World) -> None:
    assert set(np.unique(quiet.cohort)) == COHORTS


def test_nobody_in_the_quiet_world_is_a_campaign(quiet: World) -> None:
    assert {row["label"] for row in quiet.simulation.truth} == {"benign"}
    assert not quiet.rows["truth"].any()


def test_people_pause_as_in_the_trace_and_have_about_ten_requests_a_session(large: Simulation) -> None:
    rows = drawn(large, "people", 5)
    low, middle, high = np.quantile(gaps_s(rows), [0.05, 0.5, 0.95])
    assert 15 < low < 27
    assert 95 < middle < 120
    assert 400 < high < 700
    _, lengths = np.unique(rows["session"], return_counts=True)
    assert 7 < lengths.mean() < 13


def test_people_sleep(large: Simulation) -> None:
    rows = drawn(large, "people", 5)
    shift = dict(zip(*(cohort(large, "people").table[name].tolist() for name in ("account", "shift_h")), strict=True))
    hour = np.array([(time / HOUR_MS + shift[account]) % 24 for account, time in rows[["account", "time_ms"]].tolist()])
    assert ((hour >= 1) & (hour < 5)).mean() < 0.05
    assert ((hour >= 9) & (hour < 22)).mean() > 0.7


def test_agents_loop_as_in_the_trace(large: Simulation) -> None:
    rows = drawn(large, "developers", 2)
    middle, high = np.quantile(gaps_s(rows), [0.5, 0.99])
    assert 3.5 < middle < 4.5
    assert 35 < high < 52
    assert 0.78 < rows["cached"].sum() / rows["input"].sum() < 0.88
    _, lengths = np.unique(rows["session"], return_counts=True)
    assert 30 < lengths.mean() < 60


def test_api_customers_are_unequal_often_fixed_in_length_and_sometimes_always_on(large: Simulation) -> None:
    table = cohort(large, "api_apps").table
    volume = np.sort(table["sessions_per_day"] * table["turns"])
    count = len(volume)
    gini = (2 * np.arange(1, count + 1) - count - 1) @ volume / (count * volume.sum())
    assert 0.75 < gini < 0.9
    assert 0.28 < (table["input_sigma"] < 0.05).mean() < 0.45
    first_week = table["start_ms"][table["start_ms"] < large.begin_ms + 7 * DAY_MS]
    assert 0.15 < (first_week > large.begin_ms + DAY_MS).mean() < 0.38
    production = simulate("quiet", 4, 1.0, text=False)
    rows = drawn(production, "api_large", 2)
    busy = [
        len(np.unique(rows["time_ms"][rows["account"] == account] // 600_000)) / 288
        for account in np.unique(rows["account"])
    ]
    assert 0.08 < (np.array(busy) >= 0.95).mean() < 0.35


def test_new_accounts_sign_up_all_the_time(quiet: World) -> None:
    created = np.array([record.created_ms for record in quiet.simulation.accounts])
    per_day = np.bincount(
        ((created - quiet.simulation.begin_ms) // DAY_MS)[created >= quiet.simulation.begin_ms], minlength=14
    )
    assert (per_day > 0).sum() >= 12
    active = np.unique(quiet.rows["account"])
    all_created = np.array([record.created_ms for record in quiet.simulation._setting.roster.records])
    assert (all_created[active] > quiet.simulation.begin_ms).mean() > 0.05


def test_a_class_is_new_accounts_with_one_assignment_on_one_network_in_one_hour(large: Simulation) -> None:
    rows = cohort(large, "class").requests(np.random.default_rng(1), large.begin_ms, large.begin_ms + DAY_MS)
    one = rows[rows["key"] == rows["key"][0]]
    assert len(np.unique(one["account"])) >= 15
    assert one["time_ms"].max() - one["time_ms"].min() < 1.5 * HOUR_MS
    assert Counter((one["address"] >> 16).tolist()).most_common(1)[0][1] > 0.85 * len(one)
    write = BenignWriters().student
    texts = Counter(write(int(one["key"][0]), mixed64(seed), 0) for seed in range(60))
    assert 3 < len(texts) < 50
    assert texts.most_common(1)[0][1] >= 5


def test_benchmark_items_are_the_same_texts_for_every_organisation(quiet: World) -> None:
    rows = quiet.of("nightly_evaluation")
    write = BenignWriters().benchmark
    same = rows[(rows["key"] == rows["key"][0]) & (rows["turn"] == 7)]
    assert len({write(key, seed, turn) for key, seed, turn in same[["key", "seed", "turn"]].tolist()}) == 1
    assert len({write(1, 5, turn) for turn in range(200)}) > 195


def test_people_repeat_each_other_and_copy_published_prompts() -> None:
    write = BenignWriters().chat
    texts = Counter(write(mixed64(session), mixed64(session + 10**9), 0) for session in range(5000))
    repeated = sum(count for text, count in texts.items() if count > 1) / 5000
    copied = max(count for text, count in texts.items() if len(text) > 120)
    assert 0.08 < repeated < 0.4
    assert copied >= 5


def test_the_long_tail_of_tools_has_few_users_each(large: Simulation) -> None:
    users = Counter(cohort(large, "niche_tool").table["key"].tolist())
    assert len(users) > 15
    assert np.median(list(users.values())) < 40
    assert max(users.values()) > 4 * np.median(list(users.values()))


def test_an_office_is_one_address_and_one_organisation_with_many_accounts(quiet: World) -> None:
    records = quiet.simulation._setting.roster.records
    rows = quiet.of("office")
    address, count = Counter(rows["address"].tolist()).most_common(1)[0]
    there = np.unique(rows["account"][rows["address"] == address])
    assert count > 50
    assert len(there) >= 5
    assert len({records[account].org_id for account in there}) == 1


def test_strangers_share_addresses_behind_carriers(large: Simulation) -> None:
    rows = np.concatenate([drawn(large, "people", 5), drawn(large, "shared_address-mobile", 5)])
    rows = rows[NETWORKS.hosts[rows["address"] >> 16] == MOBILE_HOSTS]
    pairs = np.unique(np.stack([rows["address"], rows["account"].astype(np.int64)]), axis=1)
    _, accounts = np.unique(pairs[0], return_counts=True)
    assert (accounts > 1).mean() > 0.1


def test_everybody_tries_the_new_model_on_its_day(quiet: World) -> None:
    release = quiet.simulation._setting.release_ms
    assert not (quiet.rows["model"][quiet.rows["time_ms"] < release] == NEW_MODEL).any()
    day = quiet.rows[(quiet.rows["time_ms"] >= release) & (quiet.rows["time_ms"] < release + DAY_MS)]
    tried = np.unique(day["account"][day["model"] == NEW_MODEL])
    assert len(tried) > 0.1 * len(np.unique(day["account"]))


def test_clients_leave_their_defaults_alone_and_look_alike(large: Simulation) -> None:
    shapes = large._setting.shapes
    table = cohort(large, "api_apps").table

    def visible(shape: int) -> str:
        values = json.loads("{" + shapes.text[shape] + "}")
        return json.dumps({name: value for name, value in values.items() if name != "system_hash"}, sort_keys=True)

    common = Counter(visible(shape) for shape in table["shape"].tolist()).most_common(1)[0][1]
    assert common >= 0.02 * len(table)

"""Sweeps of dials: which campaigns are run, where half was served, what is written of it."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from detector.runtime.evasion import (
    BASE,
    DIALS,
    HALF,
    SERVED_BEFORE_OWN_FLAG,
    Breakdown,
    Dial,
    World,
    breakdown,
    evasion_page,
    points,
    said,
    sweep,
    table,
)
from detector.runtime.grid import run_job, stream_of
from detector.runtime.scenarios import WITHHELD
from detector.scorecard import ScoreCard
from detector.simulate import Scenario
from tests.bench.settings import pipeline_settings
from tests.evaluate.cases import START, benign, campaign, card, every_hour, finding

STREAM = [*every_hour("h0", 10), *every_hour("p0", 30)]
TRUTH = [*campaign("h0"), *benign("p0")]


def having(**turned: float) -> World:
    return World(replace(BASE, **turned))


RATE = Dial("rate", "a rate", (1000.0, 100.0, 10.0, 1.0), lambda x: having(per_account_day=x), logarithmic=True)
MIXED = Dial("mixed", "a share", (0.0, 0.5, 0.9), lambda x: having(mixed=x))


def cards(dial: Dial, *served: Sequence[float], system: str = "detector", own: float | None = None) -> list[ScoreCard]:
    """The cards of a dial: for each value the served shares of its seeds; `own`, that before each account's flag."""
    one = card(STREAM, TRUTH, [finding(START, ["h0"])])
    return [
        msgspec.structs.replace(
            one,
            system=system,
            scenario=dial.turned(value).name,
            seed=seed,
            served_share=share,
            served_share_by_account=share if own is None else own,
            hours_to_detect=None if share == 1 else 2.0 + seed,
        )
        for value, shares in zip(dial.values, served, strict=False)
        for seed, share in enumerate(shares)
    ]


def broken(dial: Dial, *served: Sequence[float]) -> str:
    return said(dial, breakdown(dial, points(dial, cards(dial, *served))))


def shown(dial: Dial, *served: Sequence[float]) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(table(dial, points(dial, cards(dial, *served))))
    return out.getvalue()


@pytest.mark.parametrize("dial", DIALS, ids=lambda dial: dial.name)
def test_a_dial_runs_one_way_over_values_that_make_different_campaigns(dial: Dial) -> None:
    places = [dial.place(value) for value in dial.values]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, 1)
    assert len({dial.turned(value) for value in dial.values}) == len(dial.values)


def test_a_campaign_that_stands_on_several_dials_is_run_once_a_seed() -> None:
    jobs = sweep(DIALS, [1, 2])
    different = {(job.world, job.scenario.endswith(WITHHELD), job.seed) for job in jobs}
    assert len(different) == len({(job.scenario, job.seed) for job in jobs}) == len(jobs)
    assert [job.seed for job in jobs if job.scenario == "base"] == [1, 2]


def test_a_campaign_is_named_after_what_is_different_from_the_base() -> None:
    part = BASE.content[0]
    half = replace(part, share=0.5)
    for world, name in (
        (World(), "base"),
        (World(replace(BASE, mixed=0.5, aged=1.0)), "mixed=0.5 aged=1.0"),
        (World(replace(BASE, content=(replace(part, templates=9),))), "templates=9"),
        (World(replace(BASE, content=(half, replace(half, kind="naked")))), "share=0.5 + kind=naked share=0.5"),
        (World(release_day=2.0), "release_day=2.0"),
        (World(withheld=True), "base-withheld"),
    ):
        assert world.name == name


def test_a_world_says_what_is_true_beside_its_campaign() -> None:
    by_name = {dial.name: dial for dial in DIALS}
    timing, release, bare = (by_name[name] for name in ("timing", "release", "bare"))
    assert [timing.turned(value).campaign.timing for value in timing.values] == list(timing.words)
    days = [release.turned(value).scenario for value in release.values]
    assert [(world.release_day or 0) < world.days for world in days] == [False, True, True]
    assert [world.campaigns[0].pivot for world in days[1:]] == [False, True]
    shares = [[(part.kind, part.share) for part in bare.turned(value).campaign.content] for value in (0, 0.5, 1)]
    assert shares == [[("scaffold", 1)], [("scaffold", 0.5), ("naked", 0.5)], [("naked", 1)]]
    (job,) = (job for job in sweep([by_name["withheld"]], [1]) if job.scenario != "base")
    assert not any(b"prompt_text" in line for line in next(iter(stream_of(job, 0)[0])))


def test_values_that_are_no_numbers_are_told_in_words() -> None:
    dial = Dial("timing", "timing", (0, 1, 2), lambda x: having(mixed=x / 4), words=("one", "two", "three"))
    run = cards(dial, [0.1], [0.2], [0.9])
    assert said(dial, breakdown(dial, points(dial, run))) == "three (not two)"
    made = evasion_page([dial], run)
    assert ">one</text>" in made
    assert "<td>one, two, three</td>" in made
    assert "three" in shown(dial, [0.1], [0.2], [0.9])


def test_a_job_with_a_world_of_its_own_reaches_another_process_and_is_run_by_its_name() -> None:
    (job,) = sweep([replace(MIXED, values=(0.0,))], [1])
    tiny = Scenario(0.2, (replace(BASE, start_day=0.0, days=0.2),), benign_accounts=100, least_accounts=12)
    sent = pickle.loads(pickle.dumps(replace(job, world=tiny, scale=0.0)))
    found = run_job(sent, pipeline_settings(None))[0]
    assert (found.scenario, found.seed, found.system) == ("base", 1, "detector")
    assert [c.accounts for c in found.campaigns] == [12]


def test_the_breakdown_is_interpolated_on_the_dials_own_scale() -> None:
    found = breakdown(RATE, points(RATE, cards(RATE, [0.0], [0.25], [0.75], [1.0])))
    assert found is not None
    assert found.at == pytest.approx(10**1.5)  # half way between 100 and 10, logarithmically
    assert (found.held, found.broken) == (100.0, 10.0)
    assert broken(MIXED, [0.0], [0.4], [0.9]) == "0.58 (between 0.5 and 0.9)"


def test_a_share_of_one_half_is_a_breakdown() -> None:
    assert broken(MIXED, [0.0], [0.5], [0.9]) == "0.5 (between 0 and 0.5)"


def test_a_dial_that_never_serves_half_has_no_breakdown() -> None:
    assert broken(MIXED, [0.0], [0.1], [0.49]) == "not reached"


def test_a_dial_that_serves_half_at_once_says_so() -> None:
    assert broken(MIXED, [0.6], [0.1], [0.7]) == "from 0 on, the easiest value tried"


def test_the_first_of_several_crossings_counts() -> None:
    assert broken(RATE, [0.0], [1.0], [0.0], [1.0]).endswith("(between 1,000 and 100)")


def test_the_breakdown_is_that_of_the_mean_over_the_seeds() -> None:
    assert broken(MIXED, [0.0, 0.0], [0.0, 0.9], [0.4, 0.6]) == "0.9 (between 0.5 and 0.9)"


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_breakdown_lies_between_the_last_value_held_and_the_first_broken(shares: list[float]) -> None:
    found = breakdown(RATE, points(RATE, cards(RATE, *([share] for share in shares))))
    reached = [value for value, share in zip(RATE.values, shares, strict=True) if share >= HALF]
    if not reached:
        assert found is None
        return
    assert found is not None
    assert found.broken == reached[0]
    assert found.broken * (1 - 1e-9) <= found.at <= (found.held or found.broken) * (1 + 1e-9)


def test_a_campaign_that_is_seen_without_most_of_its_accounts_breaks_down_by_account() -> None:
    tried = points(MIXED, cards(MIXED, [0.1], [0.1], [0.1], own=0.9))
    assert breakdown(MIXED, tried) is None
    assert breakdown(MIXED, tried, SERVED_BEFORE_OWN_FLAG) == Breakdown(0.0, None, 0.0)


def test_points_are_of_the_detector_alone_and_only_of_what_was_run() -> None:
    run = [*cards(MIXED, [0.1], [0.2]), *cards(MIXED, [0.9], [0.9], [0.9], system="rate_limit")]
    assert [(p.value, p.served) for p in points(MIXED, run)] == [(0.0, [0.1]), (0.5, [0.2])]


def test_the_table_has_the_mean_and_the_spread_over_the_seeds() -> None:
    text = shown(MIXED, [0.1, 0.3], [0.2, 0.2], [1.0, 0.8])
    assert "20 % (10 % to 30 %)" in text
    assert "2.5 (2 to 3)" in text
    assert "3, 1 of 2" in text  # the seed in which it was found
    assert "0 in 4 account-days" in text
    assert "a share: 50 % served at: 0.671 (between 0.5 and 0.9)" in text


def test_a_campaign_that_was_never_found_has_no_time() -> None:
    assert "never" in shown(MIXED, [0.1], [0.2], [1.0])


def test_the_page_has_the_plots_of_every_dial_and_asks_the_network_for_nothing() -> None:
    odd = replace(MIXED, title="<b>")
    made = evasion_page([RATE, odd], [*cards(RATE, [0.0], [0.1], [0.2], [0.9]), *cards(odd, [0.1], [0.2], [0.3])])
    assert made.count("<svg") == 2 * 3 + 1
    assert not re.search(r"https?://|src=|@import|url\(", made)
    assert "<b>" not in made
    assert "&lt;b&gt;" in made
    assert "not reached" in made
    assert "people" in made  # the cohort of who is flagged wrongly


def test_a_point_that_was_not_found_is_a_ring_at_the_top_of_the_time_to_detect() -> None:
    made = evasion_page([MIXED], cards(MIXED, [0.1], [0.2], [1.0]))
    rings = re.findall(r'<circle cx="[\d.]+" cy="([\d.]+)" r="4" fill="none"', made)
    assert rings == ["24.0"]


def test_the_plot_puts_what_is_hard_to_the_right() -> None:
    made = evasion_page([RATE], cards(RATE, [0.0], [0.1], [0.2], [0.9]))
    (first,) = re.findall(r'<polyline points="([^"]*)"', made.split("</svg>")[0])
    across = [float(pair.split(",")[0]) for pair in first.split()]
    down = [float(pair.split(",")[1]) for pair in first.split()]
    assert across == sorted(across)
    assert across[1] - across[0] == pytest.approx(across[2] - across[1], abs=0.2)  # a tenth each time
    assert down == sorted(down, reverse=True)

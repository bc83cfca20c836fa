"""Intervals, bars and the page."""

from __future__ import annotations

import io
import re

import msgspec
import pytest
from rich.console import Console

from detector.errors import ConfigError
from detector.runtime.report import _round_ticks, cohort_table, interval, page, parse_bar, summary_table, wilson
from detector.scorecard import ScoreCard, brier
from tests.evaluate.cases import DAY, START, benign, campaign, card, every_hour, finding

STREAM = [*every_hour("h0", 10), *every_hour("p0", 30), ("p1", START + DAY)]
TRUTH = [*campaign("h0"), *benign("p0", "p1")]


def cards(*served: float | None, system: str = "detector", scenario: str = "s", flags: int = 0) -> list[ScoreCard]:
    one = card(STREAM, TRUTH, [finding(START, ["h0"])])
    return [
        msgspec.structs.replace(
            one, served_share=s, system=system, scenario=scenario, seed=i, false_flags=flags, benign_account_days=1_000
        )
        for i, s in enumerate(served)
    ]


def test_the_interval_of_a_mean_is_students_t_over_the_seeds() -> None:
    found = interval("served_share", cards(0.1, 0.2, 0.3))
    assert found.mean == pytest.approx(0.2)
    half = 4.302653 * 0.1 / 3**0.5  # t(0.975, 2) · s / √n
    assert found.low == 0  # 0.2 - half would be below: a share is not
    assert found.high == pytest.approx(0.2 + half)


def test_one_seed_has_no_interval() -> None:
    found = interval("served_share", cards(0.1))
    assert (found.mean, found.low, found.high) == (0.1, None, None)


def test_a_share_stays_between_none_and_all() -> None:
    found = interval("served_share", cards(0.0, 1.0))
    assert (found.low, found.high) == (0, 1)


def test_a_mean_over_seeds_is_unknown_when_one_of_them_is() -> None:
    assert interval("served_share", cards(0.1, None)).mean is None


def test_no_false_flag_at_all_still_has_an_upper_limit() -> None:
    found = interval("false_flags_per_million", cards(0.0, 0.0, 0.0))
    assert (found.mean, found.low) == (0, 0)
    assert found.high == pytest.approx(3.688879 / 3_000 * 1e6)  # Garwood: -ln 0.025 over all account-days


def test_false_flags_are_pooled_over_the_seeds() -> None:
    assert interval("false_flags_per_million", cards(0.0, 0.0, flags=2)).mean == pytest.approx(4 / 2_000 * 1e6)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("served_share<=0.21", True),
        ("served_share<=0.19", False),
        ("served_share < 0.2", False),
        ("recall>=0.95", True),
        ("false_flags==0", True),
    ],
)
def test_a_bar_is_held_by_the_mean_over_the_seeds(text: str, held: bool) -> None:
    assert (parse_bar(text).missed_by(cards(0.1, 0.2, 0.3)) is None) == held


def test_a_bar_on_what_is_not_known_is_missed() -> None:
    assert parse_bar("served_share<=1").missed_by(cards(None)) == "unknown"
    assert parse_bar("served_share<=1").missed_by([]) == "unknown"


def test_a_bar_on_an_unknown_figure_names_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError) as error:
        parse_bar("serve_share<=0.1")
    assert error.value.nearest == "served_share"


@pytest.mark.parametrize("text", ["served_share", "served_share<=often", "served_share<=1e", "system==1", ""])
def test_what_is_no_bar_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_bar(text)


def test_the_page_asks_the_network_for_nothing_and_escapes_names() -> None:
    made = page("t", [*cards(0.1, 0.2, scenario="<s>"), *cards(1.0, system="other", scenario="<s>")], {})
    assert not re.search(r"https?://|src=|@import|url\(", made)
    assert "<s>" not in made
    assert "&lt;s&gt;" in made


def test_names_are_shown_and_never_obeyed() -> None:
    """Labels come from a file that somebody gave; the console knows `[red]`, the terminal escapes, the page tags."""
    evil = "[red]<script>alert(1)</script>[/nothing]\x1b[2J\n'\""
    (one,) = cards(0.1, scenario=evil, system=evil)
    cohorts = [msgspec.structs.replace(cohort, cohort=evil) for cohort in one.cohorts]
    named = msgspec.structs.replace(one, cohorts=cohorts)
    assert cohorts
    out = io.StringIO()
    other = msgspec.structs.replace(named, scenario="two")
    Console(file=out, width=1_000).print(summary_table([named, other]), cohort_table([named]))
    assert out.getvalue().count("[red]<script>alert(1)</script>[/nothing]\\x1b[2J\\n") == 4
    assert "\x1b" not in out.getvalue()
    bars = {evil: [parse_bar("served_share<=0.2")]}
    assert "<script" not in page(evil, [named, other], bars, note=evil)


def plot(made: str, heading: str) -> str:
    """What stands under a heading of the page."""
    return made.split(f"<h2>{heading}</h2>")[1].split("<h2>", maxsplit=1)[0]


def test_the_page_has_a_bar_for_each_benign_cohort_as_long_as_its_rate() -> None:
    (one,) = cards(0.1)
    (people,) = one.cohorts
    rates = [("people", 2, 4_000), ("class", 1, 8_000), ("office", 0, 500)]
    cohorts = [msgspec.structs.replace(people, cohort=n, false_flags=f, account_days=d) for n, f, d in rates]
    made = plot(page("t", [msgspec.structs.replace(one, cohorts=cohorts)], {}), "False flags per benign cohort")
    names = re.findall(r'text-anchor="end">([^<]*)</text>', made)
    assert names == ["all of them", "class", "office", "people"]
    long = dict(zip(names, map(float, re.findall(r'<rect[^>]* width="([\d.]+)"', made)), strict=True))
    assert long["people"] == pytest.approx(4 * long["class"], abs=0.2)
    assert long["all of them"] == pytest.approx(long["people"] * (3 / 12_500) / (2 / 4_000), abs=0.2)
    assert long["office"] == 0
    for said in ("500 (2 in 4,000 account-days)", "0 (0 in 500 account-days)", "per million benign account-days"):
        assert said in made


@pytest.mark.parametrize("most", [10.0, 97.1, 214.0, 999.9, 1_000.0, 26_050.0])
def test_ticks_are_few_round_and_reach_the_longest_bar(most: float) -> None:
    ticks = _round_ticks(most)
    assert ticks[0] == 0
    assert ticks[-2] < most <= ticks[-1]
    assert 4 <= len(ticks) <= 7


def test_the_page_has_the_time_to_detect_of_each_scenario_with_its_interval() -> None:
    def timed(scenario: str, *hours: float | None) -> list[ScoreCard]:
        return [
            msgspec.structs.replace(one, hours_to_detect=h)
            for one, h in zip(cards(*[0.1] * len(hours), scenario=scenario), hours, strict=True)
        ]

    made = plot(page("t", [*timed("quick", 1.0, 1.2), *timed("slow", 40.0, 50.0)], {}), "Time to detect")
    dots = [float(at) for at in re.findall(r'<circle cx="([\d.]+)"', made)]
    ends = [(float(a), float(b)) for a, b in re.findall(r'x1="([\d.]+)" x2="([\d.]+)"[^>]*stroke-width="2"', made)]
    assert dots[0] < dots[1]
    assert all(low < dot < high for dot, (low, high) in zip(dots, ends, strict=True))
    assert "detector: 45 [0, 109]" in made
    gone = plot(page("t", [*timed("seen", 1.0, None), *timed("unseen", None)], {}), "Time to detect")
    assert "<circle" not in gone
    assert "in 1 of 2 seeds" in gone
    assert "never" in gone


def test_the_page_is_readable_in_the_dark() -> None:
    made = page("t", [*cards(0.1, 0.2), *cards(0.3, system="other")], {})
    style, body = made.split("</style>")
    assert "prefers-color-scheme:dark" in style
    assert not re.search(r'(?:fill|stroke)="#', body)  # colours have names, and each of them two values
    assert set(re.findall(r"var\((--\w+)\)", made)) <= set(re.findall(r"(--\w+):", style))


def test_the_page_says_which_bars_held() -> None:
    bars = {"s": [parse_bar("served_share<=0.2"), parse_bar("served_share<=0.01")]}
    made = page("t", cards(0.1, 0.2), bars)
    assert "served_share&lt;=0.2 held" in made
    assert "served_share&lt;=0.01 missed: 0.15" in made


def test_the_table_has_a_row_for_each_system_of_each_scenario() -> None:
    table = summary_table([*cards(0.1), *cards(0.2, system="rate_limit"), *cards(0.3, scenario="two")])
    assert table.row_count == 3
    out = io.StringIO()
    Console(file=out, width=300).print(table)
    assert "rate_limit" in out.getvalue()


def test_the_cohort_table_sums_over_the_cards() -> None:
    out = io.StringIO()
    Console(file=out, width=200).print(cohort_table(cards(0.1, 0.2)))
    (row,) = [line for line in out.getvalue().splitlines() if "people" in line]
    assert re.findall(r"\d+", row)[:3] == ["4", "6", "0"]  # two accounts, three account-days, twice


def test_the_page_shows_how_often_a_confidence_was_right() -> None:
    claimed = [(0.55, False), (0.95, True), (0.99, True), (0.98, False)]
    made = page("t", [msgspec.structs.replace(cards(0.1)[0], claims=claimed)], {})
    assert "4 campaigns claimed" in made
    assert f"Brier score {brier(claimed):.3f}" in made
    assert "0.97 to 1: 1 of 2 claims true, mean 0.985" in made
    assert made.count("claims true") == 3


def test_a_page_without_claims_says_so() -> None:
    assert "No campaign was claimed" in page("t", [msgspec.structs.replace(cards(None)[0], claims=[])], {})


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    low, high = wilson(3, 3)
    assert (low, high) == pytest.approx((3 / (3 + 1.959964**2), 1.0), abs=1e-6)
    assert wilson(0, 3) == pytest.approx((1 - high, 1 - low), abs=1e-6)

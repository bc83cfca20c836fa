"""The grid: which runs there are, which bars they must hold, and what is written of them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from detector.errors import ConfigError, InputError
from detector.runtime.evasion import DIALS
from detector.runtime.grid import (
    FIRST_SEED,
    TARGETS,
    Job,
    bars_of,
    jobs_of,
    missed_bars,
    read_cards,
    run_grid,
    run_job,
    write_results,
)  # fmt: skip
from detector.runtime.report import parse_bar
from detector.scorecard import ScoreCard
from detector.simulate import SCENARIOS
from tests.bench.evaluate import main
from tests.bench.settings import pipeline_settings
from tests.evaluate.cases import START, benign, campaign, card, every_hour, finding

STREAM = [*every_hour("h0", 10), *every_hour("p0", 30)]
TRUTH = [*campaign("h0"), *benign("p0")]


def ours(scenario: str, **changes: object) -> ScoreCard:
    one = card(STREAM, TRUTH, [finding(START, ["h0"])])
    return msgspec.structs.replace(one, system="detector", scenario=scenario, **changes)


def recorded(folder: Path) -> Path:
    """Write a tiny stream into the folder."""
    folder.mkdir()
    event = msgspec.json.encode
    lines = [event({"id": f"{a}{t}", "time_ms": t, "account_id": a, "model": "m"}) for a, t in STREAM]
    (folder / "events.ndjson").write_bytes(b"\n".join(lines))
    (folder / "accounts.ndjson").write_bytes(event({"account_id": "h0", "created_ms": START}) + b"\n")
    (folder / "truth.ndjson").write_bytes(b"\n".join(event(r) for r in TRUTH))
    return folder


def test_every_target_is_of_a_scenario_that_exists() -> None:
    assert {name.removesuffix("-withheld") for name in TARGETS} <= set(SCENARIOS)


def test_a_grid_has_every_scenario_with_every_seed_and_baselines_once() -> None:
    jobs = jobs_of(["relay", "quiet"], 3, full=False)
    assert [(j.scenario, j.seed) for j in jobs] == [
        (s, n) for n in range(FIRST_SEED, FIRST_SEED + 3) for s in ("relay", "quiet")
    ]
    assert [j.baselines for j in jobs] == [True, True, False, False, False, False]


def test_a_small_grid_cuts_the_days_and_a_scale_of_ones_own_does_not() -> None:
    def size(**more: float) -> tuple[float, float | None]:
        (job,) = jobs_of(["relay"], 1, full=False, **more)
        return job.scale, job.days

    assert size() == (0.02, 12.0)
    assert size(scale=0.2) == (0.2, None)


def test_rates_that_a_small_scale_cannot_show_are_bars_of_the_full_grid_only() -> None:
    def metrics(*, full: bool) -> set[str]:
        return {bar.metric for bar in bars_of(["quiet"], full=full)["quiet"]}

    assert "false_flags_per_million" in metrics(full=True)
    assert metrics(full=False) == {"wrong_campaigns"}


def test_a_campaign_scenario_must_also_hold_recall_and_precision() -> None:
    assert {"recall", "precision", "served_share"} <= {bar.metric for bar in bars_of(["relay"], full=False)["relay"]}


def test_a_missed_bar_is_named_with_what_was_measured() -> None:
    bars = {"relay": [parse_bar("served_share<=0.01"), parse_bar("recall>=0.95")]}
    assert missed_bars([ours("relay", served_share=0.5)], bars) == ["relay: served_share<=0.01 missed: 0.5"]


def test_a_scenario_that_was_not_run_misses_its_bars() -> None:
    assert len(missed_bars([], {"relay": [parse_bar("recall>=0.95")]})) == 1


def test_a_baseline_neither_holds_nor_misses_a_bar() -> None:
    cards = [ours("relay"), ours("relay", served_share=1.0)]
    cards[1] = msgspec.structs.replace(cards[1], system="rate_limit")
    assert missed_bars(cards, {"relay": [parse_bar("served_share<=0.01")]}) == []


def test_results_are_a_page_and_cards_that_can_be_read_back(tmp_path: Path) -> None:
    cards = [ours("relay")]
    write_results(tmp_path / "out", cards, {}, "title", "note")
    assert msgspec.json.decode((tmp_path / "out" / "cards.json").read_bytes(), type=list[ScoreCard]) == cards
    assert "relay" in (tmp_path / "out" / "index.html").read_text()


def test_what_are_no_cards_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cards.json").write_text("[{}]")
    for path in (tmp_path / "cards.json", tmp_path / "gone.json", tmp_path):
        with pytest.raises(InputError, match=f"{path}: no score cards"):
            read_cards(path)


def test_the_page_of_an_evaluation_shows_the_dials_of_an_evasion_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dial,) = (dial for dial in DIALS if dial.name == "mixed")
    turned = [ours(dial.turned(value).name, served_share=value) for value in dial.values]
    write_results(tmp_path / "evasion", turned, {}, "title", "note")
    args = ["--streams", str(recorded(tmp_path / "mine")), "--no-baselines", "--out", str(tmp_path / "out")]
    main([*args, "--evasion", str(tmp_path / "evasion" / "cards.json")])
    made = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "<h2>mine</h2>" in made
    assert f"<h2>{dial.title}</h2>" in made
    assert made.count("time to detect (ring") == 1  # of the dials that were run
    assert main([*args, "--evasion", str(tmp_path / "gone")]) == 1
    assert "no score cards" in capsys.readouterr().out


def test_a_recorded_stream_is_a_folder(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "mine")
    card = run_job(Job("mine", folder=folder), pipeline_settings(None))[0]
    assert (card.scenario, card.events, card.accounts) == ("mine", len(STREAM), 2)


def test_a_folder_without_events_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no events"):
        run_job(Job("mine", folder=tmp_path), pipeline_settings(None))


def test_an_unknown_scenario_is_refused() -> None:
    with pytest.raises(ConfigError, match="no such scenario"):
        run_job(Job("nonesuch"), pipeline_settings(None))
    with pytest.raises(ConfigError, match="no such scenario"):
        jobs_of(["nonesuch"], 1, full=False)
    assert main(["--only", "nonesuch"]) == 2


def test_jobs_run_in_processes_of_their_own_and_come_back_in_order(tmp_path: Path) -> None:
    jobs = [Job(name, folder=recorded(tmp_path / name)) for name in ("one", "two")]
    ended: list[str] = []
    cards = run_grid(jobs, pipeline_settings(None), processes=2, done=lambda job, _: ended.append(job.scenario))
    assert [c.scenario for c in cards if c.system == "detector"] == ["one", "two"]
    assert sorted(ended) == ["one", "two"]


def test_the_error_of_a_job_ends_the_grid(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run_grid([Job("gone", folder=tmp_path)], pipeline_settings(None), processes=1)

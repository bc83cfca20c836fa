"""`make evaluate`: the score card of every scenario, beside the baselines, over seeds.

    python -m tests.bench.evaluate [--full | --scale 0.1] [--seeds 5] [--only relay,quiet] [--config FILE]
    python -m tests.bench.evaluate --streams FOLDER…     recorded streams instead, a folder each
    … --evasion out/evasion/cards.json                   with the dials of `make evasion` on the same page

Exit code 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from detector.errors import ConfigError, DetectorError
from detector.pipeline import PipelineSettings
from detector.runtime.evaluate import OURS
from detector.runtime.evasion import BREAKDOWN, DIALS, evasion_parts
from detector.runtime.grid import FIRST_SEED, Job, bars_of, jobs_of, missed_bars, read_cards, run_grid, write_results
from detector.runtime.report import cohort_table, parse_bar, summary_table
from detector.scorecard import ScoreCard
from tests.bench.settings import pipeline_settings

SCENARIOS = (
    "april-june", "relay", "burst", "small-heavy", "hydra-mixed", "succession", "paraphrase-1000",
    "clean-infrastructure", "naked", "naked-clean", "two-operators", "block-replay", "relay-withheld", "naked-withheld",
    "quiet",
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run the grid; return the exit code."""
    parser = argparse.ArgumentParser(prog="evaluate", description="score cards of named scenarios over seeds")
    parser.add_argument("--full", action="store_true", help="public sizes instead of some minutes")
    parser.add_argument("--scale", type=float, metavar="X", help="so much of the public accounts, all of the days")
    parser.add_argument("--seeds", type=int, help="how many; 5, or 1 in the small grid")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="seeds below the default are for tuning")
    parser.add_argument("--only", help="scenarios, separated by commas")
    parser.add_argument("--streams", nargs="+", type=Path, metavar="FOLDER", help="recorded streams")
    parser.add_argument("--no-baselines", action="store_true", help="the detector alone")
    parser.add_argument(
        "--bar", action="append", default=[], metavar="METRIC<=X", help="one more bar for every scenario"
    )
    parser.add_argument(
        "--evasion", type=Path, metavar="FILE", help="cards.json of `make evasion`: its dials on the page too"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out/evaluate"))
    options = parser.parse_args(arguments)
    scenarios = options.only.split(",") if options.only else list(SCENARIOS)
    if options.streams:
        scenarios = [folder.name for folder in options.streams]
    console = Console() if sys.stdout.isatty() else Console(width=240)
    try:
        jobs = _jobs(options, scenarios)
        bars = bars_of(scenarios, full=options.full, extra=[parse_bar(text) for text in options.bar])
        more = _dials(options.evasion) if options.evasion else []
        cards = run_shown(jobs, pipeline_settings(options.config), options.processes, console)
    except DetectorError as error:
        console.print(f"evaluate: {error}", style="red")
        return 2 if isinstance(error, ConfigError) else 1
    note = f"{len(jobs)} runs, {_size(options)}; simulated traffic unless a stream says otherwise."
    write_results(options.out, cards, bars, "Score card", note, more)
    console.print(summary_table(cards))
    console.print(cohort_table([card for card in cards if card.system == OURS]))
    missed = missed_bars(cards, bars)
    for line in missed:
        console.print(f"[red]bar missed[/] {line}")
    console.print(
        f"{sum(map(len, bars.values())) - len(missed)} bars held, {len(missed)} missed; {options.out}/index.html"
    )
    return 1 if missed else 0


def _jobs(options: argparse.Namespace, scenarios: list[str]) -> list[Job]:
    if options.streams:
        return [Job(f.name, baselines=not options.no_baselines, folder=f) for f in options.streams]
    return jobs_of(
        scenarios,
        options.seeds or (5 if options.full else 1),
        full=options.full,
        baselines=not options.no_baselines,
        first_seed=options.first_seed,
        scale=options.scale,
    )


def _dials(path: Path) -> list[str]:
    parts = evasion_parts(DIALS, read_cards(path), f"From {path}.")
    return [f"<h2>{BREAKDOWN}</h2>", *parts]


def _size(options: argparse.Namespace) -> str:
    if options.streams:
        return "recorded streams"
    if options.scale is not None:
        return f"{options.scale:.1%} of the public accounts, all days"
    return "at full size" if options.full else "small"


def run_shown(jobs: list[Job], settings: PipelineSettings, processes: int, console: Console) -> list[ScoreCard]:
    """Run the jobs, saying of each what came of it as it ends."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("evaluate", total=len(jobs))

        def done(job: Job, cards: list[ScoreCard]) -> None:
            served = "-" if cards[0].served_share is None else f"{100 * cards[0].served_share:.2f} % served"
            speed = f"{cards[0].events_per_second or 0:,.0f} events/s"
            false = f"{cards[0].false_flags} false flags"
            progress.console.print(
                f"{job.scenario} seed {job.seed}: {served}, {false}, {cards[0].events:,} events, {speed}"
            )
            progress.advance(task)

        return run_grid(jobs, settings, processes=processes, done=done)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

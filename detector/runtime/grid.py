"""The whole evaluation: named scenarios × seeds, each in a process of its own, into one page.

    jobs ──► processes: simulate ─► compare ─► cards ──► out/…/cards.json, index.html, a table, bars held or missed

A job's stream is simulated as it is consumed and never stored. The small grid takes a fiftieth of the accounts
and at most twelve days, some twenty minutes of CPU time a seed; the full one takes the public sizes. Bars are the
targets of the project, and stand here beside what they are for; those that a small scale cannot show
(a rate of ten per million needs a hundred thousand account-days) are held in the full grid only.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from detector.account import AccountRecord
from detector.baselines import BASELINES
from detector.decoders.accounts import decode_accounts
from detector.errors import InputError
from detector.pipeline import PipelineSettings
from detector.runtime.evaluate import OURS, compare, read_truth
from detector.runtime.files import chunks_of
from detector.runtime.replay import replay
from detector.runtime.report import Bar, by_scenario, page, parse_bar
from detector.runtime.scenarios import scenario_of, simulated
from detector.scorecard import ScoreCard, TruthRecord
from detector.simulate import Scenario

FIRST_SEED: Final = 257  # nothing was tuned on it and the next fifty; raise it when something is
SMALL_SCALE: Final = 0.02
SMALL_DAYS: Final = 12.0  # at most; campaigns begin on day 2, and the public ones lasted for ten days and more

TARGETS: Final[dict[str, tuple[str, ...]]] = {
    "april-june": ("served_share<=0.005", "campaign_recall>=1", "completeness>=0.8"),
    "relay": ("served_share<=0.01",),
    "burst": ("served_share<=0.01",),
    "small-heavy": ("served_share<=0.01",),
    "hydra-mixed": ("served_share<=0.1",),
    "succession": ("served_share_last<=0.005",),
    "paraphrase-1000": ("served_share<=0.1",),
    "clean-infrastructure": ("served_share<=0.1",),
    "naked": ("served_share<=0.05",),
    "naked-clean": ("served_share<=0.3",),
    "two-operators": ("served_share<=0.01",),
    "block-replay": ("served_share<=0.01",),
    "quiet": ("wrong_campaigns<=0", "false_flags_per_million<=10"),
    "relay-withheld": ("served_share<=0.02",),
    "naked-withheld": ("served_share<=0.1",),
}
OF_EVERY_CAMPAIGN: Final = ("recall>=0.95", "precision>=0.99")

Stream = tuple[Iterator[list[bytes]], list[AccountRecord], list[TruthRecord]]
"""Lines of events in arrival order, account records, labels."""


@dataclass(frozen=True, slots=True)
class Job:
    """One scenario with one seed, or one recorded stream (a folder of events, accounts, truth).

    With a `world` of one's own that one is simulated, and `scenario` is its name, and says whether text is withheld.
    """

    scenario: str
    seed: int = 1
    scale: float = 1.0
    days: float | None = None  # None: all of the scenario's
    baselines: bool = False
    folder: Path | None = None
    world: Scenario | None = None


def jobs_of(
    scenarios: Sequence[str],
    seeds: int,
    *,
    full: bool,
    baselines: bool = True,
    first_seed: int = FIRST_SEED,
    scale: float | None = None,
) -> list[Job]:
    """Return the jobs of a grid, seed by seed; baselines run with the first seed, they vary less than they cost.

    A small grid cuts the days of the longest scenarios as well; `scale` multiplies the accounts of the whole duration.
    """
    return [
        Job(
            s,
            seed,
            scale if scale is not None else 1.0 if full else SMALL_SCALE,
            None if full or scale is not None else _days(s),
            baselines and seed == first_seed,
        )
        for seed in range(first_seed, first_seed + seeds)
        for s in scenarios
    ]


def _days(scenario: str) -> float:
    return min(SMALL_DAYS, scenario_of(scenario).days)


def run_job(job: Job, settings: PipelineSettings) -> list[ScoreCard]:
    """Return the cards of one job."""
    chunks, accounts, truth = stream_of(job, settings.accounts.hash_key)
    return compare(
        chunks,
        truth,
        lambda events: replay(events, accounts, settings),
        baselines=BASELINES if job.baselines else (),
        scenario=job.scenario,
        seed=job.seed,
    )


def run_grid(
    jobs: Sequence[Job],
    settings: PipelineSettings,
    *,
    processes: int = 2,
    done: Callable[[Job, list[ScoreCard]], None] | None = None,
) -> list[ScoreCard]:
    """Return all cards, in the order of the jobs; `done` is called as jobs end, in whatever order they do.

    Every job has a fresh process, so that one's memory is not another's; the first error ends the run.
    """
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        running: dict[Future[list[ScoreCard]], Job] = {pool.submit(run_job, job, settings): job for job in jobs}
        order, waiting = list(running), set(running)
        try:
            while waiting:
                ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ended:
                    cards = future.result()
                    if done:
                        done(running[future], cards)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [card for future in order for card in future.result()]


def bars_of(scenarios: Sequence[str], *, full: bool, extra: Sequence[Bar] = ()) -> dict[str, list[Bar]]:
    """Return the bars of each scenario; without `full` those on rates of false flags and on precision are left out."""
    bars: dict[str, list[Bar]] = {}
    for scenario in scenarios:
        wanted = TARGETS.get(scenario, ())
        if wanted and scenario != "quiet":
            wanted = (*wanted, *OF_EVERY_CAMPAIGN)
        parsed = [parse_bar(text) for text in wanted]
        bars[scenario] = [b for b in parsed if full or b.metric != "false_flags_per_million"] + list(extra)
    return bars


def missed_bars(cards: Sequence[ScoreCard], bars: dict[str, list[Bar]]) -> list[str]:
    """Return one line for every bar that the detector's cards miss."""
    table = by_scenario([card for card in cards if card.system == OURS])
    lines = []
    for scenario, wanted in bars.items():
        same = table.get(scenario, {}).get(OURS, [])
        lines += [f"{scenario}: {bar} missed: {found}" for bar in wanted if (found := bar.missed_by(same)) is not None]
    return lines


def write_results(
    out: Path,
    cards: Sequence[ScoreCard],
    bars: dict[str, list[Bar]],
    title: str,
    note: str,
    more: Sequence[str] = (),
) -> None:
    """Write the cards and their page into `out`; `more` is HTML that stands on it too."""
    write_page(out, cards, page(title, cards, bars, note, more))


def read_cards(path: Path) -> list[ScoreCard]:
    """Return the cards of a cards.json; raise InputError where it is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[ScoreCard])
    except (OSError, msgspec.MsgspecError, UnicodeError) as error:
        raise InputError(f"{path}: no score cards: {error}") from None


def write_page(out: Path, cards: Sequence[ScoreCard], made: str) -> None:
    """Write cards.json, and `made` as index.html, into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "cards.json").write_bytes(msgspec.json.format(msgspec.json.encode(cards), indent=1))
    (out / "index.html").write_text(made, encoding="utf-8")


def stream_of(job: Job, key: int) -> Stream:
    """Return the labelled stream of a job; `key` is that of the sketches, where the text is withheld."""
    return _recorded(job.folder) if job.folder else _simulated(job, key)


def _simulated(job: Job, key: int) -> Stream:
    simulation = simulated(job.scenario, job.seed, job.scale, key=key, world=job.world, days=job.days)
    truth = [msgspec.convert(row, TruthRecord) for row in simulation.truth]
    return simulation.chunks(), simulation.accounts, truth


def _recorded(folder: Path) -> Stream:
    events = sorted(folder.glob("events.ndjson*"))
    if not events:
        raise InputError(f"{folder}: no events.ndjson, .gz or .zst in it")
    accounts = [str(path) for path in sorted(folder.glob("accounts.ndjson*"))]
    records = [record for chunk in chunks_of(accounts) for record in decode_accounts(chunk).records]
    return chunks_of([str(path) for path in events]), records, read_truth(folder / "truth.ndjson")

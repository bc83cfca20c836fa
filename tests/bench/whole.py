"""`make whole`: a named campaign at its public size through replay, and what its finding says beside the truth.

    python -m tests.bench.whole [--scenario april-june] [--scale 1.0] [--days 45] [--seed 208]

The stream is simulated as it is read, text and all, and never stored: the time is that of both, and `replay` is the
detector's part of it. At the end the last word of the campaign's loudest finding is compared with the truth: accounts,
exchanges, the first and the last of them, and the capabilities that they aim at. Exit code 1 when one is off by more
than 2 %, of the days that it lasted for a date.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from detector.campaign.evolve import RANK
from detector.campaign.observation import CAPABILITIES
from detector.finding import Finding
from detector.runtime.evaluate import compare
from detector.runtime.replay import replay
from detector.scorecard import DAY_MS, ScoreCard, TruthRecord
from detector.simulate import Simulation, simulate
from tests.bench.settings import pipeline_settings

BOUND: Final = 0.02


class _Exchange(msgspec.Struct):
    account_id: str
    time_ms: int
    capability: str | None = None


_exchange = msgspec.json.Decoder(_Exchange).decode


class Asked:
    """The chunks of a stream; counts what the campaign's accounts ask as they pass."""

    def __init__(self, simulation: Simulation, harvesters: set[str]) -> None:
        self._simulation, self._harvesters = simulation, harvesters
        self.accounts: set[str] = set()
        self.capabilities: Counter[str] = Counter()
        self.events = self.exchanges = 0
        self.seconds = 0.0  # of simulating and counting
        self.first_ms, self.last_ms = sys.maxsize, 0

    def __iter__(self) -> Iterator[list[bytes]]:
        chunks = self._simulation.chunks()
        while True:
            began = time.perf_counter()
            lines = next(chunks, None)
            for line in lines or ():
                self._count(line)
            self.seconds += time.perf_counter() - began
            if lines is None:
                return
            yield lines

    def _count(self, line: bytes) -> None:
        self.events += 1
        one = _exchange(line)
        if one.account_id not in self._harvesters:
            return
        self.exchanges += 1
        self.accounts.add(one.account_id)
        self.first_ms, self.last_ms = min(self.first_ms, one.time_ms), max(self.last_ms, one.time_ms)
        if one.capability:
            self.capabilities[one.capability if one.capability in CAPABILITIES else "other"] += 1


def main(arguments: list[str]) -> int:
    """Run, print both tables; return 1 when the finding is off."""
    parser = argparse.ArgumentParser(prog="whole", description="a named campaign at its public size, through replay")
    parser.add_argument("--scenario", default="april-june")
    parser.add_argument("--scale", type=float, default=1.0, help="of the public accounts")
    parser.add_argument("--days", type=float, help="the first so many; the default is all")
    parser.add_argument("--seed", type=int, default=208)
    options = parser.parse_args(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=140)
    simulation = simulate(options.scenario, options.seed, options.scale, days=options.days)
    truth = [msgspec.convert(row, TruthRecord) for row in simulation.truth]
    asked = Asked(simulation, {record.account_id for record in truth if record.campaign})
    settings = pipeline_settings(None)
    last: dict[str, Finding] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    began = time.perf_counter()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(options.scenario, total=simulation.total_events)

        def shown() -> Iterator[list[bytes]]:
            for number, lines in enumerate(asked):
                progress.update(task, completed=asked.events)
                if not console.is_terminal and number % 500 == 0:
                    _say(console, asked, began)
                yield lines

        def found(events: Iterable[list[bytes]]) -> Iterator[Finding]:
            for finding in replay(events, simulation.accounts, settings):
                if finding.kind == "campaign" and finding.state != "cleared":
                    last[finding.subject] = finding
                yield finding

        card = compare(shown(), truth, found, baselines=(), scenario=options.scenario, seed=options.seed)[0]
    _say(console, asked, began)
    console.print(_figures(card, asked, time.perf_counter() - began))
    loudest = max(last.values(), key=lambda f: (RANK[f.severity], f.accounts_total), default=None)
    if loudest is None:
        console.print("[red]no campaign was found[/]")
        return 1
    made, off = compared(loudest, asked)
    console.print(made)
    console.print(f"{loudest.subject}, {loudest.severity}, one of {len(last)} campaigns told; most off: {off:.2%}")
    return int(off > BOUND)


def _say(console: Console, asked: Asked, began: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    console.print(f"{asked.events:,} events, {(time.perf_counter() - began) / 60:.1f} min, {peak:.1f} GB at most")


def _figures(card: ScoreCard, asked: Asked, seconds: float) -> Table:
    made = Table(box=None, pad_edge=False, show_header=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    served = "never" if card.served_share is None else f"{card.served_share:.3%}"
    rows = (
        ("events", f"{asked.events:,}, of the campaign {asked.exchanges:,}"),
        ("time", f"{seconds / 60:.1f} min, of it simulating {asked.seconds / 60:.1f}"),
        ("replay", f"{asked.events / max(seconds - asked.seconds, 1e-9):,.0f} events/s"),
        ("memory", f"{peak:.2f} GB at most, the simulator's among it"),
        ("served", served),
        ("recall, precision", f"{card.recall}, {card.precision}"),
        ("benign accounts flagged", f"{card.false_flags} in {card.benign_account_days:,} account-days"),
        ("other campaigns that are none", f"{card.wrong_campaigns}"),
    )
    for row in rows:
        made.add_row(*row)
    return made


def compared(finding: Finding, asked: Asked) -> tuple[Table, float]:
    """Return the finding beside the truth, and the largest deviation, as a share."""
    lasted_ms = max(1, asked.last_ms - asked.first_ms)
    known = max(1, asked.capabilities.total())
    aims = finding.evidence["capabilities"]
    rows: list[tuple[str, str, str, float]] = [
        (name, f"{said:,}", f"{true:,}", abs(said - true) / max(true, 1))
        for name, said, true in (
            ("accounts", finding.accounts_total, len(asked.accounts)),
            ("exchanges", finding.requests_total, asked.exchanges),
        )
    ]
    rows += [
        (name, _date(said), _date(true), abs(said - true) / lasted_ms)
        for name, said, true in (
            ("first", finding.first_seen_ms, asked.first_ms),
            ("last", finding.last_seen_ms, asked.last_ms),
        )
    ]
    for name in CAPABILITIES:
        said, true = aims.get(name, 0.0), asked.capabilities[name] / known
        if said or true:
            rows.append((f"aims at {name}", f"{said:.1%}", f"{true:.1%}", abs(said - true)))
    made = Table(box=None, pad_edge=False)
    for heading in ("", "finding", "truth", "off by"):
        made.add_column(heading, justify="left" if not heading else "right")
    for label, said_text, true_text, off in rows:
        made.add_row(label, said_text, true_text, f"{off:.2%}")
    made.add_row("days", f"{(finding.last_seen_ms - finding.first_seen_ms) / DAY_MS:.1f}", f"{lasted_ms / DAY_MS:.1f}")
    return made, max(off for *_, off in rows)


def _date(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

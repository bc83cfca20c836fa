"""Promise 1 at length: `python -m tests.bench.chaos --events 2000000 --seeds 3`, or `make chaos`.

A simulated stream of so many events through three `detector run` processes on Apache Kafka and Redis, while what
tests/chaos/faults.py lists goes wrong at moments that follow from the seed. Afterwards findings, the state of every
account and of every other row, and dead letters are compared with an undisturbed replay of the same stream: one
line of the table per seed, and exit code 1 when anything differs, or when a kind of fault hit nothing.

`--minutes`: the stream is sent over at least so long, so that there is something to disturb. A seed takes twice
that and more, because workers and servers are away so often.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.bench.settings import end_on_sigterm
from tests.chaos import comparison, stream
from tests.chaos.comparison import Verdict
from tests.chaos.faults import Kind, schedule
from tests.chaos.group import Progress as Reached
from tests.chaos.group import Setting
from tests.chaos.world import World

_FAULTS_A_MINUTE: Final = 15.0
_LINE_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Line:
    """What one seed gave."""

    seed: int
    events: int
    findings: int
    told_again: int
    accounts: int
    faults: Counter[str]
    idle: list[str]
    cuts: int
    told: Counter[str]
    reasons: list[str]
    exits: Counter[int]
    seconds: float
    verdict: Verdict

    @property
    def well(self) -> bool:
        """Whether nothing differs although every kind of fault hit something."""
        return self.verdict.well and not self.idle


class Bar:
    """How far a seed is: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, seed: int) -> None:
        self._console = console
        self._seed = seed
        self._spoken = 0.0
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
        )
        self.live = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self.live.add_task(f"seed {seed}", said="preparing", total=None)

    def say(self, said: str) -> None:
        """Say what is done now."""
        self.live.update(self._task, said=said)
        if not self._console.is_terminal:
            self._console.print(f"seed {self._seed}: {said}")

    def told(self, reached: Reached) -> None:
        """Show how far the stream is."""
        said = f"{reached.committed:,} of {reached.events:,} events committed, {reached.faults.total()} faults"
        self.live.update(self._task, total=reached.events, completed=reached.committed, said=said)
        if not self._console.is_terminal and time.monotonic() - self._spoken > _LINE_SECONDS:
            self._spoken = time.monotonic()
            self._console.print(f"seed {self._seed}: {said}")


async def disturbed(seed: int, events: int, minutes: float, faults: int, folder: Path, bar: Bar) -> Line:
    """Run one seed."""
    setting = Setting(
        partitions=6,
        hot_accounts=max(200, min(events // 500, 5_000)),
        fetch_bytes=262_144,
        backlog=max(1_000, events // 20),
        seconds=minutes * 60,
    )
    world = World(folder, setting)
    bar.say("simulating the stream")
    recorded = stream.made(folder / "stream", events, seed, world.config)
    bar.say("undisturbed replay")
    wanted = comparison.expected(recorded, world.config)
    bar.say("starting servers and workers")
    began = time.monotonic()
    last = Reached(recorded.events)

    def told(reached: Reached) -> None:
        last.faults = reached.faults
        bar.told(reached)

    async with world.opened():
        found = await world.run(recorded, world.moments(schedule(seed, faults)), told)
    verdict = comparison.compared(wanted, found)
    return Line(
        seed,
        recorded.events,
        len(wanted.findings),
        found.told_again,
        len(wanted.accounts),
        last.faults,
        sorted(set(last.faults) - set(+world.effects)),
        world.cuts(),
        *world.told(),
        world.exits,
        time.monotonic() - began,
        verdict,
    )


def table(lines: list[Line]) -> Table:
    """Return the summary: a line per seed."""
    shown = Table(
        "seed", "events", "findings", "told again", "accounts", "faults", "min", "findings equal", "accounts equal"
    )
    for name in ("lost", "twice"):
        shown.add_column(name, justify="right")
    for line in lines:
        kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(line.faults.items()))
        shown.add_row(
            str(line.seed),
            f"{line.events:,}",
            f"{line.findings:,}",
            f"{line.told_again:,}",
            f"{line.accounts:,}",
            f"{line.faults.total()}: {kinds}",
            f"{line.seconds / 60:.1f}",
            "yes" if line.verdict.findings_equal else "NO",
            "yes" if line.verdict.accounts_equal else "NO",
            f"{line.verdict.lost:,}",
            f"{line.verdict.twice:,}",
        )
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5.0, help="send the stream of a seed over at least so long")
    parser.add_argument("--faults", type=int, help=f"default: {_FAULTS_A_MINUTE:.0f} for each of the minutes")
    given = parser.parse_args()
    end_on_sigterm()
    faults = given.faults if given.faults is not None else max(len(Kind), round(_FAULTS_A_MINUTE * given.minutes))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the sender's, when the broker is away
    console, lines = Console(stderr=True, soft_wrap=True), []
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        with tempfile.TemporaryDirectory(prefix="detector-chaos-", ignore_cleanup_errors=True) as name:
            bar = Bar(console, seed)
            with bar.live:
                line = uvloop.run(disturbed(seed, given.events, given.minutes, faults, Path(name), bar))
        lines.append(line)
        told = ", ".join(f"{what} {number}" for what, number in sorted(line.told.items())) or "nothing"
        exits = ", ".join(f"{number} with {code}" for code, number in sorted(line.exits.items())) or "none"
        console.print(f"seed {seed}: {line.cuts} connections cut; workers' logs: {told}; ended by themselves: {exits}")
        for reason in line.reasons:
            console.print(f"seed {seed}: a worker gave up: {reason}")
        for kind in line.idle:
            console.print(f"seed {seed}: {kind} hit nothing", style="red")
        for difference in line.verdict.differences:
            console.print(f"seed {seed}: {difference}", style="red")
    Console(width=None if sys.stdout.isatty() else 200).print(table(lines))
    return 0 if all(line.well for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())

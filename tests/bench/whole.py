"""`make whole`: a named campaign at its public size through replay, and what its finding says beside the truth.

    python -m tests.bench.whole [--scenario april-june] [--scale 1.0] [--days 45] [--seed 208]

A process beside this one simulates the stream, text and all, counts the truth and reads what the score needs; it is
read as it is made and never stored. The campaign stage has a third. `replay` is the time of this process, waiting for
the simulator left out. At the end the last word of the campaign's loudest finding is compared with the truth: accounts,
exchanges, the first and the last of them, and the capabilities that they aim at. Exit code 1 when one is off by more
than 2 %, of the days that it lasted for a date.
Ctrl-C or `kill` ends the stream where it is, and what was read until then is compared.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from detector.baselines import RequestReader, Requests
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


@dataclass(slots=True)
class Asked:
    """What the campaign's accounts asked; counted while the stream is made."""

    harvesters: set[str]
    accounts: set[str] = field(default_factory=set)
    capabilities: Counter[str] = field(default_factory=Counter)
    events: int = 0
    exchanges: int = 0
    first_ms: int = sys.maxsize
    last_ms: int = 0

    def count(self, lines: list[bytes]) -> None:
        self.events += len(lines)
        for one in map(_exchange, lines):
            if one.account_id not in self.harvesters:
                continue
            self.exchanges += 1
            self.accounts.add(one.account_id)
            self.first_ms, self.last_ms = min(self.first_ms, one.time_ms), max(self.last_ms, one.time_ms)
            if one.capability:
                self.capabilities[one.capability if one.capability in CAPABILITIES else "other"] += 1


def _made(simulation: Simulation, asked: Asked, to: Connection, enough: Event) -> None:
    """In a process of its own: send every chunk of lines until it is enough, and at the end what was counted."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who receives them says when it is enough; or ends this by SIGTERM
    reader, known = RequestReader(text=False), 0
    for lines in simulation.chunks():
        if enough.is_set():
            break
        asked.count(lines)
        to.send_bytes(b"\n".join(lines))
        to.send((reader.read(lines), reader.account_ids[known:]))
        known = len(reader.account_ids)
    to.send_bytes(b"")
    to.send(asked)


class Stream:
    """The chunks of a stream that another process makes and reads; `asked` is known behind the last of them."""

    def __init__(self, simulation: Simulation, harvesters: set[str]) -> None:
        self._from, self._to = multiprocessing.Pipe(duplex=False)
        forked = multiprocessing.get_context("fork")  # so that the simulation need not be written down and read again
        self._enough = forked.Event()
        given = simulation, Asked(harvesters), self._to, self._enough
        self._maker = forked.Process(target=_made, args=given, daemon=True)
        self.asked = Asked(harvesters)
        self.account_ids: list[str] = []
        self.events = 0
        self.waited_seconds = 0.0
        self._read: Requests

    def __iter__(self) -> Iterator[list[bytes]]:
        self._maker.start()
        self._to.close()  # so that the end of the maker is the end of the stream
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._enough.set())
        while joined := self._next():
            lines = joined.split(b"\n")
            self.events += len(lines)
            self._read, new = self._from.recv()
            self.account_ids += new
            yield lines
        self.asked = self._from.recv()
        self._maker.join()

    def read(self, lines: Sequence[bytes]) -> Requests:
        """Return what the score needs of the chunk that was just given out: it was read when it was made."""
        return self._read

    def _next(self) -> bytes:
        began = time.perf_counter()
        try:
            return self._from.recv_bytes()
        except EOFError:
            self._maker.join()
            sys.exit(f"whole: the process that simulates ended with {self._maker.exitcode}, its reason is above")
        finally:
            self.waited_seconds += time.perf_counter() - began


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
    stream = Stream(simulation, {record.account_id for record in truth if record.campaign})
    settings = pipeline_settings(None)
    last: dict[str, Finding] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    began = time.perf_counter()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(options.scenario, total=simulation.total_events)

        def shown() -> Iterator[list[bytes]]:
            for number, lines in enumerate(stream):
                progress.update(task, completed=stream.events)
                if not console.is_terminal and number % 50 == 0:
                    _say(console, stream, began)
                yield lines

        def found(events: Iterable[list[bytes]]) -> Iterator[Finding]:
            for finding in replay(events, simulation.accounts, settings, processes=2):
                if finding.kind == "campaign" and finding.state != "cleared":
                    last[finding.subject] = finding
                yield finding

        card = compare(
            shown(), truth, found, baselines=(), reader=stream, scenario=options.scenario, seed=options.seed
        )[0]
    _say(console, stream, began)
    console.print(_figures(card, stream, time.perf_counter() - began))
    loudest = max(last.values(), key=lambda f: (RANK[f.severity], f.accounts_total), default=None)
    if loudest is None:
        console.print("[red]no campaign was found[/]")
        return 1
    made, off = compared(loudest, stream.asked)
    console.print(made)
    console.print(f"{loudest.subject}, {loudest.severity}, one of {len(last)} campaigns told; most off: {off:.2%}")
    return int(off > BOUND)


def _say(console: Console, stream: Stream, began: float) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    minutes = (time.perf_counter() - began) / 60
    cpu = (used.ru_utime + used.ru_stime) / 60
    console.print(
        f"{stream.events:,} events, {minutes:.1f} min, {cpu:.1f} min of CPU, {used.ru_maxrss / 1e6:.1f} GB at most"
    )


def _figures(card: ScoreCard, stream: Stream, seconds: float) -> Table:
    made = Table(box=None, pad_edge=False, show_header=False)
    ours, others = (resource.getrusage(who).ru_maxrss / 1e6 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    served = "never" if card.served_share is None else f"{card.served_share:.3%}"
    rows = (
        ("events", f"{stream.events:,}, of the campaign {stream.asked.exchanges:,}"),
        ("time", f"{seconds / 60:.1f} min, of it waiting for the simulator {stream.waited_seconds / 60:.1f}"),
        ("replay", f"{stream.events / max(seconds - stream.waited_seconds, 1e-9):,.0f} events/s"),
        (
            "memory",
            f"{ours:.2f} GB at most, the world's description among it; {others:.2f} GB in another process",
        ),
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

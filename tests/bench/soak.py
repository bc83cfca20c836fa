"""`make soak`: one worker at half of what it takes, for an hour: does anything grow that should not?

    python -m tests.bench.soak [--minutes 60] [--rate 50000] [--graph docs/soak.svg]

Events as in `make bench-latency`: the time of now, accounts of the simulated world, canaries among them. Every ten
seconds the worker's own metrics say how much memory it holds, how many file descriptors, how far it is behind and what
waits to be published, and Redis how much it holds. Each is drawn over the time. An account's windows fill as long as it
has been seen for less than they are long, so memory is to be flat from the second half on: what it grew by there, as a
line fitted to it, is held against a bound, and so is the number of descriptors and the lag. Exit code 1 when one is
broken.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import numpy as np
import redis
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from detector import metrics
from detector.config import Config
from tests.bench.latency import CANARIES, SLOT_SECONDS, Sender, delays, seen, service
from tests.bench.settings import end_on_sigterm

LOOK_SECONDS: Final = 10.0
MOST_GROWTH: Final = 0.05  # of memory, over the second half
MOST_MORE_FILES: Final = 3
MOST_LAG_SECONDS: Final = 5.0  # of events
# What was read is deleted soon: an hour at 50,000 events a second is 70 GB.
_RETENTION: Final = {
    "log.segment.bytes": "67108864",
    "log.retention.bytes": "268435456",
    "log.retention.check.interval.ms": "10000",
    "log.segment.delete.delay.ms": "1000",
}


@dataclass(slots=True)
class Seen:
    """One quantity over the time."""

    title: str
    unit: str
    divisor: float
    minutes: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, minute: float, value: float) -> None:
        self.minutes.append(minute)
        self.values.append(value / self.divisor)

    def second_half(self) -> tuple[np.ndarray, np.ndarray]:
        minutes, values = np.array(self.minutes), np.array(self.values)
        late = minutes >= minutes[-1] / 2
        return minutes[late], values[late]

    @property
    def growth(self) -> float:
        """By how much of its mean a line through the second half rises."""
        minutes, values = self.second_half()
        slope = np.polyfit(minutes, values, 1)[0]
        return float(slope * (minutes[-1] - minutes[0]) / max(values.mean(), 1e-9))


class Watch:
    """Looks at the worker and at Redis every ten seconds, beside the sender."""

    def __init__(self, config: Config, store: redis.Redis) -> None:
        self._config, self._store = config, store
        self._done = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self.memory = Seen("worker: resident memory", "MB", 1e6)
        self.files = Seen("worker: file descriptors", "", 1)
        self.lag = Seen("lag", "thousand records", 1e3)
        self.outbox = Seen("findings that wait to be published", "", 1)
        self.store = Seen("Redis: memory", "MB", 1e6)
        self.counted = Seen("events counted", "million", 1e6)

    def __enter__(self) -> Self:
        self._looks = self._pool.submit(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._pool.shutdown()
        self._looks.result()  # raises what went wrong

    @property
    def failed(self) -> bool:
        return self._looks.done()

    def _run(self) -> None:
        begin = time.monotonic()
        while not self._done.wait(LOOK_SECONDS):
            found, store = seen(self._config), self._store.info("memory")
            minute = (time.monotonic() - begin) / 60
            self.memory.add(minute, found["process_resident_memory_bytes"])
            self.files.add(minute, found["process_open_fds"])
            self.lag.add(minute, found.get(metrics.LAG.name, 0))
            self.outbox.add(minute, found.get(metrics.OUTBOX.name, 0))
            self.store.add(minute, store["used_memory"])
            self.counted.add(minute, found.get(metrics.EVENTS.name, 0))

    def broken(self, rate: float) -> list[str]:
        """Return which bounds do not hold."""
        said = [
            f"{one.title} grew by {one.growth:.1%} in the second half, bound {MOST_GROWTH:.0%}"
            for one in (self.memory, self.store)
            if one.growth > MOST_GROWTH
        ]
        files, lag = self.files.second_half()[1], 1e3 * self.lag.second_half()[1].max()
        if files.max() > files.min() + MOST_MORE_FILES:
            said.append(f"file descriptors between {files.min():.0f} and {files.max():.0f}")
        if lag > MOST_LAG_SECONDS * rate:
            said.append(f"lag of {lag:,.0f} records, {lag / rate:.1f} s of events")
        return said


def main(arguments: list[str]) -> int:
    """Soak, print, draw; return 1 when something grew."""
    parser = argparse.ArgumentParser(prog="soak", description="an hour at half load: does anything grow?")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=50_000, help="events/s; `make bench-latency` says the capacity")
    parser.add_argument("--events", type=int, default=200_000, help="different ones; then the same again, later")
    parser.add_argument("--graph", type=Path, default=Path("docs/soak.svg"))
    options = parser.parse_args(arguments)
    end_on_sigterm()
    console = Console() if sys.stdout.isatty() else Console(width=140)
    with service({}, _RETENTION) as (config, worker, store):
        sender = Sender(config, options.events)
        worker.start()
        with Watch(config, redis.Redis.from_url(store.url)) as watch:
            sent = soaked(sender, watch, options.minutes, options.rate, console)
            time.sleep(2 * LOOK_SECONDS)
        worker.end()
        latency = Seen("event to finding, p99 of five minutes", "s", 1)
        _attribute(latency, list(delays(config)))
    every = [watch.memory, watch.store, watch.files, watch.lag, watch.outbox, latency]
    options.graph.write_text(drawn(every), "utf-8")
    for one in [*every, watch.counted]:
        first, last = one.values[0], one.values[-1]
        growth = f"; second half {one.growth:+.1%}" if one in (watch.memory, watch.store) else ""
        console.print(f"{one.title}: {first:,.2f} … {last:,.2f} {one.unit}, most {max(one.values):,.2f}{growth}")
    lost = int(sent - 1e6 * watch.counted.values[-1])
    broken = [*watch.broken(options.rate), *([f"{lost:,} events sent and not counted"] if lost else [])]
    console.print(f"{sent:,} events in {options.minutes:g} minutes; {options.graph}")
    for line in broken:
        console.print(f"[red]grew[/] {line}")
    return 1 if broken else 0


def soaked(sender: Sender, watch: Watch, minutes: float, rate: float, console: Console) -> int:
    """Send at the rate for so long; return how many events that were."""
    columns = (TextColumn("soak"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    begin, slots, sent, canaries = time.monotonic(), 0, 0, 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("soak", total=60 * minutes)
        while (now := time.monotonic()) < begin + 60 * minutes and not watch.failed:
            slots += 1
            due = int(slots * SLOT_SECONDS * rate) - sent, int(slots * SLOT_SECONDS * len(CANARIES)) - canaries
            sender.send(*due)
            sent, canaries = sent + due[0], canaries + due[1]
            progress.update(task, completed=now - begin)
            time.sleep(max(0.0, begin + slots * SLOT_SECONDS - time.monotonic()))
    sender.flush()
    return sent + canaries


def _attribute(latency: Seen, found: list[tuple[int, float]]) -> None:
    """Give it the 99th percentile of each five minutes."""
    steps = np.array([step for step, _ in found])
    seconds = np.array([one for _, one in found])
    spans = (steps - steps.min()) // 300_000
    for span in np.unique(spans).tolist():
        latency.add(5.0 * (span + 1), float(np.quantile(seconds[spans == span], 0.99)))


def drawn(every: Sequence[Seen], columns: int = 2, width: int = 360, height: int = 120) -> str:
    """Return the quantities over the time as SVG, each from zero, with its most at the left."""
    rows = -(-len(every) // columns)
    parts = []
    for number, one in enumerate(every):
        left, top = 60 + number % columns * (width + 80), 30 + number // columns * (height + 56)
        most = max(*one.values, 1e-9)
        x = left + width * np.array(one.minutes) / one.minutes[-1]
        y = top + height * (1 - np.array(one.values) / most)
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        parts += [
            f'<text x="{left}" y="{top - 10}">{one.title}{", " if one.unit else ""}{one.unit}</text>',
            f'<path d="M{left} {top}v{height}h{width}" fill="none" stroke="#999"/>',
            f'<text x="{left - 6}" y="{top + 4}" text-anchor="end">{most:,.{0 if most >= 10 else 2}f}</text>',
            f'<text x="{left - 6}" y="{top + height + 4}" text-anchor="end">0</text>',
            f'<text x="{left + width}" y="{top + height + 16}" text-anchor="end">{one.minutes[-1]:.0f} min</text>',
            f'<polyline points="{line}" fill="none" stroke="#06c" stroke-width="1.5"/>',
        ]
    size = f'width="{columns * (width + 80)}" height="{rows * (height + 56) + 10}"'
    style = "<style>text{font:12px system-ui,sans-serif;fill:#333}</style>"
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{style}{ground}{"".join(parts)}</svg>\n'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

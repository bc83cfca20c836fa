"""The service on embedded parts, with simulated traffic and one campaign in it: watch it being found.

    here                                         in processes of their own
    simulation ─► requests topic ──────────────► broker (Apache Kafka, or librdkafka's mock cluster in ours)
    view ◄─ findings topic ◄───────────────────     │
     ▲                                           `detector run --config …`   the worker, as in production
     └── /metrics, once in a while ◄─────────────   │
                                                 redis-server, or else the worker's memory

Nothing of the worker is different here: it gets a configuration file, a broker and a store. Only
time is: simulated time runs `SPEED` times faster than the clock, so that hours pass in a minute.

It ends with 0 when the campaign was found and no benign account was flagged, and with 1 otherwise.
Ctrl-C ends it in order: the worker drains and leaves its group; whatever does not end by then is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from detector.config import Config
from detector.errors import Unavailable
from detector.finding import Finding
from detector.runtime import servers, topics, traffic
from detector.simulate import SCENARIOS, Simulation, simulate

SPEED: Final = 300
"""Simulated seconds in one of ours: the campaign begins some 12 s after the traffic."""
_DAYS: Final = 30.0
"""Of simulated traffic, for who watches longer than the campaign lasts."""
_PARTITIONS: Final = 4  # as many as the mock cluster gives to every topic
_REDRAW_S: Final = 0.25
_SCRAPE_S: Final = 0.5
_LINE_S: Final = 5.0
_STOP_S: Final = 3.0
_SHOWN_FINDINGS: Final = 6


@dataclass(slots=True)
class Parts:
    """What the demo runs on, and how to say it."""

    brokers: str
    broker: str
    store_url: str
    store: str


@dataclass(slots=True)
class Seen:
    """What is known of the run so far; the view is drawn from it and the exit code is made of it."""

    simulation: Simulation
    began: float
    sent: int = 0
    time_ms: int = 0
    over: bool = False
    metrics: dict[str, float] = field(default_factory=dict)
    rate: float = 0.0
    findings: deque[tuple[float, Finding]] = field(default_factory=lambda: deque(maxlen=_SHOWN_FINDINGS))
    found_after_s: float | None = None
    campaign_found: set[str] = field(default_factory=set)
    benign_flagged: set[str] = field(default_factory=set)
    harvesters: set[str] = field(default_factory=set)

    def take(self, finding: Finding, at: float) -> None:
        """Take a finding in: who was flagged by it, and whether it names the campaign."""
        if finding.severity == "watch" or finding.shadow:
            return
        self.findings.appendleft((at, finding))
        flagged = set(finding.accounts_added)
        self.benign_flagged |= flagged - self.harvesters
        if finding.kind == "campaign":
            self.campaign_found |= flagged & self.harvesters
            if self.found_after_s is None and len(self.campaign_found) >= 10:
                self.found_after_s = at - self.began

    @property
    def well(self) -> bool:
        """Whether the campaign was found and nobody else was flagged."""
        return self.found_after_s is not None and not self.benign_flagged


class Worker(servers.Server):
    """`detector run`, the process that production runs."""

    name = "worker"

    def __init__(self, folder: Path, config: Path, web_port: int) -> None:
        self.web = f"http://127.0.0.1:{web_port}"
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-c", "from detector.cli import main; main()", "run", "--config", str(config)]
        super().__init__(command, folder, self._answers)

    def _answers(self) -> bool:
        """Ready to be watched once it listens; that partitions are assigned is for /readyz to say."""
        import socket

        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", int(self.web.rsplit(":", 1)[1])), 0.5).close()
            return True
        return False


def run(config: Config, *, duration_s: float | None, seed: int, screenshot: Path | None = None) -> int:
    """Run the demo until `duration_s` or Ctrl-C; return 0 when the campaign was found and nobody else flagged.

    `screenshot`: write the last picture of the view there, as SVG.
    """
    console = Console(record=screenshot is not None, highlight=False)
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="detector-demo-"))
    seen: Seen | None = None
    try:
        with contextlib.ExitStack() as stack:
            console.print("starting the broker and the store …", style="dim")
            parts = _started(stack, folder)
            console.print(f"broker: {parts.broker}\nstore:  {parts.store}")
            settings = _settings(config, parts)
            _make_topics(settings, parts)
            worker = Worker(folder / "worker", _written(settings, folder), settings.web.port)
            stack.callback(_end, worker)
            worker.start()
            scenario = replace(SCENARIOS["demo"], days=_DAYS)
            simulation = simulate(scenario, seed)
            seen = Seen(simulation, began, harvesters=_harvesters(simulation))
            asyncio.run(_watch(console, settings, parts, worker, seen, duration_s))
            if screenshot is not None:
                console.save_svg(str(screenshot), title="detector demo")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _conclude(console, seen)
    return 0 if seen.well else 1

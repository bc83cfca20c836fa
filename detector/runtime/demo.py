"""The service on embedded parts, with simulated traffic and one campaign in it: watch it being found.

    this process                                     processes of their own
    simulation ─► accounts, requests topics ───────► Apache Kafka (or librdkafka's mock cluster, in here)
    view ◄─────── findings topic ◄──────────────────    │ │
      ▲                                              `detector run`: the worker, as in production
      └────────── /metrics, now and then ◄───────────   │
                                                     redis-server (or the worker's own memory)

Nothing of the worker is different: it is told in its environment where the broker and the store are.
Only time is: simulated time runs `SPEED` times as fast as the clock, so that hours pass in a minute.

The result is 0 when the campaign was found and no benign account was flagged, and 1 otherwise. Ctrl-C
ends it in order: the worker commits and leaves its group, and is killed if it takes longer than that.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from detector import config as configuration
from detector import metrics
from detector.config import Config
from detector.errors import Unavailable
from detector.finding import Finding
from detector.runtime import servers, topics, traffic
from detector.simulate import SCENARIOS, Simulation, simulate

SPEED: Final = 400
"""Simulated seconds in one of ours: the campaign begins some 9 s after the traffic."""
FOUND_ACCOUNTS: Final = 10
"""The campaign counts as found when a campaign finding names so many of its accounts."""

_DAYS: Final = 30.0  # of simulated traffic, for who watches longer than the campaign lasts
_PARTITIONS: Final = 4  # as many as the mock cluster gives to every topic
_MOCK_SLOT_SECONDS: Final = 1.0  # the mock cluster gives one batch a fetch, so there must be few and large ones
_REDRAW_SECONDS: Final = 0.25
_SCRAPE_SECONDS: Final = 0.5
_LINE_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 3.0
_SHOWN_FINDINGS: Final = 5
_SEVERITY_STYLE: Final = {"watch": "dim", "warning": "yellow", "critical": "bold red"}

_finding = msgspec.json.Decoder(Finding)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the demo runs on: addresses, and how to say what was taken and why."""

    brokers: str
    broker: str
    mock: bool
    store_kind: str
    store_url: str
    store: str


@dataclass(slots=True)
class Seen:
    """What is known of the run so far: the view is drawn from it, and the result is made of it.

    `harvesters` are the accounts of the campaign by the simulation's truth. Times are seconds since the start.
    """

    harvesters: frozenset[str]
    began_ms: int
    sent: int = 0
    time_ms: int = 0
    over: bool = False
    page: dict[str, float] = field(default_factory=dict)
    rate: float = 0.0
    ready: bool = False
    findings: deque[tuple[float, Finding]] = field(default_factory=lambda: deque(maxlen=_SHOWN_FINDINGS))
    found_after_s: float | None = None
    found: set[str] = field(default_factory=set)
    benign: set[str] = field(default_factory=set)

    def take(self, finding: Finding, after_s: float) -> None:
        """Take a finding in: whom it flags, and whether it names the campaign."""
        if finding.severity == "watch" or finding.shadow:
            return
        self.findings.appendleft((after_s, finding))
        flagged = set(finding.accounts_added)
        self.benign |= flagged - self.harvesters
        if finding.kind == "campaign":
            self.found |= flagged & self.harvesters
            if self.found_after_s is None and len(self.found) >= FOUND_ACCOUNTS:
                self.found_after_s = after_s

    @property
    def well(self) -> bool:
        """Whether the campaign was found and nobody else was flagged."""
        return self.found_after_s is not None and not self.benign


class Worker(servers.Server):
    """`detector run`, the process that production runs, with what differs in its environment."""

    name = "worker"

    def __init__(self, folder: Path, config_file: Path | None, overrides: Mapping[str, str], port: int) -> None:
        self.port = port
        folder.mkdir(parents=True, exist_ok=True)
        given = ["--config", str(config_file)] if config_file else []
        command = [sys.executable, "-c", "from detector.cli import main; main()", "run", *given]
        super().__init__(
            ["env", *(f"{name}={value}" for name, value in overrides.items()), *command], folder, self._listens
        )

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.5):
            return True
        return False

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def end(self) -> None:
        """Let it commit and leave its group; kill it when that takes longer than a person wants to wait."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(Exception):
            process.wait(_STOP_SECONDS)
        self.kill()


def run(config_file: Path | None, *, duration_s: float | None, seed: int, screenshot: Path | None = None) -> int:
    """Run the demo until `duration_s` or Ctrl-C; return 0 when the campaign was found and nobody else flagged.

    `screenshot`: where to write the last picture of the view, as SVG.
    """
    console = Console(highlight=False)
    began = time.monotonic()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it retries is nothing to a person
    with (
        tempfile.TemporaryDirectory(prefix="detector-demo-", ignore_cleanup_errors=True) as name,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        console.print("starting broker, store and worker …", style="dim")
        parts = _started(folder, stack)
        console.print(f"[bold]broker[/] {parts.broker}\n[bold]store[/]  {parts.store}")
        overrides = _overrides(parts, servers.free_port())
        config = configuration.load(config_file, {**os.environ, **overrides})
        simulation = simulate(replace(SCENARIOS["demo"], days=_DAYS), seed)
        seen = Seen(_harvesters(simulation), simulation.begin_ms)
        _prepare(config, parts, simulation)
        worker = Worker(folder / "worker", config_file, overrides, config.web.port)
        stack.callback(worker.end)
        worker.start()
        view = View(console, config, parts, seen, began)
        asyncio.run(_watch(config, simulation, worker, view, duration_s))
        if screenshot is not None:
            view.save(screenshot)
    view.conclude()
    return 0 if seen.well else 1


# -- parts --------------------------------------------------------------------------------------


def _started(folder: Path, stack: contextlib.ExitStack) -> Parts:
    brokers, broker, mock = _broker(folder, stack)
    try:
        redis = servers.redis(folder / "redis")
        stack.callback(redis.kill)
        redis.start()
    except Unavailable as error:
        return Parts(brokers, broker, mock, "memory", "", f"the worker's memory ({error})")
    return Parts(brokers, broker, mock, "redis", redis.url, f"redis-server on port {redis.port}")


def _broker(folder: Path, stack: contextlib.ExitStack) -> tuple[str, str, bool]:
    try:
        kafka = servers.kafka(folder / "kafka")
        stack.callback(kafka.kill)
        kafka.start()
    except Unavailable as error:
        if importlib.util.find_spec("confluent_kafka") is None:
            raise
        address = stack.enter_context(servers.mock_kafka())
        return address, f"librdkafka's mock cluster at {address} ({error})", True
    return kafka.address, f"Apache Kafka at {kafka.address}", False


def _overrides(parts: Parts, port: int) -> dict[str, str]:
    """Return the settings that make a production configuration one on embedded parts at a faster time."""
    return {
        "DETECTOR_KAFKA_BROKERS": parts.brokers,
        "DETECTOR_STORE_KIND": parts.store_kind,
        **({"DETECTOR_STORE_URL": parts.store_url} if parts.store_url else {}),
        "DETECTOR_TOPICS_PARTITIONS": str(_PARTITIONS),
        "DETECTOR_TOPICS_LINK_PARTITIONS": str(_PARTITIONS),
        "DETECTOR_TOPICS_REPLICATION": "1",
        "DETECTOR_STREAM_COMMIT_MS": "1000",
        "DETECTOR_STREAM_IDLE_MS": "5000",
        "DETECTOR_WEB_HOST": "127.0.0.1",
        "DETECTOR_WEB_PORT": str(port),
    }


def _harvesters(simulation: Simulation) -> frozenset[str]:
    return frozenset(row["account_id"] for row in simulation.truth if row["label"] == "campaign")


def _prepare(config: Config, parts: Parts, simulation: Simulation) -> None:
    """Make the topics (the mock cluster makes its own when asked for them) and say who the accounts are."""
    if not parts.mock:
        topics.create_all(config)
    if config.topics.accounts:
        asyncio.run(traffic.tell_accounts(simulation, brokers=config.kafka.brokers, topic=config.topics.accounts))


# -- watching -----------------------------------------------------------------------------------


async def _watch(config: Config, simulation: Simulation, worker: Worker, view: View, duration_s: float | None) -> None:
    """Send, listen and draw until the time is over, Ctrl-C, or something ends that should not."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if duration_s is not None:
        loop.call_later(max(0.0, view.began + duration_s - time.monotonic()), stop.set)
    seen = view.seen

    def sent(total: int, time_ms: int) -> None:
        seen.sent, seen.time_ms = total, time_ms

    async def send() -> None:
        await traffic.send(
            simulation,
            brokers=config.kafka.brokers,
            topic=config.topics.requests,
            speed=SPEED,
            slot_s=_MOCK_SLOT_SECONDS if view.parts.mock else traffic.SLOT_S,
            sent=sent,
        )
        seen.over = True
        await stop.wait()

    tasks = [
        asyncio.ensure_future(work)
        for work in (stop.wait(), send(), _listen(config, view), _scrape(config, seen), _guard(worker), view.draw())
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _listen(config: Config, view: View) -> None:
    """Read the findings topic from its beginning, for as long as there is a broker."""
    consumer = AIOKafkaConsumer(
        config.topics.findings, bootstrap_servers=config.kafka.brokers, auto_offset_reset="earliest"
    )
    try:
        await consumer.start()
        async for record in consumer:
            if record.value is not None:
                view.take(_finding.decode(record.value))
    except KafkaError as error:
        raise Unavailable("kafka", str(error)) from error
    finally:
        await consumer.stop()


async def _scrape(config: Config, seen: Seen) -> None:
    """Keep the worker's own account of itself up to date; one that does not answer now may answer soon."""
    base = f"http://127.0.0.1:{config.web.port}"
    rates: deque[tuple[float, float]] = deque(maxlen=10)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(f"{base}/metrics") as answer:
                    seen.page = _summed(await answer.text())
                async with session.get(f"{base}/readyz") as answer:
                    seen.ready = answer.status == 200
                rates.append((time.monotonic(), seen.page.get(metrics.EVENTS.name, 0.0)))
                (then, before), (now, after) = rates[0], rates[-1]
                seen.rate = (after - before) / (now - then) if now > then else 0.0
            await asyncio.sleep(_SCRAPE_SECONDS)


def _summed(page: str) -> dict[str, float]:
    """Return each series' value of a /metrics page, summed over its labels."""
    totals: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
    return totals


async def _guard(worker: Worker) -> None:
    """Raise Unavailable when the worker ends by itself, with its last words."""
    while worker.alive:  # noqa: ASYNC110  # the end of a process is no asyncio event
        await asyncio.sleep(_SCRAPE_SECONDS)
    words = worker.log.read_text("utf-8", "replace").splitlines()
    raise Unavailable("worker", "ended: " + " | ".join(words[-5:]))


# -- the view -----------------------------------------------------------------------------------


class View:
    """What a person sees: a live picture on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console, config: Config, parts: Parts, seen: Seen, began: float) -> None:
        self.seen = seen
        self.began = began
        self._console = console
        self._config = config
        self.parts = parts

    def take(self, finding: Finding) -> None:
        """Take a finding in, and print it where there is no picture."""
        after_s = time.monotonic() - self.began
        self.seen.take(finding, after_s)
        if not self._console.is_terminal and finding.severity != "watch":
            self._console.print(f"{after_s:5.1f} s  {_said(finding)}", soft_wrap=True)
            for reason in finding.reasons[:3] if finding.state == "raised" else ():
                self._console.print(f"         {reason.because}", soft_wrap=True)

    async def draw(self) -> None:
        """Draw until cancelled."""
        if not self._console.is_terminal:
            self._console.print("  ".join(f"{name} {url}" for name, url in self._addresses()), soft_wrap=True)
            while True:
                await asyncio.sleep(_LINE_SECONDS)
                self._console.print(self._line(), soft_wrap=True)
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(self.picture(), refresh=True)
                await asyncio.sleep(_REDRAW_SECONDS)

    def picture(self) -> RenderableType:
        """Return the whole view as it stands."""
        seen, page = self.seen, self.seen.page
        numbers = Table.grid(padding=(0, 3))
        for _ in range(6):
            numbers.add_column(justify="right")
        numbers.add_row(
            *(Text(name, style="dim") for name in ("simulated", "events/s", "events", "lag", "accounts", "links"))
        )
        numbers.add_row(
            Text(self._simulated(), style="bold"),
            f"{seen.rate:,.0f}",
            f"{page.get(metrics.EVENTS.name, 0):,.0f}",
            f"{page.get(metrics.LAG.name, 0):,.0f}",
            f"{page.get(metrics.ACCOUNTS.name, 0):,.0f}",
            f"{page.get(metrics.LINKS.name, 0):,.0f}",
        )
        addresses = Table.grid(padding=(0, 2))
        for name, url in self._addresses():
            addresses.add_row(Text(name, style="dim"), url)
        parts = Table.grid(padding=(0, 2))
        parts.add_row(Text("broker", style="dim"), self.parts.broker)
        parts.add_row(Text("store", style="dim"), self.parts.store)
        return Group(
            Panel(
                Group(numbers, Text(), parts, addresses), title="detector demo", title_align="left", border_style="blue"
            ),
            Panel(self._found(), title="findings", title_align="left", border_style="red" if seen.findings else "dim"),
            self._verdict(),
        )

    def _found(self) -> RenderableType:
        if not self.seen.findings:
            return Text("nothing yet: the campaign begins after an hour of simulated time", style="dim")
        shown = Table.grid(padding=(0, 2))
        newest = self.seen.findings[0][1]
        for after_s, finding in self.seen.findings:
            style = _SEVERITY_STYLE[finding.severity]
            shown.add_row(Text(f"{after_s:5.1f} s", style="dim"), Text(_said(finding), style))
            for reason in finding.reasons[:4] if finding is newest else ():
                shown.add_row("", Text(reason.because))
        return shown

    def _verdict(self) -> Text:
        seen = self.seen
        if seen.found_after_s is None:
            found = ("campaign not found yet", "dim")
        else:
            accounts = f"{len(seen.found)} of its {len(seen.harvesters)} accounts"
            found = (f"campaign found after {seen.found_after_s:.1f} s, {accounts}", "bold green")
        benign = (f"{len(seen.benign)} benign accounts flagged", "bold red" if seen.benign else "green")
        return Text.assemble(" ", found, ("  ·  ", "dim"), benign, ("  ·  Ctrl-C ends", "dim"))

    def _simulated(self) -> str:
        hours, minutes = divmod(max(0, self.seen.time_ms - self.seen.began_ms) // 60_000, 60)
        return f"{hours} h {minutes:02d} min"

    def _addresses(self) -> Iterator[tuple[str, str]]:
        for name in ("/metrics", "/healthz", "/readyz"):
            yield name, f"http://127.0.0.1:{self._config.web.port}{name}"

    def _line(self) -> str:
        page = self.seen.page
        return (
            f"{time.monotonic() - self.began:5.1f} s  simulated {self._simulated()}  {self.seen.rate:,.0f} events/s  "
            f"lag {page.get(metrics.LAG.name, 0):,.0f}  accounts {page.get(metrics.ACCOUNTS.name, 0):,.0f}"
        )

    def conclude(self) -> None:
        """Leave the last picture, or the last line, on the screen."""
        self._console.print(self.picture() if self._console.is_terminal else self._verdict(), soft_wrap=True)

    def save(self, path: Path) -> None:
        """Write the picture as it stands as SVG."""
        with Path(os.devnull).open("w") as nowhere:
            paper = Console(record=True, width=110, force_terminal=True, file=nowhere)
            paper.print(self.picture())
        path.parent.mkdir(parents=True, exist_ok=True)
        paper.save_svg(str(path), title="make demo")


def _said(finding: Finding) -> str:
    accounts = f", {finding.accounts_total} accounts" if finding.kind == "campaign" else ""
    return f"{finding.severity} {finding.kind} {finding.subject} {finding.state}{accounts}, score {finding.score:.2f}"

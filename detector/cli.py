"""The command line: names, flags and exit codes of the contract; what a command does is imported when it runs.

Exit codes: 0 done; 1 the input held nothing usable, or a bar was missed; 2 wrong usage or
configuration; 3 a needed service is away. What goes wrong is said in one line on standard error.
Results go to standard output or the file that was asked for; progress and summaries never do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn

import click

from detector import __version__

if TYPE_CHECKING:
    from datetime import datetime

    from detector.account import AccountRecord
    from detector.config import Config
    from detector.runtime.replay import Tally
    from detector.simulate import Simulation

NOTHING_USABLE: Final = 1
WRONG_USAGE: Final = 2
SERVICE_AWAY: Final = 3

_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_FOLDER: Final = click.Path(path_type=Path, file_okay=False, exists=True)
_config_option = click.option(
    "--config", "config_file", type=_FILE, help="Settings in TOML; without it DETECTOR_CONFIG, or the defaults."
)


def main() -> NoReturn:
    """Run the command line; every error that is expected is one line and an exit code."""
    from detector.errors import ConfigError, DetectorError, InputError, Unavailable

    try:
        code = command(prog_name="detector", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = 130
    except DetectorError as error:
        click.echo(f"detector: {error}", err=True)
        codes = ((ConfigError, WRONG_USAGE), (Unavailable, SERVICE_AWAY), (InputError, NOTHING_USABLE))
        code = next((code for kind, code in codes if isinstance(error, kind)), NOTHING_USABLE)
    sys.exit(code)


class _Group(click.Group):
    """A group that names the nearest command to one that is none, and ends in peace when nobody reads on."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click would make it exit code 1, but who reads the output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from detector.errors import nearest

        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = nearest(args[0], self.list_commands(ctx))
            hint = f" (did you mean {near!r}?)" if near else ""
            raise click.UsageError(f"there is no command {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="detector")
def command() -> None:
    """Catches bulk capability harvesting: request events in, findings about campaigns out."""


@command.command()
@_config_option
def run(config_file: Path | None) -> None:
    """Run the service: consume, detect, serve /metrics, /healthz, /readyz."""
    config = _loaded(config_file)
    from detector.runtime import live

    live.run(config)


@command.command()
@click.option("--duration", default="", metavar="TIME", help="Stop after so long (90, 90s, 5m); otherwise on Ctrl-C.")
@click.option("--seed", default=1, show_default=True, help="Of the simulated traffic.")
@click.option("--screenshot", type=_FILE, help="Write the last picture of the view to this file, as SVG.")
@_config_option
def demo(duration: str, seed: int, screenshot: Path | None, config_file: Path | None) -> int:
    """Run the same service on embedded parts, with simulated traffic and one campaign in it.

    Exits with 0 when the campaign was found and no benign account was flagged, with 1 otherwise.
    """
    seconds = _seconds(duration) if duration else None
    _loaded(config_file)  # what is wrong in it is said before anything is started
    from detector.runtime import demo as embedded

    return embedded.run(config_file, duration_s=seconds, seed=seed, screenshot=screenshot)


@command.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--accounts", "account_files", multiple=True, metavar="FILE", help="Account records; may be repeated.")
@click.option("--warm-up", "warm_up", multiple=True, metavar="FILE", help="Events before these; may be repeated.")
@click.option("--findings", "findings_file", type=_FILE, help="Where findings go; otherwise standard output.")
@click.option(
    "--processes",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="With 2 the campaign stage has one of its own: sooner where there are two cores, with the same findings.",
)
@_config_option
def replay(
    files: tuple[str, ...],
    account_files: tuple[str, ...],
    warm_up: tuple[str, ...],
    findings_file: Path | None,
    processes: int,
    config_file: Path | None,
) -> None:
    """Put recorded events through the pipeline, in the order they stand.

    FILE is NDJSON, plain, .gz or .zst; - is standard input. The same input gives the same findings.

    What --warm-up names is learnt first and not reported: which wordings are common, who is established, which
    campaigns there are. What is open at its end is raised anew, with all of its accounts, when something of it next
    happens. A live worker is warmed by what Kafka still holds: one without state reads the topics from their beginning;
    let it do so with alerting.shadow = true.
    """
    config = _loaded(config_file)
    _must_exist([*files, *account_files, *warm_up])
    from detector.finding import encode
    from detector.runtime.files import chunks_of
    from detector.runtime.replay import Tally
    from detector.runtime.replay import replay as replayed

    tally = Tally()
    severities: dict[str, int] = {}
    campaigns: set[str] = set()
    with _output(findings_file) as out, _progress([*warm_up, *files]) as progress:
        findings = replayed(
            chunks_of(files, progress=progress),
            _accounts(account_files),
            config.pipeline(),
            warm_up=chunks_of(warm_up, progress=progress),
            tally=tally,
            processes=processes,
        )
        for finding in findings:
            out.write(encode(finding) + b"\n")
            if finding.state != "cleared" and finding.kind == "campaign":
                campaigns.add(finding.subject)
            severities[finding.severity] = severities.get(finding.severity, 0) + 1
    _summarise(tally, severities, len(campaigns))
    if not tally.events:
        _fail("none of the input is a request event", NOTHING_USABLE)


@command.command()
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO...")
@click.option("--out", "folder", type=click.Path(path_type=Path, file_okay=False), help="Folder for the files.")
@click.option("--kafka", "to_kafka", is_flag=True, help="Send to the configured topics instead, paced by --speed.")
@click.option("--speed", type=click.FloatRange(min=0.001), default=1.0, help="Simulated seconds in one of ours.")
@click.option("--seed", default=1, show_default=True, help="The same seed, the same bytes.")
@click.option("--scale", default=1.0, show_default=True, help="Multiplies numbers of accounts.")
@click.option("--days", type=float, help="Cut the stream after so many days.")
@click.option("--text/--no-text", default=True, help="With or without the text of prompts.")
@click.option("--set", "turned", multiple=True, metavar="DIAL=VALUE", help="Of every campaign; may be repeated.")
@click.option("--prompts", "prompt_folder", type=_FOLDER, help="Real prompts, benign and harvested, from this folder.")
@click.option(
    "--compress", type=click.Choice(["none", "gz", "zst"]), default="gz", show_default=True, help="Of the events."
)
@_config_option
def simulate(
    *,
    scenarios: tuple[str, ...],
    folder: Path | None,
    to_kafka: bool,
    speed: float,
    seed: int,
    scale: float,
    days: float | None,
    text: bool,
    turned: tuple[str, ...],
    prompt_folder: Path | None,
    compress: str,
    config_file: Path | None,
) -> None:
    """Write events, account records and ground truth of SCENARIO, from a seed.

    Several scenarios go to folders of their own below --out. With --kafka events and account records
    go to Kafka as a gateway would send them, one scenario after another. SCENARIO-withheld is the same with sketches
    under the configured key in the place of text.

    A dial is a field of a campaign, such as aged=0.5, mixed=0.9, timing=lockstep, per_account_day=5.6 or pivot=false,
    or of the parts of its content, such as content.templates=1000, content.paraphrase=0.3 or content.kind=naked; the
    parts themselves are content='[{"share": 0.8, "family": "coding"}, {"share": 0.2, "kind": "naked"}]'.

    Prompts are written by grammars, or come from a folder: *.ndjson files with {"prompt" or "text": ..., "kind":
    "benign" or "harvest", "family": ... (optional)} on each line, or benign_*.ndjson and harvest_*.ndjson without the
    kind, or benign/*.txt and harvest/*.txt with a prompt on each. Accounts do not share more of them than the
    collections do, while there are enough.
    """
    if prompt_folder and not text:
        raise click.UsageError("--prompts and --no-text exclude each other")
    config = _loaded(config_file)
    from detector.runtime.scenarios import WITHHELD, scenario_of, simulated

    if not text and any(name.endswith(WITHHELD) for name in scenarios):
        raise click.UsageError(f"{WITHHELD} is sketches of the text, and --no-text leaves it out")
    if to_kafka == (folder is not None):
        raise click.UsageError("say where it goes: --out FOLDER, or --kafka")
    worlds = {name: scenario_of(name, turned) for name in scenarios}
    from detector.simulate.files import read_prompts, write

    prompts = read_prompts(prompt_folder) if prompt_folder else None

    def made(name: str) -> Simulation:
        key, world = config.privacy.key, worlds[name]
        return simulated(name, seed, scale, key=key, world=world, days=days, text=text, prompts=prompts)

    if folder is None:
        _send(config, [made(name) for name in scenarios], speed)
        return
    suffix: Any = "" if compress == "none" else f".{compress}"
    for name in scenarios:
        target = folder / name if len(scenarios) > 1 else folder
        simulation = made(name)
        with _counter(name, simulation.total_events) as advance, _writing(target):
            total = write(simulation, target, suffix, advance)
        accounts = len(simulation.accounts)
        click.echo(f"{name}: {total:,} events, {accounts:,} account records in {target}", err=True)


@command.command()
@click.option("--events", multiple=True, required=True, metavar="FILE", help="Recorded events; may be repeated.")
@click.option("--accounts", "account_files", multiple=True, metavar="FILE", help="Account records; may be repeated.")
@click.option("--truth", required=True, type=_FILE, help="Labels: {account_id, label, campaign_id?, cohort?} per line.")
@click.option("--baselines", is_flag=True, help="The simple methods too, on the same stream.")
@click.option("--bar", "bars", multiple=True, metavar="'FIGURE<=N'", help="Exit with 1 unless it holds.")
@click.option("--json", "as_json", is_flag=True, help="The score card as JSON on standard output.")
@click.option("--html", "html_file", type=_FILE, help="The score card as a page with plots into this file, too.")
@_config_option
def evaluate(
    *,
    events: tuple[str, ...],
    account_files: tuple[str, ...],
    truth: Path,
    baselines: bool,
    bars: tuple[str, ...],
    as_json: bool,
    html_file: Path | None,
    config_file: Path | None,
) -> None:
    """Replay, and measure against labels."""
    config = _loaded(config_file)
    _must_exist([*events, *account_files, str(truth)])
    import msgspec

    from detector.baselines import BASELINES
    from detector.runtime import report
    from detector.runtime.evaluate import OURS, compare, read_truth
    from detector.runtime.files import chunks_of
    from detector.runtime.replay import replay as replayed

    wanted = [report.parse_bar(bar) for bar in bars]
    labels = read_truth(truth)
    with _progress(events) as progress:
        cards = compare(
            chunks_of(events, progress=progress),
            labels,
            lambda chunks: replayed(chunks, _accounts(account_files), config.pipeline()),
            baselines=BASELINES if baselines else (),
        )
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(cards)))
    else:
        from rich.console import Console

        console = Console() if sys.stdout.isatty() else Console(width=250)
        ours = [card for card in cards if card.system == OURS]
        console.print(report.summary_table(cards, every=not console.is_terminal), report.cohort_table(ours))
    missed = [(bar, found) for bar in wanted if (found := bar.missed_by(cards[:1])) is not None]
    for bar, found in missed:
        click.echo(f"missed: {bar}, measured {found}", err=True)
    if html_file:
        note = f"Events of {', '.join(events)}; labels of {truth}."
        with _writing(html_file):
            html_file.write_text(report.page("Score card", cards, {"": wanted}, note), encoding="utf-8")
    if missed:
        sys.exit(NOTHING_USABLE)


@command.command()
@click.option("--stream", "folders", multiple=True, metavar="FOLDER", help="Events, accounts and truth, as simulated.")
@click.option("--scenario", "scenarios", multiple=True, metavar="NAME", help="Simulate it instead; may be repeated.")
@click.option("--seed", "seeds", type=int, multiple=True, default=(1,), show_default=True, help="May be repeated.")
@click.option("--check-seed", "check_seeds", type=int, multiple=True, help="Only tell how well the weights do on it.")
@click.option("--scale", default=0.02, show_default=True, help="Multiplies numbers of accounts.")
@click.option("--days", default=4.0, show_default=True, help="Cut a simulated stream after so many days.")
@click.option("--date", type=click.DateTime(["%Y-%m-%d"]), required=True, help="Of the fit; it is written down.")
@click.option("--out", "out_file", type=_FILE, help="Where the weights go; otherwise standard output.")
@_config_option
def fit(
    *,
    folders: tuple[str, ...],
    scenarios: tuple[str, ...],
    seeds: tuple[int, ...],
    check_seeds: tuple[int, ...],
    scale: float,
    days: float,
    date: datetime,
    out_file: Path | None,
    config_file: Path | None,
) -> None:
    """Fit the weights of a campaign's readings to labelled streams, and write them with how well they do.

    A stream is a folder of events.ndjson, accounts.ndjson and truth.ndjson, or each SCENARIO with each SEED. The fit
    keeps the rules of combination: a stronger reading never lowers confidence, and behaviour alone stays at
    `watch`. The file is used (setting campaigns.weights) once a person has read it and put a name in it.
    """
    config = _loaded(config_file)
    if not folders and not scenarios:
        raise click.UsageError("say what to fit to: --stream FOLDER, or --scenario NAME")
    from detector.campaign.weights import render
    from detector.runtime.fit import fitted
    from detector.runtime.grid import Job
    from detector.runtime.scenarios import scenario_of

    for name in scenarios:
        scenario_of(name)  # or refuse it before anything is done

    def simulated(numbers: Sequence[int]) -> list[Job]:
        return [Job(name, seed, scale, days) for seed in numbers for name in scenarios]

    recorded = [Job(Path(folder).name, folder=Path(folder)) for folder in folders]
    jobs, checks = recorded + simulated(seeds), simulated(check_seeds)
    with _counter("streams", len(jobs) + len(checks)) as advance:
        file = fitted(jobs, checks, config.pipeline(), date.date(), done=lambda _: advance(1))
    with _output(out_file) as out:
        out.write(render(file).encode())


@command.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--out", "out_file", type=_FILE, help="Where events go; otherwise standard output.")
@_config_option
def sketch(files: tuple[str, ...], out_file: Path | None, config_file: Path | None) -> None:
    """Replace the text in events by sketches, under the configured key.

    Only fields of the contract are kept, so that no text leaves in a field that nobody knows.
    """
    config = _loaded(config_file)
    _must_exist(files)
    from detector.runtime.files import chunks_of
    from detector.runtime.sketching import sketched

    kept = dropped = 0
    with _output(out_file) as out, _progress(files) as progress:
        for lines, unusable in sketched(chunks_of(files, progress=progress), config.privacy.key):
            out.writelines(line + b"\n" for line in lines)
            kept += len(lines)
            dropped += unusable
    click.echo(f"{kept:,} events, {dropped:,} lines left out because they are no events", err=True)
    if not kept:
        _fail("none of the input is a request event", NOTHING_USABLE)


@command.command()
@click.argument("kind", type=click.Choice(["account", "campaign"]))
@click.argument("subject", metavar="ID")
@_config_option
def inspect(kind: str, subject: str, config_file: Path | None) -> None:
    """Say what the detector knows of an account or a campaign, and why, from the running store."""
    config = _loaded(config_file)
    from detector.runtime.inspect import described

    text = described(config, kind, subject)
    if text is None:
        _fail(f"nothing is known of {kind} {subject}", NOTHING_USABLE)
    click.echo(text)


@command.command()
@click.argument("record", type=click.Choice(["request", "account", "finding", "verdict"]))
def schema(record: str) -> None:
    """Print the JSON Schema of a record."""
    from detector.schema import schema_of

    click.echo(schema_of(record), nl=False)


@command.command("check-config")
@click.option("--documented", is_flag=True, help="Print the default file that explains every setting instead.")
@_config_option
def check_config(documented: bool, config_file: Path | None) -> None:
    """Check the configuration and print it, with where each value came from and without secrets."""
    from detector.config import documented as default_file
    from detector.config import effective

    if documented:
        click.echo(default_file(), nl=False)
        return
    values = effective(config_file)
    lines = [f"{value.setting.name} = {value.shown()}" for value in values]
    width = min(max(map(len, lines)), 70)
    for line, value in zip(lines, values, strict=True):
        click.echo(f"{line:{width}}  # {value.origin}")


@command.group(cls=_Group)
def topics() -> None:
    """Kafka topics."""


@topics.command()
@_config_option
def create(config_file: Path | None) -> None:
    """Create the topics that are missing."""
    config = _loaded(config_file)
    from detector.runtime import topics as kafka_topics

    made = kafka_topics.create_all(config)
    click.echo("\n".join(f"created {name}" for name in made) if made else "every topic is there")


def _loaded(config_file: Path | None) -> Config:
    from detector.config import load

    return load(config_file)


def _send(config: Config, simulations: list[Simulation], speed: float) -> None:
    import asyncio

    from detector.runtime import traffic

    async def both(simulation: Simulation) -> tuple[int, int]:
        brokers, topics = config.kafka.brokers, config.topics
        told = await traffic.tell_accounts(simulation, brokers=brokers, topic=topics.accounts) if topics.accounts else 0
        return told, await traffic.send(simulation, brokers=brokers, topic=topics.requests, speed=speed)

    for simulation in simulations:
        told, sent = asyncio.run(both(simulation))
        click.echo(f"{sent:,} events, {told:,} account records sent", err=True)


def _must_exist(paths: Sequence[str]) -> None:
    """Refuse a file that is not there before anything is done: that is wrong usage."""
    from detector.errors import InputError
    from detector.runtime.files import bytes_of

    try:
        for path in paths:
            bytes_of([path])
    except InputError as error:
        _fail(str(error), WRONG_USAGE)


def _accounts(paths: Sequence[str]) -> Iterator[AccountRecord]:
    """Yield the account records of all files; say how many lines are none."""
    from detector.decoders import decode_accounts
    from detector.runtime.files import chunks_of

    for path in paths:
        rejected: dict[str, int] = {}
        for chunk in chunks_of([path]):
            decoded = decode_accounts(chunk)
            for reject in decoded.rejects:
                rejected[reject.reason] = rejected.get(reject.reason, 0) + 1
            yield from decoded.records
        if rejected:
            click.echo(f"{path}: {_listed(rejected)} of the lines are no account records", err=True)


def _summarise(tally: Tally, severities: dict[str, int], campaigns: int) -> None:
    parts = [f"{tally.events:,} events"]
    if tally.first_ms is not None and tally.last_ms is not None:
        parts.append(f"{(tally.last_ms - tally.first_ms) / 86_400_000:.2f} days")
    parts.append(f"{tally.findings:,} findings ({_listed(severities)})" if tally.findings else "no findings")
    parts.append(f"{campaigns:,} campaigns")
    click.echo(", ".join(parts), err=True)
    if tally.rejects:
        click.echo(f"no events: {_listed(tally.rejects)}", err=True)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))


def _seconds(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], units[text[-1]]) if text[-1] in units else (text, 1)
    try:
        seconds = float(number) * unit
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise click.UsageError(f"--duration: {text!r} is no time; 90, 90s, 5m and 1h are")
    return seconds


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"detector: {message}", err=True)
    sys.exit(code)


@contextmanager
def _output(path: Path | None) -> Iterator[IO[bytes]]:
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    with _writing(path), path.open("wb") as out:
        yield out


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say in one line that a file cannot be written."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        _fail(f"{error.filename or path}: cannot be written: {error.strerror}", WRONG_USAGE)


@contextmanager
def _progress(paths: Sequence[str]) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how far the files are read."""
    from detector.runtime.files import bytes_of

    with _bar("reading", bytes_of(paths), in_bytes=True) as advance:
        yield advance


@contextmanager
def _counter(name: str, total: int) -> Iterator[Callable[[int], None]]:
    with _bar(name, total, in_bytes=False) as advance:
        yield advance


@contextmanager
def _bar(name: str, total: int | None, *, in_bytes: bool) -> Iterator[Callable[[int], None]]:
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    amount = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=total)
        yield lambda n: progress.advance(task, n)

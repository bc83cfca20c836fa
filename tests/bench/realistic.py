"""`make realistic DATA=folder`: recorded traffic and prompts through Kafka to two workers, and the score card.

    recordings ─► stream ─► Apache Kafka ─► two `detector run` ─► findings topic ─► score card
                                              └── Redis

What is recorded in the stream and what is made up, `recordings.py` says. With `--through replay` the same
stream goes through the same pipeline in one process, which is quicker and must say the same.

Exit code 1 when the campaign was not found or a benign account was flagged.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from rich.console import Console

from detector.baselines import BASELINES
from detector.errors import DetectorError
from detector.runtime.evaluate import OURS, compare
from detector.runtime.grid import write_results
from detector.runtime.replay import replay
from detector.runtime.report import cohort_table, parse_bar, summary_table
from detector.scorecard import ScoreCard
from tests.bench.recordings import Plan, Stream, build
from tests.bench.settings import PARTITION_SETTINGS, end_on_sigterm, pipeline_settings
from tests.bench.through_kafka import findings_through_kafka

BARS = ("campaign_recall>=1", "false_flags<=0")


def main(arguments: list[str]) -> int:
    """Build the stream, detect, print; return the exit code."""
    usual = Plan()
    parser = argparse.ArgumentParser(prog="realistic", description="recorded traffic and prompts, one campaign")
    parser.add_argument("--data", type=Path, required=True, help="folder of recordings (traffic/, prompts/)")
    parser.add_argument("--through", choices=("kafka", "replay"), default="kafka")
    parser.add_argument("--harvest", default=usual.harvest, help="file in prompts/ that the campaign asks")
    parser.add_argument("--accounts", type=int, default=usual.campaign_accounts, help="of the campaign")
    parser.add_argument("--per-day", type=float, default=usual.campaign_per_day, help="exchanges per account and day")
    parser.add_argument("--days", type=float, default=usual.days)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--baselines", action="store_true", help="beside the simpler ways")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out/realistic"))
    options = parser.parse_args(arguments)
    end_on_sigterm()
    console = Console() if sys.stdout.isatty() else Console(width=240)
    plan = Plan(
        days=options.days,
        harvest=options.harvest,
        campaign_accounts=options.accounts,
        campaign_per_day=options.per_day,
        seed=options.seed,
    )
    try:
        stream = build(options.data, plan)
        console.print(f"{len(stream.events):,} events of {len(stream.accounts):,} accounts over {plan.days:g} days")
        cards = _measure(stream, options, console)
    except DetectorError as error:
        console.print(f"realistic: {error}", style="red")
        return 1
    bars = {plan.harvest: [parse_bar(text) for text in BARS]}
    note = f"Recorded traffic and prompts, through {options.through}. Accounts and networks are made up."
    write_results(options.out, cards, bars, f"Realistic stream: {plan.harvest}", note)
    console.print(summary_table(cards))
    console.print(cohort_table([card for card in cards if card.system == OURS]))
    return _verdict(cards[0], console)


def _measure(stream: Stream, options: argparse.Namespace, console: Console) -> list[ScoreCard]:
    started = time.perf_counter()
    if options.through == "kafka":
        with tempfile.TemporaryDirectory(prefix="detector-realistic-", ignore_cleanup_errors=True) as folder:
            said = findings_through_kafka(stream, Path(folder), options.config, PARTITION_SETTINGS, console.print)
        findings = sorted(said, key=lambda f: (f.time_ms, f.finding_id, f.seq))
    else:
        findings = list(replay(stream.chunks(), stream.accounts, pipeline_settings(options.config)))
    seconds = time.perf_counter() - started
    console.print(f"{len(findings):,} findings through {options.through} in {seconds:.0f} s, servers and all")
    cards = compare(
        stream.chunks(),
        stream.truth,
        lambda _: findings,
        baselines=BASELINES if options.baselines else (),
        scenario=options.harvest,
        seed=options.seed,
    )
    ours = msgspec.structs.replace(cards[0], events_per_second=cards[0].events / seconds, bytes_per_account=None)
    return [ours, *cards[1:]]


def _verdict(card: ScoreCard, console: Console) -> int:
    """Say the four things that matter in words; return the exit code."""
    for campaign in card.campaigns:
        found = "[red]not found[/]"
        if campaign.hours_to_detect is not None:
            exchanges = f"{campaign.exchanges_to_detect:,} of {campaign.exchanges:,} exchanges"
            found = f"found after {campaign.hours_to_detect:.2f} h and {exchanges}"
        recall = f"{100 * (campaign.recall or 0):.1f} % of its accounts flagged"
        console.print(f"campaign {campaign.campaign_id}: {found}, {recall}")
    console.print(f"benign accounts flagged: {card.false_flags} in {card.benign_account_days:,} account-days")
    return 0 if card.campaign_recall == 1 and not card.false_flags else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

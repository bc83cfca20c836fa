"""`make evasion`: one dial of a campaign turned at a time, to where half of it is served.

    python -m tests.bench.evasion [--seeds 1] [--only rate,mixed] [--processes 2] [--config FILE]

53 runs a seed, some 25 s each on one core. What is tried and why: `detector/runtime/evasion.py`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from detector.errors import DetectorError
from detector.runtime.evaluate import OURS
from detector.runtime.evasion import DIALS, evasion_page, points, sentence, sweep, table
from detector.runtime.grid import write_page
from tests.bench.evaluate import run_shown
from tests.bench.settings import pipeline_settings

FIRST_SEED = 302  # nothing was tuned on it and the next fifty


def main(arguments: list[str]) -> int:
    """Run the sweeps; return the exit code."""
    parser = argparse.ArgumentParser(prog="evasion", description="where detection breaks down, dial by dial")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--only", help=f"dials, separated by commas, of {', '.join(dial.name for dial in DIALS)}")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out/evasion"))
    options = parser.parse_args(arguments)
    wanted = set(options.only.split(",") if options.only else [dial.name for dial in DIALS])
    if unknown := wanted - {dial.name for dial in DIALS}:
        parser.error(f"no such dial: {', '.join(sorted(unknown))}")
    dials = [dial for dial in DIALS if dial.name in wanted]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    console = Console() if sys.stdout.isatty() else Console(width=160)
    try:
        every = run_shown(sweep(dials, seeds), pipeline_settings(options.config), options.processes, console)
    except DetectorError as error:
        console.print(f"evasion: {error}", style="red")
        return 1
    cards = [card for card in every if card.system == OURS]
    note = f"Seeds: {', '.join(map(str, seeds))}."
    write_page(options.out, cards, evasion_page(dials, cards, note))
    for dial in dials:
        console.print(table(dial, points(dial, cards)))
    for dial in dials:
        console.print(sentence(dial, points(dial, cards)))
    console.print(f"{options.out}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Coverage-guided fuzzing of every door, one after the other, each in a process of its own.

    python -m tests.fuzz [--seconds 60] [--only events --only rows] [--blind]

Atheris (libFuzzer) where it is installed: it sees which lines of ours an input reaches, and goes on from what reached
new ones. What it found is kept in .cache/fuzz/NAME for the next run. Half of the mutations are its own, on bytes;
the others change a value of the record (`targets.damaged`). Elsewhere, or `--blind`, the latter alone, from the seeds:
no coverage, and some ten times as many inputs.
The first input that breaks a promise, takes ten seconds or two gigabytes ends the run with 1, and is kept.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

CACHE = Path(".cache/fuzz")
MOST_BYTES = 100_000
MOST_SECONDS_EACH = 10
MOST_MEGABYTES = 2_048


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="for each door")
    parser.add_argument("--only", action="append", default=[], metavar="DOOR")
    parser.add_argument("--blind", action="store_true", help="without coverage, and faster")
    parser.add_argument("--door", help=argparse.SUPPRESS)  # the child's
    options = parser.parse_args()
    if options.door:
        return one(options.door, options.seconds, blind=options.blind)
    if not options.blind and importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: random damages of the seeds, without coverage")
    names = [target.name for target in importlib.import_module("tests.fuzz.targets").TARGETS]
    if unknown := set(options.only) - set(names):
        parser.error(f"there is no door {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    failed = [name for name in options.only or names if not passed(name, options.seconds, blind=options.blind)]
    print(f"broken: {', '.join(failed)}" if failed else "every promise held")
    return int(bool(failed))


def passed(name: str, seconds: int, *, blind: bool) -> bool:
    """Run a door in a process of its own, which libFuzzer ends as it likes; print a line, or what it said."""
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        "--door",
        name,
        "--seconds",
        str(seconds),
        *["--blind"][: int(blind)],
    ]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = done.stdout + done.stderr
    inputs = re.findall(r"^inputs (\d+), executions (\d+)$", said, re.MULTILINE)
    reached = re.findall(r" cov: (\d+) ", said)
    if done.returncode or not inputs:
        print(f"{name}: broken\n{done.stdout[-4_000:]}\n{done.stderr[-2_000:]}")
        return False
    taken, executions = map(int, inputs[-1])
    lines = f", {reached[-1]} places reached" if reached else ""
    print(
        f"{name:14} {taken:>12,} inputs in {executions:,} executions, {time.monotonic() - began:.0f} s{lines}",
        flush=True,
    )
    return True


def one(name: str, seconds: int, *, blind: bool) -> int:
    """Fuzz one door in this process."""
    atheris: ModuleType | None = None
    if not blind and importlib.util.find_spec("atheris"):
        atheris = importlib.import_module("atheris")
        with atheris.instrument_imports(include=["detector", "aiohttp"]):
            targets = importlib.import_module("tests.fuzz.targets")
    else:
        targets = importlib.import_module("tests.fuzz.targets")
    warnings.filterwarnings("error", module=r"detector(\.|$)")  # as the tests do: an overflow in our columns is a bug
    (target,) = (each for each in targets.TARGETS if each.name == name)
    counted, told_at = [0, 0], [0.0]

    def run(data: bytes) -> None:
        counted[0] += target.run(data)
        counted[1] += 1
        if time.monotonic() - told_at[0] > 0.2:  # libFuzzer ends the process, and nothing can be said afterwards
            told_at[0] = time.monotonic()
            print(f"inputs {counted[0]}, executions {counted[1]}", flush=True)

    seeds = target.seeds()
    if atheris is None:
        at_random(run, seeds, targets.damaged, time.monotonic() + seconds)
    else:
        guided(atheris, name, run, seeds, targets.damaged, seconds)
    return 0


def at_random(run: Any, seeds: list[bytes], damaged: Any, end: float) -> None:
    rng = Random(time.time_ns())
    while time.monotonic() < end:
        data = rng.choice(seeds)
        for _ in range(rng.randrange(4)):
            data = damaged(data, rng)
        try:
            run(data)
        except Exception:
            kept = CACHE / f"crash-{hashlib.sha1(data).hexdigest()}"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(data)
            print(f"kept in {kept}")
            raise


def guided(atheris: Any, name: str, run: Any, seeds: list[bytes], damaged: Any, seconds: int) -> None:
    corpus = CACHE / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)

    def mutated(data: bytes, most_bytes: int, seed: int) -> bytes:
        if seed % 2:
            changed: bytes = atheris.Mutate(data, most_bytes)
            return changed
        return bytes(damaged(data, Random(seed)))[:most_bytes]

    arguments = [
        *(sys.argv[0], str(corpus), f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}", "-print_final_stats=1"),
        *(f"-timeout={MOST_SECONDS_EACH}", f"-rss_limit_mb={MOST_MEGABYTES}", f"-artifact_prefix={CACHE}/crash-"),
    ]
    atheris.Setup(arguments, run, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())

"""Events per CPU second that the simulator writes, single core: columns alone, lines without text, lines with text.

    python -m tests.bench.simulator [SCENARIO] [--events 300000] [--profile]

Building the world (accounts, cohorts) is left out; lines are JSON as `detector simulate` writes them, uncompressed.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Iterable, Sized

from detector.simulate import SCENARIOS, Simulation, simulate


def rate(parts: Iterable[Sized], most: int) -> float:
    """Take about `most` events; return how many came per CPU second."""
    start, events = time.process_time(), 0
    for part in parts:
        events += len(part)
        if events >= most:
            break
    return events / (time.process_time() - start)


def main() -> None:
    """Print the three rates of a scenario."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenario", nargs="?", default="april-june", choices=sorted(SCENARIOS))
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()

    def world(*, text: bool) -> Simulation:
        return simulate(options.scenario, 1, options.scale, text=text)

    rate(world(text=True).chunks(), 20_000)  # grammars are compiled once in a process
    profiler = cProfile.Profile(time.process_time)
    for name, text in (("columns", False), ("lines without text", False), ("lines with text", True)):
        simulation = world(text=text)
        if options.profile:
            profiler.enable()
        measured = rate(simulation.slices() if name == "columns" else simulation.chunks(), options.events)
        profiler.disable()
        print(f"{options.scenario} at {options.scale:g}, {name}: {measured:,.0f} events/s")
    if options.profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()

"""What a record costs that grows in one way, at one size and at eight times that: the last column should be near 8.

    python -m tests.bench.doors [--bytes 100000]

CPU time of decoding, and of what the pipeline does with what was decoded; the least of three.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from detector.decoders import decode, decode_accounts, repartitioned
from detector.pipeline import Pipeline
from tests.fuzz.shapes import SHAPES
from tests.fuzz.targets import KEY, SETTINGS


def seconds(work: Callable[[], object]) -> float:
    spent = []
    for _ in range(3):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


def through(value: bytes) -> None:
    """Everything that a record goes through."""
    decode_accounts([value])
    batch = decode([value], 0, hash_key=KEY).batch
    pipeline = Pipeline(SETTINGS)
    if len(batch):
        pipeline.feed(repartitioned(batch, 1))
    pipeline.finish()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.doors")
    parser.add_argument("--bytes", type=int, default=100_000)
    size = parser.parse_args().bytes
    through(SHAPES["events"](size))
    print(f"{'':28}{'bytes':>10}{'ms':>9}{'8 x: ms':>10}{'ratio':>8}")
    for name, shape in SHAPES.items():
        small, large = shape(size), shape(8 * size)
        spent = [1000 * seconds(lambda value=value: through(value)) for value in (small, large)]  # type: ignore[misc]
        print(f"{name:28}{len(small):>10,}{spent[0]:>9.1f}{spent[1]:>10.1f}{spent[1] / spent[0]:>8.1f}", flush=True)


if __name__ == "__main__":
    main()

"""`detector` with a wall clock that jumps: `python -m tests.chaos.clocked FILE run …`.

FILE holds the seconds that the clock is wrong by; SIGUSR1 has it read again. Only `time.time` is
wrong, as it is on a machine whose clock is set: what counts durations is `time.monotonic`.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path


def main() -> None:
    file = Path(sys.argv.pop(1))
    right = time.time
    wrong_by = [0.0]

    def jump(*_signal: object) -> None:
        wrong_by[0] = float(file.read_text())

    jump()
    signal.signal(signal.SIGUSR1, jump)
    time.time = lambda: right() + wrong_by[0]
    from detector.cli import main as detector  # noqa: PLC0415  # behind the clock

    detector()


if __name__ == "__main__":
    main()

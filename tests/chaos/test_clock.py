"""The wall clock of a process that can be set, and what it leaves alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.chaos.members import Clock

DAY = 86_400
SAYS = "import sys, time\nfor _ in sys.stdin: print(time.time(), time.monotonic(), flush=True)"


def test_a_clock_that_is_set_moves_the_time_of_day_of_its_process_and_nothing_else(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    command = [sys.executable, "-c", SAYS]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **clock.settings}
    ) as process:
        assert process.stdin
        assert process.stdout
        for days in (0, 40, -40, 0):
            clock.set(days * DAY)
            began = time.time(), time.monotonic()
            process.stdin.write(b"now\n")
            process.stdin.flush()
            said = [float(word) for word in process.stdout.readline().split()]
            ended = time.time(), time.monotonic()
            assert began[0] <= said[0] - days * DAY <= ended[0]
            assert began[1] <= said[1] <= ended[1]
        process.stdin.close()

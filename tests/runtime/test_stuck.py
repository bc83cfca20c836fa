"""A process that is stuck ends, so that its partitions come to another one."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

BLOCKED = "await asyncio.sleep(0.1); time.sleep(60)"
LEFT = "threading.Thread(target=time.sleep, args=(60,)).start()"


@pytest.mark.parametrize("stuck", [BLOCKED, LEFT], ids=["in its loop", "at its end"])
def test_a_process_that_is_stuck_says_where_and_ends(stuck: str) -> None:
    """Its heartbeats come from another thread: it would keep its partitions for ever."""
    script = f"""
import asyncio, threading, time
from detector.runtime import live
class Stuck:
    async def run(self):
        {stuck}
live._STUCK_SECONDS = 3.0
asyncio.run(live._watched(Stuck()))
"""
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert time.monotonic() - began < 30
    assert ended.returncode == 1
    assert "Timeout (0:00:03)" in ended.stderr
    assert ("in run" if stuck == BLOCKED else "_shutdown") in ended.stderr

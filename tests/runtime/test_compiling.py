"""What `make` and the image let numba compile is all that a run needs: in an image, more would be an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

STORIES = Path(__file__).parents[1] / "stories"
REPLAY = """
import sys
from detector.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended
ours = [vars(module) for name, module in sorted(sys.modules.items()) if name.startswith("detector.")]
compiled = {id(it): it for names in ours for it in names.values() if hasattr(it, "stats") and hasattr(it, "py_func")}
entries = [it for it in compiled.values() if it.stats.cache_hits or it.stats.cache_misses]
anew = [it.__name__ for it in entries if it.stats.cache_misses]
assert not anew, anew
assert len(entries) > 9, entries
"""


@pytest.mark.timeout(240)
def test_a_replay_compiles_nothing_that_was_not_compiled_before(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "detector.runtime.compiling"], check=True, env=environment)
    story = STORIES / "paraphrased"
    streams = ["--accounts", str(story / "accounts.ndjson.zst"), str(story / "events.ndjson.zst")]
    ran = subprocess.run(
        [sys.executable, "-c", REPLAY, "replay", *streams], check=False, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert "campaign" in ran.stdout

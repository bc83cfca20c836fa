import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from detector.finding import Finding, Severity
from detector.runtime.demo import FOUND_ACCOUNTS, Seen, _summed

HARVESTERS = frozenset(f"harvester-{i}" for i in range(30))
COMMAND = [sys.executable, "-c", "from detector.cli import main; main()", "demo"]
PATIENCE_S = 90


def finding(accounts: list[str], severity: Severity = "warning", kind: str = "campaign", **more: Any) -> Finding:
    return Finding(
        finding_id="w-1",
        seq=0,
        kind=kind,  # type: ignore[arg-type]
        subject="c-1",
        state="raised",
        severity=severity,
        score=0.9,
        time_ms=1,
        first_seen_ms=0,
        last_seen_ms=1,
        accounts_added=accounts,
        accounts_removed=[],
        accounts_total=len(accounts),
        requests_total=1,
        output_tokens_total=1,
        reasons=[],
        evidence={},
        **more,
    )


def seen() -> Seen:
    return Seen(HARVESTERS, began_ms=0)


def test_it_went_well_when_the_campaign_was_found_and_nobody_else_flagged() -> None:
    run = seen()
    assert not run.well
    run.take(finding(sorted(HARVESTERS)[:FOUND_ACCOUNTS]), 12.0)
    assert run.well
    assert run.found_after_s == 12.0


def test_a_few_accounts_of_the_campaign_are_not_the_campaign() -> None:
    run = seen()
    run.take(finding(sorted(HARVESTERS)[: FOUND_ACCOUNTS - 1]), 12.0)
    assert not run.well


def test_one_benign_account_spoils_it() -> None:
    run = seen()
    run.take(finding([*sorted(HARVESTERS), "somebody"]), 12.0)
    assert not run.well
    assert run.benign == {"somebody"}


def test_a_watch_and_a_shadow_flag_nobody() -> None:
    run = seen()
    run.take(finding(["somebody"], severity="watch"), 1.0)
    run.take(finding(["somebody"], shadow=True), 1.0)
    run.take(finding(sorted(HARVESTERS), severity="watch"), 2.0)
    assert not run.benign
    assert run.found_after_s is None


def test_findings_about_single_accounts_do_not_find_the_campaign() -> None:
    run = seen()
    for account in HARVESTERS:
        run.take(finding([account], kind="account"), 1.0)
    assert run.found_after_s is None
    assert not run.benign


def test_a_page_is_summed_over_its_labels() -> None:
    page = '# TYPE lag gauge\nlag{partition="0"} 2\nlag{partition="1"} 3\n# TYPE up gauge\nup 1\n'
    assert list(text_string_to_metric_families(page))
    assert _summed(page) == {"lag": 5.0, "up": 1.0}


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of running processes that work in the folder."""
    lines = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue  # it has ended meanwhile
        if str(folder) in line:
            lines.append(line)
    return lines


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's: the path must be short and its own, so that processes can be told by it.
    with tempfile.TemporaryDirectory(prefix="demo-test-") as name:
        yield Path(name)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("java", [True, False], ids=["Apache Kafka and Redis", "without Java and redis-server"])
def test_the_campaign_is_found_and_ctrl_c_leaves_nothing_behind(*, java: bool, folder: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(folder), "COLUMNS": "200"}
    if not java:
        programs = folder / "bin"
        programs.mkdir()
        for name in ("env", "setpriv"):
            if path := shutil.which(name):
                (programs / name).symlink_to(path)
        environment["PATH"] = str(programs)
    with subprocess.Popen(
        COMMAND, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        assert demo.stdout is not None
        said = []
        began = time.monotonic()
        for line in demo.stdout:
            said.append(line)
            if re.search(r"(warning|critical) campaign c-\w+ raised", line):
                demo.send_signal(signal.SIGINT)
                told = time.monotonic()
                break
            assert time.monotonic() - began < PATIENCE_S, "".join(said)
        else:
            pytest.fail("".join(said))
        rest, _ = demo.communicate(timeout=20)
        assert time.monotonic() - told < 5.0
    printed = "".join(said) + rest
    assert demo.returncode == 0, printed
    assert ("Apache Kafka at" if java else "mock cluster at") in printed
    assert "0 benign accounts flagged" in printed
    assert not processes_of(folder)
    assert not list(folder.glob("detector-demo-*"))

"""Names, flags and exit codes of the contract; what goes wrong is one line."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detector import __version__, cli, likeness
from detector.errors import Unavailable
from detector.runtime import fit as fitting
from detector.runtime import replay as replaying


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    def run(*args: str | Path, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["detector", *map(str, args)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfdbinary.readouterr()
        assert b"Traceback" not in err
        return Result(int(ended.value.code or 0), out.decode(), err.decode())

    return run


def event(number: int = 0, **fields: Any) -> bytes:
    given = {"id": f"r{number}", "time_ms": 1_780_000_000_000 + number, "account_id": f"a{number % 3}", "model": "m"}
    return json.dumps({**given, **fields}).encode()


def written(path: Path, lines: Sequence[bytes]) -> Path:
    content = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return written(tmp_path / "events.ndjson.gz", [event(i) for i in range(50)])


def test_the_commands_are_those_of_the_contract() -> None:
    assert set(cli.command.commands) == {
        "run",
        "demo",
        "replay",
        "simulate",
        "evaluate",
        "fit",
        "sketch",
        "inspect",
        "schema",
        "check-config",
        "topics",
    }


def test_the_version_is_that_of_the_package(detector: Run) -> None:
    assert detector("--version").out == f"detector, version {__version__}\n"


@pytest.mark.parametrize("name", [*cli.command.commands, "topics create"])
def test_every_command_explains_itself(name: str, detector: Run) -> None:
    result = detector(*name.split(), "--help")
    assert result.code == 0
    assert f"Usage: detector {name}" in result.out


def test_help_loads_nothing_heavy() -> None:
    heavy = ("numpy", "scipy", "faust", "msgspec", "rich", "aiohttp", "prometheus_client")
    script = f"import sys, detector.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_replay_tells_what_it_read_and_writes_findings_only(detector: Run, events: Path, tmp_path: Path) -> None:
    result = detector("replay", events)
    assert (result.code, result.out) == (0, "")
    assert "50 events" in result.err
    to_file = detector("replay", events, "--findings", tmp_path / "f.ndjson")
    assert (to_file.code, to_file.out) == (0, "")
    assert (tmp_path / "f.ndjson").read_bytes() == b""


def test_replay_writes_each_finding_as_a_line(
    detector: Run, events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.sinks.test_sinks import finding  # noqa: PLC0415 - one definition of a finding

    monkeypatch.setattr(replaying, "_given", lambda messages, tally: iter([finding(0)] if not messages else []))
    result = detector("replay", events, "--findings", tmp_path / "f.ndjson")
    assert result.code == 0
    lines = (tmp_path / "f.ndjson").read_bytes().splitlines()
    assert lines
    assert {msgspec.json.decode(line)["finding_id"] for line in lines} == {"f1"}
    assert "1 campaigns" in result.err


def test_replay_reads_many_files_and_standard_input(detector: Run, events: Path) -> None:
    assert "51 events" in detector("replay", events, "-", stdin=event(99)).err


def test_replay_learns_of_a_warm_up_and_reports_the_files_alone(detector: Run, events: Path, tmp_path: Path) -> None:
    history = written(tmp_path / "h.ndjson", [event(number) for number in range(200, 207)])
    result = detector("replay", "--warm-up", history, events)
    assert (result.code, result.out) == (0, "")
    assert "50 events" in result.err
    assert detector("replay", "--warm-up", tmp_path / "gone", events).code == 2


def test_replay_says_how_many_lines_are_no_events(detector: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "e.ndjson", [event(1), b"broken", b"{}", b"also broken"])
    result = detector("replay", path)
    assert result.code == 0
    assert "no events: 2 invalid_json, 1 missing_field" in result.err


def test_input_without_a_single_event_is_1(detector: Run, tmp_path: Path) -> None:
    assert detector("replay", written(tmp_path / "e.ndjson", [b"broken"])).code == 1
    assert detector("replay", written(tmp_path / "empty.ndjson", [])).code == 1
    assert detector("sketch", written(tmp_path / "e.ndjson", [b"broken"])).code == 1


def test_a_damaged_file_is_1_and_named(detector: Run, events: Path) -> None:
    events.write_bytes(events.read_bytes()[:-12])
    result = detector("replay", events)
    assert result.code == 1
    assert result.err.startswith(f"detector: {events}: cut off after line")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["replay"], "FILE"),
        (["replay", "/nowhere"], "/nowhere: there is no such file"),
        (["replay", "/"], "/: this is a directory"),
        (["replya", "x"], "did you mean 'replay'?"),
        (["topics", "creat"], "did you mean 'create'?"),
        (["replay", "x", "--acounts", "y"], "--accounts"),
        (["simulate", "quite", "--out", "/tmp/x"], "did you mean 'quiet'?"),
        (["simulate", "quiet", "relay-witheld", "--out", "/tmp/x"], "did you mean 'relay-withheld'?"),
        (["simulate", "relay-withheld", "--out", "/tmp/x", "--no-text"], "--no-text"),
        (["simulate", "relay", "--out", "/tmp/x", "--set", "ageed=1"], "did you mean 'aged'?"),
        (["simulate", "quiet", "--out", "/tmp/x", "--set", "aged=1"], "no campaign"),
        (["simulate", "quiet", "--out", "/tmp/x", "--prompts", "/nowhere"], "'/nowhere' does not exist"),
        (["simulate", "quiet", "--out", "/tmp/x", "--prompts", "/tmp", "--no-text"], "--prompts and --no-text"),
        (["schema", "requests"], "'request'"),
        (["inspect", "user", "x"], "'account'"),
        (["demo", "--duration", "soon"], "--duration"),
        (["demo", "--duration", "-5s"], "--duration"),
        (["check-config", "--config", "/nowhere.toml"], "/nowhere.toml"),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_right(args: list[str], said: str, detector: Run) -> None:
    result = detector(*args)
    assert result.code == 2
    assert said in result.err


def test_a_wrong_setting_is_2_for_every_command_that_reads_settings(
    detector: Run, events: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "c.toml"
    wrong.write_text("[stream]\nlatenes_ms = 4\n")
    for args in (
        ["run"],
        ["demo"],
        ["replay", events],
        ["sketch", events],
        ["inspect", "account", "a"],
        ["check-config"],
        ["topics", "create"],
        ["evaluate", "--events", events, "--truth", events],
    ):
        result = detector(*args, "--config", wrong)
        assert result.code == 2, args
        assert "did you mean 'stream.lateness_ms'?" in result.err
        assert result.err.count("\n") == 1


def test_a_file_that_cannot_be_written_is_2(detector: Run, events: Path, tmp_path: Path) -> None:
    result = detector("replay", events, "--findings", tmp_path / "no" / "f")
    assert result.code == 2
    assert "cannot be written" in result.err


def test_a_service_that_is_away_is_3(detector: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> None:
        raise Unavailable("kafka", "nobody at localhost:9092")

    monkeypatch.setattr(cli, "_loaded", away)
    result = detector("run")
    assert (result.code, result.err) == (3, "detector: kafka is unavailable: nobody at localhost:9092\n")


def test_who_stops_reading_is_not_told_of_an_error(tmp_path: Path) -> None:
    path = written(tmp_path / "e.ndjson", [event(i, prompt_text="x" * 500) for i in range(5_000)])
    command = [sys.executable, "-c", "from detector.cli import main; main()", "sketch", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as sketching:
        assert sketching.stdout is not None
        assert sketching.stderr is not None
        sketching.stdout.readline()
        sketching.stdout.close()
        errors = sketching.stderr.read()
        assert sketching.wait() == 0
    assert b"Traceback" not in errors
    assert b"BrokenPipe" not in errors


def test_sketch_replaces_text_and_nothing_else(detector: Run, tmp_path: Path) -> None:
    text = "Solve 17 problems step by step and show your work in full"
    lines = [
        event(0, prompt_text=text, system_text="be brief", x_truth="campaign", temperature=0.5),
        event(1, messages=[{"content": text}], account={"tier": "pro", "note": text}),
        event(2, prompt_text="\ud800" + text, system_hash="00000000000000ff", system_text="be brief"),
        b"broken",
    ]
    result = detector("sketch", written(tmp_path / "e.ndjson", lines))
    assert result.code == 0
    assert "Solve" not in result.out
    assert "brief" not in result.out
    first, second, third = map(json.loads, result.out.splitlines())
    assert first["prompt_sketch"] == likeness.encode(likeness.sketch([text], 0))[0]
    assert first["system_hash"] == f"{int(likeness.sketch(['be brief'], 0).text[0]):016x}"
    assert (first["x_truth"], first["temperature"], first["id"]) == ("campaign", 0.5, "r0")
    assert second == {**json.loads(event(1)), "account": {"tier": "pro"}}
    assert third["system_hash"] == "00000000000000ff"
    assert "3 events, 1 lines left out" in result.err


def test_sketched_events_are_to_the_detector_what_the_text_was(detector: Run, tmp_path: Path) -> None:
    import numpy as np  # noqa: PLC0415

    from detector.decoders import decode  # noqa: PLC0415

    lines = [event(i, prompt_text=f"Write a poem about {i} cats", system_text=f"s{i % 2}") for i in range(20)]
    out = tmp_path / "s.ndjson"
    assert detector("sketch", written(tmp_path / "e.ndjson", lines), "--out", out).code == 0
    with_text, with_sketch = (
        decode(lines, 0, hash_key=0).batch,
        decode(out.read_bytes().splitlines(), 0, hash_key=0).batch,
    )
    np.testing.assert_array_equal(with_text.system, with_sketch.system)
    for name in ("known", "text", "template", "head", "tail", "fragments", "skeleton", "words", "labels"):
        np.testing.assert_array_equal(getattr(with_text.sketches, name), getattr(with_sketch.sketches, name), name)


def test_simulate_writes_a_folder_per_scenario_that_replay_and_evaluate_read(detector: Run, tmp_path: Path) -> None:
    result = detector("simulate", "demo", "--scale", "0.05", "--days", "0.05", "--out", tmp_path / "w")
    assert result.code == 0
    folder = tmp_path / "w"
    made = (folder / "events.ndjson.gz", folder / "accounts.ndjson", folder / "truth.ndjson")
    assert all(path.exists() for path in made)
    assert detector("replay", made[0], "--accounts", made[1]).code == 0
    args = ("evaluate", "--events", made[0], "--accounts", made[1], "--truth", made[2])
    card = detector(*args, "--json")
    assert card.code == 0
    assert json.loads(card.out)
    assert "system" in detector(*args).out
    missed = detector(*args, "--bar", "events>=1e12")
    assert missed.code == 1
    assert "missed: events>=1e+12" in missed.err
    page = tmp_path / "card.html"
    result = detector(*args, "--json", "--bar", "events>=1e12", "--html", page)
    assert result.code == 1
    assert json.loads(result.out)
    assert "stream: events&gt;=1e+12 missed" in page.read_text("utf-8")
    assert detector(*args, "--html", tmp_path / "no" / "card.html").code == 2
    assert detector(*args, "--bar", "evnts>=2").code == 2


def test_simulate_takes_prompts_from_a_folder_and_names_the_line_that_is_none(detector: Run, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    lines = [json.dumps({"prompt": f"asked by somebody {n}", "kind": "benign"}) for n in range(200)]
    (prompts / "people.ndjson").write_text("\n".join(lines), "utf-8")
    args = ("simulate", "demo", "--scale", "0.05", "--days", "0.05", "--prompts", prompts, "--out", tmp_path / "w")
    assert detector(*args).code == 0
    assert b"asked by somebody" in gzip.decompress((tmp_path / "w" / "events.ndjson.gz").read_bytes())
    (prompts / "people.ndjson").write_text("\n".join([*lines, "{}"]), "utf-8")
    refused = detector(*args)
    assert refused.code in {1, 2}
    assert f"{prompts / 'people.ndjson'}:201: " in refused.err
    assert refused.err.count("\n") == 1


def test_fit_writes_a_weights_file_that_waits_for_a_review(
    detector: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.campaign.test_fit import drawn  # noqa: PLC0415

    jobs = []
    monkeypatch.setattr(fitting, "observed", lambda job, _: jobs.append(job) or drawn(200, job.seed))
    out = tmp_path / "weights.toml"
    streams = ("--stream", tmp_path, "--scenario", "relay", "--seed", "2", "--seed", "3", "--check-seed", "4")
    assert detector("fit", *streams, "--date", "2026-11-23", "--out", out).code == 0
    assert [(job.scenario, job.seed) for job in jobs] == [(tmp_path.name, 1), *(("relay", n) for n in (2, 3, 4))]
    path = tmp_path / "c.toml"
    path.write_text(f"[campaigns]\nweights = '{out}'\n")
    waiting = detector("check-config", "--config", path)
    assert waiting.code == 2
    assert "reviewed_by" in waiting.err
    out.write_text(out.read_text().replace('reviewed_by = ""', 'reviewed_by = "A. Reader"'))
    assert detector("check-config", "--config", path).code == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "Missing option '--date'"),
        (("--date", "2026-11-23"), "--stream FOLDER, or --scenario NAME"),
        (("--date", "2026-11-23", "--scenario", "relais"), "did you mean 'relay'"),
        (("--date", "today", "--scenario", "relay"), "--date"),
    ],
)
def test_fit_refuses_what_it_cannot_do(args: tuple[str, ...], said: str, detector: Run) -> None:
    result = detector("fit", *args)
    assert result.code == 2
    assert said in result.err


def test_check_config_says_where_each_value_came_from(
    detector: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETECTOR_PRIVACY_HASH_KEY", "1234567890abcdef")
    path = tmp_path / "c.toml"
    path.write_text("[web]\nport = 7\n")
    lines = detector("check-config", "--config", path).out.splitlines()
    said = {line.split(" = ")[0]: line.split(" = ", 1)[1].split() for line in lines}
    assert said["web.port"] == ["7", "#", "file", str(path)]
    assert said["privacy.hash_key"] == ['"********"', "#", "environment", "DETECTOR_PRIVACY_HASH_KEY"]
    assert said["web.host"][-1] == "default"


@pytest.mark.parametrize("record", ["request", "account", "finding", "verdict"])
def test_schema_prints_a_schema(record: str, detector: Run) -> None:
    assert json.loads(detector("schema", record).out)["type"] == "object"

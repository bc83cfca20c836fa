"""Rules: they parse, they fire when they should and not when they should not, and lead to a runbook."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana import build
from tests.deploy.metric_names import DECLARED, ELSEWHERE, unknown_metrics

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for file in sorted((PROMETHEUS / "rules").glob("*.yml"))
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))

each_alert = pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])


def promtool(*words: str | Path) -> None:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")
    promtool("check", "rules", *sorted((PROMETHEUS / "rules").glob("*.yml")))


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_are_quiet_when_they_should_not(file: Path) -> None:
    promtool("test", "rules", file)


@each_alert
def test_every_alert_has_a_test_in_which_it_fires(rule: dict[str, Any]) -> None:
    fired = {
        re.search(r'alertname="(\w+)"', case["expr"]).group(1)
        for file in TESTS
        for test in yaml.safe_load(file.read_text())["tests"]
        for case in test["promql_expr_test"]
        if case["exp_samples"]
    }
    assert rule["alert"] in fired


@each_alert
def test_every_alert_says_what_how_big_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert rule["annotations"]["summary"].endswith(".")


@each_alert
def test_every_alert_has_a_runbook_behind_its_address(rule: dict[str, Any]) -> None:
    page = ROOT / "deploy" / "runbooks" / f"{rule['alert']}.md"
    text = page.read_text()
    assert text.startswith(f"# {rule['alert']}\n")
    for heading in ("## What it means", "## What to look at", "## What to do"):
        assert heading in text
    assert rule["annotations"]["runbook_url"].endswith(f"/d/{build.runbook_uid(rule['alert'])}")
    assert rule["annotations"]["summary"] in text


def test_every_runbook_has_an_alert() -> None:
    pages = {page.stem for page in (ROOT / "deploy" / "runbooks").glob("*.md")}
    assert pages == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_ask_only_for_what_somebody_exports(rule: dict[str, Any]) -> None:
    assert not unknown_metrics(rule["expr"])


def test_what_runbooks_name_is_declared() -> None:
    for page in (ROOT / "deploy" / "runbooks").glob("*.md"):
        for name in re.findall(r"\bdetector_[a-z0-9_]+", page.read_text()):
            assert name in DECLARED, f"{page.name}: {name}"


def test_recorded_rules_are_named_level_metric_operation() -> None:
    recorded = [rule["record"] for rule in RULES if "record" in rule]
    assert recorded
    for name in recorded:
        assert re.fullmatch(r"detector:[a-z0-9_]+:[a-z0-9_]+", name)


def test_a_metric_of_ours_is_not_declared_as_somebody_elses() -> None:
    assert not {name for name in ELSEWHERE if name.startswith("detector_")}

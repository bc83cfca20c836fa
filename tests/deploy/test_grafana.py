"""The dashboards: as generated, every expression parses, and asks only for what is exported."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana import build
from tests.deploy.metric_names import DECLARED, unknown_metrics

ROOT = Path(__file__).resolve().parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
MADE = build.build()
MAIN: dict[str, Any] = yaml.safe_load(MADE["detector.json"])
EXPRESSIONS = [(panel["title"], target["expr"]) for panel in MAIN["panels"] for target in panel.get("targets", ())]


def test_the_dashboards_are_as_build_py_makes_them() -> None:
    there = {
        path.relative_to(build.DASHBOARDS).as_posix(): path.read_text() for path in build.DASHBOARDS.rglob("*.json")
    }
    assert there == MADE, "run `make dashboards`"


def test_every_expression_parses(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:expression:{i}", "expr": expr.replace("$__rate_interval", "1m").replace("$__range", "1h")}
        for i, (_, expr) in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "expressions.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_panels_ask_only_for_what_somebody_exports(title: str, expression: str) -> None:
    assert not unknown_metrics(expression), title


def test_every_panel_with_numbers_says_what_they_mean() -> None:
    for panel in MAIN["panels"]:
        if panel.get("targets"):
            ours = [target for target in panel["targets"] if "detector" in target["expr"].replace('job="detector"', "")]
            assert panel["description"] or not ours, panel["title"]


def test_panels_neither_overlap_nor_leave_the_page() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in MAIN["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= build.COLUMNS
        taken |= cells


def test_every_metric_of_ours_is_on_the_dashboard_or_in_a_rule() -> None:
    asked = {name for _, expr in EXPRESSIONS for name in build.metric_names(expr)}
    for file in (ROOT / "deploy/prometheus/rules").glob("*.yml"):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                asked |= build.metric_names(rule["expr"])
    suffixes = ("_bucket", "_sum", "_count")
    whole = {name for name in DECLARED if not name.endswith(suffixes)}
    seen = {name.removesuffix(next((s for s in suffixes if name.endswith(s)), "")) for name in asked} | asked
    assert not whole - seen


def test_what_the_provisioning_names_is_there() -> None:
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/detector.yaml").read_text())["providers"][0]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    mounts = dict(volume.split(":")[1::-1] for volume in compose["grafana"]["volumes"])
    assert (ROOT / mounts[provider["options"]["path"]] / "detector.json").exists()
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert build.PROMETHEUS["uid"] in {source["uid"] for source in sources}
    for source in sources:
        assert source["url"].split("//")[1].split(":")[0] in compose


def test_uids_are_short_enough_for_grafana_and_used_once() -> None:
    uids = [yaml.safe_load(content)["uid"] for content in MADE.values()]
    assert len(uids) == len(set(uids))
    assert max(map(len, uids)) <= 40

"""Write deploy/grafana/dashboards from what stands here, from metrics.py and from the runbooks: `make dashboards`.

One dashboard to look at, `detector`, read from top to bottom: is it well, what was found, what
came in, how long it took, what is held, what the signals say. What a number means is said beside
its name in `detector/metrics.py`; this copies it into the panel's description, so that nobody
explains it twice.

One page per runbook, so that the `runbook_url` of an alert leads somewhere on this very Grafana.

Panels are placed in rows of 24 columns in the order they are written. Ids are positions; `uid`s
are fixed, because alerts and bookmarks point at them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from detector.metrics import METERS

HERE: Final = Path(__file__).resolve().parent
DASHBOARDS: Final = HERE / "dashboards"
RUNBOOKS: Final = HERE.parent / "runbooks"
PROMETHEUS: Final = {"type": "prometheus", "uid": "prometheus"}
COLUMNS: Final = 24


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture: `queries` are (expression, legend) pairs; `steps` colour a `stat` from these values on."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    stacked: bool = False
    steps: tuple[tuple[float, str], ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A heading with its panels."""

    title: str
    panels: tuple[Panel, ...] = field(default=())


def query(expression: str, legend: str = "") -> tuple[tuple[str, str], ...]:
    """Return one query as the tuple that `Panel.queries` wants."""
    return ((expression, legend),)


def stat(title: str, expression: str, unit: str = "short", *steps: tuple[float, str]) -> Panel:
    """Return a big number; it turns to a step's colour from the step's value on."""
    return Panel(title, query(expression), unit, "stat", width=4, height=4, steps=steps)


RATE: Final = "[$__rate_interval]"

ROWS: Final = (
    Row(
        "Is it well?",
        (
            stat("Workers", 'sum(up{job="detector"})', "short", (0, "red"), (1, "green")),
            stat("Events per second", "detector:events:rate5m", "ops"),
            stat("Records waiting", "detector:lag:sum", "short", (0, "green"), (10_000, "orange"), (100_000, "red")),
            stat("Store", "min(detector_store_available)", "bool_yes_no", (0, "red"), (1, "green")),
            stat("Broker", "min(detector_kafka_available)", "bool_yes_no", (0, "red"), (1, "green")),
            stat("Bad records", "detector:dead_letters:ratio15m", "percentunit", (0, "green"), (0.01, "orange")),
        ),
    ),
    Row(
        "What was found",
        (
            Panel(
                "Campaigns that stand",
                query("sum by (severity) (detector_campaigns)", "{{severity}}"),
                stacked=True,
            ),
            Panel(
                "Findings per hour",
                query("sum by (kind, severity) (increase(detector_findings_total[1h]))", "{{kind}} {{severity}}"),
                stacked=True,
            ),
            Panel("Verdicts per hour", query("sum by (action) (increase(detector_verdicts_total[1h]))", "{{action}}")),
        ),
    ),
    Row(
        "What came in",
        (
            Panel(
                "Events",
                (
                    (f"sum by (instance) (rate(detector_events_total{RATE}))", "{{instance}}"),
                    (f"sum(rate(detector_records_total{RATE}))", "records, all workers"),
                ),
                "ops",
            ),
            Panel(
                "Dead letters",
                (
                    (f"sum by (reason) (rate(detector_dead_letters_total{RATE}))", "{{reason}}"),
                    (f"sum(rate(detector_tombstones_total{RATE}))", "tombstones"),
                ),
                "ops",
                stacked=True,
            ),
            Panel(
                "Late, repeated, from the future",
                (
                    (f"sum(rate(detector_late_events_total{RATE}))", "late"),
                    (f"sum(rate(detector_duplicate_events_total{RATE}))", "repeated"),
                    (f"sum(rate(detector_future_events_total{RATE}))", "from the future"),
                ),
                "ops",
            ),
        ),
    ),
    Row(
        "How far behind",
        (
            Panel("Records waiting, as we see it", query("sum by (stage) (detector_lag_records)", "{{stage}}")),
            Panel(
                "Records waiting, as Kafka sees it",
                query("sum by (topic) (kafka_consumergroup_lag)", "{{topic}}"),
            ),
            Panel(
                "Watermark behind the clock",
                query("max by (stage) (detector_watermark_delay_seconds)", "{{stage}}"),
                "s",
            ),
            Panel("Steps closed", query(f"sum by (stage) (rate(detector_steps_total{RATE}))", "{{stage}}"), "ops"),
            Panel(
                "From decision to finding",
                (
                    (
                        f"histogram_quantile(0.5, sum by (le) (rate(detector_finding_delay_seconds_bucket{RATE})))",
                        "p50",
                    ),
                    ("detector:finding_delay_seconds:p99_15m", "p99"),
                ),
                "s",
            ),
            Panel(
                "Time for a batch, p99",
                query(
                    f"histogram_quantile(0.99, sum by (le, stage) (rate(detector_batch_seconds_bucket{RATE})))",
                    "{{stage}}",
                ),
                "s",
            ),
        ),
    ),
    Row(
        "What is held",
        (
            Panel("Accounts in memory", query("detector_accounts", "{{instance}}"), stacked=True),
            Panel("Accounts forgotten", query(f"sum(rate(detector_forgotten_accounts_total{RATE}))", "a second")),
            Panel(
                "Links, and candidates per hour",
                (
                    ("sum(detector_links)", "links"),
                    ("sum(increase(detector_candidates_total[1h]))", "candidates per hour"),
                ),
            ),
            Panel(
                "Forgotten at a bound",
                query(f"sum by (bound) (rate(detector_dropped_total{RATE}))", "{{bound}}"),
                "ops",
            ),
            Panel(
                "Time for a commit, p99",
                (
                    (
                        f"histogram_quantile(0.99, sum by (le, stage) (rate(detector_commit_seconds_bucket{RATE})))",
                        "{{stage}}",
                    ),
                    ("detector:commit_seconds:p99_15m", "all stages, 15 min"),
                ),
                "s",
            ),
            Panel("Age of the oldest snapshot", query("detector_snapshot_age_seconds", "{{instance}}"), "s"),
            Panel(
                "Outbox, refused commits, failed deliveries",
                (
                    ("sum(detector_outbox_messages)", "in the outbox"),
                    ("sum(increase(detector_fenced_commits_total[1h]))", "refused commits per hour"),
                    ("sum by (sink) (increase(detector_sink_failures_total[1h]))", "{{sink}} failures per hour"),
                ),
            ),
            Panel(
                "Memory",
                (
                    ('process_resident_memory_bytes{job="detector"}', "{{instance}}"),
                    ("redis_memory_used_bytes", "redis"),
                ),
                "bytes",
            ),
            Panel(
                "Processor",
                query(f'rate(process_cpu_seconds_total{{job="detector"}}{RATE})', "{{instance}}"),
                "percentunit",
            ),
            Panel("Version", query("detector_build_info", "{{instance}} {{version}} on Python {{python}}")),
        ),
    ),
    Row(
        "What the signals say",
        (
            Panel(
                "Signals that could answer (1) or lack their input (0)",
                query("min by (signal) (detector_signal_available)", "{{signal}}"),
                width=16,
            ),
            Panel("Findings about canaries per hour", query("sum(increase(detector_canary_findings_total[1h]))")),
        ),
    ),
)


KEYWORDS: Final = frozenset({"and", "or", "unless", "bool", "offset"})


def metric_names(expression: str) -> set[str]:
    """Return the names of the series that a PromQL expression reads (not of functions, labels and durations)."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', " ", expression)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    words = re.findall(r"(?<![\w:.])[a-zA-Z_][\w:]*(?![\w:])(?!\s*\()", bare)
    return set(words) - KEYWORDS


def meaning(queries: tuple[tuple[str, str], ...]) -> str:
    """Return what metrics.py says of every metric in these queries, recorded rules looked through."""
    asked = {name for expression, _ in queries for name in metric_names(looked_through(expression))}
    return "\n\n".join(
        f"`{meter.name}`: {meter.meaning}. {meter.what_to_do}."
        for meter in METERS
        if asked & {meter.name, f"{meter.name}_bucket"}
    )


def looked_through(expression: str) -> str:
    """Return the expression with each recorded rule replaced by what it records."""
    for name, recorded in _recorded().items():
        expression = re.sub(rf"(?<![\w:]){re.escape(name)}(?![\w:])", f"({recorded})", expression)
    return expression


@cache
def _recorded() -> dict[str, str]:
    groups = yaml.safe_load((HERE.parent / "prometheus/rules/recording.yml").read_text())["groups"]
    return {rule["record"]: rule["expr"] for group in groups for rule in group["rules"]}


def panel_json(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """Return the panel as Grafana keeps it."""
    steps = [{"color": "text" if panel.kind == "stat" else "green", "value": None}]
    steps += [{"color": color, "value": value} for value, color in panel.steps]
    custom: dict[str, Any] = {"lineWidth": 1, "fillOpacity": 30 if panel.stacked else 8, "showPoints": "never"}
    if panel.stacked:
        custom["stacking"] = {"mode": "normal"}
    options: dict[str, Any] = {
        "timeseries": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"},
        "text": {"mode": "markdown", "content": panel.text},
    }[panel.kind]
    result: dict[str, Any] = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "options": options,
    }
    if panel.queries:
        result |= {
            "description": meaning(panel.queries),
            "datasource": PROMETHEUS,
            "fieldConfig": {
                "defaults": {
                    "unit": panel.unit,
                    "min": 0,
                    "thresholds": {"mode": "absolute", "steps": steps},
                    "custom": custom if panel.kind == "timeseries" else {},
                },
                "overrides": [],
            },
            "targets": [
                {"refId": chr(ord("A") + i), "datasource": PROMETHEUS, "expr": expr, "legendFormat": legend}
                for i, (expr, legend) in enumerate(panel.queries)
            ],
        }
    return result


def dashboard(uid: str, title: str, rows: tuple[Row, ...], tags: tuple[str, ...]) -> dict[str, Any]:
    """Return a whole dashboard, its panels laid out from left to right and top to bottom."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        if row.title:
            place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
            panels.append({"id": len(panels) + 1, "type": "row", "title": row.title, "gridPos": place, "panels": []})
            y += 1
        x = height = 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            panels.append(panel_json(panel, len(panels) + 1, x, y))
            x, height = x + panel.width, max(height, panel.height)
        y += height
    return {
        "uid": uid,
        "title": title,
        "tags": ["detector", *tags],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "graphTooltip": 1,
        "templating": {"list": []},
        "annotations": {"list": []},
        "links": [],
        "panels": panels,
    }


def runbook_uid(alert: str) -> str:
    """Return the uid of an alert's runbook page: DetectorStoreUnavailable -> runbook-detector-store-unavailable."""
    return "runbook-" + re.sub(r"(?<=[a-z])(?=[A-Z])", "-", alert).lower()


def build() -> dict[str, str]:
    """Return every file of the dashboards folder: its path in it, and its content."""
    made = {"detector.json": dashboard("detector", "Detector", ROWS, ())}
    for page in sorted(RUNBOOKS.glob("Detector*.md")):
        alert = page.stem
        panel = Panel("", (), kind="text", width=COLUMNS, height=24, text=page.read_text())
        uid = runbook_uid(alert)
        made[f"runbooks/{alert}.json"] = dashboard(uid, f"Runbook: {alert}", (Row("", (panel,)),), ("runbook",))
    return {name: json.dumps(content, indent=1, ensure_ascii=False) + "\n" for name, content in made.items()}


def main() -> None:
    """Write what changed, and remove what is no longer made."""
    made = build()
    for old in DASHBOARDS.rglob("*.json"):
        if old.relative_to(DASHBOARDS).as_posix() not in made:
            old.unlink()
    for name, content in made.items():
        path = DASHBOARDS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        print(path.relative_to(HERE.parent.parent))


if __name__ == "__main__":
    main()

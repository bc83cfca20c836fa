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
from pathlib import Path
from typing import Any, Final

from detector import metrics

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


ROWS: Final = ()


KEYWORDS: Final = frozenset({"and", "or", "unless", "bool", "offset"})


def metric_names(expression: str) -> set[str]:
    """Return the names of the series that a PromQL expression reads (not of functions, labels and durations)."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', " ", expression)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    words = re.findall(r"(?<![\w:.])[a-zA-Z_][\w:]*(?![\w:])(?!\s*\()", bare)
    return set(words) - KEYWORDS


def meaning(queries: tuple[tuple[str, str], ...]) -> str:
    """Return what metrics.py says of every metric in these queries."""
    return metrics.__name__ + str(queries)


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

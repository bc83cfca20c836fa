"""What an expression may ask for: our declared metrics, our recorded rules, and what the exporters export."""

from pathlib import Path

import yaml

from deploy.grafana import build
from detector.metrics import METERS

ROOT = Path(__file__).resolve().parents[2]

# From the documentation of Prometheus, Alertmanager, kafka-exporter and redis_exporter, and the Python client.
ELSEWHERE = {
    "alertmanager_notifications_failed_total",
    "kafka_consumergroup_lag",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "prometheus_notifications_errors_total",
    "prometheus_rule_evaluation_failures_total",
    "redis_memory_max_bytes",
    "redis_memory_used_bytes",
    "redis_up",
    "up",
}


def declared() -> set[str]:
    """Return every series name that metrics.py exports, histograms' parts included."""
    names = {meter.name for meter in METERS}
    parts = {
        f"{meter.name}_{part}" for meter in METERS if meter.kind == "histogram" for part in ("bucket", "sum", "count")
    }
    return names | parts


DECLARED = declared()
RECORDED = {
    rule["record"]
    for file in (ROOT / "deploy/prometheus/rules").glob("*.yml")
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
    if "record" in rule
}


def unknown_metrics(expression: str) -> set[str]:
    """Return what an expression reads that nobody exports."""
    return build.metric_names(expression) - DECLARED - RECORDED - ELSEWHERE

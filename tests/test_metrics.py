"""Metrics are declared once, documented, and bounded."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from detector import metrics
from detector.metrics import METERS, Meter, Recorder
from detector.sinks import SINKS

ROOT = Path(__file__).parents[1]


def samples(recorder: Recorder) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(recorder.exposition().decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def test_the_table_of_metrics_is_the_declared_one() -> None:
    written = (ROOT / "deploy" / "METRICS.md").read_text("utf-8")
    assert written == metrics.documented(), "run: python -m detector.metrics > deploy/METRICS.md"


@pytest.mark.parametrize("meter", METERS, ids=lambda meter: meter.name)
def test_a_metric_says_what_it_means_and_what_to_do(meter: Meter) -> None:
    assert meter.name.startswith("detector_")
    assert meter.name.endswith("_total") == (meter.kind == "counter")
    assert meter.meaning
    assert meter.what_to_do
    assert (meter.kind == "histogram") == bool(meter.buckets)


def test_every_metric_is_set_somewhere() -> None:
    used = {"BUILD"}  # by the recorder itself
    for file in (ROOT / "detector").rglob("*.py"):
        if file.name != "metrics.py":
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):  # an import alone is no use
                if isinstance(node, ast.Name | ast.Attribute):
                    used.add(node.id if isinstance(node, ast.Name) else node.attr)
    assert [name for name, value in vars(metrics).items() if isinstance(value, Meter) and name not in used] == []


def test_names_are_unique() -> None:
    assert len({meter.name for meter in METERS}) == len(METERS)


def test_every_sink_has_its_label() -> None:
    assert {sink.name for sink in SINKS} == set(metrics.SINK_NAMES)


def test_counters_with_closed_labels_exist_from_the_start() -> None:
    found = samples(Recorder())
    for reason in metrics.REASONS:
        assert found["detector_dead_letters_total", frozenset({("reason", reason)})] == 0


def test_what_is_recorded_is_exposed_and_nothing_is_doubled() -> None:
    recorder = Recorder()
    recorder.add(metrics.EVENTS, 5)
    recorder.add(metrics.DEAD_LETTERS, reason="invalid_json")
    recorder.set(metrics.LAG, 7, stage="accounts", partition="3")
    recorder.observe(metrics.COMMIT_SECONDS, 0.02, stage="links")
    found = samples(recorder)
    assert found["detector_events_total", frozenset()] == 5
    assert found["detector_dead_letters_total", frozenset({("reason", "invalid_json")})] == 1
    assert found["detector_lag_records", frozenset({("stage", "accounts"), ("partition", "3")})] == 7
    assert found["detector_commit_seconds_count", frozenset({("stage", "links")})] == 1
    assert not [name for name, _ in found if name.endswith("_created")]


def test_a_partition_that_moved_away_is_forgotten() -> None:
    recorder = Recorder()
    recorder.set(metrics.LAG, 7, stage="accounts", partition="3")
    recorder.forget(metrics.LAG, stage="accounts", partition="3")
    recorder.forget(metrics.LAG, stage="accounts", partition="4")
    assert not [name for name, _ in samples(recorder) if name == "detector_lag_records"]


@pytest.mark.parametrize(
    ("meter", "labels"),
    [
        (metrics.DEAD_LETTERS, {"reason": "the account id"}),
        (metrics.EVENTS, {"account": "a"}),
        (metrics.LAG, {"stage": "accounts"}),
    ],
)
def test_a_label_outside_its_closed_set_is_a_programming_error(meter: Meter, labels: dict[str, str]) -> None:
    recorder = Recorder()
    with pytest.raises((AssertionError, KeyError, ValueError)):
        (recorder.add if meter.kind == "counter" else recorder.set)(meter, 1, **labels)


def test_two_recorders_do_not_share_anything() -> None:
    first, second = Recorder(), Recorder()
    first.add(metrics.EVENTS)
    assert samples(second)["detector_events_total", frozenset()] == 0

"""The contract of every sink: in order, at least once, or Unavailable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from aiokafka.errors import KafkaConnectionError
from structlog.testing import LogCapture

from detector.errors import Unavailable
from detector.finding import Finding, Severity, encode
from detector.sinks import SINKS, KafkaSink, LogSink, NdjsonSink, Sink, SinkSettings, open_sinks


def finding(seq: int, severity: Severity = "warning") -> Finding:
    return Finding(
        finding_id="f1",
        seq=seq,
        kind="campaign",
        subject="c1",
        state="raised" if seq == 0 else "updated",
        severity=severity,
        score=0.5,
        time_ms=1,
        first_seen_ms=0,
        last_seen_ms=1,
        accounts_added=["a"],
        accounts_removed=[],
        accounts_total=1,
        requests_total=1,
        output_tokens_total=1,
        reasons=[],
        evidence={},
    )


class FakeProducer:
    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes]] = []
        self.away = False

    async def send(self, topic: str, value: bytes, key: bytes) -> Awaitable[Any]:
        if self.away:
            raise KafkaConnectionError
        self.sent.append((topic, value, key))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class Bench:
    """A sink, what reached its other end, and a switch to take that away."""

    def __init__(self, sink: Sink, delivered: Callable[[], list[int]], take_away: Callable[[], object]) -> None:
        self.sink, self.delivered, self.take_away = sink, delivered, take_away


def bench(kind: type[Sink], folder: Path) -> Bench:
    if kind is KafkaSink:
        producer = FakeProducer()
        return Bench(
            KafkaSink(producer, "t"),
            lambda: [msgspec.json.decode(value)["seq"] for _, value, _ in producer.sent],
            lambda: setattr(producer, "away", True),
        )
    if kind is NdjsonSink:
        path = folder / "in" / "findings.ndjson"
        path.parent.mkdir()
        return Bench(
            NdjsonSink(path),
            lambda: (
                [msgspec.json.decode(line)["seq"] for line in path.read_bytes().splitlines()] if path.exists() else []
            ),
            lambda: path.parent.rename(folder / "gone"),
        )
    assert kind is LogSink, f"give {kind} a bench"
    capture = LogCapture()
    structlog.configure(processors=[capture])
    return Bench(LogSink(), lambda: [entry["seq"] for entry in capture.entries], lambda: None)


@pytest.fixture(params=SINKS, ids=lambda kind: kind.name)
def each(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    yield bench(request.param, tmp_path)
    structlog.reset_defaults()


@pytest.mark.asyncio
async def test_findings_are_delivered_in_order(each: Bench) -> None:
    await each.sink.deliver([finding(0), finding(1)])
    await each.sink.deliver([finding(2)])
    assert each.delivered() == [0, 1, 2]


@pytest.mark.asyncio
async def test_nothing_to_deliver_is_no_delivery(each: Bench) -> None:
    await each.sink.deliver([])
    assert each.delivered() == []


@pytest.mark.asyncio
async def test_a_sink_may_be_closed_twice(each: Bench) -> None:
    await each.sink.deliver([finding(0)])
    await each.sink.close()
    await each.sink.close()
    assert each.delivered() == [0]


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [KafkaSink, NdjsonSink])
async def test_what_is_away_says_so(kind: type[Sink], tmp_path: Path) -> None:
    bench_of_kind = bench(kind, tmp_path)
    bench_of_kind.take_away()
    with pytest.raises(Unavailable):
        await bench_of_kind.sink.deliver([finding(0)])


@pytest.mark.asyncio
async def test_the_updates_of_a_finding_share_a_key_and_are_the_bytes_of_replay() -> None:
    producer = FakeProducer()
    await KafkaSink(producer, "abuse.findings.v1").deliver([finding(0)])
    assert producer.sent == [("abuse.findings.v1", encode(finding(0)), b"c1")]


@pytest.mark.asyncio
@pytest.mark.parametrize(("severity", "level"), [("watch", "info"), ("warning", "warning"), ("critical", "error")])
async def test_the_level_of_the_log_follows_the_severity(severity: Severity, level: str) -> None:
    capture = LogCapture()
    structlog.configure(processors=[capture])
    await LogSink().deliver([finding(0, severity)])
    structlog.reset_defaults()
    assert [(entry["event"], entry["log_level"]) for entry in capture.entries] == [("finding_raised", level)]


def test_only_what_is_on_is_opened(tmp_path: Path) -> None:
    everything = SinkSettings(kafka=True, log=True, ndjson=str(tmp_path / "f"))
    assert [sink.name for sink in open_sinks(everything, FakeProducer(), "t")] == ["kafka", "log", "ndjson"]
    assert [sink.name for sink in open_sinks(SinkSettings(), None, "t")] == ["log"]
    assert open_sinks(SinkSettings(kafka=False, log=False), FakeProducer(), "t") == []

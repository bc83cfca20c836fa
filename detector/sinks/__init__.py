"""Where findings go. A sink delivers in order, at least once, or says that it could not.

The outbox keeps what is to be delivered until every sink has taken it, so a sink holds nothing
back: what `deliver` returned from is out of our hands. After a crash the same findings come again;
(`finding_id`, `seq`) names each update, for whoever must count once.

To add a sink: a class like these in a module of its own, a line in `SINKS` for the contract suite,
a setting in `settings.py`, a line in `open_sinks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from detector.finding import Finding
from detector.sinks.kafka import KafkaSink, Producer
from detector.sinks.log import LogSink
from detector.sinks.ndjson import NdjsonSink
from detector.sinks.settings import SinkSettings

__all__ = ["SINKS", "KafkaSink", "LogSink", "NdjsonSink", "Producer", "Sink", "SinkSettings", "open_sinks"]


class Sink(Protocol):
    """One place that findings are delivered to."""

    @property
    def name(self) -> str:
        """The label of its metrics."""

    async def deliver(self, findings: Sequence[Finding]) -> None:
        """Return when all findings are delivered, in this order; raise Unavailable when they are not."""

    async def close(self) -> None:
        """Release what it holds; may be called twice."""


SINKS: Final[tuple[type[Sink], ...]] = (KafkaSink, LogSink, NdjsonSink)


def open_sinks(settings: SinkSettings, producer: Producer | None, topic: str) -> list[Sink]:
    """Return the sinks that are on; `producer` and `topic` are for Kafka's."""
    sinks: list[Sink] = []
    if settings.kafka and producer is not None:
        sinks.append(KafkaSink(producer, topic))
    if settings.log:
        sinks.append(LogSink())
    if settings.ndjson:
        sinks.append(NdjsonSink(Path(settings.ndjson)))
    return sinks

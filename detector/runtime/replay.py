"""Recorded events through the same pipeline as live ones; the same input gives the same bytes.

Accounts are hashed to the partitions they would have on the topic, each with a clock of its own,
so that a recording replayed and the same recording consumed from Kafka agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import msgspec

from detector.account import AccountRecord
from detector.decoders import Reject, decode, repartitioned
from detector.finding import Finding
from detector.pipeline import Pipeline, PipelineSettings
from detector.runtime.apart import CampaignsApart
from detector.stages.campaigns import Observer
from detector.stores import Message

_finding = msgspec.json.Decoder(Finding)


@dataclass(slots=True)
class Tally:
    """What a replay took and gave: for the summary at its end."""

    events: int = 0
    tombstones: int = 0
    rejects: dict[str, int] = field(default_factory=dict)
    findings: int = 0
    first_ms: int | None = None
    last_ms: int | None = None

    def reject(self, reject: Reject) -> None:
        """Count one line that was no event."""
        self.rejects[reject.reason] = self.rejects.get(reject.reason, 0) + 1


def replay(
    chunks: Iterable[list[bytes]],
    accounts: Iterable[AccountRecord],
    settings: PipelineSettings,
    *,
    warm_up: Iterable[list[bytes]] = (),
    tally: Tally | None = None,
    observer: Observer | None = None,
    processes: int = 1,
) -> Iterator[Finding]:
    """Yield the findings of recorded events, in order.

    `chunks` are lines of NDJSON in arrival order, however cut. `warm_up` is history: it teaches what is prevalent, who
    is established and which campaigns there are, and its findings are not given out. What is open at its end is
    raised anew, with all of its accounts, when something of it next happens, so that the findings stand by themselves.
    `observer` is told of every group that is read. With two `processes` the campaign stage has one of its own, and
    no observer: the same findings in the same order, but later than the events that they are of.
    """
    with ExitStack() as stack:
        apart = stack.enter_context(CampaignsApart(settings.campaigns, settings.verdicts)) if processes > 1 else None
        pipeline = Pipeline(settings, observer, apart)
        tally = tally if tally is not None else Tally()
        pipeline.learn(accounts)
        for chunk in warm_up:
            _feed(pipeline, chunk, settings, Tally())
        pipeline.tell_anew()
        for chunk in chunks:
            yield from _given(_feed(pipeline, chunk, settings, tally), tally)
        yield from _given(pipeline.finish(), tally)
        if apart is not None:
            yield from _given(apart.rest(), tally)


def _feed(pipeline: Pipeline, chunk: list[bytes], settings: PipelineSettings, tally: Tally) -> list[Message]:
    decoded = decode(chunk, 0, hash_key=settings.accounts.hash_key)
    for reject in decoded.rejects:
        tally.reject(reject)
    tally.tombstones += decoded.tombstones
    batch = decoded.batch
    if not len(batch):
        return []
    tally.events += len(batch)
    tally.first_ms = int(batch.time_ms.min()) if tally.first_ms is None else tally.first_ms
    tally.last_ms = max(tally.last_ms or 0, int(batch.time_ms.max()))
    return pipeline.feed(repartitioned(batch, settings.links.sources))


def _given(messages: list[Message], tally: Tally) -> Iterator[Finding]:
    for message in messages:
        if message.topic == "findings" and message.value is not None:
            tally.findings += 1
            yield _finding.decode(message.value)

"""Every metric, declared once: its name, its labels, what it means, and what to do about it.

    METERS ──► Recorder (one per process or test) ──► /metrics
       └─────► deploy/METRICS.md (`python -m detector.metrics`)

Labels come from small closed sets: never an account, an address or a template. Counters with
closed labels exist from the start at 0, so that an alert on their increase sees the first one.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from detector import __version__
from detector.decoders import REASONS

STAGES: Final = ("accounts", "links", "campaigns")
SEVERITIES: Final = ("watch", "warning", "critical")
BOUNDS: Final = (
    *("event_ids", "records", "models", "pairs", "batches", "edges", "links", "accounts", "steps"),
    *("candidate_edges", "candidate_links", "candidate_accounts", "candidate_steps", "campaigns", "members", "alerts"),
)
SINK_NAMES: Final = ("kafka", "log", "ndjson")

_STAGE: Final = ("stage", STAGES)
_SEVERITY: Final = ("severity", SEVERITIES)
_SINK: Final = ("sink", SINK_NAMES)
_PARTITION: Final = ("partition", ())  # as many as the topic has
_SUBSECOND: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass(frozen=True, slots=True)
class Meter:
    """One metric. A label without values is bounded by the configuration."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    what_to_do: str
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    buckets: tuple[float, ...] = ()


RECORDS: Final = Meter(
    "detector_records_total",
    "counter",
    "Records taken from the request topic; one may hold many events",
    "None while there is lag: the consumer is stuck, see the runbook DetectorStalled",
)
EVENTS: Final = Meter(
    "detector_events_total",
    "counter",
    "Request events decoded, duplicates and late ones among them",
    "Compare with what the gateways say they send; a gap is a gateway or adapter that lost its connection",
)
DEAD_LETTERS: Final = Meter(
    "detector_dead_letters_total",
    "counter",
    "Records, or lines of them, that are no events and went to the dead-letter topic",
    "Read some records of that topic: their headers name the reason; the producer has to be mended",
    (("reason", REASONS),),
)
REFUSED: Final = Meter(
    "detector_records_refused",
    "gauge",
    "1 when nearly everything was bad and the worker has stopped on purpose (dead_letters.most_share)",
    "Wrong topic, or a producer changed its format: mend it, then restart the worker; nothing was skipped",
)
TOMBSTONES: Final = Meter(
    "detector_tombstones_total",
    "counter",
    "Records without a value on the request topic",
    "The topic is compacted by mistake, or a producer deletes: requests are facts and have no tombstones",
)
LATE: Final = Meter(
    "detector_late_events_total",
    "counter",
    "Events older than the allowed lateness: judged, but missing in the windows",
    "Find the gateway whose clock or queue is behind; raise stream.lateness_ms if it is right that way",
)
DUPLICATES: Final = Meter(
    "detector_duplicate_events_total",
    "counter",
    "Events whose id was seen before, counted once",
    "Some are normal (retries of gateways); many: a producer without idempotence, or ids that are not unique",
)
FUTURE: Final = Meter(
    "detector_future_events_total",
    "counter",
    "Events more than an hour ahead of their partition, which no other account confirms: counted, but at the "
    "partition's own time",
    "A gateway's clock is wrong",
)
LOST: Final = Meter(
    "detector_lost_records_total",
    "counter",
    "Records that Kafka had deleted before they were read: retention was faster than the stage, or the state is that "
    "of an older backup. Offsets without a record (transaction markers) among them are counted too",
    "What they said is missing for good: see the runbook DetectorRecordsLost, then raise the topic's retention",
    (_STAGE,),
)
LAG: Final = Meter(
    "detector_lag_records",
    "gauge",
    "Records of the stage's topic that are not read yet",
    "Growing: add workers (up to the number of partitions), or look at detector_commit_seconds for a slow store",
    (_STAGE, _PARTITION),
)
WATERMARK_DELAY: Final = Meter(
    "detector_watermark_delay_seconds",
    "gauge",
    "How far the slowest watermark of the stage is behind this machine's clock",
    "Findings are late by as much: look for lag, for an idle partition, for a gateway with a queue",
    (_STAGE,),
)
STEPS: Final = Meter(
    "detector_steps_total",
    "counter",
    "Steps of event time that the stage has closed",
    "None while events come: a partition holds the watermark back, see detector_watermark_delay_seconds",
    (_STAGE,),
)
BATCH_SECONDS: Final = Meter(
    "detector_batch_seconds",
    "histogram",
    "Time to work through one batch of the stage, without waiting",
    "Rising with the same traffic: more accounts per worker than before, or a machine that is short of CPU",
    (_STAGE,),
    _SUBSECOND,
)
ACCOUNTS: Final = Meter(
    "detector_accounts",
    "gauge",
    "Accounts held in memory by this worker",
    "Near accounts.hot_accounts cold ones go to the store and come back: add workers when commits get slow",
)
LINKS: Final = Meter(
    "detector_links",
    "gauge",
    "Links tracked by this worker: what at least two accounts share",
    "Growing without end: an identifier that is new with each request is taken for a link",
)
CANDIDATES: Final = Meter(
    "detector_candidates_total",
    "counter",
    "Links found rare and surprising, and told to the campaign stage",
    "A sudden rise without findings: a release of a popular tool; it ends when its prevalence is known",
)
CAMPAIGNS: Final = Meter(
    "detector_campaigns",
    "gauge",
    "Campaigns that stand, by severity",
    "Work through warning and critical: `detector inspect campaign ID` says why",
    (_SEVERITY,),
)
FINDINGS: Final = Meter(
    "detector_findings_total",
    "counter",
    "Findings published, every update counted",
    "campaign at warning or critical: see the runbook DetectorCampaignFound",
    (
        ("kind", ("account", "campaign", "block_replay")),
        _SEVERITY,
        ("state", ("raised", "updated", "cleared")),
    ),
)
FINDING_DELAY: Final = Meter(
    "detector_finding_delay_seconds",
    "histogram",
    "From the event time of a decision to its finding being published",
    "Includes the cadence (stream.cadence_ms); beyond that it is lag or a slow store",
    (),
    (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0),
)
VERDICTS: Final = Meter(
    "detector_verdicts_total",
    "counter",
    "Verdicts issued; `none` are tombstones of those that ended",
    "block or throttle where you expect none: set verdicts.enforce = false, then inspect the finding",
    (("action", ("allow", "verify", "throttle", "block", "none")),),
)
CANARY: Final = Meter(
    "detector_canary_findings_total",
    "counter",
    "Findings about the canary accounts (signals.canary.account_ids), one for each time that one is judged",
    "None for an hour: the path from Kafka to findings is broken somewhere; follow it by the metrics above",
)
SIGNAL_AVAILABLE: Final = Meter(
    "detector_signal_available",
    "gauge",
    "1 where the signal could answer for at least one account of the last step, 0 where its input is missing",
    "The gateway does not send a field that the signal needs; the contract says which field means what",
    (("signal", ()),),
)
DROPPED: Final = Meter(
    "detector_dropped_total",
    "counter",
    "What was forgotten because a bound was reached: event ids beyond accounts.ids_per_generation (a later repetition "
    "is counted twice); accounts on the account topic beyond accounts.most_records (records: what it says of them is "
    "unknown until it says it again); requests to models beyond accounts.most_models, which are told of as `other`; "
    "pairs (requests with a link) of minutes with more different ones than accounts.most_pairs, which tell of a sample "
    "of the texts, so that campaigns are found later; "
    "records in batches that unpack to more than kafka.unpacked_bytes (batches; the log names their offsets, "
    "batch_cannot_be_unpacked); edges (pairs of account and link), links and accounts beyond links.most_edges, "
    "most_links and most_accounts; candidate_ ones beyond the same of campaigns; campaigns, members of one and account "
    "alerts beyond campaigns.most_campaigns, most_members and campaigns.alerts.most_alerts. steps and candidate_steps "
    "were closed without their slowest source, at most_waiting_bytes: what it says of them is counted later",
    "Raise the bound if memory allows, or add workers; detection goes on with less",
    (("bound", BOUNDS),),
)
FORGOTTEN: Final = Meter(
    "detector_forgotten_accounts_total",
    "counter",
    "Accounts without a request for accounts.forget_days, deleted from the store; one that comes back begins anew",
    "None; when the store grows although this does, lower accounts.forget_days or give it more memory",
)
STORE_AVAILABLE: Final = Meter(
    "detector_store_available",
    "gauge",
    "1 when the store answered last",
    "0: consuming has stopped and nothing is lost; bring Redis back",
)
KAFKA_AVAILABLE: Final = Meter(
    "detector_kafka_available",
    "gauge",
    "1 when the broker answered last",
    "0: nothing comes in and nothing is published; bring the broker back",
)
COMMIT_SECONDS: Final = Meter(
    "detector_commit_seconds",
    "histogram",
    "Time of one atomic write of state, offset and outbox",
    "Rising: a slow or distant Redis, or too many accounts per commit",
    (_STAGE,),
    _SUBSECOND,
)
FENCED: Final = Meter(
    "detector_fenced_commits_total",
    "counter",
    "Commits refused because another worker owns the partition",
    "One at a rebalance is the protection at work; many: workers stall longer than the session timeout",
)
SNAPSHOT_AGE: Final = Meter(
    "detector_snapshot_age_seconds",
    "gauge",
    "Time since the oldest of this worker's partitions was committed",
    "Beyond some stream.commit_ms: commits fail; so much is read again after a crash",
)
OUTBOX: Final = Meter(
    "detector_outbox_messages",
    "gauge",
    "Committed messages that are not published yet",
    "Growing: the broker does not take them; they are kept, and published in order when it does",
)
SINK_FAILURES: Final = Meter(
    "detector_sink_failures_total",
    "counter",
    "Deliveries of findings that a sink did not take",
    "They are tried again; see the log event sink_failed for why",
    (_SINK,),
)
BUILD: Final = Meter(
    "detector_build_info",
    "gauge",
    "Always 1; the labels say what is running",
    "Different versions at once: a rollout that has stopped halfway",
    (("version", ()), ("python", ())),
)

METERS: Final[tuple[Meter, ...]] = tuple(value for value in list(globals().values()) if isinstance(value, Meter))


class Recorder:
    """The metrics of one process, on a registry of its own."""

    def __init__(self) -> None:
        """Declare all of them, and the counters that have closed labels at 0."""
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._collectors = {meter.name: self._declared(meter) for meter in METERS}
        self.set(BUILD, 1, version=__version__, python=platform.python_version())

    def add(self, meter: Meter, amount: float = 1, **labels: str) -> None:
        """Count `amount` more."""
        collector = self._child(meter, labels)
        assert isinstance(collector, Counter), meter.name
        collector.inc(amount)

    def set(self, meter: Meter, value: float, **labels: str) -> None:
        """Say what a gauge stands at."""
        collector = self._child(meter, labels)
        assert isinstance(collector, Gauge), meter.name
        collector.set(value)

    def observe(self, meter: Meter, value: float, **labels: str) -> None:
        """Take one value into a histogram."""
        collector = self._child(meter, labels)
        assert isinstance(collector, Histogram), meter.name
        collector.observe(value)

    def forget(self, meter: Meter, **labels: str) -> None:
        """Remove a child, such as a partition that moved to another worker."""
        collector = self._collectors[meter.name]
        try:
            collector.remove(*(labels[name] for name, _ in meter.labels))
        except KeyError:
            return

    def exposition(self) -> bytes:
        """Return the page that Prometheus scrapes."""
        return prometheus_client.generate_latest(self.registry)

    def _child(self, meter: Meter, labels: dict[str, str]) -> Counter | Gauge | Histogram:
        collector = self._collectors[meter.name]
        if not meter.labels:
            assert not labels, f"{meter.name} has no labels"
            return collector
        for name, values in meter.labels:
            assert not values or labels[name] in values, f"{meter.name}: {labels[name]!r} is not a {name}"
        return collector.labels(**labels)

    def _declared(self, meter: Meter) -> Counter | Gauge | Histogram:
        names = [name for name, _ in meter.labels]
        collector: Counter | Gauge | Histogram
        if meter.kind == "counter":
            collector = Counter(meter.name, meter.meaning, names, registry=self.registry)
        elif meter.kind == "gauge":
            collector = Gauge(meter.name, meter.meaning, names, registry=self.registry)
        else:
            collector = Histogram(meter.name, meter.meaning, names, registry=self.registry, buckets=meter.buckets)
        if meter.kind != "gauge" and names and all(values for _, values in meter.labels):
            for values in product(*(values for _, values in meter.labels)):
                collector.labels(*values)
        return collector


def documented(meters: Sequence[Meter] = METERS) -> str:
    """Return the table of all metrics in Markdown."""
    lines = [
        "# Metrics",
        "",
        "Generated by `python -m detector.metrics` from `detector/metrics.py`, where they are declared.",
        "",
        "| metric | kind | labels | means | what to do |",
        "|---|---|---|---|---|",
    ]
    for meter in meters:
        labels = "; ".join(f"`{name}`: {', '.join(values)}" if values else f"`{name}`" for name, values in meter.labels)
        lines.append(f"| `{meter.name}` | {meter.kind} | {labels} | {meter.meaning} | {meter.what_to_do} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(documented(), end="")  # noqa: T201 - its output is the file

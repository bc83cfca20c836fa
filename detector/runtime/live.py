"""`detector run`: the service, put together from the configuration.

    Kafka ─► Worker (worker.py): accounts ─► links ─► campaigns ─► Outlet ─► topics and sinks
               │ state                                               │
             store (Redis)          /metrics /healthz /readyz ◄── what they tell of themselves

SIGTERM and Ctrl-C end it in order: state committed, messages published, the group left, exit 0.
When store or broker are away at the start it ends with exit 3 and the orchestrator tries again;
when they go away later it waits for them.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
import structlog
import uvloop

from detector import metrics
from detector.alert.accounts import CANARY
from detector.api import Check, Progress, application, serve
from detector.config import Config
from detector.decoders import decode_accounts
from detector.errors import InputError, Unavailable
from detector.finding import Finding, Verdict
from detector.metrics import Meter, Recorder
from detector.runtime import access, logs
from detector.runtime.feeds import RecordFeed, RequestFeed
from detector.runtime.holding import DeadLetter
from detector.runtime.publisher import KafkaPublisher
from detector.runtime.security import client_arguments, faust_credentials, store_arguments
from detector.runtime.worker import Worker, WorkerSettings
from detector.sinks import Sink, open_sinks
from detector.stages.accounts import AccountStage
from detector.stages.issuing import CampaignStage
from detector.stages.links import LinkStage
from detector.stores import Message, Store
from detector.stores.memory import MemoryStore
from detector.stores.redis import RedisStore

_MEASURE_SECONDS: Final = 1.0
_MOST_PARTITIONS: Final = 1_000_000
# A fetch is some ten thousand objects that live until it is worked through and hold no cycles. Python's own
# threshold of 700 would have its collector look at them, and at all of Faust, again and again: a seventh of the CPU.
_YOUNG: Final = 200_000
_OLDER: Final = 20
# A fetch of megabytes is read in dozens of pieces by the consumer's thread, which waits for the interpreter for each:
# at Python's own 5 ms a piece, beside a stage that computes, a fetch of 4 MB came 0.1 to 0.25 s after it was sent.
_SWITCH_SECONDS: Final = 0.0005
_STUCK_SECONDS: Final = 300.0  # without a turn of the loop, or to the end of the process when it is to end

log = structlog.get_logger()
_finding = msgspec.json.Decoder(Finding)
_verdict = msgspec.json.Decoder(Verdict)


def run(config: Config) -> None:
    """Run the service until it is told to stop; raise what ended it otherwise.

    On SIGUSR1 every thread's stack goes to standard error. So it does when the process is stuck, which then ends: its
    heartbeats come from a thread of their own, so nobody else would ever get its partitions.
    """
    logs.configure(config.log)
    faulthandler.register(signal.SIGUSR1)
    service = Service(config)
    gc.freeze()
    gc.set_threshold(_YOUNG, _OLDER, _OLDER)
    sys.setswitchinterval(_SWITCH_SECONDS)
    uvloop.run(_watched(service))


async def _watched(service: Service) -> None:
    async def turns() -> None:
        while True:
            faulthandler.dump_traceback_later(_STUCK_SECONDS, exit=True)
            await asyncio.sleep(_MEASURE_SECONDS)

    turning = asyncio.get_running_loop().create_task(turns())
    try:
        await service.run()
    finally:
        turning.cancel()
        faulthandler.dump_traceback_later(_STUCK_SECONDS, exit=True)  # to the end of the process


class Outlet:
    """`holding.Publisher`: findings to every sink that is on, everything else to its topic."""

    def __init__(self, kafka: KafkaPublisher, sinks: Sequence[Sink], recorder: Recorder) -> None:
        self._kafka = kafka
        self._sinks = sinks
        self._recorder = recorder

    async def publish(self, messages: Sequence[Message], owned: Callable[[], Awaitable[None]]) -> None:
        """Return when all are delivered; a message for `findings` goes to the sinks."""
        await self._kafka.publish([message for message in messages if message.topic != "findings"], owned)
        findings = [_finding.decode(one.value) for one in messages if one.topic == "findings" and one.value is not None]
        if findings:
            for sink in self._sinks:
                try:
                    await sink.deliver(findings)
                except Unavailable:
                    self._recorder.add(metrics.SINK_FAILURES, sink=sink.name)
                    raise
        now_ms = time.time() * 1000
        for finding in findings:
            self._recorder.add(metrics.FINDINGS, kind=finding.kind, severity=finding.severity, state=finding.state)
            self._recorder.observe(metrics.FINDING_DELAY, max(now_ms - finding.time_ms, 0) / 1000)
            self._recorder.add(metrics.CANARY, any(reason.signal == CANARY for reason in finding.reasons))
        for message in messages:
            if message.topic == "verdicts":
                action = _verdict.decode(message.value).action if message.value is not None else "none"
                self._recorder.add(metrics.VERDICTS, action=action)

    async def dead_letter(self, letters: Sequence[DeadLetter]) -> None:
        """Return when the dead-letter topic has all of them."""
        await self._kafka.dead_letter(letters)


class Service:
    """One worker with its stages, store, sinks and web server."""

    def __init__(self, config: Config, recorder: Recorder | None = None) -> None:
        """Connect nothing yet; raise ConfigError for what cannot work."""
        if not config.privacy.key:  # names can then be chosen that have one hash, and would count as one account
            log.warning("identifiers_are_hashed_without_a_secret", setting="privacy.hash_key")
        self._config = config
        self._recorder = recorder or Recorder()
        topics, stream = config.topics, config.stream
        self._store = _store_of(config)
        names = {role: getattr(topics, role) for role in ("observations", "candidates", "verdicts", "dead_letters")}
        self._kafka = KafkaPublisher(
            config.kafka.brokers,
            names,
            client_arguments(config.kafka),
            config.dead_letters.most_bytes,
            access.transactions(config.kafka),
        )
        self._sinks = open_sinks(config.sinks, self._kafka, topics.findings)
        self._accounts = AccountStage(config.accounts)
        self._links = LinkStage(config.links)
        self._campaigns = CampaignStage(config.campaigns, config.verdicts)
        self.worker = Worker(
            WorkerSettings(
                brokers=config.kafka.brokers,
                group=config.kafka.group,
                accounts_topic=topics.accounts or None,
                commit_seconds=stream.commit_ms / 1000,
                publish_seconds=stream.publish_ms / 1000,
                idle_seconds=stream.idle_ms / 1000,
                lateness_ms=stream.lateness_ms,
                session_seconds=config.kafka.session_ms / 1000,
                instance=config.kafka.instance or None,
                fetch_bytes=config.kafka.fetch_bytes,
                unpacked_bytes=config.kafka.unpacked_bytes,
                partitions={
                    topics.requests: range(topics.partitions, topics.partitions + 1),
                    # To these we write ourselves, by number: more than we need are no harm.
                    topics.observations: range(topics.link_partitions, _MOST_PARTITIONS),
                    topics.candidates: range(1, _MOST_PARTITIONS),
                },
                metadata_seconds=config.kafka.metadata_ms / 1000,
                most_bad_share=config.dead_letters.most_share,
                bad_share_of=config.dead_letters.window,
                credentials=faust_credentials(config.kafka),
                security=client_arguments(config.kafka),
            ),
            self._store,
            Outlet(self._kafka, self._sinks, self._recorder),
            [
                RequestFeed(self._accounts, topics.requests, config.privacy.key, self._recorder),
                RecordFeed(self._links, topics.observations),
                RecordFeed(self._campaigns, topics.candidates),
            ],
            self._learn,
            self._recorder,
        )
        self._progress = Progress(config.web.stalled_ms)
        self._counted = [0] * len(self._counts())
        self._judged = 0
        self._lacked = dict.fromkeys(self._accounts.unavailable, 0)

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `worker.stop`; raise what ended it otherwise."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.worker.stop)
        web = self._config.web
        runner, port = await serve(application(self, self._recorder), web.host, web.port)
        log.info("serving", host=web.host, port=port, group=self._config.kafka.group)
        measuring = loop.create_task(self._measure())
        try:
            await access.checked(self._config)
            await self._kafka.start()
            await self.worker.run()
        except InputError:
            self._recorder.set(metrics.REFUSED, 1)
            raise
        finally:
            measuring.cancel()
            await asyncio.gather(measuring, return_exceptions=True)
            for sink in self._sinks:
                await sink.close()
            await self._kafka.stop()
            await self._store.close()
            await runner.cleanup()

    # -- api.Status -----------------------------------------------------------------------------

    def alive(self) -> Sequence[Check]:
        """Return whether partitions with lag move. Waiting for a service is no stall: a restart would not help."""
        return [self._progress.check(_now_ms())]

    async def ready(self) -> Sequence[Check]:
        """Return whether the store answers and everything that is assigned is worked on."""
        await self._store.ping()
        started, assigned = self.worker.counts
        return [
            Check("store", ok=True, detail=self._config.store.kind),
            Check("partitions", ok=self.worker.ready, detail=f"{started} of {assigned} assigned"),
        ]

    # -- metrics --------------------------------------------------------------------------------

    async def _measure(self) -> None:
        seen: set[str] = set()
        while True:
            away, positions = self.worker.away, self.worker.positions()
            for partition in seen - positions.keys():
                self._progress.forget(partition)
            seen = set(positions)
            for partition, (offset, lag) in positions.items():
                self._progress.seen(partition, offset, 0 if away else lag, _now_ms())
            self._recorder.set(metrics.STORE_AVAILABLE, "redis" not in away)
            self._recorder.set(metrics.KAFKA_AVAILABLE, "kafka" not in away)
            self.worker.measure(int(time.time() * 1000))
            self._measure_stages()
            await asyncio.sleep(_MEASURE_SECONDS)

    def _measure_stages(self) -> None:
        counts, before = self._counts(), self._counted
        self._counted = [number for _, _, number in counts]
        for (meter, labels, number), counted in zip(counts, before, strict=True):
            self._recorder.add(meter, number - counted, **labels)
        judged, self._judged = self._accounts.counts["judged"] - self._judged, self._accounts.counts["judged"]
        lacked, lacked_before = dict(self._accounts.unavailable), self._lacked
        self._lacked = lacked
        if judged:
            for name, missing in lacked.items():
                self._recorder.set(metrics.SIGNAL_AVAILABLE, missing - lacked_before[name] < judged, signal=name)
        self._recorder.set(metrics.ACCOUNTS, self._accounts.sizes()["accounts"])
        self._recorder.set(metrics.LINKS, self._links.sizes()["links"])
        for severity, number in self._campaigns.standing().items():
            self._recorder.set(metrics.CAMPAIGNS, number, severity=severity)

    def _counts(self) -> list[tuple[Meter, dict[str, str], int]]:
        """Return what the stages have counted since the worker began."""
        accounts, links, campaigns = self._accounts.counts, self._links.counts, self._campaigns.counts
        return [
            (metrics.LATE, {}, accounts["late"]),
            (metrics.DUPLICATES, {}, accounts["duplicate"]),
            (metrics.FUTURE, {}, accounts["ahead"]),
            (metrics.FORGOTTEN, {}, accounts["forgotten"]),
            (metrics.CANDIDATES, {}, links["candidates"]),
            (metrics.STEPS, {"stage": "accounts"}, accounts["steps"]),
            (metrics.STEPS, {"stage": "links"}, links["steps"]),
            (metrics.STEPS, {"stage": "campaigns"}, campaigns["steps"]),
            (metrics.DROPPED, {"bound": "event_ids"}, accounts["ids_passed_over"]),
            (metrics.DROPPED, {"bound": "records"}, self._accounts.records_dropped),
            (metrics.DROPPED, {"bound": "models"}, accounts["models_dropped"]),
            (metrics.DROPPED, {"bound": "pairs"}, accounts["pairs_dropped"]),
            *(
                (metrics.DROPPED, {"bound": bound}, links[f"{bound}_dropped"])
                for bound in ("edges", "links", "accounts")
            ),
            (metrics.DROPPED, {"bound": "steps"}, links["steps_forced"]),
            *((metrics.DROPPED, {"bound": bound}, number) for bound, number in self._campaigns.dropped.items()),
        ]

    def _learn(self, values: list[bytes | None]) -> None:
        decoded = decode_accounts(values)
        self._accounts.learn(decoded.records)
        if decoded.rejects:
            log.warning("account_records_unreadable", records=len(decoded.rejects), reason=decoded.rejects[0].reason)


def _store_of(config: Config) -> Store:
    if config.store.kind == "memory":
        return MemoryStore()
    return RedisStore(config.store.url, **store_arguments(config.store))


def _now_ms() -> int:
    return int(time.monotonic() * 1000)

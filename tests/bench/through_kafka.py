"""A stream through the real thing: Apache Kafka, Redis and two `detector run` workers, started here and stopped.

    stream ─► accounts topic, requests topic ─► worker 1, worker 2 (Redis) ─► findings topic ─► findings

Events are sent as fast as the broker takes them, one record each, keyed by account. A live worker does not know
that a recording is over; we call it over when both workers have counted every event and no finding has come for
a while. What the last steps of event time would still have said, is not waited for: a stream does not end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from detector import config as configuration
from detector import metrics
from detector.account import AccountRecord
from detector.config import Config
from detector.errors import Unavailable
from detector.finding import Finding
from detector.runtime import servers, topics
from detector.runtime.demo import Worker

if TYPE_CHECKING:
    from tests.bench.recordings import Stream

WORKERS: Final = 2
QUIET_SECONDS: Final = 20.0
PATIENCE_SECONDS: Final = 300.0  # without an event counted
_LOOK_SECONDS: Final = 1.0
_BACKLOG: Final = 2_000  # records on their way to the broker


class _Keyed(msgspec.Struct):
    account_id: str


_finding = msgspec.json.Decoder(Finding)
_keyed = msgspec.json.Decoder(_Keyed)


def findings_through_kafka(
    stream: Stream,
    folder: Path,
    config_file: Path | None,
    overrides: dict[str, str],
    told: Callable[[str], None],
) -> list[Finding]:
    """Return the findings in the order of their topic. `overrides` are settings as environment."""
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(servers.redis(folder / "redis"))
        kafka = stack.enter_context(servers.kafka(folder / "kafka"))
        ports = [servers.free_port() for _ in range(WORKERS)]
        environment = {
            **overrides,
            "DETECTOR_KAFKA_BROKERS": kafka.address,
            "DETECTOR_STORE_KIND": "redis",
            "DETECTOR_STORE_URL": redis.url,
            "DETECTOR_TOPICS_REPLICATION": "1",
            "DETECTOR_STREAM_IDLE_MS": "5000",
        }
        config = configuration.load(config_file, {**os.environ, **environment})
        topics.create_all(config)
        told(f"Apache Kafka at {kafka.address}, Redis at {redis.url}")
        asyncio.run(send(config, stream.accounts, (line for chunk in stream.chunks() for line in chunk)))
        told(f"{len(stream.events):,} events and {len(stream.accounts):,} account records are in Kafka")
        for number, port in enumerate(ports):
            worker = Worker(
                folder / f"worker-{number}", config_file, {**environment, "DETECTOR_WEB_PORT": str(port)}, port
            )
            stack.callback(worker.end)
            worker.start()
        told(f"{WORKERS} workers run")
        return asyncio.run(_collect(config, ports, len(stream.events), told))


async def send(config: Config, accounts: Iterable[AccountRecord], lines: Iterable[bytes]) -> None:
    """Send account records, then events, each keyed by its account; return when the broker has all of them."""
    records = ((one.account_id.encode(), msgspec.json.encode(one)) for one in accounts)
    events = ((_keyed.decode(line).account_id.encode(), line) for line in lines)
    await send_all(config.kafka.brokers, config.topics.accounts, records)
    await send_all(config.kafka.brokers, config.topics.requests, events)


async def send_all(brokers: str, topic: str, pairs: Iterable[tuple[bytes, bytes]]) -> None:
    """Send keys and values in their order, as fast as the broker takes them; return when it has all of them."""
    producer = AIOKafkaProducer(
        bootstrap_servers=brokers, linger_ms=20, max_batch_size=1 << 19, enable_idempotence=True
    )
    await producer.start()
    try:
        waiting = []
        for key, value in pairs:
            waiting.append(await producer.send(topic, value, key=key))
            if len(waiting) >= _BACKLOG:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()


async def page(session: aiohttp.ClientSession, port: int) -> dict[str, float]:
    """Return the metrics of a worker by name, summed over their labels; nothing while it does not answer."""
    found: Counter[str] = Counter()
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            for family in text_string_to_metric_families(await answer.text()):
                for sample in family.samples:
                    found[sample.name] += sample.value
    return found


async def _collect(config: Config, ports: Sequence[int], events: int, told: Callable[[str], None]) -> list[Finding]:
    consumer = AIOKafkaConsumer(
        config.topics.findings, bootstrap_servers=config.kafka.brokers, auto_offset_reset="earliest"
    )
    await consumer.start()
    findings: list[Finding] = []
    counted, moved, spoken = 0, time.monotonic(), 0.0
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while True:
                batches = await consumer.getmany(timeout_ms=int(_LOOK_SECONDS * 1_000))
                came = [_finding.decode(r.value) for records in batches.values() for r in records if r.value]
                findings += came
                now = time.monotonic()
                seen = int(sum([(await page(session, port)).get(metrics.EVENTS.name, 0) for port in ports]))
                if seen > counted or came:
                    counted, moved = max(seen, counted), now
                if counted >= events and now - moved > QUIET_SECONDS:
                    return findings
                if now - moved > PATIENCE_SECONDS:
                    raise Unavailable("workers", f"stopped at {counted:,} of {events:,} events")
                if now - spoken > 15:
                    spoken = now
                    told(f"{counted:,} events counted, {len(findings):,} findings")
    finally:
        await consumer.stop()

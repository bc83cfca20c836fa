"""`detector run` on real Apache Kafka and real Redis, in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from detector import config as configuration
from detector import metrics
from detector.campaign import observation
from detector.config import Config
from detector.errors import ConfigError, InputError, Unavailable
from detector.finding import Verdict
from detector.runtime import servers, topics
from detector.runtime.live import Service
from detector.runtime.servers import KafkaServer, RedisServer
from tests.runtime.serving import running
from tests.runtime.words import until
from tests.servers import environment
from tests.servers.secured import SecuredKafka

pytestmark = pytest.mark.asyncio

START_MS = 1_780_000_000_000
MINUTE_MS = 60_000
AFTER_MS = START_MS + 2 * MINUTE_MS


def configured(name: str, kafka: str, redis: str, **more: str) -> Config:
    given = {
        **environment(name, kafka, redis),
        "DETECTOR_TOPICS_PARTITIONS": "2",
        "DETECTOR_TOPICS_LINK_PARTITIONS": "1",
        "DETECTOR_STREAM_IDLE_MS": "500",
    }
    return configuration.load(None, {**given, **more})


@asynccontextmanager
async def producing(config: Config, **settings: Any) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=config.kafka.brokers, **settings)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def read(config: Config, topic: str, enough: Callable[[list[Any]], bool], **settings: Any) -> list[Any]:
    """Read a topic from its beginning until there is enough of it."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=config.kafka.brokers, auto_offset_reset="earliest", **settings)
    await consumer.start()
    try:
        found: list[Any] = []
        deadline = time.monotonic() + 60
        while not enough(found):
            assert time.monotonic() < deadline, found
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
        return found
    finally:
        await consumer.stop()


def event(number: int, time_ms: int, account: str = "a") -> bytes:
    return msgspec.json.encode({"id": str(number), "time_ms": time_ms, "account_id": account, "model": "m"})


async def test_what_is_no_event_becomes_a_dead_letter_with_its_reason_and_place(
    kafka_server: KafkaServer, redis_server: RedisServer, own_name: str
) -> None:
    config = configured(own_name, kafka_server.address, redis_server.url)
    await asyncio.to_thread(topics.create_all, config)
    async with producing(config) as producer, running(config):
        await producer.send_and_wait(config.topics.requests, event(1, START_MS), partition=1)
        await producer.send_and_wait(config.topics.requests, b"{nonsense", key=b"k", partition=1)
        await producer.send_and_wait(
            config.topics.requests, event(2, START_MS) + b"\n{}\n" + event(3, START_MS), partition=1
        )
        first, second = await read(config, config.topics.dead_letters, lambda found: len(found) >= 2)
    assert first.key == b"k"
    assert first.value == b"{nonsense"
    assert dict(first.headers) == {
        "reason": b"invalid_json",
        "source-topic": config.topics.requests.encode(),
        "source-partition": b"1",
        "source-offset": b"1",
    }
    assert second.value == b"{}"
    assert dict(second.headers)["source-line"] == b"2"
    assert dict(second.headers)["reason"] == b"missing_field"


async def test_a_topic_of_something_else_stops_the_worker_which_says_so(
    kafka_server: KafkaServer, redis_server: RedisServer, own_name: str
) -> None:
    config = configured(own_name, kafka_server.address, redis_server.url, DETECTOR_DEAD_LETTERS_WINDOW="50")
    await asyncio.to_thread(topics.create_all, config)
    async with producing(config) as producer, running(config) as (_, task):
        for _ in range(200):
            await producer.send(config.topics.requests, b"<xml/>", partition=0)
        await producer.flush()
        with pytest.raises(InputError, match="could not be read"):
            await asyncio.wait_for(task, 60)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_partition_without_events_follows_the_clock_of_the_others(
    workers: int, kafka_server: KafkaServer, redis_server: RedisServer, own_name: str
) -> None:
    """Also when its worker has no partition that has events."""
    configs = [
        configured(own_name, kafka_server.address, redis_server.url, DETECTOR_STREAM_LATENESS_MS="60000")
        for _ in range(workers)
    ]
    config = configs[0]
    await asyncio.to_thread(topics.create_all, config)

    def both_spoke(found: list[Any]) -> bool:
        said = [observation.decode(record.value) for record in found]
        return {one.source for one in said if one.step * MINUTE_MS >= START_MS} == {0, 1}

    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(producing(config))
        services = [(await stack.enter_async_context(running(one)))[0] for one in configs]
        deadline = time.monotonic() + 60
        while not (all(s.worker.ready for s in services) and sum(s.worker.counts[0] for s in services) == 4):
            assert time.monotonic() < deadline
            await services[0].ready()
        owned = [{one for one in s.worker.positions() if one.startswith(config.topics.requests)} for s in services]
        assert all(owned), "each worker has a partition of requests"
        for minute in range(10):
            await producer.send_and_wait(
                config.topics.requests, event(minute, START_MS + minute * MINUTE_MS), partition=0
            )
        found = await read(config, config.topics.observations, both_spoke)
    idle = [one for one in (observation.decode(record.value) for record in found) if one.source == 1]
    assert all(one.step * MINUTE_MS < START_MS + 9 * MINUTE_MS for one in idle), "never ahead of the allowed lateness"


async def test_with_more_partitions_the_same_state_goes_on(
    as_users_run_it: SecuredKafka, redis_server: RedisServer, own_name: str
) -> None:
    """The steps of the links wait for the new partition too, from where they were."""

    def steps(found: list[Any]) -> dict[int, int]:
        said = [observation.decode(record.value) for record in found]
        return {
            source: max(one.step for one in said if one.source == source) for source in {one.source for one in said}
        }

    last = START_MS // MINUTE_MS + 9
    config = configured(own_name, as_users_run_it.address, redis_server.url)
    await asyncio.to_thread(topics.create_all, config)
    async with producing(config) as producer, running(config):
        for partition in (0, 1):
            for minute in range(3):
                time_ms = START_MS + minute * MINUTE_MS
                line = event(10 * partition + minute, time_ms, f"a{partition}")
                await producer.send_and_wait(config.topics.requests, line, partition=partition)
        await read(config, config.topics.candidates, bool)
    await asyncio.to_thread(as_users_run_it.grow, config.topics.requests, 3)
    with pytest.raises(ConfigError, match="has 3 partitions, not 2"):
        await Service(config).run()
    more = configured(own_name, as_users_run_it.address, redis_server.url, DETECTOR_TOPICS_PARTITIONS="3")
    async with producing(config) as producer, running(more) as (service, _):
        for partition in (0, 1, 2):
            for minute in range(3, 12):
                time_ms = START_MS + minute * MINUTE_MS
                line = event(100 * partition + minute, time_ms, f"a{partition}")
                await producer.send_and_wait(config.topics.requests, line, partition=partition)
        found = await read(
            config,
            config.topics.observations,
            lambda found: len(steps(found)) == 3 and min(steps(found).values()) >= last,
        )
        registry = service._recorder.registry
        await until(lambda: (registry.get_sample_value("detector_steps_total", {"stage": "links"}) or 0) >= 5)
    told = [(one.source, one.step) for one in (observation.decode(record.value) for record in found)]
    assert len(set(told)) == len(told)


async def test_the_account_topic_is_known_before_the_first_event_is_judged_and_followed_after(
    kafka_server: KafkaServer, redis_server: RedisServer, own_name: str
) -> None:
    config = configured(own_name, kafka_server.address, redis_server.url)
    await asyncio.to_thread(topics.create_all, config)
    known = START_MS - 40 * 86_400_000

    def record(account: str) -> bytes:
        return msgspec.json.encode({"account_id": account, "created_ms": known})

    def ages(found: list[Any]) -> dict[str, int]:
        said = [observation.decode(one.value).accounts for one in found]
        return {account: int(created) for one in said for account, created in zip(one.ids, one.created_ms, strict=True)}

    async with producing(config) as producer:
        for account in ("a", "b"):
            await producer.send_and_wait(config.topics.accounts, record(account), key=account.encode())
        async with running(config):
            await producer.send_and_wait(config.topics.requests, event(1, START_MS, "a"), partition=0)
            await producer.send_and_wait(config.topics.requests, event(2, START_MS, "late"), partition=0)
            await producer.send_and_wait(config.topics.requests, event(3, START_MS + 2 * MINUTE_MS, "x"), partition=0)
            first = await read(config, config.topics.observations, lambda found: {"a", "late"} <= ages(found).keys())
            await producer.send_and_wait(config.topics.accounts, record("late"), key=b"late")
            sent = 4

            def learned(found: list[Any]) -> bool:
                return ages(found).get("late") == known

            found: list[Any] = []
            while not learned(found):
                sent += 1
                at_ms = START_MS + sent * 2 * MINUTE_MS
                await producer.send_and_wait(config.topics.requests, event(sent, at_ms, "late"), partition=0)
                before = len(found)
                found = await read(config, config.topics.observations, lambda now, n=before: len(now) > n)
    assert ages(first)["a"] == known
    assert ages(first)["late"] == -1, "without a record its age is unknown"


async def test_it_tells_whether_it_is_alive_ready_and_how_it_is_doing(
    kafka_server: KafkaServer, redis_server: RedisServer, own_name: str
) -> None:
    config = configured(own_name, kafka_server.address, redis_server.url)
    await asyncio.to_thread(topics.create_all, config)
    async with producing(config) as producer, running(config), aiohttp.ClientSession() as session:
        for number, (partition, time_ms) in enumerate([(0, START_MS), (1, START_MS), (0, AFTER_MS), (1, AFTER_MS)]):
            await producer.send_and_wait(config.topics.requests, event(number, time_ms), partition=partition)
        base = f"http://127.0.0.1:{config.web.port}"
        deadline = time.monotonic() + 60
        ready, page = 0, ""
        closed = [f'detector_steps_total{{stage="{stage}"}} ' for stage in metrics.STAGES]
        wanted = ("detector_events_total 4.0", 'detector_lag_records{partition="0",stage="accounts"} 0.0')
        while (
            ready != 200
            or not all(line in page for line in wanted)
            or any(line not in page or f"{line}0.0" in page for line in closed)
        ):
            assert time.monotonic() < deadline, page
            try:
                async with session.get(f"{base}/readyz") as answer:
                    ready = answer.status
                async with session.get(f"{base}/metrics") as answer:
                    page = await answer.text()
            except aiohttp.ClientError:
                continue
        async with session.get(f"{base}/healthz") as answer:
            assert answer.status == 200
    assert "detector_records_total 4.0" in page
    assert "detector_store_available 1.0" in page


async def test_without_a_broker_it_ends_and_says_which_service_is_away(
    redis_server: RedisServer, own_name: str
) -> None:
    config = configured(own_name, f"127.0.0.1:{servers.free_port()}", redis_server.url)
    with pytest.raises(Unavailable, match="kafka"):
        await Service(config).run()


async def test_on_the_mock_cluster_it_works_as_on_kafka(own_name: str) -> None:
    with servers.mock_kafka() as address:
        config = configured(
            own_name, address, "redis://unused", DETECTOR_STORE_KIND="memory", DETECTOR_TOPICS_PARTITIONS="4"
        )
        async with producing(config) as producer, running(config):
            for minute in range(5):
                await producer.send_and_wait(
                    config.topics.requests, event(minute, START_MS + minute * MINUTE_MS), partition=0
                )
            found = await read(config, config.topics.observations, lambda found: len(found) >= 3)
    assert {observation.decode(record.value).source for record in found} == {0}


async def test_verdicts_are_published_and_counted_where_they_are_enforced(
    kafka_server: KafkaServer, redis_server: RedisServer, own_name: str
) -> None:
    config = configured(own_name, kafka_server.address, redis_server.url, DETECTOR_VERDICTS_ENFORCE="true")
    await asyncio.to_thread(topics.create_all, config)
    replayed = {"reasoning_block_hash": "0123456789abcdef", "reasoning_block_issuer": "another"}
    async with producing(config) as producer, running(config) as (service, _):
        for minute in range(40):
            for partition in (0, 1):
                line = event(2 * minute + partition, START_MS + minute * MINUTE_MS, f"a{partition}")
                given = msgspec.json.decode(line) | (replayed if partition else {})
                await producer.send(config.topics.requests, msgspec.json.encode(given), partition=partition)
        await producer.flush()
        (record,) = await read(config, config.topics.verdicts, bool)
    page = service._recorder.exposition().decode()
    verdict = msgspec.json.decode(record.value, type=Verdict)
    assert (record.key, verdict.account_id, verdict.action) == (b"a1", "a1", "verify")
    assert 'detector_verdicts_total{action="verify"} 1.0' in page

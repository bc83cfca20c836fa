"""`detector run` and the records that nobody promised: tombstones, empty ones, huge ones."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from detector.errors import Unavailable
from detector.runtime import topics
from detector.runtime.live import Service
from detector.runtime.servers import RedisServer
from detector.sinks import KafkaSink
from detector.stores import Message
from tests.runtime.test_service import START_MS, configured, event, producing, read, running
from tests.runtime.toy import ours
from tests.runtime.words import until
from tests.servers.secured import SecuredKafka
from tests.sinks.test_sinks import finding

pytestmark = pytest.mark.asyncio

MB = 1_000_000


async def counted(service: Service, **least: int) -> None:
    """Wait until each of these counters has reached its number."""

    def now() -> dict[str, float]:
        return {name: service._recorder.registry.get_sample_value(f"detector_{name}_total") or 0 for name in least}

    await until(lambda: all(now()[name] >= number for name, number in least.items()), now)


async def test_tombstones_are_counted_and_empty_records_are_dead_letters_and_the_stream_goes_on(
    as_users_run_it: SecuredKafka, redis_server: RedisServer, own_name: str
) -> None:
    config = configured(own_name, as_users_run_it.address, redis_server.url)
    await asyncio.to_thread(topics.create_all, config)
    async with producing(config) as producer, running(config) as (service, _):
        for value in (None, b"", None, b" \n ", event(1, START_MS)):
            await producer.send_and_wait(config.topics.requests, value, key=b"a", partition=0)
        await counted(service, tombstones=2, events=1, records=5)
        letters = await read(config, config.topics.dead_letters, lambda found: len(found) >= 2)
    assert [(letter.value, dict(letter.headers)["reason"]) for letter in letters] == [
        (b"", b"empty_record"),
        (b" \n ", b"empty_record"),
    ]


async def test_a_record_that_is_much_larger_than_a_fetch_is_read(
    as_users_run_it: SecuredKafka, redis_server: RedisServer, own_name: str
) -> None:
    config = configured(own_name, as_users_run_it.address, redis_server.url, DETECTOR_KAFKA_FETCH_BYTES="65536")
    await asyncio.to_thread(topics.create_all, config)
    await asyncio.to_thread(as_users_run_it.configure, config.topics.requests, {"max.message.bytes": str(16 * MB)})
    large = msgspec.json.encode(msgspec.json.decode(event(1, START_MS)) | {"prompt_text": "ask me " * MB})
    async with producing(config, max_request_size=16 * MB) as producer, running(config) as (service, _):
        for value in (large, event(2, START_MS)):
            await producer.send_and_wait(config.topics.requests, value, partition=0)
        await counted(service, events=2)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_a_batch_that_unpacks_to_more_than_it_may_is_passed_over_and_counted(
    as_users_run_it: SecuredKafka, redis_server: RedisServer, own_name: str, codec: str
) -> None:
    """Its packed size is all that a broker looks at."""
    config = configured(own_name, as_users_run_it.address, redis_server.url, DETECTOR_KAFKA_UNPACKED_BYTES="1000000")
    await asyncio.to_thread(topics.create_all, config)
    settings = {"compression_type": codec, "max_request_size": 32 * MB}
    async with producing(config, **settings) as producer, running(config) as (service, _):
        for number, value in enumerate((event(1, START_MS), b"x" * 8 * MB, event(2, START_MS), b"y" * 8 * MB)):
            await producer.send_and_wait(config.topics.requests, value, partition=0)
            await counted(service, events=(number + 2) // 2)

        def dropped() -> float | None:
            return service._recorder.registry.get_sample_value("detector_dropped_total", {"bound": "batches"})

        await until(lambda: dropped() == 2, dropped)
        await producer.send_and_wait(config.topics.requests, event(3, START_MS), partition=0)
        await counted(service, events=3)
        assert (await service.ready())[1].ok


@pytest.mark.parametrize("size", [3 * MB, 20 * MB], ids=["larger than its topic takes", "larger than any record"])
async def test_a_dead_letter_that_would_not_fit_is_cut_says_so_and_holds_nothing_up(
    as_users_run_it: SecuredKafka, redis_server: RedisServer, own_name: str, size: int
) -> None:
    """What compresses well comes through a topic's limit at any size; it must not go on as it came."""
    config = configured(own_name, as_users_run_it.address, redis_server.url)
    await asyncio.to_thread(topics.create_all, config)
    settings = {"compression_type": "gzip", "max_request_size": 32 * MB}
    async with producing(config, **settings) as producer, running(config) as (service, _):
        await producer.send_and_wait(config.topics.requests, b"x" * size, key=b"k" * MB, partition=0)
        await producer.send_and_wait(config.topics.requests, event(1, START_MS), partition=0)
        (letter,) = await read(config, config.topics.dead_letters, bool)
        await counted(service, events=1)
    assert len(letter.value) == config.dead_letters.most_bytes < MB
    assert letter.key == b"k" * 1024
    assert dict(letter.headers)["length"] == str(size).encode()


async def test_a_dead_letter_that_fits_is_the_record_as_it_came(
    as_users_run_it: SecuredKafka, redis_server: RedisServer, own_name: str
) -> None:
    config = configured(own_name, as_users_run_it.address, redis_server.url)
    await asyncio.to_thread(topics.create_all, config)
    largest = b"x" * config.dead_letters.most_bytes
    async with producing(config) as producer, running(config):
        await producer.send_and_wait(config.topics.requests, largest, key=b"k" * 1024, partition=0)
        (letter,) = await read(config, config.topics.dead_letters, bool)
    assert (letter.value, letter.key) == (largest, b"k" * 1024)
    assert "length" not in dict(letter.headers)


async def test_a_finding_of_a_hundred_thousand_accounts_is_published(
    as_users_run_it: SecuredKafka, redis_server: RedisServer, own_name: str
) -> None:
    """`campaigns.most_members` is the bound; Kafka's own default takes a tenth of that."""
    config = configured(own_name, as_users_run_it.address, redis_server.url)
    await asyncio.to_thread(topics.create_all, config)
    members = [f"{number:032x}" for number in range(config.campaigns.most_members)]
    kafka = Service(config)._kafka
    await kafka.start()
    sink = KafkaSink(kafka, config.topics.findings)
    await sink.deliver([msgspec.structs.replace(finding(0), accounts_added=members)])
    await kafka.stop()
    (record,) = await read(config, config.topics.findings, bool)
    assert msgspec.json.decode(record.value)["accounts_added"] == members


async def test_a_topic_that_was_made_too_small_for_what_is_published_is_named(
    as_users_run_it: SecuredKafka, redis_server: RedisServer, own_name: str
) -> None:
    config = configured(own_name, as_users_run_it.address, redis_server.url)
    for topic in (config.topics.findings, config.topics.observations):
        await asyncio.to_thread(as_users_run_it.create, topic, 1, {"max.message.bytes": "1000"})
    kafka = Service(config)._kafka
    await kafka.start()
    with pytest.raises(Unavailable, match=rf"5,000 bytes .* topic '{config.topics.observations}'.*max\.message\.bytes"):
        await kafka.publish([Message("observations", 0, "a", bytes(5_000))], ours)
    large = msgspec.structs.replace(finding(0), accounts_added=["a" * 5_000])
    with pytest.raises(Unavailable, match=rf"too large for topic '{config.topics.findings}'.*max\.message\.bytes"):
        await KafkaSink(kafka, config.topics.findings).deliver([large])
    await kafka.stop()

"""A worker on Kafka as users run it: transactions, compaction, retention, compression, many partitions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer

from detector.errors import ConfigError
from detector.runtime import topics
from detector.runtime.servers import RedisServer
from detector.runtime.topics import Topic
from tests.runtime.words import Words, ended, page, until
from tests.servers.secured import SecuredKafka

pytestmark = pytest.mark.asyncio


@pytest.fixture
def words(as_users_run_it: SecuredKafka, redis_server: RedisServer, own_name: str) -> Words:
    return Words(as_users_run_it, redis_server, own_name)


@asynccontextmanager
async def transaction(producer: AIOKafkaProducer, *, commits: bool) -> AsyncIterator[None]:
    await producer.begin_transaction()
    yield
    await (producer.commit_transaction() if commits else producer.abort_transaction())


# -- offsets without records ----------------------------------------------------------------------


async def test_what_a_transaction_aborted_is_not_counted_and_its_markers_are_no_lag(words: Words) -> None:
    await words.make()
    async with words.producing(transactional_id=words.name) as producer:
        for commits in (True, False, True, False):
            async with transaction(producer, commits=commits):
                await words.send(producer, 30, counts=commits)
    async with words.counting() as worker:
        await words.caught_up(worker, 4 * 31)  # each ends with a marker
        assert page(worker, "detector_lost_records_total") == 0
    assert await words.counted() == words.sent


async def test_an_open_transaction_is_waited_for_and_is_no_lag(words: Words) -> None:
    await words.make()
    async with words.producing(transactional_id=words.name) as producer, words.counting() as worker:
        async with transaction(producer, commits=True):
            await words.send(producer, 10)
            await words.caught_up(worker, 0)
        await words.caught_up(worker, 11)
    assert await words.counted() == words.sent


async def test_what_compaction_left_is_counted_once_up_to_the_end(words: Words) -> None:
    await words.make(
        cleanup_policy="compact",
        min_cleanable_dirty_ratio="0.01",
        max_compaction_lag_ms="1",
        segment_ms="100",
    )
    async with words.producing(max_batch_size=256) as producer:
        for _ in range(10):
            await words.send(producer, 50, counts=False, key=b"same")
        await words.send(producer, 50, counts=False, key=b"last")
        while len(left := await words.left()) > 300:
            await words.send(producer, 10, counts=False, key=b"last")  # which rolls the segment
    await words.configure(cleanup_policy="delete")
    left = await words.left()
    async with words.counting() as worker:
        await words.caught_up(worker, left[-1] + 1)
        assert page(worker, "detector_lost_records_total") == 0
    assert (await words.counted()).total() == len(left)


# -- retention ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [30, 0], ids=["something is left", "nothing is left"])
async def test_what_retention_removed_while_we_were_away_is_counted_as_lost_and_the_rest_is_read(
    words: Words, kept: int
) -> None:
    await words.make()
    async with words.producing() as producer:
        await words.send(producer, 40)
        async with words.counting() as worker:
            await words.caught_up(worker, 40)
        await words.send(producer, 60, counts=False)
        await words.delete_before(100 - kept)
        words.sent.update(f"w{n}" for n in range(60 - kept, 60))
        async with words.counting() as worker:
            await words.caught_up(worker, 100)
            assert page(worker, "detector_lost_records_total") == 60 - kept
            await words.send(producer, 10)
            await words.caught_up(worker, 110)
            assert page(worker, "detector_lost_records_total") == 60 - kept, "once"
    assert await words.counted() == words.sent


async def test_what_retention_removes_before_a_slow_worker_is_counted_as_lost_to_the_record(words: Words) -> None:
    await words.make()
    async with words.producing() as producer, words.counting(fetch_bytes=65_536) as worker:
        await words.send(producer, 10)
        await words.caught_up(worker, 10)
        await words.committed(worker, 10)  # else whoever takes over begins at what is left, and misses nothing
        worker._consumer._flowing = False  # it asks for nothing now: what it had fetched would not be lost
        await words.send(producer, 4_000, size=1_000)
        await words.delete_before(4_000)
        worker._consumer._flowing = True
        await words.caught_up(worker, 4_010)
        lost = page(worker, "detector_lost_records_total")
    assert 500 < lost < 4_000
    assert (await words.counted()).total() + lost == 4_010


async def test_what_is_left_of_an_account_topic_is_read_when_what_came_next_was_deleted(words: Words) -> None:
    await words.make()
    worker, store, publisher = words.worker()
    async with words.producing() as producer:
        await words.send(producer, 10)
    reader = await worker._accounts_read(words.topic)
    await words.delete_before(5)
    (tp,) = reader.assignment()
    reader.seek(tp, 2)
    found = []
    while len(found) < 5:
        for records in (await reader.getmany(timeout_ms=1000)).values():
            found += [record.offset for record in records]
    assert found == [5, 6, 7, 8, 9]
    await reader.stop()
    await publisher.stop()
    await store.close()


async def test_a_log_that_is_shorter_than_what_was_read_of_it_is_waited_for_and_told(words: Words) -> None:
    await words.make()
    async with words.producing() as producer, words.counting(metadata_seconds=0.2) as worker:
        await words.send(producer, 40)
        await words.caught_up(worker, 40)
        await asyncio.to_thread(words.make_anew)
        await words.send(producer, 10, counts=False)
        await until(lambda: "kafka" in worker.away)
    assert await words.counted() == words.sent


# -- compression ----------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_records_of_every_codec_are_read(words: Words, codec: str) -> None:
    await words.make()
    async with words.producing(compression_type=codec, linger_ms=50) as producer, words.counting() as worker:
        await words.send(producer, 500)
        await words.caught_up(worker, 500)
    assert await words.counted() == words.sent


@pytest.mark.parametrize("codec", ["snappy", "lz4", "zstd"])
async def test_a_codec_that_is_not_installed_stops_the_worker_which_says_what_to_install(
    words: Words, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await words.make()
    async with words.producing(compression_type=codec, linger_ms=50) as producer:
        await words.send(producer, 100)
    monkeypatch.setattr("aiokafka.codec.cramjam", None)
    with pytest.raises(ConfigError, match=rf"{words.topic}.*{codec}.*detector\[compression\]"):
        async with words.counting() as worker:
            await until(lambda: ended(worker))


# -- partitions -----------------------------------------------------------------------------------


async def test_48_partitions_are_read_by_one_worker(words: Words) -> None:
    await words.make(48)
    async with words.producing() as producer:
        for partition in range(48):
            await words.send(producer, 1 + partition, partition=partition)
        async with words.counting() as worker:
            for partition in range(48):
                await words.caught_up(worker, 1 + partition, partition)
    assert await words.counted(48) == words.sent


async def test_a_topic_that_grows_stops_the_worker_before_anything_new_is_read_and_with_its_number_all_is_counted_once(
    words: Words,
) -> None:
    await words.make(2)
    two, three = {words.topic: range(2, 3)}, {words.topic: range(3, 4)}
    async with words.producing(metadata_max_age_ms=200) as producer:

        async def grows() -> None:
            async with words.counting(partitions=two, metadata_seconds=0.2) as worker:
                await words.send(producer, 30, partition=0)
                await words.send(producer, 20, partition=1)
                await words.caught_up(worker, 30, 0)
                await words.caught_up(worker, 20, 1)
                await asyncio.to_thread(words.kafka.grow, words.topic, 3)
                await until(lambda: len(producer._metadata.partitions_for_topic(words.topic)) == 3)
                await words.send(producer, 10, partition=2)
                await until(lambda: ended(worker))

        with pytest.raises(ConfigError, match=rf"'topics\.partitions': topic '{words.topic}' has 3 partitions, not 2"):
            await grows()
        assert (await words.counted(3)).total() == 50
        with pytest.raises(ConfigError, match="has 3 partitions, not 2"):
            async with words.counting(partitions=two) as worker:
                await until(lambda: ended(worker))
        async with words.counting(partitions=three) as worker:
            await words.caught_up(worker, 10, 2)
            await words.send(producer, 5, partition=0)
            await words.caught_up(worker, 35, 0)
    assert await words.counted(3) == words.sent


async def test_a_topic_that_nobody_made_is_waited_for_and_named(
    words: Words, capsys: pytest.CaptureFixture[str]
) -> None:
    await words.make_internal()
    async with words.producing() as producer, words.counting(metadata_seconds=0.2) as worker:
        await until(lambda: "kafka" in worker.away)
        assert not worker.ready
        assert f"there is no topic '{words.topic}'" in capsys.readouterr().out
        await asyncio.to_thread(topics.create, words.kafka.address, [Topic(words.topic, 1)])
        await until(lambda: worker.ready)
        await words.send(producer, 10)
        await words.caught_up(worker, 10)
        assert not worker.away
    assert await words.counted() == words.sent

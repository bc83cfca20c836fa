"""The servers that demo and tests start."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from detector.errors import ConfigError, Unavailable
from detector.runtime import servers, topics
from detector.runtime.topics import Topic
from detector.stores import Commit
from detector.stores.redis import RedisStore


def test_redis_keeps_its_data_over_a_stop_and_over_a_kill(tmp_path: Path) -> None:
    async def commit(url: str) -> int:
        store = RedisStore(url)
        claim = await store.claim("accounts", 0)
        epoch = await store.commit("accounts", 0, claim.token, Commit(offset=1, rows={}, outbox=[]))
        await store.close()
        return epoch

    with servers.redis(tmp_path) as server:
        assert asyncio.run(commit(server.url)) == 1
        server.stop()
        server.start()
        assert asyncio.run(commit(server.url)) == 2
        server.kill()
        server.start()
        assert asyncio.run(commit(server.url)) == 3


def test_kafka_keeps_its_topics_over_a_stop_and_over_a_kill(tmp_path: Path) -> None:
    wanted = [Topic("requests", 3), Topic("accounts", 2, compacted=True)]
    with servers.kafka(tmp_path) as server:
        assert topics.create(server.address, wanted) == ["requests", "accounts"]
        server.stop()
        server.start()
        assert topics.create(server.address, wanted) == []
        server.kill()
        server.start()
        assert topics.create(server.address, wanted) == []


def test_only_the_topics_that_are_missing_are_created(kafka_server: servers.KafkaServer, own_name: str) -> None:
    first, second = Topic(f"{own_name}-a", 2), Topic(f"{own_name}-b", 1, large=True)
    assert topics.create(kafka_server.address, [first]) == [first.name]
    assert topics.create(kafka_server.address, [first, second]) == [second.name]


def test_a_topic_with_another_number_of_partitions_is_refused(kafka_server: servers.KafkaServer, own_name: str) -> None:
    topics.create(kafka_server.address, [Topic(own_name, 2)])
    with pytest.raises(ConfigError, match="has 2 partitions, not 3"):
        topics.create(kafka_server.address, [Topic(own_name, 3)])


def test_no_broker_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        topics.create(f"127.0.0.1:{servers.free_port()}", [Topic("a", 1)])


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="nonsense"):
        servers.redis(tmp_path, "--nonsense", "1").start()


def test_a_server_ends_with_whoever_started_it_even_when_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys; from detector.runtime import servers;"
        f"server = servers.redis(pathlib.Path({str(tmp_path)!r})); server.start();"
        "print(server.url, flush=True); os.kill(os.getpid(), 9)"
    )
    url = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False).stdout.strip()
    port = int(url.rsplit(":", 1)[1].split("/")[0])
    refused = False
    deadline = time.monotonic() + 30
    while not refused and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            refused = True
    assert refused


def test_the_mock_cluster_names_its_broker() -> None:
    with servers.mock_kafka() as address:
        assert int(address.split(":")[1])


def test_records_bear_the_brokers_time_whatever_the_clock_of_who_writes_them(
    kafka_server: servers.KafkaServer, own_name: str
) -> None:
    """By the producer's time one from years ago would be deleted at once, and one from tomorrow refused."""

    async def written(wrong_by_ms: int) -> int:
        producer = AIOKafkaProducer(bootstrap_servers=kafka_server.address)
        await producer.start()
        try:
            at_ms = int(time.time() * 1000) + wrong_by_ms
            return int((await producer.send_and_wait(own_name, b"x", timestamp_ms=at_ms)).timestamp)
        finally:
            await producer.stop()

    topics.create(kafka_server.address, [Topic(own_name, 1)])
    for wrong_by_ms in (-400 * 86_400_000, 86_400_000):
        assert abs(asyncio.run(written(wrong_by_ms)) - time.time() * 1000) < 60_000

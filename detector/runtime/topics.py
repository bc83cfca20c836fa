"""The Kafka topics: what each must be, and making those that are missing (kafka-python, synchronous: tools only).

Partition counts are an agreement between stages (an account's partition decides which worker
counts it), so a topic that exists with another count is reported and never changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from detector.config import Config
from detector.errors import ConfigError, Unavailable
from detector.runtime.access import reached
from detector.runtime.security import client_arguments

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""The largest record that we write: a step of a large partition, or a finding about 100,000 accounts, is some MB."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it must be. `large` lets its records grow to MAX_RECORD_BYTES."""

    name: str
    partitions: int
    compacted: bool = False
    large: bool = False
    retention_ms: int | None = None

    def settings(self) -> dict[str, str]:
        """Return its configuration in Kafka's words.

        Records bear the broker's time: with the producer's, a worker whose clock is a week slow writes
        records that retention deletes at once, and one whose clock is an hour fast is refused.
        """
        said = {"message.timestamp.type": "LogAppendTime"}
        if self.compacted:
            said["cleanup.policy"] = "compact"
        if self.large:
            said["max.message.bytes"] = str(MAX_RECORD_BYTES)
        if self.retention_ms is not None:
            said["retention.ms"] = str(self.retention_ms)
        return said


def create_all(config: Config) -> list[str]:
    """Create every topic of the configuration that is missing; return their names. Raises as `create`."""
    names = config.topics
    topics = [
        Topic(names.requests, names.partitions),
        Topic(names.findings, 1, large=True),
        Topic(names.verdicts, names.partitions, compacted=True),
        Topic(names.feedback, 1),
        Topic(names.dead_letters, 1),
        Topic(names.observations, names.link_partitions, large=True),
        Topic(names.candidates, 1, large=True),
    ]
    if names.accounts:
        topics.append(Topic(names.accounts, names.partitions, compacted=True))
    asyncio.run(reached(config.kafka))  # which tells why not, where kafka-python does not
    arguments = client_arguments(config.kafka)
    return create(config.kafka.brokers, topics, replication=names.replication, security=arguments)


def create(
    bootstrap: str, topics: Sequence[Topic], *, replication: int = -1, security: Mapping[str, object] | None = None
) -> list[str]:
    """Create the topics that are missing and return their names, once every partition has a leader.

    `replication` -1 takes the broker's default; `security` goes to kafka-python as it is. Raises
    ConfigError when a topic exists with another number of partitions, Unavailable without a broker.
    """
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=bootstrap.split(","), bootstrap_timeout_ms=10_000, **(security or {})
        )
        try:
            existing = {
                one["name"]: len(one["partitions"])
                for one in admin.describe_topics([topic.name for topic in topics])
                if not one["error_code"]
            }
            for topic in topics:
                found = existing.get(topic.name, topic.partitions)
                if found != topic.partitions:
                    raise ConfigError(f"topics.{topic.name}", f"has {found} partitions, not {topic.partitions}")
            missing = {
                topic.name: {
                    "num_partitions": topic.partitions,
                    "replication_factor": replication,
                    "configs": topic.settings(),
                }
                for topic in topics
                if topic.name not in existing
            }
            if missing:
                try:
                    admin.create_topics(missing, wait_for_metadata=True)
                except TopicAlreadyExistsError:  # another one was as fast
                    admin.wait_for_topics(list(missing))
            return list(missing)
        finally:
            admin.close()
    except KafkaError as error:
        raise Unavailable("kafka", str(error)) from error

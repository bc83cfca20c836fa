"""The Kafka topics: what each must be, and making those that are missing (kafka-python, synchronous: tools only).

Partition counts are an agreement between stages (an account's partition decides which worker
counts it), so a topic that exists with another count is reported and never changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from detector.config import Config, Kafka
from detector.errors import ConfigError, Unavailable
from detector.runtime.security import Security

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""The largest record of the internal topics: a step of a large partition is one record of some MB."""

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
_PROTOCOLS: Final[dict[str, Protocol]] = {
    "plaintext": "PLAINTEXT",
    "ssl": "SSL",
    "sasl_plaintext": "SASL_PLAINTEXT",
    "sasl_ssl": "SASL_SSL",
}
_INTERNAL_RETENTION_MS: Final = 7 * 86_400_000  # far beyond any outage that a worker is restarted after


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it must be. `large` lets its records grow to MAX_RECORD_BYTES."""

    name: str
    partitions: int
    compacted: bool = False
    large: bool = False
    retention_ms: int | None = None

    def settings(self) -> dict[str, str]:
        """Return its configuration in Kafka's words."""
        said: dict[str, str] = {"cleanup.policy": "compact"} if self.compacted else {}
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
        Topic(names.findings, 1),
        Topic(names.verdicts, names.partitions, compacted=True),
        Topic(names.feedback, 1),
        Topic(names.dead_letters, 1),
        Topic(names.observations, names.link_partitions, large=True),
        Topic(names.candidates, 1, large=True),
    ]
    if names.accounts:
        topics.append(Topic(names.accounts, names.partitions, compacted=True))
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


def wanted(config: Config) -> list[Topic]:
    """Return every topic that the detector reads or writes, as it must be."""
    names, partitions = config.topics, config.topics.partitions
    topics = [
        Topic(names.requests, partitions),
        Topic(names.findings, partitions),
        Topic(names.verdicts, partitions, compacted=True),
        Topic(names.feedback, partitions),
        Topic(names.dead_letters, partitions, large=True),
        Topic(names.observations, names.link_partitions, large=True, retention_ms=_INTERNAL_RETENTION_MS),
        Topic(names.candidates, 1, large=True, retention_ms=_INTERNAL_RETENTION_MS),
    ]
    return [*topics, Topic(names.accounts, partitions, compacted=True)] if names.accounts else topics


def create_all(config: Config) -> list[str]:
    """Create what is missing of `wanted`; returns and raises as `create` does."""
    security = security_of(config.kafka).kafka_python()
    return create(config.kafka.brokers, wanted(config), replication=config.topics.replication, security=security)


def security_of(kafka: Kafka) -> Security:
    """Return the settings of the broker as the clients need them."""
    return Security(
        protocol=_PROTOCOLS[kafka.security],
        mechanism=kafka.sasl_mechanism,
        username=kafka.sasl_username,
        password=kafka.sasl_password,
        ca_file=kafka.ca_file or None,
        certificate_file=kafka.cert_file or None,
        key_file=kafka.key_file or None,
    )

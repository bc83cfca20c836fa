"""The topics that the configuration asks for."""

from __future__ import annotations

from detector.config import load
from detector.runtime.topics import security_of, wanted


def test_every_configured_topic_is_made_with_its_partitions() -> None:
    config = load(None, {"DETECTOR_TOPICS_PARTITIONS": "12", "DETECTOR_TOPICS_LINK_PARTITIONS": "3"})
    topics = {topic.name: topic for topic in wanted(config)}
    assert topics["llm.requests.v1"].partitions == topics["llm.accounts.v1"].partitions == 12
    assert (topics["detector-observations"].partitions, topics["detector-candidates"].partitions) == (3, 1)
    assert {name for name, topic in topics.items() if topic.compacted} == {"llm.accounts.v1", "abuse.verdicts.v1"}
    assert {topic.name for topic in topics.values() if topic.retention_ms} == {
        "detector-observations",
        "detector-candidates",
    }


def test_no_account_topic_is_made_where_there_is_none() -> None:
    assert "" not in {topic.name for topic in wanted(load(None, {"DETECTOR_TOPICS_ACCOUNTS": ""}))}


def test_the_settings_of_the_broker_reach_the_clients() -> None:
    environ = {
        "DETECTOR_KAFKA_SECURITY": "sasl_plaintext",
        "DETECTOR_KAFKA_SASL_USERNAME": "me",
        "DETECTOR_KAFKA_SASL_PASSWORD": "secret",
    }
    arguments = security_of(load(None, environ).kafka).kafka_python()
    assert arguments["security_protocol"] == "SASL_PLAINTEXT"
    assert arguments["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (arguments["sasl_plain_username"], arguments["sasl_plain_password"]) == ("me", "secret")


"""`detector run` at the door of a Kafka with logins, TLS and rights: in with the least, out with a reason."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from kafka.admin import ACLOperation, ResourceType

from detector import config as configuration
from detector.config import Config
from detector.errors import ConfigError, Unavailable
from detector.runtime import access, topics
from detector.runtime.live import Service
from detector.runtime.security import client_arguments
from detector.runtime.servers import RedisServer
from detector.sinks import KafkaSink
from detector.stores import Message
from tests.runtime.serving import running
from tests.runtime.toy import ours
from tests.runtime.words import PATIENCE_SECONDS, until
from tests.servers import environment
from tests.servers.secured import MECHANISMS, PASSWORD, SecuredKafka
from tests.sinks.test_sinks import finding

pytestmark = pytest.mark.asyncio

READ, WRITE = ACLOperation.READ, ACLOperation.WRITE
ROLES = {
    "requests": (READ,),
    "accounts": (READ,),
    "observations": (READ, WRITE),
    "candidates": (READ, WRITE),
    "findings": (WRITE,),
    "verdicts": (WRITE,),
    "dead_letters": (WRITE,),
}
EACH_RIGHT = [(role, operation) for role, operations in ROLES.items() for operation in operations]
_users = itertools.count()


class Door:
    """A worker's settings on a Kafka whose users have no rights but those that they are given."""

    def __init__(self, kafka: SecuredKafka, redis: RedisServer, name: str) -> None:
        self.kafka, self.redis, self.name = kafka, redis, name

    def config(self, user: str = "", mechanism: str = "PLAIN", **more: str) -> Config:
        given = {
            **environment(self.name, self.kafka.secured, self.redis.url),
            "DETECTOR_TOPICS_PARTITIONS": "1",
            "DETECTOR_TOPICS_LINK_PARTITIONS": "1",
            "DETECTOR_VERDICTS_ENFORCE": "true",
            "DETECTOR_STREAM_IDLE_MS": "200",
            "DETECTOR_KAFKA_SECURITY": "sasl_ssl",
            "DETECTOR_KAFKA_CA_FILE": str(self.kafka.certificates.ca),
            "DETECTOR_KAFKA_SASL_USERNAME": user,
            "DETECTOR_KAFKA_SASL_PASSWORD": PASSWORD,
            "DETECTOR_KAFKA_SASL_MECHANISM": mechanism,
        }
        return configuration.load(None, {**given, **more})

    def operators(self) -> Config:
        plain = {"DETECTOR_KAFKA_SECURITY": "plaintext", "DETECTOR_KAFKA_BROKERS": self.kafka.address}
        return self.config("nobody", **plain)

    async def make(self, user: str, rights: Mapping[str, tuple[ACLOperation, ...]]) -> None:
        """Make the topics, and give the user these rights."""
        await asyncio.to_thread(topics.create_all, self.operators())
        await self.allow(user, rights)

    async def allow(
        self,
        user: str,
        rights: Mapping[str, tuple[ACLOperation, ...]],
        *,
        group: bool = True,
        transactions: bool = True,
    ) -> None:
        """Give the user these rights, and no others."""
        config = self.operators()
        wanted = {(ResourceType.TOPIC, getattr(config.topics, role)): given for role, given in rights.items()}
        if group:
            wanted[ResourceType.GROUP, config.kafka.group] = (READ,)
        if transactions:
            wanted[ResourceType.TRANSACTIONAL_ID, access.transactions(config.kafka)] = (WRITE,)
        await asyncio.to_thread(self.kafka.grant, user, wanted)


@pytest.fixture
def door(as_users_run_it: SecuredKafka, redis_server: RedisServer, own_name: str) -> Door:
    return Door(as_users_run_it, redis_server, own_name)


@pytest.fixture(scope="module")
def made(as_users_run_it: SecuredKafka, redis_server: RedisServer) -> Door:
    """One whose topics are there: for users who do not get as far as to use them."""
    door = Door(as_users_run_it, redis_server, "door")
    topics.create_all(door.operators())
    return door


@pytest.fixture
def user(as_users_run_it: SecuredKafka) -> str:
    """A user without rights, who logs in by PLAIN."""
    return f"user{next(_users)}"


async def published(config: Config, topic: str) -> bytes:
    """The first record of a topic, once it is there."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=config.kafka.brokers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        return bytes((await asyncio.wait_for(consumer.getone(), PATIENCE_SECONDS)).value)
    finally:
        await consumer.stop()


async def works(door: Door, config: Config) -> None:
    """Two steps of events go in, and observations and candidates of them come out."""
    async with running(config):
        producer = AIOKafkaProducer(bootstrap_servers=door.kafka.address)
        await producer.start()
        for step in range(3):
            event = {"id": str(step), "time_ms": 1_780_000_000_000 + step * 60_000, "account_id": "a", "model": "m"}
            await producer.send_and_wait(config.topics.requests, msgspec.json.encode(event))
        await producer.send_and_wait(config.topics.requests, b"{nonsense")
        await producer.stop()
        for topic in (config.topics.observations, config.topics.candidates, config.topics.dead_letters):
            assert await published(door.operators(), topic)


# -- in -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_with_a_login_over_tls_and_exactly_the_documented_rights_it_works(
    door: Door, user: str, mechanism: str
) -> None:
    if mechanism != "PLAIN":
        user = f"{mechanism.lower()}-user"
        await asyncio.to_thread(door.kafka.add_scram_user, user, mechanism)
    await door.make(user, ROLES)
    await works(door, door.config(user, mechanism))


async def test_with_a_certificate_of_its_own_it_works(door: Door) -> None:
    await door.make("CN=client", ROLES)
    files = door.kafka.certificates
    config = door.config(
        DETECTOR_KAFKA_BROKERS=door.kafka.mutual,
        DETECTOR_KAFKA_SECURITY="ssl",
        DETECTOR_KAFKA_CERT_FILE=str(files.certificate),
        DETECTOR_KAFKA_KEY_FILE=str(files.key),
    )
    await works(door, config)


async def test_the_rights_that_are_asked_for_are_those_of_the_documentation(door: Door) -> None:
    config = door.config("user0")
    assert access.needed(config) == {getattr(config.topics, role): given for role, given in ROLES.items()}
    less = door.config(
        "user0",
        DETECTOR_VERDICTS_ENFORCE="false",
        DETECTOR_SINKS_KAFKA="false",
        DETECTOR_TOPICS_ACCOUNTS="",
    )
    assert not access.needed(less).keys() & {config.topics.verdicts, config.topics.findings, config.topics.accounts, ""}


# -- out ------------------------------------------------------------------------------------------


async def refusal(config: Config) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        await Service(config).run()
    assert PASSWORD not in str(refused.value)
    return refused.value


@pytest.mark.parametrize(("role", "operation"), EACH_RIGHT)
async def test_without_any_one_right_it_does_not_start_and_names_the_topic_and_the_right(
    made: Door, user: str, role: str, operation: ACLOperation
) -> None:
    await made.allow(user, {**ROLES, role: tuple(one for one in ROLES[role] if one is not operation)})
    said = str(await refusal(made.config(user)))
    assert f"'{user}' may not {operation.name.capitalize()} topic '{made.name}-{role}';" in said


async def test_without_the_right_to_its_group_it_does_not_start_and_names_it(made: Door, user: str) -> None:
    await made.allow(user, ROLES, group=False)
    assert f"may not Read group '{made.name}'" in str(await refusal(made.config(user)))


async def test_without_the_right_to_its_transactions_it_does_not_start_and_names_them(made: Door, user: str) -> None:
    await made.allow(user, ROLES, transactions=False)
    assert f"may not Write transactional id '{made.name}-verdicts'" in str(await refusal(made.config(user)))


@pytest.mark.parametrize(
    ("setting", "more"),
    [
        ("kafka.sasl_password", {"DETECTOR_KAFKA_SASL_PASSWORD": "guessed"}),
        ("kafka.sasl_password", {"DETECTOR_KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"}),
        ("kafka.ca_file", {"DETECTOR_KAFKA_CA_FILE": ""}),
    ],
    ids=["wrong password", "no such user of this mechanism", "unknown CA"],
)
async def test_who_is_not_let_in_is_told_by_which_setting(
    made: Door, user: str, setting: str, more: dict[str, str]
) -> None:
    config = made.config(user, **more)
    assert (await refusal(config)).setting == setting
    with pytest.raises(ConfigError) as refused:
        await asyncio.to_thread(topics.create_all, config)
    assert refused.value.setting == setting


async def test_tls_where_there_is_none_and_none_where_there_is_are_told(made: Door, user: str) -> None:
    for security, broker in (("sasl_ssl", made.kafka.address), ("plaintext", made.kafka.secured)):
        config = made.config(user, DETECTOR_KAFKA_BROKERS=broker, DETECTOR_KAFKA_SECURITY=security)
        with pytest.raises(Unavailable, match=rf"{broker}: \w+Error.*kafka\.security is {security}"):
            await Service(config).run()


async def test_topics_that_nobody_made_are_told(door: Door, user: str) -> None:
    config = door.config(user)
    await door.allow(user, ROLES)
    with pytest.raises(Unavailable, match=rf"{config.topics.requests}.*detector topics create"):
        await Service(config).run()


async def test_a_broker_that_is_away_does_not_hide_the_one_that_lets_us_in(door: Door, user: str) -> None:
    config = door.config(user, DETECTOR_KAFKA_BROKERS=f"127.0.0.1:1,{door.kafka.secured}")
    await access.reached(config.kafka)


# -- rights that are taken away while it runs -------------------------------------------------------


async def test_a_right_to_read_that_is_taken_away_ends_the_worker_which_names_the_topic(door: Door, user: str) -> None:
    await door.make(user, ROLES)
    config = door.config(user)
    async with running(config) as (service, task):
        await until(lambda: service.worker.ready and service.worker.positions())
        await asyncio.to_thread(door.kafka.revoke, user, config.topics.requests, READ)
        with pytest.raises(ConfigError, match=rf"may not .* topic '{config.topics.requests}'"):
            await asyncio.wait_for(task, PATIENCE_SECONDS)


async def test_a_right_to_write_that_is_taken_away_is_waited_for_and_the_message_names_the_topic(
    door: Door, user: str
) -> None:
    await door.make(user, ROLES)
    config = door.config(user)
    service = Service(config)
    names = config.topics
    await service._kafka.start()
    for topic in (names.verdicts, names.findings):
        await asyncio.to_thread(door.kafka.revoke, user, topic, WRITE)

    async def publishes() -> None:
        while True:  # until it is taken away
            await service._kafka.publish([Message("verdicts", None, "a", b"{}")], ours)

    async def delivers() -> None:
        while True:
            await KafkaSink(service._kafka, names.findings).deliver([finding(0)])

    with pytest.raises(Unavailable, match=f"may not Write topic '{names.verdicts}'"):
        await publishes()
    with pytest.raises(Unavailable, match=f"may not Write topic '{names.findings}'"):
        await delivers()
    await service._kafka.stop()


async def test_client_arguments_name_no_password_of_a_plaintext_connection(door: Door) -> None:
    assert "sasl_plain_password" not in client_arguments(door.operators().kafka)

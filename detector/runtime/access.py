"""Whether Kafka lets us in and lets us do what we have to, asked before the first record is read.

aiokafka and kafka-python say "unable to bootstrap" whatever the reason, and a consumer without rights waits
in silence, which looks like a quiet stream. So the worker knocks first, and tells by which setting a broker
turned it away; where clients log in, it asks the broker which rights they have, and names every one that is
missing with its topic.

    role of the topic            Read    Write
    requests, accounts            ×
    observations, candidates      ×        ×
    findings, verdicts, dlq                ×      findings: with sinks.kafka; verdicts: with verdicts.enforce
    (group)                       ×
    (transactional id)                     ×      with verdicts.enforce

Rights are asked for through kafka-python, in a thread: aiokafka does not speak that part of the protocol. Whether
we may have transactions, who looks after them says.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiokafka import errors
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.conn import collect_hosts, create_conn
from kafka import KafkaAdminClient
from kafka.admin import ACLOperation
from kafka.errors import CoordinatorNotAvailableError, GroupAuthorizationFailedError, KafkaError

from detector.config import Config, Kafka
from detector.errors import ConfigError, DetectorError, Unavailable
from detector.runtime.security import client_arguments

_READ: Final = ACLOperation.READ
_WRITE: Final = ACLOperation.WRITE
_UNKNOWN_TOPIC: Final = 3
_COORDINATOR_SECONDS: Final = 15.0
_RETRY_SECONDS: Final = 0.25
GUIDE: Final = "deploy/README.md lists the rights that are needed"


async def checked(config: Config) -> None:
    """Return when a broker lets us in with every right; raise ConfigError or Unavailable, which say why not."""
    await reached(config.kafka)
    if config.kafka.security != "plaintext":
        await asyncio.to_thread(_rights_checked, config)
    if config.verdicts.enforce:
        await _transactions_checked(config.kafka)


def transactions(kafka: Kafka) -> str:
    """Return the transactional id under which the workers of a group write verdicts (see publisher.py)."""
    return f"{kafka.group}-verdicts"


async def reached(kafka: Kafka) -> None:
    """Return when one of the brokers lets us in; raise ConfigError when one turned us away, else Unavailable."""
    arguments = client_arguments(kafka)
    away: list[str] = []
    refused: ConfigError | None = None
    for host, port, _ in collect_hosts(kafka.brokers):
        broker = f"{host}:{port}"
        try:
            connection = await create_conn(host, port, request_timeout_ms=10_000, **arguments)
        except (errors.KafkaError, OSError, TimeoutError) as error:
            refused = refused or _refusal(kafka, broker, error)
            away.append(f"{broker}: {type(error).__name__} {error}".strip())
        else:
            connection.close()
            return
    raise refused or Unavailable("kafka", f"{'; '.join(away)} (kafka.security is {kafka.security})")


def needed(config: Config) -> dict[str, tuple[ACLOperation, ...]]:
    """Return the operations on each topic that a worker with this configuration must be allowed."""
    names = config.topics
    wanted: dict[str, tuple[ACLOperation, ...]] = {
        names.requests: (_READ,),
        names.observations: (_READ, _WRITE),
        names.candidates: (_READ, _WRITE),
        names.dead_letters: (_WRITE,),
    }
    if names.accounts:
        wanted[names.accounts] = (_READ,)
    if config.sinks.kafka:
        wanted[names.findings] = (_WRITE,)
    if config.verdicts.enforce:
        wanted[names.verdicts] = (_WRITE,)
    return wanted


def explained(error: BaseException | None, topics: Iterable[str]) -> DetectorError:
    """Return what an error of aiokafka means for who runs the worker; `topics` are those that it reads."""
    if isinstance(error, errors.UnsupportedCodecError):
        codec = re.search(r"for (\w+) compression", str(error))
        return ConfigError(
            "topics",
            f"records of {' or '.join(sorted(topics))} are compressed with {codec[1] if codec else 'a codec'}, which "
            "is not installed here: pip install 'detector[compression]'",
        )
    if isinstance(error, errors.TopicAuthorizationFailedError):
        return ConfigError("kafka.sasl_username", f"may not use topic {named(error)}; {GUIDE}")
    if isinstance(error, errors.GroupAuthorizationFailedError):
        return ConfigError("kafka.sasl_username", f"may not Read group {named(error)}; {GUIDE}")
    return Unavailable("kafka", f"{type(error).__name__} {error}")


def named(error: errors.KafkaError) -> str:
    """Return the topics or the group that a refusal is about."""
    names = [name for one in error.args for name in ([one] if isinstance(one, str) else one)]
    return " and ".join(repr(name) for name in sorted(names))


def _refusal(kafka: Kafka, broker: str, error: Exception) -> ConfigError | None:
    """Return which setting a broker turned us away by; None when it is just not there."""
    if isinstance(error, errors.SaslAuthenticationFailed | errors.AuthenticationFailedError):
        who = f"{kafka.sasl_username!r} by {kafka.sasl_mechanism}"
        return ConfigError("kafka.sasl_password", f"{broker} does not let {who} in: {error}")
    if isinstance(error, errors.UnsupportedSaslMechanismError):
        return ConfigError("kafka.sasl_mechanism", f"{broker} does not know {kafka.sasl_mechanism}: {error}")
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConfigError("kafka.ca_file", f"the certificate of {broker} is not trusted: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return ConfigError("kafka.security", f"{kafka.security}, but {broker} does not speak TLS so: {error.reason}")
    return None


def _rights_checked(config: Config) -> None:
    kafka, wanted = config.kafka, needed(config)
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=kafka.brokers.split(","), bootstrap_timeout_ms=10_000, **client_arguments(kafka)
        )
        try:
            topics = {one["name"]: one for one in admin.describe_topics(list(wanted))}
            lacking = [
                f"{operation.name.capitalize()} topic {name!r}"
                for name, operations in wanted.items()
                for operation in operations
                if not _allowed(topics[name], operation)
            ]
            if not _group_allowed(admin, kafka.group):
                lacking.append(f"Read group {kafka.group!r}")
        finally:
            admin.close()
    except KafkaError as error:
        raise Unavailable("kafka", str(error)) from error
    if lacking:
        who = repr(kafka.sasl_username) if kafka.sasl_username else "this client"
        raise ConfigError("kafka.sasl_username", f"{who} may not {', '.join(lacking)}; {GUIDE}")
    missing = [name for name, one in topics.items() if one["error_code"] == _UNKNOWN_TOPIC]
    if missing:
        raise Unavailable("kafka", f"there is no topic {', '.join(missing)}: run `detector topics create`")


async def _transactions_checked(kafka: Kafka) -> None:
    client = AIOKafkaClient(bootstrap_servers=kafka.brokers, **client_arguments(kafka))
    try:
        async with asyncio.timeout(_COORDINATOR_SECONDS):
            await client.bootstrap()
            while True:  # a cluster that never had a transaction makes the topic of them now
                try:
                    await client.coordinator_lookup(CoordinationType.TRANSACTION, transactions(kafka))
                except errors.CoordinatorNotAvailableError:
                    await asyncio.sleep(_RETRY_SECONDS)
                else:
                    return
    except errors.TransactionalIdAuthorizationFailed as error:
        who = repr(kafka.sasl_username) if kafka.sasl_username else "this client"
        said = f"{who} may not Write transactional id {transactions(kafka)!r}; {GUIDE}"
        raise ConfigError("kafka.sasl_username", said) from error
    except TimeoutError as error:
        said = "no broker looks after transactions, which verdicts need: with fewer than three brokers, "
        said += "transaction.state.log.replication.factor and .min.isr must be smaller than Kafka's defaults"
        raise Unavailable("kafka", said) from error
    except errors.KafkaError as error:
        raise Unavailable("kafka", f"{type(error).__name__} {error}") from error
    finally:
        await client.close()


def _allowed(topic: Mapping[str, Any], operation: ACLOperation) -> bool:
    if topic["error_code"]:
        return bool(topic["error_code"] == _UNKNOWN_TOPIC)
    told = topic.get("authorized_operations")
    return not told or operation.name in told  # a broker without rights of its own tells none


def _group_allowed(admin: Any, group: str) -> bool:
    try:
        told = admin.describe_groups([group])[group]
    except GroupAuthorizationFailedError:
        return False
    except CoordinatorNotAvailableError:  # no group was ever here
        return True
    return not told["authorized_operations"] or _READ.name in told["authorized_operations"]  # none of a new group

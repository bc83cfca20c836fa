"""Findings on a Kafka topic, keyed by what they are about, so that the updates of one stay in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from aiokafka.errors import KafkaError, MessageSizeTooLargeError, TopicAuthorizationFailedError

from detector.errors import Unavailable
from detector.finding import Finding, encode


class Producer(Protocol):
    """What is used of `aiokafka.AIOKafkaProducer`, which its owner starts and stops (idempotent, acks=all)."""

    def send(self, topic: str, value: bytes, key: bytes) -> Awaitable[Awaitable[Any]]:
        """Queue the record; the inner awaitable is done when the broker has it."""


class KafkaSink:
    """Publishes to one topic."""

    name = "kafka"

    def __init__(self, producer: Producer, topic: str) -> None:
        """Use a producer that is already started."""
        self._producer = producer
        self._topic = topic

    async def deliver(self, findings: Sequence[Finding]) -> None:
        try:
            sent = [await self._producer.send(self._topic, encode(f), f.subject.encode()) for f in findings]
            await asyncio.gather(*sent)
        except TopicAuthorizationFailedError as error:
            raise Unavailable("kafka", f"may not Write topic {self._topic!r}") from error
        except MessageSizeTooLargeError as error:
            largest = max(len(encode(finding)) for finding in findings)
            said = f"a finding of {largest:,} bytes is too large for topic {self._topic!r}: raise its max.message.bytes"
            raise Unavailable("kafka", said) from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unavailable("kafka", type(error).__name__) from error

    async def close(self) -> None:
        """Leave the producer to its owner."""

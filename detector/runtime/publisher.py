"""Where a worker publishes: aiokafka's producer, acknowledged by all replicas, idempotent, in order.

A producer whose delivery failed may have lost its place in the sequence, so it is thrown away and
the next publication starts another one. What was published in part is published again, whole:
its readers ignore a step (or a finding's seq) that they have seen.

Whoever else waits for that producer is told at once. aiokafka would leave some waiting for ever (a closed
client answers nobody who waits for metadata), and an idempotent producer never gives up: left to itself
it would deliver what has been published anew since, in its own time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, TopicAuthorizationFailedError

from detector.errors import Unavailable
from detector.runtime.access import GUIDE, named
from detector.runtime.holding import DeadLetter
from detector.runtime.topics import MAX_RECORD_BYTES
from detector.stores import Message

_REQUEST_TIMEOUT_MS: Final = 10_000
_START_SECONDS: Final = 15.0
_STOP_SECONDS: Final = 3.0
_MOST_KEY_BYTES: Final = 1024  # of a dead letter; an account id has 128
_LETTERS_AT_ONCE: Final = 1_000  # a fetch may be two million lines of one character, each a letter with headers


class KafkaPublisher:
    """`holding.Publisher` on Kafka; `names` gives the topic of each role, `dead_letters` among them."""

    def __init__(
        self,
        brokers: str,
        names: Mapping[str, str],
        security: Mapping[str, Any] | None = None,
        most_letter_bytes: int = 950_000,
    ) -> None:
        self._settings = {"bootstrap_servers": brokers, **(security or {})}
        self._names = dict(names)
        self._most_letter_bytes = most_letter_bytes
        self._producer: tuple[Any, asyncio.Future[None]] | None = None  # and what is done when it breaks
        self._starting = asyncio.Lock()
        self._endings: set[asyncio.Future[None]] = set()

    async def start(self) -> None:
        """Connect; raise Unavailable without a broker."""
        await self._started()

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return when the broker has all of them, in this order per topic partition."""
        records: list[dict[str, Any]] = [
            {
                "topic": self._names[message.topic],
                "partition": message.partition,
                "key": message.key.encode("utf-8", "surrogatepass"),
                "value": message.value,
            }
            for message in messages
        ]
        await self._send(records)

    async def dead_letter(self, letters: Sequence[DeadLetter]) -> None:
        """Return when the dead-letter topic has all of them, cut where they are too long for it."""
        for first in range(0, len(letters), _LETTERS_AT_ONCE):
            await self._send(self._letters(letters[first : first + _LETTERS_AT_ONCE]))

    def _letters(self, letters: Sequence[DeadLetter]) -> list[dict[str, Any]]:
        most = self._most_letter_bytes
        return [
            {
                "topic": self._names["dead_letters"],
                "key": letter.key and letter.key[:_MOST_KEY_BYTES],
                "value": letter.value[:most],
                "headers": [
                    ("reason", letter.reason.encode()),
                    ("source-topic", letter.topic.encode()),
                    ("source-partition", str(letter.partition).encode()),
                    ("source-offset", str(letter.offset).encode()),
                    *([("source-line", str(letter.line).encode())] if letter.line else []),
                    *([("length", str(len(letter.value)).encode())] if len(letter.value) > most else []),
                ],
            }
            for letter in letters
        ]

    async def stop(self) -> None:
        """Disconnect, soon: whatever is not acknowledged is in an outbox."""
        if self._producer is not None:
            self._broke(self._producer[0])
        await asyncio.gather(*self._endings)

    async def send(self, topic: str, value: bytes, key: bytes) -> Awaitable[Any]:
        """Queue a record for a topic by its name: the producer of `sinks.KafkaSink`."""
        return await self._queued({"topic": topic, "value": value, "key": key})

    async def _send(self, records: Sequence[dict[str, Any]]) -> None:
        try:
            await asyncio.gather(*[await self._queued(record) for record in records])
        except TopicAuthorizationFailedError as error:
            raise Unavailable("kafka", f"may not Write topic {named(error)}; {GUIDE}") from error
        except MessageSizeTooLargeError as error:
            largest = max(records, key=lambda record: len(record["value"] or b""))
            said = f"a record of {len(largest['value']):,} bytes is too large for topic {largest['topic']!r}"
            raise Unavailable("kafka", f"{said}: set its max.message.bytes to {MAX_RECORD_BYTES}") from error
        except KafkaError as error:
            raise Unavailable("kafka", f"{type(error).__name__} {error}") from error

    async def _queued(self, record: dict[str, Any]) -> asyncio.Future[Any]:
        producer, broken = await self._started()
        queueing = asyncio.ensure_future(producer.send(**record))
        try:
            await asyncio.wait({queueing, broken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not queueing.done():
                queueing.cancel()
        if not queueing.done():
            raise KafkaError("the producer broke")
        try:
            sent: asyncio.Future[Any] = queueing.result()
        except KafkaError:
            self._broke(producer)
            raise
        sent.add_done_callback(
            lambda done: self._broke(producer) if not done.cancelled() and done.exception() else None
        )
        return sent

    def _broke(self, producer: Any) -> None:
        if self._producer is not None and producer is self._producer[0]:
            self._producer[1].set_result(None)
            self._producer = None
            ending = asyncio.ensure_future(_ended(producer))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    async def _started(self) -> tuple[Any, asyncio.Future[None]]:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=0,
                    max_batch_size=1 << 18,
                    max_request_size=MAX_RECORD_BYTES,
                    request_timeout_ms=_REQUEST_TIMEOUT_MS,
                    **self._settings,
                )
                try:
                    await asyncio.wait_for(producer.start(), _START_SECONDS)
                except (KafkaError, OSError, TimeoutError) as error:
                    await _ended(producer)
                    raise Unavailable("kafka", str(error) or type(error).__name__) from error
                self._producer = producer, asyncio.get_running_loop().create_future()
            return self._producer


async def _ended(producer: Any) -> None:
    """Fail what is under way, and let go of everything, also when that cannot be done in order."""
    producer._message_accumulator.fail_all(KafkaError("the producer broke"))  # noqa: SLF001  # `stop` would deliver it
    with contextlib.suppress(KafkaError, TimeoutError):
        await asyncio.wait_for(producer.stop(), _STOP_SECONDS)
    with contextlib.suppress(KafkaError, OSError):
        await producer.client.close()

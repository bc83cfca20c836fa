"""Where a worker publishes: aiokafka's producer, acknowledged by all replicas, idempotent, in order.

A producer whose delivery failed may have lost its place in the sequence, so it is thrown away and
the next publication starts another one. What was published in part is published again, whole:
its readers ignore a step (or a finding's seq) that they have seen.

Whoever else waits for that producer is told at once. aiokafka would leave some waiting for ever (a closed
client answers nobody who waits for metadata), and an idempotent producer never gives up: left to itself
it would deliver what has been published anew since, in its own time.

What hung in the network meanwhile may still arrive, after what was published since. A verdict has no number by
which a reader would know, and of each account the topic keeps the one that came last. So verdicts are written in
transactions, under one id for the whole group, by whose epochs the broker shuts out every producer but the one
that was opened last:

    open (shuts out who was there) ─► is the partition still ours? ─► transaction ─► transaction ─► …

The question comes after the opening: an owner who slept, and opens one when it wakes, has shut out the new owner,
hears that it is not the owner, and writes nothing; the new owner opens again. So a verdict of a later owner, or of a
later commit, is never followed by one from before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    IllegalOperation,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from detector.errors import Unavailable
from detector.runtime.access import GUIDE, named
from detector.runtime.holding import DeadLetter
from detector.runtime.topics import MAX_RECORD_BYTES
from detector.stores import Message

_REQUEST_TIMEOUT_MS: Final = 10_000
_TRANSACTION_TIMEOUT_MS: Final = 30_000  # then the broker ends one whose worker died; the next owner does so at once
_START_SECONDS: Final = 15.0
_DELIVERY_SECONDS: Final = 60.0  # of one publication; an idempotent producer never gives up by itself
_STOP_SECONDS: Final = 3.0
_MOST_KEY_BYTES: Final = 1024  # of a dead letter; an account id has 128
_LETTERS_AT_ONCE: Final = 1_000  # a fetch may be two million lines of one character, each a letter with headers
_LAST_ONE_HOLDS: Final = "verdicts"
"""The role of the topic of which readers keep the last record of each key."""


class KafkaPublisher:
    """`holding.Publisher` on Kafka; `names` gives the topic of each role, `dead_letters` among them.

    `transactions` is the id under which verdicts are written, the same for all workers of a group, because they are
    the matter of one stage with one partition; None: nobody is shut out.
    """

    def __init__(
        self,
        brokers: str,
        names: Mapping[str, str],
        security: Mapping[str, Any] | None = None,
        most_letter_bytes: int = 950_000,
        transactions: str | None = None,
    ) -> None:
        settings = {"bootstrap_servers": brokers, **(security or {})}
        self._line = _Line(settings)
        self._transactions = transactions
        self._fenced = _Line(
            {**settings, "transactional_id": transactions, "transaction_timeout_ms": _TRANSACTION_TIMEOUT_MS}
        )
        self._ours: Any = None  # the producer since whose opening the partition is known to be ours
        self._transacting = asyncio.Lock()
        self._names = dict(names)
        self._most_letter_bytes = most_letter_bytes

    async def start(self) -> None:
        """Connect; raise Unavailable without a broker. Whoever publishes verdicts now is not shut out by this."""
        await self._line.started()

    async def publish(self, messages: Sequence[Message], owned: Callable[[], Awaitable[None]]) -> None:
        """Return when the broker has all of them, in this order per topic partition.

        `owned` raises Fenced when the partition that they come from is another worker's by now.
        """
        last: list[dict[str, Any]] = []
        others: list[dict[str, Any]] = []
        for message in messages:
            (last if message.topic == _LAST_ONE_HOLDS and self._transactions else others).append(
                {
                    "topic": self._names[message.topic],
                    "partition": message.partition,
                    "key": message.key.encode("utf-8", "surrogatepass"),
                    "value": message.value,
                }
            )
        await self._send(others)
        if last:
            await self._transact(last, owned)

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
        await asyncio.gather(self._line.stop(), self._fenced.stop())

    async def send(self, topic: str, value: bytes, key: bytes) -> Awaitable[Any]:
        """Queue a record for a topic by its name: the producer of `sinks.KafkaSink`."""
        return await self._line.queued({"topic": topic, "value": value, "key": key})

    async def _send(self, records: Sequence[dict[str, Any]]) -> None:
        with _told(records):
            producer, broken = await self._line.started()
            try:
                async with asyncio.timeout(_DELIVERY_SECONDS):
                    await asyncio.gather(*[await self._line.sent(record, producer, broken) for record in records])
            except TimeoutError:
                self._line.broke(producer)
                raise

    async def _transact(self, records: Sequence[dict[str, Any]], owned: Callable[[], Awaitable[None]]) -> None:
        async with self._transacting:
            producer, broken = await self._fenced.started()
            if producer is not self._ours:
                await owned()
                self._ours = producer
            try:
                with _told(records):
                    with _possible():
                        await producer.begin_transaction()
                    producer._txn_manager.wait_for_transaction_end().add_done_callback(_heard)  # noqa: SLF001
                    async with asyncio.timeout(_DELIVERY_SECONDS):
                        await asyncio.gather(*[await self._fenced.sent(record, producer, broken) for record in records])
                        with _possible():
                            await _unless(broken, producer.commit_transaction())
            except BaseException:
                self._fenced.broke(producer)  # and the next one that is opened aborts what this one began
                raise


class _Line:
    """A producer with these settings, and another one when it broke."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)
        self._producer: tuple[Any, asyncio.Future[None]] | None = None  # and what is done when it breaks
        self._starting = asyncio.Lock()
        self._endings: set[asyncio.Future[None]] = set()

    async def stop(self) -> None:
        if self._producer is not None:
            self.broke(self._producer[0])
        await asyncio.gather(*self._endings)

    async def queued(self, record: dict[str, Any]) -> asyncio.Future[Any]:
        return await self.sent(record, *await self.started())

    async def sent(self, record: dict[str, Any], producer: Any, broken: asyncio.Future[None]) -> asyncio.Future[Any]:
        """Queue it with this producer, which may be the one of before: a transaction is one producer's."""
        try:
            with _possible():
                sent: asyncio.Future[Any] = await _unless(broken, producer.send(**record))
        except KafkaError:
            self.broke(producer)
            raise
        sent.add_done_callback(lambda done: self.broke(producer) if not done.cancelled() and done.exception() else None)
        return sent

    def broke(self, producer: Any) -> None:
        if self._producer is not None and producer is self._producer[0]:
            self._producer[1].set_result(None)
            self._producer = None
            ending = asyncio.ensure_future(_ended(producer))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    async def started(self) -> tuple[Any, asyncio.Future[None]]:
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
                    with _told():
                        await asyncio.wait_for(producer.start(), _START_SECONDS)
                except Unavailable:
                    await _ended(producer)
                    raise
                self._producer = producer, asyncio.get_running_loop().create_future()
            return self._producer


async def _unless(broken: asyncio.Future[None], work: Awaitable[Any]) -> Any:
    """Return what the work returns; raise KafkaError when the producer breaks before."""
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait({working, broken}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not working.done():
            working.cancel()
    if not working.done():
        raise KafkaError("the producer broke")
    return working.result()


@contextlib.contextmanager
def _told(records: Sequence[Mapping[str, Any]] = ()) -> Iterator[None]:
    """Turn what Kafka says into Unavailable."""
    try:
        yield
    except TopicAuthorizationFailedError as error:
        raise Unavailable("kafka", f"may not Write topic {named(error)}; {GUIDE}") from error
    except TransactionalIdAuthorizationFailed as error:
        raise Unavailable("kafka", f"may not Write transactional id {named(error)}; {GUIDE}") from error
    except MessageSizeTooLargeError as error:
        largest = max(records, key=lambda record: len(record["value"] or b""))
        said = f"a record of {len(largest['value']):,} bytes is too large for topic {largest['topic']!r}"
        raise Unavailable("kafka", f"{said}: set its max.message.bytes to {MAX_RECORD_BYTES}") from error
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable("kafka", f"{type(error).__name__} {error}".strip()) from error


@contextlib.contextmanager
def _possible() -> Iterator[None]:
    """Turn what aiokafka says where a transaction may not begin, go on or commit now into KafkaError.

    That is the broker's doing: another producer was opened, so its sender has ended, and told nobody.
    """
    try:
        yield
    except (AssertionError, IllegalOperation) as error:
        raise KafkaError(str(error)) from error


def _heard(done: asyncio.Future[Any]) -> None:
    """Let asyncio know that nobody else has to hear of this failure: the futures of the records tell it."""
    if not done.cancelled():
        done.exception()


async def _ended(producer: Any) -> None:
    """Fail what is under way, and let go of everything, also when that cannot be done in order."""
    accumulator = producer._message_accumulator  # noqa: SLF001
    accumulator.fail_all(KafkaError("the producer broke"))  # `stop` would deliver it
    for batches in accumulator._batches.values():  # noqa: SLF001
        for batch in batches:
            batch._drain_waiter.add_done_callback(_heard)  # noqa: SLF001
    with contextlib.suppress(KafkaError, TimeoutError):
        await asyncio.wait_for(producer.stop(), _STOP_SECONDS)
    with contextlib.suppress(KafkaError, OSError):
        await producer.client.close()

"""Simulated traffic into Kafka, at the pace of a clock that may run faster than ours.

    simulation ─┬► account records, all at once ───────────────────────► accounts topic
                └► lines ─► one record per event, keyed by its account ─► requests topic

It sends what a gateway would send, the way a gateway sends it. Event time is the simulation's own;
`speed` says how many of its seconds pass in one of ours. An event is sent when its *arrival* has
come, so late events come late here too. Account records may go ahead: each takes effect at its own
event time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from detector.errors import Unavailable
from detector.simulate import Simulation

SLOT_S: Final = 0.25
"""Events of so long on our clock are sent together."""
_CHUNK_EVENTS: Final = 500


class _Head(msgspec.Struct):
    account_id: str
    time_ms: int


_head = msgspec.json.Decoder(_Head)


@dataclass(frozen=True, slots=True)
class Slot:
    """What is sent together: (account id, line) of each event, and the event time that it brings us to."""

    events: list[tuple[bytes, bytes]]
    time_ms: int


def slots(simulation: Simulation, width_ms: int) -> Iterator[Slot]:
    """Cut the simulation into slots of `width_ms` of event time; those in which nothing happens too.

    A line belongs to the slot of the newest time that was seen up to it: the stream is in order of arrival.
    """
    end_ms = simulation.begin_ms + width_ms
    events: list[tuple[bytes, bytes]] = []
    for chunk in simulation.chunks(_CHUNK_EVENTS):
        for line in chunk:
            head = _head.decode(line)
            while head.time_ms >= end_ms:
                yield Slot(events, end_ms)
                events = []
                end_ms += width_ms
            events.append((head.account_id.encode(), line))
    yield Slot(events, end_ms)


async def tell_accounts(
    simulation: Simulation, *, brokers: str, topic: str, security: Mapping[str, Any] | None = None
) -> int:
    """Send every account record and return their number; raise Unavailable without a broker."""
    async with _producer(brokers, security) as producer:
        for record in simulation.accounts:
            await producer.send(topic, msgspec.json.encode(record), key=record.account_id.encode())
    return len(simulation.accounts)


async def send(
    simulation: Simulation,
    *,
    brokers: str,
    topic: str,
    speed: float,
    slot_s: float = SLOT_S,
    sent: Callable[[int, int], None] | None = None,
    security: Mapping[str, Any] | None = None,
) -> int:
    """Send all events and return their number; raise Unavailable when the broker goes away.

    `sent` is told after each slot: events so far, event time. A broker that cannot keep up slows the
    simulated clock down; nothing is left out.
    """
    total = 0
    async with _producer(brokers, security) as producer:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for slot in slots(simulation, max(1, int(slot_s * 1000 * speed))):
            for key, value in slot.events:
                await producer.send(topic, value, key=key)
            total += len(slot.events)
            if sent is not None:
                sent(total, slot.time_ms)
            due = max(due + slot_s, loop.time())
            await asyncio.sleep(due - loop.time())
    return total


@contextlib.asynccontextmanager
async def _producer(brokers: str, security: Mapping[str, Any] | None) -> AsyncIterator[AIOKafkaProducer]:
    """Yield a producer; leaving waits until the broker has everything, except after an error."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers, linger_ms=50, max_batch_size=512 * 1024, **(security or {}))
    try:
        await producer.start()
        yield producer
        await producer.flush()
    except KafkaError as error:
        raise Unavailable("kafka", str(error)) from error
    finally:
        await producer.stop()

"""Simulated traffic into Kafka, at the pace of a clock that may run faster than ours.

    simulation ─┬► lines ─► one record per event, keyed by its account ─► requests topic
                └► account records, when their event time has come ─────► accounts topic

It sends what a gateway would send, the way a gateway sends it. Event time is the simulation's own;
`speed` says how many of its seconds pass in one of ours. An event is sent when its *arrival* has
come, so late events come late here too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from detector.account import AccountRecord
from detector.errors import Unavailable
from detector.simulate import Simulation

SLOT_S: Final = 0.1
"""Events of so long on our clock are sent together."""
_CHUNK_EVENTS: Final = 500


class _Head(msgspec.Struct):
    account_id: str
    time_ms: int


_head = msgspec.json.Decoder(_Head)


@dataclass(frozen=True, slots=True)
class Slot:
    """What is sent together: (account id, line) of events, account records, and the event time it brings us to."""

    events: list[tuple[bytes, bytes]]
    records: list[tuple[bytes, bytes]]
    time_ms: int


def slots(simulation: Simulation, width_ms: int) -> Iterator[Slot]:
    """Cut the simulation into slots of `width_ms` of event time; those in which nothing happens too.

    A line belongs to the slot of the newest time that was seen up to it: the stream is in order of arrival.
    """
    records = iter([*simulation.accounts, None])
    record = next(records)
    end_ms = simulation.begin_ms + width_ms
    events: list[tuple[bytes, bytes]] = []

    def due() -> list[tuple[bytes, bytes]]:
        nonlocal record
        known = []
        while record is not None and record.effective_ms < end_ms:
            known.append((record.account_id.encode(), _encoded(record)))
            record = next(records)
        return known

    for chunk in simulation.chunks(_CHUNK_EVENTS):
        for line in chunk:
            head = _head.decode(line)
            while head.time_ms >= end_ms:
                yield Slot(events, due(), end_ms)
                events = []
                end_ms += width_ms
            events.append((head.account_id.encode(), line))
    yield Slot(events, due(), end_ms)


def _encoded(record: AccountRecord) -> bytes:
    return msgspec.json.encode(record)


async def send(
    simulation: Simulation,
    *,
    brokers: str,
    requests: str,
    accounts: str,
    speed: float,
    sent: Callable[[int, int], None] | None = None,
) -> int:
    """Send the whole simulation and return the number of events; raise Unavailable when the broker goes away.

    `accounts` empty: there is no such topic. `sent` is told after each slot: events so far, event time.
    A broker that cannot keep up slows the simulated clock down; nothing is left out.
    """
    producer = AIOKafkaProducer(bootstrap_servers=brokers, linger_ms=5, max_batch_size=128 * 1024)
    try:
        await producer.start()
    except KafkaError as error:
        raise Unavailable("kafka", str(error)) from error
    loop = asyncio.get_running_loop()
    total = 0
    try:
        due = loop.time()
        for slot in slots(simulation, max(1, int(SLOT_S * 1000 * speed))):
            if accounts:
                for key, value in slot.records:
                    await producer.send(accounts, value, key=key)
            for key, value in slot.events:
                await producer.send(requests, value, key=key)
            total += len(slot.events)
            if sent is not None:
                sent(total, slot.time_ms)
            due += SLOT_S
            behind = loop.time() - due
            due += max(0.0, behind)
            await asyncio.sleep(max(0.0, -behind))
        await producer.flush()
    except KafkaError as error:
        raise Unavailable("kafka", str(error)) from error
    finally:
        await producer.stop()
    return total

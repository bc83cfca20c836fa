"""What a worker publishes while its connection, or it itself, is held up: nothing of it comes after what is newer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from detector.errors import Fenced, Unavailable
from detector.runtime import publisher as publisher_module
from detector.runtime import servers, topics
from detector.runtime.publisher import KafkaPublisher
from detector.runtime.topics import Topic
from detector.stores import Message
from tests.chaos.members import Broker
from tests.chaos.proxy import Proxy
from tests.runtime.toy import ours

pytestmark = [pytest.mark.asyncio, pytest.mark.chaos]

FIRST, OLD, NEW = (Message("verdicts", 0, "account", value) for value in (b"the first", b"the older", b"the newer"))


class Door:
    """A broker, a proxy before it, and who publishes through the proxy and past it."""

    def __init__(self, folder: Path) -> None:
        listen, call = servers.free_port(), servers.free_port()
        self.broker = Broker(folder, [(listen, call)])
        self.listen, self.call = listen, call
        self.proxy = Proxy(call, listen)

    def publisher(self, topic: str, *, held: bool = False, transactions: bool = True) -> KafkaPublisher:
        address = f"127.0.0.1:{self.call}" if held else self.broker.address
        return KafkaPublisher(address, {"verdicts": topic}, transactions=topic if transactions else None)

    async def told(self, topic: str) -> list[bytes | None]:
        """Every value in the topic, also of transactions that came to nothing."""
        reader = AIOKafkaConsumer(bootstrap_servers=self.broker.address, enable_auto_commit=False)
        await reader.start()
        try:
            place, found = TopicPartition(topic, 0), []
            reader.assign([place])
            await reader.seek_to_beginning()
            end = (await reader.end_offsets([place]))[place]
            while await reader.position(place) < end:
                found += [record.value for record in (await reader.getmany(timeout_ms=200)).get(place, [])]
            return found
        finally:
            await reader.stop()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    door = Door(tmp_path_factory.mktemp("kafka"))
    with door.broker:
        yield door


@asynccontextmanager
async def opened(door: Door, topic: str) -> AsyncIterator[Door]:
    topics.create(door.broker.address, [Topic(topic, 1)])
    door.proxy = Proxy(door.call, door.listen)
    await door.proxy.start()
    try:
        yield door
    finally:
        await door.proxy.stop()


@pytest.mark.parametrize("transactions", [True, False])
async def test_what_a_last_owner_has_in_the_network_does_not_come_after_what_the_next_one_says(
    broker: Door, *, transactions: bool
) -> None:
    """Without transactions it does: that is what they are for."""
    topic = f"next-owner-{transactions}"
    async with opened(broker, topic) as door:
        slow = door.publisher(topic, held=True, transactions=transactions)
        other = door.publisher(topic, transactions=transactions)
        await slow.publish([FIRST], ours)
        door.proxy.hold_at(b"the older")
        held = asyncio.create_task(slow.publish([OLD], ours))
        await door.proxy.held.wait()
        await other.publish([OLD], ours)
        await other.publish([NEW], ours)
        door.proxy.flow()
        if transactions:
            with pytest.raises(Unavailable, match="ProducerFenced"):
                await held
        else:
            await held
        await slow.stop()
        await other.stop()
        told = await door.told(topic)
    assert told == [b"the first", b"the older", b"the newer", *([] if transactions else [b"the older"])]


async def test_what_an_owner_has_in_the_network_does_not_come_after_what_it_says_by_another_connection(
    broker: Door,
) -> None:
    """A partition is left (`settle` has a time limit) and taken again, or the connection was lost."""
    topic = "same-owner"
    async with opened(broker, topic) as door:
        publisher = door.publisher(topic, held=True)
        await publisher.publish([FIRST], ours)
        door.proxy.hold_at(b"the older")
        held = asyncio.create_task(publisher.publish([OLD], ours))
        await door.proxy.held.wait()
        held.cancel()
        with pytest.raises(asyncio.CancelledError):
            await held
        await publisher.publish([OLD], ours)
        await publisher.publish([NEW], ours)
        door.proxy.flow()
        await publisher.publish([FIRST], ours)
        await publisher.stop()
        told = await door.told(topic)
    assert told == [b"the first", b"the older", b"the newer", b"the first"]


async def test_who_slept_and_is_no_owner_any_more_shuts_out_the_owner_once_and_publishes_nothing(
    broker: Door,
) -> None:
    async def taken() -> None:
        raise Fenced("redis", "has another owner")

    topic = "zombie"
    async with opened(broker, topic) as door:
        zombie, owner = door.publisher(topic), door.publisher(topic)
        await zombie.publish([FIRST], ours)
        await owner.publish([OLD], ours)
        with pytest.raises(Unavailable, match="ProducerFenced"):
            await zombie.publish([FIRST], taken)
        with pytest.raises(Fenced):
            await zombie.publish([FIRST], taken)
        with pytest.raises(Unavailable, match="ProducerFenced"):
            await owner.publish([NEW], ours)
        await owner.publish([NEW], ours)
        with pytest.raises(Fenced):
            await zombie.publish([FIRST], taken)
        await zombie.stop()
        await owner.stop()
        told = await door.told(topic)
    assert told == [b"the first", b"the older", b"the newer"]


async def test_who_is_shut_out_between_two_records_of_a_transaction_hears_it_as_any_other_failure(
    broker: Door,
) -> None:
    topic = "between-two"
    async with opened(broker, topic) as door:
        zombie, owner = door.publisher(topic), door.publisher(topic)
        await zombie.publish([FIRST], ours)
        await owner.publish([NEW], ours)
        with pytest.raises(Unavailable, match="kafka"):
            await zombie.publish([OLD] * 5_000, ours)  # the broker answers while they are being queued
        await zombie.publish([FIRST], ours)
        await zombie.stop()
        await owner.stop()
        told = await door.told(topic)
    assert told == [b"the first", b"the newer", b"the first"]


@pytest.mark.parametrize("transactions", [True, False])
async def test_what_is_never_acknowledged_is_not_waited_for_without_end(
    broker: Door, monkeypatch: pytest.MonkeyPatch, *, transactions: bool
) -> None:
    """An idempotent producer tries for ever, and with it would wait whoever publishes, and its whole stage."""
    monkeypatch.setattr(publisher_module, "_DELIVERY_SECONDS", 3.0)
    topic = f"never-{transactions}"
    async with opened(broker, topic) as door:
        publisher = door.publisher(topic, held=True, transactions=transactions)
        await publisher.publish([FIRST], ours)
        door.proxy.hold_at(b"the older")
        with pytest.raises(Unavailable, match="TimeoutError"):
            await publisher.publish([OLD], ours)
        await publisher.publish([NEW], ours)
        await publisher.stop()
        told = await door.told(topic)
    assert told == [b"the first", b"the newer"]

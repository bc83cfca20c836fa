"""The publisher, when its producer breaks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import InvalidTimestampError, ProducerFenced

from detector.errors import Unavailable
from detector.runtime import publisher as publisher_module
from detector.runtime import topics
from detector.runtime.holding import DeadLetter
from detector.runtime.publisher import KafkaPublisher
from detector.runtime.servers import KafkaServer
from detector.runtime.topics import Topic
from detector.stores import Message
from tests.runtime.toy import ours

pytestmark = pytest.mark.asyncio

NAMES = {role: role for role in ("refused", "unheard", "metadata")}


class Accumulator:
    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[Any]] = []
        self._batches: dict[str, list[Any]] = {}

    def fail_all(self, error: Exception) -> None:
        for one in self.waiting:
            if not one.done():
                one.set_exception(error)


class Broken:
    """A producer to which the broker says no, of one topic nothing, and whose metadata never comes."""

    def __init__(self, waited_for: asyncio.Event) -> None:
        self.waited_for = waited_for
        self._message_accumulator = Accumulator()
        self.client = self
        self.closed = False

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        self.closed = True

    async def send(self, topic: str, **record: Any) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        if topic == "metadata":
            await loop.create_future()
        sent = loop.create_future()
        if topic == "refused":
            sent.set_exception(InvalidTimestampError())
        else:
            self._message_accumulator.waiting.append(sent)
            self.waited_for.set()
        return sent


async def test_when_a_producer_breaks_everybody_who_waits_for_it_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Broken] = []
    waited_for = asyncio.Event()
    monkeypatch.setattr(
        publisher_module, "AIOKafkaProducer", lambda **given: made.append(Broken(waited_for)) or made[-1]
    )
    monkeypatch.setattr(publisher_module, "_STOP_SECONDS", 0.01)
    publisher = KafkaPublisher("nowhere", NAMES)
    waiting = [
        asyncio.ensure_future(publisher.publish([Message(topic, 0, "k", b"v")], ours))
        for topic in ("metadata", "unheard")
    ]
    await waited_for.wait()
    with pytest.raises(Unavailable):
        await publisher.publish([Message("refused", 0, "k", b"v")], ours)
    for one in waiting:
        with pytest.raises(Unavailable):
            await asyncio.wait_for(one, 10)
    await publisher.stop()
    assert all(one.closed for one in made), "also one that does not end in order lets go of its connections"


async def test_after_a_broken_producer_the_next_publication_goes_through(
    kafka_server: KafkaServer, own_name: str
) -> None:
    topics.create(kafka_server.address, [Topic(own_name, 1)])
    publisher = KafkaPublisher(kafka_server.address, {"findings": own_name, "missing": f"{own_name}-missing"})
    message = Message("findings", 0, "k", b"v")
    await publisher.publish([message], ours)
    publisher._line.broke((await publisher._line.started())[0])
    await publisher.publish([message], ours)
    await publisher.stop()
    reader = AIOKafkaConsumer(own_name, bootstrap_servers=kafka_server.address, auto_offset_reset="earliest")
    await reader.start()
    assert [(await reader.getone()).value for _ in range(2)] == [b"v", b"v"]
    await reader.stop()


async def test_a_transaction_whose_sender_has_ended_is_begun_anew_by_the_next_publication(
    kafka_server: KafkaServer, own_name: str
) -> None:
    topics.create(kafka_server.address, [Topic(own_name, 1)])
    publisher = KafkaPublisher(kafka_server.address, {"verdicts": own_name}, transactions=own_name)
    message = Message("verdicts", 0, "k", b"v")
    await publisher.publish([message], ours)
    producer, _ = await publisher._fenced.started()
    producer._txn_manager.fatal_error(ProducerFenced())
    with pytest.raises(Unavailable, match="FATAL_ERROR"):
        await publisher.publish([message], ours)
    await publisher.publish([message], ours)
    await publisher.stop()


async def test_a_transaction_whose_producer_breaks_between_two_records_is_not_gone_on_with_by_the_next_producer(
    kafka_server: KafkaServer, own_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.create(kafka_server.address, [Topic(own_name, 1)])
    publisher = KafkaPublisher(kafka_server.address, {"verdicts": own_name}, transactions=own_name)
    message = Message("verdicts", 0, "k", b"v")
    producer, _ = await publisher._fenced.started()
    send = producer.send

    async def broken_after_it(**record: Any) -> asyncio.Future[Any]:
        sent: asyncio.Future[Any] = await send(**record)
        publisher._fenced.broke(producer)
        return sent

    monkeypatch.setattr(producer, "send", broken_after_it)
    with pytest.raises(Unavailable, match="the producer broke"):
        await publisher.publish([message, message], ours)
    await publisher.publish([message], ours)
    await publisher.stop()


async def test_a_record_of_endless_bad_lines_is_not_held_as_so_many_letters_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[list[bytes]] = []

    async def take(_: KafkaPublisher, records: list[dict[str, Any]]) -> None:
        sent.append([record["value"] for record in records])

    monkeypatch.setattr(KafkaPublisher, "_send", take)
    letters = [DeadLetter("invalid_json", "t", 0, 5, line, None, b"%d" % line) for line in range(1, 2_501)]
    await KafkaPublisher("nowhere:1", {"dead_letters": "dlq"}).dead_letter(letters)
    assert [value for some in sent for value in some] == [letter.value for letter in letters]
    assert max(map(len, sent)) <= 1_000

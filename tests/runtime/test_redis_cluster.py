"""`detector run` on a Redis Cluster: what becomes of a slot or of a master is waited for, and shows in nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from faust.types import TP
from redis import Redis
from redis.crc import key_slot

from detector import config as configuration
from detector.config import Config
from detector.runtime import topics
from detector.runtime.live import Service
from detector.runtime.servers import KafkaServer, RedisServer
from tests.bench.through_kafka import send_all
from tests.chaos import comparison, stream
from tests.chaos.group import Setting, ends_of, left_behind
from tests.runtime.serving import running
from tests.runtime.words import until
from tests.servers import environment
from tests.servers.cluster import Cluster, cluster

pytestmark = pytest.mark.asyncio

EVENTS = 2_000
SETTING = Setting(partitions=5, hot_accounts=20)  # most rows are called back from the store


@pytest.fixture
def three_masters(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path / "cluster") as made:
        yield made


def slot_of(place: str) -> int:
    return int(key_slot(f"{{{place}}}".encode()))


def lost(node: RedisServer) -> bool:
    """Whether this node knows that slots have no master."""
    with Redis(port=node.port) as operator:
        return bool(operator.cluster("info")["cluster_state"] != "ok")


def turned_away(cluster: Cluster) -> bool:
    """Whether a node has answered that keys of a slot that moves are elsewhere, or not all here."""
    said: set[str] = set()
    for node in cluster.nodes:
        with Redis(port=node.port) as operator:
            said |= operator.info("errorstats").keys()
    return bool(said & {"errorstat_ASK", "errorstat_TRYAGAIN"})


async def worked_through(service: Service, config: Config) -> None:
    """Wait until every stage has committed all that there is for it, and published what it says of that."""
    stages = (config.topics.requests, config.topics.observations, config.topics.candidates)
    before, ends = {TP("", 0): 0}, dict[TP, int]()

    def committed() -> bool:
        found = {tp: one.stored or 0 for tp, one in service.worker._holdings.items() if not one.dirty}
        return all(found.get(tp, -1) >= end for tp, end in ends.items())

    while ends != before:
        before, found = ends, [await ends_of(topic, config) for topic in stages]
        ends = {TP(*place): end for one in found for place, end in one.items()}
        await until(committed, service.worker.positions)


async def test_a_slot_that_moves_and_a_master_that_dies_do_not_show_in_what_is_found(
    kafka_server: KafkaServer, three_masters: Cluster, own_name: str, tmp_path: Path
) -> None:
    own = {
        "DETECTOR_STORE_PREFIX": f"detector:{own_name}",
        "DETECTOR_STORE_USERNAME": "detector",
        "DETECTOR_STORE_PASSWORD": "change-me",
    }
    given = {**environment(own_name, kafka_server.address, three_masters.url), **SETTING.environment(), **own}
    config = configuration.load(None, given)
    places = [
        f"{stage}:{n}" for stage, count in (("accounts", 5), ("links", 2), ("campaigns", 1)) for n in range(count)
    ]
    homes = {place: three_masters.node_of(slot_of(place)) for place in places}
    dies = three_masters.nodes[0]  # the one that the url names
    moves = next(place for place in places if homes[place] is not dies)
    assert set(homes.values()) == set(three_masters.nodes), "else one of them matters to nobody"

    recorded = stream.made(tmp_path / "stream", EVENTS, 1, config)
    wanted = comparison.expected(recorded, config)
    assert len(wanted.findings) > 10
    assert wanted.verdicts
    pieces = list(recorded.pieces())

    async def send(*shares: float) -> None:
        first, end = (round(share * len(pieces)) for share in shares)
        for piece in pieces[first:end]:  # one whole before the next: see stream.py
            pairs = ((stream.key_of(line), line) for line in piece)
            await send_all(config.kafka.brokers, config.topics.requests, pairs)

    await asyncio.to_thread(topics.create_all, config)
    known = ((one.account_id.encode(), msgspec.json.encode(one)) for one in recorded.accounts)
    await send_all(config.kafka.brokers, config.topics.accounts, known)
    async with running(config) as (service, _):
        await send(0, 0.3)
        await worked_through(service, config)
        with three_masters.moving(slot_of(moves)):
            await send(0.3, 0.5)
            await until(lambda: "redis" in service.worker.away and turned_away(three_masters))
        await send(0.5, 0.6)
        await until(lambda: not service.worker.away)
        await asyncio.to_thread(dies.kill)
        await send(0.6, 0.8)
        await until(lambda: "redis" in service.worker.away and lost(three_masters.nodes[1]))
        await asyncio.to_thread(dies.start)
        await send(0.8, 1)
        await worked_through(service, config)
    verdict = comparison.compared(wanted, await left_behind(recorded, config))
    assert verdict.well, verdict

"""What `inspect` says is what the stored state says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from detector.config import Config, load
from detector.decoders import decode, repartitioned
from detector.errors import ConfigError, Unavailable
from detector.runtime import inspect
from detector.runtime.security import store_arguments
from detector.runtime.servers import RedisServer
from detector.simulate import simulate
from detector.stages.accounts import AccountStage
from detector.stages.issuing import CampaignStage
from detector.stages.links import LinkStage
from detector.stores import Commit, Message, Store
from detector.stores.memory import MemoryStore
from detector.stores.redis import RedisStore

CONFIG = load(None, {"DETECTOR_TOPICS_PARTITIONS": "2", "DETECTOR_TOPICS_LINK_PARTITIONS": "1"})


@dataclass(frozen=True)
class Drained:
    """What a worker commits of one partition, and what it publishes then."""

    stage: str
    partition: int
    rows: dict[str, bytes | None]
    messages: list[Message]


def drained(stage: Any, partition: int) -> Drained:
    return Drained(stage.name, partition, *stage.drain(partition))


async def stored(store: Store, *parts: Drained) -> None:
    for part in parts:
        claim = await store.claim(part.stage, part.partition)
        commit = Commit(offset=1, rows=part.rows, outbox=[])
        await store.commit(part.stage, part.partition, claim.token, commit)


def guarded(server: RedisServer, name: str) -> Config:
    """The settings of a user with the least rights, whose keys begin with `name`."""
    own = {"url": server.url, "prefix": f"detector:{name}", "username": "detector", "password": "change-me"}
    return msgspec.structs.replace(CONFIG, store=msgspec.structs.replace(CONFIG.store, **own))


@pytest_asyncio.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest, own_name: str) -> AsyncIterator[Store]:
    if request.param == "memory":
        one: Store = MemoryStore()
    else:
        given = guarded(request.getfixturevalue("guarded_redis"), own_name).store
        one = RedisStore(given.url, **store_arguments(given))
    yield one
    await one.close()


@cache
def world() -> list[Drained]:
    """All partitions after a small campaign; the last one publishes its findings."""
    settings = CONFIG.pipeline()
    accounts, links, campaigns = (
        AccountStage(settings.accounts),
        LinkStage(settings.links),
        CampaignStage(settings.campaigns),
    )
    for stage, partitions in ((accounts, 2), (links, 1), (campaigns, 1)):
        for partition in range(partitions):
            stage.assign(partition, {})
    simulation = simulate("demo", 3, scale=0.1)
    accounts.learn(simulation.accounts)
    for chunk in simulation.chunks():
        accounts.absorb(repartitioned(decode(chunk, 0, hash_key=0).batch, 2))
    accounts.finish()
    parts = [drained(accounts, partition) for partition in range(2)]
    for message in chain.from_iterable(part.messages for part in parts):
        links.absorb(message.partition, [message.value])
    parts.append(drained(links, 0))
    for message in parts[-1].messages:
        campaigns.absorb(0, [message.value])
    return [*parts, drained(campaigns, 0)]


def seen(name: str) -> AccountStage:
    """A stage that has seen one request of an account of this name."""
    stage = AccountStage(CONFIG.accounts)
    stage.assign(0, {})
    event = {"id": "1", "time_ms": 1_780_000_000_000, "account_id": name, "model": "m"}
    stage.absorb(decode([json.dumps(event).encode()], 0, hash_key=0).batch)
    return stage


@pytest.mark.asyncio
async def test_a_campaign_and_its_accounts_can_be_looked_into(store: Store) -> None:
    parts = world()
    await stored(store, *parts)
    findings = [json.loads(message.value or b"") for message in parts[-1].messages if message.topic == "findings"]
    last = [finding for finding in findings if finding["kind"] == "campaign"][-1]
    text = await inspect.campaign(store, CONFIG, last["subject"])
    assert text is not None
    assert text.startswith(f"campaign {last['subject']}: {last['severity']}")
    for reason in last["reasons"][:1]:
        assert reason["signal"] in text
    assert f"{last['accounts_total']:,}:" in text
    member = next(f["accounts_added"][0] for f in findings if f["subject"] == last["subject"] and f["accounts_added"])
    about = await inspect.account(store, CONFIG, member)
    assert about is not None
    assert about.startswith(f"account {member}\n")
    assert f"campaign        {last['subject']}, in whose words 100% of its requests are\n" in about
    assert "requests" in about
    for signal in CONFIG.accounts.signals:
        assert signal.name in about


@pytest.mark.asyncio
async def test_a_name_that_a_stranger_chose_is_shown_and_never_obeyed(store: Store) -> None:
    name = "a\x1b[2J\r\n  score           1.000\u202e"
    await stored(store, drained(seen(name), 0))
    text = await inspect.account(store, CONFIG, name)
    assert text is not None
    assert text.split("\n")[0] == "account a\\x1b[2J\\r\\n  score           1.000\\u202e"
    assert not {"\x1b", "\r", "\u202e"} & set(text)


@pytest.mark.asyncio
async def test_what_nobody_has_seen_is_not_known(store: Store) -> None:
    assert await inspect.campaign(store, CONFIG, "c-none") is None
    assert await inspect.account(store, CONFIG, "nobody") is None


def test_the_command_asks_the_redis_of_its_settings(guarded_redis: RedisServer, own_name: str) -> None:
    config = guarded(guarded_redis, own_name)

    async def left() -> None:
        store = RedisStore(config.store.url, **store_arguments(config.store))
        await stored(store, drained(seen("b"), 0))
        await store.close()

    asyncio.run(left())
    assert (inspect.described(config, "account", "b") or "").startswith("account b\n")
    assert inspect.described(config, "account", "a") is None
    assert inspect.described(config, "campaign", "c-none") is None


def test_a_memory_store_cannot_be_looked_into_from_outside() -> None:
    memory = msgspec.structs.replace(CONFIG, store=msgspec.structs.replace(CONFIG.store, kind="memory"))
    with pytest.raises(ConfigError, match=r"store\.kind"):
        inspect.described(memory, "account", "a")


def test_a_store_that_is_away_is_unavailable() -> None:
    nowhere = msgspec.structs.replace(CONFIG.store, url="redis://127.0.0.1:1/0", timeout_ms=500)
    with pytest.raises(Unavailable):
        inspect.described(msgspec.structs.replace(CONFIG, store=nowhere), "account", "a")

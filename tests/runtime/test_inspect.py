"""What `inspect` says is what the stored state says."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from detector.config import load
from detector.decoders import decode, repartitioned
from detector.errors import ConfigError, Unavailable
from detector.runtime import inspect
from detector.simulate import simulate
from detector.stages.accounts import AccountStage
from detector.stages.issuing import CampaignStage
from detector.stages.links import LinkStage
from detector.stores import Commit, Store
from detector.stores.memory import MemoryStore

CONFIG = load(None, {"DETECTOR_TOPICS_PARTITIONS": "2", "DETECTOR_TOPICS_LINK_PARTITIONS": "1"})


async def stored(store: Store, stage: Any, partition: int) -> list[Any]:
    """Commit what changed, as a worker does, and return what it publishes."""
    rows, messages = stage.drain(partition)
    claim = await store.claim(stage.name, partition)
    await store.commit(stage.name, partition, claim.token, Commit(offset=1, rows=rows, outbox=[]))
    return list(messages)


async def world() -> tuple[Store, list[dict[str, Any]]]:
    """Return the store after a small campaign, and its findings."""
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
    store = MemoryStore()
    for chunk in simulation.chunks():
        accounts.absorb(repartitioned(decode(chunk, 0, hash_key=0).batch, 2))
    accounts.finish()
    for partition in range(2):
        for message in await stored(store, accounts, partition):
            links.absorb(message.partition, [message.value])
    for partition in range(1):
        for message in await stored(store, links, partition):
            campaigns.absorb(0, [message.value])
    findings = [
        json.loads(message.value) for message in await stored(store, campaigns, 0) if message.topic == "findings"
    ]
    return store, findings


@pytest.mark.asyncio
async def test_a_campaign_and_its_accounts_can_be_looked_into() -> None:
    store, findings = await world()
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
async def test_a_name_that_a_stranger_chose_is_shown_and_never_obeyed() -> None:
    stage, name = AccountStage(CONFIG.accounts), "a\x1b[2J\r\n  score           1.000\u202e"
    stage.assign(0, {})
    event = {"id": "1", "time_ms": 1_780_000_000_000, "account_id": name, "model": "m"}
    stage.absorb(decode([json.dumps(event).encode()], 0, hash_key=0).batch)
    store = MemoryStore()
    await stored(store, stage, 0)
    text = await inspect.account(store, CONFIG, name)
    assert text is not None
    assert text.split("\n")[0] == "account a\\x1b[2J\\r\\n  score           1.000\\u202e"
    assert not {"\x1b", "\r", "\u202e"} & set(text)


@pytest.mark.asyncio
async def test_what_nobody_has_seen_is_not_known() -> None:
    store = MemoryStore()
    assert await inspect.campaign(store, CONFIG, "c-none") is None
    assert await inspect.account(store, CONFIG, "nobody") is None


def test_a_memory_store_cannot_be_looked_into_from_outside() -> None:
    memory = msgspec.structs.replace(CONFIG, store=msgspec.structs.replace(CONFIG.store, kind="memory"))
    with pytest.raises(ConfigError, match=r"store\.kind"):
        inspect.described(memory, "account", "a")


def test_a_store_that_is_away_is_unavailable() -> None:
    nowhere = msgspec.structs.replace(CONFIG.store, url="redis://127.0.0.1:1/0", timeout_ms=500)
    with pytest.raises(Unavailable):
        inspect.described(msgspec.structs.replace(CONFIG, store=nowhere), "account", "a")

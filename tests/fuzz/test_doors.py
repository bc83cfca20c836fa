"""At every door whatever comes ends as what it says it is, or as an error that is expected there; `make fuzz` looks on.

Deterministic and short: each seed, and some hundred damages of it. What a fuzzer found once stands here by itself.
"""

from __future__ import annotations

import json
import sys
import tracemalloc
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from detector.decoders import decode, decode_accounts, repartitioned
from detector.errors import DecodeError
from detector.pipeline import Pipeline
from detector.stages.accounts import AccountStage
from detector.stages.issuing import CampaignStage
from detector.stages.links import LinkStage
from tests.fuzz.shapes import SHAPES
from tests.fuzz.targets import REQUIRED, SETTINGS, TARGETS, Target, damaged, world

DAMAGES = 150
BOUNDED = replace(SETTINGS, accounts=replace(SETTINGS.accounts, most_models=20))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_whatever_comes_is_taken_or_refused(target: Target) -> None:
    rng = Random(target.name)
    for seed in target.seeds():
        assert target.run(seed) > 0
        for _ in range(DAMAGES // len(target.seeds())):
            value = damaged(seed, rng)
            for _ in range(rng.randrange(3)):
                value = damaged(value, rng)
            target.run(value)


def calls(value: bytes) -> int:
    """How many functions are called, ours and C's, to decode a record and to work through what is in it."""
    counted = 0

    def count(*_: Any) -> None:
        nonlocal counted
        counted += 1

    pipeline = Pipeline(SETTINGS)
    sys.setprofile(count)
    try:
        decode_accounts([value])
        batch = decode([value], 0, hash_key=7).batch
        if len(batch):
            pipeline.feed(repartitioned(batch, 1))
        pipeline.finish()
    finally:
        sys.setprofile(None)
    return counted


@pytest.mark.parametrize("name", SHAPES)
def test_a_record_of_eight_times_the_size_takes_no_more_than_eight_times_the_work(name: str) -> None:
    """Counted, not timed; what C does within a call is for `python -m tests.bench.doors`."""
    small, large = (calls(SHAPES[name](size)) for size in (4_000, 32_000))
    assert large < 8.5 * small


@pytest.mark.parametrize("name", SHAPES)
def test_the_memory_that_a_record_takes_is_in_proportion_to_its_size(name: str) -> None:
    value = SHAPES[name](40_000)
    tracemalloc.start()
    try:
        decode_accounts([value])
        decode([value], 0, hash_key=7)
        # of bad lines, a dead letter for every two bytes, until they are collected
        assert tracemalloc.get_traced_memory()[1] < 2_000_000 + 200 * len(value)
    finally:
        tracemalloc.stop()


def test_one_account_makes_no_more_rows_however_much_it_sends() -> None:
    """Models, links, texts, addresses, sessions, records: all of one account, all new each time."""
    stage, links, campaigns = AccountStage(BOUNDED.accounts), LinkStage(BOUNDED.links), CampaignStage(BOUNDED.campaigns)
    for each in (stage, links, campaigns):
        each.assign(0, {})
    store: dict[tuple[str, str], bytes] = {}
    most: dict[str, int] = {}
    for minute in range(40):
        lines = [
            json.dumps(
                {**REQUIRED, "id": f"r{n}", "time_ms": REQUIRED["time_ms"] + 60_000 * minute, "account_id": "hostile"}
                | {
                    "model": f"m{n}",
                    "prompt_text": f"say {'x' * (n % 50)} word{n} of {n} to me now",
                    "ip": f"10.0.{n % 999}.1",
                }
                | {"session_id": f"s{n}", "user_agent": f"u{n}", "tls_ja4": f"t{n}", "reasoning_effort": f"e{n}"}
                | {"capability": f"c{n}", "account": {"email_domain": f"d{n}" * 500, "payment_fp": f"p{n}"}}
            ).encode()
            for n in range(200 * minute, 200 * minute + 200)
        ]
        stage.absorb(decode(lines, 0, hash_key=7).batch)
        for each, onward in ((stage, links), (links, campaigns), (campaigns, None)):
            rows, messages = each.drain(0)
            for key, row in rows.items():
                store.pop((each.name, key), None) if row is None else store.update({(each.name, key): row})
            for message in messages if onward else ():
                onward.absorb(0, [message.value])
        held = {f"{name} {key[:1]}": 0 for name, key in store}
        for (name, key), row in store.items():
            held[f"{name} {key[:1]}"] = max(held[f"{name} {key[:1]}"], len(row))
        most = {**most, "accounts": stage.sizes()["accounts"], "models": len(stage._models)}
        assert len([key for name, key in store if name == "accounts" and key[0] == "a"]) == 1
        assert held["accounts a"] < 8_000
        # its event ids are forgotten with their generation, and bounded: ids_per_generation
        assert len([key for name, key in store if name == "accounts" and key[0] != "i"]) <= 4
    assert most["accounts"] == 1
    assert most["models"] <= 2 * (1 + BOUNDED.accounts.most_models)
    assert links.sizes()["links"] == 0  # what one account alone uses is no link
    assert stage.counts["models_dropped"] > 0


def test_a_hash_that_a_gateway_computed_cannot_end_the_worker() -> None:
    """A link whose value is 0 is nowhere in a table: the one hash that a kind is mixed into it with is not it."""
    golden = 0x9E3779B97F4A7C15
    for kind, field in ((8, "system_hash"), (9, "tools_hash")):
        chosen = f"{-kind * golden % 2**64:016x}"
        lines = [
            json.dumps({**REQUIRED, "id": f"r{i}", "account_id": f"a{i}", field: chosen}).encode() for i in range(3)
        ]
        pipeline = Pipeline(SETTINGS)
        pipeline.feed(decode(lines, 0, hash_key=7).batch)
        pipeline.finish()
        assert pipeline.links.sizes()["links"] > 0


def test_an_internal_record_that_no_worker_wrote_is_refused_and_not_guessed_at() -> None:
    stage = LinkStage(SETTINGS.links)
    stage.assign(0, {})
    (value,) = world()["observations"][-1:]
    for rng in map(Random, range(300)):
        with pytest.raises(DecodeError):
            stage.absorb(0, [value[: rng.randrange(len(value))]])

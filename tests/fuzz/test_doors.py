"""At every door whatever comes ends as what it says it is, or as an error that is expected there; `make fuzz` looks on.

Deterministic and short: each seed, and some hundred damages of it. What a fuzzer found once stands here by itself.
"""

from __future__ import annotations

import json
from random import Random

import pytest

from detector.decoders import decode
from detector.errors import DecodeError
from detector.pipeline import Pipeline
from detector.stages.links import LinkStage
from tests.fuzz.targets import REQUIRED, SETTINGS, TARGETS, Target, damaged, world

DAMAGES = 150


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

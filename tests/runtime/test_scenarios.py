"""Scenarios as commands name them: every dial by its name, and text withheld."""

from __future__ import annotations

import json
import re
from dataclasses import fields

import pytest

from detector import likeness
from detector.errors import ConfigError
from detector.runtime.scenarios import DIALS, WITHHELD, scenario_of, simulated
from detector.simulate import SCENARIOS, Content, Dials, Simulation


def turned(*said: str, name: str = "relay") -> Dials:
    (dials,) = scenario_of(name, said).campaigns
    return dials


def events(simulation: Simulation) -> list[dict[str, object]]:
    return [json.loads(line) for chunk in simulation.chunks() for line in chunk]


def test_every_field_of_a_campaign_and_of_its_content_is_a_dial() -> None:
    assert set(DIALS) == {f.name for f in fields(Dials)} | {f"content.{f.name}" for f in fields(Content)}


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("per_account_day=0.5", 0.5),
        ("aged=1", 1.0),
        ("accounts=40", 40),
        ("timing=lockstep", "lockstep"),
        ("pivot=false", False),
        ("ban_day=2.5", 2.5),
        ("ban_day=null", None),
        ("operators=2", 2),
    ],
)
def test_a_dial_takes_a_value_of_its_type(said: str, value: object) -> None:
    name, _, _ = said.partition("=")
    found = getattr(turned(said), name)
    assert (found, type(found)) == (value, type(value))


def test_dials_are_turned_one_after_another_in_every_campaign_and_every_part_of_its_content() -> None:
    dials = turned("aged=0.5", "mixed=0.9", "aged=0.25", "content.paraphrase=0.3", name="april-june")
    (usual,) = SCENARIOS["april-june"].campaigns
    assert (dials.aged, dials.mixed, dials.accounts) == (0.25, 0.9, usual.accounts)
    assert [part.paraphrase for part in dials.content] == [0.3, 0.3, 0.3]
    assert [part.kind for part in dials.content] == [part.kind for part in usual.content]
    parts = turned('content=[{"share": 0.8, "family": "coding"}, {"share": 0.2, "kind": "naked"}]').content
    assert parts == (Content(share=0.8, family="coding"), Content(share=0.2, kind="naked"))


@pytest.mark.parametrize(
    ("said", "problem", "near"),
    [
        ("ageed=1", "no such dial", "aged"),
        ("paraphrase=1", "no such dial", "content.paraphrase"),
        ("aged", "DIAL=VALUE", None),
        ("aged=half", "'half' is no value of it", None),
        ("aged=2", "a share from 0 to 1", None),
        ("mixed=0.99", "0 to 0.95", None),
        ("accounts=0", "above 0", None),
        ("churn_per_day=-1", "at least 0", None),
        ("timing=lokstep", "one of lockstep, balanced, human", "lockstep"),
        ("content.family=cooking", "unknown family 'cooking'", None),
        ("content.suffix=9", "from 0 to 3", None),
        ('content=[{"share": 0.5}]', "must add up to 1", None),
        ('content=[{"shares": 1}]', "no such dial", "content.share"),
    ],
)
def test_a_dial_that_there_is_not_and_what_is_no_value_is_refused(said: str, problem: str, near: str | None) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)) as error:
        turned(said)
    assert error.value.nearest == near


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_scenario_can_have_its_text_withheld(name: str) -> None:
    assert scenario_of(name + WITHHELD) == SCENARIOS[name]


def test_where_text_is_withheld_there_are_sketches_of_it_and_all_else_is_the_same() -> None:
    told, withheld = (events(simulated(name, 3, 0.05, key=7, days=0.05)) for name in ("demo", "demo" + WITHHELD))
    texts = [str(event.pop("prompt_text")) for event in told]
    sketches = [event.pop("prompt_sketch") for event in withheld]
    assert sketches == list(likeness.encode(likeness.sketch(texts, 7)))
    assert not any("prompt_text" in event or "system_text" in event for event in withheld)
    same = ("id", "time_ms", "account_id", "model", "input_tokens", "ip", "system_hash")
    assert [[event.get(name) for name in same] for event in told] == [
        [event.get(name) for name in same] for event in withheld
    ]


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as error:
        scenario_of("relay-witheld")
    assert error.value.nearest == "relay-withheld"
    with pytest.raises(ConfigError, match="there are april-june"):
        scenario_of("zzz")

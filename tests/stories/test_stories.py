"""The stories: each recorded stretch of events gives what its `story.toml` expects, and nobody harmless is flagged."""

import msgspec
import pytest

from detector.simulate.benign import EVERYDAY
from detector.simulate.lookalikes import LOOKALIKES
from detector.simulate.roster import Roster
from detector.simulate.setting import BEGIN_MS, Setting
from tests.stories.record import RECIPES
from tests.stories.telling import FOLDER, Story, Telling, stories, told, truth_of

DAY_MS = 86_400_000
MOST_BYTES = 6_000_000  # of all recordings: a clone stays quick


@pytest.mark.parametrize("name", stories())
def test_a_story_ends_as_it_says(name):
    telling = Telling(name)
    broken, gaps = telling.broken(), telling.story.known_gap
    opened = {rule: what for rule, what in broken.items() if rule not in gaps}
    closed = sorted(gaps.keys() - broken.keys())
    assert not opened, f"{telling.story.title}: " + "; ".join(f"{rule}: {what}" for rule, what in opened.items())
    assert not closed, f"{telling.story.title}: no gap any more, strike from known_gap: {', '.join(closed)}"


def test_an_expectation_that_nobody_knows_is_refused():
    with pytest.raises(msgspec.ValidationError, match="within_days"):
        msgspec.convert(
            {"kind": "attack", "title": "", "story": "", "campaign": [{"id": "campaign-1", "within_days": 1}]}, Story
        )


def test_an_attack_expects_something_and_a_look_alike_names_its_cohorts():
    for name in stories():
        story = told(name)
        assert (story.campaign or story.account) if story.kind == "attack" else story.cohorts, name


def test_a_look_alike_has_no_campaign_in_it_and_its_cohorts_are_recorded():
    for name in stories():
        story, truth = told(name), truth_of(name).values()
        if story.kind == "look-alike":
            assert not any(record.campaign for record in truth), name
            assert set(story.cohorts) <= {record.cohort for record in truth}, name


@pytest.mark.parametrize("look_alike", [*EVERYDAY, *LOOKALIKES], ids=lambda make: make.__name__)
def test_every_benign_cohort_of_the_simulator_has_a_story(look_alike):
    setting = Setting(1, 2.0, 3000, BEGIN_MS + DAY_MS, (), Roster(1))
    look_alike(setting)
    assert setting.roster.truth
    about = {cohort for name in stories() for cohort in told(name).cohorts}
    assert {row["cohort"] for row in setting.roster.truth} <= about | {"people", "api_apps", "api_large"}


def test_every_story_is_told_recorded_and_listed():
    listed = (FOLDER / "README.md").read_text()
    assert set(stories()) == set(RECIPES) == {path.parent.name for path in FOLDER.glob("*/events.ndjson.zst")}
    assert [name for name in stories() if f"`{name}`" not in listed] == []


def test_the_recordings_stay_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.zst")) < MOST_BYTES

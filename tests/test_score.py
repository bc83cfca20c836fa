"""How readings become a score."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detector.score import BEHAVIOUR_CEILING, WATCH_CEILING, WEIGHTS, Nature, scores, strongest

NAMES = list(WEIGHTS)


def score_of(**strengths: float) -> float:
    column = np.array([[strengths.get(name, np.nan)] for name in NAMES], np.float32)
    return float(scores(NAMES, column)[0])


def of(nature: Nature) -> dict[str, float]:
    return {name: 1.0 for name, (kind, _) in WEIGHTS.items() if kind is nature}


def test_nothing_known_scores_0() -> None:
    assert score_of() == 0


def test_behaviour_alone_never_goes_beyond_its_ceiling() -> None:
    assert score_of(**of(Nature.BEHAVIOUR)) == np.float32(BEHAVIOUR_CEILING)


def test_content_and_behaviour_of_one_account_stay_watch() -> None:
    strengths = of(Nature.BEHAVIOUR) | of(Nature.CONTENT) | {"output_volume": 0.5}
    assert score_of(**strengths) <= np.float32(WATCH_CEILING)


def test_a_replayed_block_goes_beyond_watch_by_itself() -> None:
    assert score_of(block_replay=1.0) > WATCH_CEILING


def test_an_account_so_large_that_it_is_a_campaign_goes_beyond_watch() -> None:
    assert score_of(reasoning_extraction=1.0, output_volume=1.0) > WATCH_CEILING
    assert score_of(reasoning_extraction=1.0, output_volume=0.5) <= np.float32(WATCH_CEILING)
    assert score_of(reasoning_extraction=0.5, output_volume=1.0) <= np.float32(WATCH_CEILING)


@given(st.lists(st.floats(0, 1, width=32), min_size=len(NAMES), max_size=len(NAMES)), st.integers(0, len(NAMES) - 1))
def test_a_stronger_reading_never_lowers_the_score(strengths: list[float], which: int) -> None:
    before = np.array(strengths, np.float32)[:, None]
    after = before.copy()
    after[which] = 1
    assert 0 <= scores(NAMES, before)[0] <= scores(NAMES, after)[0] <= 1


def test_reasons_come_strongest_contribution_first_and_leave_out_what_is_unknown() -> None:
    names = ["no_idle", "harvest_shape", "relay", "probing"]
    found = strongest(names, np.array([1.0, 0.8, np.nan, 0.0], np.float32), 5)
    assert [names[number] for number, _, _ in found] == ["harvest_shape", "no_idle"]
    assert len(strongest(names, np.ones(4, np.float32), 2)) == 2

"""What a fit finds, and what no labels make it say."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.campaign.confidence import BEHAVIOUR, UNKNOWN, WARNING_AT, broken_rule, confidence
from detector.campaign.fit import BIAS, MOST, Samples, figures, fit, joined, strengths_of
from detector.campaign.group import Reading
from detector.campaign.weights import DEFAULT, READINGS, Weights, from_vector, vector

N = len(READINGS)
TRUE = Weights(
    bias=-7.5, size=0.5, young_surplus=1.5, work_list=4.0, evenness=0.5, concentration=3.0, exchange=0.0, novelty=0.0,
    duration=1.0, identity=3.5, spread=1.5, single_turn=0.0, extraction=2.0,
    narrowness=1.0, rhythm=0.0, release_pivot=0.0, probing=0.5, lockstep=1.0, sign_up_burst=0.0, content_shift=0.0,
)  # fmt: skip


def samples(rows: list[list[float]], true: list[bool], group: list[int] | None = None) -> Samples:
    groups = list(range(len(rows))) if group is None else group
    return Samples(strengths_of(rows), np.array(true, np.bool_), np.array(groups, np.int64))


def drawn(n: int, seed: int, weights: Weights = TRUE) -> Samples:
    """Groups of uniform readings, labelled by chance as the weights say."""
    random = np.random.default_rng(seed)
    strengths = random.random((n, N))
    odds = vector(weights)[0] + strengths @ np.array(vector(weights)[1:])
    return Samples(strengths, random.random(n) < 1 / (1 + np.exp(-odds)), np.arange(n))


def says(weights: Weights, strengths: dict[str, float]) -> float:
    return confidence([Reading(name, strengths.get(name, 0.0), None, None, "") for name in READINGS], weights)


def test_a_fit_recovers_the_weights_that_made_the_labels() -> None:
    made = drawn(20_000, 1)
    found = vector(fit(made, DEFAULT))
    rarity = math.log(made.true.mean() / (1 - made.true.mean()))  # of campaigns; the fit sees as many as benign groups
    assert found[1:] == pytest.approx(vector(TRUE)[1:], abs=0.3)
    assert found[0] == pytest.approx(vector(TRUE)[0] - rarity, abs=0.3)


def test_a_fit_is_better_than_what_it_departs_from_on_its_own_readings_and_on_others() -> None:
    for seed in (1, 2):
        assert (
            figures(drawn(5_000, seed), fit(drawn(5_000, 1), DEFAULT)).log_loss
            < figures(drawn(5_000, seed), DEFAULT).log_loss
        )


def test_the_same_labels_give_the_same_weights() -> None:
    assert fit(drawn(500, 3), DEFAULT) == fit(drawn(500, 3), DEFAULT)


def test_what_the_labels_do_not_tell_stays_where_it_is() -> None:
    """Nothing is known of extraction: every reading of it is 0."""
    made = drawn(2_000, 1)
    made.strengths[:, READINGS.index("extraction")] = 0.0
    assert fit(made, TRUE).extraction == TRUE.extraction


def test_a_reading_that_campaigns_lack_has_no_weight_rather_than_a_negative_one() -> None:
    made = drawn(4_000, 1)
    made.strengths[:, READINGS.index("size")] = ~made.true
    assert fit(made, DEFAULT).size == 0.0


LABELLED = st.lists(
    st.tuples(st.lists(st.sampled_from([0.0, 0.3, 1.0, math.nan]), min_size=N, max_size=N), st.booleans()),
    min_size=2,
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(LABELLED, st.lists(st.floats(0, 8), min_size=N, max_size=N), st.floats(-14, -4))
def test_no_labels_and_no_prior_make_a_fit_break_the_rules(
    labelled: list[tuple[list[float], bool]], prior: list[float], bias: float
) -> None:
    rows = [[1.0] * N, [0.0] * N, *(row for row, _ in labelled)]
    found = fit(samples(rows, [True, False, *(label for _, label in labelled)]), from_vector([bias, *prior]))
    assert broken_rule(found) is None
    assert BIAS[0] <= found.bias <= BIAS[1]
    assert all(0 <= getattr(found, name) <= MOST for name in READINGS)
    assert says(found, dict.fromkeys(BEHAVIOUR, 1.0)) < WARNING_AT
    assert all(says(found, {name: 1.0}) < WARNING_AT for name in READINGS)


def test_behaviour_alone_stays_at_watch_whatever_the_labels_say() -> None:
    """Every campaign of these labels shows behaviour and nothing else."""
    shown = [float(name in BEHAVIOUR) for name in READINGS]
    made = samples([shown] * 500 + [[0.0] * N] * 500, [True] * 500 + [False] * 500)
    found = fit(made, DEFAULT)
    assert 0.8 < says(found, dict.fromkeys(BEHAVIOUR, 1.0)) < WARNING_AT


def test_every_reading_is_behaviour_or_content_or_identity() -> None:
    said_or_paid = {"work_list", "concentration", "extraction", "identity", "exchange", "novelty"}
    assert set(READINGS) - set(BEHAVIOUR) == said_or_paid


def test_a_group_counts_once_however_often_it_was_read() -> None:
    once = drawn(300, 5)
    often = Samples(
        *(
            np.concatenate([column, np.repeat(column[:1], 99, axis=0)])
            for column in (once.strengths, once.true, once.group)
        )
    )
    assert vector(fit(often, DEFAULT)) == pytest.approx(
        vector(fit(once, DEFAULT)), abs=0.011
    )  # a hundredth is rounding
    assert figures(often, DEFAULT) == figures(once, DEFAULT)


def test_campaigns_and_benign_groups_count_the_same_however_many_there_are() -> None:
    few = drawn(600, 7)
    benign = np.flatnonzero(~few.true)
    again = np.concatenate([np.arange(600), benign])
    many = Samples(few.strengths[again], few.true[again], np.arange(len(again)))
    assert figures(many, DEFAULT).log_loss == figures(few, DEFAULT).log_loss
    assert few.weight[few.true].sum() == pytest.approx(few.weight[benign].sum())
    assert many.weight.sum() == pytest.approx(2 * min(few.true.sum(), 2 * len(benign)))


def test_an_unknown_reading_is_fitted_as_it_is_used() -> None:
    unknown, ordinary = drawn(300, 6), drawn(300, 6)
    unknown.strengths[::2, 3] = math.nan
    ordinary.strengths[::2, 3] = UNKNOWN
    assert fit(unknown, DEFAULT) == fit(ordinary, DEFAULT)


def test_figures_are_those_of_confidence() -> None:
    full, none = [1.0] * N, [0.0] * N
    made = samples([full, none, none, full], [True, True, False, False], [0, 0, 1, 2])
    high, low = says(DEFAULT, dict.fromkeys(READINGS, 1.0)), says(DEFAULT, {})
    found = figures(made, DEFAULT)
    assert (found.campaigns, found.benign, found.benign_loud, found.campaigns_quiet) == (1, 2, 1, 0)
    campaign, benign = ((1 - high) ** 2 + (1 - low) ** 2) / 2, (low**2 + high**2) / 2
    assert found.brier == round((campaign + benign) / 2, 4)
    campaign, benign = -(math.log(high) + math.log(low)) / 2, -(math.log(1 - low) + math.log(1 - high)) / 2
    assert found.log_loss == pytest.approx((campaign + benign) / 2, abs=1e-4)


def test_groups_of_two_streams_are_never_one() -> None:
    one, two = samples([[0.0] * N] * 2, [True, False], [0, 1]), samples([[1.0] * N], [True], [0])
    assert joined([one, joined([]), two]).group.tolist() == [0, 1, 2]


@pytest.mark.parametrize("label", [True, False])
def test_labels_of_one_kind_are_no_ground_for_a_fit(label: bool) -> None:
    with pytest.raises(ValueError, match="both campaigns and benign groups"):
        fit(samples([[0.0] * N], [label]), DEFAULT)


def test_the_rules_hold_only_for_weights_that_keep_them() -> None:
    assert broken_rule(TRUE) is broken_rule(DEFAULT) is None
    assert str(broken_rule(msgspec.structs.replace(TRUE, young_surplus=8.0, spread=8.0))).startswith("behaviour alone")
    assert str(broken_rule(msgspec.structs.replace(TRUE, work_list=9.8))).startswith("work_list alone")

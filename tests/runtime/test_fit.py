"""Which groups are one, what the truth says of them, and a fit from a stream to a file."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from detector.campaign.fit import figures, fit, joined
from detector.campaign.group import Reading
from detector.campaign.weights import DEFAULT, READINGS
from detector.errors import InputError
from detector.runtime.fit import Readings, fitted, observed
from detector.runtime.grid import Job
from detector.scorecard import Truth
from tests.bench.settings import pipeline_settings
from tests.campaign.test_fit import drawn
from tests.evaluate.cases import benign, campaign

SETTINGS = pipeline_settings(None)
TRUTH = Truth([*campaign("h1", "h2", "h3"), *campaign("k1", "k2", name="k"), *benign(*(f"p{n}" for n in range(9)))])


def noted(*groups: list[str]) -> Readings:
    readings = Readings(TRUTH)
    for accounts in groups:
        readings(accounts, [Reading(name, 0.5, None, None, "") for name in reversed(READINGS)])
    return readings


def test_a_group_is_true_when_half_of_its_accounts_are_of_campaigns() -> None:
    found = noted(["h1", "p1"], ["h1", "p1", "p2"], ["h1", "k1", "p1", "p2"], ["x", "y"]).samples()
    assert found.true.tolist() == [True, False, True, False]


def test_a_true_group_is_the_campaign_that_most_of_its_accounts_are_of() -> None:
    found = noted(["h1", "h2"], ["k1", "k2", "h3"], ["h3", "p1"], ["h1", "h2", "k1"]).samples()
    assert found.group.tolist() == [0, 1, 0, 0]


def test_a_benign_group_that_grows_is_still_the_same_group() -> None:
    found = noted(
        ["p1", "p2"], ["p1", "p2", "p3"], ["p3", "p4"], ["p5", "p6"], ["p4", "p5", "p6", "p7", "p8"]
    ).samples()
    assert found.group.tolist() == [0, 0, 0, 1, 2]


def test_readings_are_taken_by_their_names_and_stay_unknown() -> None:
    readings = Readings(TRUTH)
    readings(
        ["p1"], [Reading(name, math.nan if name == "size" else n, None, None, "") for n, name in enumerate(READINGS)]
    )
    (row,) = readings.samples().strengths.tolist()
    assert math.isnan(row[0])
    assert row[1:] == list(range(1, len(READINGS)))


def test_weights_are_fitted_to_some_streams_and_tried_on_others(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Job] = []
    jobs = [Job("relay", seed, 0.02, 4.0) for seed in (1, 2, 3)]
    monkeypatch.setattr("detector.runtime.fit.observed", lambda job, _: drawn(400, job.seed))
    file = fitted(jobs[:2], jobs[2:], SETTINGS, dt.date(2026, 1, 2), done=done.append)
    assert done == jobs
    assert (file.date, file.reviewed_by) == (dt.date(2026, 1, 2), "")
    assert file.weights == fit(joined([drawn(400, 1), drawn(400, 2)]), DEFAULT)
    assert file.fitted is not None
    assert file.checked is not None
    assert file.fitted.streams == ["relay seed 1 scale 0.02", "relay seed 2 scale 0.02"]
    assert file.checked.streams == ["relay seed 3 scale 0.02"]
    assert file.checked.before == figures(drawn(400, 3), DEFAULT)
    assert file.checked.after == figures(drawn(400, 3), file.weights)


def test_what_is_observed_are_the_groups_of_the_stream() -> None:
    found = observed(Job("quiet", 1, 0.005, 1.0), SETTINGS)
    assert len(found.true) > 0
    assert not found.true.any()


def test_a_stream_without_a_campaign_is_nothing_to_fit() -> None:
    with pytest.raises(InputError, match="nothing to fit"):
        fitted([Job("quiet", 1, 0.005, 1.0)], [], SETTINGS, dt.date(2026, 1, 2))

"""Readings of a group -> how sure we are that it is a campaign.

A logistic over the readings with non-negative weights; an unavailable reading adds what it adds
for an ordinary group half the time. The rules of the house stand above the fit:

- a group is no campaign unless unrelated accounts share *content or identity* (it would not be a group);
- what repeats each other like a class or a benchmark is not a work list, whatever else it shows;
- what is over within an hour and a half is at most `watch`, unless it took more than a class could ask
  (half of that time when no network holds three in ten and nobody asks what another asked: that is no class; at once
  when its accounts present each other's reasoning blocks: time would show nothing that this does not);
  what sits in one place, as a hackathon does over a weekend, must have gone on for three days: its host may
  well pay for all of it; so must what is all on a model released that day: everybody tries the same things on it,
  and many sign up to do so (a campaign that is there already moves half of its work, and is known by then);
- what is no younger than the population must be spread evenly over its accounts, the more so the fewer they are: a new
  tool has users of all ages too, but a few of them use it much and most hardly, which twenty may by chance not show
  (half as evenly as many, where most have several prompts nobody had before: users of a new tool share one or two);
- the many accounts of one organisation are one customer, not a campaign.
"""

from __future__ import annotations

import math
from typing import Final

from detector.campaign.group import Reading, evenness
from detector.campaign.weights import READINGS, Weights
from detector.finding import Severity

WARNING_AT: Final = 0.9
CRITICAL_AT: Final = 0.97
WARNING_ODDS: Final = math.log(WARNING_AT / (1 - WARNING_AT))
BEHAVIOUR: Final = (
    *("size", "young_surplus", "evenness", "duration", "spread", "single_turn"),
    *("narrowness", "rhythm", "release_pivot", "probing", "lockstep", "sign_up_burst", "content_shift"),
)
"""Readings that say neither what is asked nor who pays."""

LEAST_UNITS: Final = 8  # unrelated accounts; those of one organisation count once
MANY_ANSWERS: Final = 10_000  # as many as a set has that a model is tuned on, whoever asked for them
FAR_APART: Final = 0.5  # strength of `spread`: three in ten from one network
ALL_MOVED: Final = 0.8  # of what the accounts asked on the day of a release, as they do that are there for it
UNKNOWN: Final = 0.3  # what an unavailable reading counts as


def weight_of(weights: Weights, name: str) -> float:
    """Return the weight of a reading."""
    return float(getattr(weights, name))


def broken_rule(weights: Weights) -> str | None:
    """Return which rule of the house these weights break; None for none.

    Behaviour alone stays at `watch`, however much of it there is; and no reading speaks alone.
    """
    together = weights.bias + math.fsum(weight_of(weights, name) for name in BEHAVIOUR)
    if together >= WARNING_ODDS:
        return (
            f"behaviour alone would warn: bias and {', '.join(BEHAVIOUR)} come to {together:.2f}, "
            f"and have to stay below {WARNING_ODDS:.2f}"
        )
    for name in READINGS:
        if (alone := weights.bias + weight_of(weights, name)) >= WARNING_ODDS:
            return f"{name} alone would warn: with bias it is {alone:.2f}, and has to stay below {WARNING_ODDS:.2f}"
    return None


def confidence(readings: list[Reading], weights: Weights) -> float:
    """Return the confidence in 0..1."""
    return _logistic(_odds(readings, weights))


def at_most(readings: list[Reading], weights: Weights) -> float:
    """Return the confidence that these readings could come to: with every other one at full strength."""
    others = set(READINGS) - {reading.name for reading in readings}
    return _logistic(_odds(readings, weights) + math.fsum(weight_of(weights, name) for name in others))


def _odds(readings: list[Reading], weights: Weights) -> float:
    odds = weights.bias
    for reading in readings:
        strength = UNKNOWN if math.isnan(reading.strength) else reading.strength
        odds += weight_of(weights, reading.name) * strength
    return odds


def _logistic(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))


def _even_for(sample: int) -> float:
    """Return the evenness that one in a hundred samples of so many people has.

    Of people whose requests are log-normal with a squared variation of 1, and the few who ask most taken as
    `group.read` takes them: the quantile of 20,000 samples each of 19 to 400 is within 0.1 of this.
    """
    return max(0.5, evenness(0.58 * (1 - 4 / math.sqrt(max(sample, 1)))))


def severity(score: float, readings: list[Reading], requests: int) -> Severity:
    """Return how loud to say it; `requests` are those that went through the links of the group."""
    strength = {reading.name: reading.strength for reading in readings}
    hours = next((reading.value or 0.0 for reading in readings if reading.name == "duration"), 0.0)
    repeats = strength.get("work_list", math.nan) < 0.3  # NaN compares False: unknown is no repeat
    in_one_place = strength.get("spread", 1.0) <= 0.0  # NaN: unknown is not one place
    far_apart = strength.get("spread", math.nan) >= FAR_APART and strength.get("work_list", math.nan) >= 0.9
    of_all_ages = strength.get("young_surplus", math.nan) < 0.1  # NaN: unknown is not old
    several_new = strength.get("novelty", 0.0) >= 0.5  # which takes half of that evenness
    units = next((reading.value or 0.0 for reading in readings if reading.name == "size"), 0.0)
    even = any(r.name == "evenness" and r.strength >= _even_for(r.sample or 0) for r in readings)  # NaN is not
    uneven = of_all_ages and not several_new and not even
    few = units < LEAST_UNITS
    pivot = next((reading.value for reading in readings if reading.name == "release_pivot"), None)
    crowd = in_one_place or (pivot is not None and pivot >= ALL_MOVED)
    exchange = strength.get("exchange", 0.0) >= 1.0
    least_hours = 72.0 if crowd else 0.0 if exchange else 0.75 if far_apart else 1.5
    most_requests = 50_000 if crowd else 5_000
    brief = hours < least_hours and requests < most_requests
    if score < WARNING_AT or repeats or brief or uneven or few:
        return "watch"
    large = strength.get("size", 0.0) > 0.5 or requests >= MANY_ANSWERS
    return "critical" if score >= CRITICAL_AT and large else "warning"

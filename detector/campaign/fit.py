"""Labelled readings -> weights: a logistic regression that keeps the rules of the house.

    minimise   Σ  w(u)  mean  log-loss(u, i; theta)   +   1/2 | (theta - theta0) / PRIOR_SPREAD |^2
               u         i

over theta = (bias, weights). A *group* u is one true campaign of one stream, or one benign group of accounts. It was
read again and again while it grew, and its readings i share the weight of one, or a class that met every morning
would outvote all campaigns. Campaigns together count as much as benign groups together, and w(u) is 1 for the
rarer kind: a stream has a hundred benign groups to a campaign, nearly all of them easy, and that ratio is
the simulator's, not the world's. theta0 are the weights of today: what the streams do not tell stays where
it is. An unknown reading counts as `confidence` counts it, so what is fitted is what is used.

Constraints, all linear, so that the problem stays convex and has one answer (SLSQP, from theta0 made feasible):

- monotone: every weight is at least 0;
- the bias is in BIAS: a group that shows nothing is no campaign, whatever the mix of the streams;
- **behaviour alone stays at watch** (`domain.md`, Combination): bias + every weight of BEHAVIOUR is below the
  log-odds of WARNING_AT. To warn takes something of what is asked, or of who pays: CONTENT or IDENTITY;
- **no reading speaks alone**: bias + any one weight is below the log-odds of WARNING_AT. That two
  unrelated accounts support each other is not for the weights: a group is several accounts by construction.

So confidence is calibrated where a campaign is as likely as not before anything is read. Where campaigns
are rarer among the groups, it says more than the probability; the page of `evaluate` shows it for what is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import optimize

from detector.campaign.confidence import BEHAVIOUR, UNKNOWN, WARNING_AT, WARNING_ODDS
from detector.campaign.weights import READINGS, Figures, Weights, from_vector, vector
from detector.event import F64, I64, Mask

BIAS: Final = (-14.0, -4.0)
MOST: Final = 8.0  # of one weight
PRIOR_SPREAD: Final = 4.0  # a weight may move so far for what half a nat in one group is worth
DECIMALS: Final = 2  # of a weight; more would claim to be known
_SLACK: Final = 0.1  # rounding all weights moves a sum by less


@dataclass(frozen=True, slots=True)
class Samples:
    """n readings of U groups: `strengths` [n, len(READINGS)], NaN unknown; `group` in 0..U-1, all of one label."""

    strengths: F64
    true: Mask
    group: I64

    @property
    def weight(self) -> F64:
        """What each reading counts, [n]: groups of a kind the same, and each kind as much as the rarer has groups."""
        alike = 1.0 / np.bincount(self.group)[self.group]
        campaigns, benign = float(alike[self.true].sum()), float(alike[~self.true].sum())
        least = min(campaigns, benign)
        return np.asarray(alike * np.where(self.true, least / max(campaigns, 1), least / max(benign, 1)), np.float64)


def joined(parts: Iterable[Samples]) -> Samples:
    """Return the samples of several streams as one; no group is of two streams."""
    held = [part for part in parts if len(part.group)]
    starts = np.cumsum([0, *(int(part.group.max()) + 1 for part in held)])
    if not held:
        return Samples(np.empty((0, len(READINGS))), np.empty(0, np.bool_), np.empty(0, np.int64))
    return Samples(
        np.concatenate([part.strengths for part in held]),
        np.concatenate([part.true for part in held]),
        np.concatenate([part.group + start for part, start in zip(held, starts[:-1].tolist(), strict=True)]),
    )


def _rules() -> tuple[F64, F64]:
    """Return (A, b) of the constraints A theta <= b that are not bounds: those of `broken_rule`, with room to round."""
    names = Weights.__struct_fields__
    rows = [[float(name == "bias" or name in BEHAVIOUR) for name in names]]
    rows += [[float(name in ("bias", alone)) for name in names] for alone in READINGS]
    return np.array(rows), np.full(len(rows), WARNING_ODDS - _SLACK)


def fit(samples: Samples, prior: Weights) -> Weights:
    """Return the weights that fit best; raise ValueError where there is nothing to tell apart."""
    if not samples.true.any() or samples.true.all():
        raise ValueError("a fit takes both campaigns and benign groups")
    x, weight = _design(samples), samples.weight
    groups = float(weight.sum())
    theta0 = np.array(vector(prior))
    sign = np.where(samples.true, -1.0, 1.0)

    def loss(theta: F64) -> tuple[float, F64]:
        margin = sign * (x @ theta)
        off = (theta - theta0) / PRIOR_SPREAD
        value = float(weight @ np.logaddexp(0.0, margin)) + 0.5 * float(off @ off)
        slope = (weight * sign / (1 + np.exp(-margin))) @ x + off / PRIOR_SPREAD
        return value / groups, slope / groups

    matrix, most = _rules()
    found: Any = optimize.minimize(
        loss,
        theta0,
        jac=True,
        method="SLSQP",
        bounds=[BIAS, *[(0.0, MOST)] * len(READINGS)],
        constraints=[{"type": "ineq", "fun": lambda t: most - matrix @ t, "jac": lambda _: -matrix}],
        options={"maxiter": 1_000, "ftol": 1e-10},
    )
    if not found.success:
        raise ValueError(f"no weights were found: {found.message}")
    theta = np.round(np.clip(found.x, [BIAS[0]] + [0.0] * len(READINGS), [BIAS[1]] + [MOST] * len(READINGS)), DECIMALS)
    return from_vector((theta + 0.0).tolist())  # -0.0 is 0.0


def figures(samples: Samples, weights: Weights) -> Figures:
    """Return how well the weights tell the groups apart."""
    odds = _design(samples) @ np.array(vector(weights))
    score = 1 / (1 + np.exp(-odds))
    groups = int(samples.group.max(initial=-1)) + 1
    true, loudest = np.zeros(groups, np.bool_), np.zeros(groups)
    true[samples.group] = samples.true
    np.maximum.at(loudest, samples.group, score)
    share = samples.weight / max(samples.weight.sum(), 1e-9)
    return Figures(
        campaigns=int(true.sum()),
        benign=int((~true).sum()),
        log_loss=round(float(share @ np.logaddexp(0.0, np.where(samples.true, -odds, odds))), 4),
        brier=round(float(share @ (score - samples.true) ** 2), 4),
        benign_loud=int((~true & (loudest >= WARNING_AT)).sum()),
        campaigns_quiet=int((true & (loudest < WARNING_AT)).sum()),
    )


def _design(samples: Samples) -> F64:
    known = np.where(np.isnan(samples.strengths), UNKNOWN, samples.strengths)
    return np.column_stack([np.ones(len(known)), known])


def strengths_of(rows: Sequence[Sequence[float]]) -> F64:
    """Return readings as the matrix of `Samples`, also when there are none."""
    return np.array(rows, np.float64).reshape(len(rows), len(READINGS))

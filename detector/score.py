"""Readings -> one score per account, and its reasons.

Behaviour alone is high recall and low precision: an honest agent fleet looks robot-like too. So
signals have a *nature*, and each nature has a ceiling:

    behaviour                  how it uses the service      never beyond BEHAVIOUR_CEILING
    content, with behaviour    what it asks for             never beyond WATCH_CEILING: more takes other accounts
    proof                      near-deterministic           up to 1

Within a nature the readings combine as if independent, 1 - prod(1 - weight * strength): a second
weak reading adds less than the first. They are not independent, which is why weights are low.
An account so large that it is a campaign by itself is the other way past the ceiling: reasoning
extraction and output volume both near their ends, SOLE_AT or more.

The score ranks; it is no probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

import numpy as np

from detector.event import F32


class Nature(Enum):
    """How much a signal can say by itself."""

    BEHAVIOUR = "behaviour"
    CONTENT = "content"
    PROOF = "proof"


BEHAVIOUR_CEILING: Final = 0.5
WATCH_CEILING: Final = 0.6  # findings above it may be warnings; at or below it they are `watch`
SOLE_AT: Final = 0.9
SOLE_WEIGHT: Final = 0.8

# Weights of 2026-11: by the precision domain.md gives each signal, not fitted.
WEIGHTS: Final[dict[str, tuple[Nature, float]]] = {
    "canary": (Nature.PROOF, 1.0),
    "block_replay": (Nature.PROOF, 0.9),
    "reasoning_extraction": (Nature.CONTENT, 0.6),
    "grading": (Nature.CONTENT, 0.2),
    "probing": (Nature.CONTENT, 0.4),
    "template_concentration": (Nature.CONTENT, 0.2),
    "harvest_shape": (Nature.BEHAVIOUR, 0.25),
    "no_ramp": (Nature.BEHAVIOUR, 0.25),
    "tier_excess": (Nature.BEHAVIOUR, 0.2),
    "relay": (Nature.BEHAVIOUR, 0.2),
    "many_addresses": (Nature.BEHAVIOUR, 0.15),
    "many_clients": (Nature.BEHAVIOUR, 0.15),
    "output_volume": (Nature.BEHAVIOUR, 0.15),
    "request_rate": (Nature.BEHAVIOUR, 0.15),
    "no_idle": (Nature.BEHAVIOUR, 0.1),
    "regular_gaps": (Nature.BEHAVIOUR, 0.1),
    "narrow_capability": (Nature.BEHAVIOUR, 0.1),
}


def scores(names: Sequence[str], strengths: F32) -> F32:
    """Return the score of each account from strengths [signals, n], NaN meaning nothing is known."""
    answered = np.nan_to_num(strengths)
    absent = {nature: np.ones(strengths.shape[1], np.float32) for nature in Nature}
    for name, strength in zip(names, answered, strict=True):
        nature, weight = WEIGHTS[name]
        absent[nature] *= 1 - np.float32(weight) * strength
    behaviour = np.minimum(1 - absent[Nature.BEHAVIOUR], np.float32(BEHAVIOUR_CEILING))
    watch = np.minimum(1 - (1 - behaviour) * absent[Nature.CONTENT], np.float32(WATCH_CEILING))
    if "reasoning_extraction" in names and "output_volume" in names:
        pair = [answered[names.index(name)] for name in ("reasoning_extraction", "output_volume")]
        sole = np.minimum(*pair)
        absent[Nature.PROOF] *= 1 - np.float32(SOLE_WEIGHT) * np.where(sole >= SOLE_AT, sole, np.float32(0))
    total: F32 = np.round(1 - (1 - watch) * absent[Nature.PROOF], 4).astype(np.float32)
    return total


def strongest(names: Sequence[str], strengths: F32, most: int) -> list[tuple[int, float, float]]:
    """Return (signal number, strength, weight) of one account's readings above 0, strongest contribution first."""
    found = [
        (number, float(strength), WEIGHTS[name][1])
        for number, (name, strength) in enumerate(zip(names, strengths.tolist(), strict=True))
        if strength > 0  # False for NaN
    ]
    return sorted(found, key=lambda reading: (-reading[1] * reading[2], reading[0]))[:most]

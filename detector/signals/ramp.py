"""From a number to a strength in [0, 1]: nothing up to `low`, everything from `high`, NaN stays NaN."""

from __future__ import annotations

import numpy as np

from detector.event import F32


def linear(numbers: F32, low: float, high: float) -> F32:
    """Ramp evenly from `low` to `high` (which may be the smaller: then small numbers are strong)."""
    ramped: F32 = np.clip((numbers - np.float32(low)) / np.float32(high - low), 0, 1)
    return ramped


def logarithmic(numbers: F32, low: float, high: float) -> F32:
    """Ramp by ratio from `low` to `high`, both positive: for rates and volumes, which span decades."""
    scale = np.float32(1 / np.log(high / low))
    ramped: F32 = np.clip(np.log(np.maximum(numbers, np.float32(low)) / np.float32(low)) * scale, 0, 1)
    return ramped


def share(part: F32, whole: F32, least: float) -> F32:
    """Return part / whole, NaN where fewer than `least` are known: a share of few says nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole >= least, part / whole, np.float32(np.nan)).astype(np.float32)

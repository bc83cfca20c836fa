"""What holds of every reading."""

from __future__ import annotations

import math
from collections.abc import Sequence

from detector.campaign.group import Reading


def check(readings: Sequence[Reading]) -> None:
    """Each is a share with its value and a sentence with a number, or unknown."""
    for one in readings:
        if math.isnan(one.strength):
            assert one.value is None
        else:
            assert 0 <= one.strength <= 1
            assert one.value is not None
            assert any(char.isdigit() for char in one.because), one

"""The weights file: what is read back, and what is refused."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from detector.campaign.weights import (
    DEFAULT,
    PACKAGED,
    READINGS,
    Figures,
    Trial,
    WeightsFile,
    from_vector,
    parse,
    render,
    vector,
)
from detector.errors import InputError

FIGURES = Figures(campaigns=2, benign=30, log_loss=0.1, brier=0.01, benign_loud=0, campaigns_quiet=1)
TRIAL = Trial(
    streams=["relay seed 1", 'a "quoted" folder', *(f"stream {n}" for n in range(20))], before=FIGURES, after=FIGURES
)
FILE = WeightsFile(
    date=dt.date(2026, 11, 23), reviewed_by="A. Reader", reason="because", weights=DEFAULT, fitted=TRIAL, checked=TRIAL
)


def test_a_file_is_read_as_it_was_written() -> None:
    assert parse(render(FILE)) == FILE
    bare = msgspec.structs.replace(FILE, fitted=None, checked=None)
    assert parse(render(bare)) == bare
    quoted = msgspec.structs.replace(bare, reason='two lines, the second of them\n"quoted" with a \\ in it')
    assert parse(render(quoted)) == quoted


def test_the_weights_that_come_with_the_detector_are_dated_and_reviewed_and_say_why() -> None:
    assert PACKAGED.weights == DEFAULT
    assert PACKAGED.reviewed_by
    assert PACKAGED.reason
    assert PACKAGED.date >= dt.date(2026, 11, 1)


def test_what_nobody_has_reviewed_is_refused() -> None:
    with pytest.raises(InputError, match="reviewed_by"):
        parse(render(msgspec.structs.replace(FILE, reviewed_by=" ")))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[weights]", "[weights", "not TOML"),
        ("size = ", "sise = ", "sise"),
        ("size = ", "size = -", "weights.size"),
        ("bias = -", "bias = ", "weights.bias"),
        ("reason = ", "because = ", "because"),
        ("date = ", "date = 20", "TOML"),
        ("spread = 1.0", "", "spread"),
        ("lockstep = 1.0", "", "lockstep"),  # of a detector that did not read it yet
    ],
)
def test_a_bad_file_is_refused_by_what_is_wrong_in_it(old: str, new: str, said: str) -> None:
    plain = msgspec.structs.replace(FILE, weights=from_vector([-10.0, *[1.0] * len(READINGS)]))
    with pytest.raises(InputError, match=said):
        parse(render(plain).replace(old, new))


def test_a_vector_of_weights_is_the_weights() -> None:
    assert from_vector(vector(DEFAULT)) == DEFAULT

"""What every signal keeps to; a new member of SIGNALS joins by itself."""

from __future__ import annotations

import re

import numpy as np
import pytest

from detector.account import TIERS
from detector.event import hash64
from detector.score import WEIGHTS
from detector.signals import SIGNALS, Signal
from detector.signals.canary import Canary
from detector.window.columns import AccountColumns, Column

every_signal = pytest.mark.parametrize("signal", SIGNALS, ids=[signal.name for signal in SIGNALS])

_KNOWN_OF = {
    Column.REFUSED_24H: Column.OUTCOMES_24H,
    Column.FAILED_24H: Column.OUTCOMES_24H,
    Column.SINGLE_TURN_24H: Column.TURNS_24H,
    Column.LONG_OUTPUTS_24H: Column.OUTPUTS_24H,
    Column.SAME_LIMITS_24H: Column.LIMITS_24H,
    Column.MANY_SAMPLES_24H: Column.SAMPLINGS_24H,
    Column.EXTRACTIONS_24H: Column.TEXTS_24H,
    Column.GRADINGS_24H: Column.TEXTS_24H,
    Column.PROBES_24H: Column.TEXTS_24H,
    Column.FOREIGN_BLOCKS_24H: Column.BLOCKS_24H,
    Column.TOP_CAPABILITY: Column.CAPABILITIES,
}


def accounts(n: int, seed: int = 0) -> AccountColumns:
    """Accounts of every size about which everything is known; counts of a kind stay below their whole."""
    rng = np.random.default_rng(seed)
    values = (10 ** rng.uniform(0, 8, (len(Column), n))).astype(np.float32)
    for part, whole in _KNOWN_OF.items():
        values[whole] = rng.integers(1, 10_000, n)
        values[part] = np.floor(values[whole] * rng.random(n))
    values[Column.TIER] = rng.integers(0, len(TIERS), n)
    values[Column.ACTIVE_HOURS_24H] = rng.integers(1, 25, n)
    values[Column.TEMPLATE_EVENNESS_24H] = rng.random(n)
    values[Column.GAP_OCTAVES_24H] = rng.uniform(0, 4, n)
    values[Column.AGE_DAYS] = rng.uniform(0, 40, n)
    return AccountColumns(values, rng.integers(1, 1 << 63, n, dtype=np.uint64))


def only(columns: AccountColumns, row: int) -> AccountColumns:
    return AccountColumns(np.ascontiguousarray(columns.values[:, row : row + 1]), columns.account[row : row + 1])


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.array_equal(a, b, equal_nan=True))


@every_signal
def test_strengths_are_between_0_and_1_or_unknown(signal: Signal) -> None:
    strengths = signal.strengths(accounts(2000))
    assert strengths.dtype == np.float32
    assert strengths.shape == (2000,)
    known = strengths[~np.isnan(strengths)]
    assert len(known)
    assert known.min() >= 0
    assert known.max() <= 1


@every_signal
def test_what_it_needs_being_unknown_makes_the_strength_unknown(signal: Signal) -> None:
    for column in signal.needs:
        columns = accounts(50)
        columns.values[column] = np.nan
        assert np.isnan(signal.strengths(columns)).all(), column.name


@every_signal
def test_an_account_of_which_nothing_is_known_has_no_strength_above_0(signal: Signal) -> None:
    values = np.full((len(Column), 1), np.nan, np.float32)
    strength = signal.strengths(AccountColumns(values, np.ones(1, np.uint64)))
    assert not (strength > 0).any()


@every_signal
def test_an_account_is_judged_alone_as_in_a_batch(signal: Signal) -> None:
    columns = accounts(257)
    unknown = np.random.default_rng(1).random(columns.values.shape) < 0.1
    columns.values[unknown] = np.nan
    together = signal.strengths(columns)
    alone = np.concatenate([signal.strengths(only(columns, row)) for row in range(257)])
    assert same(np.round(together, 5), np.round(alone, 5))


@every_signal
def test_more_of_what_it_rises_with_is_never_less(signal: Signal) -> None:
    for column in signal.rises_with:
        columns = accounts(500, seed=2)
        before = signal.strengths(columns)
        whole = _KNOWN_OF.get(column)
        more = columns.values[column] * np.float32(1.3) + 1
        columns.values[column] = more if whole is None else np.minimum(more, columns.values[whole])
        after = signal.strengths(columns)
        assert (after[~np.isnan(before)] >= before[~np.isnan(before)] - 1e-6).all(), column.name


@every_signal
def test_the_sentence_has_numbers_and_so_do_value_and_baseline(signal: Signal) -> None:
    columns = accounts(200, seed=3)
    for row in np.flatnonzero(signal.strengths(columns) >= 0)[:20].tolist():
        assert re.search(r"\d", signal.because(columns, row))
        assert np.isfinite(signal.value(columns, row))
        assert np.isfinite(signal.baseline(columns, row))


@every_signal
def test_it_can_both_speak_and_stay_silent(signal: Signal) -> None:
    columns = accounts(5000, seed=4)
    columns.account[0] = hash64("a", 0)
    tried = Canary(account_ids=("a",)) if signal.name == Canary.name else signal
    strengths = tried.strengths(columns)
    assert (strengths > 0.5).any()
    assert (strengths == 0).any()


@every_signal
def test_it_has_a_weight_and_its_settings_have_defaults(signal: Signal) -> None:
    assert signal.name in WEIGHTS
    assert type(signal)() == signal


def test_names_are_unique() -> None:
    names = [signal.name for signal in SIGNALS]
    assert len(set(names)) == len(names)
    assert set(names) == set(WEIGHTS)

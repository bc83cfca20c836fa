"""Distinct counts and evenness, against counting with a set."""

from __future__ import annotations

import numpy as np
import pytest

from detector.window import distinct


@pytest.mark.parametrize(("n", "words", "tolerance"), [(1, 1, 0.02), (5, 1, 0.25), (20, 2, 0.2), (100, 2, 0.25)])
def test_the_estimate_is_near_the_number_of_different_values(n: int, words: int, tolerance: float) -> None:
    rng = np.random.default_rng(7)
    errors = []
    for _ in range(200):
        marks = np.bitwise_or.reduce(distinct.bits(rng.integers(1, 1 << 63, n, dtype=np.uint64), words))
        errors.append(float(distinct.count(marks[None])[0]) / n - 1)
    assert abs(np.mean(errors)) < 0.05
    assert np.quantile(np.abs(errors), 0.9) < tolerance


def test_repeats_and_unknown_values_do_not_count() -> None:
    once = distinct.bits(np.array([5], np.uint64), 2)
    again = np.bitwise_or.reduce(distinct.bits(np.array([5, 5, 0, 5], np.uint64), 2))
    assert np.array_equal(once[0], again)


def test_a_full_bitmap_says_its_most_and_no_infinity() -> None:
    full = np.full((1, 2), 0xFFFFFFFFFFFFFFFF, np.uint64)
    assert float(distinct.count(full)[0]) == pytest.approx(128 * np.log(128), rel=1e-5)


def test_one_template_is_even_0_and_many_are_near_1() -> None:
    rng = np.random.default_rng(3)
    counts = np.zeros((3, distinct.BUCKETS), np.float32)
    counts[0, 4] = 200
    counts[1] = np.bincount(distinct.bucket(rng.integers(1, 1 << 63, 200, dtype=np.uint64)), minlength=16)
    counts[2, 4] = 1
    even = distinct.evenness(counts)
    assert even[0] == 0
    assert even[1] > 0.95
    assert np.isnan(even[2])


def test_evenness_of_few_prompts_is_not_far_below_that_of_many() -> None:
    """The bias correction: 20 prompts of different templates are varied, not concentrated."""
    rng = np.random.default_rng(3)
    values = rng.integers(1, 1 << 63, (200, 20), dtype=np.uint64)
    counts = np.stack([np.bincount(distinct.bucket(row), minlength=16) for row in values]).astype(np.float32)
    assert distinct.evenness(counts).mean() > 0.9

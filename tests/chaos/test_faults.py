"""The schedule of faults."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.faults import RANGES, WORKERS, Kind, schedule

seeds = st.integers(0, 2**32)


@given(seeds, st.integers(0, 200))
def test_a_seed_gives_the_same_faults_every_time_and_in_the_order_of_their_moments(seed: int, faults: int) -> None:
    found = schedule(seed, faults)
    assert found == schedule(seed, faults)
    assert len(found) == faults
    assert found == sorted(found, key=lambda fault: fault.at)


@given(seeds, st.integers(0, 200))
def test_no_kind_comes_a_second_time_before_all_have_come_once(seed: int, faults: int) -> None:
    often = Counter(fault.kind for fault in schedule(seed, faults))
    assert max(often.values(), default=0) - min((often[kind] for kind in Kind), default=0) <= 1


@given(seeds)
def test_faults_fall_into_the_stream_on_workers_that_exist_and_within_the_range_of_their_kind(seed: int) -> None:
    for fault in schedule(seed, 50):
        least, most = RANGES[fault.kind]
        assert 0 < fault.at < 1
        assert 0 <= fault.worker < WORKERS
        assert least <= fault.much <= most


def test_two_seeds_disturb_different_moments() -> None:
    assert schedule(1, 20) != schedule(2, 20)

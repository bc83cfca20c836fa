from dataclasses import replace
from itertools import pairwise

import msgspec

from detector.runtime.traffic import slots
from detector.simulate import SCENARIOS, simulate

WIDTH_MS = 60_000
WORLD = replace(SCENARIOS["demo"], days=0.06)


def test_every_line_of_the_simulation_is_sent_once_and_in_order() -> None:
    sent = [line for slot in slots(simulate(WORLD, 3), WIDTH_MS) for _, line in slot.events]
    assert sent == [line for chunk in simulate(WORLD, 3).chunks() for line in chunk]


def test_a_record_is_keyed_by_the_account_of_its_event() -> None:
    for slot in slots(simulate(WORLD, 3), WIDTH_MS):
        for key, line in slot.events:
            assert msgspec.json.decode(line)["account_id"].encode() == key


def test_nothing_is_sent_before_its_event_time_and_time_goes_on_when_nothing_happens() -> None:
    times = []
    for slot in slots(simulate(WORLD, 3), WIDTH_MS):
        times.append(slot.time_ms)
        assert all(msgspec.json.decode(line)["time_ms"] < slot.time_ms for _, line in slot.events)
    assert {later - earlier for earlier, later in pairwise(times)} == {WIDTH_MS}

"""The comparison sees what it is there to see."""

from __future__ import annotations

from dataclasses import replace

import pytest

from detector import config as configuration
from detector.finding import encode
from detector.runtime.replay import replay
from tests.chaos import comparison, stream
from tests.chaos.comparison import Outcome
from tests.chaos.group import Setting
from tests.chaos.stream import Stream

CONFIG = configuration.load(None, Setting(partitions=4).environment())


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    return stream.made(tmp_path_factory.mktemp("stream") / "stream", 2_000, 1, CONFIG)


@pytest.fixture(scope="module")
def whole(recorded: Stream) -> Outcome:
    return comparison.expected(recorded, CONFIG)


def without(recorded: Stream, number: int) -> Stream:
    """The same stream, one line short."""
    lines = recorded.path.read_bytes().splitlines(keepends=True)
    path = recorded.path.with_name(f"without-{number}")
    path.write_bytes(b"".join(lines[:number] + lines[number + 1 :]))
    return replace(recorded, path=path, events=recorded.events - 1, slices=[len(lines) - 1])


def test_a_run_is_compared_with_what_a_replay_says(recorded: Stream, whole: Outcome) -> None:
    found = replay(recorded.pieces(), recorded.accounts, CONFIG.pipeline())
    assert whole.findings == [encode(finding) for finding in found if finding.time_ms <= recorded.end_ms]
    assert whole.findings


def test_equal_outcomes_are_equal(whole: Outcome) -> None:
    assert comparison.compared(whole, whole).well


def test_one_event_less_is_one_lost_and_one_more_is_one_counted_twice(recorded: Stream, whole: Outcome) -> None:
    short = comparison.expected(without(recorded, 1_000), CONFIG)
    lost, twice = comparison.compared(whole, short), comparison.compared(short, whole)
    assert not lost.well
    assert not twice.well
    assert not lost.accounts_equal
    assert sum(whole.requests.values()) - sum(short.requests.values()) == 1
    assert lost.lost >= 1
    assert twice.twice >= 1


def test_a_finding_or_a_dead_letter_that_is_missing_is_lost_and_one_too_many_is_counted_twice(whole: Outcome) -> None:
    for short in (
        replace(whole, findings=whole.findings[:-1]),
        replace(whole, dead=set(sorted(whole.dead)[:-1])),
    ):
        assert (comparison.compared(whole, short).lost, comparison.compared(whole, short).twice) == (1, 0)
        assert (comparison.compared(short, whole).lost, comparison.compared(short, whole).twice) == (0, 1)


def test_a_finding_that_is_told_again_is_one_finding_and_counted_as_told_again() -> None:
    assert comparison.each_once([b"a", b"b", b"a", b"c", b"b", b"a"]) == ([b"a", b"b", b"c"], 3)
    assert comparison.each_once([]) == ([], 0)


def test_findings_in_another_order_are_a_difference(whole: Outcome) -> None:
    turned = replace(whole, findings=whole.findings[::-1])
    assert comparison.compared(whole, turned).differences == ("findings in another order",)


def test_another_state_of_a_partition_is_a_difference(whole: Outcome) -> None:
    other = replace(whole, parts={**whole.parts, "links:0 edges": b"other"})
    assert comparison.compared(whole, other).differences == ("links:0 edges differs",)


def test_another_verdict_is_a_difference(whole: Outcome) -> None:
    assert whole.verdicts, "else it would not be looked at"
    account_id = min(whole.verdicts)
    late = replace(whole, verdicts={**whole.verdicts, account_id: b"an older one"})
    assert comparison.compared(whole, late).differences == (f"another verdict on {account_id}",)


def test_what_stands_of_an_account_is_what_came_last() -> None:
    assert comparison.standing([("a", b"older"), ("b", b"one"), ("a", b"newer")]) == {"a": b"newer", "b": b"one"}
    assert comparison.standing([("a", b"newer"), ("a", None)]) == {}
    assert comparison.standing([("a", b"newer"), ("a", b"older")]) == {"a": b"older"}, "a reader would not know"

"""A stream and its labels through a detector: what passes, what is kept, what comes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from detector.baselines import BASELINES
from detector.errors import InputError
from detector.finding import Finding
from detector.runtime.evaluate import OURS, OURS_ALONE, Detect, compare, read_truth
from tests.evaluate.cases import HOUR, START, benign, campaign, finding

TRUTH = [*campaign("h0", "h1"), *benign("p0")]


def line(account: str, time_ms: int, **fields: object) -> bytes:
    event = {"id": f"{account}{time_ms}", "time_ms": time_ms, "account_id": account, "model": "m", **fields}
    return msgspec.json.encode(event)


def stream(hours: int = 10) -> list[list[bytes]]:
    """Three accounts, one request each an hour; a chunk an hour."""
    return [[line(a, START + h * HOUR) for a in ("h0", "h1", "p0")] for h in range(hours)]


def says(*findings: Finding) -> Detect:
    """A detector that reads everything and then says these."""

    def detect(chunks: Iterable[list[bytes]]) -> Iterator[Finding]:
        for _ in chunks:
            pass
        yield from findings

    return detect


def test_the_card_is_the_same_whether_findings_come_along_the_way_or_at_the_end() -> None:
    told = finding(START + 3 * HOUR, ["h0", "h1"])

    def at_once(chunks: Iterable[list[bytes]]) -> Iterator[Finding]:
        for number, _ in enumerate(chunks):
            if number == 3:
                yield told

    early, late = (compare(stream(), TRUTH, d, baselines=())[0] for d in (at_once, says(told)))
    assert early.served_share == late.served_share == pytest.approx(0.3)
    assert early.exposure_median == late.exposure_median == 3


def test_a_detector_that_stops_early_is_measured_over_the_whole_stream() -> None:
    card = compare(stream(10), TRUTH, lambda chunks: [], baselines=())[0]
    assert card.events == 30
    assert card.campaigns[0].exchanges == 20


def test_the_detector_gets_every_line_as_it_came() -> None:
    got: list[bytes] = []

    def detect(chunks: Iterable[list[bytes]]) -> list[Finding]:
        for chunk in chunks:
            got.extend(chunk)
        return []

    chunks = [[*stream(1)[0], b"no event", line("h0", START)]]  # the last is a redelivery
    card = compare(chunks, TRUTH, detect, baselines=())[0]
    assert got == chunks[0]
    assert card.events == 3


def test_account_findings_are_also_scored_alone() -> None:
    together = finding(START, ["h0", "h1"])
    single = finding(START + 2 * HOUR, ["h0"], finding_id="g", kind="account")
    ours, alone = compare(stream(), TRUTH, says(together, single), baselines=())
    assert (ours.system, alone.system) == (OURS, OURS_ALONE)
    assert ours.recall == 1
    assert alone.recall == 0.5
    assert alone.campaign_recall == 0


def test_every_baseline_has_a_card_on_the_same_stream() -> None:
    cards = compare(stream(), TRUTH, says())
    assert [c.system for c in cards[2:]] == [make().name for make in BASELINES]
    assert {c.events for c in cards} == {30}


def test_what_an_event_says_of_itself_goes_before_what_its_account_is() -> None:
    chunks = [[line("h0", START, x_truth="campaign"), line("h0", START + 1, x_truth="benign"), line("h1", START + 2)]]
    assert compare(chunks, TRUTH, says(), baselines=())[0].campaigns[0].exchanges == 2


def test_a_stream_without_an_event_is_refused() -> None:
    with pytest.raises(InputError):
        compare([[b"{}"]], TRUTH, says(), baselines=())


def test_a_bad_line_of_truth_is_named(tmp_path: Path) -> None:
    path = tmp_path / "truth.ndjson"
    path.write_bytes(b'{"account_id":"a","label":"benign"}\n{"account_id":"b","label":"perhaps"}\n')
    with pytest.raises(InputError, match=r"truth\.ndjson:2"):
        read_truth(path)


def test_an_empty_truth_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "truth.ndjson"
    path.write_bytes(b"\n")
    with pytest.raises(InputError, match="no ground truth"):
        read_truth(path)

"""The summary of a long run, and when it is a failure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from tests.bench.chaos import Line, table
from tests.chaos.comparison import Verdict

LINE = Line(
    seed=7,
    events=1_000,
    findings=200,
    told_again=3,
    accounts=50,
    faults=Counter({"kill": 2}),
    idle=[],
    cuts=0,
    told=Counter(),
    reasons=[],
    exits=Counter(),
    seconds=60.0,
    verdict=Verdict(findings_equal=True, accounts_equal=True, lost=0, twice=0, differences=()),
)


def test_a_run_in_which_a_kind_of_fault_hit_nothing_or_anything_differs_is_not_well() -> None:
    assert LINE.well
    assert not replace(LINE, idle=["kill"]).well
    assert not replace(LINE, verdict=replace(LINE.verdict, lost=1)).well


def test_findings_that_were_told_again_have_a_column() -> None:
    (column,) = [one for one in table([LINE]).columns if one.header == "told again"]
    assert list(column.cells) == ["3"]

"""What stage 3 remembers of the conduct of accounts: a day of tiles, their first day, new models, the reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.campaign import candidate
from detector.campaign.behaviour import DAY_MS, HOUR_MS, LEAST_REFERENCE, RELEASES, TILE_MS, TILES
from detector.campaign.table import Table
from detector.event import hash64
from detector.stages.candidates import CandidateTables
from detector.stages.conduct import COLUMNS, MOST_MODELS, REFRESH_MS, SETTLED_MS, Conducts, mark, unrolled
from detector.stages.links import LinkPartition, LinkSettings
from detector.stages.population import Population
from tests.campaign.observed import facts_of

START = 20_000 * DAY_MS
LATER = START + SETTLED_MS + HOUR_MS
NAMES = tuple(f"a{n:03}" for n in range(80))
NOTHING = LinkPartition(LinkSettings(sources=1, filter_slots=1 << 4))._nothing(0)

TOLD = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5 * TILES)), max_size=12)


@given(st.lists(TOLD, max_size=8), st.integers(0, 2 * TILES))
def test_a_ring_holds_the_tiles_of_the_day_before_an_accounts_last(batches: list[Any], later: int) -> None:
    now = later + max((tile for batch in batches for _, tile in batch), default=0)
    table = Table(tiles=COLUMNS["tiles"], tile=COLUMNS["tile"])
    table.rows_of(np.arange(1, 5, dtype=np.uint64))
    base = 1_000_000  # a tile of our time
    slow: list[set[int]] = [set() for _ in range(4)]
    for batch in batches:
        mark(table, np.array([row for row, _ in batch], np.int64), np.array([base + t for _, t in batch], np.int64))
        for row, tile in batch:
            slow[row].add(base + tile)
        slow = [{t for t in tiles if t > max(tiles) - TILES} for tiles in slow]
    active = unrolled(table["tiles"], table["tile"], base + now)
    for row, tiles in enumerate(slow):
        assert [base + now - TILES + 1 + i for i in np.flatnonzero(active[row]).tolist()] == sorted(
            t for t in tiles if base + now - TILES < t <= base + now
        )


@given(TOLD)
def test_the_order_in_which_a_step_is_told_does_not_show(batch: list[tuple[int, int]]) -> None:
    tables = []
    for order in (batch, batch[::-1]):
        table = Table(tiles=COLUMNS["tiles"], tile=COLUMNS["tile"])
        table.rows_of(np.arange(1, 5, dtype=np.uint64))
        for row, tile in order:
            mark(table, np.array([row]), np.array([1_000_000 + tile]))
        tables.append(table.dump())
    assert tables[0] == tables[1]


class Stage:
    """The accounts of stage 3, told step by step."""

    def __init__(self) -> None:
        self.tables = CandidateTables(0, Population(30.0, 7.0))
        self.conducts = Conducts(self.tables.accounts)

    def tell(self, step_ms: int, names: tuple[str, ...] = NAMES, models: Any = (), **columns: Any) -> Any:
        """Accounts used one link each just before `step_ms`; `models` are (place, model, requests)."""
        n = len(names)
        facts = facts_of(names, {"requests_24h": lambda _: 10.0, "refused_24h": lambda _: 4.0, **columns})
        edges = {
            name: np.zeros(n, column.dtype)
            for name, column in ((name, getattr(NOTHING.edges, name)) for name in NOTHING.edges.__dataclass_fields__)
        }
        edges["account"], edges["last_ms"] = np.arange(n, dtype=np.int32), np.full(n, step_ms - 1)
        links = {name: np.ones(1, getattr(NOTHING.links, name).dtype) for name in NOTHING.links.__dataclass_fields__}
        parts = {"edges": replace(NOTHING.edges, **edges), "links": replace(NOTHING.links, **links)}
        record = replace(NOTHING, facts=facts, models=tuple(models), **parts)
        record = candidate.decode(candidate.encode(record))
        rows = self.tables.learn(record.facts, step_ms)
        self.conducts.learn(record, rows, START, step_ms)
        return rows

    def uses(self, model: str, step_ms: int, who: range, count: int = 2) -> None:
        self.tell(step_ms, models=[(place, model, count) for place in who])

    def refresh(self, step_ms: int) -> None:
        self.conducts.refresh(step_ms, lambda rows: rows >= 0)

    def rows(self, who: range) -> Any:
        return self.tables.accounts.lookup(np.array([hash64(NAMES[place], 0) for place in who], np.uint64))

    def hold(self, who: range) -> None:
        self.tables.accounts["campaign"][self.rows(who)] = 1

    def readings(self, step_ms: int, who: range = range(20)) -> dict[str, Any]:
        return {one.name: one for one in self.conducts.read(self.rows(who), step_ms)}


def test_the_first_day_of_an_account_is_kept() -> None:
    stage = Stage()
    stage.tell(LATER)
    stage.tell(LATER + DAY_MS, refused_24h=lambda _: 7.0)
    stage.tell(LATER + DAY_MS + 60_000, refused_24h=lambda _: 1.0)
    accounts = stage.tables.accounts
    assert set(accounts["told_ms"].tolist()) == {LATER}
    assert set(accounts["early_refused"].tolist()) == {7.0}
    assert set(accounts["refused_24h"].tolist()) == {1.0}


def pivoted(stage: Stage, *, settled: bool = True) -> Any:
    begin = LATER if settled else START + DAY_MS
    stage.uses("old", START + HOUR_MS, range(80))
    stage.uses("new", begin, range(40), 1)
    stage.uses("old", begin + HOUR_MS, range(20, 80), 9)
    stage.uses("new", begin + DAY_MS + HOUR_MS, range(80), 99)  # the day is over
    stage.refresh(begin + 2 * DAY_MS)
    return stage.readings(begin + 2 * DAY_MS, range(20))["release_pivot"]


def test_a_model_that_appears_late_is_followed_for_a_day() -> None:
    found = pivoted(Stage())
    assert found.value == 1.0  # twenty accounts went over for good
    assert found.baseline == round(20 * 0.1 / 60, 4)  # twenty others asked one of their ten requests of it


def test_a_model_whose_day_is_over_is_followed_no_more_while_another_is() -> None:
    stage = Stage()
    stage.uses("old", START + HOUR_MS, range(80))
    stage.uses("new", LATER, range(80))
    stage.uses("newer", LATER + HOUR_MS, range(80))
    stage.tell(LATER + DAY_MS, models=[(0, "new", 100), (0, "newer", 10), (0, "newer", 1), (1, "old", 5)])
    used = stage.tables.accounts
    assert used["release_new"].sum(axis=0).tolist() == [160, 171, 0, 0]
    assert used["release_asked"].sum(axis=0).tolist() == [320, 276, 0, 0]


def test_what_is_in_use_when_we_begin_to_watch_is_no_new_model() -> None:
    assert pivoted(Stage(), settled=False).value is None


def test_of_many_new_models_the_one_least_used_makes_room_when_its_day_is_over() -> None:
    stage = Stage()
    stage.uses("old", START + HOUR_MS, range(80))
    for n in range(RELEASES):
        stage.uses(f"new {n}", LATER + n * 60_000, range(80), 5 - n)
    stage.uses("too many", LATER + HOUR_MS, range(80), 50)
    assert stage.tables.accounts["release_new"].sum(axis=0).tolist() == [80 * (5 - n) for n in range(RELEASES)]
    stage.uses("next", LATER + DAY_MS + HOUR_MS, range(80), 7)
    assert stage.tables.accounts["release_new"].sum(axis=0).tolist() == [400, 320, 240, 560]
    assert stage.tables.accounts["release_asked"][0].tolist()[-1] == 7


def test_the_names_of_models_are_bounded() -> None:
    stage = Stage()
    for n in range(0, MOST_MODELS + 80, 80):
        stage.tell(START + HOUR_MS, models=[(place, f"m{n + place}", 1) for place in range(80)])
    assert len(stage.conducts._models) == MOST_MODELS
    stage.uses("beyond", LATER, range(80))
    assert not stage.tables.accounts["release_asked"].any()


def test_the_reference_is_of_established_accounts_that_no_campaign_holds_and_taken_every_half_hour() -> None:
    stage = Stage()
    stage.tell(LATER)
    stage.tables.accounts["campaign"][:20] = 1
    stage.conducts.refresh(LATER, lambda rows: rows >= 70)
    assert stage.conducts._reference is not None
    assert stage.conducts._reference.accounts == 10 < LEAST_REFERENCE
    stage.refresh(LATER + REFRESH_MS - 1)
    assert stage.conducts._reference.accounts == 10
    stage.refresh(LATER + REFRESH_MS)
    assert stage.conducts._reference.accounts == 60
    assert stage.conducts._reference.refused == pytest.approx(0.4)


def test_a_reference_is_read_beside_those_whom_it_counted() -> None:
    """Others are others, whether no campaign holds the group, one did before, or one came to hold it since."""
    never, before, since = Stage(), Stage(), Stage()
    before.tell(START + HOUR_MS)
    before.hold(range(20))
    found = pivoted(never), pivoted(before), pivoted(since)
    since.hold(range(20))
    assert found[0].baseline == round(20 * 0.1 / 60, 4)
    assert found == (found[0],) * 3
    assert since.readings(LATER + 2 * DAY_MS)["release_pivot"] == found[0]


def test_what_is_kept_survives_its_bytes() -> None:
    stage, again = Stage(), Stage()
    expected = pivoted(stage)
    again.tables.load(stage.tables.dump(), list(stage.tables.ids))
    again.conducts.load(stage.conducts.dump())
    assert again.conducts.dump() == stage.conducts.dump()
    for one in (stage, again):
        one.uses("newest", LATER + 3 * DAY_MS, range(80))
        one.tell(LATER + 3 * DAY_MS + TILE_MS)
        one.refresh(LATER + 4 * DAY_MS)
    assert again.tables.dump() == stage.tables.dump()
    assert repr(again.readings(LATER + 4 * DAY_MS)) == repr(stage.readings(LATER + 4 * DAY_MS))
    assert again.readings(LATER + 4 * DAY_MS)["release_pivot"] == expected


def test_before_anything_is_kept_it_survives_too() -> None:
    stage = Stage()
    stage.conducts.load(Stage().conducts.dump())
    assert stage.conducts._reference is None

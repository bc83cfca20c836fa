"""A simulation: accounts, truth and the stream of event lines, chunk by chunk.

    slice of time ─► every cohort's and campaign's requests (columns) ─► outages ─► order of arrival
                            ▲                                                        │
                            └── later requests of its sessions are held over ◄───────┴─► lines

A slice is as long as about `SLICE_EVENTS` requests take, so memory is bounded whatever the scale.
Each cohort and slice has its own generator, made from the seed and their names: the same seed gives
the same bytes, wherever the chunks are cut and whether or not an earlier chunk was looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from detector.account import AccountRecord
from detector.simulate.actors import DAY_MS, ERROR, FOREVER_MS, HOUR_MS, REQUEST, Cohort, Table, settled
from detector.simulate.benign import EVERYDAY
from detector.simulate.campaign import Pool, authors, campaign_writers, campaigns
from detector.simulate.lookalikes import LOOKALIKES
from detector.simulate.prompts import Collections, RealPrompts
from detector.simulate.rendering import lines
from detector.simulate.roster import Roster
from detector.simulate.scenario import SCENARIOS, Scenario
from detector.simulate.setting import BEGIN_MS, Setting
from detector.simulate.writers import BUSINESS, CHAT, MANY, BenignWriters, Writer

SLICE_EVENTS: Final = 120_000
SLICE_HOURS: Final = (24.0, 12.0, 6.0, 3.0, 1.0, 0.5, 0.25, 0.125)
CHUNK_EVENTS: Final = 20_000
OUTAGE_MS: Final = 30 * 60_000


Change = Callable[[Iterator[list[bytes]]], Iterator[list[bytes]]]
"""From chunks of lines to chunks of lines."""


@dataclass(slots=True)
class Simulation:
    """What `simulate` returns. Iterate `chunks()` as often as you like: each time the same lines."""

    accounts: list[AccountRecord]  # by effective time: creations, then bans among them
    truth: list[dict[str, str]]
    total_events: int  # an estimate, within some tens of per cent
    begin_ms: int
    end_ms: int
    _setting: Setting
    _sources: list[Cohort | Pool]
    _texts: list[Writer] | None
    _real: RealPrompts | None
    _through: Change | None = None

    def chunks(self, events: int = CHUNK_EVENTS) -> Iterator[list[bytes]]:
        """Yield event lines (JSON, no newline) in order of arrival, at most `events` at a time."""
        written = self._written(events)
        return self._through(written) if self._through else written

    def through(self, change: Change) -> Simulation:
        """Return the same simulation, of which nobody sees the lines but as `change` gives them on."""
        return replace(self, _through=change)

    def _written(self, events: int) -> Iterator[list[bytes]]:
        for rows in self.slices():
            for begin in range(0, len(rows), events):
                part = rows[begin : begin + events]
                yield lines(part, self._setting.roster.texts, self._setting.shapes, self._texts, self._real)

    def slices(self) -> Iterator[Table]:
        """Yield the requests (`actors.REQUEST` rows) in order of arrival, one slice of time after another."""
        held = np.zeros(0, REQUEST)
        width = self._slice_ms()
        for begin in range(self.begin_ms, self.end_ms, width):
            end = min(begin + width, self.end_ms)
            drawn = [
                source.requests(self._setting.rng(source.name, place, begin), begin, end)
                for place, source in enumerate(self._sources)
            ]
            fresh = np.concatenate([rows for rows in drawn if len(rows)] or [held[:0]])
            fresh = failing(self._setting.rng("outage", begin), fresh, self._setting.outages)
            rows = np.concatenate([held, fresh[fresh["time_ms"] < self.end_ms]])
            due = rows["arrival_ms"] < end if end < self.end_ms else np.ones(len(rows), np.bool_)
            held = rows[~due]
            rows = rows[due]
            yield rows[np.argsort(rows["arrival_ms"], kind="stable")]

    def _slice_ms(self) -> int:
        per_hour = self.total_events / max((self.end_ms - self.begin_ms) / HOUR_MS, 1e-9)
        fitting = [hours for hours in SLICE_HOURS if hours * per_hour <= SLICE_EVENTS]
        return int((fitting[0] if fitting else SLICE_HOURS[-1]) * HOUR_MS)


def failing(rng: np.random.Generator, rows: Table, outages: tuple[tuple[int, int], ...]) -> Table:
    """Let requests during an outage fail, and their clients repeat them: the same request, a new id.

    A client repeats as its `retries` say, at about 1, 2, 4 … s; one with more than 10 has no back-off
    and no patience limit but its count: once a second.
    """
    for begin, end in outages:
        hit = (rows["time_ms"] >= begin) & (rows["time_ms"] < end) & (rng.random(len(rows)) < 0.8)
        if not hit.any():
            continue
        rows["outcome"] = np.where(hit, ERROR, rows["outcome"])
        failed = rows[hit]
        times = failed["retries"].astype(np.int64)
        again = failed[np.repeat(np.arange(len(failed)), times)]
        attempt = np.arange(len(again)) - np.repeat(np.cumsum(times) - times, times) + 1
        wait_s = np.where(again["retries"] > 10, attempt, 2.0 ** np.minimum(attempt, 9) - 1) * (
            0.8 + 0.4 * rng.random(len(again))
        )
        again["time_ms"] += (wait_s * 1000).astype(np.int64)
        again = again[(again["time_ms"] < end) | (attempt == 1)]
        again["outcome"] = np.where(again["time_ms"] < end, ERROR, 0)
        again["output"] = np.where(again["time_ms"] < end, 0, 200)
        again["id"] = rng.integers(1, 1 << 63, len(again), dtype=np.uint64)
        rows = settled(rng, np.concatenate([rows, again]))
    return rows


def simulate(
    scenario: str | Scenario,
    seed: int,
    scale: float = 1.0,
    days: float | None = None,
    text: bool = True,  # noqa: FBT001, FBT002 - callers may give the first five by position
    prompts: Collections | None = None,
) -> Simulation:
    """Build a named scenario (or one of your own) and return its accounts, truth and event stream.

    `scale` multiplies numbers of accounts; `days` cuts the stream (its beginning is that of the whole);
    `text=False` leaves the prompts out; `prompts` are real ones to use instead of grammars where there are any.
    An unknown name is a KeyError.
    """
    world = SCENARIOS[scenario] if isinstance(scenario, str) else scenario
    begin_ms = BEGIN_MS + int(world.begin_hour * HOUR_MS)
    release_ms = FOREVER_MS if world.release_day is None else begin_ms + int(world.release_day * DAY_MS)
    failures = [begin_ms + int(day * DAY_MS) for day in world.outage_days]
    outages = tuple((failure, failure + OUTAGE_MS) for failure in failures)
    setting = Setting(
        seed, world.days, round(world.benign_accounts * scale), release_ms, outages, Roster(seed), begin_ms
    )
    for cohort in (*EVERYDAY, *LOOKALIKES):
        cohort(setting)
    texts = BenignWriters().all()
    pools: list[Pool] = []
    for number, dials in enumerate(world.campaigns):
        pools += campaigns(setting, dials, number, scale, world.least_accounts, len(texts))
        texts += campaign_writers(dials, number, seed)
    cohorts = setting.cohorts()
    sources: list[Cohort | Pool] = [*cohorts, *pools]
    end_ms = begin_ms + int(min(days if days is not None else world.days, world.days) * DAY_MS)
    roster = setting.roster
    records = sorted(roster.records + roster.later, key=lambda record: (record.effective_ms, record.account_id))
    records = [record for record in records if record.effective_ms < end_ms]
    known = {record.account_id for record in records}
    return Simulation(
        accounts=records,
        truth=[row for row in roster.truth if row["account_id"] in known],
        total_events=int(sum(source.expected(begin_ms, end_ms) for source in sources)),
        begin_ms=begin_ms,
        end_ms=end_ms,
        _setting=setting,
        _sources=sources,
        _texts=texts if text else None,
        _real=_dealt(prompts, setting, cohorts, pools) if prompts and text else None,
    )


def _dealt(prompts: Collections, setting: Setting, cohorts: list[Cohort], pools: list[Pool]) -> RealPrompts:
    table = np.concatenate([cohort.table for cohort in cohorts])
    people = np.unique(table["account"][np.isin(table["writer"], (CHAT, MANY))]).astype(np.int64)
    customers = np.unique(table["account"][table["writer"] == BUSINESS]).astype(np.int64)
    accounts = len(setting.roster.texts)
    return RealPrompts(prompts, setting.rng("prompts"), accounts, people, customers, authors(pools))

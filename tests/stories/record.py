"""Record the streams of the stories: `python -m tests.stories.record [NAME …]`, all of them without a name.

A recording is made once, from the simulator, and then kept: the tests read what was recorded, so that a
change of the simulator moves no expectation. Expectations (`story.toml`) are written by hand and never touched here.

    a simulated world ─► the quiet part of it ──────────┐
                     └─► what the story is about ───────┴─► thinned, fields dropped, packed ─► tests/stories/NAME/

A stream has to be small and still be a world: a campaign of sixty accounts among some hundred quiet ones
of all ages. What an account sends on a day beyond a bound is left out (the rest of a long run is more of the same).
The prompts are those of the simulator's grammars, nobody's; packed they are smaller than their sketches and outlive
a change of the sketch. One story has sketches instead of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import zstandard

from detector.runtime.sketching import sketched
from detector.simulate.actors import DAY_MS, Table
from detector.simulate.rendering import lines
from detector.simulate.scenario import Content, Dials, Scenario
from detector.simulate.simulation import Simulation, simulate

FOLDER: Final = Path(__file__).parent
QUIET: Final = ("people", "developers", "popular_tool", "niche_tool", "api_apps")
LEFT_OUT: Final = ("duration_ms", "ttft_ms", "prompt_chars", "message_count")  # nothing is found by them


@dataclass(frozen=True, slots=True)
class Recipe:
    """A world, and what of it is kept: some quiet accounts, and those of the story's cohorts and campaigns."""

    seed: int
    world: Scenario
    cohorts: tuple[str, ...] = ()
    quiet_accounts: int = 260
    quiet_per_day: int = 10  # at most, of a quiet account
    per_day: int = 150  # at most, of an account of the story
    sketches: bool = False


def _world(*campaigns: Dials, days: float = 1.0, benign: int = 1500, **more: Any) -> Scenario:
    return Scenario(
        days=days,
        campaigns=campaigns,
        benign_accounts=benign,
        **{"release_day": None, "outage_days": (), "least_accounts": 5, **more},
    )


def _campaign(content: Content, **more: Any) -> Scenario:
    return _world(Dials(**{"accounts": 60, "start_day": 0.4, "days": 0.6, "content": (content,), **more}))


def _harmless(
    seed: int, *cohorts: str, benign: int = 3000, days: float = 1.0, world: dict[str, Any] | None = None, **more: Any
) -> Recipe:
    return Recipe(seed, _world(days=days, benign=benign, **world or {}), cohorts, **more)


RECIPES: Final[dict[str, Recipe]] = {
    "fixed-template": Recipe(101, _campaign(Content(family="agentic"))),
    "paraphrased": Recipe(
        102,
        _campaign(
            Content(family="coding", templates=200, paraphrase=0.15),
            accounts=100,
            shared_payment=0.1,
            shared_network=0.1,
            shared_client=0.1,
        ),
    ),
    "naked-shared-infrastructure": Recipe(
        103,
        _campaign(Content(kind="naked"), shared_payment=0.3, shared_network=0.6, shared_client=0.8, shared_email=0.3),
    ),
    "naked-clean": Recipe(104, _campaign(Content(kind="naked"), accounts=100)),
    "hydra-mixed": Recipe(
        115,
        _world(
            Dials(
                accounts=80,
                per_account_day=6.0,
                start_day=0.4,
                days=1.2,
                content=(Content(family="coding", templates=5),),
                mixed=0.9,
                aged=0.5,
                shared_network=0.5,
                shared_payment=0.05,
                timing="human",
            ),
            days=1.6,
            benign=4000,
        ),
        quiet_accounts=900,  # half of the pool is old: it takes a wide world to see that this is too many
        quiet_per_day=3,
        per_day=40,
    ),
    "burst": Recipe(
        106,
        _campaign(
            Content(family="coding", templates=3),
            accounts=40,
            per_account_day=857.0,
            days=0.15,
            shared_network=0.3,
            shared_payment=0.3,
        ),
        per_day=1000,
    ),
    "slow": Recipe(
        107,
        _world(
            Dials(accounts=120, per_account_day=5.6, start_day=0.4, days=1.2, content=(Content(family="reasoning"),)),
            days=1.6,
        ),
        quiet_per_day=6,
    ),
    "succession": Recipe(
        108,
        _world(
            Dials(
                accounts=60,
                start_day=0.3,
                days=0.8,
                content=(Content(family="coding", templates=8, paraphrase=0.05),),
                shared_network=0.2,
                shared_payment=0.1,
                ban_day=0.35,
                successor_accounts=45,
                successor_delay_h=3.0,
            ),
            days=1.1,
        ),
    ),
    "two-operators": Recipe(
        109, _campaign(Content(family="judge", templates=2), accounts=50, shared_network=0.8, operators=2)
    ),
    "block-replay": Recipe(
        110, _campaign(Content(kind="naked"), per_account_day=13.0, timing="human", block_replay=0.6)
    ),
    "aged-accounts": Recipe(
        111,
        _world(
            Dials(accounts=60, start_day=1.05, days=0.5, content=(Content(family="extraction"),), aged=1.0), days=1.55
        ),
        quiet_per_day=6,
    ),
    "text-withheld": Recipe(112, _campaign(Content(family="generation", templates=3)), sketches=True),
    "canary": Recipe(113, _world(days=0.5), quiet_accounts=150),
    "probing": Recipe(
        116,
        _world(
            Dials(
                accounts=60,
                start_day=0.3,
                days=2.0,
                content=(Content(family="tooluse", templates=3),),
                probe_accounts=12,
                probe_days=1.0,
                ramp_days=1.1,
            ),
            days=2.3,
            benign=12_000,
        ),
        # "refused more than others" takes fifty established accounts that share something: these do
        ("nightly_evaluation", "company_accounts"),
        quiet_accounts=60,
        per_day=28,
    ),
    "release-pivot": Recipe(
        117,
        _world(
            Dials(accounts=60, start_day=2.9, days=1.5, content=(Content(family="analysis", templates=4),)),
            days=4.4,  # for three days every model may be an old one
            benign=3000,
            release_day=3.3,
        ),
        ("release_day", "hackathon"),
        quiet_per_day=2,
        per_day=18,
    ),
    "lockstep": Recipe(
        118,
        _world(
            Dials(
                accounts=60,
                start_day=0.4,
                days=1.2,
                content=(Content(family="cleaning", templates=3),),
                timing="lockstep",
            ),
            days=1.6,
        ),
        quiet_per_day=6,
    ),
    "full-rewrite": Recipe(119, _campaign(Content(family="coding", templates=20, paraphrase=1.0), accounts=100)),
    "churn": Recipe(
        120,
        _world(
            Dials(accounts=60, start_day=0.4, days=1.2, content=(Content(family="generation"),), churn_per_day=2.0),
            days=1.6,
        ),
        quiet_per_day=6,
    ),
    "nightly-evaluation": _harmless(201, "nightly_evaluation", benign=6000, per_day=100),
    "ci-fleet": _harmless(202, "ci_fleet", benign=8000, per_day=60),
    "office": _harmless(203, "office", per_day=20),
    "shared-address": _harmless(204, "shared_address", benign=9000),
    "gateway": _harmless(205, "gateway", benign=9000, per_day=250),
    "bulk-classification": _harmless(206, "bulk_classification", "retrieval_backfill", benign=20_000, per_day=150),
    "licensed-synthetic-data": _harmless(207, "licensed_synthetic_data", benign=16_000, per_day=150),
    "popular-tool": _harmless(
        208, "popular_tool", "niche_tool", "developers", benign=3000, quiet_accounts=200, per_day=10
    ),
    "niche-tool": _harmless(227, "niche_tool", benign=20_000, days=4.0, quiet_accounts=120, quiet_per_day=5),
    "automation-platform": _harmless(209, "automation_platform", benign=5000, per_day=40),
    "company": _harmless(210, "company_accounts", benign=4000, per_day=60),
    "class": _harmless(215, "class"),
    "hackathon": _harmless(212, "hackathon", days=2.25, quiet_per_day=5, per_day=25),
    "release-day": _harmless(213, "release_day", world={"release_day": 0.4}, days=1.6, quiet_per_day=6),
    "retry-storm": _harmless(214, "retry_storm", benign=4000, world={"outage_days": (0.4,)}, per_day=200),
}


def record(recipe: Recipe, folder: Path) -> int:
    """Write events, accounts and truth of a recipe into its folder; return the number of bytes."""
    simulation = simulate(recipe.world, recipe.seed)
    rows = _thinned(recipe, simulation)
    roster = simulation._setting.roster
    texts = simulation._texts
    events = list(_slim(lines(rows, roster.texts, simulation._setting.shapes, texts)))
    if recipe.sketches:
        events = [line for part, _ in sketched([events], 0) for line in part]
    who = {roster.truth[number]["account_id"] for number in np.unique(rows["account"]).tolist()}
    folder.mkdir(exist_ok=True)
    parts = {
        "events": events,
        "accounts": [msgspec.json.encode(r) for r in simulation.accounts if r.account_id in who],
        "truth": [msgspec.json.encode(row) for row in simulation.truth if row["account_id"] in who],
    }
    total = 0
    for name, written in parts.items():
        packed = zstandard.ZstdCompressor(level=19).compress(b"\n".join(written) + b"\n")
        (folder / f"{name}.ndjson.zst").write_bytes(packed)
        total += len(packed)
    print(f"{folder.name}: {len(events)} events, {len(who)} accounts, {total} bytes")
    return total


def _thinned(recipe: Recipe, simulation: Simulation) -> Table:
    """Return the rows that are kept, in order of arrival."""
    rows = np.concatenate(list(simulation.slices()))
    truth = simulation._setting.roster.truth
    cohorts = np.array([row["cohort"] for row in truth])
    about = np.isin(cohorts, recipe.cohorts) | np.array([row["label"] == "campaign" for row in truth])
    sent = np.bincount(rows["account"], minlength=len(truth))
    quiet = np.isin(cohorts, QUIET) & ~about & (sent > 0)
    chosen = np.random.default_rng(recipe.seed).permutation(np.flatnonzero(quiet))[: recipe.quiet_accounts]
    story = np.flatnonzero(about & (sent > 0))
    kept = np.zeros(len(truth), np.bool_)
    kept[chosen] = kept[story] = True
    rows = rows[kept[rows["account"]]]
    most = np.where(about, recipe.per_day, recipe.quiet_per_day)[rows["account"]]
    thinned: Table = rows[_place_in_day(rows) < most]
    return thinned


def _place_in_day(rows: Table) -> Any:
    """Return for each row how many its account sent before it on that day."""
    key = rows["account"].astype(np.int64) * 1000 + (rows["time_ms"] - rows["time_ms"].min()) // DAY_MS
    order = np.argsort(key, kind="stable")
    begins = np.flatnonzero(np.diff(key[order], prepend=-1))
    lengths = np.diff(np.append(begins, len(rows)))
    place = np.empty(len(rows), np.int64)
    place[order] = np.arange(len(rows)) - np.repeat(begins, lengths)
    return place


def _slim(written: list[bytes]) -> Iterator[bytes]:
    """Leave out fields that nothing is found by, and give events and sessions short names."""
    sessions: dict[str, str] = {}
    for number, line in enumerate(written):
        event = msgspec.json.decode(line)
        for name in LEFT_OUT:
            event.pop(name, None)
        event["id"] = f"{number:x}"
        if "session_id" in event:
            event["session_id"] = sessions.setdefault(event["session_id"], f"s{len(sessions):x}")
        if "reasoning_block_issuer" in event:
            account, session, model = event["reasoning_block_issuer"].split("/")
            session = sessions.setdefault(session, f"s{len(sessions):x}")
            event["reasoning_block_issuer"] = f"{account}/{session}/{model}"
        yield msgspec.json.encode(event)


def main(names: list[str]) -> None:
    """Record the named stories, or all."""
    for name in names or RECIPES:
        record(RECIPES[name], FOLDER / name)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Who acts, in columns (`ACTOR`), and what they do in a slice of time (`requests`), in columns (`REQUEST`).

Everybody, a person, a fleet of agents, a nightly job, is one row of parameters of one process:

    sessions   a Poisson process per actor, thinned by the hour of the day, the day's mood, the age
    requests   a session's requests follow each other at log-normal gaps
    lengths    log-normal tokens; in a conversation the input grows by the turn

      rate ─► sessions ─┬─ hour curve (people, office, flat, nightly), weekend, per-day factor, ramp
                        └─► turns ─► gaps ─► times, tokens, cached share, addresses, outcomes

The figures behind the parameters are those of real traces (data/README.md) and stand where a cohort
is made. What is not modelled: requests answered in dependence on each other (an agent waits for its
answer only on average), and correlation of lengths with the text.

A session belongs to the slice it begins in; its later requests may lie beyond the slice, and the
caller holds them over. All randomness comes from the generator given, all per-day decisions from
hashes of the actor and the day, so that a slice can be drawn without the slices before it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from detector.simulate.networks import NETWORKS

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
FOREVER_MS: Final = 1 << 62

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]
Table = npt.NDArray[np.void]  # rows of ACTOR or REQUEST

ACTOR: Final = np.dtype([
    ("account", "i4"), ("start_ms", "i8"), ("end_ms", "i8"), ("truth", "i1"),
    ("sessions_per_day", "f8"), ("curve", "i2"), ("shift_h", "f4"), ("weekend", "f4"), ("day_sigma", "f4"), ("ramp_days", "f4"),
    ("turns", "f4"), ("turns_sigma", "f4"), ("gap_s", "f4"), ("gap_sigma", "f4"), ("conversation", "?"),
    ("input", "f4"), ("input_sigma", "f4"), ("grow", "f4"), ("output", "f4"), ("output_sigma", "f4"), ("cached", "f4"),
    ("shape", "i4"), ("shapes", "i2"), ("model", "i2"), ("adopt_ms", "i8"), ("capability", "i1"),
    ("prefix", "i4"), ("host", "i4"), ("hosts", "i4"), ("roams", "f4"), ("prefix_away", "i4"),
    ("writer", "i1"), ("key", "u8"), ("end_users", "i4"),
    ("fails", "f4"), ("refused", "f4"), ("limited", "f4"), ("retries", "i2"),
])
REQUEST: Final = np.dtype([
    ("arrival_ms", "i8"), ("time_ms", "i8"), ("id", "u8"), ("session", "u8"), ("key", "u8"), ("seed", "u8"), ("address", "i8"),
    ("account", "i4"), ("shape", "i4"), ("input", "i4"), ("output", "i4"), ("cached", "i4"), ("ttft_ms", "i4"), ("duration_ms", "i4"),
    ("turn", "i4"), ("turns", "i4"), ("end_user", "i4"), ("model", "i2"), ("retries", "i2"),
    ("outcome", "i1"), ("truth", "i1"), ("writer", "i1"), ("capability", "i1"),
])

OK, ERROR, RATE_LIMITED, BLOCKED, REFUSED = range(5)
MODELS: Final = ("atlas-3-large", "atlas-3-mini", "atlas-2-large", "atlas-embed-2", "atlas-4-large")
NEW_MODEL: Final = 4
CAPABILITIES: Final = ("coding", "agentic", "reasoning", "writing", "data", "vision", "knowledge", "translation", "other")
UNTOLD, BENIGN, CAMPAIGN = range(3)  # x_truth of an event

MAX_TURNS: Final = 6000
MOOD_CAP: Final = 4.0
LAG_MEAN_MS: Final = 700.0  # of the log pipeline: an event arrives this much after it began, at most LAG_MAX_MS
LAG_MAX_MS: Final = 5_000.0

# Hour curves, mean 1. People: two humps and a night; office: working hours; flat; nightly at hour h.
_PEOPLE: Final = (3, 2, 1, 1, 1, 2, 5, 9, 13, 15, 16, 15, 14, 15, 16, 15, 14, 14, 15, 17, 18, 16, 11, 6)
_OFFICE: Final = (1, 1, 0, 0, 0, 1, 2, 8, 20, 26, 27, 24, 17, 23, 26, 25, 22, 14, 7, 5, 4, 3, 2, 1)
PEOPLE, OFFICE, FLAT, NIGHTLY = 0, 1, 2, 3


def _curves() -> F64:
    rows = [np.array(_PEOPLE, float), np.array(_OFFICE, float), np.ones(24)]
    for hour in range(24):
        rows.append(np.eye(24)[hour])
    return np.stack([row / row.mean() for row in rows])


CURVES: Final = _curves()
_CURVE_PEAKS: Final = CURVES.max(axis=1)


def mixed(numbers: npt.NDArray[np.generic]) -> U64:
    """Return `grammar.mixed64` of a column."""
    value = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def uniforms(hashes: U64) -> F64:
    """Return a column in [0, 1) from hashes."""
    return (hashes >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def actors(count: int) -> Table:
    """Return `count` actor rows with the defaults of an idle API client on no network."""
    table = np.zeros(count, ACTOR)
    table["end_ms"] = FOREVER_MS
    table["adopt_ms"] = FOREVER_MS
    for name, value in {
        "weekend": 1.0, "turns": 1.0, "gap_s": 1.0, "gap_sigma": 1.0, "input": 1000.0, "input_sigma": 0.9, "output": 130.0,
        "output_sigma": 0.73, "shapes": 1, "capability": -1, "fails": 0.003, "limited": 0.0005, "refused": 0.001, "retries": 2,
    }.items():
        table[name] = value
    return table


class Cohort:
    """Actors that are drawn together; `requests` returns what begins in a slice of time."""

    def __init__(self, name: str, table: Table) -> None:
        self.name = name
        self.table = table
        peak = _CURVE_PEAKS[table["curve"]] * np.where(table["day_sigma"] > 0, MOOD_CAP, 1.0)
        self._bounds = np.cumsum(table["sessions_per_day"] * peak)

    def expected(self, begin_ms: int, end_ms: int) -> float:
        """Return about how many requests there will be in a stretch of time (nights and ramps ignored)."""
        table = self.table
        days = np.clip(np.minimum(table["end_ms"], end_ms) - np.maximum(table["start_ms"], begin_ms), 0, None) / DAY_MS
        turns = np.minimum(table["turns"] * np.exp(table["turns_sigma"] ** 2 / 2), MAX_TURNS)
        return float((table["sessions_per_day"] * days * np.maximum(turns, 1)).sum())

    def requests(self, rng: np.random.Generator, begin_ms: int, end_ms: int) -> Table:
        """Return the requests of the sessions that begin in [begin_ms, end_ms), in no order."""
        if not len(self._bounds) or self._bounds[-1] <= 0:
            return np.zeros(0, REQUEST)
        count = rng.poisson(self._bounds[-1] * (end_ms - begin_ms) / DAY_MS)
        if not count:
            return np.zeros(0, REQUEST)
        who = np.searchsorted(self._bounds, rng.random(count) * self._bounds[-1], side="right")
        when = begin_ms + (rng.random(count) * (end_ms - begin_ms)).astype(np.int64)
        chosen = self.table[who]
        kept = _kept(rng, chosen, who, when)
        return sessions(rng, chosen[kept], when[kept])


def _kept(rng: np.random.Generator, chosen: Table, who: I64, when: I64) -> npt.NDArray[np.bool_]:
    """Thin candidate sessions by life span, hour, weekend, the day's mood and the ramp after the start."""
    local_h = (when / HOUR_MS + chosen["shift_h"]) % 24
    curve = chosen["curve"]
    chance = CURVES[curve, local_h.astype(np.int64)] / _CURVE_PEAKS[curve]
    day = (when + (chosen["shift_h"] * HOUR_MS).astype(np.int64)) // DAY_MS
    chance *= np.where((day + 3) % 7 >= 5, chosen["weekend"], 1.0)  # day 0 of the epoch was a Thursday
    moody = chosen["day_sigma"] > 0
    if moody.any():
        drawn = mixed(mixed(chosen["account"]) + day.astype(np.uint64))
        normal = np.sqrt(-2 * np.log1p(-uniforms(drawn))) * np.cos(2 * np.pi * uniforms(mixed(drawn)))
        sigma = chosen["day_sigma"]
        chance *= np.where(moody, np.minimum(np.exp(sigma * normal - sigma * sigma / 2), MOOD_CAP) / MOOD_CAP, 1.0)
    ramp = chosen["ramp_days"]
    age_days = (when - chosen["start_ms"]) / DAY_MS
    chance *= np.where(ramp > 0, np.clip(age_days / np.maximum(ramp, 1e-3), 0.05, 1.0), 1.0)
    return (rng.random(len(who)) < chance) & (when >= chosen["start_ms"]) & (when < chosen["end_ms"])


def sessions(rng: np.random.Generator, who: Table, when: I64) -> Table:
    """Return the requests of sessions: actor row `who[i]` begins one at `when[i]`."""
    count = len(who)
    lengths = np.exp(rng.standard_normal(count) * who["turns_sigma"]) * who["turns"]
    lengths = np.clip(np.rint(lengths), 1, MAX_TURNS).astype(np.int64)
    of = np.repeat(np.arange(count), lengths)
    first = np.cumsum(lengths) - lengths
    total = len(of)
    turn = np.arange(total) - first[of]
    gaps = np.exp(rng.standard_normal(total) * who["gap_sigma"][of]) * who["gap_s"][of] * 1000.0
    gaps[first] = 0.0
    elapsed = np.cumsum(gaps)
    elapsed -= elapsed[first][of]
    session = rng.integers(1, 1 << 63, count, dtype=np.uint64)
    rows = np.zeros(total, REQUEST)
    rows["time_ms"] = when[of] + elapsed.astype(np.int64)
    rows["session"] = session[of]
    rows["key"] = np.where(who["key"] > 0, who["key"], session)[of]
    rows["turn"] = turn
    alive = rows["time_ms"] < who["end_ms"][of]
    if not alive.all():
        rows, of, turn, total = rows[alive], of[alive], turn[alive], int(alive.sum())
    actor = who[of]
    rows["turns"] = np.where(actor["conversation"], turn + 1, 1)
    rows["shape"] = actor["shape"] + (mixed(session) % who["shapes"].astype(np.uint64)).astype(np.int64)[of]
    rows["address"] = _addresses(rng, who, when, session)[of]
    rows["end_user"] = (rng.random(count) ** 3 * who["end_users"]).astype(np.int64)[of] + 1
    for name in ("account", "writer", "truth", "retries"):
        rows[name] = actor[name]
    return finished(rng, rows, actor)


def _addresses(rng: np.random.Generator, who: Table, when: I64, session: U64) -> I64:
    """One address per session: a lease of some days, a fresh host of a fleet, or the network away from home."""
    away = rng.random(len(who)) < who["roams"]
    prefix = np.where(away, who["prefix_away"], who["prefix"])
    account = mixed(who["account"])
    lease_days = 2 + (account % np.uint64(28)).astype(np.int64)
    lease = mixed(account + ((when // DAY_MS) // lease_days).astype(np.uint64) * np.uint64(7919) + prefix.astype(np.uint64))
    fleet = who["hosts"] > 0
    host = np.where(fleet, who["host"] + (mixed(session) % np.maximum(who["hosts"], 1).astype(np.uint64)).astype(np.int64), 0)
    leased = np.where(who["host"] > 0, who["host"], (lease % NETWORKS.hosts[prefix].astype(np.uint64)).astype(np.int64))
    elsewhere = (lease % NETWORKS.hosts[prefix].astype(np.uint64)).astype(np.int64)
    host = np.where(away, elsewhere, np.where(fleet, host, leased))
    return (prefix.astype(np.int64) << 16) | (host & 0xFFFF)


def finished(rng: np.random.Generator, rows: Table, actor: Table) -> Table:
    """Fill what every request has, whoever makes it: ids, tokens, model, outcome, times, arrival."""
    total = len(rows)
    rows["id"] = rng.integers(1, 1 << 63, total, dtype=np.uint64)
    rows["seed"] = rng.integers(1, 1 << 63, total, dtype=np.uint64)
    normal = rng.standard_normal((2, total), dtype=np.float32)
    grown = 1.0 + actor["grow"] * np.minimum(rows["turns"] - 1, 60)
    rows["input"] = np.clip(np.exp(normal[0] * actor["input_sigma"]) * actor["input"] * grown, 4, 190_000)
    rows["output"] = np.clip(np.exp(normal[1] * actor["output_sigma"]) * actor["output"], 1, 16_000)
    rows["cached"] = np.where(rows["turn"] > 0, rows["input"] * actor["cached"], 0)
    rows["model"] = np.where(rows["time_ms"] >= actor["adopt_ms"], NEW_MODEL, actor["model"])
    rows["capability"] = actor["capability"]
    drawn = rng.random(total)
    fails, limited, refused = actor["fails"], actor["limited"], actor["refused"]
    outcome = np.where(drawn < fails, ERROR, np.where(drawn < fails + limited, RATE_LIMITED, OK))
    rows["outcome"] = np.where((outcome == OK) & (drawn > 1 - refused), REFUSED, outcome)
    return settled(rng, rows)


def settled(rng: np.random.Generator, rows: Table) -> Table:
    """Fill what follows from outcome and tokens (also after an outcome was changed): output, durations, arrival."""
    unserved = (rows["outcome"] == ERROR) | (rows["outcome"] == RATE_LIMITED) | (rows["outcome"] == BLOCKED)
    rows["output"] = np.where(unserved, 0, np.where(rows["outcome"] == REFUSED, np.minimum(rows["output"], 60), rows["output"]))
    noise = np.exp(rng.standard_normal(len(rows), dtype=np.float32) * 0.3)
    rows["ttft_ms"] = (180 + (rows["input"] - rows["cached"]) * 0.06) * noise
    rows["duration_ms"] = np.where(unserved, 40 * noise, rows["ttft_ms"] + rows["output"] * 14 * noise)
    lag = np.minimum(rng.standard_exponential(len(rows), dtype=np.float32) * LAG_MEAN_MS, LAG_MAX_MS)
    rows["arrival_ms"] = rows["time_ms"] + lag.astype(np.int64)
    return rows

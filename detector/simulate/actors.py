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

from typing import Any, Final

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
Columns = dict[str, npt.NDArray[Any]]  # an ACTOR table by column

ACTOR: Final = np.dtype(
    [
        ("account", "i4"),
        ("start_ms", "i8"),
        ("end_ms", "i8"),
        ("truth", "i1"),
        ("sessions_per_day", "f8"),
        ("curve", "i2"),
        ("shift_h", "f4"),
        ("weekend", "f4"),
        ("day_sigma", "f4"),
        ("ramp_days", "f4"),
        ("turns", "f4"),
        ("turns_sigma", "f4"),
        ("gap_s", "f4"),
        ("gap_sigma", "f4"),
        ("conversation", "?"),
        ("input", "f4"),
        ("input_sigma", "f4"),
        ("grow", "f4"),
        ("output", "f4"),
        ("output_sigma", "f4"),
        ("cached", "f4"),
        ("shape", "i4"),
        ("shapes", "i2"),
        ("model", "i2"),
        ("adopt_ms", "i8"),
        ("capability", "i1"),
        ("prefix", "i4"),
        ("host", "i4"),
        ("hosts", "i4"),
        ("roams", "f4"),
        ("prefix_away", "i4"),
        ("writer", "i1"),
        ("key", "u8"),
        ("end_users", "i4"),
        ("fails", "f4"),
        ("refused", "f4"),
        ("limited", "f4"),
        ("retries", "i2"),
    ]
)
REQUEST: Final = np.dtype(
    [
        ("arrival_ms", "i8"),
        ("time_ms", "i8"),
        ("id", "u8"),
        ("session", "u8"),
        ("key", "u8"),
        ("seed", "u8"),
        ("address", "i8"),
        ("block", "u8"),
        ("account", "i4"),
        ("issuer", "i4"),
        ("shape", "i4"),
        ("input", "i4"),
        ("output", "i4"),
        ("cached", "i4"),
        ("ttft_ms", "i4"),
        ("duration_ms", "i4"),
        ("turn", "i4"),
        ("turns", "i4"),
        ("end_user", "i4"),
        ("model", "i2"),
        ("retries", "i2"),
        ("outcome", "i1"),
        ("truth", "i1"),
        ("writer", "i1"),
        ("capability", "i1"),
    ]
)

OK, ERROR, RATE_LIMITED, BLOCKED, REFUSED = range(5)
MODELS: Final = ("atlas-3-large", "atlas-3-mini", "atlas-2-large", "atlas-embed-2", "atlas-4-large")
NEW_MODEL: Final = 4
CAPABILITIES: Final = (
    "coding",
    "agentic",
    "reasoning",
    "writing",
    "data",
    "vision",
    "knowledge",
    "translation",
    "other",
)
UNTOLD, BENIGN, CAMPAIGN = range(3)  # x_truth of an event

MAX_TURNS: Final = 6000
MOOD_CAP: Final = 12.0
LAG_MEAN_MS: Final = 700.0  # of the log pipeline: an event arrives this much after it began, at most LAG_MAX_MS
LAG_MAX_MS: Final = 5_000.0

# Hour curves, mean 1. People: two humps and a night; office: working hours; flat; nightly at hour h.
_PEOPLE: Final = (3, 2, 1, 1, 1, 2, 5, 9, 13, 15, 16, 15, 14, 15, 16, 15, 14, 14, 15, 17, 18, 16, 11, 6)
_OFFICE: Final = (1, 1, 0, 0, 0, 1, 2, 8, 20, 26, 27, 24, 17, 23, 26, 25, 22, 14, 7, 5, 4, 3, 2, 1)
PEOPLE, OFFICE, FLAT, NIGHTLY = 0, 1, 2, 3


def _curves() -> F64:
    rows = [np.array(_PEOPLE, float), np.array(_OFFICE, float), np.ones(24), *np.eye(24)]
    return np.stack([row / row.mean() for row in rows])


CURVES: Final = _curves()


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
        "weekend": 1.0,
        "turns": 1.0,
        "gap_s": 1.0,
        "gap_sigma": 1.0,
        "input": 1000.0,
        "input_sigma": 0.9,
        "output": 130.0,
        "output_sigma": 0.73,
        "shapes": 1,
        "capability": -1,
        "fails": 0.003,
        "limited": 0.0005,
        "refused": 0.001,
        "retries": 2,
    }.items():
        table[name] = value
    return table


class Cohort:
    """Actors that are drawn together; `requests` returns what begins in a slice of time."""

    def __init__(self, name: str, table: Table) -> None:
        self.name = name
        self.table = table
        self.columns = columns_of(table)
        self._hour = -1
        self._bounds: F64 = np.zeros(0)

    def expected(self, begin_ms: int, end_ms: int) -> float:
        """Return about how many requests there will be in a stretch of time (nights and ramps ignored)."""
        table = self.table
        days = np.clip(np.minimum(table["end_ms"], end_ms) - np.maximum(table["start_ms"], begin_ms), 0, None) / DAY_MS
        turns = np.minimum(table["turns"] * np.exp(table["turns_sigma"] ** 2 / 2), MAX_TURNS)
        return float((table["sessions_per_day"] * days * np.maximum(turns, 1) * (5 + 2 * table["weekend"]) / 7).sum())

    def requests(self, rng: np.random.Generator, begin_ms: int, end_ms: int) -> Table:
        """Return the requests of the sessions that begin in [begin_ms, end_ms), in no order."""
        who: list[I64] = []
        when: list[I64] = []
        for hour in range(begin_ms // HOUR_MS, -(-end_ms // HOUR_MS)) if len(self.table) else ():
            bounds = self._bounds_of(hour)
            start, end = max(begin_ms, hour * HOUR_MS), min(end_ms, (hour + 1) * HOUR_MS)
            count = rng.poisson(bounds[-1] * (end - start) / DAY_MS)
            if count:
                who.append(np.searchsorted(bounds, rng.random(count) * bounds[-1], side="right"))
                when.append(start + (rng.random(count) * (end - start)).astype(np.int64))
        if not who:
            return np.zeros(0, REQUEST)
        chosen, moments = np.concatenate(who), np.concatenate(when)
        kept = self._kept(rng, chosen, moments)
        return sessions(rng, self.columns, chosen[kept], moments[kept])

    def _bounds_of(self, hour: int) -> F64:
        """Cumulative sessions per day of the actors at an hour since the epoch, by curve, weekend and mood."""
        if hour != self._hour:
            table = self.columns
            local_h = hour + table["shift_h"]
            weight = table["sessions_per_day"] * CURVES[table["curve"], (local_h % 24).astype(np.int64)]
            day = (local_h // 24).astype(np.int64)
            weight = weight * np.where((day + 3) % 7 >= 5, table["weekend"], 1.0)  # day 0 of the epoch was a Thursday
            drawn = mixed(mixed(table["account"]) + day.astype(np.uint64))
            normal = np.sqrt(-2 * np.log1p(-uniforms(drawn))) * np.cos(2 * np.pi * uniforms(mixed(drawn)))
            sigma = table["day_sigma"]
            weight *= np.minimum(np.exp(sigma * normal - sigma * sigma / 2), MOOD_CAP)
            self._hour, self._bounds = hour, np.cumsum(weight)
        return self._bounds

    def _kept(self, rng: np.random.Generator, who: I64, when: I64) -> npt.NDArray[np.bool_]:
        """Thin sessions by life span and by the ramp after the start."""
        table = self.columns
        start, ramp = table["start_ms"][who], table["ramp_days"][who]
        kept = (when >= start) & (when < table["end_ms"][who])
        if ramp.any():
            grown = (when - start) / (np.maximum(ramp, 1e-3) * DAY_MS)
            kept &= rng.random(len(who)) < np.where(ramp > 0, np.clip(grown, 0.05, 1.0), 1.0)
        return kept


def columns_of(table: Table) -> Columns:
    """Return the columns of an actor table, contiguous."""
    return {name: np.ascontiguousarray(table[name]) for name in ACTOR.names or ()}


def sessions(rng: np.random.Generator, actor: Columns, who: I64, when: I64) -> Table:
    """Return the requests of sessions: actor `who[i]` begins one at `when[i]`."""
    count = len(who)
    sigma = actor["turns_sigma"][who]
    lengths = np.exp(rng.standard_normal(count, dtype=np.float32) * sigma) * actor["turns"][who]
    lengths = np.clip(np.rint(lengths), 1, MAX_TURNS).astype(np.int64)
    of = np.repeat(np.arange(count), lengths)
    row = who[of]
    first = np.cumsum(lengths) - lengths
    total = len(of)
    turn = np.arange(total) - first[of]
    moment = when[of]
    if total > count:
        gaps = (
            np.exp(rng.standard_normal(total, dtype=np.float32) * actor["gap_sigma"][row])
            * actor["gap_s"][row]
            * 1000.0
        )
        gaps[first] = 0.0
        elapsed = np.cumsum(gaps, dtype=np.float64)
        moment = moment + (elapsed - elapsed[first][of]).astype(np.int64)
    alive = moment < actor["end_ms"][row]
    if not alive.all():
        row, of, turn, moment = row[alive], of[alive], turn[alive], moment[alive]
        total = len(row)
    session = rng.bit_generator.random_raw(count) | np.uint64(1)
    key = actor["key"][who]
    rows = np.zeros(total, REQUEST)
    rows["time_ms"] = moment
    rows["session"] = session[of]
    rows["key"] = np.where(key > 0, key, session)[of]
    rows["turn"] = turn
    # a later turn presents the reasoning block of the session so far, issued to the same account
    rows["block"] = np.where(turn > 0, session[of], 0)
    rows["issuer"] = actor["account"][row]
    turns = np.where(actor["conversation"][row], turn + 1, 1)
    rows["turns"] = turns
    rows["shape"] = (actor["shape"][who] + (session % actor["shapes"][who].astype(np.uint64)).astype(np.int64))[of]
    rows["address"] = _addresses(rng, actor, who, when, session)[of]
    rows["end_user"] = (rng.random(count) ** 3 * actor["end_users"][who]).astype(np.int64)[of] + 1
    for name in ("account", "writer", "truth", "retries", "capability"):
        rows[name] = actor[name][row]
    seed = rng.bit_generator.random_raw(total)
    rows["seed"] = seed
    rows["id"] = mixed(seed)
    normal = rng.standard_normal((2, total), dtype=np.float32)
    grown = 1.0 + actor["grow"][row] * np.minimum(turns - 1, 60)
    tokens = np.clip(np.exp(normal[0] * actor["input_sigma"][row]) * actor["input"][row] * grown, 4, 190_000)
    rows["input"] = tokens
    rows["output"] = np.clip(np.exp(normal[1] * actor["output_sigma"][row]) * actor["output"][row], 1, 16_000)
    rows["cached"] = np.where((turn > 0) | ~actor["conversation"][row], tokens * actor["cached"][row], 0)
    rows["model"] = np.where(moment >= actor["adopt_ms"][row], NEW_MODEL, actor["model"][row])
    drawn = rng.random(total, dtype=np.float32)
    fails = actor["fails"][row]
    outcome = np.where(drawn < fails, ERROR, np.where(drawn < fails + actor["limited"][row], RATE_LIMITED, OK))
    rows["outcome"] = np.where((outcome == OK) & (drawn > 1 - actor["refused"][row]), REFUSED, outcome)
    return settled(rng, rows)


def _addresses(rng: np.random.Generator, actor: Columns, who: I64, when: I64, session: U64) -> I64:
    """One address per session: a lease of some days, a host of a fleet, or the network away from home."""
    away = rng.random(len(who)) < actor["roams"][who]
    prefix = np.where(away, actor["prefix_away"][who], actor["prefix"][who]).astype(np.int64)
    account = mixed(actor["account"][who])
    lease_days = 2 + (account % np.uint64(28)).astype(np.int64)
    lease = mixed(account + ((when // DAY_MS) // lease_days * 7919 + prefix).astype(np.uint64))
    leased = (lease % NETWORKS.hosts[prefix].astype(np.uint64)).astype(np.int64)
    hosts, fixed = actor["hosts"][who], actor["host"][who]
    of_fleet = fixed + (mixed(session) % np.maximum(hosts, 1).astype(np.uint64)).astype(np.int64)
    host = np.where(away, leased, np.where(hosts > 0, of_fleet, np.where(fixed > 0, fixed, leased)))
    return (prefix << 16) | (host & 0xFFFF)


def settled(rng: np.random.Generator, rows: Table) -> Table:
    """Fill what follows from outcome and tokens (also after an outcome was changed): output, durations, arrival."""
    outcome, tokens = rows["outcome"], rows["output"]
    unserved = (outcome == ERROR) | (outcome == RATE_LIMITED) | (outcome == BLOCKED)
    tokens = np.where(unserved, 0, np.where(outcome == REFUSED, np.minimum(tokens, 60), tokens))
    noise = np.exp(rng.standard_normal(len(rows), dtype=np.float32) * np.float32(0.3))
    first_token = (180 + (rows["input"] - rows["cached"]) * np.float32(0.06)) * noise
    rows["output"] = tokens
    rows["ttft_ms"] = first_token
    rows["duration_ms"] = np.where(unserved, 40 * noise, first_token + tokens * np.float32(14) * noise)
    lag = np.minimum(rng.standard_exponential(len(rows), dtype=np.float32) * np.float32(LAG_MEAN_MS), LAG_MAX_MS)
    rows["arrival_ms"] = rows["time_ms"] + lag.astype(np.int64)
    return rows

"""Campaigns: a pool of accounts, a work list, an operator who spreads one over the other.

    work list ─► operator ─► accounts (young, aged, churned, banned) ─► addresses (proxies) ─► requests
                    │
                    └ timing: lockstep (bursts that all join), balanced (round robin), human (own rhythms)

Modelled on what is public (domain.md): exchanges per account and day, pool sizes, even load over the
accounts, residential proxies, bought accounts, succession within hours of a ban, a probing phase with
many refusals, the move to a new model within a day, unrelated customers mixed into the same accounts.
How operators schedule inside a day is invention.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.simulate import writers
from detector.simulate.actors import (
    BENIGN,
    BLOCKED,
    CAMPAIGN,
    DAY_MS,
    F64,
    FLAT,
    FOREVER_MS,
    HOUR_MS,
    I64,
    PEOPLE,
    REFUSED,
    REQUEST,
    UNTOLD,
    Cohort,
    Columns,
    Table,
    columns_of,
    mixed,
    sessions,
    settled,
    uniforms,
)
from detector.simulate.benign import API, API_TIERS, as_people, capability, set_values
from detector.simulate.clients import SDKS, Fields, hashed
from detector.simulate.grammar import mixed64
from detector.simulate.harvest_texts import CAPABILITY_OF
from detector.simulate.networks import NETWORKS
from detector.simulate.prompts import Author
from detector.simulate.scenario import Content, Dials
from detector.simulate.setting import Setting

TILE_MS: Final = 300_000  # a lockstep burst
BLOCK_MS: Final = HOUR_MS  # the pool is looked over this often: who is alive, how much work is due
BLOCKED_FOR_MS: Final = 20 * 60_000  # how long an operator keeps using banned accounts
QUEUE_MS: Final = 5 * 60_000.0  # how long an item waits for a worker, on average
PROBE_REFUSED: Final = 0.6
PROBES: Final = Content(family="extraction", templates=60)
VIRTUAL_BINS: Final = ("486732", "531993", "403163")
MAIL_PATTERNS: Final = ("mailbox-{:02x}.com", "post{:02d}.net", "corp-{:02x}.org")

# tokens of a harvesting exchange by family: input median, output median (long answers are the point)
_TOKENS: Final[dict[str, tuple[float, float]]] = {
    "agentic": (2600, 700),
    "coding": (420, 1100),
    "generation": (700, 900),
    "reasoning": (180, 420),
    "judge": (1300, 160),
    "extraction": (600, 1300),
    "cleaning": (1500, 900),
    "tooluse": (700, 800),
    "sensitive": (260, 220),
    "analysis": (900, 1000),
    "naked": (90, 520),
}


@dataclass(slots=True)
class Pool:
    """The accounts of one operator between two bans, drawn like a cohort."""

    name: str
    dials: Dials
    table: Table  # one actor per account, alive from start_ms to end_ms
    first_writer: int
    banned_ms: int
    probe_end_ms: int
    salt: int
    exits: I64  # addresses of the proxy pool
    rotating: npt.NDArray[np.bool_]  # accounts that take another exit for every request
    begin_ms: int
    end_ms: int
    _columns: Columns = field(init=False)
    _human: Cohort | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._columns = columns_of(self.table)
        if self.dials.timing == "human":
            self._human = Cohort(self.name, self.table)

    def expected(self, begin_ms: int, end_ms: int) -> float:
        """Return about how many exchanges there will be in a stretch of time."""
        table = self.table
        days = np.clip(np.minimum(table["end_ms"], end_ms) - np.maximum(table["start_ms"], begin_ms), 0, None) / DAY_MS
        return float(days.sum() * self.dials.per_account_day)

    def requests(self, rng: np.random.Generator, begin_ms: int, end_ms: int) -> Table:
        """Return the exchanges that begin in [begin_ms, end_ms)."""
        begin_ms, end_ms = max(begin_ms, self.begin_ms), min(end_ms, self.end_ms)
        if begin_ms >= end_ms:
            return np.zeros(0, REQUEST)
        if self._human is not None:
            rows = self._human.requests(rng, begin_ms, end_ms)
            account_row = rows["account"] - self.table["account"][0]
        else:
            draw = self._lockstep if self.dials.timing == "lockstep" else self._balanced
            account_row, when = draw(rng, begin_ms, end_ms)
            rows = sessions(rng, self._columns, account_row, when)
        return self._asked(rng, rows, account_row)

    def _balanced(self, rng: np.random.Generator, begin_ms: int, end_ms: int) -> tuple[I64, I64]:
        """Round robin, block after block: every account has its turn before any has a second one."""
        who: list[I64] = []
        when: list[F64] = []
        for block in range((begin_ms - self.begin_ms) // BLOCK_MS, -(-(end_ms - self.begin_ms) // BLOCK_MS)):
            start = self.begin_ms + block * BLOCK_MS
            alive = self._alive(start)
            if not len(alive):
                continue
            due = self.dials.per_account_day * len(alive) * BLOCK_MS / DAY_MS
            amount = int(due * (block + 1)) - int(due * block)
            low = (max(begin_ms, start) - start) / BLOCK_MS * amount
            high = (min(end_ms, start + BLOCK_MS) - start) / BLOCK_MS * amount
            turn = np.arange(int(np.ceil(low)), int(np.ceil(high)))
            # those whose turn came last in one block come first in the next: one order, kept over the blocks
            order = np.argsort(mixed(alive + self.salt % (1 << 40)))
            chosen = alive[order][(turn + int(due * block)) % len(alive)]
            waits = rng.exponential(QUEUE_MS, len(turn))  # a worker is free a little later
            moment = start + turn / max(amount, 1) * BLOCK_MS + waits
            kept = (moment >= self.table["start_ms"][chosen]) & (moment < self.table["end_ms"][chosen])
            who.append(chosen[kept])
            when.append(moment[kept])
        return _joined(who, when)

    def _lockstep(self, rng: np.random.Generator, begin_ms: int, end_ms: int) -> tuple[I64, I64]:
        """Bursts that every living account joins within one tile, as many a day as the work asks for (up to 24)."""
        bursts = int(np.clip(np.ceil(self.dials.per_account_day / 2), 1, 24))
        period = DAY_MS // bursts
        who: list[I64] = []
        when: list[F64] = []
        for burst in range((begin_ms - self.begin_ms) // period, -(-(end_ms - self.begin_ms) // period)):
            drawn = np.random.default_rng([self.salt, burst, 1])
            start = self.begin_ms + burst * period + int(drawn.random() * max(period - TILE_MS, 0)) // TILE_MS * TILE_MS
            if not begin_ms <= start < end_ms:
                continue
            alive = self._alive(start)
            each = rng.binomial(4, min(self.dials.per_account_day / bursts / 4, 1.0), len(alive))
            if self.dials.per_account_day / bursts > 4:
                each = rng.poisson(self.dials.per_account_day / bursts, len(alive))
            chosen = np.repeat(alive, each)
            who.append(chosen)
            when.append(start + rng.random(len(chosen)) * TILE_MS)
        return _joined(who, when)

    def _alive(self, block_ms: int) -> I64:
        """Accounts alive at some time of the block that begins then."""
        return np.flatnonzero((self.table["end_ms"] > block_ms) & (self.table["start_ms"] < block_ms + BLOCK_MS))

    def _asked(self, rng: np.random.Generator, rows: Table, account_row: I64) -> Table:
        """Give every exchange its work item, and what goes with its content."""
        count = len(rows)
        dials = self.dials
        parts = dials.content
        part = rng.choice(len(parts), count, p=[piece.share for piece in parts])
        if dials.specialised:
            own = uniforms(mixed(rows["account"] + self.salt % (1 << 30)))
            favourite = np.searchsorted(
                np.cumsum([piece.share for piece in parts]), uniforms(mixed(rows["account"] + 5))
            )
            part = np.where(own < dials.specialised, np.minimum(favourite, len(parts) - 1), part)
        rows["key"] = rng.integers(1, 1 << 63, count, dtype=np.uint64)  # a work item is asked once
        rows["writer"] = self.first_writer + part
        normal = rng.standard_normal((2, count))
        tokens = np.array([_TOKENS["naked" if piece.kind == "naked" else piece.family] for piece in parts])
        rows["input"] = np.clip(tokens[part, 0] * np.exp(0.35 * normal[0]), 8, 100_000)
        rows["output"] = np.where(rows["output"] > 0, np.clip(tokens[part, 1] * np.exp(0.5 * normal[1]), 4, 16_000), 0)
        labels = np.array(
            [capability(CAPABILITY_OF["coding" if piece.kind == "naked" else piece.family]) for piece in parts]
        )
        rows["capability"] = np.where(rng.random(count) < 0.5, labels[part], -1)
        probing = rows["time_ms"] < self.probe_end_ms
        rows["outcome"] = np.where(probing & (rng.random(count) < PROBE_REFUSED), REFUSED, rows["outcome"])
        rows["writer"] = np.where(probing & (rng.random(count) < 0.5), self.first_writer + len(parts), rows["writer"])
        rows["outcome"] = np.where(rows["time_ms"] >= self.banned_ms, BLOCKED, rows["outcome"])
        rows["address"] = np.where(self.rotating[account_row], rng.choice(self.exits, count), rows["address"])
        if dials.block_replay:
            replays = rng.random(count) < dials.block_replay
            rows["block"] = np.where(replays, rng.integers(1, 1 << 63, count, dtype=np.uint64), 0)
            rows["issuer"] = rng.permutation(rows["account"])
        return settled(rng, rows)


def _joined(who: list[I64], when: list[F64]) -> tuple[I64, I64]:
    if not who:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate(who), np.concatenate(when).astype(np.int64)


def campaigns(setting: Setting, dials: Dials, number: int, scale: float, least: int, first_writer: int) -> list[Pool]:
    """Build the pools of one campaign (for each operator one, and one more after a ban), with their accounts."""
    pools: list[Pool] = []
    begin = setting.begin_ms + int(dials.start_day * DAY_MS)
    end = min(setting.end_ms, begin + int(dials.days * DAY_MS))
    proxies = setting.rng("proxies", number)
    size = max(least, round(0.8 * dials.accounts * scale))
    exits = NETWORKS.pick(proxies, "home", size) << 16 | proxies.integers(1, 65_000, size)
    for operator in range(dials.operators):
        campaign_id = f"campaign-{number + 1}" + (f"-operator-{operator + 1}" if dials.operators > 1 else "")
        writer = first_writer + operator * (len(dials.content) + 1)
        make = partial(_pool, setting, dials, writer=writer, exits=exits, operator=operator)
        count = max(least, round(dials.accounts * scale))
        if dials.ban_day is None:
            pools.append(make(campaign_id, count, begin=begin, end=end, banned=FOREVER_MS))
            continue
        ban = begin + int(dials.ban_day * DAY_MS)
        pools.append(make(f"{campaign_id}-pool-1", count, begin=begin, end=ban, banned=ban))
        again = ban + int(dials.successor_delay_h * HOUR_MS)
        count = max(least, round(dials.successor_accounts * scale))
        pools.append(make(f"{campaign_id}-pool-2", count, begin=again, end=end, banned=FOREVER_MS))
    return pools


def campaign_writers(dials: Dials, number: int, seed: int) -> list[writers.Writer]:
    """Return the writers of a campaign: for each operator its content parts, then its probing prompts."""
    made: list[writers.Writer] = []
    for operator in range(dials.operators):
        for place, part in enumerate((*dials.content, PROBES)):
            salt = mixed64(seed * 7907 + number * 101 + operator * 11 + place) >> 4
            if part.kind == "naked":
                made.append(writers.naked(salt, part.suffix))
            else:
                made.append(writers.scaffold(part.family, part.templates, part.paraphrase, salt))
    return made


def authors(pools: list[Pool]) -> list[Author]:
    """Return who asks what: for each operator its content parts and its probing, over the accounts of its pools."""
    found: list[Author] = []
    for writer in sorted({pool.first_writer for pool in pools}):
        mine = [pool for pool in pools if pool.first_writer == writer]
        accounts = np.unique(np.concatenate([pool.table["account"] for pool in mine])).astype(np.int64)
        for place, part in enumerate((*mine[0].dials.content, PROBES)):
            found.append(Author(writer + place, "naked" if part.kind == "naked" else part.family, accounts))
    return found


def _pool(
    setting: Setting,
    dials: Dials,
    campaign_id: str,
    count: int,
    *,
    begin: int,
    end: int,
    banned: int,
    writer: int,
    exits: I64,
    operator: int,
) -> Pool:
    rng = setting.rng(campaign_id)
    starts, ends = _lives(rng, dials, count, begin, end, grows=not campaign_id.endswith("pool-2"))
    ends = np.where(ends >= end, end + (BLOCKED_FOR_MS if banned < FOREVER_MS else 0), ends)
    total = len(starts)
    aged = rng.random(total) < dials.aged
    young_days = np.minimum(rng.exponential(1.5, total), 12.0)
    created = starts - (np.where(aged, 30 + rng.exponential(250, total), young_days) * DAY_MS).astype(np.int64) - 60_000
    prefixes = NETWORKS.pick(rng, "home", total)
    pays = rng.random(total) < dials.shared_payment
    mails = rng.random(total) < dials.shared_email
    groups = max(1, int(dials.shared_payment * total / 25))
    tag = mixed64(setting.seed * 13 + begin % 9973 + operator)
    table = setting.made(
        rng,
        campaign_id,
        created,
        prefixes,
        tiers=("free", "pro", *API_TIERS[:3]),
        campaign=campaign_id,
        disposable=0.01 + 0.3 * dials.shared_email,
        verified=0.55,
        payment_fp=[
            f"pay_{mixed64(tag + row % groups):012x}" if shares else None for row, shares in enumerate(pays.tolist())
        ],
        card_bin=[
            VIRTUAL_BINS[row % len(VIRTUAL_BINS)] if shares else None for row, shares in enumerate(pays.tolist())
        ],
        email_domain=[
            MAIL_PATTERNS[row % 3].format(row % 20) if shares else None for row, shares in enumerate(mails.tolist())
        ],
    )
    table["start_ms"], table["end_ms"] = starts, ends
    truth = CAMPAIGN if dials.mixed or dials.aged else UNTOLD
    set_values(
        table,
        truth=truth,
        curve=FLAT,
        sessions_per_day=dials.per_account_day,
        fails=0.004,
        refused=0.01,
        limited=0.001,
        ramp_days=0,
    )
    if dials.timing == "human":
        set_values(table, curve=PEOPLE, turns=4.0, turns_sigma=0.7, gap_s=60.0, gap_sigma=1.0)
        own = np.exp(rng.normal(-0.125, 0.5, total))
        table["sessions_per_day"] = own * dials.per_account_day / (4.0 * np.exp(0.245))
    networked = rng.random(total) < dials.shared_network
    sticky = exits[rng.integers(0, max(1, len(exits) // 12), total)]
    set_values(table, prefix=np.where(networked, sticky >> 16, prefixes), host=np.where(networked, sticky & 0xFFFF, 0))
    fields = API | Fields.REASONING if dials.block_replay else API
    setting.sdk_shapes(rng, table, fields, own_prompt=0.3)
    one = setting.shapes.add(
        fields,
        (SDKS[6][0], SDKS[6][1]),
        operation="chat",
        temperature=1.0,
        max_tokens=4096 + operator,
        system_hash=hashed(tag),
        src="api",
    )
    table["shape"] = np.where(rng.random(total) < dials.shared_client, one, table["shape"])
    if dials.pivot and setting.release_ms < FOREVER_MS:
        table["adopt_ms"] = setting.release_ms + (rng.exponential(34.0, total) * HOUR_MS).astype(np.int64)
    if banned < FOREVER_MS:
        for account, life in zip(table["account"].tolist(), ends.tolist(), strict=True):
            if life >= end:
                setting.roster.ban(account, banned)
    _unrelated(setting, rng, dials, table, aged, campaign_id)
    probe_end = begin + int(dials.probe_days * DAY_MS) if dials.probe_accounts else 0
    rotating = networked & (rng.random(total) < 0.5)
    salt = mixed64(tag + 3) >> 2
    return Pool(campaign_id, dials, table, writer, banned, probe_end, salt, exits, rotating, begin, int(ends.max()))


def _lives(rng: np.random.Generator, dials: Dials, count: int, begin: int, end: int, *, grows: bool) -> tuple[I64, I64]:
    """Return when each account starts and ends: growth from the probing accounts, and replacement by churn."""
    slots = np.full(count, float(begin))
    if grows and dials.ramp_days and dials.probe_accounts < count:
        probes = max(dials.probe_accounts, 1)
        growth = np.log(np.maximum(np.arange(count), probes) / probes) / np.log(count / probes)
        slots += (
            np.where(np.arange(count) < probes, 0, dials.probe_days + growth * (dials.ramp_days - dials.probe_days))
            * DAY_MS
        )
    else:
        slots += rng.random(count) * 2 * HOUR_MS
    starts, ends = [], []
    while len(slots):
        life = (
            rng.exponential(1 / dials.churn_per_day, len(slots)) * DAY_MS
            if dials.churn_per_day
            else np.full(len(slots), 1e15)
        )
        starts.append(slots)
        slots = np.minimum(slots + life, end)
        ends.append(slots)
        slots = slots[slots < end]
    return np.concatenate(starts).astype(np.int64), np.concatenate(ends).astype(np.int64)


def _unrelated(
    setting: Setting, rng: np.random.Generator, dials: Dials, table: Table, aged: Any, campaign_id: str
) -> None:
    """Traffic of the accounts that is not the campaign's: a reseller's customers, the warming up of old accounts."""
    if dials.mixed:
        other = table.copy()
        volume = dials.per_account_day * dials.mixed / (1 - dials.mixed) * np.exp(rng.normal(-0.32, 0.8, len(table)))
        as_people(rng, setting, other, 1.0)
        turns = 6.0 * np.exp(0.95**2 / 2)
        set_values(
            other,
            truth=BENIGN,
            writer=writers.MANY,
            sessions_per_day=volume / turns,
            weekend=0.9,
            end_users=40,
            shape=table["shape"],
        )
        other["start_ms"] = np.where(aged, setting.begin_ms, other["start_ms"])
        other["prefix"], other["host"], other["hosts"] = table["prefix"], table["host"], table["hosts"]
        setting.join(f"{campaign_id}-unrelated", other)
    elif aged.any():
        warm = table[aged].copy()
        as_people(rng, setting, warm, 0.08)
        set_values(warm, end_ms=warm["start_ms"], start_ms=setting.begin_ms, truth=BENIGN)
        setting.join(f"{campaign_id}-warm-up", warm)

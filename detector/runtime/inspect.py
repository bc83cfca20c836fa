"""`detector inspect`: what the durable state says of one account or one campaign, in sentences.

It reads the rows of the last commit, as a worker that takes over would, and changes nothing. What
came from the account topic is not in the store, so signals that need it say that they cannot know.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from detector import score
from detector.campaign.group import MIXED_BELOW
from detector.campaign.observation import CAPABILITIES
from detector.config import Config
from detector.errors import ConfigError
from detector.event import LABELS, hash64
from detector.finding import Finding
from detector.runtime.security import store_arguments
from detector.runtime.terminal import visible
from detector.signals import Signal
from detector.stages.campaigns import CampaignPartition
from detector.stages.journal import Journal
from detector.stages.records import Records
from detector.stores import Store, read_back
from detector.window import activity, rest
from detector.window.columns import Column

_MEMBERS_SHOWN: Final = 20
_VOLUMES: Final = (
    ("5 minutes", Column.REQUESTS_5M),
    ("hour", Column.REQUESTS_1H),
    ("24 hours", Column.REQUESTS_24H),
    ("7 days", Column.REQUESTS_7D),
    ("45 days", Column.REQUESTS_45D),
)


def described(config: Config, kind: str, subject: str) -> str | None:
    """Return what is known of an `account` or a `campaign`; None when nothing is. Raises Unavailable."""
    if config.store.kind != "redis":
        raise ConfigError("store.kind", "only a Redis store can be looked into from outside of the worker")
    return asyncio.run(_from_redis(config, kind, subject))


async def _from_redis(config: Config, kind: str, subject: str) -> str | None:
    from detector.stores.redis import RedisStore  # noqa: PLC0415 - redis-py only where Redis is asked

    store = RedisStore(config.store.url, **store_arguments(config.store))
    try:
        return await (account if kind == "account" else campaign)(store, config, subject)
    finally:
        await store.close()


async def account(store: Store, config: Config, account_id: str) -> str | None:
    """Return what is known of an account. Every partition is asked: the gateway's partitioner may not be Kafka's."""
    key = f"a{account_id}"
    for partition in range(config.topics.partitions):
        row = (await store.rows("accounts", partition, [key])).get(key)
        if row is not None:
            state = await _campaigns(store, config)
            with read_back(f"accounts:{partition}"):
                return _account_text(config, account_id, row, state.membership(account_id))
    return None


async def campaign(store: Store, config: Config, identity: str) -> str | None:
    """Return what is known of a campaign."""
    finding = (await _campaigns(store, config)).described(identity)
    return None if finding is None else _campaign_text(finding)


async def _campaigns(store: Store, config: Config) -> CampaignPartition:
    state = CampaignPartition(config.campaigns)
    rows = await store.rows("campaigns", 0)
    with read_back("campaigns:0"):
        for record in Journal().restore(rows, state):
            state.absorb(record)
    return state


def _account_text(config: Config, account_id: str, row: bytes, membership: tuple[str, float] | None) -> str:
    table, tails = rest.decode([row])
    at = np.zeros(1, np.int64)
    end_ms = table["newest_ms"] + 1
    known = _known(config, account_id, tails[0], int(end_ms[0]))
    hashed = np.array([hash64(account_id, config.privacy.key)], np.uint64)
    columns = activity.columns(table, at, end_ms, known, hashed)
    signals = config.accounts.signals
    strengths = np.stack([signal.strengths(columns) for signal in signals])
    total = float(score.scores(tuple(signal.name for signal in signals), strengths)[0])
    one = table[0]
    lines = [
        f"account {account_id}",
        f"  first seen      {_time(one['first_seen_ms'])}, last {_time(one['last_ms'])}",
        f"  requests        {int(one['requests']):,}, output tokens {int(one['output_tokens']):,}",
        f"  of the last     {', '.join(f'{name} {columns[column][0]:,.0f}' for name, column in _VOLUMES)}",
        f"  capabilities    {_shares(CAPABILITIES, one['capabilities'])}",
        f"  prompts         {_shares(LABELS, one['labels'])}",
        f"  campaign        {'none' if membership is None else _membership(*membership)}",
        f"  score           {total:.3f}",
        *_readings(signals, strengths[:, 0], columns),
    ]
    return "\n".join(map(visible, lines))


def _membership(campaign_id: str, share: float) -> str:
    mixed = ": it mostly serves others" if share < MIXED_BELOW else ""
    return f"{campaign_id}, in whose words {share:.0%} of its requests are{mixed}"


def _known(config: Config, account_id: str, tail: bytes, end_ms: int) -> Any:
    known = np.zeros(1, activity.KNOWN)
    for name in ("created_ms", "status_ms", "tier", "status"):
        known[name] = -1
    known["quota"] = np.nan
    records = Records(config.privacy.key, config.accounts.most_records)
    records.load(0, tail)
    records.apply(0, account_id, end_ms, known)
    return known


def _readings(signals: Sequence[Signal], strengths: Any, columns: Any) -> list[str]:
    lines = []
    for strength, signal in sorted(
        zip(strengths.tolist(), signals, strict=True), key=lambda pair: _last_if_nan(pair[0])
    ):
        if math.isnan(strength):
            lines.append(f"    -    {signal.name}: cannot be known from what the events say")
        else:
            said = signal.because(columns, 0) if strength > 0 else "nothing unusual"
            lines.append(f"    {strength:.2f} {signal.name}: {said}")
    return lines


def _last_if_nan(strength: float) -> float:
    return 1.0 if math.isnan(strength) else -strength


def _campaign_text(finding: Finding) -> str:
    evidence = finding.evidence
    members = finding.accounts_added
    more = len(members) - _MEMBERS_SHOWN
    lines = [
        f"campaign {finding.subject}: {finding.severity}, score {finding.score:.3f}",
        f"  active          {_time(finding.first_seen_ms)} to {_time(finding.last_seen_ms)}",
        f"  took            {finding.requests_total:,} requests, {finding.output_tokens_total:,} output tokens",
        "  because",
        *(f"    {reason.strength:.2f} {reason.signal}: {reason.because}" for reason in finding.reasons),
        *(f"  {name:15} {_plain(value)}" for name, value in evidence.items() if value),
        f"  accounts        {finding.accounts_total:,}: {', '.join(members[:_MEMBERS_SHOWN])}"
        + (f" and {more:,} more" if more > 0 else ""),
    ]
    return "\n".join(map(visible, lines))


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items())
    if isinstance(value, list):
        return "; ".join(map(_plain, value))
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def _shares(names: Sequence[str], counts: Any) -> str:
    found = sorted(((int(n), name) for name, n in zip(names, counts.tolist(), strict=True) if n), reverse=True)
    return ", ".join(f"{name} {n:,}" for n, name in found) or "unknown"


def _time(time_ms: Any) -> str:
    return datetime.fromtimestamp(int(time_ms) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

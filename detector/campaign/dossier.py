"""The finding of a campaign: what an analyst reads, in sentences with numbers.

A reading that weighs nothing is told when it is strong: it is for the analyst, not part of the score.

**Succession.** When members are banned and others come to use the campaign's wording within days, `succession` says
how many were banned, since when, and how many came after; the campaign then `succeeds` itself. That somebody is banned
is known only of accounts that were active afterwards, as those of a pool are that retries with its old keys.
"""

from __future__ import annotations

from typing import Any, Final, get_args

import numpy as np

from detector.account import Status
from detector.campaign.confidence import weight_of
from detector.campaign.evolve import Campaign
from detector.campaign.observation import CAPABILITIES, LinkKind
from detector.campaign.weights import Weights
from detector.event import I8, I64
from detector.finding import Finding, Reason

STRONG: Final = 0.5  # a reading that weighs nothing
FEW: Final = 5  # members banned, or come after, that are no succession
TAKEN_OVER_MS: Final = 7 * 24 * 3_600_000  # after a ban, who begins with the wording takes it over
BANNED: Final = get_args(Status).index("banned")


def compose(
    campaign: Campaign,
    time_ms: int,
    *,
    added: list[str],
    removed: list[str],
    accounts: dict[str, Any],
    links: dict[str, Any],
    models: dict[str, int],
    weights: Weights,
    shadow: bool,
) -> Finding:
    """Return the next finding of a campaign. `accounts` and `links` are columns over its members and links."""
    took_over = succession(accounts["status"], accounts["status_ms"], accounts["first_ms"])
    told = [r for r in campaign.readings if r.strength > 0]  # NaN compares False: what is unknown is no reason
    told = [r for r in told if weight_of(weights, r.name) > 0 or r.strength >= STRONG]
    reasons = [
        Reason(
            r.name, round(r.strength, 4), weight_of(weights, r.name), _rounded(r.value), _rounded(r.baseline), r.because
        )
        for r in sorted(told, key=lambda r: -weight_of(weights, r.name) * r.strength)
    ]
    return Finding(
        finding_id=f"{'w' if campaign.severity == 'watch' else 'f'}-{campaign.campaign_id}",
        seq=campaign.seq,
        kind="campaign",
        subject=campaign.campaign_id,
        state="updated" if campaign.raised else "raised",
        severity=campaign.severity,
        score=round(campaign.score, 4),
        time_ms=time_ms,
        first_seen_ms=campaign.first_seen_ms,
        last_seen_ms=campaign.last_seen_ms,
        accounts_added=added,
        accounts_removed=removed,
        accounts_total=len(campaign.members),
        requests_total=int(accounts["requests"].sum()),
        output_tokens_total=int(accounts["output_tokens"].sum()),
        reasons=reasons,
        evidence={
            "links": _links(links),
            "capabilities": _capabilities(accounts["capabilities"]),
            "models": dict(sorted(models.items(), key=lambda item: (-item[1], item[0]))[:10]),
            "requests_in_common": campaign.asked,
            "mixed_members": {"accounts": campaign.mixed, "share_in_common": round(campaign.mixed_share, 4)},
            "merged_from": list(campaign.merged_from),
            "split_from": list(campaign.split_from),
            "split_into": list(campaign.split_into),
            "succeeds": [campaign.campaign_id] if took_over else [],
            "succession": took_over,
        },
        shadow=shadow,
    )


def succession(status: I8, status_ms: I64, first_ms: I64) -> dict[str, int]:
    """Return who of the members took over from those that were banned; nothing where nobody did.

    A pool is banned over hours: who comes after is counted from when half of its bans were in effect.
    `first_ms` is when each first used the campaign's wording.
    """
    banned = (status == BANNED) & (status_ms >= 0)
    if banned.sum() < FEW:
        return {}
    half_ms = int(np.sort(status_ms[banned])[(int(banned.sum()) - 1) // 2])
    after = ~banned & (first_ms > half_ms) & (first_ms <= half_ms + TAKEN_OVER_MS)
    if after.sum() < FEW:
        return {}
    return {
        "accounts_banned": int(banned.sum()),
        "since_ms": int(status_ms[banned].min()),
        "accounts_after": int(after.sum()),
        "first_after_ms": int(first_ms[after].min()),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)


def _links(links: dict[str, Any]) -> list[dict[str, Any]]:
    """Summarise the links by kind: how many, and who shares the widest: how many accounts, how many established."""
    rows = []
    for kind in np.unique(links["kind"]).tolist():
        mine = links["kind"] == kind
        widest = int(np.argmax(np.where(mine, links["accounts"], -1)))
        rows.append(
            {
                "kind": LinkKind(kind).name.lower(),
                "links": int(mine.sum()),
                "accounts": int(links["accounts"][widest]),
                "young": int(links["young"][widest]),
                "established": int(links["established"][widest]),
                "surprise_nats": round(float(links["surprise"][widest]), 1),
            }
        )
    return sorted(rows, key=lambda row: (-row["accounts"], row["kind"]))


def _capabilities(counts: Any) -> dict[str, float]:
    totals = counts.sum(axis=0)
    known = int(totals.sum())
    return {name: round(int(n) / known, 4) for name, n in zip(CAPABILITIES, totals, strict=True) if n} if known else {}

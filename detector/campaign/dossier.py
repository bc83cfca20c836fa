"""The finding of a campaign: what an analyst reads, in sentences with numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from detector.campaign.confidence import weight_of
from detector.campaign.evolve import Campaign
from detector.campaign.observation import CAPABILITIES, LinkKind
from detector.campaign.weights import Weights
from detector.finding import Finding, Reason


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
    reasons = [
        Reason(
            r.name, round(r.strength, 4), weight_of(weights, r.name), _rounded(r.value), _rounded(r.baseline), r.because
        )
        for r in sorted(
            campaign.readings, key=lambda r: -weight_of(weights, r.name) * (0 if math.isnan(r.strength) else r.strength)
        )
        if not math.isnan(r.strength) and r.strength > 0
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
        },
        shadow=shadow,
    )


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

"""Tiny streams, labels and findings, written as one would on paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from detector.finding import Finding
from detector.scorecard import Exchanges, Flags, ScoreCard, Truth, TruthRecord, score

HOUR = 3_600_000
DAY = 24 * HOUR
START = 20_000 * DAY


def campaign(*accounts: str, name: str = "c") -> list[TruthRecord]:
    return [TruthRecord(account_id=a, label="campaign", campaign_id=name) for a in accounts]


def benign(*accounts: str, cohort: str = "people") -> list[TruthRecord]:
    return [TruthRecord(account_id=a, label="benign", cohort=cohort) for a in accounts]


def finding(time_ms: int, added: Sequence[str], **changes: object) -> Finding:
    """A campaign finding of severity warning, raised; `changes` says what is different."""
    usual = Finding(
        finding_id="f",
        seq=0,
        kind="campaign",
        subject="c-1",
        state="raised",
        severity="warning",
        score=0.9,
        time_ms=time_ms,
        first_seen_ms=START,
        last_seen_ms=time_ms,
        accounts_added=list(added),
        accounts_removed=[],
        accounts_total=len(added),
        requests_total=0,
        output_tokens_total=0,
        reasons=[],
        evidence={},
    )
    return msgspec.structs.replace(usual, **changes)


def card(
    exchanges: Sequence[tuple[str, int] | tuple[str, int, int]],
    truth: Sequence[TruthRecord],
    findings: Sequence[Finding] = (),
) -> ScoreCard:
    """Score exchanges of (account, time[, harvest]); blocks of two, so that what crosses a block shows."""
    labels = Truth(truth)
    flags = Flags(labels)
    for f in findings:
        flags.absorb(f)
    names = list(dict.fromkeys(e[0] for e in exchanges))

    def blocks() -> Iterator[Exchanges]:
        for start in range(0, len(exchanges), 2):
            part = exchanges[start : start + 2]
            yield Exchanges(
                np.array([names.index(e[0]) for e in part], np.int32),
                np.array([e[1] for e in part], np.int64),
                np.array([e[2] if len(e) > 2 else -1 for e in part], np.int8),
            )

    return score("test", names, blocks, labels, flags)


def every_hour(account: str, n: int, start: int = START) -> list[tuple[str, int]]:
    """n exchanges of the account, one an hour from `start`."""
    return [(account, start + h * HOUR) for h in range(n)]

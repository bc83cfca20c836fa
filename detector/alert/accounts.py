"""Account alerts: what one account's own behaviour says, held down to where it can be believed.

    quiet ──score ≥ raise_at──► raised ──score < clear_at, or silent for a day──► cooldown ──► quiet

Behaviour alone is high recall and low precision, so an account alert is `watch`: it is on the
analyst's list, pages nobody and changes no verdict. The exception is a reasoning block presented
by an account it was not issued to, which is near-deterministic (`block_replay`, `warning`).
A canary is told at every judgement, for its silence is what is watched (`detector_canary_findings_total`).
An account that a campaign holds is *inhibited*: the campaign speaks for it. One that is only watched
cannot speak for a block replay, which is louder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from detector.campaign.observation import AccountFacts, Judged
from detector.campaign.table import cut
from detector.event import Mask
from detector.finding import Finding, Kind, Reason, Severity

BLOCK_REPLAY: Final = "block_replay"
CANARY: Final = "canary"
Sentences = Sequence[tuple[str, float, float, float | None, float | None, str]]


@dataclass(frozen=True, slots=True)
class AccountAlertSettings:
    """Levels with hysteresis; times in event time."""

    raise_at: float = 0.8  # an account is raised from this score on ...
    clear_at: float = 0.5  # ... and cleared below this one
    update_by: float = 0.1  # a raised alert is updated when its score moved by as much
    cooldown_ms: int = 24 * 3_600_000  # a cleared account is not raised again for so long
    most_alerts: int = 100_000  # accounts with an alert in memory; the longest unheard of go first, without a word
    block_replay_at: float = 0.9  # strength of foreign reasoning blocks from which on the finding is `block_replay`


class _Alert(msgspec.Struct):
    seq: int
    score: float
    raised_ms: int
    seen_ms: int
    kind: Kind
    severity: Severity
    raised: bool


_dump: Final = msgspec.msgpack.Decoder(list[tuple[str, _Alert]])


class AccountAlerts:
    """The alerts of all accounts; only accounts that ever crossed a threshold are held."""

    def __init__(self, settings: AccountAlertSettings) -> None:
        """Start with none."""
        self._settings = settings
        self._alerts: dict[str, _Alert] = {}

    def update(
        self, judged: Judged, facts: AccountFacts, inhibited: Mask, flagged: Mask, *, shadow: bool
    ) -> list[Finding]:
        """Return the findings that these judgements bring, in their order.

        `inhibited` and `flagged` say of each account of `facts` whether a campaign holds it, and one above `watch`.
        """
        findings = []
        for row, account in enumerate(judged.account.tolist()):
            because = judged.because[row]
            replayed = self._replayed(because)
            if not flagged[account] and (replayed or not inhibited[account]):
                score, tick_ms = float(judged.score[row]), int(judged.tick_ms[row])
                finding = self._one(facts, account, score, because, tick_ms, replayed=replayed, shadow=shadow)
                if finding is not None:
                    findings.append(finding)
        return findings

    def _replayed(self, because: Sentences) -> bool:
        return any(reason[0] == BLOCK_REPLAY and reason[1] >= self._settings.block_replay_at for reason in because)

    def _one(
        self,
        facts: AccountFacts,
        row: int,
        score: float,
        because: Sentences,
        time_ms: int,
        *,
        replayed: bool,
        shadow: bool,
    ) -> Finding | None:
        s, account = self._settings, facts.ids[row]
        alert = self._alerts.get(account)
        if alert is not None and replayed and alert.kind == "account":
            alert = None  # a warning does not wait for what was only watched to cool down
        if alert is None or not alert.raised:
            if not (score >= s.raise_at or replayed):  # an unknown score, NaN, raises nothing
                return None
            if alert is not None and time_ms - alert.seen_ms < s.cooldown_ms:
                return None
            kind: Kind = "block_replay" if replayed else "account"
            alert = _Alert(0, score, time_ms, time_ms, kind, "warning" if replayed else "watch", raised=True)
            self._alerts[account] = alert
            state = "raised"
        elif score < s.clear_at and alert.kind == "account":
            alert.raised, state = False, "cleared"
            alert.seq += 1
        elif abs(score - alert.score) >= s.update_by or any(reason[0] == CANARY for reason in because):
            alert.seq += 1
            state = "updated" if alert.seq else "raised"
        else:
            return None
        alert.score, alert.seen_ms = score, time_ms
        if state == "cleared" and not alert.seq:
            return None  # nobody heard of it
        return Finding(
            finding_id=f"f-{alert.kind}-{account}-{alert.raised_ms}",
            seq=alert.seq,
            kind=alert.kind,
            subject=account,
            state="cleared" if state == "cleared" else "raised" if state == "raised" else "updated",
            severity=alert.severity,
            score=round(score, 4),
            time_ms=time_ms,
            first_seen_ms=int(facts.first_seen_ms[row]),
            last_seen_ms=time_ms,
            accounts_added=[account] if alert.seq == 0 else [],
            accounts_removed=[account] if state == "cleared" else [],
            accounts_total=1,
            requests_total=int(facts.requests[row]),
            output_tokens_total=int(facts.output_tokens[row]),
            reasons=[Reason(*reason) for reason in because],
            evidence={},
            shadow=shadow,
        )

    def tell_anew(self) -> None:
        """Let every alert that is raised be raised again when its account is next judged, however little changed."""
        for alert in self._alerts.values():
            if alert.raised:
                alert.seq, alert.score = -1, -math.inf

    @property
    def full(self) -> bool:
        """Whether there are more than `most_alerts`."""
        return len(self._alerts) > self._settings.most_alerts

    def forget(self, before_ms: int) -> int:
        """Drop the alerts that nothing was heard of since `before_ms`, and what is too many; return how many were."""
        heard = {account: alert for account, alert in self._alerts.items() if alert.seen_ms >= before_ms}
        accounts = sorted(heard)
        seen_ms = np.array([heard[account].seen_ms for account in accounts], np.int64)
        stays = np.ones(len(heard), np.bool_)
        dropped = cut(stays, np.zeros(len(heard), np.int8), seen_ms, self._settings.most_alerts)
        self._alerts = {account: heard[account] for account, stay in zip(accounts, stays.tolist(), strict=True) if stay}
        return dropped

    def dump(self) -> bytes:
        """Return all alerts as bytes."""
        return msgspec.msgpack.encode(sorted(self._alerts.items()))

    def load(self, data: bytes) -> None:
        """Become the dumped alerts."""
        self._alerts = dict(_dump.decode(data))

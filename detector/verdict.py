"""From findings to what the gateway is told of each account.

    finding ──► policy: severity -> action ──► the strongest action of all findings about an account ──► Verdict
                                                       └ removed, cleared, or expired ──► tombstone

The policy is safe by default: it issues nothing until `enforce` is set, `watch` never leads to a
verdict, and `block` comes only from a configuration that says so. A verdict ends by itself
(`ttl_ms` of event time after it was issued) and is issued again only while findings still support
it and half of that time has passed, so that a campaign of 25,000 accounts does not rewrite 25,000
verdicts at each of its updates. No verdict means `allow`: whatever is lost here fails open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from detector.finding import Action, Finding, Verdict

_RANK: Final[dict[Action, int]] = {"allow": 0, "verify": 1, "throttle": 2, "block": 3}


@dataclass(frozen=True, slots=True)
class VerdictPolicy:
    """What is done about whom."""

    enforce: bool = False  # issue verdicts at all; without it findings are only reported
    warning: Action = "verify"  # for accounts in a finding of severity `warning`: allow, verify, throttle or block
    critical: Action = "throttle"  # for accounts in a finding of severity `critical`
    ttl_ms: int = 24 * 3_600_000  # a verdict ends so long after it was issued, in event time
    limit_tokens_per_minute: int = 2_000  # what a throttled account still gets


def action_of(finding: Finding, policy: VerdictPolicy) -> Action:
    """Return what the policy does about the accounts of a finding."""
    if not policy.enforce or finding.shadow or finding.state == "cleared":
        return "allow"
    if finding.severity == "critical":
        return policy.critical
    return policy.warning if finding.severity == "warning" else "allow"


class _Held(msgspec.Struct):
    """A finding that stands: its members and what it asks for."""

    members: set[str]
    action: Action
    reason_code: str
    score: float


Change = tuple[str, Verdict | None]


class Verdicts:
    """All verdicts that stand, and the findings that support them."""

    def __init__(self, policy: VerdictPolicy) -> None:
        """Start with no verdict."""
        self.policy = policy
        self._held: dict[str, _Held] = {}
        self._of: dict[str, set[str]] = {}  # account -> the findings it is in
        self._issued: dict[str, Verdict] = {}

    def absorb(self, finding: Finding) -> list[Change]:
        """Take the next update of a finding; return the verdicts that change, None where one ends, by account."""
        held = self._held.setdefault(finding.finding_id, _Held(set(), "allow", "", 0.0))
        action = action_of(finding, self.policy)
        touched = set(finding.accounts_added) | set(finding.accounts_removed)
        held.members |= set(finding.accounts_added)
        if action != held.action:
            touched |= held.members
        half_gone = finding.time_ms + self.policy.ttl_ms // 2
        for account_id in held.members:
            verdict = self._issued.get(account_id)
            if verdict is None or verdict.expires_ms <= half_gone:
                touched.add(account_id)
        gone = held.members if finding.state == "cleared" else set(finding.accounts_removed)
        held.members = held.members - gone
        held.action, held.score = action, finding.score
        held.reason_code = finding.reasons[0].signal if finding.reasons else finding.kind
        for account_id in held.members:
            self._of.setdefault(account_id, set()).add(finding.finding_id)
        for account_id in gone:
            self._leave(account_id, finding.finding_id)
        if not held.members:
            del self._held[finding.finding_id]
        return [change for account_id in sorted(touched) for change in self._decide(account_id, finding.time_ms)]

    def expire(self, time_ms: int) -> list[Change]:
        """Return the tombstones of the verdicts that have ended by `time_ms`."""
        ended = sorted(a for a, verdict in self._issued.items() if verdict.expires_ms <= time_ms)
        for account_id in ended:
            del self._issued[account_id]
        return [(account_id, None) for account_id in ended]

    def _leave(self, account_id: str, finding_id: str) -> None:
        findings = self._of.get(account_id, set())
        findings.discard(finding_id)
        if not findings:
            self._of.pop(account_id, None)

    def _decide(self, account_id: str, time_ms: int) -> list[Change]:
        finding_ids = self._of.get(account_id, ())
        strongest = max(
            ((self._held[f], f) for f in finding_ids),
            key=lambda held: (_RANK[held[0].action], held[0].score, held[1]),
            default=None,
        )
        if strongest is None or strongest[0].action == "allow":
            return [(account_id, None)] if self._issued.pop(account_id, None) is not None else []
        held, finding_id = strongest
        verdict = Verdict(
            account_id=account_id,
            action=held.action,
            reason_code=held.reason_code,
            finding_id=finding_id,
            score=held.score,
            issued_ms=time_ms,
            expires_ms=time_ms + self.policy.ttl_ms,
            limit_tokens_per_minute=self.policy.limit_tokens_per_minute if held.action == "throttle" else None,
        )
        self._issued[account_id] = verdict
        return [(account_id, verdict)]

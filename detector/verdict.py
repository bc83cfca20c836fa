"""From findings to what the gateway is told of each account.

    finding ──► policy: severity -> action ──► the strongest action of all findings about an account ──► Verdict
                                                       └ removed, cleared, or expired ──► tombstone

The policy is safe by default: it issues nothing until `enforce` is set, `watch` never leads to a
verdict, and `block` comes only from a configuration that says so. A verdict ends by itself
(`ttl_ms` of event time after it was issued) and is issued again only while findings still support
it and half of that time has passed, so that a campaign of 25,000 accounts does not rewrite 25,000
verdicts at each of its updates. A finding that nothing was heard of for seven such times asks for nothing
any more. No verdict means `allow`: whatever is lost here fails open.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import Final

import msgspec

from detector.finding import Action, Finding, Verdict

FORGOTTEN_AFTER: Final = 7  # times that a verdict lasts
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
    """A finding that stands: its members, what it asks for, and when it was last heard of."""

    members: set[str]
    action: Action
    reason_code: str
    score: float
    time_ms: int


class _Dump(msgspec.Struct, array_like=True):
    held: list[tuple[str, list[str], _Held]]
    issued: list[Verdict]
    swept: int


Change = tuple[str, Verdict | None]


class Verdicts:
    """All verdicts that stand, and the findings that support them."""

    def __init__(self, policy: VerdictPolicy) -> None:
        """Start with no verdict."""
        self.policy = policy
        self._held: dict[str, _Held] = {}
        self._of: dict[str, set[str]] = {}  # account -> the findings it is in
        self._issued: dict[str, Verdict] = {}  # in the order in which they were issued
        self._swept = 0

    def absorb(self, finding: Finding) -> list[Change]:
        """Take the next update of a finding; return the verdicts that change, None where one ends, by account."""
        self._forget(finding.time_ms)
        held = self._held.setdefault(finding.finding_id, _Held(set(), "allow", "", 0.0, 0))
        action = action_of(finding, self.policy)
        touched = set(finding.accounts_added) | set(finding.accounts_removed)
        held.members |= set(finding.accounts_added)
        if action != held.action:
            touched |= held.members
        half_gone = finding.time_ms + self.policy.ttl_ms // 2
        for account_id in held.members if self.policy.enforce or self._issued else ():  # else there is none to renew
            verdict = self._issued.get(account_id)
            if verdict is None or verdict.expires_ms <= half_gone:
                touched.add(account_id)
        gone = held.members if finding.state == "cleared" else set(finding.accounts_removed)
        held.members = held.members - gone
        held.action, held.score, held.time_ms = action, finding.score, finding.time_ms
        held.reason_code = finding.reasons[0].signal if finding.reasons else finding.kind
        for account_id in held.members:
            self._of.setdefault(account_id, set()).add(finding.finding_id)
        for account_id in gone:
            self._leave(account_id, finding.finding_id)
        if not held.members:
            del self._held[finding.finding_id]
        return [change for account_id in sorted(touched) for change in self._decide(account_id, finding.time_ms)]

    def expire(self, time_ms: int) -> list[Change]:
        """Return the tombstones of the verdicts that have ended by `time_ms`, in the order in which they were issued.

        That is the order in which they end, so that however often one asks, the same ends in the same order.
        """
        ended = list(takewhile(lambda account_id: self._issued[account_id].expires_ms <= time_ms, self._issued))
        for account_id in ended:
            del self._issued[account_id]
        return [(account_id, None) for account_id in ended]

    def dump(self) -> bytes:
        """Return everything as bytes; equal states give equal bytes."""
        held = [
            (finding_id, sorted(one.members), msgspec.structs.replace(one, members=set()))
            for finding_id, one in sorted(self._held.items())
        ]
        return msgspec.msgpack.encode(_Dump(held, list(self._issued.values()), self._swept))

    def load(self, data: bytes) -> None:
        """Become the dumped state."""
        dump = msgspec.msgpack.decode(data, type=_Dump)
        self._held = {
            finding_id: msgspec.structs.replace(held, members=set(members)) for finding_id, members, held in dump.held
        }
        self._issued = {verdict.account_id: verdict for verdict in dump.issued}
        self._swept, self._of = dump.swept, {}
        for finding_id, held in self._held.items():
            for account_id in held.members:
                self._of.setdefault(account_id, set()).add(finding_id)

    def _forget(self, time_ms: int) -> None:
        """Once in a verdict's time, drop the findings that were not heard of for FORGOTTEN_AFTER such times."""
        if time_ms < self._swept + self.policy.ttl_ms:
            return
        self._swept = time_ms
        silent_ms = time_ms - FORGOTTEN_AFTER * self.policy.ttl_ms
        for finding_id in [f for f, held in self._held.items() if held.time_ms < silent_ms]:
            for account_id in self._held.pop(finding_id).members:
                self._leave(account_id, finding_id)

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
        self._issued.pop(account_id, None)  # so that they stand in the order in which they end
        self._issued[account_id] = verdict
        return [(account_id, verdict)]

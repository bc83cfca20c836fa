"""What the gateway is told, and when it is told that a verdict is over."""

from __future__ import annotations

from typing import Any

import pytest

from detector.finding import Action, Finding, Reason, Severity, State, Verdict
from detector.verdict import VerdictPolicy, Verdicts, action_of

HOUR = 3_600_000
ENFORCING = VerdictPolicy(enforce=True)


def finding(
    added: tuple[str, ...] = (),
    removed: tuple[str, ...] = (),
    severity: Severity = "warning",
    state: State = "updated",
    time_ms: int = 0,
    finding_id: str = "f1",
    shadow: bool = False,
) -> Finding:
    return Finding(
        finding_id=finding_id,
        seq=0,
        kind="campaign",
        subject="c1",
        state=state,
        severity=severity,
        score=0.9,
        time_ms=time_ms,
        first_seen_ms=0,
        last_seen_ms=time_ms,
        accounts_added=list(added),
        accounts_removed=list(removed),
        accounts_total=2,
        requests_total=3,
        output_tokens_total=4,
        reasons=[Reason("rare_template", 0.9, 1.0, None, None, "because")],
        evidence={},
        shadow=shadow,
    )


def actions(changes: list[tuple[str, Verdict | None]]) -> dict[str, Action | None]:
    return {account_id: None if verdict is None else verdict.action for account_id, verdict in changes}


@pytest.mark.parametrize(
    ("policy", "fields", "action"),
    [
        (VerdictPolicy(), {"severity": "critical"}, "allow"),
        (ENFORCING, {"severity": "watch"}, "allow"),
        (ENFORCING, {"severity": "warning"}, "verify"),
        (ENFORCING, {"severity": "critical"}, "throttle"),
        (ENFORCING, {"severity": "critical", "shadow": True}, "allow"),
        (ENFORCING, {"severity": "critical", "state": "cleared"}, "allow"),
        (VerdictPolicy(enforce=True, critical="block"), {"severity": "critical"}, "block"),
    ],
)
def test_the_policy_is_safe_unless_it_is_told_otherwise(
    policy: VerdictPolicy, fields: dict[str, Any], action: Action
) -> None:
    assert action_of(finding(("a",), **fields), policy) == action
    issued = Verdicts(policy).absorb(finding(("a",), **fields))
    assert actions(issued) == ({} if action == "allow" else {"a": action})


def test_a_throttled_account_is_told_its_limit_and_its_end() -> None:
    ((_, verdict),) = Verdicts(ENFORCING).absorb(finding(("a",), severity="critical", time_ms=5))
    assert verdict is not None
    assert (verdict.limit_tokens_per_minute, verdict.issued_ms, verdict.expires_ms) == (2_000, 5, 5 + 24 * HOUR)
    assert (verdict.finding_id, verdict.reason_code, verdict.decided_by) == ("f1", "rare_template", "policy")


def test_only_what_changes_is_issued() -> None:
    verdicts = Verdicts(ENFORCING)
    assert actions(verdicts.absorb(finding(("a", "b")))) == {"a": "verify", "b": "verify"}
    assert verdicts.absorb(finding(time_ms=HOUR)) == []
    assert actions(verdicts.absorb(finding(("c",), time_ms=2 * HOUR))) == {"c": "verify"}


def test_members_of_a_finding_that_was_on_watch_follow_when_it_rises() -> None:
    verdicts = Verdicts(ENFORCING)
    assert verdicts.absorb(finding(("a",), severity="watch")) == []
    assert actions(verdicts.absorb(finding(("b",), severity="warning"))) == {"a": "verify", "b": "verify"}
    assert actions(verdicts.absorb(finding(severity="critical"))) == {"a": "throttle", "b": "throttle"}


def test_a_verdict_is_renewed_when_half_of_its_time_has_gone() -> None:
    verdicts = Verdicts(ENFORCING)
    verdicts.absorb(finding(("a",)))
    assert verdicts.absorb(finding(time_ms=12 * HOUR - 1)) == []
    ((_, verdict),) = verdicts.absorb(finding(time_ms=12 * HOUR))
    assert verdict is not None
    assert verdict.expires_ms == 36 * HOUR


def test_what_nobody_renews_expires_with_a_tombstone() -> None:
    verdicts = Verdicts(ENFORCING)
    verdicts.absorb(finding(("a", "b")))
    assert verdicts.expire(24 * HOUR - 1) == []
    assert verdicts.expire(24 * HOUR) == [("a", None), ("b", None)]
    assert verdicts.expire(25 * HOUR) == []


def test_leaving_a_finding_ends_its_verdict() -> None:
    verdicts = Verdicts(ENFORCING)
    verdicts.absorb(finding(("a", "b")))
    assert verdicts.absorb(finding(removed=("a",))) == [("a", None)]
    assert verdicts.absorb(finding(state="cleared")) == [("b", None)]


def test_the_strongest_finding_speaks_and_the_next_one_follows_it() -> None:
    verdicts = Verdicts(ENFORCING)
    verdicts.absorb(finding(("a",), severity="warning", finding_id="f1"))
    assert actions(verdicts.absorb(finding(("a",), severity="critical", finding_id="f2"))) == {"a": "throttle"}
    assert actions(verdicts.absorb(finding(severity="critical", state="cleared", finding_id="f2"))) == {"a": "verify"}


def test_however_often_one_asks_the_same_ends_in_the_order_in_which_it_was_issued() -> None:
    def issued() -> Verdicts:
        verdicts = Verdicts(ENFORCING)
        for number, account in enumerate(("c", "a", "b")):
            verdicts.absorb(finding((account,), time_ms=number * HOUR, finding_id=account))
        verdicts.absorb(finding(severity="critical", time_ms=3 * HOUR, finding_id="a"))
        return verdicts

    once, often = issued(), issued()
    told = [change for hour in range(24, 28) for change in often.expire(hour * HOUR)]
    assert once.expire(27 * HOUR) == told == [("c", None), ("b", None), ("a", None)]


def test_a_finding_that_nothing_was_heard_of_for_long_asks_for_nothing_any_more() -> None:
    verdicts = Verdicts(ENFORCING)
    verdicts.absorb(finding(("a",)))
    verdicts.expire(24 * HOUR)
    assert actions(verdicts.absorb(finding(time_ms=7 * 24 * HOUR))) == {"a": "verify"}
    verdicts.absorb(finding(("b",), time_ms=15 * 24 * HOUR, finding_id="f2"))
    assert verdicts.absorb(finding(time_ms=15 * 24 * HOUR)) == []


def test_dumped_and_loaded_it_goes_on_the_same() -> None:
    first, second = Verdicts(ENFORCING), Verdicts(ENFORCING)
    first.absorb(finding(("b",)))
    first.absorb(finding(("a", "b"), severity="critical", time_ms=HOUR, finding_id="f2"))
    second.load(first.dump())
    assert second.dump() == first.dump()
    gone = finding(removed=("b",), severity="critical", time_ms=2 * HOUR, finding_id="f2")
    assert first.absorb(gone) == second.absorb(gone) != []
    assert first.expire(30 * HOUR) == second.expire(30 * HOUR) != []

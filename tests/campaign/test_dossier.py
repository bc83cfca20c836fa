"""The finding of a campaign: sentences with numbers, the strongest first."""

from __future__ import annotations

import math
from typing import Any, get_args

import msgspec
import numpy as np

from detector.account import Status
from detector.campaign.dossier import compose, succession
from detector.campaign.evolve import Campaign
from detector.campaign.group import Reading
from detector.campaign.observation import CAPABILITIES, LinkKind
from detector.campaign.weights import DEFAULT
from detector.finding import Finding, encode

WEIGHTS = msgspec.structs.replace(DEFAULT, young_surplus=4.0, duration=2.0, size=2.0)
READINGS = [
    Reading("size", 0.5, 40.0, 5.0, "40 unrelated accounts share the links of this group"),
    Reading("young_surplus", 1.0, 1.0, 0.15, "100% of its accounts are younger than 30 days"),
    Reading("work_list", math.nan, None, 0.3, "too few questions to tell"),
    Reading("identity", 0.0, 0.0, 0.02, "0% of its accounts share a payment"),
    Reading("duration", 0.9, 3.7, 1.0, "it has gone on for 3.7 h"),
]
NEVER_BANNED = {"status": np.zeros(1, np.int8), "status_ms": np.full(1, -1), "first_ms": np.zeros(1, np.int64)}


def finding(
    severity: str = "warning",
    *,
    raised: bool = False,
    asked: int = 0,
    mixed: int = 0,
    mixed_share: float = 0.0,
    readings: list[Reading] | None = None,
    **more: Any,
) -> Finding:
    campaign = Campaign(1, "c-1", 1_000, 9_000, newborn=False, score=0.98765432, severity=severity)
    campaign.readings = readings or READINGS
    campaign.members, campaign.raised, campaign.seq = {1, 2, 3}, raised, 4
    campaign.asked, campaign.mixed, campaign.mixed_share = asked, mixed, mixed_share
    capabilities = np.zeros((3, len(CAPABILITIES)), np.int32)
    capabilities[:, 0], capabilities[0, 2] = 3, 3
    links = {
        "kind": np.array([LinkKind.TEMPLATE, LinkKind.HEAD, LinkKind.TEMPLATE], np.uint8),
        "accounts": np.array([12, 40, 30], np.int32),
        "young": np.array([12, 39, 30], np.int32),
        "established": np.array([0, 1, 0], np.int32),
        "surprise": np.array([22.0, 70.123, 56.0], np.float32),
    }
    accounts = {
        "requests": np.array([5, 6, 7]),
        "output_tokens": np.array([50, 60, 70]),
        "capabilities": capabilities,
        **NEVER_BANNED,
    }
    given = {
        "removed": [],
        "added": ["a", "b"],
        "accounts": accounts,
        "links": links,
        "models": {"s": 2, "l": 9},
        "shadow": False,
        "weights": WEIGHTS,
    }
    return compose(campaign, 10_000, **{**given, **more})


def test_reasons_are_sentences_with_numbers_the_heaviest_first() -> None:
    reasons = finding().reasons
    assert [reason.signal for reason in reasons] == ["young_surplus", "duration", "size"]
    assert [reason.weight * reason.strength for reason in reasons] == sorted(
        (reason.weight * reason.strength for reason in reasons), reverse=True
    )
    assert all(any(char.isdigit() for char in reason.because) for reason in reasons)


def test_a_reading_that_weighs_nothing_is_told_when_it_is_strong() -> None:
    idle = msgspec.structs.replace(WEIGHTS, size=0.0, lockstep=0.0)
    more = [Reading("lockstep", 0.49, 0.8, 1.0, "varies 0.8 times"), Reading("rhythm", 0.9, 0.33, 0.1, "33% at night")]
    reasons = finding(weights=idle, readings=[*more, *READINGS]).reasons
    assert [reason.signal for reason in reasons] == ["young_surplus", "duration", "rhythm", "size"]
    assert (reasons[2].weight, reasons[2].value, reasons[2].baseline) == (0.0, 0.33, 0.1)


def test_what_is_unknown_or_speaks_against_is_no_reason() -> None:
    assert not {"work_list", "identity"} & {reason.signal for reason in finding().reasons}


def test_evidence_says_for_each_kind_of_link_how_many_share_the_widest() -> None:
    assert finding().evidence["links"] == [
        {"kind": "head", "links": 1, "accounts": 40, "young": 39, "established": 1, "surprise_nats": 70.1},
        {"kind": "template", "links": 2, "accounts": 30, "young": 30, "established": 0, "surprise_nats": 56.0},
    ]


def test_evidence_says_how_much_of_it_the_campaign_asked_and_who_serves_others_as_well() -> None:
    evidence = finding(asked=14, mixed=2, mixed_share=0.123456).evidence
    assert evidence["requests_in_common"] == 14
    assert evidence["mixed_members"] == {"accounts": 2, "share_in_common": 0.1235}


HOUR = 3_600_000
OLD, NEW = 40, 30
BANNED_MS = 1_000 * HOUR + np.arange(OLD) * 60_000  # over forty minutes


def taken_over(status: str = "banned", came_ms: int = 1_003 * HOUR, banned: int = OLD) -> Any:
    """A pool of forty, the first `banned` of whom are banned; thirty come to use its wording later."""
    known = np.arange(OLD + NEW) < banned
    return succession(
        np.where(known, get_args(Status).index(status), 0).astype(np.int8),
        np.where(known, np.r_[BANNED_MS, np.zeros(NEW, np.int64)], -1),
        np.where(np.arange(OLD + NEW) < OLD, 900 * HOUR, came_ms),
    )


def test_evidence_says_who_took_over_from_a_banned_pool() -> None:
    assert taken_over() == {
        "accounts_banned": OLD,
        "since_ms": 1_000 * HOUR,
        "accounts_after": NEW,
        "first_after_ms": 1_003 * HOUR,
    }


def test_without_bans_without_newcomers_or_weeks_later_nobody_succeeds() -> None:
    assert taken_over("limited") == {}
    assert taken_over(banned=4) == {}
    assert taken_over(came_ms=999 * HOUR) == {}
    assert taken_over(came_ms=1_000 * HOUR + 8 * 24 * HOUR) == {}
    assert (finding().evidence["succeeds"], finding().evidence["succession"]) == ([], {})


def test_evidence_holds_capability_shares_and_models() -> None:
    evidence = finding().evidence
    assert evidence["capabilities"] == {"coding": 0.75, "reasoning": 0.25}
    assert list(evidence["models"].items()) == [("l", 9), ("s", 2)]


def test_nothing_known_of_capabilities_is_nothing_said() -> None:
    accounts = {
        "requests": np.array([5]),
        "output_tokens": np.array([5]),
        "capabilities": np.zeros((1, len(CAPABILITIES)), np.int32),
        **NEVER_BANNED,
    }
    assert finding(accounts=accounts).evidence["capabilities"] == {}


def test_totals_are_over_all_members_and_added_over_the_new_ones() -> None:
    said = finding()
    assert (said.accounts_total, said.requests_total, said.output_tokens_total) == (3, 18, 180)
    assert said.accounts_added == ["a", "b"]


def test_the_first_finding_is_raised_and_the_next_updated() -> None:
    assert finding().state == "raised"
    assert finding(raised=True).state == "updated"


def test_a_watch_is_another_alert_than_the_warning_that_follows() -> None:
    assert finding("watch").finding_id != finding("warning").finding_id == finding("critical").finding_id


def test_the_same_campaign_gives_the_same_bytes_and_plain_json() -> None:
    assert encode(finding()) == encode(finding())
    assert msgspec.json.decode(encode(finding()), type=Finding) == finding()

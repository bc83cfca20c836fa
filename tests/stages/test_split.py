"""One campaign that turns out to be two: when, which of them keeps the id, and what stays one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from unittest import mock

import pytest

from detector.campaign.observation import LinkKind
from detector.finding import Finding, encode
from detector.stages import campaigns
from tests.campaign.observed import HOUR, Row
from tests.stages.test_campaigns import (
    HARVEST,
    START,
    Asks,
    T,
    candidates_of,
    findings_of,
    flagged,
    harvest,
    partition_of,
    recorded,
)

FIRST, SECOND = HARVEST[:22], HARVEST[22:]
MET = 6  # hours: so long all of them use a phrase, the last of these hours beside the words that are theirs
HOURS = 40
PARTED = MET + 24  # nobody has used the phrase for a day


def between(begin: float, end: float, asks: Asks) -> Asks:
    return lambda minute: asks(minute) if 60 * begin <= minute < 60 * end else []


PHRASE = between(0, MET, harvest(HARVEST, "phrase"))


def words(accounts: Sequence[str], template: str, begin: float = MET - 1, end: float = HOURS) -> Asks:
    return between(begin, end, harvest(accounts, template))


def told(*parts: Asks, hours: float = HOURS) -> list[Finding]:
    (records,) = candidates_of(recorded(*parts, hours=hours))
    return findings_of(partition_of(), records)


def loud(findings: Sequence[Finding]) -> set[str]:
    return {finding.subject for finding in findings if finding.severity != "watch"}


@cache
def recording() -> tuple[bytes, ...]:
    (records,) = candidates_of(recorded(PHRASE, words(FIRST, "one"), words(SECOND, "two"), hours=HOURS))
    return tuple(records)


@cache
def the_split() -> tuple[Finding, ...]:
    return tuple(findings_of(partition_of(), recording()))


def split_of(findings: Sequence[Finding]) -> tuple[Finding, Finding]:
    """The finding that begins the new campaign, and that of the old one in the same step."""
    new = next(f for f in findings if f.evidence["split_from"])
    (old,) = (f for f in findings if f.time_ms == new.time_ms and f.subject in new.evidence["split_from"])
    return new, old


def test_two_pools_that_were_taken_for_one_are_two_a_day_after_they_stopped_sharing() -> None:
    before = [f for f in the_split() if f.time_ms < START + PARTED * HOUR]
    assert len(loud(before)) == 1
    assert flagged(before) == set(HARVEST)
    new, old = split_of(the_split())
    assert START + PARTED * HOUR <= new.time_ms <= START + (PARTED + 6.5) * HOUR
    assert loud(before) == {old.subject}
    assert set(new.accounts_added) == set(SECOND)
    assert new.accounts_total == len(SECOND)
    assert (new.state, new.seq) == ("raised", 0)
    assert new.severity != "watch"


def test_the_old_one_says_in_the_same_step_who_left_it_and_for_which() -> None:
    new, old = split_of(the_split())
    assert set(old.accounts_removed) == set(SECOND)
    assert old.accounts_total == len(FIRST)
    assert old.evidence["split_into"] == [new.subject]
    assert new.evidence["split_from"] == [old.subject]
    assert new.first_seen_ms >= START + (MET - 1) * HOUR


def test_who_goes_over_is_named_by_the_new_one_before_the_old_one_lets_go() -> None:
    new, old = split_of(the_split())
    assert the_split().index(new) < the_split().index(old)


def test_each_of_the_two_knows_in_which_manner_its_members_joined() -> None:
    state = partition_of()
    findings_of(state, recording())
    assert sorted(campaign.joined for campaign in state.campaigns.values() if campaign.severity != "watch") == [
        [len(SECOND), 0, 0, 0, 0, 0, 0],
        [len(FIRST), 0, 0, 0, 0, 0, 0],
    ]


def test_what_was_split_stays_so() -> None:
    assert len(loud(the_split())) == 2
    assert not [f for f in the_split() if f.state == "cleared" and f.severity != "watch"]
    last = {f.subject: f for f in the_split()}
    assert sorted(last[subject].accounts_total for subject in loud(the_split())) == [len(SECOND), len(FIRST)]
    assert max(f.time_ms for f in the_split()) >= START + (HOURS - 1) * HOUR


def test_what_both_used_before_does_not_unite_them_again_though_it_was_a_good_part_of_what_they_asked() -> None:
    long = 14
    phrase = words(HARVEST, "phrase", 0, long)
    findings = told(phrase, words(FIRST, "one", long - 1, 48), words(SECOND, "two", long - 1, 48), hours=48)
    new, old = split_of(findings)
    assert new.time_ms < START + 47 * HOUR
    assert {f.subject: f.accounts_total for f in findings if f.severity != "watch"} == {
        old.subject: len(FIRST),
        new.subject: len(SECOND),
    }


def test_what_both_used_before_does_not_unite_them_again_when_it_is_nobodys() -> None:
    state = partition_of()
    cut = next(i for i, record in enumerate(recording()) if any(f.evidence["split_from"] for f in state.absorb(record)))
    both = state.links["used"] == len(HARVEST)
    assert both.any()
    state.links["owner"][both] = 0
    findings_of(state, recording()[cut + 1 :])
    assert not any(campaign.merged_from for campaign in state.campaigns.values())
    assert sorted(len(campaign.members) for campaign in state.campaigns.values()) == [len(SECOND), len(FIRST)]


def test_two_that_come_to_share_words_after_their_split_are_one_again() -> None:
    again = words(HARVEST, "again", 38, 54)
    findings = told(PHRASE, words(FIRST, "one"), words(SECOND, "two"), again, hours=54)
    new, old = split_of(findings)
    assert findings[-1].subject == old.subject
    assert findings[-1].accounts_total == len(HARVEST)
    assert findings[-1].evidence["merged_from"] == [new.subject]
    assert set(findings[-1].accounts_removed) == set()


def test_a_split_is_told_at_once_though_updates_are_held_back() -> None:
    state = partition_of()
    findings_of(state, recording()[: 12 * MET])
    (campaign,) = state.campaigns.values()
    campaign.members.discard(min(campaign.members))
    now = campaign.updated_ms + 60_000
    campaign.seq = state.settings.prompt_updates
    assert state._say(campaign, now) == []
    campaign.split_ms = now
    (finding,) = state._say(campaign, now)
    assert len(finding.accounts_removed) == 1


def test_whoever_follows_what_is_added_and_removed_knows_how_many_there_are_through_a_split() -> None:
    members: dict[str, set[str]] = {}
    for finding in the_split():
        now = members.setdefault(finding.finding_id, set())
        assert not now & set(finding.accounts_added)
        now |= set(finding.accounts_added)
        assert now >= set(finding.accounts_removed)
        now -= set(finding.accounts_removed)
        assert len(now) == finding.accounts_total
    assert {frozenset(now) for now in members.values() if now} == {frozenset(FIRST), frozenset(SECOND)}


def test_the_part_with_most_of_those_who_were_named_first_keeps_the_id_though_it_is_smaller() -> None:
    """The larger pool came to the phrase when the smaller one had been told."""
    early, late = HARVEST[:16], HARVEST[16:]
    phrase = words(early, "phrase", 0, MET), words(late, "phrase", 4, MET)
    new, _ = split_of(told(*phrase, words(early, "one"), words(late, "two")))
    assert set(new.accounts_added) == set(late)


@pytest.mark.parametrize("hours", [3, PARTED + 1, HOURS - 1])
def test_dumped_and_loaded_around_a_split_it_goes_on_the_same(hours: int) -> None:
    whole = partition_of()
    findings_of(whole, recording())
    first, second = partition_of(), partition_of()
    cut = 12 * hours
    findings = findings_of(first, recording()[:cut])
    second.load(first.dump())
    assert second.dump() == first.dump()
    findings += findings_of(second, recording()[cut:])
    assert [encode(f) for f in findings] == [encode(f) for f in the_split()]
    assert second.dump() == whole.dump()


# -- what stays one -----------------------------------------------------------------------------


def test_parts_that_share_a_tenth_of_their_accounts_stay_one() -> None:
    both = FIRST[:2]
    assert len(loud(told(PHRASE, words(FIRST, "one"), words([*both, *SECOND], "two")))) == 1


def test_one_account_that_once_strays_holds_nothing_together() -> None:
    crowd = [f"h{i}" for i in range(100, 160)]
    halves = crowd[:30], crowd[30:]

    def stray(minute: int) -> list[Row]:
        return [(halves[0][0], T, "two", "just looking")] if minute == 600 else []

    phrase = words(crowd, "phrase", 0, MET)
    assert len(loud(told(phrase, words(halves[0], "one"), words(halves[1], "two"), stray))) == 2


def test_words_that_follow_others_are_a_change_of_templates() -> None:
    """The second pool takes over from the first; they meet for half a day."""
    parts = words(FIRST, "one", end=30), words(SECOND, "two", 18)
    assert len(loud(told(PHRASE, *parts))) == 1


def test_who_stays_with_the_words_that_others_have_left_is_one_with_them() -> None:
    assert len(loud(told(words(FIRST, "phrase", 0, MET), words(SECOND, "phrase", 0), words(FIRST, "one")))) == 1


def test_parts_that_pay_together_stay_one() -> None:
    """Each payment is shared by a few accounts of either part, and was seen at sign-up alone."""

    def paid(minute: int) -> list[Row]:
        pairs = zip(FIRST, SECOND, strict=False)
        cards = [(who, LinkKind.PAYMENT, f"card {i // 3}") for i, pair in enumerate(pairs) for who in pair]
        return cards if minute == 0 else []

    assert len(loud(told(PHRASE, paid, words(FIRST, "one"), words(SECOND, "two")))) == 1


def test_who_come_from_one_network_are_two_all_the_same() -> None:
    def network(minute: int) -> list[Row]:
        return [(who, LinkKind.NETWORK, "proxies") for who in HARVEST] if minute % 30 == 0 else []

    assert len(loud(told(PHRASE, network, words(FIRST, "one"), words(SECOND, "two")))) == 2


def test_a_part_that_is_no_campaign_by_itself_stays() -> None:
    """Half of them ask what the others of the half ask: a class by itself."""

    def repeated(minute: int) -> list[Row]:
        mine = minute >= 60 * (MET - 1) and minute % 30 == 0
        return [(who, T, "two", f"question {minute}") for who in SECOND] if mine else []

    findings = told(PHRASE, words(FIRST, "one"), repeated)
    assert len(loud(findings)) == 1
    assert findings[-1].evidence["split_into"] == []
    assert findings[-1].accounts_total == len(HARVEST)


def test_templates_that_change_and_accounts_that_are_replaced_stay_one() -> None:
    """Each half day another template begins, and a fifth of the accounts are others: in three days all of them."""
    accounts = [f"h{i}" for i in range(100, 200)]
    shifts = [words(accounts[8 * h : 8 * h + 40], f"template {h}", 12 * h, 12 * h + 40) for h in range(7)]
    findings = told(*shifts, hours=84)
    assert not any(finding.evidence["split_from"] for finding in findings)
    assert flagged(findings) == set(accounts[:88])
    assert findings[-1].accounts_total == 88


def test_whether_a_campaign_is_two_is_looked_at_a_few_times_a_day() -> None:
    with mock.patch.object(campaigns, "in_two", wraps=campaigns.in_two) as looked:
        findings_of(partition_of(), recording())
    assert looked.call_count <= 2 + 2 * HOURS // 6

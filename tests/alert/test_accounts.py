"""The life of an account alert."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.alert.accounts import BLOCK_REPLAY, CANARY, AccountAlerts, AccountAlertSettings
from detector.finding import Finding
from tests.campaign.observed import HOUR, MINUTE, facts_of, judged_of

RATE = ("request_rate", 0.9, 2.0, 120.0, 30.0, "120 requests a minute")
REPLAY = (BLOCK_REPLAY, 1.0, 5.0, 1.0, None, "1 block was issued to another account")


class Watch:
    """Alerts that one account's judgements go through, minute by minute or by the hour."""

    def __init__(self, **more: Any) -> None:
        self.alerts = AccountAlerts(AccountAlertSettings(**more))

    def hear(
        self,
        score: float,
        at_ms: int,
        because: Sequence[Any] = (RATE,),
        *,
        account: str = "a",
        inhibited: bool = False,
        flagged: bool = False,
        shadow: bool = False,
    ) -> Finding | None:
        judged = judged_of([account], [(account, at_ms, score, because)])
        held, loud = np.array([inhibited or flagged]), np.array([flagged])
        found = self.alerts.update(judged, facts_of([account]), held, loud, shadow=shadow)
        assert len(found) <= 1
        return found[0] if found else None


def states(scores: Sequence[float], every_ms: int = MINUTE) -> list[str]:
    watch = Watch()
    found = [watch.hear(score, number * every_ms) for number, score in enumerate(scores)]
    return [one.state if one else "" for one in found]


def test_an_account_is_raised_at_the_level_and_not_below() -> None:
    assert states([0.79]) == [""]
    assert states([0.8]) == ["raised"]


def test_between_the_levels_a_raised_alert_stays_and_a_quiet_one_stays_quiet() -> None:
    assert states([0.8, 0.75, 0.72]) == ["raised", "", ""]
    assert states([0.6, 0.7]) == ["", ""]


def test_below_the_clear_level_it_is_cleared_once() -> None:
    assert states([0.8, 0.49, 0.4, 0.3]) == ["raised", "cleared", "", ""]


def test_an_update_comes_when_the_score_moved_by_a_tenth() -> None:
    assert states([0.8, 0.85, 0.92, 0.93]) == ["raised", "", "updated", ""]


def test_a_canary_is_told_at_every_judgement() -> None:
    watch = Watch()
    found = [watch.hear(1.0, minute * MINUTE, [(CANARY, 1.0, 1.0, 1.0, 0.0, "the path works")]) for minute in range(3)]
    assert [one.state if one else "" for one in found] == ["raised", "updated", "updated"]


def test_who_listens_from_here_on_hears_a_raised_alert_anew_however_little_its_score_moved() -> None:
    watch = Watch()
    assert watch.hear(0.85, 0)
    watch.alerts.tell_anew()
    anew, after = watch.hear(0.84, MINUTE), watch.hear(0.84, 2 * MINUTE)
    assert anew
    assert (anew.state, anew.seq, anew.accounts_added) == ("raised", 0, ["a"])
    assert after is None


def test_an_alert_that_is_over_before_it_was_told_anew_is_not_cleared_in_words() -> None:
    watch = Watch()
    watch.hear(0.9, 0)
    watch.alerts.tell_anew()
    assert watch.hear(0.1, MINUTE) is None
    assert watch.hear(0.9, 2 * MINUTE) is None  # it cools down all the same
    assert watch.hear(0.9, 25 * HOUR)


def test_after_clearing_it_is_not_raised_again_within_the_cooldown() -> None:
    assert states([0.9, 0.1, 0.9]) == ["raised", "cleared", ""]
    assert states([0.9, 0.1, 0.9], 24 * HOUR) == ["raised", "cleared", "raised"]


def test_the_updates_of_one_alert_share_its_id_and_count_up_and_the_next_alert_is_another() -> None:
    watch = Watch()
    found = [watch.hear(score, hours * HOUR) for hours, score in ((0, 0.8), (1, 0.95), (2, 0.1), (30, 0.9))]
    first, second, third, fourth = (one for one in found if one is not None)
    assert first.finding_id == second.finding_id == third.finding_id != fourth.finding_id
    assert [one.seq for one in (first, second, third, fourth)] == [0, 1, 2, 0]
    assert [one.accounts_added for one in (first, second, third, fourth)] == [["a"], [], [], ["a"]]
    assert third.accounts_removed == ["a"]


def test_behaviour_alone_is_watched() -> None:
    found = Watch().hear(0.99, 0)
    assert found is not None
    assert (found.kind, found.severity) == ("account", "watch")
    assert [reason.signal for reason in found.reasons] == ["request_rate"]


def test_a_block_issued_to_another_account_is_a_warning_whatever_the_score() -> None:
    found = Watch().hear(0.1, 0, [REPLAY])
    assert found is not None
    assert (found.kind, found.severity, found.accounts_added) == ("block_replay", "warning", ["a"])


def test_a_weak_reading_of_blocks_is_none() -> None:
    assert Watch().hear(0.1, 0, [(BLOCK_REPLAY, 0.5, 5.0, 1.0, None, "1 block")]) is None


@pytest.mark.parametrize("before", [[0.9], [0.9, 0.1]], ids=["raised", "cooling down"])
def test_a_block_replay_is_a_warning_also_where_behaviour_has_an_alert_already(before: list[float]) -> None:
    watch = Watch()
    for minute, score in enumerate(before):
        watch.hear(score, minute * MINUTE)
    found = watch.hear(0.9, HOUR, [RATE, REPLAY])
    assert found is not None
    assert (found.kind, found.state, found.seq, found.accounts_added) == ("block_replay", "raised", 0, ["a"])
    assert watch.hear(0.9, HOUR + MINUTE, [RATE, REPLAY]) is None  # once


def test_a_campaign_speaks_for_its_accounts() -> None:
    watch = Watch()
    assert watch.hear(0.99, 0, inhibited=True) is None
    assert watch.hear(0.99, MINUTE) is not None


def test_a_campaign_that_is_only_watched_does_not_speak_for_a_block_replay() -> None:
    watch = Watch()
    assert watch.hear(0.99, 0, [REPLAY], flagged=True) is None
    found = watch.hear(0.99, MINUTE, [REPLAY], inhibited=True)
    assert found is not None
    assert found.severity == "warning"


def test_shadow_decides_the_same_and_says_so() -> None:
    found, shadowed = Watch().hear(0.9, 0), Watch().hear(0.9, 0, shadow=True)
    assert found is not None
    assert shadowed is not None
    assert (found.shadow, shadowed.shadow) == (False, True)
    assert found.finding_id == shadowed.finding_id


def test_a_score_that_is_unknown_raises_nothing() -> None:
    assert Watch().hear(float("nan"), 0) is None


def test_accounts_have_alerts_of_their_own() -> None:
    watch = Watch()
    one, other = watch.hear(0.9, 0, account="a"), watch.hear(0.9, 0, account="b")
    assert one is not None
    assert other is not None
    assert one.finding_id != other.finding_id


def test_an_alert_that_nothing_was_heard_of_is_forgotten() -> None:
    watch = Watch()
    watch.hear(0.9, 0)
    watch.alerts.forget(1)
    assert watch.alerts.dump() == Watch().alerts.dump()


def test_of_too_many_alerts_the_longest_unheard_of_are_forgotten() -> None:
    watch = Watch(most_alerts=10)
    for number in range(11):
        assert not watch.alerts.full
        watch.hear(0.9, number * MINUTE, account=f"a{number}")
    assert watch.alerts.full
    assert watch.alerts.forget(0) == 2  # one more than must
    assert not watch.alerts.full
    assert watch.hear(0.2, HOUR, account="a1") is None
    cleared = watch.hear(0.2, HOUR, account="a2")
    assert cleared is not None
    assert cleared.state == "cleared"


HEARD = st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1), st.booleans()), max_size=30)


@given(HEARD, st.integers(0, 30), st.sampled_from([MINUTE, 10 * HOUR]))
def test_dumped_and_loaded_at_any_point_it_goes_on_the_same(heard, cut: int, every_ms: int) -> None:
    one, other = Watch(), Watch()
    for number, (account, score, replayed) in enumerate(heard):
        if number == cut:
            dumped = other.alerts.dump()
            other = Watch()
            other.alerts.load(dumped)
            assert other.alerts.dump() == dumped
        because = [REPLAY] if replayed else [RATE]
        found = [watch.hear(score, number * every_ms, because, account=account) for watch in (one, other)]
        assert found[0] == found[1]
    assert one.alerts.dump() == other.alerts.dump()


@given(st.lists(st.floats(0, 1), max_size=40))
def test_raised_and_cleared_take_turns(scores: list[float]) -> None:
    seen = [state for state in states(scores, 5 * HOUR) if state]
    assert seen[:1] in ([], ["raised"])
    ends = [state for state in seen if state != "updated"]
    assert all(one != other for one, other in pairwise(ends))

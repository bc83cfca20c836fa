"""Who joins a campaign that is known: alone, in company of its own manner, or after it has waited."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from detector.campaign.observation import LinkKind
from tests.campaign.observed import DAY, HOUR, MINUTE, Row
from tests.stages.test_campaigns import HARVEST, PEOPLE, START, Asks, F, T, flagged, harvest, told

OLD = [who for who in PEOPLE if int(who[1:]) % 7][:4]


@pytest.mark.parametrize(("old", "belong"), [(OLD[:2], False), (OLD, True)])
def test_one_or_two_old_customers_among_many_new_accounts_are_no_aged_accounts(old: list[str], belong: bool) -> None:
    asks = harvest(HARVEST + old)

    def opening(minute: int) -> list[Row]:
        return [(who, LinkKind.HEAD, f"opening {link}", item) for who, _, link, item in asks(minute)]

    findings = told(asks, opening, hours=27)
    assert flagged(findings) == {*HARVEST, *(old if belong else [])}
    first_day = [f for f in findings if f.time_ms < START + DAY]
    assert flagged(first_day) == set(HARVEST)


@pytest.mark.parametrize(("busy", "belong"), [(["h90", "h91"], False), (["h90", "h91", "h92"], True)])
def test_one_or_two_new_customers_who_ask_many_times_as_much_as_the_others_have_the_words_for_their_own_reasons(
    busy: list[str], belong: bool
) -> None:
    """An evaluation at night words its questions as a harvest does. An operator who works unevenly has many such."""

    def heavy(minute: int) -> list[Row]:
        return [(who, T, "rare", f"{who} {minute} {i}") for who in busy for i in range(9)]

    assert flagged(told(harvest(), heavy, hours=8)) == {*HARVEST, *(busy if belong else [])}


@pytest.mark.parametrize(("some", "belong"), [(["h90", "h91"], False), (["h90", "h91", "h92"], True)])
def test_one_or_two_new_customers_whose_prompts_share_only_pieces_of_wording_stay_out(
    some: list[str], belong: bool
) -> None:
    """A benchmark gives the advice that a harvest gives. Whoever paraphrases all of it has many such accounts."""

    def pieces(minute: int) -> list[Row]:
        asked = [*harvest()(minute), *harvest(some, "another")(minute)]
        return [(who, F, f"piece {i}", item) for who, _, _, item in asked for i in range(8)]

    def others(minute: int) -> list[Row]:
        return [(who, T, f"of {who}", item) for who, _, _, item in harvest(some, "another")(minute)]

    assert flagged(told(harvest(), pieces, others, hours=8)) == {*HARVEST, *(some if belong else [])}


def copied(asks: Asks) -> Asks:
    """The same, all of it with an opening that some customers use too, of whom two are new."""
    customers = [*OLD, *(who for who in PEOPLE if int(who[1:]) % 7 == 0)][:6]

    def opened(minute: int) -> list[Row]:
        asked = asks(minute)
        if minute in (0, 120):
            asked = [*asked, *((who, T, "", f"{who} {minute}") for who in (customers[:4] if minute else customers))]
        return [(who, kind, f"copied {kind}", item) for who, _, _, item in asked for kind in (LinkKind.HEAD, F)]

    return opened


@pytest.mark.parametrize("work", [[harvest()], []], ids=["and words of his own", "and nothing else"])
def test_new_customers_who_copied_an_opening_where_the_operator_did_stay_out(work: list[Asks]) -> None:
    assert flagged(told(copied(harvest()), *work, hours=8)) == set(HARVEST)


def parameters(accounts: Sequence[str]) -> Callable[[int], list[Row]]:
    return lambda minute: [(who, LinkKind.SHAPE, "chosen", item) for who, _, _, item in harvest(accounts)(minute)]


def test_who_chose_the_same_parameters_and_other_words_stays_out() -> None:
    """Applications of new customers begin with the parameters of a harvest."""
    some = [f"h{i}" for i in range(90, 96)]

    def others(minute: int) -> list[Row]:
        return [(who, T, f"of {who}", item) for who, _, _, item in harvest(some, "another")(minute)]

    assert flagged(told(harvest(), parameters([*HARVEST, *some]), others, hours=8)) == set(HARVEST)


def test_who_shares_parameters_alone_belongs_where_most_do() -> None:
    """Bare questions, and a few of them with words in common."""
    few = HARVEST[:3]
    assert flagged(told(harvest(few), parameters(HARVEST), hours=8)) == set(HARVEST)


@pytest.mark.parametrize(("jobs", "belong"), [(["h90", "h91"], False), (["h90", "h91", "h92"], True)])
def test_one_or_two_new_customers_who_ask_all_of_it_within_minutes_stay_out(jobs: list[str], belong: bool) -> None:
    """A nightly evaluation of the same benchmark. An operator who works in bursts has many such accounts."""

    def job(minute: int) -> list[Row]:
        return [(who, T, "rare", f"{who} {minute} {i}") for who in jobs for i in range(8)] if minute == 5 * 60 else []

    assert flagged(told(harvest(), job, hours=8)) == {*HARVEST, *(jobs if belong else [])}


def test_those_who_belong_in_one_manner_are_no_company_for_those_who_do_in_another() -> None:
    """An operator's aged accounts say nothing of a benchmark that gives the same advice, nor of a busy customer."""
    busy, some = ["h90", "h91"], ["h92", "h93"]

    def pieces(minute: int) -> list[Row]:
        asked = [*harvest()(minute), *harvest(some, "another")(minute)]
        return [(who, F, f"piece {i}", item) for who, _, _, item in asked for i in range(8)]

    def others(minute: int) -> list[Row]:
        opening = [(who, LinkKind.HEAD, f"opening {link}", item) for who, _, link, item in asks(minute)]
        own = [(who, T, f"of {who}", item) for who, _, _, item in harvest(some, "another")(minute)]
        return [*opening, *own, *((who, T, "rare", f"{who} {minute} {i}") for who in busy for i in range(9))]

    asks = harvest([*HARVEST, *OLD])
    findings = told(asks, pieces, others, hours=27)
    assert flagged(findings) == {*HARVEST, *OLD}


def test_a_campaign_that_began_with_a_part_of_a_pool_takes_over_what_the_pool_shares_later() -> None:
    """Its own words are used no more, and too few others are young to be a campaign by themselves."""
    begin, later = 26 * 60, 29 * 60  # when it is known what is new
    first, others, old = HARVEST[:12], HARVEST[12:18], [who for who in PEOPLE if int(who[1:]) % 7][:24]
    pool = [*first, *others, *old]

    def begins(minute: int) -> Sequence[Row]:
        return harvest([*first, *old[:2]], "first")(minute) if begin <= minute < later else []

    def goes_on(minute: int) -> list[Row]:
        """A fifth of what they ask: what the old ones ask besides keeps them out."""
        asked = [(who, LinkKind.HEAD, f"opening {minute // 5 % 4}", f"{who} {minute}") for who in pool]
        else_ = [(who, T, f"of {who}", f"{who} {minute} {i}") for who in pool for i in range(4)]
        return [*asked, *else_] if minute >= later else []

    findings = told(begins, goes_on, hours=32)
    assert flagged(findings) == {*first, *others}
    assert len({finding.subject for finding in findings}) == 1


@pytest.mark.parametrize(("each_time", "belongs"), [(20, False), (5, True)])
def test_who_comes_to_a_known_campaign_is_named_after_ten_minutes_in_which_a_busy_customer_shows(
    each_time: int, belongs: bool
) -> None:
    """In the first of them both look alike."""

    def newcomer(minute: int) -> list[Row]:
        return [("h90", T, "rare", f"{minute} {i}") for i in range(each_time)] if minute >= 4 * 60 else []

    findings = told(harvest(), newcomer, hours=5)
    first = [f.time_ms - START - 4 * HOUR for f in findings if f.severity != "watch" and "h90" in f.accounts_added]
    assert len(first) == belongs
    assert all(10 * MINUTE <= ms <= 15 * MINUTE for ms in first)


def test_who_comes_to_a_known_campaign_is_judged_by_all_that_it_asked() -> None:
    """And not by what is new of it: half of the words, asked again, look like half of the work."""

    def pieces(minute: int) -> list[Row]:
        return [(who, F, f"piece {i}", item) for who, _, _, item in harvest()(minute) for i in range(8)]

    def newcomer(minute: int) -> list[Row]:
        asked = 120 if minute == 4 * 60 else 2 if minute in (5 * 60, 6 * 60) else 0
        which = range(8) if minute < 5 * 60 else range(4)
        return [("h90", F, f"piece {i}", f"{minute} {j}") for j in range(asked) for i in which]

    assert "h90" not in flagged(told(harvest(), pieces, newcomer, hours=7))

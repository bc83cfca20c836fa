"""How groups behave, each reading on both sides: a campaign and the harmless group that looks like it."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.campaign import wire
from detector.campaign.behaviour import (
    DAY_MS,
    HOUR_MS,
    RELEASES,
    TILES,
    Conduct,
    Reference,
    observe,
    refer,
)
from detector.campaign.group import Reading
from detector.campaign.observation import CAPABILITIES
from detector.campaign.weights import READINGS
from detector.event import LABELS
from tests.campaign.readings import check

NOW = 20_000 * DAY_MS  # a midnight: tile 0 of a ring of 24 h is at 00:00
CODING, WRITING = CAPABILITIES.index("coding"), CAPABILITIES.index("writing")
NO_RELEASE = np.full(RELEASES, -1), np.zeros(RELEASES, np.int64), np.zeros(RELEASES, np.int64)


def conduct(n: int = 60, **columns: Any) -> Conduct:
    """Accounts of which nothing stands out: half a year old, each in a network of its own, a few mixed requests."""
    random = np.random.default_rng(n)
    given = {
        "created_ms": NOW - 180 * DAY_MS - np.arange(n) * DAY_MS,
        "prefix": np.arange(1, n + 1, dtype=np.uint64),
        "requests": np.full(n, 20),
        "output_tokens": np.full(n, 20 * 300),
        "requests_24h": np.full(n, 10, np.float32),
        "refused_24h": np.zeros(n, np.float32),
        "single_turn_24h": np.full(n, 5, np.float32),
        "capabilities": random.multinomial(12, np.full(len(CAPABILITIES), 1 / len(CAPABILITIES)), n).astype(np.int32),
        "labels": np.tile(np.array([1, *[0] * (len(LABELS) - 1)], np.int32), (n, 1)),
        "told_ms": np.full(n, NOW - 3 * DAY_MS),
        "early_asked": np.full(n, 10, np.float32),
        "early_refused": np.zeros(n, np.float32),
        "release_asked": np.zeros((n, RELEASES), np.int32),
        "release_new": np.zeros((n, RELEASES), np.int32),
        "referred": np.ones(n, np.bool_),
        "active": random.random((n, TILES)) < 0.02,
    }
    return Conduct(**{**given, **columns})


def reference(established: Conduct | None = None, created: Any = None, releases: Any = NO_RELEASE) -> Reference:
    """What 200 ordinary accounts did; of all accounts, ten signed up in each hour."""
    everyone = np.repeat(NOW - 1 - np.arange(720) * HOUR_MS, 10) if created is None else created
    return refer(established or conduct(200), everyone, releases, NOW)


def reading(name: str, group: Conduct, others: Reference | None = None) -> Reading:
    (found,) = [one for one in observe(group, others or reference(), NOW) if one.name == name]
    return found


def strength(name: str, group: Conduct, others: Reference | None = None) -> float:
    return reading(name, group, others).strength


def counts(n: int, columns: int, **shares: float) -> Any:
    """Twenty requests for each of n accounts in the classes named `c<number>`."""
    row = np.zeros(columns, np.int32)
    for name, share in shares.items():
        row[int(name[1:])] = round(20 * share)
    return np.tile(row, (n, 1))


# -- narrowness ---------------------------------------------------------------------------------


def test_a_harvest_takes_one_class_of_tasks_where_others_have_many() -> None:
    assert strength("narrowness", conduct(capabilities=counts(60, len(CAPABILITIES), c0=1.0))) == 1


def test_people_with_a_prompt_in_common_do_many_other_things() -> None:
    coders = conduct(40).capabilities + counts(40, len(CAPABILITIES), c0=0.15)
    assert strength("narrowness", conduct(40, capabilities=coders)) == 0


def test_what_everybody_asks_for_is_not_narrow() -> None:
    coding = counts(200, len(CAPABILITIES), c0=1.0)
    assert (
        strength("narrowness", conduct(60, capabilities=coding[:60]), reference(conduct(200, capabilities=coding))) == 0
    )


def test_accounts_that_asked_one_thing_each_are_not_narrow_for_it() -> None:
    """A dozen ordinary accounts with one labelled request each: by chance alone they look a little narrow."""
    random = np.random.default_rng(5)
    nats = []
    for _ in range(40):
        once = random.multinomial(1, np.full(len(CAPABILITIES), 1 / len(CAPABILITIES)), 12).astype(np.int32)
        nats.append(reading("narrowness", conduct(12, capabilities=once)).value or 0.0)
    assert float(np.median(nats)) < 0.15  # uncorrected it is 0.3


# -- rhythm -------------------------------------------------------------------------------------


def awake(n: int, begin: Any, hours: int, share: float = 0.1) -> Any:
    """Activity in so many hours of the day from `begin`, of each account."""
    hour = np.arange(TILES) // 12
    open_ = (hour[None, :] - np.broadcast_to(begin, n)[:, None]) % 24 < hours
    return (np.random.default_rng(3).random((n, TILES)) < share) & open_


def test_a_load_balancer_has_no_night() -> None:
    assert strength("rhythm", conduct(active=awake(60, 0, 24))) == 1
    assert strength("rhythm", conduct(200, active=awake(200, 0, 24, 0.02))) > 0.9  # six times a day each


def test_people_sleep() -> None:
    assert strength("rhythm", conduct(active=awake(60, 7, 15))) == 0


def test_the_users_of_a_worldwide_tool_sleep_each_in_a_night_of_their_own() -> None:
    worldwide = conduct(240, active=awake(240, np.arange(240) % 24, 12))
    quiet = reading("rhythm", worldwide)
    assert quiet.strength == 0
    assert quiet.value == pytest.approx(1 / 3, abs=0.05)  # as a group they do not


def test_a_busy_app_does_not_take_the_night_from_those_around_it() -> None:
    active = awake(40, 7, 15)
    active[0] = True
    assert strength("rhythm", conduct(40, active=active)) == 0


def test_nights_are_unknown_before_a_day_is_over() -> None:
    assert math.isnan(strength("rhythm", conduct(active=awake(60, 0, 24), told_ms=np.full(60, NOW - 19 * HOUR_MS))))


# -- lockstep -----------------------------------------------------------------------------------


def test_accounts_that_all_join_in_bursts_act_together() -> None:
    bursts = np.random.default_rng(1).random(TILES) < 0.1
    assert (
        strength(
            "lockstep", conduct(active=np.tile(bursts, (60, 1)) & (np.random.default_rng(2).random((60, TILES)) < 0.6))
        )
        == 1
    )


def test_accounts_that_hand_over_to_each_other_take_turns() -> None:
    active = np.zeros((40, TILES), np.bool_)
    active[(np.arange(TILES * 3) * 7) % 40, np.arange(TILES * 3) // 3] = True  # three at every time, in rotation
    found = reading("lockstep", conduct(40, active=active))
    assert found.strength == 1
    assert found.value is not None
    assert found.value < 0.2
    assert "turns" in found.because


def test_people_who_each_act_by_themselves_do_neither() -> None:
    people = conduct(80, active=awake(80, 8, 14, 0.08))
    assert strength("lockstep", people) < 0.1
    assert reading("lockstep", people).value == pytest.approx(1.0, abs=0.25)


def test_sessions_of_people_are_no_lockstep() -> None:
    """An account that is active for half an hour fills neighbouring tiles; others do so at other times."""
    starts = np.random.default_rng(4).random((80, TILES)) < 0.02
    sessions = np.any([np.roll(starts, shift, axis=1) for shift in range(6)], axis=0)
    assert strength("lockstep", conduct(80, active=sessions)) < 0.2


def test_jobs_that_start_on_the_hour_are_no_lockstep() -> None:
    on_the_hour = np.arange(TILES) % 12 == 0
    jobs = np.where(on_the_hour, np.random.default_rng(6).random((60, TILES)) < 0.7, False)
    jobs |= np.random.default_rng(7).random((60, TILES)) < 0.03
    assert strength("lockstep", conduct(active=jobs)) == 0


def test_the_return_after_an_outage_is_no_lockstep() -> None:
    active = awake(80, 8, 14, 0.08)
    active[:, 150:156] = False
    active[:, 156:158] = True
    assert strength("lockstep", conduct(80, active=active)) < 0.2


def test_a_lesson_is_too_short_to_tell() -> None:
    lesson = np.zeros((30, TILES), np.bool_)
    lesson[:, 120:136] = np.random.default_rng(8).random((30, 16)) < 0.5
    assert math.isnan(strength("lockstep", conduct(30, active=lesson)))


@given(st.integers(1, 287))
def test_the_hour_that_is_not_over_is_left_out(minutes: int) -> None:
    """Read at any time, what the last hour of the clock holds does not show."""
    time_ms = NOW + minutes * 300_000
    quiet, busy = (awake(60, 0, 24) for _ in range(2))
    busy[:, TILES - (minutes - 1) % 12 - 1 :] = True
    one, other = (
        next(r for r in observe(conduct(active=a), None, time_ms) if r.name == "lockstep") for a in (quiet, busy)
    )
    assert one == other


# -- sign-ups -----------------------------------------------------------------------------------


def test_accounts_made_in_one_night_from_many_networks_are_a_burst() -> None:
    assert strength("sign_up_burst", conduct(created_ms=NOW - 3 * DAY_MS - np.arange(60) * 60_000)) == 1


def test_a_class_signs_up_in_one_room() -> None:
    hour = NOW - 3 * DAY_MS - np.arange(60) * 30_000
    room = np.where(np.arange(60) < 57, 7, np.arange(60)).astype(np.uint64)  # three of them at home
    assert strength("sign_up_burst", conduct(created_ms=hour, prefix=room)) == 0


def test_at_a_launch_everybody_signs_up() -> None:
    launch = NOW - 3 * DAY_MS - np.arange(60) * 60_000
    crowd = np.r_[np.repeat(NOW - 1 - np.arange(720) * HOUR_MS, 2), np.repeat(launch, 20), launch]
    assert strength("sign_up_burst", conduct(created_ms=launch)) == 1
    assert strength("sign_up_burst", conduct(created_ms=launch), reference(created=crowd)) < 0.1


def test_accounts_that_came_when_others_did_are_no_burst() -> None:
    assert strength("sign_up_burst", conduct(created_ms=NOW - 1 - np.arange(60) * 12 * HOUR_MS)) == 0


def test_old_accounts_say_nothing_of_sign_ups() -> None:
    assert math.isnan(strength("sign_up_burst", conduct()))


def test_a_group_is_not_its_own_crowd() -> None:
    burst = NOW - 3 * DAY_MS - np.arange(60) * 60_000
    crowd = np.repeat(NOW - 1 - np.arange(720) * HOUR_MS, 2)
    assert strength("sign_up_burst", conduct(created_ms=burst), reference(created=np.r_[crowd, burst])) == 1


def test_who_is_not_among_the_others_is_not_taken_off_them() -> None:
    """A campaign that is named already: the hours in which others signed up with it stay full."""
    launch = NOW - 3 * DAY_MS - np.arange(60) * 60_000
    crowd = reference(created=np.r_[np.repeat(NOW - 1 - np.arange(720) * HOUR_MS, 2), np.repeat(launch, 3)])
    named, free = (
        reading("sign_up_burst", conduct(created_ms=launch, referred=np.full(60, counted)), crowd).baseline or 0.0
        for counted in (False, True)
    )
    assert named > 1.3 * free > 0


# -- releases -----------------------------------------------------------------------------------


def released(accounts: int, shares: float) -> tuple[Any, Any, Any]:
    """A release two days ago: all that no campaign holds, the group among them, and the sum of what they moved."""
    when, others, moved = (column.copy() for column in NO_RELEASE)
    when[1], others[1], moved[1] = NOW - 2 * DAY_MS, accounts, shares
    return when, others, moved


def movers(share: float, n: int = 60, **more: Any) -> Conduct:
    asked, new = np.zeros((n, RELEASES), np.int32), np.zeros((n, RELEASES), np.int32)
    asked[:, 1], new[:, 1] = 10, round(10 * share)
    return conduct(n, **{"release_asked": asked, "release_new": new, **more})


def test_half_of_a_campaign_moves_to_a_new_model_in_a_day() -> None:
    found = reading("release_pivot", movers(0.6), reference(releases=released(560, 36 + 25.0)))
    assert found.strength == 1
    assert (found.value, found.baseline) == (0.6, 0.05)  # without the group's own 60, who moved 36


def test_a_named_campaign_is_not_taken_off_others_who_are_read_without_it() -> None:
    named = movers(0.6, referred=np.zeros(60, np.bool_))
    found = reading("release_pivot", named, reference(releases=released(500, 25.0)))
    assert (found.value, found.baseline) == (0.6, 0.05)


def test_when_everybody_tries_it_nobody_pivots() -> None:
    assert strength("release_pivot", movers(0.6), reference(releases=released(560, 36 + 280.0))) == 0


def test_those_who_came_for_the_new_model_did_not_move() -> None:
    curious = movers(1.0, told_ms=np.full(60, NOW - 2 * DAY_MS + HOUR_MS))
    assert math.isnan(strength("release_pivot", curious, reference(releases=released(560, 36 + 25.0))))


def test_a_model_that_only_the_group_uses_is_no_release() -> None:
    assert math.isnan(strength("release_pivot", movers(0.6), reference(releases=released(560, 36.5))))


def test_a_busy_app_that_moves_does_not_move_its_neighbours() -> None:
    """Of twenty accounts one asks a hundred times as much as the others, and goes over."""
    app = movers(0.0, 20)
    app.release_asked[0, 1] = app.release_new[0, 1] = 1_000
    assert strength("release_pivot", app, reference(releases=released(560, 26.0))) == 0


# -- probing ------------------------------------------------------------------------------------


def probers(early: float, now: float, growth: float) -> Conduct:
    """The share of its requests that each of sixty accounts was refused on the first day, and is refused now."""
    asked = np.full(60, 10 * growth, np.float32)
    return conduct(
        early_refused=np.full(60, 10 * early, np.float32), requests_24h=asked, refused_24h=asked * np.float32(now)
    )


def test_a_campaign_is_refused_first_and_asks_more_then() -> None:
    assert strength("probing", probers(0.6, 0.02, 5.0)) == 1


@pytest.mark.parametrize(("early", "now", "growth"), [(0.6, 0.6, 5.0), (0.6, 0.02, 1.0), (0.01, 0.0, 5.0)])
def test_red_teams_are_refused_every_night_and_do_not_grow(early: float, now: float, growth: float) -> None:
    assert strength("probing", probers(early, now, growth)) == 0


def test_one_account_that_is_refused_much_does_not_make_a_group_probe() -> None:
    group = probers(0.0, 0.0, 5.0)
    group.early_asked[0], group.early_refused[0] = 5_000, 4_000
    assert strength("probing", group) == 0


def test_before_the_first_day_is_over_probing_is_unknown() -> None:
    young = replace(probers(0.6, 0.02, 5.0), told_ms=np.full(60, NOW - 23 * HOUR_MS))
    assert math.isnan(strength("probing", young))


# -- content ------------------------------------------------------------------------------------


def test_what_nobody_else_asks_for_is_a_shift_of_content() -> None:
    harvest = conduct(
        capabilities=counts(60, len(CAPABILITIES), c0=1.0),
        labels=counts(60, len(LABELS), c1=1.0),
        single_turn_24h=np.full(60, 10, np.float32),
    )
    assert strength("content_shift", harvest) == 1


def test_ordinary_accounts_are_no_shift_and_the_users_of_a_popular_tool_are_known() -> None:
    assert strength("content_shift", conduct(40)) == 0
    tool = {"capabilities": counts(200, len(CAPABILITIES), c1=1.0)}
    known = reference(conduct(200, **tool))
    assert strength("content_shift", conduct(60, capabilities=tool["capabilities"][:60]), known) == 0


def test_the_discrepancy_is_that_of_the_kernel_spelled_out() -> None:
    """Against the exact Gaussian kernel over all pairs, for groups with a little and with much in common."""
    other = conduct(200)
    for share in (0.2, 0.6, 1.0):
        extra = counts(60, len(CAPABILITIES), c0=5 * share)
        group = conduct(60, capabilities=conduct(60).capabilities + extra)
        assert reading("content_shift", group, reference(other)).value == pytest.approx(exact(group, other), abs=0.08)


def exact(group: Conduct, other: Conduct) -> float:
    def points(accounts: Conduct) -> Any:
        shares = [c / c.sum(axis=1, keepdims=True) for c in (accounts.capabilities, accounts.labels)]
        single = accounts.single_turn_24h / accounts.requests_24h
        return np.column_stack([*shares, single, np.log2(accounts.output_tokens / accounts.requests) / 8])

    def kernel(a: Any, b: Any) -> Any:
        return np.exp(-((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2) / (2 * 0.7**2))

    x, y = points(group), points(other)
    n = len(x)
    within = (kernel(x, x).sum() - n) / (n * (n - 1))
    return math.sqrt(max(0.0, float(within + kernel(y, y).mean() - 2 * kernel(x, y).mean())))


# -- all of them --------------------------------------------------------------------------------


def test_nothing_is_known_of_what_was_not_told() -> None:
    nothing = conduct(
        created_ms=np.full(60, -1),
        prefix=np.zeros(60, np.uint64),
        requests_24h=np.full(60, np.nan, np.float32),
        refused_24h=np.full(60, np.nan, np.float32),
        single_turn_24h=np.full(60, np.nan, np.float32),
        early_asked=np.full(60, np.nan, np.float32),
        early_refused=np.full(60, np.nan, np.float32),
        capabilities=np.zeros((60, len(CAPABILITIES)), np.int32),
        labels=np.zeros((60, len(LABELS)), np.int32),
        output_tokens=np.zeros(60, np.int64),
        active=np.zeros((60, TILES), np.bool_),
    )
    strengths = {one.name: one.strength for one in observe(nothing, reference(), NOW)}
    assert strengths.pop("content_shift") == 0  # it counts as the mean account
    assert all(math.isnan(one) for one in strengths.values())


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_few_accounts_say_nothing(n: int) -> None:
    assert all(math.isnan(one.strength) for one in observe(conduct(n), reference(), NOW))


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.booleans())
def test_every_reading_is_a_share_or_unknown_and_weighed_by_its_name(seed: int, n: int, known: bool) -> None:
    random = np.random.default_rng(seed)
    group = conduct(
        n,
        created_ms=NOW - random.integers(0, 40 * DAY_MS, n),
        told_ms=NOW - random.integers(0, 3 * DAY_MS, n),
        active=random.random((n, TILES)) < random.random(),
        refused_24h=random.integers(0, 10, n).astype(np.float32),
        early_refused=random.integers(0, 10, n).astype(np.float32),
        capabilities=random.integers(0, 3, (n, len(CAPABILITIES))).astype(np.int32),
    )
    readings = observe(group, reference() if known else None, NOW)
    assert {one.name for one in readings} <= set(READINGS)
    assert len({one.name for one in readings}) == len(readings) == 7
    check(readings)


@given(st.permutations(range(30)))
def test_readings_do_not_depend_on_the_order_of_accounts(order: list[int]) -> None:
    one = conduct(30, created_ms=NOW - np.arange(30) * HOUR_MS)
    other = Conduct(**{field.name: getattr(one, field.name)[order] for field in fields(one)})
    assert repr(observe(one, reference(), NOW)) == repr(observe(other, reference(), NOW))


def test_a_reference_survives_its_bytes() -> None:
    made = reference()
    again = wire.decode(Reference, wire.encode(made))
    assert wire.encode(again) == wire.encode(made)
    assert observe(conduct(), again, NOW)[0] == observe(conduct(), made, NOW)[0]

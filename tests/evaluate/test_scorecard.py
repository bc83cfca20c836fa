"""Every figure of the score card, on cases with a known answer."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.finding import Finding
from detector.scorecard import bins, brier, calibration_error
from tests.evaluate.cases import DAY, HOUR, START, benign, campaign, card, every_hour, finding

MEMBERS = [f"h{i}" for i in range(20)]
PEOPLE = [f"p{i}" for i in range(20)]
TRUTH = [*campaign(*MEMBERS), *benign(*PEOPLE)]
# Each member sends ten exchanges, one an hour: 200 in all, 20 at each hour.
HARVEST = [e for h in range(10) for m in MEMBERS for e in [(m, START + h * HOUR)]]


def test_served_share_counts_what_came_before_the_campaign_was_actionable() -> None:
    scored = card(HARVEST, TRUTH, [finding(START + 3 * HOUR, MEMBERS)])
    assert scored.served_share == pytest.approx(60 / 200)  # hours 0, 1, 2: the time itself is after
    assert scored.hours_to_detect == 3
    assert scored.exchanges_to_detect == 60


def test_a_campaign_never_found_was_served_whole_and_has_no_time_to_detect() -> None:
    scored = card(HARVEST, TRUTH)
    assert scored.served_share == 1
    assert scored.hours_to_detect is None
    assert scored.campaign_recall == 0


def test_a_finding_that_names_an_earlier_time_than_the_events_already_seen_is_counted_exactly() -> None:
    late_news = finding(START + HOUR, MEMBERS)
    assert card(HARVEST, TRUTH, [late_news]).exchanges_to_detect == 20


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"severity": "watch"}, "a watch is not acted upon"),
        ({"shadow": True}, "a shadow finding is not delivered"),
        ({"kind": "account"}, "an account finding does not name the campaign"),
        ({"state": "cleared"}, "a cleared finding says that it is over"),
    ],
)
def test_what_nobody_would_act_upon_is_not_actionable(changes: dict[str, object], why: str) -> None:
    assert card(HARVEST, TRUTH, [finding(START, MEMBERS, **changes)]).served_share == 1, why


def test_actionable_needs_five_percent_of_a_small_campaign_and_ten_accounts_of_a_large_one() -> None:
    small = card(HARVEST, TRUTH, [finding(START, MEMBERS[:1])])
    assert small.campaign_recall == 1  # 1 of 20 is 5 %
    crowd = [f"x{i}" for i in range(400)]
    exchanges, truth = [(x, START) for x in crowd], campaign(*crowd)
    assert card(exchanges, truth, [finding(START, crowd[:9])]).campaign_recall == 0
    assert card(exchanges, truth, [finding(START, crowd[:10])]).campaign_recall == 1


def test_actionable_needs_half_of_the_members_to_be_of_true_campaigns() -> None:
    half = finding(START, MEMBERS[:10] + PEOPLE[:10])
    less = finding(START, MEMBERS[:10] + PEOPLE[:11])
    assert card(HARVEST, TRUTH, [half]).campaign_recall == 1
    assert card(HARVEST, TRUTH, [less]).campaign_recall == 0


def test_members_added_while_it_was_a_watch_make_it_actionable_when_it_is_raised() -> None:
    watch = finding(START, MEMBERS, severity="watch")
    raised = finding(START + 2 * HOUR, [], state="updated", seq=1)
    assert card(HARVEST, TRUTH, [watch, raised]).exchanges_to_detect == 40


def test_removed_members_do_not_count_towards_actionable() -> None:
    mixed = finding(START, MEMBERS[:10] + PEOPLE[:12])
    cleaned = finding(START + HOUR, [], accounts_removed=PEOPLE[:12], seq=1, state="updated")
    assert card(HARVEST, TRUTH, [mixed, cleaned]).hours_to_detect == 1


def test_one_finding_over_two_campaigns_makes_both_actionable() -> None:
    truth = [*campaign(*MEMBERS[:10], name="a"), *campaign(*MEMBERS[10:], name="b")]
    scored = card(HARVEST, truth, [finding(START, MEMBERS)])
    assert scored.campaign_recall == 1
    assert scored.purity == 0.5
    assert scored.completeness == 1


def test_half_and_ninety_percent_flagged_are_times_since_the_first_exchange() -> None:
    findings = [finding(START + (h + 1) * HOUR, MEMBERS[4 * h : 4 * h + 4], seq=h, state="updated") for h in range(5)]
    (only,) = card(HARVEST, TRUTH, findings).campaigns
    assert only.hours_to_half == 3  # 4, 8, 12 of 20
    assert only.hours_to_most == 5  # 16 are not 90 %
    assert only.exchanges_to_half == 60


def test_an_account_is_flagged_at_the_first_loud_finding_that_adds_it() -> None:
    quiet = finding(START, MEMBERS, severity="watch")
    loud = finding(START + 4 * HOUR, MEMBERS[:10], severity="critical", seq=1)
    scored = card(HARVEST, TRUTH, [quiet, loud])
    assert scored.recall == 0.5
    assert scored.campaigns[0].served_share_by_account == pytest.approx((10 * 4 + 10 * 10) / 200)


def test_recall_and_precision_leave_out_accounts_with_fewer_than_five_exchanges() -> None:
    exchanges = [*every_hour("h0", 5), *every_hour("h1", 4), *every_hour("p0", 5), *every_hour("p1", 4)]
    scored = card(exchanges, TRUTH, [finding(START, ["h0", "p1"])])
    assert (scored.recall, scored.precision) == (1, 1)
    assert (scored.recall_all, scored.precision_all) == (0.5, 0.5)


def test_precision_is_unknown_when_nobody_was_flagged() -> None:
    assert card(HARVEST, TRUTH).precision is None


def test_an_account_day_is_a_day_on_which_a_benign_account_was_seen() -> None:
    exchanges = [("p0", START), ("p0", START + DAY - 1), ("p0", START + DAY), ("p1", START), ("h0", START)]
    scored = card(exchanges, TRUTH, [finding(START, ["p1"])])
    assert scored.benign_account_days == 3
    assert scored.false_flags == 1
    assert scored.false_flags_per_million == pytest.approx(1e6 / 3)


def test_false_flags_are_counted_per_cohort() -> None:
    truth = [*benign("a", "b", cohort="class"), *benign("c", cohort="office")]
    exchanges = [("a", START), ("b", START), ("c", START), ("c", START + DAY)]
    scored = card(exchanges, truth, [finding(START, ["a"])])
    assert [(c.cohort, c.accounts, c.account_days, c.false_flags) for c in scored.cohorts] == [
        ("class", 2, 2, 1),
        ("office", 1, 2, 0),
    ]


def test_accounts_that_the_truth_does_not_name_are_neither_right_nor_wrong() -> None:
    scored = card([*every_hour("h0", 5), *every_hour("who", 5)], TRUTH, [finding(START, ["h0", "who"])])
    assert scored.unlabelled_accounts == 1
    assert scored.precision == 1
    assert scored.false_flags == 0


def test_a_campaign_finding_is_wrong_when_most_of_its_members_are_benign() -> None:
    exchanges = [*HARVEST, *every_hour("p0", 48)]
    right = finding(START, MEMBERS)
    wrong = finding(START, ["h0", "p0", "p1"], finding_id="g")
    hidden = finding(START, ["p3"], finding_id="s", shadow=True)
    scored = card(exchanges, TRUTH, [right, wrong, hidden])
    assert scored.wrong_campaigns == 1
    assert scored.wrong_campaigns_per_day == pytest.approx(1 / (47 / 24))


def test_findings_per_day_counts_alerts_and_not_their_updates() -> None:
    exchanges = [("p0", START), ("p0", START + 2 * DAY)]
    updates = [finding(START, ["p0"], seq=s, state="updated") for s in range(5)]
    quiet = finding(START, ["p1"], finding_id="w", severity="watch")
    scored = card(exchanges, TRUTH, [*updates, quiet, finding(START, ["p2"], finding_id="g", kind="account")])
    assert scored.findings_per_day == 1


def test_exposure_is_what_an_account_sent_before_it_was_flagged_and_all_of_it_when_never() -> None:
    exchanges = [*every_hour("h0", 10), *every_hour("h1", 10), *every_hour("h2", 10)]
    scored = card(exchanges, TRUTH, [finding(START + 2 * HOUR, ["h0"]), finding(START + 4 * HOUR, ["h1"])])
    assert scored.exposure_median == 4
    assert scored.exposure_p90 == pytest.approx(4 + 0.8 * 6)


def test_an_account_that_does_both_harvests_only_where_its_events_say_so() -> None:
    exchanges = [("h0", START, 0), ("h0", START + HOUR, 1), ("h0", START + 2 * HOUR, 0), ("h0", START + 3 * HOUR, 1)]
    scored = card(exchanges, campaign("h0"), [finding(START + 2 * HOUR, ["h0"])])
    (only,) = scored.campaigns
    assert only.exchanges == 2
    assert only.served_share == 0.5
    assert only.hours_to_detect == 1  # since the first harvested one


def test_groups_are_compared_as_pairs_of_accounts() -> None:
    truth = [*campaign(*MEMBERS[:4], name="a"), *campaign(*MEMBERS[4:8], name="b"), *benign(*PEOPLE)]
    exchanges = [(m, START) for m in MEMBERS[:8]]
    one, two = finding(START, ["h0", "h1", "h2", "p0"]), finding(START, ["h4", "h5"], finding_id="g")
    scored = card(exchanges, truth, [one, two])
    assert scored.purity == pytest.approx(5 / 6)
    assert scored.completeness == pytest.approx((3 + 2) / 8)
    # pairs together: 3 + 1; pairs found 6 + 1; true pairs 6 + 6
    assert scored.pairwise_f1 == pytest.approx(2 * 4 / (7 + 12))


def test_an_account_stands_in_the_group_that_took_it_in_last() -> None:
    old = finding(START, MEMBERS)
    merged = finding(START + HOUR, MEMBERS, finding_id="g")
    scored = card(HARVEST, TRUTH, [old, merged])
    assert scored.pairwise_f1 == 1


def test_an_account_that_a_group_let_go_stands_in_none() -> None:
    both = [finding(START, MEMBERS), finding(START + HOUR, [], accounts_removed=["h0"], seq=1, state="updated")]
    assert card(HARVEST, TRUTH, both).completeness == pytest.approx(19 / 20)


def test_shares_over_several_campaigns_weigh_by_exchanges_and_times_are_the_slowest() -> None:
    truth = [*campaign("a", name="a"), *campaign("b", name="b")]
    exchanges = [*every_hour("a", 8), *every_hour("b", 2, START + 1)]
    scored = card(exchanges, truth, [finding(START + HOUR + 1, ["b"]), finding(START, ["a"], finding_id="g")])
    assert scored.served_share == pytest.approx(1 / 10)
    assert scored.hours_to_detect == pytest.approx(1)
    assert scored.served_share_last == pytest.approx(1 / 2)
    missed = card(exchanges, truth, [finding(START, ["a"])])
    assert missed.hours_to_detect is None
    assert missed.served_share == pytest.approx(2 / 10)


def test_the_curve_ends_with_everything_sent_and_everyone_who_was_flagged() -> None:
    (only,) = card(HARVEST, TRUTH, [finding(START + HOUR, MEMBERS[:5])]).campaigns
    hours, sent, flagged = only.curve[-1]
    assert (hours, sent, flagged) == (9, 1, 0.25)


def test_a_stream_without_a_campaign_has_no_served_share() -> None:
    scored = card(every_hour("p0", 3), benign("p0"))
    assert scored.served_share is None
    assert scored.false_flags_per_million == 0


@given(st.randoms(use_true_random=False))
def test_counts_agree_with_a_slow_reading_of_the_definitions(rng: random.Random) -> None:
    exchanges = [(rng.choice(MEMBERS + PEOPLE), START + rng.randrange(3 * DAY)) for _ in range(rng.randint(1, 60))]
    findings = [
        finding(
            START + rng.randrange(3 * DAY),
            rng.sample(MEMBERS + PEOPLE, rng.randint(1, 6)),
            finding_id=f"f{i}",
            severity=rng.choice(["watch", "warning", "critical"]),
        )
        for i in range(rng.randint(0, 6))
    ]
    scored = card(exchanges, TRUTH, findings)

    flagged: dict[str, int] = {}
    for f in findings:
        if f.severity != "watch":
            for a in f.accounts_added:
                flagged[a] = min(f.time_ms, flagged.get(a, f.time_ms))
    sent = {a: [t for b, t in exchanges if b == a] for a in {a for a, _ in exchanges}}
    mine = [(a, t) for a, t in exchanges if a in MEMBERS]
    if mine:
        early = [(a, t) for a, t in mine if a not in flagged or t < flagged[a]]
        assert scored.served_share_by_account == pytest.approx(len(early) / len(mine))
    assert scored.false_flags == len([a for a in sent if a in PEOPLE and a in flagged])
    assert scored.benign_account_days == len({(a, t // DAY) for a, t in exchanges if a in PEOPLE})
    enough = [a for a in sent if a in MEMBERS and len(sent[a]) >= 5]
    if enough:
        assert scored.recall == pytest.approx(len([a for a in enough if a in flagged]) / len(enough))


def claims(*findings: Finding) -> list[tuple[float, bool]]:
    return card([("h0", START)], [*campaign("h0", "h1", "h2"), *benign("p0", "p1", "p2", "p3")], findings).claims


def test_a_claim_is_the_last_score_of_a_campaign_and_whether_half_of_its_members_were_true() -> None:
    assert claims(
        finding(START, ["h0", "p0"], score=0.6, severity="watch"),
        finding(START + HOUR, ["p1"], score=0.7, severity="watch"),
        finding(START, ["h1", "p2"], score=0.95, finding_id="g", subject="c-2"),
    ) == [(0.7, False), (0.95, True)]


def test_a_claim_outlives_the_alert_that_made_it() -> None:
    """A watch that grows louder is one campaign; one that is let go is judged by the score it ended with."""
    watch = finding(START, ["h0", "p0"], score=0.6, severity="watch", finding_id="w")
    over = finding(START, [], accounts_removed=["h0", "p0"], score=0.4, state="cleared", finding_id="w")
    assert claims(watch, over) == [(0.4, True)]
    assert claims(watch, over, finding(START, ["p0", "p1"], score=0.92)) == [(0.92, False)]


def test_what_claims_no_campaign_and_what_is_shadow_is_no_claim() -> None:
    assert claims(finding(START, ["h0"], kind="account"), finding(START, ["h0"], shadow=True)) == []


CLAIMS = [(0.5, True), (0.58, False), (0.85, True), (0.97, True), (0.99, True), (1.0, False)]


def test_a_bin_holds_the_scores_from_its_lower_edge_up_to_its_upper_one() -> None:
    assert [(b.low, b.high, b.claims, round(b.mean_score, 6), b.true) for b in bins(CLAIMS)] == [
        (0.5, 0.6, 2, 0.54, 1),
        (0.8, 0.9, 1, 0.85, 1),
        (0.97, 1.0, 3, round(2.96 / 3, 6), 2),
    ]


def test_brier_score_and_calibration_error_are_those_worked_out_by_hand() -> None:
    assert brier(CLAIMS) == pytest.approx((0.5**2 + 0.58**2 + 0.15**2 + 0.03**2 + 0.01**2 + 1.0) / 6)
    assert calibration_error(CLAIMS) == pytest.approx((abs(1.08 - 1) + 0.15 + abs(2.96 - 2)) / 6)


def test_nothing_claimed_has_no_brier_score() -> None:
    assert bins([]) == []
    assert (brier([]), calibration_error([])) == (None, None)

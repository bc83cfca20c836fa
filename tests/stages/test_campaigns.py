"""The campaign stage: stories of who becomes a campaign and who does not, and its promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.campaign import candidate, observation
from detector.campaign.group import Reading
from detector.campaign.membership import CLEAN
from detector.campaign.observation import LinkKind
from detector.campaign.weights import READINGS
from detector.errors import DecodeError
from detector.event import hash64
from detector.finding import Finding, encode
from detector.stages import campaigns, candidates, journal
from detector.stages.campaigns import CampaignPartition, CampaignSettings
from detector.stages.issuing import CampaignStage
from detector.stages.links import LinkPartition, LinkSettings
from tests.campaign.observed import DAY, FIRST_STEP, HOUR, MINUTE, Crowd, Row

T, F, H, TAIL = LinkKind.TEMPLATE, LinkKind.FRAGMENT, LinkKind.HEAD, LinkKind.TAIL
START = FIRST_STEP * MINUTE
HARVEST = [f"h{i:02}" for i in range(40)]
PEOPLE = [f"p{i:03}" for i in range(140)]
RATE = ("request_rate", 0.9, 2.0, 120.0, 30.0, "120 requests a minute")


def aged(account: str) -> int:
    """Harvesters signed up the day before; of the people one of seven is new."""
    young = account.startswith("h") or int(account[1:]) % 7 == 0
    return START - (DAY if young else 200 * DAY)


Asks = Callable[[int], Sequence[Row]]


def everyday(minute: int) -> list[Row]:
    """People come back every half hour, each with a prompt of their own."""
    return [(who, T, f"of {who}", minute) for who in PEOPLE] if minute % 30 == 0 else []


def harvest(accounts: Sequence[str] = HARVEST, template: str = "rare") -> Asks:
    """Every five minutes a quarter of the accounts, in turns, asks a question that nobody asked before."""

    def asks(minute: int) -> list[Row]:
        turn = minute // 5 % 4
        mine = accounts[turn::4] if minute % 5 == 0 else []
        return [(who, T, template, f"{template} {minute} {who}") for who in mine]

    return asks


def lesson(accounts: Sequence[str]) -> Asks:
    """A class for one hour: everybody asks the teacher's ten questions."""

    def asks(minute: int) -> list[Row]:
        if minute >= 55 or minute % 5:
            return []
        return [(who, T, "exercise", f"question {minute // 5}") for who in accounts]

    return asks


def recorded(
    *parts: Asks, hours: float = 6, judged: Callable[[int], Sequence[Any]] = lambda _: (), room: Sequence[str] = ()
) -> list[bytes]:
    """The observations of one source, five minutes apart; who is in the `room` shares a network."""
    crowd = Crowd(0, aged, prefix=lambda account: 7 if account in room else hash64(account, 1))
    records = []
    for minute in range(0, int(60 * hours), 5):
        rows = [row for part in (everyday, *parts) for row in part(minute)]
        models = {row[0]: "large" for row in rows}
        records.append(crowd.step(FIRST_STEP + minute, rows, judged=judged(minute), models=models))
    return records


def candidates_of(records: Sequence[bytes], partitions: int = 1) -> list[list[bytes]]:
    """The candidates of each link partition, in order."""
    result = []
    for partition in range(partitions):
        state = LinkPartition(LinkSettings(sources=1, filter_slots=1 << 12))
        found = [c for record in records for c in state.absorb(_part(record, partition, partitions))]
        result.append([candidate.encode(replace(c, source=partition)) for c in found])
    return result


def _part(record: bytes, partition: int, partitions: int) -> bytes:
    """What the account stage sends to one link partition: its pairs; judgements to the first."""
    whole = observation.decode(record)
    mine = whole.pairs.value % np.uint64(partitions) == partition
    pairs = {name: getattr(whole.pairs, name)[mine] for name in whole.pairs.__dataclass_fields__}
    judged = {name: getattr(whole.judged, name)[:0] for name in whole.judged.__dataclass_fields__}
    return observation.encode(
        replace(
            whole,
            pairs=replace(whole.pairs, **pairs),
            judged=replace(whole.judged, **judged) if partition else whole.judged,
        )
    )


def partition_of(sources: int = 1, **more: Any) -> CampaignPartition:
    return CampaignPartition(CampaignSettings(sources=sources, **more))


def findings_of(state: CampaignPartition, records: Sequence[bytes]) -> list[Finding]:
    return [finding for record in records for finding in state.absorb(record)]


def told(*parts: Asks, **more: Any) -> list[Finding]:
    (records,) = candidates_of(recorded(*parts, **more))
    return findings_of(partition_of(), records)


def flagged(findings: Sequence[Finding]) -> set[str]:
    """Accounts that a warning or more has named."""
    return {account for f in findings if f.severity != "watch" and not f.shadow for account in f.accounts_added}


# -- stories ------------------------------------------------------------------------------------

ISSUER = LinkKind.ISSUER
KEY = 7  # of `value_of`: an issuer is known by the hash of its account


def presents(blocks: Callable[[int], Sequence[tuple[str, str]]]) -> Asks:
    """Blocks (who presents it, whose it is), minute by minute; each presenter asks something of its own with it."""

    def asks(minute: int) -> list[Row]:
        rows = [
            [(who, ISSUER, whose), (who, ISSUER, who), (who, T, f"of {who}", minute)] for who, whose in blocks(minute)
        ]
        return [row for three in rows for row in three]

    return asks


def replayed(blocks: Callable[[int], Sequence[tuple[str, str]]], **more: Any) -> list[Finding]:
    (records,) = candidates_of(recorded(presents(blocks), **more))
    return findings_of(partition_of(hash_key=KEY), records)


def test_reasoning_blocks_that_go_round_among_new_accounts_are_a_campaign_though_nothing_else_is_shared() -> None:
    """Two of forty present a block of another one every five minutes: known once ten hang together."""

    def pool(minute: int) -> list[tuple[str, str]]:
        first = minute // 5 * 2
        return [(HARVEST[i * 7 % 40], HARVEST[(i * 7 + 7) % 40]) for i in (first, first + 1)]

    findings = replayed(pool, hours=3)
    first = next(finding for finding in findings if finding.severity != "watch")
    assert first.time_ms - START <= 40 * MINUTE
    assert first.reasons[0].signal in {"spread", "exchange"}
    assert flagged(findings) == set(HARVEST)


def test_who_moved_to_a_new_account_takes_its_blocks_along_and_is_no_campaign() -> None:
    """Twenty at the same hour, with every block that they had, and each from one account to one."""
    moves = list(zip(HARVEST[:20], HARVEST[20:], strict=True))
    assert not replayed(lambda _: moves)


def test_blocks_that_come_with_a_tool_are_presented_by_accounts_of_all_ages_who_are_no_campaign() -> None:
    assert not flagged(replayed(lambda minute: [(who, "author") for who in PEOPLE[minute % 7 :: 7]]))


def test_colleagues_at_one_place_who_go_on_with_each_others_sessions_are_watched_at_most() -> None:
    office = HARVEST[:12]
    ring = list(zip(office, [*office[1:], office[0]], strict=True))
    assert not flagged(replayed(lambda _: ring, room=office, hours=8))


@cache
def the_harvest() -> tuple[Finding, ...]:
    return tuple(told(harvest()))


def test_forty_young_accounts_on_one_rare_template_become_one_campaign_that_names_them_all() -> None:
    findings = the_harvest()
    assert len({finding.subject for finding in findings}) == 1
    assert findings[-1].severity in {"warning", "critical"}
    assert flagged(findings) == set(HARVEST)
    assert findings[-1].accounts_total == 40


def test_two_watched_groups_that_turn_out_to_be_one_pool_become_the_older_campaign() -> None:
    """Its halves use a template each; from the third hour all use a third one."""
    halves = HARVEST[:20], HARVEST[20:]

    def apart(minute: int) -> list[Row]:
        return [*harvest(halves[0], "one")(minute), *harvest(halves[1], "two")(minute)]

    def together(minute: int) -> list[Row]:
        return list(harvest(HARVEST, "three")(minute)) if minute >= 120 else []

    (records,) = candidates_of(recorded(apart, together))
    state = partition_of()
    findings = findings_of(state, records)
    (campaign,) = state.campaigns.values()
    assert len(campaign.merged_from) == 1
    identity = campaign.campaign_id
    assert flagged(findings) == set(HARVEST)
    asked = sum(len({row[0] for row in [*apart(minute), *together(minute)]}) for minute in range(0, 360, 5))
    assert findings[-1].evidence["merged_from"] == campaign.merged_from
    *_, end = (f for f in findings if f.state == "cleared" and f.subject == campaign.merged_from[0])
    assert set(end.accounts_removed) in map(set, halves)
    after = [finding for finding in findings if finding.subject == identity and finding.time_ms >= end.time_ms]
    assert set(end.accounts_removed) <= {account for finding in after for account in finding.accounts_added}
    assert 0.8 * asked <= sum(findings[-1].evidence["models"].values()) <= asked


def test_the_campaign_is_told_within_three_hours_and_from_its_beginning() -> None:
    first = next(finding for finding in the_harvest() if finding.severity != "watch")
    assert first.time_ms - START <= 3 * HOUR
    assert first.first_seen_ms < START + 6 * MINUTE
    assert first.requests_total > 40
    assert all(any(char.isdigit() for char in reason.because) for reason in first.reasons)
    assert first.evidence["links"][0]["kind"] == "template"


def test_what_is_watched_first_is_named_afresh_when_it_becomes_a_warning() -> None:
    findings = [finding for finding in the_harvest() if finding.state != "cleared"]
    assert findings[0].severity == "watch"
    assert findings[0].accounts_added
    louder = next(finding for finding in findings if finding.severity != "watch")
    assert (louder.state, louder.seq) == ("raised", 0)
    assert louder.finding_id != findings[0].finding_id
    assert set(findings[0].accounts_added) <= set(louder.accounts_added)
    assert len(louder.accounts_added) == louder.accounts_total


def test_updates_count_up_and_name_nobody_twice() -> None:
    by_alert: dict[str, list[Finding]] = {}
    for finding in the_harvest():
        by_alert.setdefault(finding.finding_id, []).append(finding)
    for updates in by_alert.values():
        assert [update.seq for update in updates] == list(range(len(updates)))
        over = ["cleared"] if updates[-1].state == "cleared" else []
        middle = len(updates) - 1 - len(over)
        assert [update.state for update in updates] == ["raised"] + ["updated"] * middle + over
        named = [account for update in updates for account in update.accounts_added]
        assert len(named) == len(set(named))


def test_whoever_follows_what_is_added_and_removed_knows_how_many_there_are() -> None:
    members: dict[str, set[str]] = {}
    for finding in the_harvest():
        now = members.setdefault(finding.finding_id, set())
        now |= set(finding.accounts_added)
        assert now >= set(finding.accounts_removed)
        now -= set(finding.accounts_removed)
        assert len(now) == finding.accounts_total
    assert members


def test_a_campaign_that_grows_louder_says_so_in_the_same_step() -> None:
    ends = [f for f in the_harvest() if "louder" in f.evidence]
    begins = {f.finding_id: f.time_ms for f in the_harvest() if f.state == "raised"}
    assert ends
    assert all(begins[end.evidence["louder"]] == end.time_ms for end in ends)


def test_an_account_that_no_longer_belongs_is_told_as_removed() -> None:
    (records,) = candidates_of(recorded(harvest(), hours=1))
    state = partition_of()
    findings_of(state, records)
    (campaign,) = state.campaigns.values()
    gone = min(campaign.members)
    campaign.members.discard(gone)
    (finding,) = state._say(campaign, campaign.updated_ms + HOUR)
    assert finding.accounts_removed == state._names({gone})
    assert len(finding.accounts_removed) == 1
    assert finding.accounts_total == 39


def loud_one(members_left: float) -> tuple[CampaignPartition, Any, Any, Any]:
    """A campaign that is a warning, of whose members only a share are still held; its edges and their links."""
    (records,) = candidates_of(recorded(harvest()))
    state = partition_of()
    findings_of(state, records)
    (campaign,) = state.campaigns.values()
    assert campaign.severity != "watch"
    rows = state.accounts.lookup(np.array(sorted(campaign.members), np.uint64))
    left = rows[round(members_left * len(rows)) :]
    state.accounts["campaign"][left] = 0
    campaign.members -= set(state.accounts.keys[left].tolist())
    edges = np.arange(len(state.edges))
    return state, campaign, edges, state.edges["of"].astype(np.int64)


def test_what_is_loud_and_no_longer_reads_as_a_campaign_admits_nobody() -> None:
    state, campaign, edges, _ = loud_one(0.5)
    campaign.score = 0.49
    assert state._admit(campaign, edges, state.population.start_ms + 6 * HOUR) == 0
    campaign.score = 0.5
    assert state._admit(campaign, edges, state.population.start_ms + 6 * HOUR) == 20


@pytest.mark.parametrize(("members", "takes"), [(0.9, True), (0.6, False)])
def test_a_loud_campaign_takes_over_only_wording_that_is_nearly_all_its_members(members: float, takes: bool) -> None:
    state, campaign, edges, of = loud_one(members)
    state.links["owner"][:] = 0
    assert state._attach(campaign, edges, of, state.population.start_ms + 6 * HOUR) is takes


def test_what_is_watched_is_let_go_at_half_of_the_score_that_it_was_taken_up_at() -> None:
    (records,) = candidates_of(recorded(harvest(), room=HARVEST))
    state = partition_of()
    findings_of(state, records)
    (campaign,) = state.campaigns.values()
    assert campaign.severity == "watch"
    for watch_at, held in ((campaign.score / 0.6, 1), (campaign.score / 0.4, 0)):
        state.settings = replace(state.settings, watch_at=watch_at)
        state._reread(campaign, state.population.start_ms + 6 * HOUR)
        assert len(state.campaigns) == held


def test_a_large_campaign_is_read_by_the_clock_less_often_in_proportion_to_its_edges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(campaigns, "LARGE", 20)  # edges: it has 40
    state, campaign, *_ = loud_one(1.0)
    campaign.touched, now_ms = 0, campaign.read_ms + campaigns.REREAD_MS
    for after_ms, is_read in ((0, False), (campaigns.REREAD_MS - 1, False), (campaigns.REREAD_MS, True)):
        state._reread_when_due(campaign, now_ms + after_ms)
        assert (campaign.read_ms == now_ms + after_ms) is is_read


def test_whether_a_large_campaign_is_two_or_one_with_another_is_asked_less_often_in_proportion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(campaigns, "LARGE", 20)  # edges: it has 40
    monkeypatch.setattr(campaigns, "in_two", lambda *_: asked.append("two"))
    monkeypatch.setattr(CampaignPartition, "_unite", lambda *_: asked.append("one") or set())
    state, campaign, *_ = loud_one(1.0)
    asked.clear()
    parted_ms = campaign.parted_ms
    for hours in (6, 11, 12):
        state._split(0, parted_ms + hours * HOUR)
        assert asked == (["two"] if hours == 12 else [])
    asked.clear()
    state.links["owner"][:] = campaign.number  # nothing is left to be grouped
    for step in (10, 20):
        state._regroup(step, campaign.parted_ms)
        assert asked == (["one"] if step == 20 else [])


def test_nothing_after_the_time_of_a_finding_was_used() -> None:
    assert all(finding.last_seen_ms <= finding.time_ms for finding in the_harvest())
    times = [finding.time_ms for finding in the_harvest()]
    assert times == sorted(times)


def test_the_same_template_among_people_of_all_ages_is_no_campaign() -> None:
    assert told(harvest(PEOPLE[:80])) == []


def test_a_class_is_flagged_never() -> None:
    findings = told(lesson(HARVEST), hours=3)
    assert flagged(findings) == set()


def test_a_hackathon_in_one_room_is_watched_for_all_its_different_questions() -> None:
    findings = told(harvest(), room=HARVEST)
    assert findings
    assert flagged(findings) == set()


def test_a_class_beside_a_campaign_stays_out_of_it() -> None:
    pupils = [f"h{i}" for i in range(100, 130)]
    findings = told(harvest(), lesson(pupils))
    assert flagged(findings) == set(HARVEST)


def test_an_established_customer_who_tries_the_prompt_once_is_not_drawn_in() -> None:
    def visit(minute: int) -> list[Row]:
        return [("p001", T, "rare", "just looking")] if minute == 240 else []

    assert flagged(told(harvest(), visit)) == set(HARVEST)


def test_two_campaigns_whose_accounts_ask_evenly_in_the_words_of_both_are_one_though_they_ask_much_else() -> None:
    """A reseller's accounts ask other things in the main; what they ask in a campaign's words is what tells."""
    halves = HARVEST[:20], HARVEST[20:]

    def apart(minute: int) -> list[Row]:
        first = [*harvest(halves[0], "one")(minute), *harvest(halves[1], "two")(minute)]
        return (
            first if minute < 120 else [*first, *harvest(halves[0], "two")(minute), *harvest(halves[1], "one")(minute)]
        )

    def else_(minute: int) -> list[Row]:
        return [(who, T, f"{who} {minute // 30}", f"{minute} {i}") for who in HARVEST for i in range(2)]

    (records,) = candidates_of(recorded(apart, else_, hours=5))
    state = partition_of()
    findings_of(state, records)
    assert [len(campaign.merged_from) for campaign in state.campaigns.values()] == [1]


def test_new_words_are_a_campaigns_own_however_old_the_accounts_when_their_newness_gave_it_away() -> None:
    """Or its young accounts and its aged ones would be two campaigns, the second of which nobody hears of."""
    half_aged = [*HARVEST[:20], *[who for who in PEOPLE if int(who[1:]) % 7][:16]]

    def later(minute: int) -> list[Row]:
        asked = harvest(half_aged)(minute) if minute >= 25 * 60 else []
        pieces = [(who, F, f"piece {minute // 20 % 6}", item) for who, _, _, item in asked]
        return [*asked, *pieces]

    (records,) = candidates_of(recorded(later, hours=31))
    state = partition_of()
    findings_of(state, records)
    ((number, campaign),) = state.campaigns.items()
    own = np.flatnonzero(state.links["owner"] == number)
    now_ms = START + 31 * HOUR
    assert campaign.newborn
    assert (state._own_purity(own, now_ms) == 1).all()
    keys = {hash64(who, 0) for who in half_aged[20:]}
    old = state.accounts.lookup(np.array(sorted(keys), np.uint64))
    assert not campaign.members & keys  # those wait for a day
    other = replace(campaign, number=number + 1, campaign_id="c-other", members=keys, announced=set(keys))
    state.campaigns[other.number] = other
    state.accounts["campaign"][old] = other.number
    state.links["owner"][own[state.links["kind"][own] == F]] = other.number
    campaign.newborn = other.newborn = False
    assert (state._own_purity(own, now_ms) < CLEAN).any()
    assert state._unite(now_ms) == set()
    campaign.newborn = other.newborn = True
    assert state._unite(now_ms) == {number}
    assert len(state.campaigns) == 1


def test_a_second_pool_that_takes_over_the_template_joins_the_campaign() -> None:
    second = [f"h{i}" for i in range(200, 240)]

    def later(minute: int) -> list[Row]:
        return list(harvest(second)(minute)) if minute >= 240 else []

    def earlier(minute: int) -> list[Row]:
        return list(harvest()(minute)) if minute < 240 else []

    findings = told(earlier, later)
    assert flagged(findings) == {*HARVEST, *second}
    assert len({finding.subject for finding in findings if finding.severity != "watch"}) == 1


def test_two_pools_that_share_nothing_are_two_campaigns() -> None:
    second = [f"h{i}" for i in range(200, 240)]
    findings = [f for f in told(harvest(), harvest(second, "other")) if f.severity != "watch"]
    by_subject: dict[str, set[str]] = {}
    for finding in findings:
        by_subject.setdefault(finding.subject, set()).update(finding.accounts_added)
    assert sorted(by_subject.values(), key=sorted) == sorted([set(HARVEST), set(second)], key=sorted)


def form(accounts: Sequence[str], head: str, tail: str) -> Asks:
    """As `harvest`, in prompts that begin and end so."""

    def asks(minute: int) -> list[Row]:
        rows = harvest(accounts, head)(minute)
        return [(who, kind, end, item) for who, _, _, item in rows for kind, end in ((H, head), (TAIL, tail))]

    return asks


@pytest.mark.parametrize(("tail", "head", "campaigns"), [("json", None, 2), ("end one", None, 2), ("json", "same", 1)])
def test_two_operators_who_ask_for_answers_in_the_same_form_are_two_unless_they_begin_alike_too(
    tail: str, head: str | None, campaigns: int
) -> None:
    halves = HARVEST[:20], HARVEST[20:]

    def asks(minute: int) -> list[Row]:
        if minute < 180:
            return [*form(halves[0], "one", "end one")(minute), *form(halves[1], "two", "end two")(minute)]
        return [*form(halves[0], head or "one", tail)(minute), *form(halves[1], head or "two", tail)(minute)]

    findings = told(asks, hours=9)
    assert flagged(findings) == set(HARVEST)
    last = {finding.subject: finding for finding in findings}
    open_ = [f.accounts_total for f in last.values() if f.state != "cleared"]
    assert open_ == [40 // campaigns] * campaigns


def test_a_watched_part_of_a_pool_does_not_keep_the_whole_from_being_told() -> None:
    """Nine use a template of their own; then all use another one."""

    def asks(minute: int) -> list[Row]:
        early = harvest(HARVEST[:9], "early")(minute)
        return [*early, *harvest(HARVEST, "all")(minute)] if minute >= 120 else list(early)

    def sure(readings: Sequence[Reading], _: object) -> float:
        size = next(reading.value or 0 for reading in readings if reading.name == "size")
        return 0.6 if size < 10 else 0.1 if size < 36 else 0.95

    with mock.patch.object(campaigns, "confidence", sure):
        findings = told(asks)
    (watched,) = {f.subject for f in findings if f.time_ms < START + 2 * HOUR}
    assert flagged(findings) == set(HARVEST)
    assert {f.subject for f in findings if f.severity == "warning"} == {watched}


def test_of_a_member_one_knows_what_part_of_its_requests_is_in_the_campaigns_words() -> None:
    def else_(minute: int) -> list[Row]:
        return [("h00", T, f"{minute // 30}", f"{minute} {i}") for i in range(3)] if minute % 20 == 0 else []

    (records,) = candidates_of(recorded(harvest(), else_))
    state = partition_of()
    findings_of(state, records)
    (campaign,) = state.campaigns.values()
    assert state.membership("h01") == (campaign.campaign_id, 1.0)
    mixed = state.membership("h00")
    assert mixed is not None
    assert mixed[1] == pytest.approx(1 / 4, abs=0.02)
    assert state.membership("p000") is None is state.membership("nobody")


def test_in_shadow_the_same_is_decided_and_marked() -> None:
    (records,) = candidates_of(recorded(harvest()))
    shadowed = findings_of(partition_of(shadow=True), records)
    assert [msgspec.structs.replace(finding, shadow=False) for finding in shadowed] == list(the_harvest())
    assert all(finding.shadow for finding in shadowed)


def test_account_findings_pass_through_until_a_campaign_speaks_for_the_account() -> None:
    def judged(minute: int) -> list[Any]:
        account = {0: "h39", 30: "p001", 300: "h01"}.get(minute)
        return [(account, START + minute * MINUTE, 0.9, [RATE])] if account else []

    (records,) = candidates_of(recorded(harvest(), judged=judged))
    findings = [finding for finding in findings_of(partition_of(), records) if finding.kind == "account"]
    assert [(finding.subject, finding.severity) for finding in findings] == [("h39", "watch"), ("p001", "watch")]


@pytest.mark.parametrize(("most", "asked"), [(0.49, False), (0.5, True)])
def test_how_accounts_behave_otherwise_is_asked_of_what_may_come_to_be_watched(most: float, asked: bool) -> None:
    (records,) = candidates_of(recorded(harvest()))
    state = partition_of()
    with (
        mock.patch.object(campaigns, "at_most", return_value=most) as judged,
        mock.patch.object(state.conducts, "read", wraps=state.conducts.read) as behaviour,
    ):
        found = findings_of(state, records)
    assert judged.called
    assert behaviour.called is bool(found) is asked


def test_a_quiet_day_says_nothing() -> None:
    assert told(hours=12) == []


# -- once, in any order, from any point ---------------------------------------------------------

SOURCES = 2


def judged_often(minute: int) -> list[Any]:
    return [(PEOPLE[minute % 7], START + minute * MINUTE, 0.5 + minute % 50 / 100, [RATE])]


@cache
def recording() -> tuple[tuple[bytes, ...], ...]:
    """Candidates of two link partitions: two pools, one with a second template in the other partition."""
    second = [f"h{i}" for i in range(200, 230)]
    records = recorded(harvest(), harvest(HARVEST, "more"), harvest(second, "other"), hours=2.5, judged=judged_often)
    return tuple(tuple(records) for records in candidates_of(records, SOURCES))


def in_turn() -> list[bytes]:
    return [record for records in zip(*recording(), strict=True) for record in records]


@cache
def expected() -> tuple[tuple[bytes, ...], tuple[tuple[str, bytes], ...]]:
    state = partition_of(SOURCES)
    findings = tuple(encode(finding) for finding in findings_of(state, in_turn()))
    return findings, tuple(sorted(state.dump().items()))


def same_as_expected(findings: Sequence[bytes], state: CampaignPartition) -> None:
    assert tuple(findings) == expected()[0]
    assert tuple(sorted(state.dump().items())) == expected()[1]


def test_the_recording_has_findings_of_accounts_and_of_campaigns() -> None:
    kinds = {msgspec.json.decode(finding)["kind"] for finding in expected()[0]}
    assert kinds == {"account", "campaign"}


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_in_which_link_partitions_arrive_does_not_show(chance) -> None:
    turns = [source for source in range(SOURCES) for _ in recording()[0]]
    chance.shuffle(turns)
    at = [iter(records) for records in recording()]
    state = partition_of(SOURCES)
    findings = [encode(finding) for finding in findings_of(state, [next(at[source]) for source in turns])]
    same_as_expected(findings, state)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 59), min_size=1, max_size=30))
def test_a_record_that_comes_again_changes_nothing(again) -> None:
    state, findings = partition_of(SOURCES), list[Finding]()
    for position, record in enumerate(in_turn()):
        findings += state.absorb(record)
        for earlier in again:
            if earlier <= position:
                assert state.absorb(in_turn()[earlier]) == []
    same_as_expected([encode(finding) for finding in findings], state)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 60))
def test_dumped_and_loaded_at_any_point_it_goes_on_the_same(cut) -> None:
    first, second = partition_of(SOURCES), partition_of(SOURCES)
    findings = findings_of(first, in_turn()[:cut])
    second.load(first.dump())
    assert second.dump() == first.dump()
    findings += findings_of(second, in_turn()[cut:])
    same_as_expected([encode(finding) for finding in findings], second)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from(["drain", "crash"]), max_size=4), st.data(), st.booleans())
def test_a_worker_killed_between_commits_publishes_each_finding_once(fates, data, large) -> None:
    records = in_turn()
    config = CampaignSettings(sources=SOURCES)
    with mock.patch.object(journal, "SNAPSHOT_AT_LEAST_BYTES", 1 << 30 if large else 0):
        stage, store, published, at, committed = CampaignStage(config), dict[str, bytes](), [], 0, 0
        stage.assign(0, {})
        for fate in [*fates, "drain"]:
            step = data.draw(st.integers(0, len(records) // 2)) if fate != "drain" or fates else len(records)
            stage.absorb(0, records[at : at + step])
            at = min(len(records), at + step)
            if fate == "crash":
                stage = CampaignStage(config)
                stage.assign(0, store)
                at = committed
            else:
                rows, messages = stage.drain(0)
                store |= {name: value for name, value in rows.items() if value is not None}
                store = {name: value for name, value in store.items() if rows.get(name, value) is not None}
                published += messages
                committed = at
        stage.absorb(0, records[at:])
        published += stage.drain(0)[1]
    assert tuple(message.value for message in published) == expected()[0]
    assert {message.topic for message in published} == {"findings"}


def test_a_step_waits_for_every_link_partition() -> None:
    one, other = recording()
    state = partition_of(SOURCES)
    assert findings_of(state, one) == []
    findings = findings_of(state, other)
    same_as_expected([encode(finding) for finding in findings], state)


def test_a_record_that_is_none_is_refused_and_leaves_nothing_behind() -> None:
    stage = CampaignStage(CampaignSettings(sources=1))
    stage.assign(0, {})
    with pytest.raises(DecodeError):
        stage.absorb(0, [b"nonsense"])
    assert stage.drain(0) == ({}, [])


def test_a_revoked_partition_is_forgotten() -> None:
    stage = CampaignStage(CampaignSettings(sources=SOURCES))
    stage.assign(0, {})
    stage.absorb(0, in_turn())
    assert stage.sizes()["campaigns"] == 2
    stage.revoke(0)
    assert set(stage.sizes().values()) == {0}


# -- bounds -------------------------------------------------------------------------------------


def test_after_a_quiet_week_only_the_members_of_campaigns_are_held() -> None:
    state = partition_of()
    (records,) = candidates_of(recorded(harvest(), judged=judged_often))
    findings_of(state, records)
    state._forget(START + 9 * DAY)
    assert sorted(state.tables.ids) == HARVEST
    assert len(state.edges) == 0
    assert state.alerts.dump() == partition_of().alerts.dump()


def test_forgetting_does_not_wait_for_something_to_happen_at_midnight() -> None:
    state = partition_of()
    crowd, links = Crowd(0, aged), LinkPartition(LinkSettings(sources=1, filter_slots=1 << 12))
    for day in range(12):
        names = [f"h{day}.{i}" for i in range(10)]
        rows = [*everyday(0), *((who, LinkKind.PAYMENT, f"card {day}") for who in names)]
        for c in links.absorb(crowd.step(FIRST_STEP + 1_440 * day + 600, rows)):
            state.absorb(candidate.encode(replace(c, source=0)))
    assert len(state.links) <= 9
    assert len(state.edges) <= 90
    assert len(state.tables.ids) == len(state.accounts) <= 90


@pytest.mark.parametrize(("days", "one_goes_on"), [(5, True), (8, False), (25, False)])
def test_after_quiet_days_the_campaign_knows_the_template_again(days: int, one_goes_on: bool) -> None:
    """Succession and dormancy: links that a campaign owns outlive their edges."""
    state = partition_of()
    crowd, links = Crowd(0, aged), LinkPartition(LinkSettings(sources=1, filter_slots=1 << 12))
    second = [f"h{i}" for i in range(300, 320)]

    def absorb(day: int, minute: int, rows: Sequence[Row]) -> list[Finding]:
        record = crowd.step(FIRST_STEP + 1_440 * day + minute, rows)
        return findings_of(state, [candidate.encode(replace(c, source=0)) for c in links.absorb(record)])

    before = [f for m in range(0, 240, 5) for f in absorb(0, m, [*everyday(m), *harvest()(m)])]
    for day in range(1, days + 1):
        absorb(day, 0, [*everyday(0), *(harvest(HARVEST[:1])(0) if one_goes_on else [])])
    after = [f for m in range(0, 120, 5) for f in absorb(days + 1, m, [*everyday(m), *harvest(second)(m)])]
    assert flagged(before) == set(HARVEST)
    assert flagged(after) == set(second)
    assert {finding.subject for finding in after} <= {finding.subject for finding in before}


@pytest.mark.parametrize("kind", [T, F])
def test_groups_that_convince_nobody_do_not_pile_up(kind: LinkKind) -> None:
    state = partition_of()

    def vague(minute: int) -> list[Row]:
        return [(who, kind, "vague", f"{minute // 30}") for who in HARVEST] if minute % 10 == 0 else []

    (records,) = candidates_of(recorded(vague, hours=8))
    findings_of(state, records)
    assert len(state.campaigns) <= 1
    assert state.models.keys() <= state.campaigns.keys()


# -- bounds ----------------------------------------------------------------------------------------


def test_a_campaign_has_so_many_members_and_the_others_are_counted() -> None:
    (records,) = candidates_of(recorded(harvest()))
    state = partition_of(most_members=25)
    findings = findings_of(state, records)
    assert len(flagged(findings)) == 25
    assert max(finding.accounts_total for finding in findings) == 25
    assert state.dropped["members"] > 0
    assert [campaign.joined for campaign in state.campaigns.values()] == [[25, 0, 0, 0, 0, 0, 0]]  # no one refused


def test_of_too_many_campaigns_the_more_convincing_one_stands() -> None:
    few = harvest(HARVEST[:12], "few")
    (records,) = candidates_of(recorded(few, harvest(HARVEST[12:], "many")))
    state = partition_of(most_campaigns=1)
    findings = findings_of(state, records)
    assert len(state.campaigns) == 1
    assert flagged(findings) == set(HARVEST[12:])
    assert state.dropped["campaigns"] > 0
    for subject in {finding.subject for finding in findings} - {c.campaign_id for c in state.campaigns.values()}:
        assert [finding.state for finding in findings if finding.subject == subject][-1] == "cleared"


def test_a_link_partition_that_is_far_behind_is_not_waited_for_without_end() -> None:
    state, first, *others = partition_of(SOURCES, most_waiting_bytes=5_000), *recording()
    findings = findings_of(state, [record for records in (first, *others) for record in records])
    assert state.dropped["candidate_steps"] > 0
    assert state.waiting.bytes_held <= 5_000
    times = [finding.time_ms for finding in findings if finding.kind == "campaign"]
    assert times == sorted(times)
    patient = partition_of(SOURCES)
    findings_of(patient, in_turn())
    for name in ("count", "items", "output_tokens"):
        assert state.edges[name].sum() == patient.edges[name].sum()


def test_when_only_one_group_is_read_at_a_time_every_pool_is_found_all_the_same() -> None:
    second = [f"h{i}" for i in range(200, 240)]
    pools = (harvest(), harvest(second, "other"), lesson([f"h{i}" for i in range(300, 330)]))
    with mock.patch.object(candidates, "MOST_READ", 1):
        assert flagged(told(*pools)) == flagged(told(*pools)) == {*HARVEST, *second}


def test_the_observer_is_told_of_every_group_that_is_read_also_of_those_that_never_reach_watch() -> None:
    seen: list[tuple[list[str], dict[str, float]]] = []

    def observe(accounts: list[str], readings: list[Reading]) -> None:
        seen.append((accounts, {reading.name: reading.strength for reading in readings}))

    never = CampaignPartition(CampaignSettings(sources=1, watch_at=1.0), observe)
    assert [f for record in candidates_of(recorded(harvest()))[0] for f in never.absorb(record)] == []
    assert seen
    assert all(accounts == sorted(accounts) and list(strengths) == list(READINGS) for accounts, strengths in seen)
    assert max(seen, key=lambda group: len(group[0]))[0] == HARVEST

    groups = len(seen)
    watched = CampaignPartition(CampaignSettings(sources=1), observe)
    (record, *_) = [f for record in candidates_of(recorded(harvest()))[0] for f in watched.absorb(record)]
    assert record.kind == "campaign"
    assert len(seen) > groups

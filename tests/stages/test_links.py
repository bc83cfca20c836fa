"""The link stage against a dict that forgets nothing, and its promises: once, in any order, bounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.campaign import candidate, observation
from detector.campaign.candidate import Candidates
from detector.campaign.observation import LinkKind
from detector.errors import DecodeError
from detector.stages import journal
from detector.stages.links import CANDIDATE, COMMON, LinkPartition, LinkSettings, LinkStage
from tests.campaign.observed import DAY, FIRST_STEP, MINUTE, Crowd, Row, at_ms, observed, value_of

SOURCES = 3
T, P = LinkKind.TEMPLATE, LinkKind.PAYMENT
NAMES = [f"a{i}" for i in range(9)]
START = FIRST_STEP * MINUTE


def source_of(account: str) -> int:
    return int(account[1:]) % SOURCES


def created(account: str) -> int:
    """Two of three accounts are young, the others established."""
    return START - (2 * DAY if int(account[1:]) % 3 else 100 * DAY)


def curious(**more: Any) -> LinkSettings:
    """Settings under which nearly every link of three accounts is a candidate."""
    given = {
        "sources": SOURCES,
        "filter_slots": 1 << 12,
        "least_accounts": 3,
        "false_discovery": 1e6,
        "least_purity": 0.0,
    }
    return LinkSettings(**{**given, **more})


# One request: step, account, kind, value, text. Accounts stay with their source.
REQUESTS = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(NAMES), st.sampled_from([T, P]), st.integers(0, 3), st.integers(0, 4)),
    max_size=60,
)


def recorded(requests: Sequence[tuple[int, str, LinkKind, int, int]], stride: int = 1) -> list[list[bytes]]:
    """The records of each source, in order: one for each step, also where nothing happened."""
    last = max((request[0] for request in requests), default=0)
    sources = []
    for source in range(SOURCES):
        crowd = Crowd(source, created)
        sources.append(
            [
                crowd.step(
                    FIRST_STEP + stride * step,
                    [tuple(r[1:]) for r in requests if r[0] == step and source_of(r[1]) == source],
                )
                for step in range(last + 1)
            ]
        )
    return sources


def in_turn(sources: Sequence[Sequence[bytes]]) -> list[bytes]:
    return [record for records in zip(*sources, strict=True) for record in records]


def all_of(partition: LinkPartition, records: Sequence[bytes]) -> list[Candidates]:
    return [found for record in records for found in partition.absorb(record)]


def as_bytes(found: Sequence[Candidates]) -> list[bytes]:
    return [candidate.encode(candidates) for candidates in found]


# -- against a slow, obvious definition ---------------------------------------------------------


class Remembered:
    """Every link that a second account showed, with its accounts; what the first did alone counts once."""

    def __init__(self) -> None:
        self.alone: dict[int, tuple[str, int]] = {}
        self.edges: dict[int, dict[str, list[int]]] = {}

    def step(self, step: int, rows: Sequence[Row]) -> None:
        by_link: dict[int, dict[str, int]] = {}
        for account, kind, value, *_ in rows:
            uses = by_link.setdefault(value_of(kind, value), {})
            uses[account] = uses.get(account, 0) + 1
        for link, uses in by_link.items():
            if link not in self.edges:
                first = self.alone.setdefault(link, (min(uses), at_ms(step, min(uses))))
                if len({first[0], *uses}) < 2:
                    continue
                came_before = first[1] < step * MINUTE
                self.edges[link] = {first[0]: [1, first[1], first[1]]} if came_before else {}
            for account, count in uses.items():
                at = at_ms(step, account)
                edge = self.edges[link].setdefault(account, [0, at, at])
                edge[0], edge[2] = edge[0] + count, at


@given(REQUESTS)
def test_links_and_edges_are_those_of_a_dict_that_forgets_nothing(requests) -> None:
    partition, slow = LinkPartition(curious()), Remembered()
    all_of(partition, in_turn(recorded(requests)))
    for step in range(6):
        slow.step(FIRST_STEP + step, [r[1:] for r in requests if r[0] == step])
    edges, links = partition.edges, partition.links
    seen: dict[int, dict[str, list[int]]] = {}
    for row in range(len(edges)):
        account = partition.ids[edges["account"][row]]
        link = int(links.keys[edges["link"][row]])
        seen.setdefault(link, {})[account] = [int(edges[name][row]) for name in ("count", "first_ms", "last_ms")]
    assert seen == slow.edges
    for row, link in enumerate(links.keys.tolist()):
        accounts = slow.edges[link]
        young = sum(created(account) > START - 30 * DAY for account in accounts)
        assert links["accounts"][row] == len(accounts)
        assert (links["young"][row], links["established"][row]) == (young, len(accounts) - young)
        assert links["born_ms"][row] == min(first for _, first, _ in accounts.values())
        assert links["last_ms"][row] == max(last for _, _, last in accounts.values())


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 30)), max_size=80), st.integers(1, 6))
def test_the_sampled_texts_are_those_with_the_smallest_hashes_and_know_which_repeat(asked, per_step) -> None:
    """Sampling starts when four accounts are on the link; from then on it is exact."""
    partition, crowd = LinkPartition(curious(sources=1)), Crowd(0, created)
    partition.absorb(crowd.step(FIRST_STEP, [(name, T, "t", "first") for name in NAMES[:4]]))
    texts: dict[int, set[str]] = {}
    for step in range(0, len(asked), per_step):
        rows = [(account, T, "t", text) for account, text in asked[step : step + per_step]]
        record = crowd.step(FIRST_STEP + 1 + step, rows)
        partition.absorb(record)
        pairs = observation.decode(record).pairs
        names = observation.decode(record).accounts.ids
        for account, item in zip(pairs.account.tolist(), pairs.item.tolist(), strict=True):
            texts.setdefault(item, set()).add(names[account])
    sample = partition.links["sample"][0]
    held = sample[sample != np.uint64(2**64 - 1)].tolist()
    first = [item for item in held if item not in texts]
    assert len(first) <= 1  # "first" of the opening step
    smallest = sorted([*texts, *first])[:16]
    assert held == smallest
    repeated = dict(zip(sample.tolist(), partition.links["repeated"][0].tolist(), strict=True))
    for item in set(held) - set(first):
        assert repeated[item] == (len(texts[item]) > 1)


# -- once, in any order, from any point ---------------------------------------------------------


def test_a_step_waits_for_every_source() -> None:
    sources = recorded([(0, name, T, 0, 0) for name in NAMES])
    partition = LinkPartition(curious())
    assert partition.absorb(sources[0][0]) == []
    assert partition.absorb(sources[2][0]) == []
    (found,) = partition.absorb(sources[1][0])
    assert found.step == FIRST_STEP
    assert found.links.accounts.tolist() == [9]


def test_a_later_record_of_a_source_closes_the_steps_it_left_out() -> None:
    partition = LinkPartition(curious(sources=2))
    one, other = Crowd(0, created), Crowd(1, created)
    partition.absorb(one.step(FIRST_STEP, [(name, T, 0) for name in NAMES]))
    found = partition.absorb(other.step(FIRST_STEP + 5, []))
    assert [candidates.step for candidates in found] == [FIRST_STEP]


@given(REQUESTS, st.data())
def test_the_order_in_which_sources_arrive_does_not_show(requests, data) -> None:
    sources = recorded(requests)
    expected = LinkPartition(curious())
    found = as_bytes(all_of(expected, in_turn(sources)))
    turns = data.draw(st.permutations([source for source in range(SOURCES) for _ in sources[0]]))
    at = [iter(records) for records in sources]
    partition = LinkPartition(curious())
    assert as_bytes(all_of(partition, [next(at[source]) for source in turns])) == found
    assert partition.dump() == expected.dump()


@given(REQUESTS, st.data())
def test_a_record_that_comes_again_changes_nothing(requests, data) -> None:
    records = in_turn(recorded(requests))
    expected = LinkPartition(curious())
    found = as_bytes(all_of(expected, records))
    again, repeated = [], []
    for position in range(len(records)):
        again.append(records[position])
        if data.draw(st.booleans()):
            again.append(records[data.draw(st.integers(0, position))])
            repeated.append(again[-1])
    partition = LinkPartition(curious())
    assert as_bytes(all_of(partition, again)) == found
    assert partition.dump() == expected.dump()


@given(REQUESTS, st.integers(0, 18))
def test_dumped_and_loaded_at_any_point_it_goes_on_the_same(requests, cut) -> None:
    records = in_turn(recorded(requests))
    whole = LinkPartition(curious())
    expected = as_bytes(all_of(whole, records))
    first, second = LinkPartition(curious()), LinkPartition(curious())
    before = as_bytes(all_of(first, records[:cut]))
    second.load(first.dump())
    assert second.dump() == first.dump()
    assert before + as_bytes(all_of(second, records[cut:])) == expected
    assert second.dump() == whole.dump()


@settings(max_examples=40)
@given(REQUESTS, st.lists(st.sampled_from(["go on", "drain", "crash"]), min_size=18, max_size=18), st.booleans())
def test_a_worker_killed_between_commits_publishes_each_candidate_once(requests, fates, large) -> None:
    """A crash loses what was not drained; the input is read again from the offset of the last drain."""
    records = in_turn(recorded(requests))
    quiet = LinkStage(curious())
    quiet.assign(4, {})
    quiet.absorb(4, records)
    expected = quiet.drain(4)[1]
    with mock.patch.object(journal, "SNAPSHOT_AT_LEAST_BYTES", 1 << 30 if large else 0):
        stage, store, published, committed, at = LinkStage(curious()), dict[str, bytes](), [], 0, 0
        stage.assign(4, {})
        for fate in [*fates, *["go on"] * len(records), "drain"]:
            if fate == "go on" and at < len(records):
                stage.absorb(4, [records[at]])
                at += 1
            elif fate == "drain":
                rows, messages = stage.drain(4)
                store |= {name: value for name, value in rows.items() if value is not None}
                store = {name: value for name, value in store.items() if rows.get(name, value) is not None}
                published += messages
                committed = at
            elif fate == "crash":
                stage = LinkStage(curious())
                stage.assign(4, store)
                at = committed
        stage.absorb(4, records[at:])
        assert published + stage.drain(4)[1] == expected


@settings(max_examples=40)
@given(REQUESTS, st.integers(0, 18), st.booleans())
def test_what_became_a_candidate_by_other_rules_is_told_whole_with_the_next_step(requests, cut, crash) -> None:
    """Stage 3 takes no second record of a step, so those of the journal's steps cannot be told again."""
    last = max((request[0] for request in requests), default=0) + 1
    records = in_turn(recorded([*requests, (last, "a0", T, 99, 0)]))
    cut = min(cut, len(records) - SOURCES)  # one step at least comes after the journal
    deaf, rows = LinkStage(curious(least_accounts=100)), dict[str, bytes]()
    deaf.assign(4, {})
    deaf.absorb(4, records[:cut])
    rows |= {name: value for name, value in deaf.drain(4)[0].items() if value is not None}
    stage = LinkStage(curious())
    stage.assign(4, rows)
    assert not stage.waiting(4)
    if crash:  # after a commit
        changed, _ = stage.drain(4)
        rows = {name: value for name, value in (rows | changed).items() if value is not None}
        stage = LinkStage(curious())
        stage.assign(4, rows)
    stage.absorb(4, records[cut:])
    told: dict[tuple[int, str], int] = {}
    for message in stage.drain(4)[1]:
        one = candidate.decode(message.value or b"")
        for link, account, count in zip(one.edges.link, one.edges.account, one.edges.count, strict=True):
            told[int(one.links.value[link]), one.facts.ids[account]] = int(count)
    held = stage._partitions[4]
    links, edges = held.links, held.edges
    rows_told = np.flatnonzero(links["flags"][edges["link"]] == CANDIDATE)
    assert told == {
        (int(links.keys[edges["link"][row]]), held.ids[edges["account"][row]]): int(edges["count"][row])
        for row in rows_told.tolist()
    }


def test_candidates_name_the_link_partition_they_come_from() -> None:
    stage = LinkStage(curious(sources=1))
    stage.assign(5, {})
    stage.absorb(5, [Crowd(0, created).step(FIRST_STEP, [(name, T, 0) for name in NAMES])])
    (message,) = stage.drain(5)[1]
    assert message.value is not None
    assert candidate.decode(message.value).source == 5


def test_a_record_that_is_none_is_refused_and_leaves_nothing_behind() -> None:
    stage = LinkStage(curious(sources=1))
    stage.assign(0, {})
    with pytest.raises(DecodeError):
        stage.absorb(0, [b"nonsense"])
    assert stage.drain(0) == ({}, [])


def test_a_revoked_partition_is_forgotten() -> None:
    stage = LinkStage(curious(sources=1))
    stage.assign(0, {})
    stage.absorb(0, [Crowd(0, created).step(FIRST_STEP, [(name, T, 0) for name in NAMES])])
    assert stage.sizes() == {"accounts": 9, "links": 1, "candidates": 1, "edges": 9}
    stage.revoke(0)
    assert stage.sizes() == {"accounts": 0, "links": 0, "candidates": 0, "edges": 0}


# -- what stands out ----------------------------------------------------------------------------


def candidates_of(accounts: Sequence[str], kind: LinkKind = T, **settings_: Any) -> list[Candidates]:
    """A population of 100 accounts, a fifth of them young, of whom these share a link."""
    partition, crowd = LinkPartition(LinkSettings(sources=1, filter_slots=1 << 12, **settings_)), Crowd(0, aged)
    everyone = [(f"y{i}", LinkKind.SYSTEM, f"own {i}") for i in range(20)]
    everyone += [(f"e{i}", LinkKind.SYSTEM, f"own {i + 20}") for i in range(80)]
    partition.absorb(crowd.step(FIRST_STEP, everyone))
    return partition.absorb(crowd.step(FIRST_STEP + 31, [(account, kind, "shared") for account in accounts]))


def aged(account: str) -> int:
    return START - (2 * DAY if account.startswith("y") else 100 * DAY)


def test_a_link_of_young_accounts_alone_goes_on_with_all_of_its_edges() -> None:
    (found,) = candidates_of([f"y{i}" for i in range(12)])
    assert found.links.accounts.tolist() == found.links.young.tolist() == [12]
    assert sorted(found.facts.ids) == sorted(f"y{i}" for i in range(12))
    assert len(found.edges.account) == 12
    assert found.links.surprise[0] > 10


def test_a_link_of_all_ages_stays() -> None:
    (found,) = candidates_of([*(f"y{i}" for i in range(12)), *(f"e{i}" for i in range(48))])
    assert len(found.links.value) == 0


def test_a_link_of_a_team_stays_whatever_their_age() -> None:
    (found,) = candidates_of([f"y{i}" for i in range(4)])
    assert len(found.links.value) == 0


@pytest.mark.parametrize("kind", [P, LinkKind.BLOCK])
def test_a_payment_or_block_goes_on_whatever_the_ages_until_many_of_all_ages_share_it(kind: LinkKind) -> None:
    """As they do who buy through one marketplace."""
    (found,) = candidates_of([f"e{i}" for i in range(5)], kind)
    assert found.links.kind.tolist() == [kind]
    of_all_ages = [*(f"y{i}" for i in range(4)), *(f"e{i}" for i in range(16))]
    (found,) = candidates_of(of_all_ages, kind, common_accounts=20)
    assert not len(found.links.value)
    (found,) = candidates_of([f"y{i}" for i in range(20)], kind, common_accounts=20)
    assert found.links.kind.tolist() == [kind]


def test_an_issuer_of_presented_blocks_goes_on_from_the_first_account_until_many_of_all_ages_present_its_blocks() -> (
    None
):
    """As they do when a tool comes with recorded examples."""
    assert len(candidates_of(["h1"], LinkKind.ISSUER)[-1].edges.link) == 1
    assert not len(candidates_of(["h1"], LinkKind.BLOCK)[-1].edges.link)
    many = [f"p{i}" for i in range(12)]
    assert len(candidates_of(many[:9], LinkKind.ISSUER, common_accounts=10)[-1].edges.link) == 9
    assert not len(candidates_of(many, LinkKind.ISSUER, common_accounts=10)[-1].edges.link)


def test_after_the_first_only_the_edges_that_changed_go_on() -> None:
    partition, crowd = LinkPartition(curious(sources=1)), Crowd(0, created)
    partition.absorb(crowd.step(FIRST_STEP, [(name, T, 0) for name in NAMES[:5]]))
    (found,) = partition.absorb(crowd.step(FIRST_STEP + 1, [("a1", T, 0), ("a8", T, 0)]))
    ids = [found.facts.ids[account] for account in found.edges.account.tolist()]
    assert dict(zip(ids, found.edges.count.tolist(), strict=True)) == {"a1": 2, "a8": 1}
    assert found.links.accounts.tolist() == [6]


def test_judgements_pass_through_with_the_facts_of_their_accounts() -> None:
    partition = LinkPartition(curious(sources=1))
    reason = ("rate", 0.5, 1.0, None, None, "fast")
    record = observed(FIRST_STEP, 0, [("a1", T, 0)], judged=[("a2", START, 0.7, [reason])])
    (found,) = partition.absorb(observation.encode(record))
    assert [found.facts.ids[account] for account in found.judged.account.tolist()] == ["a2"]
    assert found.judged.because == ((reason,),)


# -- bounds -------------------------------------------------------------------------------------


def test_endless_unique_links_leave_the_tables_flat() -> None:
    partition, crowd = LinkPartition(curious(sources=1)), Crowd(0, created)
    for step in range(40):
        partition.absorb(
            crowd.step(FIRST_STEP + step, [(name, T, f"{step} {name} {i}") for name in NAMES for i in range(50)])
        )
    assert (len(partition.links), len(partition.edges), len(partition.accounts)) == (0, 0, 9)


def test_a_link_that_everybody_shares_loses_its_edges_and_is_looked_at_again_a_day_later() -> None:
    partition, crowd = LinkPartition(LinkSettings(sources=1, filter_slots=1 << 12, common_accounts=50)), Crowd(0, aged)
    everyone = [f"y{i}" for i in range(15)] + [f"e{i}" for i in range(85)]
    rows = [(account, T, "popular") for account in everyone]
    for step in (0, 30, 61):
        partition.absorb(crowd.step(FIRST_STEP + step, rows))
    assert partition.links["flags"].tolist() == [COMMON]
    assert len(partition.edges) == 0
    partition.absorb(crowd.step(FIRST_STEP + 1_440, rows))
    assert partition.links["flags"].tolist() == [0]
    young = [f"y{i}" for i in range(200)]
    partition.absorb(crowd.step(FIRST_STEP + 1_511, [(account, T, "popular") for account in young]))
    assert partition.links["flags"].tolist() == [CANDIDATE]
    assert partition.links["young"].tolist() == [200]


WALKS = st.lists(
    st.tuples(
        st.integers(0, 12), st.sampled_from(NAMES), st.sampled_from([T, P]), st.integers(0, 5), st.integers(0, 2)
    ),
    max_size=120,
)


@given(WALKS, st.sampled_from([4, 256]), st.sampled_from([7, 4_000_000]))
def test_what_is_forgotten_is_taken_off_the_counts(requests, common, most) -> None:
    """Steps are 25 minutes apart and links idle for two hours go, so that everything is swept now and then."""
    given = curious(idle_days=2 / 24, common_accounts=common, most_edges=most, false_discovery=0.5)
    partition = LinkPartition(given)
    for record in in_turn(recorded(requests, stride=25)):
        if not partition.absorb(record):
            continue
        links, edges = partition.links, partition.edges
        assert len(partition.ids) == len(partition.accounts)
        counted = links["flags"] != COMMON
        for name, is_one in (
            ("accounts", edges["age"] >= 0),
            ("young", edges["age"] == 1),
            ("established", edges["age"] == 2),
        ):
            recount = np.bincount(edges["link"][is_one], minlength=len(links))
            assert np.array_equal(recount[counted], links[name][counted]), name
        assert np.array_equal(links.lookup(links.keys), np.arange(len(links)))
        assert (edges["account"] < len(partition.accounts)).all()


def test_of_too_many_edges_the_newest_stay_and_candidates_before_others() -> None:
    partition, crowd = LinkPartition(curious(sources=1, most_edges=20, least_accounts=8)), Crowd(0, created)
    partition.absorb(crowd.step(FIRST_STEP, [(name, T, 0) for name in NAMES]))  # nine edges of a candidate
    for step in range(1, 61):
        partition.absorb(crowd.step(FIRST_STEP + step, [("a1", P, step), ("a2", P, step)]))
        assert len(partition.edges) <= 20
    assert partition.counts["edges_dropped"] == 9 + 2 * 60 - len(partition.edges)
    kinds = partition.links["kind"][partition.edges["link"]]
    assert (kinds == T).sum() == 9
    assert partition.edges["last_ms"][kinds == P].min() >= (FIRST_STEP + 55) * MINUTE


def test_when_even_the_candidates_are_too_many_the_newest_of_them_stay() -> None:
    partition, crowd = LinkPartition(curious(sources=1, most_edges=20)), Crowd(0, created)
    for step in range(10):
        partition.absorb(crowd.step(FIRST_STEP + step, [(name, T, step) for name in NAMES[:4]]))
    assert 12 <= len(partition.edges) <= 20
    assert partition.edges["first_ms"].min() >= (FIRST_STEP + 5) * MINUTE
    assert partition.links["flags"].tolist() == [CANDIDATE] * len(partition.links)


def test_a_flood_of_pairs_does_not_wash_away_what_many_accounts_share() -> None:
    given = curious(sources=1, most_edges=30, least_accounts=5, false_discovery=1e-9, newborn_accounts=1000)
    partition, crowd = LinkPartition(given), Crowd(0, created)
    partition.absorb(crowd.step(FIRST_STEP, [(name, T, 0) for name in NAMES[:5]]))
    for step in range(1, 40):
        partition.absorb(crowd.step(FIRST_STEP + step, [(who, T, step) for who in NAMES[5:7]]))
    assert partition.links["accounts"][partition.links.lookup(np.array([value_of(T, 0)], np.uint64))].tolist() == [5]


def test_links_beyond_the_bound_go_with_their_edges_and_are_counted() -> None:
    partition, crowd = LinkPartition(curious(sources=1, most_links=8, least_accounts=8)), Crowd(0, created)
    for step in range(40):
        partition.absorb(crowd.step(FIRST_STEP + step, [("a1", P, step), ("a2", P, step)]))
        assert len(partition.links) <= 8
        assert len(partition.edges) == 2 * len(partition.links)
    assert partition.counts["links_dropped"] == 40 - len(partition.links)
    assert partition.links["born_ms"].min() >= (FIRST_STEP + 30) * MINUTE


def test_of_endless_accounts_those_that_share_something_stay() -> None:
    partition, crowd = LinkPartition(curious(sources=1, most_accounts=14)), Crowd(0, created)
    partition.absorb(crowd.step(FIRST_STEP, [(name, T, 0) for name in NAMES]))
    for step in range(1, 60):
        partition.absorb(crowd.step(FIRST_STEP + step, [(f"z{step}", T, f"alone {step}")]))
        assert len(partition.accounts) == len(partition.ids) <= 14
    assert set(NAMES) <= set(partition.ids)
    assert partition.counts["accounts_dropped"] == 9 + 59 - len(partition.ids)


def test_when_even_accounts_that_share_something_are_too_many_their_edges_go_too() -> None:
    partition, crowd = LinkPartition(curious(sources=1, most_accounts=6)), Crowd(0, created)
    for step in range(30):
        partition.absorb(crowd.step(FIRST_STEP + step, [(f"z{step}", T, step), (f"y{step}", T, step)]))
        assert len(partition.accounts) <= 6
        assert len(partition.edges) == 2 * len(partition.links) <= 6
        assert sorted(set(partition.edges["account"].tolist())) == list(range(len(partition.edges)))


def test_what_stood_out_once_does_not_keep_out_what_is_new() -> None:
    partition, crowd = LinkPartition(curious(sources=1, most_edges=60, least_accounts=5)), Crowd(0, created)
    for step in range(12):  # links that five accounts share, more than there is room for
        partition.absorb(crowd.step(FIRST_STEP + step, [(name, T, step) for name in NAMES[:5]]))
    for step in range(20):  # and one that grows by an account at a time, in a flood of pairs
        flood = [(who, P, f"{step} {pair}") for pair in range(2) for who in NAMES[5:7]]
        partition.absorb(crowd.step(FIRST_STEP + 20 + step, [(f"n{step}", T, "slow"), *flood]))
    (row,) = partition.links.lookup(np.array([value_of(T, "slow")], np.uint64))
    assert partition.links["flags"][row] == CANDIDATE


# -- a source that is far behind -------------------------------------------------------------------


def behind(most: int) -> tuple[LinkPartition, list[Candidates]]:
    """Source 0 closes 40 steps, then source 1 the same steps; both use the same link once in each."""
    partition = LinkPartition(curious(sources=2, most_waiting_bytes=most))
    found = []
    for source, names in ((0, NAMES[:3]), (1, NAMES[3:6])):
        crowd = Crowd(source, created)
        for step in (*range(40), 50):
            found += partition.absorb(crowd.step(FIRST_STEP + step, [(name, T, 0) for name in names]))
    return partition, found


def test_what_waits_for_a_slow_source_is_bounded_and_what_it_says_later_is_counted_once() -> None:
    partition, _ = behind(20_000)
    assert 0 < partition.counts["steps_forced"] <= 40
    assert partition.waiting.bytes_held <= 20_000
    assert sorted(partition.edges["count"].tolist()) == [41] * 6
    patient, _ = behind(1 << 30)
    assert patient.counts["steps_forced"] == 0
    assert patient.links["accounts"].tolist() == partition.links["accounts"].tolist() == [6]
    assert patient.edges["output_tokens"].sum() == partition.edges["output_tokens"].sum()


def test_a_step_that_was_closed_early_is_told_once() -> None:
    steps = [candidates.step for candidates in behind(20_000)[1]]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize(("rests", "laundered"), [(0, False), (4, False), (8, True)])
def test_a_pool_does_not_grow_into_voters_for_its_own_words_while_it_uses_them(rests: int, laundered: bool) -> None:
    """Who was young when it first used a link stays so; not who rests for longer than a link, if others went on."""
    pool = [f"a{i}" for i in range(1, 30) if i % 3]
    goes_on, rest = pool[:4], pool[4:]
    state, crowd = LinkPartition(curious(sources=1)), Crowd(0, created)
    for day in range(45):
        who = goes_on if 30 <= day < 30 + rests else pool
        state.absorb(crowd.step(FIRST_STEP + 1_440 * day, [(account, T, 1, f"{day} {account}") for account in who]))
    row = int(state.links.lookup(np.array([value_of(T, 1)], np.uint64))[0])
    established = int(state.links["established"][row])
    assert established == (len(rest) if laundered else 0)
    assert int(state.links["young"][row]) == len(pool) - established

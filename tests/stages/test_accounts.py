"""The account stage: what it tells does not depend on how the stream was cut, carried or restarted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.account import AccountRecord
from detector.campaign import observation
from detector.campaign.observation import LinkKind, Observations
from detector.errors import DecodeError
from detector.event import EventBatch
from detector.signals.canary import Canary
from detector.signals.no_idle import NoIdle
from detector.stages.accounts import AccountSettings, AccountStage
from tests.event_columns import batch_of, part_of

START = 1_770_000_000_000 - 1_770_000_000_000 % 86_400_000
MINUTE = 60_000
HOUR = 60 * MINUTE
PARTITIONS = 2
SETTINGS = AccountSettings(link_partitions=3, raise_at=0.02, clear_at=0.01)


def assigned(config: AccountSettings = SETTINGS, partitions: int = PARTITIONS) -> AccountStage:
    stage = AccountStage(config)
    for partition in range(partitions):
        stage.assign(partition, {})
    return stage


def told(stage: AccountStage, partitions: int = PARTITIONS) -> list[Observations]:
    """Everything drained, decoded."""
    return [
        observation.decode(message.value)
        for partition in range(partitions)
        for message in stage.drain(partition)[1]
        if message.value is not None
    ]


def stream(seed: int, n: int) -> EventBatch:
    """Events of 7 accounts with pauses, disorder, lateness, repeats and a wrong clock, from a seed."""
    rng = np.random.default_rng(seed)
    account = rng.integers(0, 7, n)
    pause = rng.choice([5, 900, 20_000, 400_000, 3 * HOUR, 30 * HOUR], n, p=[0.3, 0.3, 0.2, 0.15, 0.03, 0.02])
    time_ms = START + np.cumsum(pause) - rng.choice([0, 3000, 100_000, 2 * HOUR], n, p=[0.7, 0.2, 0.05, 0.05])
    time_ms[rng.random(n) < 0.01] += 40 * 24 * HOUR
    event_id = rng.integers(1, 1 << 62, n, dtype=np.uint64)
    repeat = np.flatnonzero(rng.random(n) < 0.1)
    event_id[repeat] = event_id[np.maximum(repeat - rng.integers(1, 20, len(repeat)), 0)]
    few = rng.integers(1, 1 << 62, 4, dtype=np.uint64)
    records = tuple(
        (i, AccountRecord(created_ms=START - HOUR, tier="pro", payment_fp=f"fp{i % 2}", email_domain="x.org"))
        for i in np.flatnonzero(rng.random(n) < 0.05).tolist()
    )
    return batch_of(
        time_ms,
        account,
        tuple("abcdefg"),
        partition=account % PARTITIONS,
        event_id=event_id,
        models=("large", "small"),
        model=rng.integers(0, 2, n),
        capabilities=("coding", "poetry"),
        capability=rng.integers(-1, 2, n),
        system=few[rng.integers(0, 4, n)] * (rng.random(n) < 0.5),
        address=few[rng.integers(0, 4, n)],
        end_user=few[rng.integers(0, 4, n)],
        output_tokens=np.where(rng.random(n) < 0.8, rng.integers(0, 3000, n), np.nan),
        max_tokens=np.where(rng.random(n) < 0.5, rng.integers(1, 3, n), np.nan),
        user_turns=np.where(rng.random(n) < 0.5, rng.integers(1, 3, n), np.nan),
        outcome=rng.integers(-1, 5, n),
        block=few[rng.integers(0, 4, n)] * (rng.random(n) < 0.1),
        block_foreign=rng.integers(-1, 2, n),
        sketches_text=few[rng.integers(0, 4, n)] * (rng.random(n) < 0.7),
        sketches_template=few[rng.integers(0, 4, n)],
        sketches_labels=rng.integers(0, 64, n),
        records=records,
    )


def whole(batch: EventBatch, config: AccountSettings = SETTINGS) -> dict[int, list[bytes | None]]:
    stage = assigned(config)
    stage.absorb(batch)
    stage.finish()
    return {partition: [m.value for m in stage.drain(partition)[1]] for partition in range(PARTITIONS)}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    cuts=st.lists(st.integers(1, 249), max_size=12, unique=True),
    models=st.sampled_from([0, 1, 1000]),
    days=st.sampled_from([0.1, 1.2, 90.0]),
    pairs=st.sampled_from([1, 3, 8, 1000]),
)
def test_the_cut_into_batches_does_not_show(seed: int, cuts: list[int], models: int, days: float, pairs: int) -> None:
    batch = stream(seed, 250)
    config = replace(SETTINGS, most_models=models, forget_days=days, most_pairs=pairs)
    stage = assigned(config)
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), 250], strict=True):
        stage.absorb(part_of(batch, start, end))
    stage.finish()
    out = {partition: [m.value for m in stage.drain(partition)[1]] for partition in range(PARTITIONS)}
    assert out == whole(batch, config)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    cuts=st.lists(st.integers(1, 249), min_size=1, max_size=8, unique=True),
    restart=st.lists(st.booleans(), min_size=9, max_size=9),
    hot=st.sampled_from([1, 3, 1000]),
    models=st.sampled_from([1, 1000]),
    days=st.sampled_from([0.1, 1.2, 90.0]),
    pairs=st.sampled_from([1, 3, 8, 1000]),
    sweep=st.lists(st.booleans(), min_size=9, max_size=9),
)
def test_a_restart_from_the_stored_rows_does_not_show(
    seed: int, cuts: list[int], restart: list[bool], hot: int, models: int, days: float, pairs: int, sweep: list[bool]
) -> None:
    """Between batches the stage is thrown away and started again, or forgets idle accounts and fetches them back.

    And what was idle for so many days leaves the store, or does not yet.
    """
    batch = stream(seed, 250)
    config = replace(SETTINGS, hot_accounts=hot, most_models=models, forget_days=days, most_pairs=pairs)
    store: dict[int, dict[str, bytes]] = {partition: {} for partition in range(PARTITIONS)}
    out: dict[int, list[bytes | None]] = {partition: [] for partition in range(PARTITIONS)}
    stage = assigned(config)

    def commit() -> None:
        for partition in range(PARTITIONS):
            rows, outbox = stage.drain(partition)
            for key, value in rows.items():
                if value is None:
                    store[partition].pop(key)
                else:
                    store[partition][key] = value
            out[partition] += [message.value for message in outbox]

    for number, (start, end) in enumerate(zip([0, *sorted(cuts)], [*sorted(cuts), 250], strict=True)):
        part = part_of(batch, start, end)
        for partition, keys in stage.wanted(part).items():
            stage.adopt(partition, {key: store[partition][key] for key in keys if key in store[partition]})
        stage.absorb(part)
        if sweep[number]:
            for partition in range(PARTITIONS):
                stage.expire(partition, store[partition])
        commit()
        if restart[number]:
            stage = AccountStage(config)
            for partition in range(PARTITIONS):
                stage.assign(partition, store[partition])
    stage.finish()
    commit()
    assert out == whole(batch, config)


def test_an_account_without_a_request_for_long_leaves_the_store_and_begins_anew_when_it_comes_back() -> None:
    stage = assigned(replace(SETTINGS, link_partitions=1, forget_days=2.0), 1)
    store: dict[str, bytes] = {}

    def ask(day: float, account: int) -> tuple[int, int]:
        """Ask, beside two whose word the clock takes; return the requests and the first day of the account."""
        time_ms = START + int(24 * HOUR * day)
        ids = [10 * int(10 * day) + i for i in (1, 2, 3)]
        stage.absorb(batch_of([time_ms] * 3, [2, 3, account], ("a", "b", "c", "d"), event_id=ids))
        stage.finish()
        stage.expire(0, store)
        rows, outbox = stage.drain(0)
        for key, value in rows.items():
            store.pop(key, None)
            if value is not None:
                store[key] = value
        told = [observation.decode(message.value).accounts for message in outbox if message.value]
        facts, at = next((found, found.ids.index("ab"[account])) for found in told if "ab"[account] in found.ids)
        return int(facts.requests[at]), round((int(facts.first_seen_ms[at]) - START) / (24 * HOUR))

    assert [ask(day, 0) for day in (0, 1)] == [(1, 0), (2, 0)]
    assert ask(2.9, 1) == (1, 3)
    assert "aa" in store
    assert ask(3.1, 1) == (2, 3)
    assert sorted(key for key in store if key[0] == "a") == ["ab", "ac", "ad"]
    assert stage.counts["forgotten"] == 1
    assert stage.sizes() == {"accounts": 3}
    assert ask(4, 0) == (1, 4)


def test_a_step_names_only_so_many_models_and_counts_every_request() -> None:
    config = replace(SETTINGS, link_partitions=1, most_models=3)
    stage = assigned(config, 1)
    for minute in range(20):
        names = tuple(f"model-{minute}-{i}" for i in range(50))
        ids = 1 + np.arange(50, dtype=np.uint64) + np.uint64(50 * minute)
        stage.absorb(
            batch_of([START + minute * MINUTE] * 50, [0] * 50, ("a",), models=names, model=range(50), event_id=ids)
        )
        assert len(stage._models) <= 2 * (config.most_models + 1)
    stage.finish()
    steps = [{name: count for _, name, count in o.models} for o in told(stage, 1) if o.models]
    assert steps == [{**{f"model-{minute}-{i}": 1 for i in range(3)}, "other": 47} for minute in range(20)]
    assert stage.counts["models_dropped"] == 20 * 47


def test_of_too_many_accounts_on_their_topic_those_told_of_longest_ago_are_forgotten() -> None:
    stage = assigned(replace(SETTINGS, most_records=3), 1)
    stage.learn(AccountRecord(account_id=name, tier="pro") for name in "abcad")
    stage.absorb(batch_of([START] * 4, range(4), ("a", "b", "c", "d")))
    stage.finish()
    tiers = {
        name: int(tier) for o in told(stage, 1) for name, tier in zip(o.accounts.ids, o.accounts.tier, strict=True)
    }
    assert tiers == {"a": 1, "b": -1, "c": 1, "d": 1}
    assert stage.records_dropped == 1


def test_a_record_of_the_store_that_cannot_be_read_is_an_error_that_says_whose_it_is() -> None:
    stage = assigned()
    stage.absorb(stream(3, 250))
    rows = {key: row for key, row in stage.drain(1)[0].items() if row is not None}
    for key in sorted(rows):
        with pytest.raises(DecodeError, match="accounts:1 cannot be read"):
            AccountStage(SETTINGS).assign(1, {**rows, key: rows[key][:5]})


def test_a_step_with_activity_is_told_to_every_link_partition() -> None:
    stage = assigned()
    stage.absorb(batch_of([START, START + 2 * MINUTE], [0, 0], ("a",), address=[5, 5]))
    told_first = [o for o in told(stage) if o.step == START // MINUTE]
    assert len(told_first) == 3
    assert sum(len(o.pairs.value) for o in told_first) == 1
    assert sum(len(o.models) for o in told_first) == 1


def test_a_quiet_stretch_is_announced_by_its_last_step() -> None:
    stage = assigned()
    stage.absorb(batch_of([START, START + 10 * MINUTE], [0, 0], ("a",)))
    first = START // MINUTE
    assert [o.step for o in told(stage)[::3]] == [first - 1, first, first + 9]


def test_a_redelivered_event_is_counted_once() -> None:
    stage = assigned()
    stage.absorb(batch_of([START] * 3, [0, 0, 0], ("a",), event_id=[7, 7, 8]))
    stage.absorb(batch_of([START], [0], ("a",), event_id=[8]))
    stage.finish()
    assert [o.accounts.requests.tolist() for o in told(stage) if o.accounts.ids] == [[2]]
    assert stage.counts["duplicate"] == 2


def test_a_late_event_is_linked_and_counted_but_not_windowed() -> None:
    stage = assigned()
    stage.absorb(batch_of([START, START - 11 * MINUTE], [0, 0], ("a",), address=[5, 6]))
    stage.finish()
    observations = [o for o in told(stage) if o.accounts.ids]
    assert {int(o.accounts.requests[0]) for o in observations} == {2}
    assert {float(o.accounts.requests_24h[0]) for o in observations} == {1.0}
    assert sum(int((o.pairs.kind == LinkKind.ADDRESS).sum()) for o in observations) == 2
    assert stage.counts["late"] == 1


def test_a_record_is_not_known_before_it_takes_effect() -> None:
    stage = assigned()
    banned = START + 5 * MINUTE
    stage.learn([AccountRecord(account_id="a", tier="pro", status="banned", status_ms=banned, payment_fp="fp")])
    stage.absorb(batch_of([START, START + 6 * MINUTE], [0, 0], ("a",)))
    stage.finish()
    by_step: dict[int, list[Observations]] = {}
    for o in told(stage):
        if o.accounts.ids:
            by_step.setdefault(o.step, []).append(o)
    before, after = by_step[START // MINUTE], by_step[START // MINUTE + 6]
    assert {int(o.accounts.status[0]) for o in before} == {-1}
    assert {int(o.accounts.status[0]) for o in after} == {3}
    assert not any((o.pairs.kind == LinkKind.PAYMENT).any() for o in before)
    assert sum(int((o.pairs.kind == LinkKind.PAYMENT).sum()) for o in after) == 1


def test_an_idle_partition_announces_what_its_owner_declares() -> None:
    stage = assigned()
    stage.advance(0, START)
    assert [o.step for o in told(stage)] == [START // MINUTE - 1] * 3


def test_records_cut_from_whole_batch_buffers_are_what_encode_makes() -> None:
    stage = assigned()
    stage.absorb(stream(3, 250))
    stage.finish()
    for partition in range(PARTITIONS):
        for message in stage.drain(partition)[1]:
            assert message.value is not None
            assert observation.encode(observation.decode(message.value)) == message.value


def test_a_canary_is_told_with_its_sentence() -> None:
    config = AccountSettings(link_partitions=1, signals=(Canary(account_ids=("a",)), NoIdle()))
    stage = assigned(config)
    stage.absorb(batch_of([START, START], [0, 1], ("a", "b")))
    stage.finish()
    (seen,) = [o for o in told(stage) if len(o.judged.account)]
    assert [seen.accounts.ids[i] for i in seen.judged.account] == ["a"]
    assert seen.judged.score.tolist() == [1.0]
    assert seen.judged.tick_ms.tolist() == [START + MINUTE]
    assert seen.judged.because[0][0][0] == "canary"
    assert "1 requests" in seen.judged.because[0][0][5]


def test_a_canary_is_told_each_time_that_it_is_judged() -> None:
    stage = assigned(AccountSettings(link_partitions=1, signals=(Canary(account_ids=("a",)), NoIdle())))
    for minute in range(3):
        stage.absorb(
            batch_of([START + minute * MINUTE] * 2, [0, 1], ("a", "b"), event_id=[2 * minute + 1, 2 * minute + 2])
        )
    stage.finish()
    assert sum(len(seen.judged.account) for seen in told(stage)) == 3
    assert stage.counts["steps"] > 0


def test_pairs_are_unique_sorted_and_count_distinct_texts() -> None:
    stage = assigned(AccountSettings(link_partitions=1))
    stage.absorb(batch_of([START, START + 1, START + 2], [0, 0, 0], ("a",), address=[5, 5, 5], sketches_text=[9, 8, 9]))
    stage.finish()
    (seen,) = [o for o in told(stage) if len(o.pairs.value)]
    at = int(np.flatnonzero(seen.pairs.kind == LinkKind.ADDRESS)[0])
    assert [int(column[at]) for column in (seen.pairs.count, seen.pairs.items, seen.pairs.item)] == [3, 2, 8]
    assert [int(column[at]) for column in (seen.pairs.first_ms, seen.pairs.last_ms)] == [START, START + 2]
    keys = list(zip(seen.pairs.account.tolist(), seen.pairs.kind.tolist(), seen.pairs.value.tolist(), strict=True))
    assert keys == sorted(set(keys))


def test_sign_up_links_are_told_once_a_day_and_again_when_they_change() -> None:
    stage = assigned(AccountSettings(link_partitions=1))
    stage.learn(
        [
            AccountRecord(account_id="a", created_ms=START - HOUR, payment_fp="one"),
            AccountRecord(account_id="a", created_ms=START - HOUR, payment_fp="two", status_ms=START + 2 * HOUR),
        ]
    )
    for hour in (0, 1, 3, 25):
        stage.advance(0, START + hour * HOUR)
        stage.absorb(batch_of([START + hour * HOUR], [0], ("a",), event_id=[hour + 1]))
    stage.finish()
    told_at = [o.step - START // MINUTE for o in told(stage) if (o.pairs.kind == LinkKind.PAYMENT).any()]
    assert told_at == [0, 180, 1500]


def test_a_busy_account_is_judged_when_it_grew_and_not_every_minute() -> None:
    stage = assigned(AccountSettings(link_partitions=1))
    times = START + np.arange(600) * 10_000
    stage.absorb(batch_of(times, np.zeros(600), ("a",)))
    stage.finish()
    assert stage.counts["judged"] < 60

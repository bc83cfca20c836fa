"""Each baseline flags whom its rule names, at the time at which the rule is first met."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from detector.baselines import BASELINES, Baseline, Flag, RequestReader
from detector.baselines.duplicate_prompts import duplicate_prompts
from detector.baselines.mmd import KernelTest
from detector.baselines.rate_limit import RateLimit
from detector.baselines.shared_address import shared_address
from detector.baselines.shared_beginning import shared_beginning
from detector.baselines.synchrotrap import SynchroTrap
from detector.baselines.token_rules import TokenRules
from tests.evaluate.cases import DAY, HOUR, START

MINUTE = 60_000


class Stream:
    """Lines of events, written one by one."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def add(self, account: str, time_ms: int, **fields: object) -> None:
        event = {"id": str(len(self.lines)), "time_ms": time_ms, "account_id": account, "model": "m", **fields}
        self.lines.append(msgspec.json.encode(event))


def run(baseline: Baseline, stream: Stream, *, cut: int = 7) -> tuple[list[Flag], list[str]]:
    """Feed the stream in chunks of `cut`; return the flags and the account names."""
    reader = RequestReader()
    flags: list[Flag] = []
    for start in range(0, len(stream.lines), cut):
        flags += baseline.absorb(reader.read(stream.lines[start : start + cut]))
    return [*flags, *baseline.finish()], reader.account_ids


def flagged(baseline: Baseline, stream: Stream, *, cut: int = 7) -> dict[str, int]:
    """Return account -> the first time at which it was flagged."""
    flags, names = run(baseline, stream, cut=cut)
    times: dict[str, int] = {}
    for flag in flags:
        for account in flag.accounts:
            times[names[account]] = min(flag.time_ms, times.get(names[account], flag.time_ms))
    return times


def test_a_redelivered_id_and_a_line_that_is_no_event_are_left_out() -> None:
    stream = Stream()
    stream.add("a", START)
    stream.add("b", START)
    reader = RequestReader()
    first = reader.read([*stream.lines, b"{", b'{"id": "x"}'])
    again = reader.read(stream.lines)
    assert (len(first), len(again)) == (2, 0)


def test_the_same_id_of_another_account_is_another_request() -> None:
    lines = [b'{"id":"1","time_ms":1,"account_id":"a"}', b'{"id":"1","time_ms":1,"account_id":"b"}']
    assert len(RequestReader().read(lines)) == 2


def test_what_a_line_does_not_say_is_unknown() -> None:
    requests = RequestReader().read([b'{"id":"1","time_ms":1,"account_id":"a","x_truth":"benign"}'])
    assert requests.harvest.tolist() == [0]
    assert requests.prompt.tolist() == requests.prefix.tolist() == [0]
    assert np.isnan(requests.input_tokens).all()
    assert np.isnan(requests.triples).all()


@pytest.mark.parametrize("cut", [1, 7, 1_000])
def test_the_rate_limit_flags_at_the_request_that_crosses_it(cut: int) -> None:
    stream = Stream()
    for i in range(12):
        stream.add("fast", START + i * MINUTE)
        if i % 2:
            stream.add("slow", START + i * MINUTE)
    assert flagged(RateLimit(per_hour=10), stream, cut=cut) == {"fast": START + 10 * MINUTE}


def test_the_token_rules_flag_more_than_sixty_requests_in_a_minute() -> None:
    stream = Stream()
    for i in range(61):
        stream.add("fast", START + i * 900)
        stream.add("slow", START + i * 2_000)
    assert flagged(TokenRules(), stream) == {"fast": START + 60 * 900}


def test_the_token_rules_flag_many_tokens_only_where_hardly_any_were_cached() -> None:
    stream = Stream()
    for i in range(4):
        t = START + i * MINUTE
        stream.add("uncached", t, input_tokens=50_000, output_tokens=1_000, cache_read_tokens=0)
        stream.add("cached", t, input_tokens=50_000, output_tokens=1_000, cache_read_tokens=40_000)
        stream.add("unknown", t, input_tokens=50_000, output_tokens=1_000)
    assert flagged(TokenRules(), stream) == {"uncached": START + 2 * MINUTE}


def test_five_accounts_of_one_network_are_flagged_together_when_the_fifth_comes() -> None:
    stream = Stream()
    for i in range(6):
        stream.add(f"a{i}", START + i, ip=f"10.0.0.{i}")
        stream.add(f"b{i}", START + i, ip=f"10.0.{i + 1}.1")
    expected = {f"a{i}": START + 4 for i in range(5)} | {"a5": START + 5}
    assert flagged(shared_address(), stream) == expected


def test_accounts_that_share_a_thing_on_different_days_are_not_together() -> None:
    stream = Stream()
    for i in range(8):
        stream.add(f"a{i}", START + i * DAY // 2, ip="10.0.0.1")
    assert flagged(shared_address(), stream) == {}


def test_ten_accounts_with_the_same_beginning_are_a_group_whatever_follows_it() -> None:
    stream = Stream()
    for i in range(10):
        stream.add(f"a{i}", START + i, prompt_text="x" * 50 + str(i))
        stream.add(f"b{i}", START + i, prompt_text=str(i) + "x" * 50)
    flags, names = run(shared_beginning(), stream)
    assert {names[a] for f in flags for a in f.accounts} == {f"a{i}" for i in range(10)}
    assert len({f.group for f in flags}) == 1


def test_ten_accounts_with_the_same_prompt_are_a_group_and_one_word_more_is_another_prompt() -> None:
    stream = Stream()
    for i in range(10):
        stream.add(f"a{i}", START + i, prompt_text="tell me about rust")
        stream.add(f"b{i}", START + i, prompt_text=f"tell me about rust {i}")
    assert set(flagged(duplicate_prompts(), stream)) == {f"a{i}" for i in range(10)}


def test_synchrotrap_groups_accounts_that_do_the_same_in_the_same_hours() -> None:
    stream = Stream()
    for hour in range(6):
        for i in range(10):
            stream.add(f"sync{i}", START + hour * HOUR + i, prompt_text="y" * 60)
            stream.add(f"own{i}", START + hour * HOUR + i, prompt_text=str(i) * 60)
            stream.add(f"late{i}", START + (hour * 10 + i) * HOUR, prompt_text="z" * 60)
    found = flagged(SynchroTrap(), stream)
    assert found == {f"sync{i}": START + i for i in range(10)}  # credited from the first request


def test_synchrotrap_asks_for_half_of_all_actions_in_common() -> None:
    stream = Stream()
    for i in range(10):
        for hour in range(6):
            stream.add(f"a{i}", START + hour * HOUR, prompt_text="y" * 60)
        for hour in range(6, 13):
            stream.add(f"a{i}", START + hour * HOUR, prompt_text=str(i) * 60)
    assert flagged(SynchroTrap(), stream) == {}


def test_the_kernel_test_flags_an_account_whose_queries_differ_from_everybodys() -> None:
    stream = Stream()
    words = ["bread", "river", "train", "music", "paper", "cloud", "stone", "light"]
    for i in range(400):
        text = f"please tell {words[i % 8]} about {words[i % 7]} and {words[i % 5]} number {i}"
        t = START + i * DAY // 200
        stream.add(f"person{i % 40}", t, prompt_text=text)
        stream.add("ordinary", t, prompt_text=text + "!")
        if i >= 200:
            stream.add("odd", t, prompt_text=f"QQQQ ZZZZ XXXX {i} QQQQ ZZZZ XXXX")
    assert set(flagged(KernelTest(window=100), stream)) == {"odd"}


def test_the_kernel_test_says_nothing_of_an_account_that_never_fills_a_window() -> None:
    stream = Stream()
    for i in range(100):
        stream.add(f"person{i}", START + i * DAY // 10, prompt_text=f"please tell me about number {i}")
        stream.add("odd", START + i * DAY // 10, prompt_text="QQQQ ZZZZ XXXX")
    assert flagged(KernelTest(window=101), stream) == {}


@pytest.mark.parametrize("make", BASELINES)
def test_a_baseline_says_the_same_however_the_stream_is_cut(make: type[Baseline]) -> None:
    stream = Stream()
    for i in range(600):
        text = "the very same beginning of fifty characters, and more " + str(i % 3)
        stream.add(f"a{i % 12}", START + i * 500, prompt_text=text, ip=f"10.0.0.{i % 12}", input_tokens=9_000)
    assert _said(make(), stream, 1) == _said(make(), stream, 250)


def _said(baseline: Baseline, stream: Stream, cut: int) -> Sequence[Flag]:
    return sorted(run(baseline, stream, cut=cut)[0])


@pytest.mark.parametrize("make", BASELINES)
def test_a_baseline_without_the_fields_that_it_needs_says_nothing(make: type[Baseline]) -> None:
    stream = Stream()
    for i in range(50):
        stream.add(f"a{i % 12}", START + i * HOUR)
    assert _said(make(), stream, 10) == []

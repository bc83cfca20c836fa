"""Popular prompts only: who asks the same choice of them is found by nothing but that choice; harmless twins are not.

A world of 600 accounts of all ages. Each asks half of the time what is its own, half of the time some of sixteen
prompts that everybody knows, so each of those is used by some 150 established accounts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from unittest import mock

import msgspec
import numpy as np
import pytest

from detector.account import AccountRecord
from detector.campaign.link import mix
from detector.event import I64, EventBatch
from detector.finding import Finding
from detector.pipeline import Pipeline, PipelineSettings
from detector.stages.accounts import AccountSettings
from detector.stages.campaigns import CampaignSettings
from detector.stages.links import LinkSettings
from detector.window import mixture
from tests.event_columns import batch_of

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START = 20_000 * DAY_MS
DAYS = 2
PUBLIC = 16
OWN = 1000  # templates from here on are one account's
BATCH = 5_000

Asked = tuple[I64, I64, I64]  # when, with which template, which text


class World:
    """Accounts that ask; `asks` returns what one does."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(102)
        self.records: list[AccountRecord] = []
        self.asked: list[Asked] = []
        for _ in range(600):
            self.add("p", self.rng.random() < 0.15, self.everyday())

    def add(self, kind: str, young: bool, asked: Asked) -> None:
        created = START - (DAY_MS // 2 if young else 200 * DAY_MS)
        self.records.append(AccountRecord(account_id=f"{kind}{len(self.records):03}", created_ms=created))
        self.asked.append(asked)

    def times(self, n: int, begin_ms: int = 0, length_ms: int = DAYS * DAY_MS) -> I64:
        return START + begin_ms + np.sort(self.rng.integers(0, length_ms, n))

    def some(self, prompts: I64, share: float, n: int) -> I64:
        """Of n requests this share ask one of the prompts, the others what nobody asks again."""
        own = OWN * (2 + len(self.records)) + np.arange(n)
        return np.where(self.rng.random(n) < share, self.rng.choice(prompts, n), own)

    def everyday(self) -> Asked:
        n = int(self.rng.poisson(32)) + 2
        liked = self.rng.choice(PUBLIC, min(PUBLIC, 1 + int(self.rng.geometric(1 / 5))), replace=False)
        return self.times(n), self.some(liked, 0.5, n), self.rng.integers(0, 1 << 40, n)

    def batches(self) -> Iterator[EventBatch]:
        who = np.repeat(np.arange(len(self.asked)), [len(asked[0]) for asked in self.asked])
        when, template, text = (np.concatenate([asked[i] for asked in self.asked]) for i in range(3))
        order = np.argsort(when, kind="stable")
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            used, account = np.unique(who[part], return_inverse=True)
            yield batch_of(
                when[part],
                account,
                tuple(str(self.records[a].account_id) for a in used.tolist()),
                event_id=mix(np.arange(start, start + len(part)).astype(np.uint64), 3) | np.uint64(1),
                prefix=mix(who[part].astype(np.uint64), 4),
                sketches_template=mix(template[part].astype(np.uint64), 5),
                sketches_text=mix(mix(template[part].astype(np.uint64), 6) ^ text[part].astype(np.uint64), 7),
                user_turns=np.ones(len(part)),
            )

    def findings(self) -> list[Finding]:
        pipeline = Pipeline(
            PipelineSettings(
                AccountSettings(link_partitions=1),
                LinkSettings(sources=1, filter_slots=1 << 15),
                CampaignSettings(sources=1),
            )
        )
        pipeline.learn(self.records)
        told = [message for batch in self.batches() for message in pipeline.feed(batch)] + pipeline.finish()
        return [msgspec.json.decode(m.value, type=Finding) for m in told if m.topic == "findings" and m.value]


def harvest(world: World) -> None:
    """Forty new accounts, from the second day on, with six of the sixteen."""
    chosen = world.rng.choice(PUBLIC, 6, replace=False)
    for _ in range(40):
        n = int(world.rng.poisson(45))
        world.add("h", True, (world.times(n, DAY_MS, DAY_MS), world.some(chosen, 1.0, n), np.arange(n) + 50 * n))


def popular_tool(world: World) -> None:
    """Two hundred users of all ages of a tool with three prompts, and twenty new ones who try it on the second day."""
    prompts = np.array([500, 501, 502])
    for number in range(220):
        new = number < 20
        n = int(world.rng.poisson(30))
        times = world.times(n, DAY_MS, DAY_MS) if new else world.times(n)
        texts = world.rng.integers(0, 1 << 40, n)
        world.add("t", new or bool(world.rng.random() < 0.15), (times, world.some(prompts, 0.6, n), texts))


def class_(world: World) -> None:
    """Sixty new accounts work through one sheet for 90 minutes: eight of the sixteen prompts, ten texts of each."""
    for _ in range(60):
        times = world.times(30, 34 * HOUR_MS, 3 * HOUR_MS // 2)
        world.add("c", True, (times, world.rng.choice(8, 30), world.rng.integers(0, 10, 30)))


def company(world: World) -> None:
    """The forty new keys of one customer, which work as the harvest does."""
    harvest(world)
    world.records[-40:] = [msgspec.structs.replace(record, org_id="acme") for record in world.records[-40:]]


def flagged(findings: list[Finding]) -> set[str]:
    return {account for f in findings if f.severity != "watch" for account in f.accounts_added}


def world_with(*parts: Callable[[World], None]) -> World:
    world = World()
    for part in parts:
        part(world)
    return world


def test_a_harvest_of_popular_prompts_is_found_by_its_mixture_alone() -> None:
    findings = world_with(harvest).findings()
    named = flagged(findings)
    assert sum(account[0] == "h" for account in named) >= 36
    assert sum(account[0] != "h" for account in named) <= 1  # a new one who likes five of the same six
    last = [f for f in findings if f.severity != "watch"][-1]
    assert {row["kind"] for row in last.evidence["links"]} == {"mixture"}


def test_without_its_mixture_nothing_finds_it() -> None:
    nothing = np.zeros(0, np.int64), np.zeros((0, mixture.BANDS), np.uint64)
    with mock.patch.object(mixture, "mixtures_of", return_value=nothing):
        assert not world_with(harvest).findings()


@pytest.mark.parametrize("harmless", [popular_tool, class_, company])
def test_harmless_accounts_with_one_mixture_are_not_flagged(harmless: Callable[[World], None]) -> None:
    assert not flagged(world_with(harmless).findings())

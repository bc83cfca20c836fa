"""Memory of stages 2 and 3 under endless unique templates and accounts: a long run shows a flat line.

    python -m tests.bench.links [--links 50000000] [--bounds 0.25] [--links-per-step 25000] [--profile]

One source and one link partition with a quarter of the default bounds, so that the flood meets all of one set of
them; a worker that owns several link partitions holds so many times as much of stage 2. Records are encoded as the
account stage encodes them and go through both stages as bytes. Of the links

    88 %  come from one account and never again, half of them from accounts that are as new
    10 %  from two accounts, the second up to twenty steps later
     2 %  from 5-20 young accounts that share one to six of them within half an hour: candidates

Rows are printed as they come, for tests/bench/README.md. The rate is of the two stages' CPU time, encoding left out.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from detector.campaign import candidate, observation
from detector.campaign.link import mix
from detector.campaign.observation import CAPABILITIES, AccountFacts, Judged, LinkKind, Observations, Pairs
from detector.event import I64, LABELS, U64
from detector.stages.campaigns import CampaignPartition, CampaignSettings
from detector.stages.links import LinkPartition, LinkSettings

DAY_MS: Final = 86_400_000
FIRST_STEP: Final = 20_000 * 1440
CUSTOMERS: Final = 50_000  # established accounts; the others are new, and endless
TWICE: Final = 0.10
SHARED: Final = 0.02
SINGLE_LINKS_EACH: Final = 4  # of a new account that shares nothing
KINDS: Final = np.array([LinkKind.TEMPLATE, LinkKind.TEXT, LinkKind.FRAGMENT, LinkKind.HEAD, LinkKind.ADDRESS])
Settings = TypeVar("Settings", LinkSettings, CampaignSettings)
Uses = tuple[U64, I64]  # link numbers, account numbers


@dataclass
class Flood:
    """The records of one source, step after step; the same seed gives the same bytes."""

    links_per_step: int = 25_000
    seed: int = 1
    links: int = 0  # distinct ones so far
    accounts: int = CUSTOMERS
    _later: dict[int, list[Uses]] = field(default_factory=lambda: defaultdict(list))

    def records(self) -> Iterator[bytes]:
        """Yield one record a step, without end."""
        step = 0
        while True:
            rng = np.random.default_rng([self.seed, step])
            self._appear(rng, step)
            link, account = (np.concatenate(column) for column in zip(*self._later.pop(step), strict=True))
            yield observation.encode(self._observed(rng, FIRST_STEP + step, link, account))
            step += 1

    def _appear(self, rng: np.random.Generator, step: int) -> None:
        """Draw the links that are new in a step, and who uses them when."""
        shared = int(SHARED * self.links_per_step)
        twice = int(TWICE * self.links_per_step)
        single = self._numbers(self.links_per_step - shared - twice)
        half = len(single) // 2
        fresh = self.accounts + np.arange(half) // SINGLE_LINKS_EACH
        self.accounts = int(fresh[-1]) + 1
        self._later[step].append((single[:half], fresh))
        self._later[step].append((single[half:], rng.integers(0, CUSTOMERS, len(single) - half)))
        pairs = self._numbers(twice)
        self._later[step].append((pairs, rng.integers(0, self.accounts, twice)))
        for later, chosen in _by_value(step + rng.integers(0, 20, twice)):
            self._later[later].append((pairs[chosen], rng.integers(0, self.accounts, len(chosen))))
        while shared > 0:
            links, size = self._numbers(min(shared, int(rng.integers(1, 7)))), int(rng.integers(5, 21))
            shared -= len(links)
            members = self.accounts + np.arange(size)
            self.accounts += size
            link, member = np.repeat(links, size), np.tile(members, len(links))
            for later, chosen in _by_value(step + rng.integers(0, 30, len(link))):
                self._later[later].append((link[chosen], member[chosen]))

    def _numbers(self, count: int) -> U64:
        self.links += count
        return np.arange(self.links - count, self.links, dtype=np.uint64)

    def _observed(self, rng: np.random.Generator, step: int, link: U64, account: I64) -> Observations:
        once = np.unique(np.stack([account, link.astype(np.int64)]), axis=1)
        account, link = once[0], once[1].astype(np.uint64)
        value = mix(link + np.uint64(self.seed << 40), 7) | np.uint64(1)
        who, index = np.unique(account, return_inverse=True)
        kind = KINDS[(value >> np.uint64(33)) % np.uint64(len(KINDS))]
        n, end_ms = len(value), step * 60_000
        at_ms = end_ms + rng.integers(0, 60_000, n)
        young = who >= CUSTOMERS
        zeros = np.zeros(len(who))
        asked = np.bincount(index, minlength=len(who))
        facts = AccountFacts(
            ids=tuple(f"account-{number:09x}" for number in who.tolist()),
            created_ms=np.where(young, FIRST_STEP * 60_000 - DAY_MS, FIRST_STEP * 60_000 - 200 * DAY_MS),
            first_seen_ms=np.full(len(who), end_ms),
            status_ms=np.full(len(who), -1),
            org=zeros.astype(np.uint64),
            prefix=mix(who.astype(np.uint64), 9),
            tier=zeros.astype(np.int8),
            status=zeros.astype(np.int8),
            requests=asked,
            output_tokens=500 * asked,
            requests_24h=asked.astype(np.float32),
            active_hours_24h=np.ones(len(who), np.float32),
            refused_24h=zeros.astype(np.float32),
            single_turn_24h=asked.astype(np.float32),
            score=zeros.astype(np.float32),
            capabilities=np.zeros((len(who), len(CAPABILITIES)), np.int32),
            labels=np.zeros((len(who), len(LABELS)), np.int32),
        )
        ones = np.ones(n, np.int32)
        pairs = Pairs(
            account=index.astype(np.int32),
            kind=kind.astype(np.uint8),
            value=value,
            count=ones,
            items=ones,
            item=rng.integers(1, 1 << 63, n, dtype=np.uint64),
            output_tokens=np.full(n, 500),
            first_ms=at_ms,
            last_ms=at_ms,
        )
        return Observations(0, step, facts, pairs, _NOBODY, ())


_NOBODY: Final = Judged(
    np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 0), np.float32), ()
)


def _by_value(steps: I64) -> Iterator[tuple[int, I64]]:
    order = np.argsort(steps, kind="stable")
    found, starts = np.unique(steps[order], return_index=True)
    yield from zip(found.tolist(), np.split(order, starts[1:]), strict=True)


class Stages:
    """One link partition and the campaign partition."""

    def __init__(self, links: LinkSettings, campaigns: CampaignSettings) -> None:
        """Start both from nothing."""
        self.links = LinkPartition(replace(links, sources=1))
        self.campaigns = CampaignPartition(replace(campaigns, sources=1))
        self.findings = 0

    def absorb(self, record: bytes) -> None:
        """Let a record pass through both."""
        for found in self.links.absorb(record):
            said = self.campaigns.absorb(candidate.encode(replace(found, source=0)))
            self.findings += len(said)

    def sizes(self) -> dict[str, int]:
        """Return the rows of every table."""
        sizes = {
            f"{name} {table}": len(getattr(stage, table))
            for name, stage in (("stage 2", self.links), ("stage 3", self.campaigns))
            for table in ("accounts", "links", "edges")
        }
        return {**sizes, "campaigns": len(self.campaigns.campaigns), "findings": self.findings}


def bounded(settings: Settings, share: float) -> Settings:
    """Return the settings with so much of the bounds of tables."""
    names = [name for name in settings.__dataclass_fields__ if name.startswith("most_")]
    return replace(settings, **{name: int(share * getattr(settings, name)) for name in names})


def rss_mb() -> int:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000


def main() -> None:
    """Run the flood and print a row now and then."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--links", type=int, default=50_000_000)
    parser.add_argument("--bounds", type=float, default=0.25, help="share of the default bounds")
    parser.add_argument("--links-per-step", type=int, default=25_000)
    parser.add_argument("--every", type=int, default=2_500_000, help="links between two rows")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    flood = Flood(options.links_per_step)
    stages = Stages(bounded(LinkSettings(), options.bounds), bounded(CampaignSettings(), options.bounds))
    columns = ("links seen", "account ids seen", "RSS MB", *stages.sizes(), "links/s")
    print("| " + " | ".join(columns) + " |\n|" + "---:|" * len(columns), flush=True)
    profiler = cProfile.Profile(time.process_time)
    seconds, before = 0.0, 0
    for record in flood.records():
        started = time.process_time()
        if options.profile:
            profiler.enable()
        stages.absorb(record)
        profiler.disable()
        seconds += time.process_time() - started
        if flood.links // options.every > before // options.every or flood.links >= options.links:
            rate = (flood.links - before) / max(seconds, 1e-9)
            row = (flood.links, flood.accounts, rss_mb(), *stages.sizes().values(), int(rate))
            print("| " + " | ".join(f"{number:,}" for number in row) + " |", flush=True)
            seconds, before = 0.0, flood.links
        if flood.links >= options.links:
            break
    print("dropped at bounds:", {**stages.links.counts, **stages.campaigns.dropped})
    if options.profile:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(30)


if __name__ == "__main__":
    main()

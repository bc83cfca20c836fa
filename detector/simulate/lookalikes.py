"""The harmless things that look like a campaign (domain.md): each a cohort of its own name.

All of it is invention in its sizes and frequencies; the behaviours are the ones everybody who runs an
API knows. Several are more suspicious than a careful campaign: a class is dozens of new accounts with
one prompt on one network in one hour; benchmark items are asked by many organisations, each once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from detector.simulate import writers
from detector.simulate.actors import DAY_MS, FLAT, FOREVER_MS, HOUR_MS, NIGHTLY, OFFICE, PEOPLE
from detector.simulate.benign import (
    API,
    API_TIERS,
    BARE,
    as_api_client,
    as_developers,
    as_people,
    capability,
    set_values,
)
from detector.simulate.clients import SDKS, hashed, picks
from detector.simulate.grammar import mixed64
from detector.simulate.networks import NETWORKS
from detector.simulate.setting import Setting

# one evaluation harness, used by most: its client, its parameters, and the public benchmarks it runs
_EVALUATION_CLIENT: Final = SDKS[2][:2]
BENCHMARKS: Final = 9


def nightly_evaluations(setting: Setting) -> None:
    """Research groups and companies run public benchmark items every night: the same texts, each once a run."""
    rng = setting.rng("nightly_evaluations")
    table = setting.joined(
        rng, "nightly_evaluation", setting.count(0.0035, 8), "campus", tiers=API_TIERS, daily=0.01, programme="research"
    )
    count = len(table)
    set_values(
        table,
        sessions_per_day=rng.choice([1.0, 1.0, 0.3, 3.0], count),
        curve=NIGHTLY + rng.integers(0, 6, count),
        turns=np.exp(rng.normal(np.log(350.0), 0.9, count)),
        turns_sigma=0.02,
        gap_s=rng.uniform(0.1, 2.0, count),
        gap_sigma=0.4,
        input=420.0,
        input_sigma=0.5,
        output=rng.choice([4.0, 220.0, 400.0], count),
        output_sigma=0.6,
        model=rng.integers(0, 3, count),
        writer=writers.BENCHMARK,
        key=1 + rng.integers(0, BENCHMARKS, count),
        host=rng.integers(1, 60_000, count),
        hosts=2,
        capability=capability("reasoning"),
    )
    table["shape"] = setting.shapes.add(
        BARE, _EVALUATION_CLIENT, operation="chat", temperature=0.0, max_tokens=1024, seed=1234, src="api"
    )
    own = rng.random(count) < 0.3
    table["shape"][own] = setting.shapes.add(
        BARE,
        SDKS[6][:2],
        operation="completion",
        temperature=0.0,
        max_tokens=32,
        logprobs=True,
        top_logprobs=5,
        src="api",
    )
    setting.adopts(rng, table, 0.8, 1.0)
    setting.join("nightly_evaluation", table)


def build_fleets(setting: Setting) -> None:
    """Review bots in build pipelines: bursts after pushes, a fresh cloud address per job, a shared action's prompt."""
    rng = setting.rng("build_fleets")
    table = setting.joined(
        rng, "ci_fleet", setting.count(0.005, 6), "cloud", tiers=("team", "api-1", "api-2", "api-3"), daily=0.01
    )
    count = len(table)
    set_values(
        table,
        sessions_per_day=np.minimum(np.exp(rng.normal(np.log(15.0), 1.2, count)), 400),
        curve=OFFICE,
        weekend=0.15,
        turns=4.0,
        turns_sigma=0.9,
        gap_s=1.5,
        gap_sigma=1.0,
        input=3800.0,
        input_sigma=0.9,
        output=260.0,
        output_sigma=0.6,
        cached=0.3,
        writer=writers.REVIEW,
        host=1,
        hosts=60_000,
        day_sigma=0.7,
        capability=capability("coding"),
        key=np.where(rng.random(count) < 0.6, 41, rng.integers(100, 1 << 40, count)),
        fails=0.008,
        retries=4,
    )
    shared = setting.shapes.add(
        API,
        ("review-action/3.2 AsyncOpenAI/Python", SDKS[2][1]),
        operation="chat",
        temperature=0.2,
        max_tokens=2000,
        system_hash=hashed(41),
        src="api",
    )
    setting.sdk_shapes(rng, table, API)
    table["shape"] = np.where(table["key"] == 41, shared, table["shape"])
    setting.join("ci_fleet", table)


def offices(setting: Setting) -> None:
    """Companies behind one address: 10 to 200 accounts of one organisation, who copy from each other."""
    rng = setting.rng("offices")
    for number, size in enumerate(_sizes(rng, setting.count(0.06, 24), 10, 200)):
        prefix = NETWORKS.pick(rng, "office", 1)
        ages = np.minimum(np.exp(rng.normal(5.2, 0.8, size)), 1200.0)
        arrives = rng.random(size) < 0.1  # new staff, or a roll-out while we watch
        created = np.where(
            arrives, setting.begin_ms + (rng.random() * setting.days * DAY_MS), setting.begin_ms - ages * DAY_MS
        ).astype(np.int64) + rng.integers(0, 6 * HOUR_MS, size)
        table = setting.made(
            rng,
            "office",
            created,
            np.repeat(prefix, size),
            tiers=("team",),
            org=f"org_{mixed64(number * 7 + setting.seed):010x}",
            domain=f"company{number}.example",
            payment=f"pay_{mixed64(number * 7 + setting.seed + 1):012x}",
            verified=0.95,
            signup_ip=NETWORKS.text(int(prefix[0]) << 16 | 900 + number),
            card_bin=None,
        )
        host, shift = 900 + number % 50_000, float(NETWORKS.utc_offset_h[prefix[0]])
        if rng.random() < 0.4:
            as_developers(rng, setting, table, 0.5)
        else:
            as_people(rng, setting, table, 0.3)
            ours = rng.random(size) < 0.3  # those who use the prompt that hangs on the intranet
            set_values(
                table, key=np.where(ours, mixed64(number + 3), 0), writer=np.where(ours, writers.TOOL, writers.CHAT)
            )
        set_values(table, curve=OFFICE, weekend=0.1, prefix=prefix[0], host=host, hosts=1, roams=0.15, shift_h=shift)
        setting.adopts(rng, table, 0.2, 6.0)
        setting.join("office", table)


def companies(setting: Setting) -> None:
    """One organisation, 3 to 40 accounts (teams, regions): one template, payment and network, even load."""
    rng = setting.rng("companies")
    for number, size in enumerate(_sizes(rng, setting.count(0.012, 9), 3, 40)):
        prefix = NETWORKS.pick(rng, "cloud", 1)
        created = setting.begin_ms - np.int64(rng.exponential(300) * DAY_MS) - rng.integers(1, 5 * HOUR_MS, size)
        if rng.random() < 0.3:  # a young company
            created += np.int64(setting.begin_ms + rng.random() * setting.days * DAY_MS) - created.max()
        table = setting.made(
            rng,
            "company_accounts",
            created,
            np.repeat(prefix, size),
            tiers=("api-3", "api-4"),
            org=f"org_{mixed64(number * 11 + setting.seed):010x}",
            domain=f"firm{number}.example",
            payment=f"pay_{mixed64(number * 11 + setting.seed + 1):012x}",
            verified=0.95,
        )
        as_api_client(rng, setting, table, 60.0, 0.3)
        first = table[0]
        for name in (
            "shape",
            "writer",
            "key",
            "model",
            "curve",
            "weekend",
            "input",
            "input_sigma",
            "output",
            "output_sigma",
            "cached",
            "gap_s",
            "gap_sigma",
        ):
            table[name] = first[name]
        set_values(table, host=700 + number % 50_000, hosts=4, day_sigma=0.3)
        setting.join("company_accounts", table)


def bulk_jobs(setting: Setting) -> None:
    """Bulk classification and retrieval backfills: now and then a hundred times an ordinary day, then silence."""
    rng = setting.rng("bulk_jobs")
    table = setting.joined(
        rng, "bulk_classification", setting.count(0.0016, 4), "cloud", tiers=API_TIERS[2:], daily=0.01
    )
    as_api_client(rng, setting, table, 40.0, 1.0)
    count = len(table)
    set_values(
        table,
        sessions_per_day=0.35,
        turns=np.exp(rng.normal(np.log(2500.0), 0.8, count)),
        turns_sigma=0.3,
        gap_s=0.35,
        gap_sigma=0.5,
        input_sigma=0.25,
        output=rng.choice([3.0, 12.0, 60.0], count),
        output_sigma=0.1,
        curve=FLAT,
        day_sigma=1.6,
        ramp_days=0,
    )
    setting.join("bulk_classification", table)
    table = setting.joined(rng, "retrieval_backfill", setting.count(0.001, 3), "cloud", tiers=API_TIERS[2:], daily=0.01)
    as_api_client(rng, setting, table, 40.0, 1.0)
    set_values(
        table,
        sessions_per_day=0.25,
        turns=2200.0,
        turns_sigma=0.7,
        gap_s=0.2,
        gap_sigma=0.4,
        input=480.0,
        input_sigma=0.2,
        output=1.0,
        output_sigma=0.0,
        model=3,
        writer=writers.SILENT,
        curve=FLAT,
        ramp_days=0,
        cached=0.0,
    )
    for row, client in enumerate(picks(rng, SDKS, len(table)).tolist()):
        table["shape"][row] = setting.shapes.add(BARE, SDKS[client][:2], operation="embeddings", src="api")
    setting.join("retrieval_backfill", table)


def licensed_synthetic_data(setting: Setting) -> None:
    """Customers who make synthetic training data under licence: a harvest in everything but the licence."""
    rng = setting.rng("licensed_synthetic_data")
    for number, size in enumerate(_sizes(rng, setting.count(0.0012, 4), 1, 5)):
        prefix = NETWORKS.pick(rng, "cloud", 1)
        created = setting.begin_ms - rng.integers(DAY_MS, 200 * DAY_MS, size)
        if number % 3 == 1:
            created += np.int64(rng.random() * setting.days * DAY_MS) + 200 * DAY_MS
        table = setting.made(
            rng,
            "licensed_synthetic_data",
            created,
            np.repeat(prefix, size),
            tiers=("enterprise", "api-5"),
            org=f"org_{mixed64(number * 17 + setting.seed):010x}",
            payment=f"pay_{mixed64(number * 17 + setting.seed + 1):012x}",
            verified=1.0,
        )
        set_values(
            table,
            sessions_per_day=0.7,
            turns=600.0,
            turns_sigma=0.9,
            gap_s=1.5,
            gap_sigma=0.8,
            input=900.0,
            input_sigma=0.3,
            output=1100.0,
            output_sigma=0.4,
            curve=FLAT,
            day_sigma=1.0,
            writer=writers.SYNTHETIC,
            key=1 + mixed64(number + setting.seed * 5) % (1 << 40),
            host=77 + number,
            hosts=3,
            capability=capability("writing"),
        )
        table["shape"] = setting.shapes.add(
            BARE, SDKS[number % 3][:2], operation="chat", temperature=1.0, n=1 + number % 4, max_tokens=4096, src="api"
        )
        setting.join("licensed_synthetic_data", table)


def classes(setting: Setting) -> None:
    """A class: 20 to 120 new accounts, one assignment, one hour, one campus network; some come back later."""
    rng = setting.rng("classes")
    for number in range(max(2, round(setting.days * 0.9 * setting.benign_accounts / 36_000))):
        size = int(np.clip(np.exp(rng.normal(3.7, 0.5)), 20, 120))
        begin = _school_hour(rng, setting, first=number == 0)
        prefix = NETWORKS.pick(rng, "campus", 1)
        new = rng.random(size) < 0.8
        created = np.where(
            new, begin - rng.exponential(12 * 60_000, size), setting.begin_ms - rng.exponential(90 * DAY_MS, size)
        ).astype(np.int64)
        table = setting.made(
            rng,
            "class",
            created,
            np.repeat(prefix, size),
            tiers=("free",),
            domain=f"students{number}.example.edu" if rng.random() < 0.7 else None,
            programme="education" if rng.random() < 0.4 else None,
            verified=0.4,
            signup_ip=NETWORKS.text(int(prefix[0]) << 16 | 40 + number % 9),
        )
        as_people(rng, setting, table, 0.02)
        set_values(table, shift_h=float(NETWORKS.utc_offset_h[prefix[0]]), host=40 + number % 9, hosts=2)
        setting.join("class-later", table.copy())
        set_values(
            table,
            sessions_per_day=30.0 + 10 * rng.random(size),
            curve=FLAT,
            weekend=1.0,
            turns=5.0,
            turns_sigma=0.6,
            gap_s=80.0,
            roams=0.03,
            writer=writers.STUDENT,
            key=1 + mixed64(number * 19 + setting.seed) % (1 << 40),
            start_ms=np.maximum(table["start_ms"], begin - rng.integers(0, 6 * 60_000, size)),
        )
        table["end_ms"] = begin + HOUR_MS + rng.integers(0, 8 * 60_000, size)
        setting.join("class", table)


def hackathons(setting: Setting) -> None:
    """A hackathon: a weekend, a hundred new accounts with a sponsor's credit and starter kit, at one venue."""
    rng = setting.rng("hackathons")
    for number in range(max(1, round(setting.days / 7 * setting.benign_accounts / 36_000))):
        size = int(rng.integers(40, 160))
        week = int(rng.integers(0, max(1, int(setting.days // 7) + 1))) if number else 0
        begin = setting.begin_ms + int(min(3 + 7 * week, max(setting.days - 0.5, 0) * 0.5) * DAY_MS) + 9 * HOUR_MS
        prefix = NETWORKS.pick(rng, "office", 1)
        created = (begin - rng.exponential(2 * HOUR_MS, size)).astype(np.int64)
        table = setting.made(
            rng,
            "hackathon",
            created,
            np.repeat(prefix, size),
            tiers=("api-1",),
            programme="startup",
            verified=0.5,
            signup_ip=NETWORKS.text(int(prefix[0]) << 16 | 20 + number),
            payment=f"credit_{mixed64(number + setting.seed):010x}",
            card_bin=None,
        )
        set_values(
            table,
            end_ms=begin + 2 * DAY_MS,
            sessions_per_day=np.exp(rng.normal(1.8, 0.9, size)),
            curve=PEOPLE,
            turns=8.0,
            turns_sigma=0.9,
            gap_s=25.0,
            gap_sigma=1.3,
            input=800.0,
            input_sigma=1.0,
            output=250.0,
            output_sigma=0.8,
            writer=writers.HACKER,
            key=800_000 + number,
            host=20 + number,
            hosts=2,
            capability=-1,
            shift_h=float(NETWORKS.utc_offset_h[prefix[0]]),
        )
        table["shape"] = setting.shapes.add(
            API, SDKS[number % 5][:2], operation="chat", system_hash=hashed(800_000 + number), src="api"
        )
        setting.join("hackathon", table)


def release_day(setting: Setting) -> None:
    """Everybody tries the new model on its day: people of all ages, and new accounts that mostly leave again."""
    if setting.release_ms >= FOREVER_MS or setting.release_ms >= setting.end_ms:
        return
    rng = setting.rng("release_day")
    old, new = setting.count(0.02, 12), setting.count(0.015, 10)
    created = np.concatenate(
        [
            setting.begin_ms - np.minimum(np.exp(rng.normal(5.2, 1.2, old)), 1400) * DAY_MS,
            setting.release_ms + rng.exponential(14 * HOUR_MS, new),
        ]
    ).astype(np.int64)
    table = setting.made(
        rng, "release_day", created, NETWORKS.pick(rng, "home", old + new), tiers=("free", "free", "pro")
    )
    as_people(rng, setting, table, 0.05)
    setting.adopts(rng, table, 1.0, 1.0)
    setting.join("release_day-otherwise", table.copy())
    table["start_ms"] = np.maximum(setting.release_ms, table["start_ms"])
    set_values(
        table,
        end_ms=table["start_ms"] + 36 * HOUR_MS,
        adopt_ms=setting.release_ms,
        sessions_per_day=4.0,
        turns=4.0,
        turns_sigma=0.8,
        gap_s=45.0,
        writer=writers.CURIOUS,
        input=60.0,
    )
    setting.join("release_day", table)


def retry_storms(setting: Setting) -> None:
    """Clients without back-off: when we fail, each of their requests comes back once a second."""
    rng = setting.rng("retry_storms")
    table = setting.joined(rng, "retry_storm", setting.count(0.0025, 5), "cloud", tiers=API_TIERS, daily=0.006)
    as_api_client(rng, setting, table, 150.0, 1.0)
    set_values(table, retries=rng.integers(15, 240, len(table)), curve=FLAT, day_sigma=0.3)
    setting.join("retry_storm", table)


def mobile_carriers(setting: Setting) -> None:
    """People whose carrier puts them behind a hundred addresses, and people behind VPN exits: shared by strangers."""
    rng = setting.rng("mobile_carriers")
    for kind, share in (("mobile", 0.05), ("vpn", 0.012)):
        table = setting.joined(rng, "shared_address", setting.count(share, 6), kind, tiers=("free", "free", "pro"))
        as_people(rng, setting, table, 0.06)
        setting.adopts(rng, table, 0.15, 8.0)
        setting.join(f"shared_address-{kind}", table)


def _sizes(rng: np.random.Generator, total: int, least: int, most: int) -> list[int]:
    """Cut `total` accounts into organisations of heavy-tailed sizes."""
    sizes: list[int] = []
    while sum(sizes) < total:
        sizes.append(int(np.clip(least * np.exp(rng.exponential(0.8)), least, most)))
    return sizes


def _school_hour(rng: np.random.Generator, setting: Setting, *, first: bool) -> int:
    """A full hour between 7 and 16 UTC, of the first day or of any; earlier where the simulation is shorter."""
    day = 0 if first else int(rng.integers(0, max(1, int(setting.days))))
    hours = min(7 + int(rng.integers(0, 10)), max(int(setting.days * 24) - 2, 0))
    return setting.begin_ms + day * DAY_MS + hours * HOUR_MS


LOOKALIKES: Final[tuple[Callable[[Setting], None], ...]] = (
    nightly_evaluations,
    build_fleets,
    offices,
    companies,
    bulk_jobs,
    licensed_synthetic_data,
    classes,
    hackathons,
    release_day,
    retry_storms,
    mobile_carriers,
)

"""Events per CPU second through the account stage, without text.

    python -m tests.bench.accounts [dense|slow] [profile] [durable] [partitions=24] [links=8]

dense  20,000 accounts, batches of 20,000 events, a quarter of a million events per second of event time
slow   6,500 accounts at 60 events a day with a heavy tail (Pareto 1.1), 24 request partitions
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time

import numpy as np

from detector.event import EventBatch
from detector.stages.accounts import AccountSettings, AccountStage
from tests.event_columns import batch_of

BATCH = 20_000


def stream(kind: str, batches: int, partitions: int) -> list[EventBatch]:
    """Return a stream of plain events, from a fixed seed."""
    rng = np.random.default_rng(1)
    accounts = 20_000 if kind == "dense" else 6_500
    weight = np.ones(accounts) if kind == "dense" else rng.pareto(1.1, accounts) + 0.1
    per_second = 250_000.0 if kind == "dense" else accounts * 60 / 86_400
    total = batches * BATCH
    who = rng.choice(accounts, total, p=weight / weight.sum()).astype(np.int32)
    when = 1_770_000_000_000 + (np.cumsum(rng.exponential(1000 / per_second, total))).astype(np.int64)
    when -= rng.integers(0, 2000, total)
    hashes = rng.integers(1, 1 << 63, (8, accounts), dtype=np.uint64)
    ids = np.array([f"acct-{i:06d}" for i in range(accounts)], object)
    result = []
    for start in range(0, total, BATCH):
        part = slice(start, start + BATCH)
        used, index = np.unique(who[part], return_inverse=True)
        account = who[part]
        result.append(
            batch_of(
                when[part],
                index,
                tuple(ids[used].tolist()),
                event_id=rng.integers(1, 1 << 63, BATCH, dtype=np.uint64),
                partition=account % partitions,
                models=("large", "small"),
                model=rng.integers(0, 2, BATCH),
                system=hashes[0, account % 50],
                tools=hashes[1, account % 20],
                address=hashes[2, account],
                prefix=hashes[3, account],
                asn=account % 100 + 1,
                user_agent=hashes[5, account % 30],
                tls=hashes[6, account % 30],
                input_tokens=rng.integers(50, 5000, BATCH),
                output_tokens=rng.integers(10, 2000, BATCH),
                max_tokens=np.full(BATCH, 1024),
                temperature=np.full(BATCH, 0.7),
                user_turns=rng.integers(1, 4, BATCH),
                outcome=np.where(rng.random(BATCH) < 0.01, 4, 0),
            )
        )
    return result


def main(kind: str, *, profile: bool, batches: int, partitions: int, link_partitions: int, durable: bool) -> None:
    """Run one stream and print the rate."""
    events = stream(kind, batches, partitions)
    stage = AccountStage(AccountSettings(link_partitions=link_partitions), durable=durable)
    for partition in range(partitions):
        stage.assign(partition, {})
    profiler = cProfile.Profile(time.process_time)
    start = time.process_time()
    if profile:
        profiler.enable()
    records = size = 0
    for number, batch in enumerate(events):
        stage.absorb(batch)
        if number % 10 == 9:
            for partition in range(partitions):
                out = stage.drain(partition)[1]
                records, size = records + len(out), size + sum(len(message.value or b"") for message in out)
    stage.finish()
    profiler.disable()
    seconds = time.process_time() - start
    print(
        f"{kind}: {batches * BATCH / seconds:,.0f} events/s over {batches} batches, {partitions} partitions,"
        f" {link_partitions} link partitions, durable={durable}; {records} records, {size / 1e6:.1f} MB,"
        f" judged {stage.counts['judged']}"
    )
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    options = [option for option in sys.argv[1:] if "=" not in option]
    numbers = dict(option.split("=") for option in sys.argv[1:] if "=" in option)
    for each in ("dense", "slow"):
        if each in options or not {"dense", "slow"} & set(options):
            main(
                each,
                profile="profile" in options,
                batches=40 if each == "dense" else 20,
                partitions=int(numbers.get("partitions", 1 if each == "dense" else 24)),
                link_partitions=int(numbers.get("links", 8)),
                durable="durable" in options,
            )

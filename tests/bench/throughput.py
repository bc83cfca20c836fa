"""`make bench`: events per second from Kafka to findings, beside a stock Faust agent, a replay, and bare reading.

    python -m tests.bench.throughput [--events 500000] [--scale 1] [--slower 100] [--rules-events 40000]

One simulated world without campaigns is put into 4 partitions of Apache Kafka before anything is measured, twice:
*plain*, which is who, when, from where, with which parameters and how many tokens; and *sketched*, which is the
same events with the gateway's sketch of each prompt (content links: some ten more things that accounts can share,
most of them never seen before). A third stream, *prompts*, has their text instead, repeated up to 2,000 characters, and
fewer events. Time passes `slower` than simulated, for some 1,000 events per
second of event time: a worker that takes more would see a denser stream, in which more falls together.

`ours, live` is the process that production runs (`detector run`: real pipeline, Redis with an append-only file,
findings to Kafka), one worker, its figures from its own /metrics: from the first event counted to the moment when
all are counted and no stage has lag. The others are `contenders.py`. Nothing is warmed up and the best of nothing
is taken; broker and Redis share the machine's cores, which events per second suffer from and events per core (CPU
time of the measured process alone) do not. Each works through the whole of a stream, because windows that close cost
more than windows that fill; but the rules engine through its first `rules-events`, since it would take the longest by
far and has no target. What the two spend on a contender stands beside it: CPU seconds per million
events, and what Redis holds afterwards for each account of as many events. Peak MB per account is the whole process,
so for few accounts mostly what there is without any (`make bench-accounts` tells them apart).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis as Store
from rich.console import Console
from rich.table import Table

from detector import config as configuration
from detector import metrics
from detector.config import Config
from detector.decoders import partitions_of
from detector.errors import Unavailable
from detector.runtime import servers, topics
from detector.runtime.demo import Worker
from detector.runtime.sketching import sketched
from detector.simulate import simulate
from tests.bench.contenders import (
    CHUNK,
    Measured,
    alone,
    chunks_of,
    cpu_seconds,
    elsewhere,
    peak_bytes,
    reading,
    replayed,
    rules,
    stock,
)
from tests.bench.settings import PARTITION_SETTINGS, end_on_sigterm

SCENARIO: Final = "quiet"
STREAMS: Final = ("plain", "sketched", "prompts")
PROMPT_CHARACTERS: Final = 2_000
OF_PROMPTS: Final = ("live", "replay", "floor", "stock", "rules")
CONTENDERS: Final = ("live", "replay", "floor", "stock", "rules", "quix", "bytewax")
OURS: Final = "ours, live"
REPLAY: Final = "ours, replay, its start included"
REPLAY_ON: Final = "ours, replay, from a fifth of the stream on"
FLOOR: Final = "aiokafka and msgspec"
STOCK: Final = "stock Faust agent"
RULES: Final = "rules engine"
QUIX: Final = "Quix Streams"
BYTEWAX: Final = "Bytewax"
TARGET_PER_CORE: Final = {"plain": 100_000, "sketched": 100_000, "prompts": 25_000}
TARGET_REPLAY: Final = 150_000  # plain events
TARGET_OF_FLOOR: Final = 0.4
TARGET_RATIO: Final = {STOCK: 20, QUIX: 15, BYTEWAX: 15}
PATIENCE_SECONDS: Final = 240.0
_LOOK_SECONDS: Final = 0.5  # each look has the worker write out its metrics, at a hundredth of a second


class _Keyed(msgspec.Struct):
    account_id: str


@dataclass(frozen=True, slots=True)
class Row:
    """What a contender measured, and what its servers spent on it; None where it has none."""

    measured: Measured
    accounts: int
    redis_seconds: float | None
    redis_bytes: int | None
    kafka_seconds: float | None


_keyed = msgspec.json.Decoder(_Keyed)
_event = msgspec.json.Decoder(dict[str, Any])


def main(arguments: list[str]) -> int:
    """Measure, print the table; return 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="throughput", description="events per second from Kafka to findings")
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rules-events", type=int, default=40_000)
    parser.add_argument("--prompt-events", type=int, default=100_000, help="with text")
    parser.add_argument("--scale", type=float, default=1.0, help="of the simulated world: 1 is some 38,000 accounts")
    parser.add_argument("--slower", type=int, default=100, help="event time runs so many times slower than simulated")
    parser.add_argument("--only", default=",".join(CONTENDERS), help="what to measure, separated by commas")
    parser.add_argument("--elsewhere", type=Path, help="a Python that has requirements-elsewhere.txt")
    parser.add_argument("--streams", default=",".join(STREAMS), help="of which streams, separated by commas")
    options = parser.parse_args(arguments)
    end_on_sigterm()
    console = Console() if sys.stdout.isatty() else Console(width=140)
    with tempfile.TemporaryDirectory(prefix="detector-bench-", ignore_cleanup_errors=True) as name:
        folder, began = Path(name), time.monotonic()
        span_s = record(folder, options.events, options.scale, options.slower, options.prompt_events)
        console.print(f"{options.events:,} events in {span_s:,.0f} s of event time", style="dim")
        results: dict[tuple[str, str], Row] = {}
        for stream in options.streams.split(","):
            for contender, row in compared(stream, folder, options):
                results[contender, stream] = row
                console.print(f"{stream}: {contender} after {time.monotonic() - began:.0f} s", style="dim")
    console.print(table(results))
    missed = 0
    for said, met in targets(results):
        console.print(f"{said}: [bold]{'met' if met else 'MISSED'}[/]")
        missed += not met
    return 1 if missed else 0


def compared(stream: str, folder: Path, options: argparse.Namespace) -> Iterator[tuple[str, Row]]:
    """Yield what each contender does with a stream, on a broker and a store of their own."""
    events, accounts = folder / f"{stream}.ndjson", folder / "accounts.ndjson"
    chosen, number = options.only.split(","), options.events
    if stream == "prompts":
        chosen, number = [one for one in chosen if one in OF_PROMPTS], min(options.prompt_events, number)
    if not options.elsewhere:
        chosen = [one for one in chosen if one not in ("quix", "bytewax")]
    with servers.redis(folder / f"redis-{stream}") as redis, servers.kafka(folder / f"kafka-{stream}") as kafka:
        environment = {
            **PARTITION_SETTINGS,
            "DETECTOR_KAFKA_BROKERS": kafka.address,
            "DETECTOR_STORE_URL": redis.url,
            "DETECTOR_TOPICS_REPLICATION": "1",
            "DETECTOR_WEB_PORT": str(servers.free_port()),
        }
        config = configuration.load(None, {**os.environ, **environment})
        topics.create_all(config)
        for topic, file in ((config.topics.accounts, accounts), (config.topics.requests, events)):
            send(config, topic, file)
        requests, other = config.topics.requests, options.elsewhere
        every = str(number)

        def row(work: Callable[[], Measured], broker: servers.Server | None, store: servers.RedisServer | None) -> Row:
            return beside(work, events, broker, store)

        if "live" in chosen:
            worker = folder / f"worker-{stream}"
            yield OURS, row(lambda: live(environment, worker, config.web.port, number), kafka, redis)
        if "replay" in chosen:
            given = replayed, events, accounts, config.pipeline()
            yield REPLAY, row(lambda: alone(*given), None, None)
            yield REPLAY_ON, row(lambda: alone(*given, number // 5), None, None)
        if "floor" in chosen:
            yield FLOOR, row(lambda: alone(reading, kafka.address, requests, number), kafka, None)
        fewer = min(options.rules_events, number)
        for name, contender, work, most in ((STOCK, "stock", stock, number), (RULES, "rules", rules, fewer)):
            if contender in chosen:
                with servers.redis(folder / f"redis-{stream}-{contender}") as own:
                    given = work, kafka.address, own.url, requests, most
                    yield name, row(lambda given=given: alone(*given), kafka, own)
        if "quix" in chosen:
            yield QUIX, row(lambda: elsewhere(other, "quix", kafka.address, requests, every), kafka, None)
        if "bytewax" in chosen:
            yield BYTEWAX, row(lambda: elsewhere(other, "bytewax", str(events), every), None, None)


def beside(
    work: Callable[[], Measured], file: Path, kafka: servers.Server | None, redis: servers.RedisServer | None
) -> Row:
    """Return what `work` measures, with what its servers spent meanwhile; `file` holds the events it took."""
    before = [cpu_seconds(server) if server else 0.0 for server in (kafka, redis)]
    held = _held(redis) if redis else 0
    measured = work()
    of_kafka, of_redis = (
        cpu_seconds(server) - old if server else None for server, old in zip((kafka, redis), before, strict=True)
    )
    with file.open("rb") as lines:
        accounts = len({_keyed.decode(line).account_id for line in islice(lines, measured.events)})
    return Row(measured, accounts, of_redis, _held(redis) - held if redis else None, of_kafka)


def _held(redis: servers.RedisServer) -> int:
    """Return the bytes that Redis says it holds."""
    with Store.from_url(redis.url) as store:
        return int(store.info("memory")["used_memory"])


def record(folder: Path, events: int, scale: float, slower: int, prompt_events: int = 0) -> float:
    """Write accounts and the streams of the simulated world; return how many seconds of event time they take."""
    world = simulate(SCENARIO, 1, scale=scale)
    (folder / "accounts.ndjson").write_bytes(b"\n".join(map(msgspec.json.encode, world.accounts)) + b"\n")
    begin_ms, written, time_ms = world.begin_ms, 0, world.begin_ms
    with contextlib.ExitStack() as stack:
        plain, whole, prompts = (stack.enter_context((folder / f"{name}.ndjson").open("wb")) for name in STREAMS)
        for chunk in world.chunks():
            ((lines, _),) = sketched([chunk], 0)
            for line, raw in zip(lines, chunk, strict=True):
                event = _event.decode(line)
                event["time_ms"] = time_ms = begin_ms + (event["time_ms"] - begin_ms) // slower
                whole.write(msgspec.json.encode(event) + b"\n")
                event.pop("prompt_sketch", None)
                plain.write(msgspec.json.encode(event) + b"\n")
                if written < prompt_events:
                    text = _event.decode(raw).get("prompt_text") or "nothing"
                    text = (f"{text} " * (1 + PROMPT_CHARACTERS // len(text)))[:PROMPT_CHARACTERS]
                    prompts.write(msgspec.json.encode(event | {"prompt_text": text}) + b"\n")
                written += 1
                if written == events:
                    return (time_ms - begin_ms) / 1000
    raise SystemExit(f"the world has {written:,} events only")


def send(config: Config, topic: str, file: Path) -> None:
    """Put the lines of a file into Kafka, each a record keyed by its account, and wait for the last."""
    producer = Producer(
        {"bootstrap.servers": config.kafka.brokers, "linger.ms": 50, "queue.buffering.max.messages": 2 * CHUNK}
    )
    for chunk in chunks_of(file):
        keys = [_keyed.decode(line).account_id for line in chunk]
        for key, partition, line in zip(
            keys, partitions_of(keys, config.topics.partitions).tolist(), chunk, strict=True
        ):
            producer.produce(topic, line.rstrip(), key.encode(), partition)
        producer.flush()


# -- ours, live -----------------------------------------------------------------------------------


def live(environment: dict[str, str], folder: Path, port: int, events: int) -> Measured:
    """Let one worker work through the topic."""
    worker = Worker(folder, None, environment, port)
    try:
        worker.start()
        return asyncio.run(_followed(port, worker, events))
    finally:
        worker.end()


async def _followed(port: int, worker: Worker, events: int) -> Measured:
    deadline = time.monotonic() + PATIENCE_SECONDS
    first: tuple[float, float, float] | None = None
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        while True:
            page = await _page(session, port)
            now, counted = time.perf_counter(), page.get(metrics.EVENTS.name, 0)
            if counted and first is None:
                first = now, counted, page["process_cpu_seconds_total"]
            lag = page.get(metrics.LAG.name, 1)
            if first and counted >= events and not lag:
                wall, before, cpu = first
                return Measured(
                    int(counted - before),
                    now - wall,
                    page["process_cpu_seconds_total"] - cpu,
                    peak_bytes(worker.pid or 0),
                    int(page.get(metrics.FINDINGS.name, 0)),
                )
            if time.monotonic() > deadline or not worker.alive:
                said = worker.log.read_text("utf-8", "replace").splitlines()[-5:]
                raise Unavailable("worker", f"stopped at {counted:,.0f} of {events:,} events: " + " | ".join(said))
            await asyncio.sleep(_LOOK_SECONDS)


async def _page(session: aiohttp.ClientSession, port: int) -> dict[str, float]:
    """Return the sum of every metric over its labels."""
    found: dict[str, float] = {}
    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        for family in text_string_to_metric_families(await answer.text()):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


# -- the table ------------------------------------------------------------------------------------


def table(results: Mapping[tuple[str, str], Row]) -> Table:
    """Return the figures as a table."""
    made = Table(box=None, pad_edge=False)
    made.add_column("")
    made.add_column("stream")
    for heading in (
        *("events", "events/s", "events/s\nper core", "peak MB", "peak KB\nan account"),
        *("Redis bytes\nan account", "Redis CPU s\na million", "Kafka CPU s\na million", "findings"),
    ):
        made.add_column(heading, justify="right")
    for (contender, stream), row in results.items():
        one = row.measured
        million = one.events / 1e6
        made.add_row(
            contender,
            stream,
            f"{one.events:,}",
            f"{one.per_second:,.0f}",
            f"{one.per_core:,.0f}",
            f"{one.peak_bytes / 1e6:,.0f}",
            f"{one.peak_bytes / 1e3 / row.accounts:,.1f}",
            "" if row.redis_bytes is None else f"{row.redis_bytes / row.accounts:,.0f}",
            "" if row.redis_seconds is None else f"{row.redis_seconds / million:,.1f}",
            "" if row.kafka_seconds is None else f"{row.kafka_seconds / million:,.1f}",
            "" if one.findings is None else f"{one.findings:,}",
        )
    return made


def targets(results: Mapping[tuple[str, str], Row]) -> Iterator[tuple[str, bool]]:
    """Yield each target with whether it was met; ratios are of events/s per core, to a stock agent by the clock too."""
    rows = {key: row.measured for key, row in results.items()}
    for stream in STREAMS:
        ours = rows.get((OURS, stream))
        if not ours:
            continue
        target = TARGET_PER_CORE[stream]
        yield f"{stream}: {ours.per_core:,.0f} events/s per core, target {target:,}", ours.per_core >= target
        if floor := rows.get((FLOOR, stream)):
            share = ours.per_core / floor.per_core
            yield f"{stream}: {share:.0%} of the floor, target {TARGET_OF_FLOOR:.0%}", share >= TARGET_OF_FLOOR
        for name, least in TARGET_RATIO.items():
            if theirs := rows.get((name, stream)):
                ratio, by_cpu = ours.per_second / theirs.per_second, ours.per_core / theirs.per_core
                said = f"{stream}: {by_cpu:.1f} x {name} by CPU ({ratio:.1f} x by the clock), target {least} x"
                yield said, min(ratio, by_cpu) >= least
    for name in (REPLAY, REPLAY_ON):
        if replay := rows.get((name, "plain")):
            said = f"plain: {name}: {replay.per_second:,.0f} events/s, target {TARGET_REPLAY:,}"
            yield said, replay.per_second >= TARGET_REPLAY


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

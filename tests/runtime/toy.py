"""A worker whose stages only count, so that exactness is seen without any detection: `python -m tests.runtime.toy`.

words (by key) ─► "accounts" counts words, forgets them after each commit, tells every 50 records
               ─► "links" adds up ─► "campaigns" adds up ─► findings
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from detector.runtime.feeds import RecordFeed
from detector.runtime.holding import Taken
from detector.runtime.publisher import KafkaPublisher
from detector.runtime.worker import Worker, WorkerSettings
from detector.stores import Message
from detector.stores.redis import RedisStore

EVERY = 50  # records of a partition make a step
_encode = msgspec.msgpack.encode


async def ours() -> None:
    """Say that a partition is ours, as a store does while nobody else took it over."""


def decoded(value: bytes) -> Any:
    return msgspec.msgpack.decode(value)


class Counting:
    """Counts per key; each partition's memory is `total` (what is hot of it), `closed`, `step`, `pending`."""

    def __init__(self, name: str, role: str, partitions_out: int | None) -> None:
        self.name = name
        self.role = role
        self.partitions_out = partitions_out
        self.total: dict[int, Counter[str]] = {}
        self.changed: dict[int, set[str]] = {}
        self.closed: dict[int, dict[int, int]] = {}
        self.step: dict[int, int] = {}
        self.pending: dict[int, list[str]] = {}
        self.outbox: dict[int, list[Message]] = {}

    def assign(self, partition: int, rows: dict[str, bytes]) -> None:
        closed, step, pending = decoded(rows["meta"]) if "meta" in rows else ({}, 0, [])
        self.closed[partition], self.step[partition], self.pending[partition] = closed, step, pending
        self.total[partition] = Counter({key[1:]: decoded(row) for key, row in rows.items() if key != "meta"})
        self.changed[partition], self.outbox[partition] = set(), []

    def revoke(self, partition: int) -> None:
        for one in (self.total, self.changed, self.closed, self.step, self.pending, self.outbox):
            del one[partition]

    def add(self, partition: int, counts: dict[str, int]) -> None:
        self.total[partition].update(counts)
        self.changed[partition].update(counts)

    def tell(self, partition: int, counts: dict[str, int]) -> None:
        step = self.step[partition] = self.step[partition] + 1
        to = None if self.partitions_out is None else step % self.partitions_out
        value = _encode((partition, step, dict(sorted(counts.items()))))
        self.outbox[partition].append(Message(self.role, to, str(partition), value))

    def absorb(self, partition: int, values: list[bytes]) -> None:
        for value in values:
            source, step, counts = decoded(value)
            if step > self.closed[partition].get(source, 0):
                self.closed[partition][source] = step
                self.add(partition, counts)
                self.tell(partition, counts)

    def drain(self, partition: int) -> tuple[dict[str, bytes | None], list[Message]]:
        rows: dict[str, bytes | None] = {
            f"k{key}": _encode(self.total[partition][key]) for key in self.changed[partition]
        }
        rows["meta"] = _encode((self.closed[partition], self.step[partition], self.pending[partition]))
        outbox, self.outbox[partition], self.changed[partition] = self.outbox[partition], [], set()
        return rows, outbox

    def waiting(self, partition: int) -> bool:
        return bool(self.outbox[partition])

    def clock_ms(self, partition: int) -> int:
        return -1


class Words(Counting):
    """The first stage: its records are words; what is not ASCII is no word. Every drain makes all rows cold."""

    def drain(self, partition: int) -> tuple[dict[str, bytes | None], list[Message]]:
        drained = super().drain(partition)
        self.total[partition].clear()
        return drained

    def absorb(self, partition: int, values: list[bytes]) -> None:
        words = [value.decode() for value in values]
        self.add(partition, Counter(words))
        pending = self.pending[partition] + words
        while len(pending) >= EVERY:
            self.tell(partition, Counter(pending[:EVERY]))
            pending = pending[EVERY:]
        self.pending[partition] = pending


class WordFeed(RecordFeed):
    """Words, with cold rows called back."""

    def take(self, partition: int, records: Sequence[Any]) -> Taken:
        values = [record.value for record in records]
        return Taken((partition, values), len(values), [])

    def wanted(self, payload: Any) -> list[str]:
        partition, values = payload
        hot = self.stage.total[partition]  # type: ignore[attr-defined]
        return sorted({f"k{value.decode()}" for value in values if value.decode() not in hot})

    def absorb(self, partition: int, payload: Any, rows: dict[str, bytes]) -> None:
        self.stage.total[partition].update({key[1:]: decoded(row) for key, row in rows.items()})  # type: ignore[attr-defined]
        self.stage.absorb(partition, payload[1])  # type: ignore[attr-defined]


def worker(
    name: str, brokers: str, redis: str, settings: dict[str, Any], prefix: str = ""
) -> tuple[Worker, RedisStore, KafkaPublisher]:
    """Return a worker with its store and its publisher; all but the requests is under `prefix`, where not `name`."""
    ours = ("observations", "candidates", "findings", "dead_letters")
    names = {"requests": f"{name}-requests"} | {role: f"{prefix or name}-{role}" for role in ours}
    store = RedisStore(redis, prefix=prefix or name)
    publisher = KafkaPublisher(brokers, names)
    feeds = [
        WordFeed(Words("accounts", "observations", 2), names["requests"]),
        RecordFeed(Counting("links", "candidates", 1), names["observations"]),
        RecordFeed(Counting("campaigns", "findings", None), names["candidates"]),
    ]
    live = WorkerSettings(brokers=brokers, group=prefix or name, commit_seconds=0.5, publish_seconds=0.05, **settings)
    return Worker(live, store, publisher, feeds), store, publisher


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("brokers")
    parser.add_argument("redis")
    parser.add_argument("--session", type=float, default=6.0)
    given = parser.parse_args()
    one, store, publisher = worker(given.name, given.brokers, given.redis, {"session_seconds": given.session})
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, one.stop)
    try:
        await one.run()
    finally:
        await publisher.stop()
        await store.close()


if __name__ == "__main__":
    asyncio.run(main())

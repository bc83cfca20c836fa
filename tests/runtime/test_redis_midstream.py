"""A worker on Redis as users run it: what it refuses in mid-stream is waited for, and a backup can be gone on from."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from detector.errors import ConfigError
from detector.runtime import servers
from detector.runtime.servers import RedisServer
from detector.runtime.worker import Worker
from tests.runtime.toy import EVERY
from tests.runtime.words import Words, ended, page, until
from tests.servers.secured import SecuredKafka

pytestmark = pytest.mark.asyncio


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    with servers.redis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def words(as_users_run_it: SecuredKafka, own_redis: RedisServer, own_name: str) -> Words:
    return Words(as_users_run_it, own_redis, own_name)


async def everything_once(words: Words) -> None:
    """All three stages hold what was sent: to be asked when all of it was in whole steps and the worker has ended."""
    for stage, partitions in (("accounts", 1), ("links", 2), ("campaigns", 1)):
        assert await words.counted(partitions, stage) == words.sent, stage


async def settled(words: Words, worker: Worker, end: int) -> None:
    """Wait until what was sent so far has reached the last stage, where it is committed when the worker ends.

    By what that stage has counted: of what was published while Redis did not take it, its topic may have two.
    """
    await words.caught_up(worker, end)
    stage: Any = worker.lanes[-1].feed.stage

    def done() -> bool:
        counted = sum(total.total() for total in stage.total.values())
        return counted == end and not any(lag for _, lag in worker.positions().values())

    await until(done, worker.positions)


# -- what Redis refuses in mid-stream -------------------------------------------------------------


Refusal = Callable[[RedisServer], AbstractContextManager[None]]
"""While it lasts, the server that is running takes no write."""


def set_to(setting: str, value: str) -> Refusal:
    @contextmanager
    def refusing(server: RedisServer) -> Iterator[None]:
        with Redis(port=server.port) as operator:
            operator.config_set(setting, value)
            yield
            operator.config_set(setting, "0")

    return refusing


@contextmanager
def demoted(server: RedisServer) -> Iterator[None]:
    """It is the replica of its replica, and then the master again, which has what both had."""
    of = ("--replicaof", "127.0.0.1", str(server.port), "--appendonly", "no")  # else it would not stop while it syncs
    with Redis(port=server.port) as operator:
        operator.config_set("repl-diskless-sync-delay", 0)
    with servers.redis(server.log.parent / "replica", *of) as other:
        changes_places(server, other)
        yield
        changes_places(other, server)


def changes_places(master: RedisServer, replica: RedisServer) -> None:
    with Redis(port=master.port) as operator:
        while operator.info("replication").get("slave0", {}).get("state") != "online":
            pass
        operator.execute_command("FAILOVER", "TO", "127.0.0.1", replica.port)
        while operator.info("replication").get("master_link_status") != "up":
            pass


@pytest.mark.parametrize(
    ("refusing", "said"),
    [
        (set_to("maxmemory", "1"), "used memory > 'maxmemory'"),
        (set_to("min-replicas-to-write", "1"), "Not enough good replicas"),
        (demoted, "can't write against a read only replica"),
    ],
    ids=["full", "no replica to write to", "no master any more"],
)
async def test_a_redis_that_takes_nothing_is_waited_for_and_everything_counts_once(
    words: Words, capsys: pytest.CaptureFixture[str], refusing: Refusal, said: str
) -> None:
    await words.make()
    async with words.producing() as producer, words.counting() as worker:
        await words.send(producer, 2 * EVERY)
        await settled(words, worker, 2 * EVERY)
        with refusing(words.redis):
            await words.send(producer, 2 * EVERY)
            await until(lambda: "redis" in worker.away)
            assert said in capsys.readouterr().out
        await settled(words, worker, 4 * EVERY)
        assert not worker.away
    await everything_once(words)


async def test_a_redis_that_loads_its_data_is_waited_for(words: Words) -> None:
    await words.make()
    with Redis(port=words.redis.port) as operator:
        pipeline = operator.pipeline(transaction=False)
        for number in range(6_000):
            pipeline.set(f"other{number}", number)
        pipeline.execute()
    async with words.producing() as producer, words.counting() as worker:
        await words.send(producer, EVERY)
        await settled(words, worker, EVERY)
        words.redis.stop()
        words.redis._command += ["--key-load-delay", "200"]  # microseconds for each key
        starting = asyncio.get_running_loop().run_in_executor(None, words.redis.start)
        await words.send(producer, EVERY)
        await until(lambda: "redis" in worker.away)
        await starting
        await settled(words, worker, 2 * EVERY)
    await everything_once(words)


async def test_a_password_that_changes_ends_the_worker_and_the_next_one_goes_on(words: Words) -> None:
    await words.make()
    async with words.producing() as producer:

        async def changes() -> None:
            async with words.counting() as worker:
                await words.send(producer, EVERY)
                await settled(words, worker, EVERY)
                with Redis(port=words.redis.port) as operator:
                    operator.config_set("requirepass", "new")
                    operator.execute_command("CLIENT KILL TYPE normal SKIPME yes")
                await words.send(producer, EVERY)
                await until(lambda: ended(worker))

        with pytest.raises(ConfigError, match=r"store\.password"):
            await changes()
        words.redis.url = words.redis.url.replace("redis://", "redis://:new@")
        async with words.counting() as worker:
            await settled(words, worker, 2 * EVERY)
    await everything_once(words)


# -- backup and restore, as deploy/README.md says -------------------------------------------------


def backed_up(redis: RedisServer, folder: Path) -> Path:
    """Take a snapshot while the worker goes on, and copy its file away."""
    with Redis(port=redis.port) as operator:
        operator.bgsave()
        while operator.info("persistence")["rdb_bgsave_in_progress"]:
            pass
        data = Path(operator.config_get("dir")["dir"])
    return Path(shutil.copy(data / "dump.rdb", folder / "backup.rdb"))


def restored(redis: RedisServer, backup: Path, folder: Path) -> RedisServer:
    """Load the backup into an empty server without the append-only file, then turn that on, then start as usual."""
    redis.stop()
    folder.mkdir()
    shutil.copy(backup, folder / "dump.rdb")
    with servers.redis(folder, "--appendonly", "no") as once, Redis(port=once.port) as operator:
        operator.config_set("appendonly", "yes")
        while (
            operator.info("persistence")["aof_rewrite_in_progress"]
            or operator.info("persistence")["aof_rewrite_scheduled"]
        ):
            pass
    return servers.redis(folder)


async def test_an_older_backup_goes_on_at_its_offset_and_everything_counts_once(words: Words, tmp_path: Path) -> None:
    await words.make()
    async with words.producing() as producer, words.counting() as worker:
        await words.send(producer, 3 * EVERY + 7)
        await words.caught_up(worker, 3 * EVERY + 7)
        await until(lambda: not any(holding.dirty for holding in worker._holdings.values()))
        backup = await asyncio.to_thread(backed_up, words.redis, tmp_path)
        await words.send(producer, 2 * EVERY - 7)
        await settled(words, worker, 5 * EVERY)
    await everything_once(words)
    with restored(words.redis, backup, tmp_path / "restored") as words.redis:
        assert (await words.counted()).total() == 3 * EVERY + 7, "older"
        async with words.counting() as worker:
            await settled(words, worker, 5 * EVERY)
            assert page(worker, "detector_lost_records_total") == 0
        await everything_once(words)


async def test_what_kafka_no_longer_has_since_an_older_backup_is_lost_and_told_to_the_record(
    words: Words, tmp_path: Path
) -> None:
    await words.make()
    async with words.producing() as producer:
        async with words.counting() as worker:
            await words.send(producer, EVERY)
            await words.caught_up(worker, EVERY)
            await until(lambda: not any(holding.dirty for holding in worker._holdings.values()))
            backup = await asyncio.to_thread(backed_up, words.redis, tmp_path)
            await words.send(producer, EVERY, counts=False)
            await words.caught_up(worker, 2 * EVERY)
        await words.delete_before(EVERY + 30)
        with restored(words.redis, backup, tmp_path / "restored") as words.redis:
            async with words.counting() as worker:
                await words.caught_up(worker, 2 * EVERY)
                assert page(worker, "detector_lost_records_total") == 30
            words.sent.update(f"w{number}" for number in range(30, EVERY))
            assert await words.counted() == words.sent


# -- another layout -------------------------------------------------------------------------------


async def test_state_of_another_layout_stops_the_worker_and_a_start_from_nothing_builds_the_same_state(
    words: Words,
) -> None:
    """Migration is replay: the state is a function of the log, so a version with another layout reads it again."""
    await words.make()
    async with words.producing() as producer:
        async with words.counting() as worker:
            await words.send(producer, 2 * EVERY)
            await settled(words, worker, 2 * EVERY)
        with Redis(port=words.redis.port) as operator:
            operator.hset(f"{words.prefix}:{{accounts:0}}:head", "layout", "0")

        async def refuses() -> None:
            async with words.counting() as worker:
                await until(lambda: ended(worker))

        with pytest.raises(ConfigError, match=r"store\.prefix.*layout 0"):
            await refuses()
        old, words.prefix = words.prefix, f"{words.prefix}-new"
        await words.make_internal()
        async with words.counting() as worker:
            await settled(words, worker, 2 * EVERY)
        await everything_once(words)
        words.prefix = old
        await everything_once(words)

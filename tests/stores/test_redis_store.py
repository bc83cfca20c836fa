"""What only the Redis store can get wrong: loss of the server, its settings, its cluster, its layout."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from detector.errors import ConfigError, DecodeError, Fenced, Unavailable
from detector.runtime import servers
from detector.runtime.servers import RedisServer
from detector.stores import Commit, Message
from detector.stores.redis import RedisStore
from tests.chaos.proxy import Proxy

pytestmark = pytest.mark.asyncio

ONE = Commit(offset=4, rows={"x": b"1"}, outbox=[Message("findings", None, "f", b"{}")])


async def test_while_redis_is_away_every_method_says_so_and_afterwards_all_goes_on(tmp_path: Path) -> None:
    with servers.redis(tmp_path) as server:
        store = RedisStore(server.url, timeout_seconds=1.0)
        claim = await store.claim("accounts", 0)
        assert await store.commit("accounts", 0, claim.token, ONE) == 1
        server.kill()
        for call in (
            store.claim("accounts", 0),
            store.rows("accounts", 0),
            store.rows("accounts", 0, ["x"]),
            store.commit("accounts", 0, claim.token, ONE),
            store.published("accounts", 0, claim.token, 1),
            store.owned("accounts", 0, claim.token),
            store.ping(),
        ):
            with pytest.raises(Unavailable) as raised:
                await call
            assert not isinstance(raised.value, Fenced)
        server.start()
        assert await store.rows("accounts", 0) == {"x": b"1"}
        assert await store.commit("accounts", 0, claim.token, ONE) == 2
        await store.close()


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [
        ("outbox", b"1", b"\xff\x00"),
        ("outbox", b"x", b""),
        ("head", b"offset", b"many"),
        ("head", b"epoch", b"\xff"),
        ("head", b"token", b"x"),
        ("head", None, b"no hash"),
        ("rows", None, b"no hash"),
        ("rows", b"\xff\xfe", b"1"),
    ],
)
async def test_what_somebody_broke_in_redis_is_an_error_that_says_so_and_is_not_waited_for(
    redis_server: RedisServer, own_name: str, key: str, field: bytes | None, value: bytes
) -> None:
    store, raw = RedisStore(redis_server.url, prefix=own_name), Redis.from_url(redis_server.url)
    claim = await store.claim("accounts", 0)
    await store.commit("accounts", 0, claim.token, ONE)
    name = f"{own_name}:{{accounts:0}}:{key}"
    if field is None:
        await raw.set(name, value)
    else:
        await raw.hset(name, field, value)

    async def taken() -> None:
        await store.claim("accounts", 0)
        await store.rows("accounts", 0)

    with pytest.raises(DecodeError, match="state_unreadable"):
        await taken()
    await store.close()
    await raw.aclose()


async def test_a_redis_that_hangs_is_unavailable_within_the_time_limit(tmp_path: Path) -> None:
    with servers.redis(tmp_path) as server:
        store = RedisStore(server.url, timeout_seconds=0.3)
        await store.ping()
        os.kill(server.pid or 0, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await store.claim("accounts", 0)
        assert time.monotonic() - started < 2.0
        os.kill(server.pid or 0, signal.SIGCONT)
        assert (await store.claim("accounts", 0)).epoch == 0
        await store.close()


async def test_a_commit_whose_answer_was_lost_is_sent_again_and_applied_once(
    redis_server: RedisServer, own_name: str
) -> None:
    store = RedisStore(redis_server.url, prefix=own_name)
    claim = await store.claim("accounts", 0)
    await store.commit("accounts", 0, claim.token, ONE)
    for _ in range(3):
        store._epochs["accounts", 0, claim.token] = 0  # as if its answer had not come
        assert await store.commit("accounts", 0, claim.token, ONE) == 1
    again = await store.claim("accounts", 0)
    assert (again.epoch, again.offset, again.outbox) == (1, 4, ONE.outbox)
    await store.close()


async def test_a_commit_that_arrives_after_a_later_one_changes_nothing(
    redis_server: RedisServer, own_name: str
) -> None:
    """Its sender gave up on a connection that hung, sent it again on another one, and has long gone on."""
    proxy = Proxy(servers.free_port(), redis_server.port)
    await proxy.start()
    plain = Redis.from_url(redis_server.url)

    async def scripts() -> int:
        return int((await plain.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0))

    store = RedisStore(f"redis://127.0.0.1:{proxy.port}/0", timeout_seconds=0.3, prefix=own_name)
    try:
        claim = await store.claim("accounts", 0)
        await store.commit("accounts", 0, claim.token, ONE)
        proxy.hold()
        late = Commit(offset=5, rows={"x": b"2", "y": b"2"}, outbox=[])
        with pytest.raises(Unavailable):
            await store.commit("accounts", 0, claim.token, late)
        assert await store.commit("accounts", 0, claim.token, late) == 2
        assert await store.commit("accounts", 0, claim.token, Commit(offset=6, rows={"x": b"3"}, outbox=[])) == 3
        before = await scripts()
        proxy.flow()
        deadline = time.monotonic() + 30
        while await scripts() == before:
            assert time.monotonic() < deadline, "what was held must arrive, else this proves nothing"
        again = await store.claim("accounts", 0)
        assert (again.epoch, again.offset) == (3, 6)
        assert await store.rows("accounts", 0) == {"x": b"3", "y": b"2"}
    finally:
        await store.close()
        await plain.aclose()
        await proxy.stop()


async def test_an_owner_whose_acknowledged_commit_was_lost_in_a_failover_is_fenced(
    redis_server: RedisServer, own_name: str
) -> None:
    store = RedisStore(redis_server.url, prefix=own_name)
    claim = await store.claim("accounts", 0)
    await store.commit("accounts", 0, claim.token, ONE)
    plain = Redis.from_url(redis_server.url)
    await plain.hset(f"{own_name}:{{accounts:0}}:head", "epoch", "0")
    with pytest.raises(Fenced, match="lost a commit"):
        await store.commit("accounts", 0, claim.token, ONE)
    await plain.aclose()
    await store.close()


async def test_a_failover_that_forgets_a_claim_does_not_give_its_token_again(
    redis_server: RedisServer, own_name: str
) -> None:
    store = RedisStore(redis_server.url, prefix=own_name)
    lost = await store.claim("accounts", 0)
    plain = Redis.from_url(redis_server.url)
    await plain.delete(f"{own_name}:{{accounts:0}}:head")
    assert (await store.claim("accounts", 0)).token > lost.token
    await plain.aclose()
    await store.close()


async def test_another_layout_is_refused(redis_server: RedisServer, own_name: str) -> None:
    plain = Redis.from_url(redis_server.url)
    await plain.hset(f"{own_name}:{{accounts:0}}:head", "layout", "0")
    store = RedisStore(redis_server.url, prefix=own_name)
    with pytest.raises(ConfigError, match="layout 0"):
        await store.claim("accounts", 0)
    await plain.aclose()
    await store.close()


async def test_a_redis_that_may_evict_state_is_refused(tmp_path: Path) -> None:
    with servers.redis(tmp_path, "--maxmemory-policy", "allkeys-lru") as server:
        store = RedisStore(server.url)
        with pytest.raises(ConfigError, match="noeviction"):
            await store.ping()
        await store.close()


async def test_a_redis_that_is_full_is_unavailable_and_keeps_whole_commits(tmp_path: Path) -> None:
    with servers.redis(tmp_path, "--maxmemory", "16mb") as server:
        store = RedisStore(server.url)
        claim = await store.claim("accounts", 0)
        taken = 0
        for n in range(40):
            rows: dict[str, bytes | None] = {f"a{n}": bytes(500_000), f"b{n}": bytes(500_000), "gone": None}
            try:
                await store.commit("accounts", 0, claim.token, Commit(offset=n, rows=rows, outbox=[]))
            except Unavailable:
                break
            taken = n + 1
        assert 3 < taken < 20
        assert sorted(await store.rows("accounts", 0)) == sorted(f"{x}{n}" for n in range(taken) for x in "ab")
        await store.close()


async def test_a_redis_that_answers_but_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    with servers.redis(tmp_path, "--min-replicas-to-write", "1") as server:
        store = RedisStore(server.url)
        with pytest.raises(Unavailable):
            await store.ping()
        await store.close()


async def test_a_url_that_is_none_is_a_config_error() -> None:
    with pytest.raises(ConfigError):
        RedisStore("http://localhost")


async def test_it_works_on_a_redis_cluster(tmp_path: Path) -> None:
    with servers.redis(tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(servers.free_port())) as server:
        plain = Redis.from_url(server.url)
        await plain.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        while b"cluster_state:ok" not in bytes(await plain.execute_command("CLUSTER", "INFO")):
            pass
        store = RedisStore(server.url.replace("redis://", "redis+cluster://"))
        await store.ping()
        for partition in range(8):
            claim = await store.claim("accounts", partition)
            assert await store.commit("accounts", partition, claim.token, ONE) == 1
            assert await store.rows("accounts", partition) == {"x": b"1"}
            assert await store.rows("accounts", partition, ["x", "y"]) == {"x": b"1"}
            await store.published("accounts", partition, claim.token, 1)
        await store.close()
        await plain.aclose()

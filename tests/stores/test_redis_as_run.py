"""The Redis store on Redis as users run it: rights, TLS, a cluster, Valkey, and what each of them can refuse."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis as plain
from redis.crc import key_slot

from detector import config as configuration
from detector.errors import ConfigError, Fenced, Unavailable
from detector.runtime import servers
from detector.runtime.security import store_arguments
from detector.runtime.servers import RedisServer
from detector.stores import Commit, Message, Store
from detector.stores.redis import LAYOUT, RedisStore
from tests.servers import VALKEY
from tests.servers.cluster import RIGHTS_TOO, Cluster, cluster
from tests.servers.secured import REDIS_RULE, Certificates, certificates, least_rights

pytestmark = pytest.mark.asyncio

GRANTED = [word for word in REDIS_RULE.split() if word.startswith("+")]
ONE = Commit(offset=4, rows={"x": b"1", "gone": None}, outbox=[Message("findings", None, "f", b"{}")])


async def used(store: Store, partition: int = 0) -> None:
    """Do everything that a worker does with its store."""
    await store.ping()
    claim = await store.claim("accounts", partition)
    epoch = await store.commit("accounts", partition, claim.token, ONE)
    assert await store.rows("accounts", partition) == {"x": b"1"}
    assert await store.rows("accounts", partition, ["x", "y"]) == {"x": b"1"}
    await store.published("accounts", partition, claim.token, epoch)


@contextlib.asynccontextmanager
async def opened(url: str, **settings: str) -> AsyncIterator[RedisStore]:
    """The store as `detector run` opens it, from settings."""
    given = {f"DETECTOR_STORE_{name.upper()}": value for name, value in settings.items()}
    config = configuration.load(None, {"DETECTOR_STORE_URL": url, **given})
    store = RedisStore(config.store.url, **store_arguments(config.store))
    try:
        yield store
    finally:
        await store.close()


# -- rights ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["redis", "valkey"])
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("guarded")
    binary = VALKEY if request.param == "valkey" else None
    with servers.redis(folder, *least_rights(folder), binary=binary) as server:
        yield server


def granted(server: RedisServer, *rule: str) -> None:
    with plain.Redis(port=server.port) as operator:
        operator.execute_command("ACL SETUSER", *rule)
        operator.script_flush()


async def test_a_user_with_the_documented_rule_may_do_everything_that_is_needed(guarded: RedisServer) -> None:
    granted(guarded, *REDIS_RULE.split()[1:])
    async with opened(guarded.url, username="detector", password="change-me") as store:
        await used(store)


@pytest.mark.parametrize("right", GRANTED)
async def test_without_any_one_of_its_rights_it_does_not_start_and_says_which_is_missing(
    guarded: RedisServer, right: str
) -> None:
    name = f"no-{right[1:]}"
    granted(guarded, name, *REDIS_RULE.split()[2:], f"-{right[1:]}")
    async with opened(guarded.url, username=name, password="change-me") as store:
        with pytest.raises(ConfigError, match=rf"{right[1:]}.*deploy/redis/detector.acl") as refused:
            await store.ping()
    assert refused.value.setting == "store.username"


async def test_keys_of_others_are_out_of_its_reach(guarded: RedisServer) -> None:
    granted(guarded, *REDIS_RULE.split()[1:])
    async with opened(guarded.url, username="detector", password="change-me", prefix="other") as store:
        with pytest.raises(ConfigError, match=r"store\.username"):
            await store.ping()


async def test_a_wrong_password_is_a_config_error_that_names_the_setting(guarded: RedisServer) -> None:
    async with opened(guarded.url, username="detector", password="guessed") as store:
        with pytest.raises(ConfigError, match="invalid username-password") as refused:
            await store.ping()
    assert refused.value.setting == "store.password"
    assert "guessed" not in str(refused.value)


# -- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module", params=["no", "yes"], ids=["server certificate", "client certificate too"])
def encrypted(
    request: pytest.FixtureRequest, files: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, bool]]:
    """The url of a server that speaks TLS, and whether it asks for a certificate of the client's."""
    port = servers.free_port()
    tls = f"--tls-port {port} --tls-cert-file {files.certificate} --tls-key-file {files.key}".split()
    tls += f"--tls-ca-cert-file {files.ca} --tls-auth-clients {request.param}".split()
    with servers.redis(tmp_path_factory.mktemp("tls"), *tls):
        yield f"rediss://127.0.0.1:{port}/0", request.param == "yes"


async def test_it_speaks_tls_and_shows_its_own_certificate_where_it_has_one(
    encrypted: tuple[str, bool], files: Certificates
) -> None:
    url, asks = encrypted
    own = {"cert_file": str(files.certificate), "key_file": str(files.key)} if asks else {}
    async with opened(url, ca_file=str(files.ca), **own) as store:
        await used(store)


async def test_a_server_of_an_unknown_ca_is_not_talked_to(encrypted: tuple[str, bool]) -> None:
    async with opened(encrypted[0]) as store:
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await store.ping()


async def test_certificates_that_are_not_there_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"store\.ca_file"):
        async with opened("rediss://127.0.0.1:1/0", ca_file="/nowhere"):
            pass


# -- a cluster of three masters -------------------------------------------------------------------


@pytest.fixture(scope="module")
def three_masters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


def slot_of(partition: int) -> int:
    return int(key_slot(f"{{accounts:{partition}}}".encode()))


async def test_partitions_lie_on_all_masters_and_each_is_whole_on_one(three_masters: Cluster) -> None:
    async with opened(three_masters.url, username="detector", password="change-me") as store:
        for partition in range(12):
            await used(store, partition)
    assert {three_masters.node_of(slot_of(partition)).port for partition in range(12)} == {
        node.port for node in three_masters.nodes
    }


async def test_without_the_right_to_follow_a_slot_it_does_not_start(three_masters: Cluster) -> None:
    assert f"`{RIGHTS_TOO}`" in (Path(__file__).parents[2] / "deploy/README.md").read_text("utf-8")
    for node in three_masters.nodes:
        granted(node, "stays", *REDIS_RULE.split()[2:], *RIGHTS_TOO.split(), "-asking")
    async with opened(three_masters.url, username="stays", password="change-me") as store:
        with pytest.raises(ConfigError, match=r"asking.*deploy/redis/detector.acl") as refused:
            await store.ping()
    assert refused.value.setting == "store.username"


async def test_a_master_that_is_read_only_or_full_is_noticed_among_the_others(three_masters: Cluster) -> None:
    with plain.Redis(port=three_masters.nodes[2].port) as operator:
        operator.config_set("min-replicas-to-write", 1)
        try:
            async with opened(three_masters.url) as store:
                with pytest.raises(Unavailable, match="replicas"):
                    await store.ping()
        finally:
            operator.config_set("min-replicas-to-write", 0)


async def test_a_master_that_may_evict_is_noticed_among_the_others(three_masters: Cluster) -> None:
    with plain.Redis(port=three_masters.nodes[1].port) as operator:
        operator.config_set("maxmemory-policy", "allkeys-lru")
        try:
            async with opened(three_masters.url) as store:
                with pytest.raises(ConfigError, match="noeviction"):
                    await store.ping()
        finally:
            operator.config_set("maxmemory-policy", "noeviction")


async def test_a_partition_that_moves_to_another_master_is_followed(three_masters: Cluster) -> None:
    partition = 1000  # whose slot no other test looks at
    async with opened(three_masters.url) as store:
        claim = await store.claim("accounts", partition)
        await store.commit("accounts", partition, claim.token, ONE)
        with three_masters.moving(slot_of(partition)), pytest.raises(Unavailable):
            await store.commit("accounts", partition, claim.token, ONE)
        assert await store.commit("accounts", partition, claim.token, ONE) == 2
        again = await store.claim("accounts", partition)
        assert (again.epoch, again.offset) == (2, 4)


async def test_while_one_master_is_away_its_partitions_wait_and_then_go_on(three_masters: Cluster) -> None:
    lost = three_masters.nodes[0]
    partition = next(n for n in range(100) if three_masters.node_of(slot_of(n)) is lost)
    async with opened(three_masters.url, prefix="away") as store:
        claim = await store.claim("accounts", partition)
        lost.kill()
        with pytest.raises(Unavailable) as waits:
            await store.commit("accounts", partition, claim.token, ONE)
        assert not isinstance(waits.value, Fenced)
        lost.start()
        while not three_masters.agreed():
            pass
        assert await store.commit("accounts", partition, claim.token, ONE) == 1


# -- what a server may refuse ---------------------------------------------------------------------


async def test_a_replica_that_may_only_be_read_is_unavailable_and_says_so(
    redis_server: RedisServer, tmp_path: Path, own_name: str
) -> None:
    with servers.redis(tmp_path, "--replicaof", "127.0.0.1", str(redis_server.port)) as replica:
        async with opened(replica.url, prefix=own_name) as store:
            for call in (store.ping, lambda: store.claim("accounts", 0)):
                with pytest.raises(Unavailable, match="read only replica"):
                    await call()


async def test_a_server_that_is_still_loading_is_unavailable_until_it_has(tmp_path: Path) -> None:
    with servers.redis(tmp_path) as server:
        with plain.Redis(port=server.port) as operator:
            pipeline = operator.pipeline(transaction=False)
            for n in range(6_000):  # it looks up from loading every thousand commands
                pipeline.set(f"other{n}", n)
            pipeline.execute()
        server.stop()
    slow = servers.redis(tmp_path, "--key-load-delay", "200")  # microseconds for each key

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", slow.port), 0.5):
            return True
        return False

    slow._ready = listens
    with slow:
        async with opened(slow.url) as store:
            with pytest.raises(Unavailable, match="loading"):
                await store.ping()
            loaded = False
            while not loaded:
                with contextlib.suppress(Unavailable):
                    await store.ping()
                    loaded = True
            await used(store)


async def test_a_full_server_is_unavailable_and_takes_the_same_commit_when_it_has_room(tmp_path: Path) -> None:
    big = Commit(offset=9, rows={"x": bytes(3_000_000), "y": bytes(3_000_000)}, outbox=ONE.outbox)
    with servers.redis(tmp_path) as server, plain.Redis(port=server.port) as operator:
        async with opened(server.url) as store:
            claim = await store.claim("accounts", 0)
            await store.commit("accounts", 0, claim.token, ONE)
            operator.config_set("maxmemory", operator.info("memory")["used_memory"] - 1)
            for call in (store.ping, lambda: store.commit("accounts", 0, claim.token, big)):
                with pytest.raises(Unavailable, match="maxmemory"):
                    await call()
            assert await store.rows("accounts", 0) == {"x": b"1"}
            operator.config_set("maxmemory", 0)
            assert await store.commit("accounts", 0, claim.token, big) == 2
            assert (await store.claim("accounts", 0)).offset == 9


# -- versions of the layout -----------------------------------------------------------------------


@pytest.mark.parametrize(("found", "kind"), [("0", "older"), (str(int(LAYOUT) + 1), "newer"), ("2x", "older")])
async def test_another_layout_is_refused_untouched_and_the_message_says_the_two_ways_on(
    redis_server: RedisServer, own_name: str, found: str, kind: str
) -> None:
    with plain.Redis(port=redis_server.port) as operator:
        keys = [f"{own_name}:{{accounts:0}}:{name}" for name in ("head", "rows", "outbox")]
        operator.hset(keys[0], mapping={"layout": found, "token": 5, "epoch": 3, "offset": 12})
        operator.hset(keys[1], "x", "row")
        operator.hset(keys[2], "3", "outbox")
        before = [operator.dump(key) for key in keys]
        async with opened(redis_server.url, prefix=own_name) as store:
            with pytest.raises(ConfigError, match=rf"layout {found}, written by an? {kind}.*prefix of its own") as said:
                await store.claim("accounts", 0)
        assert said.value.setting == "store.prefix"
        assert [operator.dump(key) for key in keys] == before

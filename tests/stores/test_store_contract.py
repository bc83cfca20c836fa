"""What every store promises: one suite for the memory and the Redis twin, which also runs on Valkey."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from detector.errors import Fenced
from detector.runtime.servers import RedisServer
from detector.stores import Commit, Message, Store
from detector.stores.memory import MemoryStore
from detector.stores.redis import RedisStore

pytestmark = pytest.mark.asyncio

A = Message("observations", 3, "a", b"\x00\xff")
B = Message("findings", None, "b", None)


def commit(offset: int = 1, rows: dict[str, bytes | None] | None = None, outbox: list[Message] | None = None) -> Commit:
    return Commit(offset=offset, rows=rows or {}, outbox=outbox or [])


@pytest_asyncio.fixture(params=["memory", "redis", "valkey"])
async def store(request: pytest.FixtureRequest, own_name: str) -> AsyncIterator[Store]:
    if request.param == "memory":
        one: Store = MemoryStore()
    else:
        server: RedisServer = request.getfixturevalue(f"{request.param}_server")
        one = RedisStore(server.url, prefix=own_name)
    yield one
    await one.close()


async def test_a_partition_that_was_never_committed_has_no_offset_no_rows_and_no_outbox(store: Store) -> None:
    claim = await store.claim("accounts", 0)
    assert (claim.epoch, claim.offset, claim.outbox) == (0, None, [])
    assert await store.rows("accounts", 0) == {}


async def test_the_next_owner_starts_from_the_last_commit(store: Store) -> None:
    old = await store.claim("accounts", 0)
    assert await store.commit("accounts", 0, old.token, commit(7, {"x": b"1", "y": b"2"})) == 1
    assert await store.commit("accounts", 0, old.token, commit(9, {"x": None, "z": b""})) == 2
    new = await store.claim("accounts", 0)
    assert (new.epoch, new.offset) == (2, 9)
    assert await store.rows("accounts", 0) == {"y": b"2", "z": b""}


async def test_rows_by_key_leaves_out_what_does_not_exist(store: Store) -> None:
    claim = await store.claim("accounts", 0)
    await store.commit("accounts", 0, claim.token, commit(rows={"ä\ud800": b"1", "y": b"2"}))
    assert await store.rows("accounts", 0, ["ä\ud800", "absent"]) == {"ä\ud800": b"1"}
    assert await store.rows("accounts", 0, []) == {}


async def test_a_pass_over_all_rows_in_steps_sees_each_of_them(store: Store) -> None:
    claim = await store.claim("accounts", 0)
    rows = {f"key{number}": b"%d" % number for number in range(3000)}
    await store.commit("accounts", 0, claim.token, commit(rows=rows))
    cursor, seen = await store.some_rows("accounts", 0, count=100)
    steps = 1
    while cursor:
        cursor, some = await store.some_rows("accounts", 0, cursor, count=100)
        assert len(some) < 1000
        seen |= some
        steps += 1
    assert seen == rows
    assert steps > 3 or isinstance(store, MemoryStore)
    assert await store.some_rows("accounts", 1) == (0, {})


async def test_an_outbox_stays_until_it_is_published(store: Store) -> None:
    claim = await store.claim("accounts", 0)
    epoch = await store.commit("accounts", 0, claim.token, commit(outbox=[A, B]))
    assert (await store.claim("accounts", 0)).outbox == [A, B]
    claim = await store.claim("accounts", 0)
    await store.published("accounts", 0, claim.token, epoch)
    assert (await store.claim("accounts", 0)).outbox == []


async def test_unpublished_outboxes_come_back_in_the_order_of_their_commits(store: Store) -> None:
    claim = await store.claim("accounts", 0)
    for n in range(12):
        await store.commit("accounts", 0, claim.token, commit(outbox=[Message("findings", None, str(n), b"")]))
    await store.published("accounts", 0, claim.token, 1)
    assert [message.key for message in (await store.claim("accounts", 0)).outbox] == [str(n) for n in range(1, 12)]


async def test_a_commit_without_messages_keeps_the_outbox_before_it(store: Store) -> None:
    claim = await store.claim("accounts", 0)
    await store.commit("accounts", 0, claim.token, commit(outbox=[A]))
    await store.commit("accounts", 0, claim.token, commit(2))
    again = await store.claim("accounts", 0)
    assert (again.epoch, again.outbox) == (2, [A])


async def test_a_claim_voids_the_token_before_it(store: Store) -> None:
    old = await store.claim("accounts", 0)
    epoch = await store.commit("accounts", 0, old.token, commit(5, {"x": b"old"}, [A]))
    new = await store.claim("accounts", 0)
    with pytest.raises(Fenced):
        await store.commit("accounts", 0, old.token, commit(6, {"x": b"zombie"}))
    with pytest.raises(Fenced):
        await store.published("accounts", 0, old.token, epoch)
    with pytest.raises(Fenced):
        await store.owned("accounts", 0, old.token)
    await store.owned("accounts", 0, new.token)
    assert await store.rows("accounts", 0) == {"x": b"old"}
    assert (await store.claim("accounts", 0)).outbox == [A]
    assert new.token > old.token


async def test_a_token_is_good_for_its_own_partition_only(store: Store) -> None:
    claim = await store.claim("accounts", 0)
    await store.claim("accounts", 1)
    await store.claim("links", 0)
    for stage, partition in (("accounts", 1), ("links", 0), ("accounts", 2)):
        with pytest.raises(Fenced):
            await store.commit(stage, partition, claim.token, commit())
    assert await store.commit("accounts", 0, claim.token, commit()) == 1


async def test_a_commit_of_tens_of_megabytes_is_one_commit(store: Store) -> None:
    claim = await store.claim("accounts", 0)
    rows: dict[str, bytes | None] = {f"account-{n}": bytes(600) for n in range(60_000)}
    await store.commit("accounts", 0, claim.token, commit(1, rows, [Message("observations", 0, "", bytes(4_000_000))]))
    deleted: dict[str, bytes | None] = dict.fromkeys(list(rows)[:50_000])
    await store.commit("accounts", 0, claim.token, commit(2, deleted | {"kept": b"1"}))
    left = await store.rows("accounts", 0)
    assert len(left) == 10_001
    assert left["account-59999"] == bytes(600)


async def test_a_store_that_answers_and_can_be_written_pings(store: Store) -> None:
    await store.ping()

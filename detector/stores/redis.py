"""The durable store: Redis >= 6.2 (or Valkey), core commands and Lua, alone or in a Redis Cluster.

Three hashes per stage and partition, in one slot because they share a hash tag:

    detector:{accounts:7}:head     layout, token, epoch, offset
    detector:{accounts:7}:rows     the stage's rows
    detector:{accounts:7}:outbox   epoch -> what that commit has still to publish

One Lua script per write makes a commit atomic and fenced. When Redis is away every method
raises `Unavailable` within seconds and the caller keeps what it holds. A commit without an answer
must be sent again as it is, before any other one: it names the epoch that it follows, so it is applied
once however many copies of it arrive, and however late.

What Redis acknowledged and then lost (a failover to a replica that lagged) shows as an epoch
behind the one we know; that owner is fenced, and starts again from what Redis has.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Sequence
from importlib import resources
from typing import Any, Final, cast

import msgspec
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, NoScriptError, RedisClusterException, RedisError

from detector.errors import ConfigError, DecodeError, Fenced, Unavailable
from detector.stores import Claim, Commit, Message, read_back

LAYOUT: Final = "3"
"""Version of the keys above and of all that is in their rows. A worker that finds another one refuses to start."""

LAYOUT_LOOKS: Final = "a6853e8059116850"
"""A hash of what is written in this layout; tests/stores/test_layout.py finds out when that has changed."""

_SCAN_ROWS: Final = 10_000
_BYTES_PER_SECOND: Final = 4_000_000
"""The slowest link a commit may need: its time limit grows by a second for each of these."""

_CORRUPT: Final = ("WRONGTYPE", "attempt to compare", "attempt to perform arithmetic")
"""What Redis says of a key that is no hash, and a script of a field that is no number."""

_RIGHTS: Final = "the rule of a user with the rights that are needed is in deploy/redis/detector.acl"

_outbox_decoder = msgspec.msgpack.Decoder(list[Message])


class _Script:
    def __init__(self, name: str) -> None:
        self.source = resources.files("detector.stores").joinpath(f"{name}.lua").read_text("utf-8")
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


class RedisStore:
    """`Store` on one Redis server (`redis://`, `rediss://`, `unix://`) or cluster (`redis+cluster://`, `rediss+…`).

    `timeout_seconds` bounds every answer, a large commit's by more in proportion to its size.
    `prefix` keeps several detectors apart on one server. `login` are redis-py's words for what is not in the url:
    `username`, `password`, `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`; empty ones are left out.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 2.0, prefix: str = "detector", **login: str) -> None:
        scheme, separator, rest = url.partition("://")
        kind: Any = RedisCluster if scheme.endswith("+cluster") else Redis
        try:
            self._redis: Any = kind.from_url(
                scheme.removesuffix("+cluster") + separator + rest,
                **{name: value for name, value in login.items() if value},
                socket_connect_timeout=timeout_seconds,
                socket_timeout=None,  # ours, below: redis-py's would cut off a large commit
                retry=Retry(NoBackoff(), 0),  # the caller retries, and knows what it holds
                decode_responses=False,
                legacy_responses=False,
            )
        except ValueError as error:
            raise ConfigError("store.url", str(error)) from None
        self._timeout_seconds = timeout_seconds
        self._prefix = prefix
        self._claim, self._commit, self._published = map(_Script, ("claim", "commit", "published"))
        self._ping = _Script("ping")
        self._epochs: dict[tuple[str, int, int], int] = {}

    def _keys(self, stage: str, partition: int, *names: str) -> list[str]:
        return [f"{self._prefix}:{{{stage}:{partition}}}:{name}" for name in names]

    @contextlib.asynccontextmanager
    async def _answering(self, size_bytes: int = 0) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_seconds + size_bytes / _BYTES_PER_SECOND):
                yield
        except AuthenticationError as error:
            raise ConfigError("store.password", f"Redis says: {error}") from None
        except NoPermissionError as error:
            raise ConfigError("store.username", f"Redis says: {error}; {_RIGHTS}") from None
        except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
            if any(sign in str(error) for sign in _CORRUPT):  # to wait would not help
                raise DecodeError("state_unreadable", f"Redis says: {error}; was a key changed by hand?") from None
            raise Unavailable("redis", str(error) or type(error).__name__) from error

    async def _run(self, script: _Script, keys: list[str], arguments: Sequence[bytes | str | int]) -> Any:
        size_bytes = sum(len(one) for one in arguments if not isinstance(one, int))
        async with self._answering(size_bytes):
            try:
                return await self._redis.evalsha(script.sha, len(keys), *keys, *arguments)
            except NoScriptError:
                return await self._redis.eval(script.source, len(keys), *keys, *arguments)

    async def claim(self, stage: str, partition: int) -> Claim:
        """Take ownership: every token given out before for this (stage, partition) is void."""
        answer = await self._run(self._claim, self._keys(stage, partition, "head", "outbox"), [LAYOUT])
        if answer[0] == b"layout":
            raise ConfigError("store.prefix", _other_layout(answer[1].decode(), self._prefix))
        token, epoch, offset, pairs = answer
        if isinstance(pairs, dict):
            pairs = list(itertools.chain.from_iterable(pairs.items()))
        with read_back(f"{stage}:{partition}"):
            outboxes = {int(pairs[at]): pairs[at + 1] for at in range(0, len(pairs), 2)}
            claim = Claim(
                token=int(token),
                epoch=int(epoch),
                offset=int(offset) if offset else None,
                outbox=[message for one in sorted(outboxes) for message in _outbox_decoder.decode(outboxes[one])],
            )
        self._epochs = {held: last for held, last in self._epochs.items() if held[:2] != (stage, partition)}
        self._epochs[stage, partition, claim.token] = claim.epoch
        return claim

    async def rows(self, stage: str, partition: int, keys: Sequence[str] | None = None) -> dict[str, bytes]:
        """Return the rows of these keys that exist, in one round trip; all rows, in steps, when `keys` is None.

        All rows come by HSCAN, so that a large partition neither blocks the server nor runs into
        the time limit. They are one state because only the owner writes, and the owner is asking.
        """
        (name,) = self._keys(stage, partition, "rows")
        if keys is not None:
            if not keys:
                return {}
            async with self._answering():
                values = await self._redis.hmget(name, [_encode(key) for key in keys])
            return {key: value for key, value in zip(keys, values, strict=True) if value is not None}
        rows: dict[str, bytes] = {}
        cursor = 0
        while True:
            cursor, part = await self.some_rows(stage, partition, cursor, _SCAN_ROWS)
            rows |= part
            if not cursor:
                return rows

    async def some_rows(
        self, stage: str, partition: int, cursor: int = 0, count: int = 1000
    ) -> tuple[int, dict[str, bytes]]:
        """Return some `count` rows from `cursor` on, and the cursor behind them: 0 where all were returned."""
        (name,) = self._keys(stage, partition, "rows")
        async with self._answering():
            cursor, part = await self._redis.hscan(name, cursor, count=count)
        with read_back(f"{stage}:{partition}"):
            return cursor, {_decode(key): value for key, value in part.items()}

    async def commit(self, stage: str, partition: int, token: int, commit: Commit) -> int:
        """Apply the commit atomically and return its epoch; raise Fenced when the token is void."""
        deleted = [_encode(key) for key, row in commit.rows.items() if row is None]
        written = ((_encode(key), row) for key, row in commit.rows.items() if row is not None)
        arguments: list[bytes | str | int] = [
            token,
            self._epochs.get((stage, partition, token), 0),
            commit.offset,
            msgspec.msgpack.encode(commit.outbox) if commit.outbox else b"",
            len(deleted),
            *deleted,
            *itertools.chain.from_iterable(written),
        ]
        epoch = int(await self._run(self._commit, self._keys(stage, partition, "head", "outbox", "rows"), arguments))
        if epoch == 0:
            raise Fenced("redis", f"{stage}:{partition} has another owner")
        if epoch < 0:
            raise Fenced("redis", f"{stage}:{partition} lost a commit that it had acknowledged")
        self._epochs[stage, partition, token] = epoch
        return epoch

    async def published(self, stage: str, partition: int, token: int, epoch: int) -> None:
        """Drop the outboxes up to this epoch; raise Fenced when the token is void."""
        if not await self._run(self._published, self._keys(stage, partition, "head", "outbox"), [token, epoch]):
            raise Fenced("redis", f"{stage}:{partition} has another owner")

    async def owned(self, stage: str, partition: int, token: int) -> None:
        """Return when nobody has claimed it since the token was given out; raise Fenced when the token is void."""
        (head,) = self._keys(stage, partition, "head")
        async with self._answering():
            last = await self._redis.hget(head, "token")
        if last != str(token).encode():
            raise Fenced("redis", f"{stage}:{partition} has another owner")

    async def ping(self) -> None:
        """Return when Redis can be written, we have every right we need, and it evicts nothing; else ConfigError.

        A full or read-only server answers PING, so this writes, on every master of a cluster. State that Redis
        may evict is state that silently vanishes, so `maxmemory-policy` must be `noeviction`.
        """
        async with self._answering():
            keys = await self._one_key_per_master()
        denied: set[str] = set()
        for key in keys:
            denied.update(name.decode() for name in await self._run(self._ping, [key], []))
        if denied:
            raise ConfigError("store.username", f"this user lacks +{' +'.join(sorted(denied))}; {_RIGHTS}")
        async with self._answering():
            await self._redis.hmget(keys[0], [b"ping"])
            await self._redis.hscan(keys[0], 0, count=1)
            everywhere = {}
            if isinstance(self._redis, RedisCluster):
                everywhere = {"target_nodes": self._redis.get_primaries()}
                await self._redis.execute_command("ASKING", **everywhere)  # else denied when the first slot moves
            info = await self._redis.info("memory", **everywhere)
        several = all(isinstance(one, dict) for one in info.values())  # a cluster of one answers as a server does
        for report in info.values() if several else [info]:
            policy = report.get("maxmemory_policy", "noeviction")
            if policy != "noeviction":
                raise ConfigError("maxmemory-policy", f"Redis may evict state ({policy}); set noeviction")

    async def _one_key_per_master(self) -> list[str]:
        if not isinstance(self._redis, RedisCluster):
            return [f"{self._prefix}:ping"]
        cluster: Any = await self._redis.initialize()
        keys: dict[str, str] = {}
        masters = len(cluster.get_primaries())
        for number in itertools.count():
            key = f"{self._prefix}:{{ping:{number}}}"
            keys.setdefault(cluster.get_node_from_key(key).name, key)
            if len(keys) == masters or number > 1000 * masters:  # a master without slots has no key
                return list(keys.values())
        raise AssertionError

    async def close(self) -> None:
        """Release connections."""
        await cast("Awaitable[None]", self._redis.aclose())


def _other_layout(found: str, prefix: str) -> str:
    """Say what is wrong with a layout that is not ours, and what can be done."""
    newer = found.isdecimal() and int(found) > int(LAYOUT)
    return (
        f"the state under {prefix!r} has layout {found}, written by {'a newer' if newer else 'an older'} version; this "
        f"one has layout {LAYOUT} and has changed nothing. Run that version again, or let this one start from nothing, "
        "with a prefix of its own ('Another version' in deploy/README.md)"
    )


def _encode(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _decode(key: bytes) -> str:
    return key.decode("utf-8", "surrogatepass")

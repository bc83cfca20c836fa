"""Memory and Redis behave alike, whatever is done to them and in whatever order."""

from __future__ import annotations

import asyncio
import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector.errors import Fenced
from detector.runtime.servers import RedisServer
from detector.stores import Commit, Message, Store
from detector.stores.memory import MemoryStore
from detector.stores.redis import RedisStore

keys = st.sampled_from(["a", "b", "c", ""])
messages = st.builds(
    Message,
    st.sampled_from(["findings", "verdicts"]),
    st.none() | st.integers(0, 3),
    keys,
    st.none() | st.binary(max_size=3),
)
partitions = st.integers(0, 1)
holders = st.integers(0, 2)
operations = st.one_of(
    st.tuples(st.just("claim"), partitions, holders),
    st.tuples(st.just("rows"), partitions, st.none() | st.lists(keys, max_size=3)),
    st.tuples(
        st.just("commit"),
        partitions,
        holders,
        st.builds(
            Commit,
            offset=st.integers(0, 1 << 40),
            rows=st.dictionaries(keys, st.none() | st.binary(max_size=3)),
            outbox=st.lists(messages, max_size=2),
        ),
    ),
    st.tuples(st.just("published"), partitions, holders, st.integers(0, 5)),
    st.tuples(st.just("owned"), partitions, holders),
)
_runs = itertools.count()


async def told(store: Store, steps: list[tuple[object, ...]]) -> list[object]:
    """Do the steps and return what each answered; a holder keeps the token of its last claim."""
    tokens: dict[tuple[int, int], int] = {}
    answers: list[object] = []
    for step in steps:
        try:
            match step:
                case ("claim", int(partition), int(holder)):
                    claim = await store.claim("links", partition)
                    tokens[partition, holder] = claim.token
                    answers.append((claim.epoch, claim.offset, claim.outbox))
                case ("rows", int(partition), wanted):
                    answers.append(await store.rows("links", partition, wanted))  # type: ignore[arg-type]
                case ("commit", int(partition), int(holder), Commit() as commit):
                    answers.append(await store.commit("links", partition, tokens.get((partition, holder), 0), commit))
                case ("published", int(partition), int(holder), int(epoch)):
                    await store.published("links", partition, tokens.get((partition, holder), 0), epoch)
                    answers.append("published")
                case ("owned", int(partition), int(holder)):
                    await store.owned("links", partition, tokens.get((partition, holder), 0))
                    answers.append("owned")
        except Fenced:
            answers.append("fenced")
    return answers


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(operations, max_size=25))
def test_memory_and_redis_answer_alike(redis_server: RedisServer, steps: list[tuple[object, ...]]) -> None:
    async def both() -> tuple[list[object], list[object]]:
        redis = RedisStore(redis_server.url, prefix=f"alike{next(_runs)}")
        try:
            return await told(MemoryStore(), steps), await told(redis, steps)
        finally:
            await redis.close()

    memory, redis = asyncio.run(both())
    assert memory == redis

"""The partitioner is Kafka's default one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.decoders.partition import murmur2, partition_of, partitions_of


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_the_one_that_kafkas_own_test_expects(key: bytes, expected: int) -> None:
    assert murmur2([key]).tolist() == [expected & 0xFFFFFFFF]


def slow_murmur2(key: bytes) -> int:
    m, h = 0x5BD1E995, 0x9747B28C ^ len(key)
    for i in range(0, len(key) // 4 * 4, 4):
        k = int.from_bytes(key[i : i + 4], "little") * m & 0xFFFFFFFF
        k = (k ^ k >> 24) * m & 0xFFFFFFFF
        h = h * m & 0xFFFFFFFF ^ k
    rest = key[len(key) // 4 * 4 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & 0xFFFFFFFF
    h = (h ^ h >> 13) * m & 0xFFFFFFFF
    return h ^ h >> 15


@given(st.lists(st.binary(max_size=140), max_size=20))
def test_a_batch_of_keys_hashes_as_each_does_alone(keys: list[bytes]) -> None:
    assert murmur2(keys).tolist() == [slow_murmur2(key) for key in keys]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.integers(1, 48))
def test_an_account_has_one_partition_whatever_the_batch(account_id: str, partitions: int) -> None:
    expected = (slow_murmur2(account_id.encode()) & 0x7FFFFFFF) % partitions
    assert partition_of(account_id, partitions) == expected
    assert partitions_of(["x", account_id], partitions)[1] == expected

"""A compressed batch unpacks to what it was, and never to more than it may."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from aiokafka import codec
from aiokafka.record import default_records
from aiokafka.record._crecords import default_records as compiled

from detector.runtime.unpacking import Unpackable, bound

CODECS = ("gzip", "snappy", "lz4", "zstd")
MOST = 1_000_000


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    bound(MOST)
    yield
    bound(64 << 20)


@pytest.mark.parametrize("parser", [default_records, compiled], ids=["plain", "compiled"])
@pytest.mark.parametrize("name", CODECS)
def test_what_is_within_the_bound_is_unpacked_as_before(parser, name: str) -> None:
    for size in (1, 70_000, MOST):
        content = bytes(range(256)) * (size // 256) + bytes(size % 256)
        packed = getattr(codec, f"{name}_encode")(content)
        assert getattr(parser, f"{name}_decode")(memoryview(packed)) == content


def test_snappy_without_blocks_is_unpacked_too() -> None:
    packed = codec.snappy_encode(b"x" * 100, xerial_compatible=False)
    assert default_records.snappy_decode(packed) == b"x" * 100


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("size", [MOST + 1, 100 * MOST])
def test_what_is_beyond_it_is_refused_before_it_takes_the_memory(name: str, size: int) -> None:
    packed = getattr(codec, f"{name}_encode")(b"1" * size)
    tracemalloc.start()
    try:
        with pytest.raises(Unpackable):
            getattr(default_records, f"{name}_decode")(packed)
        assert tracemalloc.get_traced_memory()[1] < 4 * MOST + 2 * len(packed)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", CODECS)
def test_what_is_damaged_is_refused_in_the_same_words(name: str) -> None:
    packed = getattr(codec, f"{name}_encode")(b"some words " * 500)
    for damaged in (packed[: len(packed) // 2], b"\xff" * 40, packed[:20] + b"\xff\xff\xff\xff" * 5):
        with pytest.raises(Unpackable):
            getattr(default_records, f"{name}_decode")(damaged)

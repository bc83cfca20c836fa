"""A bound on what a compressed batch of records unpacks to.

The broker bounds how large a batch is *packed* (max.message.bytes, 1 MB by default), and so does a fetch. Neither it
nor aiokafka bounds what comes out: 9 KB of zstd were 300 MB, and a whole megabyte is more than any machine has.
aiokafka's parser looks its codecs up by name in its own module, so they are replaced there, for the whole process.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Final

import numpy as np
from aiokafka.errors import KafkaError

_PARSERS: Final = ("aiokafka.record.default_records", "aiokafka.record._crecords.default_records")
_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_BYTES: Final = 16


@dataclass(slots=True)
class Counted:
    """What was unpacked in this process so far, and the bound."""

    unpacked_bytes: int = 0
    most_bytes: int = 1 << 62


counted: Final = Counted()


class Unpackable(KafkaError):
    """A batch does not unpack, or not within the bound."""


def bound(most_bytes: int) -> None:
    """From here on, let a batch unpack to `most_bytes` and raise Unpackable at one that would be more."""
    counted.most_bytes = most_bytes
    codecs: dict[str, Callable[[bytes, int], bytes]] = {
        "gzip": _gzip,
        "snappy": _snappy,
        "lz4": partial(_into, name="lz4"),
        "zstd": partial(_into, name="zstd"),
    }
    for parser in map(import_module, _PARSERS):
        for name, unpack in codecs.items():
            setattr(parser, f"{name}_decode", partial(_within, unpack, most_bytes))


def _within(unpack: Callable[..., bytes], most_bytes: int, payload: Any) -> bytes:
    try:
        unpacked = unpack(bytes(payload), most_bytes)
    except Exception as error:
        raise Unpackable(f"{type(error).__name__}: {error}") from error
    counted.unpacked_bytes += len(unpacked)
    return unpacked


def _gzip(payload: bytes, most_bytes: int) -> bytes:
    parts: list[bytes] = []
    while payload:
        member = zlib.decompressobj(wbits=31)
        parts.append(member.decompress(payload, most_bytes + 1 - sum(map(len, parts))))
        if member.unconsumed_tail or sum(map(len, parts)) > most_bytes or not member.eof:
            raise ValueError(f"more than {most_bytes} bytes, or cut off")
        payload = member.unused_data
    return b"".join(parts)


def _snappy(payload: bytes, most_bytes: int) -> bytes:
    from cramjam import snappy  # noqa: PLC0415 - an extra, and aiokafka has seen that it is there

    blocks = [payload]
    if payload.startswith(_XERIAL):
        blocks, at = [], _XERIAL_BYTES
        while at < len(payload):
            (size,) = struct.unpack_from("!I", payload, at)
            blocks.append(payload[at + 4 : at + 4 + size])
            at += 4 + size
    if sum(map(snappy.decompress_raw_len, blocks)) > most_bytes:
        raise ValueError(f"more than {most_bytes} bytes")
    return b"".join(bytes(snappy.decompress_raw(block)) for block in blocks)


def _into(payload: bytes, most_bytes: int, *, name: str) -> bytes:
    """Unpack into memory of the bound's size; of it the system gives what is written to."""
    room = np.empty(most_bytes, np.uint8)
    size = getattr(import_module("cramjam"), name).decompress_into(payload, room)
    return room[:size].tobytes()

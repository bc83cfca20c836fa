"""Frozen dataclasses of numpy columns as bytes: what the internal topics carry.

MessagePack of the fields in order; an array is (dtype, shape, little-endian buffer), a nested
dataclass the list of its fields. Decoding is zero-copy: the arrays are read-only views of the
record. Equal values give equal bytes.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache, partial
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from detector.errors import DecodeError

T = TypeVar("T")

VERSION: Final = 1


def encode(record: Any) -> bytes:
    """Return the bytes of a dataclass of arrays, numbers, strings, tuples and such dataclasses."""
    return msgspec.msgpack.encode((VERSION, _pack(record)))


def decode(cls: type[T], data: bytes) -> T:
    """Return the record; raise DecodeError when the bytes are not one of this class and version."""
    try:
        version, packed = msgspec.msgpack.decode(data, type=tuple[int, list[Any]])
        if version != VERSION:
            raise DecodeError("internal_version", f"record of version {version}, this worker reads {VERSION}")
        return typing.cast("T", _unpack(cls, packed))
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise DecodeError("internal_malformed", f"{cls.__name__}: {error}") from None


def _pack(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if is_dataclass(value):
        return [_pack(getattr(value, field.name)) for field in fields(value)]
    return value


@cache
def _readers(cls: Any) -> tuple[Callable[[Any], Any], ...]:
    """Return for each field of a dataclass what makes its value of the packed one."""
    hints = typing.get_type_hints(cls)
    return tuple(_reader(hints[field.name]) for field in fields(cls))


def _reader(hint: Any) -> Callable[[Any], Any]:
    if is_dataclass(hint):
        return partial(_unpack, hint)
    origin = typing.get_origin(hint)
    return _array if origin is np.ndarray else _tuples if origin is tuple else _same


def _unpack(cls: Any, packed: list[Any]) -> Any:
    return cls(*[read(value) for read, value in zip(_readers(cls), packed, strict=True)])


def _array(packed: Any) -> np.ndarray[tuple[int, ...], np.dtype[Any]]:
    dtype, shape, buffer = packed
    return np.frombuffer(buffer, dtype).reshape(shape)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _same(value: Any) -> Any:
    return value

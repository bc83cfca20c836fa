"""Frozen dataclasses of numpy columns as bytes: what the internal topics carry.

MessagePack of the fields in order; an array is (dtype, shape, little-endian buffer), a nested
dataclass the list of its fields. Decoding is zero-copy: the arrays are read-only views of the
record. Equal values give equal bytes.
"""

from __future__ import annotations

import typing
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from detector.errors import DecodeError

T = TypeVar("T")

VERSION: Final = 1


def encode(record: Any) -> bytes:
    """Return the bytes of a dataclass of arrays, numbers, strings, tuples and such dataclasses.

    Columns are written in their declared dtype: numpy's sums come out wider than what they add up.
    """
    return msgspec.msgpack.encode((VERSION, _pack(record)))


def decode(cls: type[T], data: bytes) -> T:
    """Return the record; raise DecodeError when the bytes are not one of this class and version."""
    try:
        version, packed = msgspec.msgpack.decode(data, type=tuple[int, list[Any]])
        if version != VERSION:
            raise DecodeError("internal_version", f"record of version {version}, this worker reads {VERSION}")
        return typing.cast("T", _unpack(cls, packed))
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise DecodeError("internal_malformed", f"{cls.__name__}: {error}") from None


def _pack(record: Any) -> list[Any]:
    cls: Any = type(record)
    values = ((getattr(record, name), hint, dtype) for name, hint, dtype in _fields(cls))
    return [
        _pack(value) if is_dataclass(hint) else value if dtype is None else _columns(value, dtype)
        for value, hint, dtype in values
    ]


def _columns(value: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> tuple[str, tuple[int, ...], bytes]:
    return (dtype.str, value.shape, value.astype(dtype, casting="same_kind", copy=False).tobytes())


@cache
def _fields(cls: Any) -> tuple[tuple[str, Any, np.dtype[Any] | None], ...]:
    """Return for each field of a dataclass its name and type, and the dtype where it is an array."""
    hints = typing.get_type_hints(cls)
    return tuple((field.name, hints[field.name], _dtype(hints[field.name])) for field in fields(cls))


def _dtype(hint: Any) -> np.dtype[Any] | None:
    if typing.get_origin(hint) is not np.ndarray:
        return None
    (scalar,) = typing.get_args(typing.get_args(hint)[1])
    return np.dtype(typing.cast("type[Any]", scalar))


def _unpack(cls: Any, packed: list[Any]) -> Any:
    return cls(*[_read(value, hint, dtype) for value, (_, hint, dtype) in zip(packed, _fields(cls), strict=True)])


def _read(packed: Any, hint: Any, dtype: np.dtype[Any] | None) -> Any:
    if is_dataclass(hint):
        return _unpack(hint, packed)
    if dtype is None:
        return msgspec.convert(packed, hint)
    # the dtype in the record is compared, never interpreted: numpy evaluates some strings as Python
    name, shape, buffer = packed
    if name != dtype.str:
        raise ValueError(f"a column of {name!r} where {dtype.str!r} belongs")
    return np.frombuffer(buffer, dtype).reshape(shape)

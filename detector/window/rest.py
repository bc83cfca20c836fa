"""An account's row at rest: a few hundred bytes for the nearly idle, which most are.

A row is taken as 32-bit words, of which few differ from those of an account that did nothing:

    version │ bitmap of the words that differ │ their lengths, 2 bits each │ 1 to 4 bytes each │ tail

Stamps are stored as their distance from the tile of the newest event, which makes them one byte.
The tail is the caller's (the records that came inside events) and is kept as it is.
Lossless: a row that went through rest and back behaves the same, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.errors import DecodeError
from detector.event import I64
from detector.window.activity import ROW, STAMPED, fresh
from detector.window.tiles import NEVER, U32

VERSION: Final = 2
_WORDS: Final = ROW.itemsize // 4
_BITMAP: Final = (_WORDS + 7) // 8
_DEFAULT: Final = fresh(1).view(np.uint32).reshape(1, _WORDS)


def _stamps(words: U32, newest_ms: I64, direction: int) -> None:
    """Turn stamps into distances (direction 1) or back (-1), in place; the default, 0 after the XOR, stays."""
    for level in STAMPED:
        at = ROW.fields[f"stamps_{level.name}"][1] // 4  # type: ignore[index]
        part = words[:, at : at + level.slots]
        newest = (newest_ms // level.tile_ms)[:, None]
        if direction > 0:
            stamps = (part ^ np.uint32(0xFFFFFFFF)).view(np.int32).astype(np.int64)
            part[:] = np.where(stamps == NEVER, 0, 2 * np.abs(newest - stamps) + 1 + (stamps > newest))
        else:
            distance = (part.astype(np.int64) - 1) // 2
            stamps = np.where((part & 1) == 0, newest + distance, newest - distance)
            part[:] = np.where(part == 0, 0, stamps.astype(np.int32).view(np.uint32) ^ np.uint32(0xFFFFFFFF))


def encode(rows: npt.NDArray[Any], tails: Sequence[bytes]) -> list[bytes]:
    """Return the bytes of n rows (dtype ROW), each followed by its tail."""
    n = len(rows)
    if not n:
        return []
    words = np.ascontiguousarray(rows).view(np.uint32).reshape(n, _WORDS) ^ _DEFAULT
    _stamps(words, rows["newest_ms"], 1)
    used = words != 0
    values = words[used]
    length = 1 + (values > 0xFF).astype(np.int64) + (values > 0xFFFF) + (values > 0xFFFFFF)
    count = used.sum(axis=1)
    first = np.cumsum(count) - count  # of each row, among the values
    code_bytes = (count + 3) // 4
    code_first = np.cumsum(code_bytes) - code_bytes
    four = np.zeros(4 * int(code_bytes.sum()), np.uint8)
    four[np.arange(len(values)) + np.repeat(4 * code_first - first, count)] = length - 1
    codes = four[0::4] | four[1::4] << 2 | four[2::4] << 4 | four[3::4] << 6
    ends = np.concatenate([[0], np.cumsum(length)])
    content = np.empty(int(ends[-1]), np.uint8)
    bytes_of = values.astype("<u4").view(np.uint8).reshape(-1, 4)
    for byte in range(4):
        has = np.flatnonzero(length > byte)
        content[ends[has] + byte] = bytes_of[has, byte]
    written = content.tobytes()
    bounds = ends[np.append(first, len(values))].tolist()
    bitmaps = np.packbits(used, axis=1, bitorder="little").tobytes()
    code_bounds = np.append(code_first, len(codes)).tolist()
    code_content, version = codes.tobytes(), bytes([VERSION])
    return [
        b"".join(
            (
                version,
                bitmaps[i * _BITMAP : (i + 1) * _BITMAP],
                code_content[code_bounds[i] : code_bounds[i + 1]],
                written[bounds[i] : bounds[i + 1]],
                tails[i],
            )
        )
        for i in range(n)
    ]


def decode(encoded: Sequence[bytes]) -> tuple[npt.NDArray[Any], list[bytes]]:
    """Return the rows and the tails; raise DecodeError when a row is of another version or cut short."""
    n = len(encoded)
    if not n:
        return fresh(0), []
    lengths = np.fromiter(map(len, encoded), np.int64, n)
    buffer = np.frombuffer(b"".join(encoded) + b"\0\0\0\0", np.uint8)
    start = np.cumsum(lengths) - lengths
    if (lengths <= _BITMAP).any() or (buffer[start] != VERSION).any():
        raise DecodeError("account_row_version", f"this worker reads version {VERSION}")
    bitmaps = buffer[start[:, None] + 1 + np.arange(_BITMAP)]
    used = np.unpackbits(bitmaps, axis=1, count=_WORDS, bitorder="little").astype(bool)
    count = used.sum(axis=1)
    code_start = start + 1 + _BITMAP
    content_start = code_start + (count + 3) // 4
    if (content_start > start + lengths).any():
        raise DecodeError("account_row_malformed", "cut short")
    first = np.cumsum(count) - count
    place = np.arange(int(count.sum())) - np.repeat(first, count)
    length = ((buffer[np.repeat(code_start, count) + place // 4] >> (2 * (place % 4)).astype(np.uint8)) & 3) + 1
    ends = np.concatenate([[0], np.cumsum(length, dtype=np.int64)])
    at = ends[:-1] - np.repeat(ends[first], count) + np.repeat(content_start, count)
    end = content_start + ends[first + count] - ends[first]
    if (end > start + lengths).any():
        raise DecodeError("account_row_malformed", "cut short")
    values = np.zeros(len(place), np.uint32)
    for byte in range(4):
        values |= np.where(byte < length, buffer[at + byte], 0).astype(np.uint32) << np.uint32(8 * byte)
    words = np.zeros((n, _WORDS), np.uint32)
    words[used] = values
    newest = (words ^ _DEFAULT).view(ROW)["newest_ms"].reshape(n)
    _stamps(words, newest, -1)
    rows = (words ^ _DEFAULT).view(ROW).reshape(n)
    return rows, [row[int(e - s) :] for row, s, e in zip(encoded, start, end, strict=True)]

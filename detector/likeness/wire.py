"""Sketches as strings, for gateways that keep the prompt text to themselves: the field `prompt_sketch`.

    "s1." + base64url of 78 bytes, 107 characters in all
      8 text, 8 template, 8 head, 8 tail, 4x8 fragments, 8 skeleton, 4 words, 1 labels, 1 check; little endian

The number in the prefix is the version of the *function*, not only of the format: sketches of two versions must
not be compared, so whatever changes a column's values changes the prefix. The check byte catches damage, not malice.
Encoding and decoding work on the bytes of the whole batch; no string is looked at by itself beyond its length.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

import numpy as np

from detector.event import FRAGMENTS, I64, Sketches
from detector.likeness.sketch import empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detector.likeness.fold import U8

PREFIX: Final = "s1."
_ROW: Final = np.dtype(
    [
        ("text", "<u8"),
        ("template", "<u8"),
        ("head", "<u8"),
        ("tail", "<u8"),
        ("fragments", "<u8", (FRAGMENTS,)),
        ("skeleton", "<u8"),
        ("words", "<i4"),
        ("labels", "u1"),
        ("check", "u1"),
    ]
)
_COLUMNS: Final = ("text", "template", "head", "tail", "fragments", "skeleton", "words", "labels")
_BYTES: Final = _ROW.itemsize
_CHARS: Final = _BYTES * 4 // 3
LENGTH: Final = len(PREFIX) + _CHARS

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_NOT_IN_ALPHABET: Final = 255


def _sextets() -> U8:
    table = np.full(256, _NOT_IN_ALPHABET, np.uint8)
    table[list(_ALPHABET)] = np.arange(64)
    return table


_SEXTETS: Final = _sextets()


def encode(sketches: Sketches) -> list[str]:
    """Return one string per row; "" for an unknown row."""
    n = len(sketches.known)
    rows = np.zeros(n, _ROW)
    for name in _COLUMNS:
        rows[name] = getattr(sketches, name)
    rows["check"] = _check(rows)
    joined = base64.urlsafe_b64encode(rows.tobytes()).decode("ascii")
    return [
        PREFIX + joined[i * _CHARS : (i + 1) * _CHARS] if known else ""
        for i, known in enumerate(sketches.known.tolist())
    ]


def decode(strings: Sequence[str | None]) -> tuple[Sketches, I64]:
    """Return the rows, and the indices of strings that are no sketch of this version; those rows are unknown.

    None and "" are an unknown prompt, which is not an error.
    """
    out = empty(len(strings))
    rows: list[int] = []
    bad: list[int] = []
    taken: list[str] = []
    for row, string in enumerate(strings):
        if not string:
            continue
        if len(string) == LENGTH and string.startswith(PREFIX) and string.isascii():
            rows.append(row)
            taken.append(string)
        else:
            bad.append(row)
    chars = np.frombuffer("".join(taken).encode("ascii"), np.uint8).reshape(-1, LENGTH)[:, len(PREFIX) :]
    sextets = _SEXTETS[chars]
    four = sextets.reshape(-1, 4)
    packed = np.empty((len(four), 3), np.uint8)
    packed[:, 0] = (four[:, 0] << 2) | (four[:, 1] >> 4)
    packed[:, 1] = (four[:, 1] << 4) | (four[:, 2] >> 2)
    packed[:, 2] = (four[:, 2] << 6) | four[:, 3]
    values = packed.reshape(-1).view(_ROW)
    good = (sextets != _NOT_IN_ALPHABET).all(axis=1) & (values["check"] == _check(values)) & (values["words"] >= 0)
    at = np.array(rows, np.int64)
    bad.extend(at[~good].tolist())
    at, values = at[good], values[good]
    out.known[at] = True
    for name in _COLUMNS:
        getattr(out, name)[at] = values[name]
    return out, np.array(sorted(bad), np.int64)


def _check(rows: np.ndarray[tuple[int], np.dtype[np.void]]) -> U8:
    """Return a byte per row over all of its other bytes; their order matters."""
    body = np.ascontiguousarray(rows).view(np.uint8).reshape(-1, _BYTES)[:, :-1]
    weights = np.arange(1, _BYTES, dtype=np.uint32) * 2 + 1
    check: U8 = ((body * weights).sum(axis=1, dtype=np.uint32) % 251).astype(np.uint8)
    return check

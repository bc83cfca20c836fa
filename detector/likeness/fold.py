r"""Texts as bytes: the part that is read, in one Unicode form, with and without case; and a hash of all of it.

    texts ─► fold ─► cased  \n\n\n\n Say HI. \n Què? \n …      rows joined by newlines, some more around them
                     low    \n\n\n\n say hi. \n què? \n …      of the same length
                     visible         sayhi.  què?   …          what is hashed

Only the first FIRST_CHARS and last LAST_CHARS characters of a prompt are read. Unicode normalisation is quadratic in
runs of combining marks, so it is applied to pieces of NORMALISE_CHARS characters (a composed character that straddles
a cut stays decomposed).
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import xxhash

from detector.event import I64, U64
from detector.likeness.compiled import entry

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_CHARS: Final = 6144
LAST_CHARS: Final = 2048
NORMALISE_CHARS: Final = 128
FRONT: Final = 4  # newlines before the first row: looking back from it stays inside
BACK: Final = 24  # behind the last: loading a word of 16 bytes, or looking ahead, does

U8 = npt.NDArray[np.uint8]

_TYPOGRAPHY: Final = {
    ord(char): plain
    for chars, plain in (
        ("\u2018\u2019\u02bc", "'"),
        ("\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\u300e\u300f", '"'),
        ("\u2010\u2011\u2013\u2014", "-"),
        ("\u3002\u0964", ". "),
        ("\u3001\u060c", ", "),
        ("\u061f", "? "),
        ("\u2028\u2029\u0085", "\n"),
        ("\u00ad\u200b\u200c\u200d\u2060\ufeff", ""),
    )
    for char in chars
}
_TYPOGRAPHY_CHARS: Final = tuple((chr(code), plain) for code, plain in _TYPOGRAPHY.items())


_VISIBLE: Final = np.array([32 < char != 127 for char in range(256)], np.int64)


@dataclass(frozen=True, slots=True)
class Folded:
    """The part of n texts that is read, as UTF-8; lone surrogates are kept as they are.

    `cased`    with FRONT newlines before the rows, one behind each, and BACK at the end
    `low`      the same in lower case: of the same length, so that an index means the same in either
    `first`    [n + 1] row r is the bytes first[r]:first[r + 1] - 1
    `visible`  the rows of `low` without blanks: row r is the bytes visible_first[r]:visible_first[r + 1]
    """

    cased: U8
    low: U8
    first: I64
    visible: U8
    visible_first: I64

    def digests(self, texts: Sequence[str], key: int) -> U64:
        """Return [n] the keyed hash of each whole text without case and white space; 0 if nothing is left of it.

        `texts` are what was folded; what of them is not read counts as it stands.
        """
        digests = np.zeros(len(texts), np.uint64)
        visible = self.visible.data
        at = self.visible_first.tolist()
        for row, text in enumerate(texts):
            begin, end = at[row], at[row + 1]
            if begin == end:
                continue
            value = xxhash.xxh3_64_intdigest(visible[begin:end], key)
            if len(text) > FIRST_CHARS + LAST_CHARS:
                unread = text[FIRST_CHARS:-LAST_CHARS].encode("utf-8", "surrogatepass")
                value = xxhash.xxh3_64_intdigest(unread, value)
            digests[row] = value or 1
        return digests


def fold(texts: Sequence[str]) -> Folded:
    """Return the bytes of some texts (at least one)."""
    rows = [as_bytes(text) for text in texts]
    first = np.empty(len(rows) + 1, np.int64)
    first[0] = FRONT
    np.cumsum([len(cased) + 1 for cased, _ in rows], out=first[1:])
    first[1:] += FRONT
    cased = lowered = _joined([cased for cased, _ in rows])
    if any(low is not cased for cased, low in rows):
        lowered = _joined([low for _, low in rows])
    low, visible, visible_first = _lowered(lowered, first)
    return Folded(cased, low, first, visible, visible_first)


def _joined(rows: Sequence[bytes]) -> U8:
    return np.frombuffer(b"".join((b"\n" * FRONT, b"\n".join(rows), b"\n" * BACK)), np.uint8)


def as_bytes(text: str) -> tuple[bytes, bytes]:
    """Return what is read of one text with its case, and with the case of ASCII letters only; both of one length."""
    if len(text) > FIRST_CHARS + LAST_CHARS:
        text = f"{text[:FIRST_CHARS]}\n{text[-LAST_CHARS:]}"
    if text.isascii():
        cased = text.encode()
        return cased, cased
    for char, plain in _TYPOGRAPHY_CHARS:
        if char in text:
            text = text.replace(char, plain)
    if len(text) <= NORMALISE_CHARS:
        text = unicodedata.normalize("NFKC", text)
    else:
        pieces = (text[i : i + NORMALISE_CHARS] for i in range(0, len(text), NORMALISE_CHARS))
        text = "".join([unicodedata.normalize("NFKC", piece) for piece in pieces])
        if len(text) > FIRST_CHARS + LAST_CHARS:  # some characters stand for many
            text = f"{text[:FIRST_CHARS]}\n{text[-LAST_CHARS:]}"
    cased = text.encode("utf-8", "surrogatepass")
    low = text.lower().encode("utf-8", "surrogatepass")
    return (cased, low) if len(cased) == len(low) else (low, low)


@entry
def _lowered(rows: U8, first: I64) -> tuple[U8, U8, I64]:
    """Return the bytes with ASCII letters in lower case, and the rows of these without blanks, with their bounds.

    Bounds: of the first n bytes at most n are visible.
    """
    low = np.empty_like(rows)
    for at in range(len(rows)):
        char = rows[at]
        low[at] = char + 32 if 65 <= char <= 90 else char
    n = len(first) - 1
    visible = np.empty_like(low)
    visible_first = np.zeros(n + 1, np.int64)
    count = 0
    for row in range(n):
        for char in low[first[row] : first[row + 1] - 1]:
            visible[count] = char
            count += _VISIBLE[char]
        visible_first[row + 1] = count
    return low, visible, visible_first

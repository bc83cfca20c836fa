"""From prompts to masked words, for a whole batch in one pass over one byte buffer.

    texts ──► fold (case kept aside, unicode, invisible characters) ──► one buffer, rows joined by newlines
          ──► words: runs of word bytes, an ideograph each, at most PIECE bytes ──► 64-bit code of each
          ──► slots: words that belong to the question and not to the scaffold ──► runs of slots become one

A slot is: a word with a digit · what stands between quotes or fences on the same line (`"` `'` `` ` ``, three of
them across lines), but not the keys of JSON, nor where nearly the whole prompt is quoted · parts of URLs, e-mails,
paths, identifiers and calls (words glued by `/ @ . _ = (`) · a capitalised word within a sentence (names; not where
most of the prompt is in Title Case) · a list of three or more words with commas · a word longer than 24 bytes.
What a slot holds does not matter, nor how many words.

Why numpy over bytes: `str.lower().split()` with one dictionary look-up per word costs 14 µs for a 2 KB prompt, and
a regular expression 41 µs, before anything is known about slots or sentences. One pass of `bytes.translate` costs
0.7 µs, finding all word edges 1.2 µs, a 64-bit load per word 1.3 µs (2-core Xeon, otherwise idle).

Bounds: only the first FIRST_CHARS and last LAST_CHARS characters of a prompt are read. Unicode normalisation is
quadratic in runs of combining marks, so it is applied to pieces of 128 characters (a composed character that
straddles a cut stays decomposed).

Weakness: the codes of words are not keyed (lexicon and label weights need them fixed); whatever leaves this
package is.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import xxhash

from detector.event import I64, U64, Mask

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_CHARS: Final = 6144
LAST_CHARS: Final = 2048
PIECE: Final = 16  # bytes; a longer word counts as several
LONG_WORD_BYTES: Final = 24
NORMALISE_CHARS: Final = 128
WRAPPED_SHARE: Final = 12  # with fewer than one word in so many outside quotes, the quotes wrap the prompt itself

U8 = npt.NDArray[np.uint8]
Pairs = tuple[I64, I64]

_WORD, _DIGIT, _UPPER, _LOWER, _GLUE, _SIGIL, _MARK, _END = (1 << i for i in range(8))
_LOWERCASE: Final = bytes(range(65)) + bytes(range(97, 123)) + bytes(range(91, 256))
_BLANKS: Final = bytes(range(33)) + b"\x7f"
_NEWLINE, _SPACE, _QUOTE, _APOSTROPHE, _COMMA, _HYPHEN, _BACKTICK, _COLON = b"\n \"',-`:"


def _byte_classes() -> bytes:
    classes = bytearray(256)
    for chars, bit in (
        (b"0123456789", _WORD | _DIGIT),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", _WORD | _UPPER),
        (b"abcdefghijklmnopqrstuvwxyz", _WORD | _LOWER),
        (bytes(range(128, 256)) + b"'", _WORD),
        (b".=&?(+*^|:", _GLUE),
        (b"/\\@_~${%", _SIGIL),
        (b"\n\"'`", _MARK),
        (b"\n.?!:", _END),
    ):
        for char in chars:
            classes[char] |= bit
    return bytes(classes)


_CLASSES: Final = _byte_classes()
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

_MIX_A: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_B: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_MIX_C: Final = np.uint64(0xD6E8FEB86659FD93)
_BYTE_MASKS: Final = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
SLOT: Final = np.uint64(0x5107_5107_5107_5107)

_FRONT: Final = b"\n" * 4  # so that looking back from the first byte stays inside the buffer
_BACK: Final = b"\n" * (PIECE + 8)


@dataclass(frozen=True, slots=True)
class MaskedWords:
    """The words of n prompts after masking, row after row, a run of slots being one word.

    `code`   [m] 64-bit codes, SLOT for a slot
    `opens`  [m] the word begins a sentence or line
    `first`  [n + 1] row r holds the words first[r]:first[r + 1]
    `words`  [n] length in words before runs of slots were joined
    """

    code: U64
    opens: Mask
    first: I64
    words: I64


def fold(text: str) -> tuple[bytes, bytes]:
    """Return the part of a prompt that is read, as UTF-8: with its case, and in lower case.

    Both have one length, so that an index means the same in either. Lone surrogates are kept as they are.
    """
    if len(text) > FIRST_CHARS + LAST_CHARS:
        text = f"{text[:FIRST_CHARS]}\n{text[-LAST_CHARS:]}"
    if text.isascii():
        cased = text.encode()
        return cased, cased.translate(_LOWERCASE)
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


def digest(text: str, low: bytes, key: int) -> int:
    """Return the keyed hash of the whole prompt without case and white space; 0 if nothing is left of it.

    `low` is its folded part; what is not folded counts as it stands.
    """
    visible = low.translate(None, _BLANKS)
    if not visible:
        return 0
    value = xxhash.xxh3_64_intdigest(visible, key)
    if len(text) > FIRST_CHARS + LAST_CHARS:
        unread = text[FIRST_CHARS:-LAST_CHARS].encode("utf-8", "surrogatepass")
        value = xxhash.xxh3_64_intdigest(unread, value)
    return value or 1


def mask(cased_rows: Sequence[bytes], low_rows: Sequence[bytes]) -> MaskedWords:
    """Return the masked words of folded prompts (at least one)."""
    cased = _FRONT + b"\n".join(cased_rows) + _BACK
    low_bytes = _FRONT + b"\n".join(low_rows) + _BACK
    low = np.frombuffer(low_bytes, np.uint8)
    classes = np.frombuffer(cased.translate(_CLASSES), np.uint8)
    lengths = np.fromiter(map(len, low_rows), np.int64, len(low_rows))
    row_at = np.full(len(low_rows) + 1, len(_FRONT), np.int64)
    np.cumsum(lengths + 1, out=row_at[1:])
    row_at[1:] += len(_FRONT)

    start, end, size = _edges(classes, low, ascii_only=cased.isascii())
    count = len(start)
    first = np.searchsorted(start, row_at)
    code = _codes(low_bytes, start, end)
    if count == 0:
        return MaskedWords(code, np.zeros(0, np.bool_), first, np.diff(first))

    gap = np.empty(count, np.int64)
    gap[0] = 1 << 20
    np.subtract(start[1:], end[:-1], out=gap[1:])
    before = low[start - 1]
    opens = (classes[start - 1] & _END) > 0
    opens[1:] |= (classes[end[:-1]] & _END) > 0
    opens &= (gap > 1) | (before == _NEWLINE)
    has_words = first[:-1] < first[1:]
    leads = first[:-1][has_words]
    gap[leads] = 1 << 20
    opens[leads] = True

    digits = np.zeros(count, np.bool_)
    digits[np.searchsorted(start, np.flatnonzero((classes & _DIGIT) != 0), "right") - 1] = True
    slot = digits | (size > LONG_WORD_BYTES)
    _mask_glued(slot, digits, classes, low, start, end, gap)
    _mask_names(slot, classes, start, before, gap, first, opens)
    _mask_lists(slot, low, start, gap)
    _mask_spans(slot, _spans(low, classes, start, row_at), first)

    code[slot] = SLOT
    keep = ~slot
    keep[1:] |= ~slot[:-1]
    keep[leads] = True
    kept = np.flatnonzero(keep)
    return MaskedWords(
        code=code[kept],
        opens=opens[kept],
        first=np.searchsorted(kept, first),
        words=np.diff(first),
    )


def codes(words: Sequence[str]) -> U64:
    """Return the code of each word (lower case, at most PIECE bytes): for lexicons."""
    joined = " ".join(words).encode()
    sizes = np.fromiter((len(word.encode()) for word in words), np.int64, len(words))
    end = np.cumsum(sizes + 1) - 1
    return _codes(joined + _BACK, end - sizes, end)


def _edges(classes: U8, low: U8, *, ascii_only: bool) -> tuple[I64, I64, I64]:
    """Return where words start and end, and the size in bytes of the run of word bytes each is a piece of."""
    is_word = (classes & _WORD).view(np.bool_)
    edges = np.flatnonzero(is_word[1:] != is_word[:-1]) + 1
    start, end = edges[0::2].copy(), edges[1::2].copy()  # contiguous: both index other columns many times
    if not ascii_only:
        start, end = _cut_ideographs(is_word, low, end)
    size = end - start
    if len(size) and int(size.max()) > PIECE:
        pieces = (size + (PIECE - 1)) // PIECE
        rank = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        start = np.repeat(start, pieces) + rank * PIECE
        end = np.minimum(start + PIECE, np.repeat(end, pieces))
        # Scripts of several bytes per letter have no long words in this sense.
        size = np.repeat(np.where(low[start[np.cumsum(pieces) - pieces]] < 128, size, 0), pieces)
    return start, end, size


def _cut_ideographs(is_word: Mask, low: U8, end: I64) -> tuple[I64, I64]:
    """Make every character of a script without spaces (CJK, kana) and every emoji a word of its own."""
    three = (low >= 0xE3) & (low <= 0xE9)
    four = low >= 0xF0
    cut = np.zeros(len(low), np.bool_)
    cut[1:] = ~is_word[:-1]
    cut |= three | four
    cut[3:] |= three[:-3]
    cut[4:] |= four[:-4]
    start = np.flatnonzero(cut & is_word)
    stop = end[np.searchsorted(end, start, "right")]
    stop[:-1] = np.minimum(stop[:-1], start[1:])
    return start, stop


def _codes(low: bytes, start: I64, end: I64) -> U64:
    """Return 64-bit codes of words of at most 16 bytes: two masked loads, mixed."""
    loads = np.ndarray((len(low) - 8,), "<u8", low, strides=(1,))
    size = end - start
    code: U64 = loads[start] & _BYTE_MASKS[np.minimum(size, 8)]
    code *= _MIX_A
    longer = np.flatnonzero(size > 8)
    if len(longer):
        rest = loads[start[longer] + 8] & _BYTE_MASKS[size[longer] - 8]
        code[longer] ^= (rest + _MIX_A) * _MIX_B
    code ^= code >> np.uint64(32)
    code *= _MIX_C
    code ^= code >> np.uint64(29)
    return code


def _pairs(at: I64, group: I64) -> Pairs:
    """Return first and second of each pair of marks, taken in order within a group; an odd last one is left."""
    if len(at) < 2:
        return at[:0], at[:0]
    index = np.arange(len(at))
    new = np.ones(len(at), np.bool_)
    new[1:] = group[1:] != group[:-1]
    rank = index - np.maximum.accumulate(np.where(new, index, 0))
    opening = np.flatnonzero((rank[:-1] % 2 == 0) & ~new[1:])
    return at[opening], at[opening + 1]


def _spans(low: U8, classes: U8, start: I64, row_at: I64) -> Mask:
    """Return which words stand between quotes or fences."""
    at = np.flatnonzero((classes & _MARK) != 0)
    char = low[at]
    line = np.cumsum(char == _NEWLINE)
    marks = char != _NEWLINE
    at, char, line = at[marks], char[marks], line[marks]
    # How many spans are open, as differences: at most one of each kind of mark, so that eight bits are enough.
    inside = np.zeros(len(start) + 1, np.int8)
    if not len(at):
        return inside[:-1].view(np.bool_)
    next_same = low[at + 1] == char
    triple = next_same & (low[at + 2] == char)
    fence = triple & (low[at - 1] != char)
    part = triple | ((low[at - 1] == char) & (next_same | (low[at - 2] == char)))
    spans = [_pairs(at[fence], np.searchsorted(row_at, at[fence], "right"))]
    for mark in (_QUOTE, _BACKTICK):
        chosen = (char == mark) & ~part
        spans.append(_pairs(at[chosen], line[chosen]))
    single = np.flatnonzero((char == _APOSTROPHE) & ~part)
    opening = (classes[at[single] - 1] & _WORD) == 0
    closing = (classes[at[single] + 1] & _WORD) == 0
    chosen = single[opening != closing]
    opening = opening[opening != closing]
    paired = np.flatnonzero(opening[:-1] & ~opening[1:] & (line[chosen[:-1]] == line[chosen[1:]]))
    spans.append((at[chosen[paired]], at[chosen[paired + 1]]))
    opening_at = np.concatenate([s[0] for s in spans])
    closing_at = np.concatenate([s[1] for s in spans])
    value = low[closing_at + 1] != _COLON
    np.add.at(inside, np.searchsorted(start, opening_at[value]), np.int8(1))
    np.add.at(inside, np.searchsorted(start, closing_at[value]), np.int8(-1))
    return np.cumsum(inside, dtype=np.int8)[:-1] > 0


def _mask_spans(slot: Mask, span: Mask, first: I64) -> None:
    """Mask what is quoted, except in rows with hardly a word outside: there the quoted text is the prompt."""
    words = np.diff(first)
    outside = np.diff(np.searchsorted(np.flatnonzero(~(slot | span)), first))
    wrapped = outside * WRAPPED_SHARE < words
    if wrapped.any():
        span &= ~np.repeat(wrapped, words)
    slot |= span


def _mask_glued(slot: Mask, digits: Mask, classes: U8, low: U8, start: I64, end: I64, gap: I64) -> None:
    """Mask what is glued to its neighbour as in URLs, paths, identifiers, calls; and, by a hyphen, to a number."""
    joined = gap == 1
    behind = classes[start - 1]
    glued = ((behind & _GLUE) != 0) & joined
    slot |= glued | ((behind & _SIGIL) != 0)
    slot[:-1] |= glued[1:]
    follower = low[end]
    slot |= (follower == ord("(")) | ((classes[end] & _SIGIL) != 0)
    colon = np.flatnonzero(follower == _COLON)
    slot[colon] |= low[end[colon] + 1] == ord("/")
    hyphen = joined & (low[start - 1] == _HYPHEN)
    slot[1:] |= hyphen[1:] & digits[:-1]
    slot[:-1] |= hyphen[1:] & digits[1:]


def _mask_names(slot: Mask, classes: U8, start: I64, before: U8, gap: I64, first: I64, opens: Mask) -> None:
    """Mask capitalised words within a sentence, except in rows where most words are capitalised."""
    capital = np.flatnonzero((classes[start] & _UPPER) != 0)
    capital = capital[(classes[start[capital] + 1] & _LOWER) != 0]
    titled = 2 * np.diff(np.searchsorted(capital, first)) > np.diff(first)
    name = (gap[capital] == 1) & (before[capital] == _SPACE) & ~opens[capital]
    if titled.any():
        name &= ~titled[np.searchsorted(first, capital, "right") - 1]
    slot[capital] |= name


def _mask_lists(slot: Mask, low: U8, start: I64, gap: I64) -> None:
    """Mask runs of three or more single words with commas between them."""
    after_comma = np.flatnonzero(gap == 2)
    after_comma = after_comma[low[start[after_comma] - 2] == _COMMA]
    middle = after_comma[:-1][np.diff(after_comma) == 1]
    slot[middle - 1] = slot[middle] = slot[middle + 1] = True

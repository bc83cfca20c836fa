"""From folded texts to masked words.

    bytes ──► split: runs of word bytes, an ideograph each, at most PIECE bytes; what stands between quotes
          ──► mask: words that belong to the question and not to the scaffold; a run of these becomes one slot
          ──► 64-bit codes

A slot is: a word with a digit · what stands between quotes or fences on the same line (`"` `'` `` ` ``, three of
them across lines), but not the keys of JSON, nor where nearly the whole prompt is quoted · parts of URLs, e-mails,
paths, identifiers and calls (words glued by `/ @ . _ = (`) · a capitalised word within a sentence (names; not where
most of the prompt is in Title Case) · a list of three or more words with commas · a word longer than 24 bytes.
What a slot holds does not matter, nor how many words.

Why compiled: whole columns of all words of a batch, by numpy, cost 20 µs for 2,000 characters where this costs 8; a
loop of Python's over words costs 14 µs for the split alone. `tests/likeness/by_columns.py` keeps the former to compare.

Weakness: the codes of words are not keyed (lexicon and label weights need them fixed); whatever leaves this
package is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from detector.event import I64, U64, Mask
from detector.likeness.compiled import entry, inlined
from detector.likeness.fold import U8, Folded

if TYPE_CHECKING:
    from collections.abc import Sequence

PIECE: Final = 16  # bytes; a longer word counts as several
LONG_WORD_BYTES: Final = 24
WRAPPED_SHARE: Final = 12  # with fewer than one word in so many outside quotes, the quotes wrap the prompt itself

_WORD, _DIGIT, _UPPER, _LOWER, _GLUE, _SIGIL, _MARK, _END = (1 << i for i in range(8))
_DIGIT_BIT, _MARK_BIT = 1, 6
_POSITION: Final = (1 << 32) - 1
_NEWLINE, _SPACE, _QUOTE, _APOSTROPHE, _OPEN, _COMMA, _HYPHEN, _SLASH, _COLON, _BACKTICK = b"\n \"'(,-/:`"

# What is known of a word before it is masked.
_DIGITS, _LONG, _QUOTED, _GLUED, _LISTED, _NAME = (1 << i for i in range(6))
_ALWAYS: Final = _DIGITS | _LONG | _GLUED | _LISTED


def _byte_classes() -> I64:
    classes = np.zeros(256, np.int64)
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
        classes[list(chars)] |= bit
    return classes


def _cuts() -> I64:
    """Return for each byte, as bits, how far behind it a word begins whatever is between.

    Each ideograph, kana and emoji is a word of its own: it begins one, and so does what follows its last byte.
    """
    cuts = np.zeros(256, np.int64)
    cuts[0xE3:0xEA] = 1 | 1 << 3
    cuts[0xF0:] = 1 | 1 << 4
    return cuts


_CLASSES: Final = _byte_classes()
_CUTS: Final = _cuts()
_FENCE, _DOUBLE, _TICK, _SINGLE = range(4)

_MIX_A: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_B: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_MIX_C: Final = np.uint64(0xD6E8FEB86659FD93)
_BYTE_MASKS: Final = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
SLOT: Final = np.uint64(0x5107_5107_5107_5107)


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


def mask(folded: Folded) -> MaskedWords:
    """Return the masked words of folded texts."""
    return MaskedWords(*_mask(folded.cased, folded.low, folded.first))


def codes(words: Sequence[str]) -> U64:
    """Return the code of each word (lower case, at most PIECE bytes): for lexicons."""
    rows = np.zeros((len(words), PIECE), np.uint8)
    sizes = np.array([len(word.encode()) for word in words])
    for row, word in zip(rows, words, strict=True):
        row[: len(word.encode())] = tuple(word.encode())
    return _codes(rows, sizes)


@entry
def _codes(rows: U8, sizes: I64) -> U64:
    """Return the code of each row's first bytes; as loads of 8 bytes stay within a row, no bounds are to be kept."""
    code = np.empty(len(sizes), np.uint64)
    flat = rows.reshape(-1)
    for w in range(len(sizes)):
        code[w] = _word_code(flat, w * PIECE, w * PIECE + sizes[w])
    return code


@entry
def _mask(cased: U8, low: U8, row_at: I64) -> tuple[U64, Mask, I64, I64]:
    """Return the columns of MaskedWords.

    Bounds: a word or mark has a byte of its own, so that no row has more of either than bytes, and one place more
    than that is in every column. `fold.FRONT` and `fold.BACK` are around the first and the last row.
    """
    n = len(row_at) - 1
    longest = 1
    for row in range(n):
        longest = max(longest, row_at[row + 1] - row_at[row])
    start = np.empty(longest, np.int64)
    end = np.empty(longest, np.int64)
    state = np.empty(longest, np.int64)
    marks = np.empty(longest, np.int64)
    opened = np.empty(longest, np.bool_)
    code = np.empty(len(low), np.uint64)
    opens = np.empty(len(low), np.bool_)
    first = np.zeros(n + 1, np.int64)
    words = np.zeros(n, np.int64)
    kept = 0
    for row in range(n):
        count, marked = _split(cased, low, row_at[row], row_at[row + 1] - 1, start, end, state, marks)
        _quote(cased, low, count, start, state, marks, marked)
        slots = _slots(cased, low, count, start, end, state, opened)
        was_slot = False
        for w in range(count):
            slot = (state[w] & slots) != 0
            word = _word_code(low, start[w], end[w])
            code[kept] = SLOT if slot else word
            opens[kept] = opened[w]
            kept += not (slot & was_slot)
            was_slot = slot
        first[row + 1] = kept
        words[row] = count
    return code[:kept], opens[:kept], first, words


@inlined
def _split(cased: U8, low: U8, begin: int, stop: int, start: I64, end: I64, state: I64, marks: I64) -> tuple[int, int]:
    """Find the words and marks of a row: word w is [start[w], end[w]) and `state` says digits, long; return how many.

    Nearly without branches, because where a word ends is what a processor cannot foresee. (Of slices the compiler
    knows that no index is negative.)
    """
    size = stop - begin
    row, low_row = cased[begin:stop], low[begin:stop]
    edges = np.empty(2 * size + 1, np.int64)
    wide = False  # scripts without spaces, emoji
    for at in range(size):
        wide |= low_row[at] >= 0xE3
    count = marked = digits = cuts = was_word = 0
    for at in range(size):
        kind = _CLASSES[row[at]]
        word = kind & _WORD
        edges[count] = digits << 32 | at
        count += word ^ was_word
        if wide:
            cuts = cuts >> 1 | _CUTS[low_row[at]]
            if word & was_word & cuts:
                edges[count] = edges[count + 1] = digits << 32 | at
                count += 2
        marks[marked] = at
        marked += kind >> _MARK_BIT & 1
        digits += kind >> _DIGIT_BIT & 1
        was_word = word
    edges[count] = digits << 32 | size
    words = (count + 1) // 2
    longest = 0
    for w in range(words):
        one, other = edges[2 * w], edges[2 * w + 1]
        start[w] = begin + (one & _POSITION)
        end[w] = begin + (other & _POSITION)
        state[w] = _DIGITS if one >> 32 != other >> 32 else 0
        longest = max(longest, end[w] - start[w])
    for mark in range(marked):
        marks[mark] += begin
    if longest > PIECE:
        words = _cut_long(cased, low, words, start, end, state)
    return words, marked


@inlined
def _cut_long(cased: U8, low: U8, count: int, start: I64, end: I64, state: I64) -> int:
    """Cut the words of more than PIECE bytes; return how many there are then. From the back, so that all fit."""
    pieces = 0
    for w in range(count):
        pieces += (end[w] - start[w] + PIECE - 1) // PIECE
    to = pieces
    for w in range(count - 1, -1, -1):
        begin, stop, known = start[w], end[w], state[w]
        # Scripts of several bytes per letter have no long words in this sense.
        is_long = stop - begin > LONG_WORD_BYTES and low[begin] < 0x80
        for at in range(begin + (stop - begin - 1) // PIECE * PIECE, begin - 1, -PIECE):
            to -= 1
            start[to] = at
            end[to] = min(at + PIECE, stop)
            state[to] = _LONG if is_long else 0
            if known:
                for digit in range(at, end[to]):
                    state[to] |= _DIGITS if _CLASSES[cased[digit]] & _DIGIT else 0
    return pieces


@inlined
def _quote(cased: U8, low: U8, count: int, start: I64, state: I64, marks: I64, marked: int) -> None:
    """Say of every word whether it stands between quotes or fences.

    Spans of one kind do not overlap, so the work is linear.
    """
    pending = np.full(4, -1)  # the word where a span of each kind of mark was opened
    word = 0  # the first that begins at the mark or later
    for mark in range(marked):
        at = marks[mark]
        while word < count and start[word] < at:
            word += 1
        char = low[at]
        if char == _NEWLINE:
            pending[_DOUBLE:] = -1  # only what is between fences goes over lines
            continue
        kind, opening, closing = _kind_of_mark(cased, low, at)
        begun = pending[kind]
        if closing and begun >= 0:
            pending[kind] = -1
            if low[at + 1] != _COLON:  # else it is a key of JSON
                for w in range(begun, word):
                    state[w] |= _QUOTED
        elif opening:
            pending[kind] = word


@inlined
def _kind_of_mark(cased: U8, low: U8, at: int) -> tuple[int, bool, bool]:
    """Return the kind of a mark, and whether it may open a span of this kind, or close one."""
    char = low[at]
    again = low[at + 1] == char
    triple = again and low[at + 2] == char
    behind = low[at - 1] == char
    if triple and not behind:
        return _FENCE, True, True
    if triple or (behind and (again or low[at - 2] == char)):
        return _FENCE, False, False  # a part of one
    if char == _APOSTROPHE:
        opening = not _CLASSES[cased[at - 1]] & _WORD
        closing = not _CLASSES[cased[at + 1]] & _WORD
        return _SINGLE, opening and not closing, closing and not opening
    plain = char in (_QUOTE, _BACKTICK)
    return _DOUBLE if char == _QUOTE else _TICK, plain, plain


@inlined
def _slots(cased: U8, low: U8, count: int, start: I64, end: I64, state: I64, opens: Mask) -> int:
    """Return what makes a word of this row a slot, after all that can was said in `state`."""
    capitals = _judge(cased, low, count, start, end, state, opens)
    titled = 2 * capitals > count
    slots = _ALWAYS if titled else _ALWAYS | _NAME
    outside = 0
    for w in range(count):
        outside += (state[w] & (slots | _QUOTED)) == 0
    wrapped = outside * WRAPPED_SHARE < count
    return slots if wrapped else slots | _QUOTED


@inlined
def _judge(cased: U8, low: U8, count: int, start: I64, end: I64, state: I64, opens: Mask) -> int:
    """Say of every word whether it opens a sentence or line, is glued, listed, a name; return how many are capitalised.

    Glued is what touches its neighbour as in URLs, paths, identifiers, calls; and, by a hyphen, a number. Listed are
    three or more single words with commas between them.

    Bounds: `end` is the newline behind the row at most, so end + 1 is the next row or BACK.
    """
    capitals = 0
    was_listed = False
    last, past = -3, _END  # the end of the word before, and the class of what stands there: of none, a line's
    for w in range(count):
        at, after = start[w], end[w]
        behind, before = _CLASSES[cased[at - 1]], low[at - 1]
        ahead, follower = _CLASSES[cased[after]], low[after]
        gap = at - last
        joined = gap == 1
        opened = ((behind | past) & _END != 0) & ((gap > 1) | (before == _NEWLINE))
        opens[w] = opened
        if ((behind | ahead) & _SIGIL != 0) | (follower == _OPEN) | ((follower == _COLON) & (low[after + 1] == _SLASH)):
            state[w] |= _GLUED
        if joined & (before != _SPACE):
            if behind & _GLUE:
                state[w] |= _GLUED
                state[w - 1] |= _GLUED
            if before == _HYPHEN:
                if state[w - 1] & _DIGITS:
                    state[w] |= _GLUED
                if state[w] & _DIGITS:
                    state[w - 1] |= _GLUED
        listed = (gap == 2) & (low[at - 2] == _COMMA)
        if listed & was_listed:  # so w is at least 2
            state[w - 2] |= _LISTED
            state[w - 1] |= _LISTED
            state[w] |= _LISTED
        was_listed = listed
        capital = (_CLASSES[cased[at]] & _UPPER != 0) & (_CLASSES[cased[at + 1]] & _LOWER != 0)
        capitals += capital
        if capital & joined & (before == _SPACE) & (not opened):
            state[w] |= _NAME
        last, past = after, ahead
    return capitals


@inlined
def _word_code(low: U8, start: int, end: int) -> np.uint64:
    """Return the 64-bit code of a word of at most PIECE bytes; as many from `start` on can be read."""
    size = end - start
    code: np.uint64 = (_eight(low, start) & _BYTE_MASKS[min(size, 8)]) * _MIX_A
    rest = _eight(low, start + 8) & _BYTE_MASKS[max(size - 8, 0)]
    code ^= (rest + _MIX_A) * _MIX_B if size > 8 else np.uint64(0)
    code ^= code >> np.uint64(32)
    code *= _MIX_C
    code ^= code >> np.uint64(29)
    return code


@inlined
def _eight(low: U8, start: int) -> np.uint64:
    """Return eight bytes as a little-endian number; unsigned indices, so that the compiler makes one load of it."""
    at = np.uint64(start)
    value = np.uint64(0)
    for i in range(np.uint64(8)):
        value |= np.uint64(low[at + i]) << np.uint64(8) * i
    return value

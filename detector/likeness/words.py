"""From folded texts to masked words.

    bytes ──► split: runs of word bytes, an ideograph each, at most PIECE bytes; what stands between quotes
          ──► mask: words that belong to the question and not to the scaffold; a run of these becomes one slot
          ──► 64-bit codes

A slot is: a word with a digit · what stands between quotes or fences on the same line (`"` `'` `` ` ``, three of
them across lines), but not the keys of JSON, nor where nearly the whole prompt is quoted · parts of URLs, e-mails,
paths, identifiers and calls (words glued by `/ @ . _ = (`) · a capitalised word within a sentence (names; not where
most of the prompt is in Title Case) · a list of three or more words with commas · a word longer than 24 bytes.
What a slot holds does not matter, nor how many words.

Why compiled: whole columns of all words of a batch, by numpy, cost 20 µs for 2,000 characters where this cost 8, and
three quarters of that since; a loop of Python's over words costs 14 µs for the split alone.
`tests/likeness/by_columns.py` keeps the former to compare.

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

_UPPER, _LOWER, _GLUE, _SIGIL, _END = (1 << i for i in range(5))
_NEWLINE, _SPACE, _QUOTE, _APOSTROPHE, _OPEN, _COMMA, _HYPHEN, _SLASH, _COLON, _BACKTICK = b"\n \"'(,-/:`"

# What is known of a word before it is masked.
_DIGITS, _LONG, _QUOTED, _GLUED, _LISTED, _NAME = (1 << i for i in range(6))
_ALWAYS: Final = _DIGITS | _LONG | _GLUED | _LISTED


def _byte_classes() -> I64:
    classes = np.zeros(256, np.int64)
    for chars, bit in (
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", _UPPER),
        (b"abcdefghijklmnopqrstuvwxyz", _LOWER),
        (b".=&?(+*^|:", _GLUE),
        (b"/\\@_~${%", _SIGIL),
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
_ONE, _TWO, _EIGHT = (np.uint64(n) for n in (1, 2, 8))
_ZEROS: Final = np.uint64(0x3030_3030_3030_3030)
_LOW_BITS: Final = np.uint64(0x7F7F_7F7F_7F7F_7F7F)
_HIGH_BITS: Final = np.uint64(0x8080_8080_8080_8080)
_TO_HIGH: Final = np.uint64(0x7676_7676_7676_7676)  # more than 9 becomes 0x80 or more
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
        size = np.uint64(sizes[w])
        front, rest = _halves(flat, np.uint64(w * PIECE), size)
        code[w] = _word_code(front, rest, size)
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
    edges = np.empty(2 * longest, np.int64)
    state = np.empty(longest, np.int64)
    marks = np.empty(longest, np.int64)
    is_word, is_mark = _kinds(cased)
    code = np.empty(len(low), np.uint64)
    opens = np.empty(len(low), np.bool_)
    first = np.zeros(n + 1, np.int64)
    words = np.zeros(n, np.int64)
    kept = 0
    for row in range(n):
        begin, stop = row_at[row], row_at[row + 1] - 1
        count = _split(low, is_word, begin, stop, edges, state)
        row_code, row_opens = code[kept:], opens[kept:]
        capitals = _judge(cased, low, count, edges.view(np.uint64), state, row_code, row_opens)
        marked = _marks(is_mark, begin, stop, marks)
        _quote(low, is_word, count, edges, state, marks, marked)
        slots = _slots(count, capitals, state)
        joined = 0
        was_slot = False
        for w in range(count):
            slot = (state[w] & slots) != 0
            row_code[joined] = SLOT if slot else row_code[w]  # joined <= w
            row_opens[joined] = row_opens[w]
            joined += not (slot & was_slot)
            was_slot = slot
        kept += joined
        first[row + 1] = kept
        words[row] = count
    return code[:kept], opens[:kept], first, words


@inlined
def _kinds(cased: U8) -> tuple[U8, U8]:
    """Return of every byte whether it is of a word, and whether it is a mark (1) that is a quote (3).

    Compared, not looked up: so the compiler does many bytes at a time.
    """
    is_word = np.empty_like(cased)
    is_mark = np.empty_like(cased)
    for at in range(len(cased)):
        char = cased[at]
        letter = (char >= 97) & (char <= 122) | (char >= 65) & (char <= 90)
        is_word[at] = letter | (char >= 48) & (char <= 57) | (char >= 128) | (char == _APOSTROPHE)
    for at in range(len(cased)):
        char = cased[at]
        quote = (char == _QUOTE) | (char == _APOSTROPHE) | (char == _BACKTICK)
        is_mark[at] = 3 * quote | (char == _NEWLINE)
    return is_word, is_mark


@inlined
def _split(low: U8, is_word: U8, begin: int, stop: int, edges: I64, state: I64) -> int:
    """Find the words of a row: word w is [edges[2 * w], edges[2 * w + 1]); return how many.

    Nearly without branches, because where a word ends is what a processor cannot foresee. (Of slices the compiler
    knows that no index is negative.)
    """
    size = stop - begin
    row, low_row = is_word[begin:stop], low[begin:stop]
    wide = False  # scripts without spaces, emoji
    for at in range(size):
        wide |= low_row[at] >= 0xE3
    count = cuts = was_word = 0
    for at in range(size):
        word = row[at] & 1
        edges[count] = begin + at
        count += word ^ was_word
        if wide:
            cuts = cuts >> 1 | _CUTS[low_row[at]]
            if word & was_word & cuts:
                edges[count] = edges[count + 1] = begin + at
                count += 2
        was_word = word
    edges[count] = stop
    words = (count + 1) // 2
    longest = 0
    for w in range(words):
        state[w] = 0
        longest = max(longest, edges[2 * w + 1] - edges[2 * w])
    return _cut_long(low, words, edges, state) if longest > PIECE else words


@inlined
def _cut_long(low: U8, count: int, edges: I64, state: I64) -> int:
    """Cut the words of more than PIECE bytes; return how many there are then. From the back, so that all fit."""
    pieces = 0
    for w in range(count):
        pieces += (edges[2 * w + 1] - edges[2 * w] + PIECE - 1) // PIECE
    to = pieces
    for w in range(count - 1, -1, -1):
        begin, stop = edges[2 * w], edges[2 * w + 1]
        # Scripts of several bytes per letter have no long words in this sense.
        is_long = stop - begin > LONG_WORD_BYTES and low[begin] < 0x80
        for at in range(begin + (stop - begin - 1) // PIECE * PIECE, begin - 1, -PIECE):
            to -= 1
            edges[2 * to], edges[2 * to + 1] = at, min(at + PIECE, stop)
            state[to] = _LONG if is_long else 0
    return pieces


@inlined
def _marks(is_mark: U8, begin: int, stop: int, marks: I64) -> int:
    """Find the marks of a row, if a quote is among them; return how many."""
    row = is_mark[begin:stop]
    marked = kinds = 0
    for at in range(len(row)):
        kinds |= row[at]
    if kinds & 2:
        for piece in range(0, len(row), 8):
            if _eight(is_mark, np.uint64(begin + piece)):
                for at in range(piece, min(piece + 8, len(row))):
                    marks[marked] = begin + at
                    marked += row[at] & 1
    return marked


@inlined
def _quote(low: U8, is_word: U8, count: int, edges: I64, state: I64, marks: I64, marked: int) -> None:
    """Say of every word whether it stands between quotes or fences.

    Spans of one kind do not overlap, so the work is linear.
    """
    pending = np.full(4, -1)  # the word where a span of each kind of mark was opened
    word = 0  # the first that begins at the mark or later
    for mark in range(marked):
        at = marks[mark]
        if low[at] == _NEWLINE:
            pending[_DOUBLE] = pending[_TICK] = pending[_SINGLE] = -1  # only what is between fences goes over lines
            continue
        while word < count and edges[2 * word] < at:
            word += 1
        kind, opening, closing = _kind_of_mark(low, is_word, at)
        begun = pending[kind]
        if closing and begun >= 0:
            pending[kind] = -1
            if low[at + 1] != _COLON:  # else it is a key of JSON
                for w in range(begun, word):
                    state[w] |= _QUOTED
        elif opening:
            pending[kind] = word


@inlined
def _kind_of_mark(low: U8, is_word: U8, at: int) -> tuple[int, bool, bool]:
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
        opening = not is_word[at - 1]
        closing = not is_word[at + 1]
        return _SINGLE, opening and not closing, closing and not opening
    plain = char in (_QUOTE, _BACKTICK)
    return _DOUBLE if char == _QUOTE else _TICK, plain, plain


@inlined
def _slots(count: int, capitals: int, state: I64) -> int:
    """Return what makes a word of this row a slot, after all that can was said in `state`."""
    titled = 2 * capitals > count
    slots = _ALWAYS if titled else _ALWAYS | _NAME
    outside = 0
    for w in range(count):
        outside += (state[w] & (slots | _QUOTED)) == 0
    wrapped = outside * WRAPPED_SHARE < count
    return slots if wrapped else slots | _QUOTED


@inlined
def _judge(cased: U8, low: U8, count: int, edges: U64, state: I64, code: U64, opens: Mask) -> int:
    """Say of every word its code, and whether it has a digit, opens a sentence or line, is glued, listed, a name.

    Return how many are capitalised. Glued is what touches its neighbour as in URLs, paths, identifiers, calls; and,
    by a hyphen, a number. Listed are three or more single words with commas between them.

    Bounds: a word ends at the newline behind the row at most, so that what is behind it is the next row or BACK.
    """
    capitals = 0
    was_listed = False
    last, past = np.uint64(0), _END  # the end of the word before, and the class of what stands there: of none, a line's
    for w in range(count):
        at, after = edges[2 * w], edges[2 * w + 1]
        size = after - at
        front, rest = _halves(low, at, size)
        code[w] = _word_code(front, rest, size)
        known = state[w] | (_DIGITS if _has_digit(front) | _has_digit(rest) else 0)
        behind, before = _CLASSES[cased[at - _ONE]], low[at - _ONE]
        ahead, follower = _CLASSES[cased[after]], low[after]
        gap = at - last
        joined = gap == _ONE
        opened = ((behind | past) & _END != 0) & ((gap > _ONE) | (before == _NEWLINE))
        opens[w] = opened
        scheme = (follower == _COLON) & (low[after + _ONE] == _SLASH)
        if ((behind | ahead) & _SIGIL != 0) | (follower == _OPEN) | scheme:
            known |= _GLUED
        if joined & (before != _SPACE):
            if behind & _GLUE:
                known |= _GLUED
                state[w - 1] |= _GLUED
            if before == _HYPHEN:
                if state[w - 1] & _DIGITS:
                    known |= _GLUED
                if known & _DIGITS:
                    state[w - 1] |= _GLUED
        listed = (gap == _TWO) & (low[at - _TWO] == _COMMA)
        if listed & was_listed:  # so w is at least 2
            state[w - 2] |= _LISTED
            state[w - 1] |= _LISTED
            known |= _LISTED
        was_listed = listed
        capital = (_CLASSES[cased[at]] & _UPPER != 0) & (_CLASSES[cased[at + _ONE]] & _LOWER != 0)
        capitals += capital
        if capital & joined & (before == _SPACE) & (not opened):
            known |= _NAME
        state[w] = known
        last, past = after, ahead
    return capitals


@inlined
def _halves(low: U8, at: np.uint64, size: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return the first eight bytes of a word, and the next eight, zeros behind its end; PIECE bytes can be read."""
    front = _eight(low, at) & _BYTE_MASKS[min(size, _EIGHT)]
    rest = _eight(low, at + _EIGHT) & _BYTE_MASKS[max(size, _EIGHT) - _EIGHT]
    return front, rest


@inlined
def _word_code(front: np.uint64, rest: np.uint64, size: np.uint64) -> np.uint64:
    """Return the 64-bit code of a word of at most PIECE bytes."""
    code: np.uint64 = front * _MIX_A
    code ^= (rest + _MIX_A) * _MIX_B if size > _EIGHT else np.uint64(0)
    code ^= code >> np.uint64(32)
    code *= _MIX_C
    code ^= code >> np.uint64(29)
    return code


@inlined
def _has_digit(eight: np.uint64) -> bool:
    """Return whether one of eight bytes is a digit: the high bit of a sum stays unset for these alone."""
    low_bits = eight ^ _ZEROS
    return bool((((low_bits & _LOW_BITS) + _TO_HIGH) | low_bits) & _HIGH_BITS != _HIGH_BITS)


@inlined
def _eight(low: U8, start: np.uint64) -> np.uint64:
    """Return eight bytes as a little-endian number; unsigned indices, so that the compiler makes one load of it."""
    value = np.uint64(0)
    for i in range(_EIGHT):
        value |= np.uint64(low[start + i]) << np.uint64(8) * i
    return value

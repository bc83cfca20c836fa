"""What a sketch is, by whole columns of all words of a batch in numpy: how it was made before it was compiled.

A definition of its own for each step from bytes to columns, so that the compiled one is compared with something
that shares its tables of words and weights and its rules of Unicode, but no line of the way through them.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash

from detector.event import FRAGMENTS, I8, I64, U64, Mask, Sketches
from detector.likeness import labels
from detector.likeness.columns import (
    END_FREE_WORDS,
    HEAD_PLAIN_WORDS,
    HEAD_WORDS,
    SHINGLE,
    SHINGLE_PLAIN_WORDS,
    SKELETON_CLASSES_KEPT,
    SKELETON_LENGTHS,
    SKELETON_MIN_CLASSES,
    SKELETON_MIN_WORDS,
    TAIL_PLAIN_WORDS,
    TAIL_WORDS,
    _key_words,
)
from detector.likeness.fold import FIRST_CHARS, LAST_CHARS, as_bytes
from detector.likeness.lexicon import CLASS_COUNT, SKELETON_CLASSES, classify
from detector.likeness.words import LONG_WORD_BYTES, PIECE, SLOT, WRAPPED_SHARE, MaskedWords

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
_MIX_A: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_B: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_MIX_C: Final = np.uint64(0xD6E8FEB86659FD93)
_BYTE_MASKS: Final = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
_FRONT: Final = b"\n" * 4
_BACK: Final = b"\n" * (PIECE + 8)
_ODD: Final = np.uint64(1)
_MAX: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_MIX: Final = np.uint64(0xD6E8FEB86659FD93)
_BASE: Final = 0x9E6C63D0876A9A47


def _powers(n: int) -> U64:
    value = np.full(n, _BASE, np.uint64)
    value[0] = 1
    return np.multiply.accumulate(value)


_POWERS: Final = _powers(1 << 14)
_PAIR: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
_SHIFT: Final = np.uint64(64 - labels.WORD_BITS)


def sketch(texts: Sequence[str], key: int) -> Sketches:
    """Return one row per text (at least one)."""
    key &= 0xFFFF_FFFF_FFFF_FFFF
    cased = [as_bytes(text)[0] for text in texts]
    low = [as_bytes(text)[1].translate(_LOWERCASE) for text in texts]
    text = np.array([digest(text, row, key) for text, row in zip(texts, low, strict=True)], np.uint64)
    words = mask(cased, low)
    classes = classify(words.code)
    return Sketches(
        known=text != 0,
        text=text,
        template=finish(template(words), key, "template"),
        head=finish(head(words), key, "head"),
        tail=finish(tail(words), key, "tail"),
        fragments=finish(fragments(words, key), key, "fragment"),
        skeleton=finish(skeleton(words, classes), key, "skeleton"),
        words=words.words.astype(np.int32),
        labels=label_bits(words, classes),
    )


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


def finish(value: U64, key: int, name: str) -> U64:
    """Return the keyed form of unkeyed 64-bit values; 0 (unknown) stays 0 and nothing else becomes it."""
    first, second = _key_words(key, name, 2)
    mixed: U64 = value ^ first
    mixed *= _MIX
    mixed ^= mixed >> np.uint64(32)
    mixed *= second | _ODD
    mixed ^= mixed >> np.uint64(29)
    mixed *= _MIX
    mixed ^= mixed >> np.uint64(32)
    mixed[mixed == 0] = 1
    mixed[value == 0] = 0
    return mixed


def template(words: MaskedWords) -> U64:
    """Return [n] the value of the whole masked sequence; 0 for a row without words."""
    count = np.diff(words.first)
    rank = np.arange(len(words.code)) - np.repeat(words.first[:-1], count)
    value = np.zeros(len(count), np.uint64)
    full = count > 0
    if full.any():
        value[full] = np.add.reduceat(words.code * _POWERS[rank], words.first[:-1][full])
        value[full] |= _ODD  # never 0
    return value


def head(words: MaskedWords) -> U64:
    """Return [n] the value of the first masked words; 0 where they would be most of the prompt."""
    first = words.first[:-1]
    at = first[:, None] + np.arange(HEAD_WORDS)
    length, plain = _end_length(words, at, at + 1, HEAD_PLAIN_WORDS)
    return _sequence(words, first, length, plain >= HEAD_PLAIN_WORDS)


def tail(words: MaskedWords) -> U64:
    """Return [n] the value of the last masked words; 0 where they would be most of the prompt."""
    end = words.first[1:]
    at = end[:, None] - np.arange(1, TAIL_WORDS + 1)
    length, plain = _end_length(words, at, at, TAIL_PLAIN_WORDS)
    return _sequence(words, end - length, length, plain >= TAIL_PLAIN_WORDS)


def _end_length(words: MaskedWords, at: I64, border: I64, enough: int) -> tuple[I64, I64]:
    """Return for each row how many of the words `at` (outermost first) to take, and how many of these are plain.

    Taken is up to the first one whose `border` word begins a sentence, once `enough` are plain; or else all.
    """
    first, end = words.first[:-1, None], words.first[1:, None]
    if not len(words.code):
        nothing = np.zeros(len(at), np.int64)
        return nothing, nothing
    plain = np.cumsum((words.code.take(at, mode="clip") != SLOT) & (at >= first) & (at < end), axis=1)
    stop = words.opens.take(border, mode="clip") & (border >= first) & (border < end) & (plain >= enough)
    last = np.where(stop.any(axis=1), stop.argmax(axis=1), at.shape[1] - 1)
    return last + 1, np.take_along_axis(plain, last[:, None], axis=1)[:, 0]


def _sequence(words: MaskedWords, first: I64, length: I64, enough: Mask) -> U64:
    """Return the value of `length` words from `first` on; 0 unless `enough` and some words stay outside."""
    count = np.diff(words.first)
    if not len(words.code):
        return np.zeros(len(count), np.uint64)
    offset = np.arange(HEAD_WORDS)
    taken = words.code.take(first[:, None] + offset, mode="clip")
    taken *= _POWERS[offset]
    taken[offset >= length[:, None]] = 0
    value: U64 = taken.sum(axis=1, dtype=np.uint64) | _ODD
    value[~enough | (count < length + END_FREE_WORDS)] = 0
    return value


def fragments(words: MaskedWords, key: int) -> U64:
    """Return [n, FRAGMENTS] the smallest shingle of each row under each of FRAGMENTS keyed orders; 0: none."""
    count = np.diff(words.first)
    smallest = np.zeros((len(count), FRAGMENTS), np.uint64)
    full = np.flatnonzero(count > 0)
    total = len(words.code) - SHINGLE + 1
    if not len(full) or total < 1:
        return smallest
    shingle = words.code[:total].copy()
    plain = (words.code != SLOT).view(np.int8)
    plain_words = plain[:total].copy()
    for i in range(1, SHINGLE):
        shingle += words.code[i : total + i] * _POWERS[i]
        plain_words += plain[i : total + i]
    shingle ^= shingle >> np.uint64(32)
    shingle *= _MIX
    shingle ^= shingle >> np.uint64(29)
    rank_left = np.repeat(words.first[1:], count)[:total] - np.arange(total)
    void = (rank_left < SHINGLE) | (plain_words < SHINGLE_PLAIN_WORDS)
    # Rows at the very end may start behind the last shingle: they have none.
    full = full[words.first[full] < total]
    for column, order in enumerate(_key_words(key, "order", FRAGMENTS)):
        ordered = shingle * (order | _ODD)
        ordered[void] = _MAX
        if len(full):
            smallest[full, column] = np.minimum.reduceat(ordered, words.first[full])
    smallest[smallest == _MAX] = 0
    return smallest


def skeleton(words: MaskedWords, classes: I8) -> U64:
    """Return [n] the value of what is asked for; 0 where there is too little of it to say anything.

    It is the set of the first SKELETON_CLASSES_KEPT distinct instruction classes and a coarse length class.
    """
    n = len(words.words)
    at = np.flatnonzero((classes > 0) & (classes <= SKELETON_CLASSES))
    row = np.repeat(np.arange(n), np.diff(words.first))[at]
    never = np.int64(1) << 40
    seen = np.full((n, SKELETON_CLASSES), never)
    # Written backwards: the first occurrence is written last and stays.
    seen[row[::-1], classes[at][::-1] - 1] = at[::-1]
    latest = np.partition(seen, SKELETON_CLASSES_KEPT - 1, axis=1)[:, SKELETON_CLASSES_KEPT - 1 :][:, :1]
    chosen = (seen <= latest) & (seen < never)
    bits = (chosen << np.arange(SKELETON_CLASSES)).sum(axis=1)
    value: U64 = (bits << 2 | np.searchsorted(SKELETON_LENGTHS, words.words, "right")).astype(np.uint64)
    value[(chosen.sum(axis=1) < SKELETON_MIN_CLASSES) | (words.words < SKELETON_MIN_WORDS)] = 0
    return value


def features(words: MaskedWords, classes: I8) -> labels.Features:
    """Return the features of masked words with their lexicon classes."""
    count = np.diff(words.first)
    rank = np.arange(len(words.code)) - np.repeat(words.first[:-1], count)
    left = np.repeat(count, count) - rank
    taken = np.flatnonzero((rank < labels.FIRST_WORDS) | (left <= labels.LAST_WORDS))
    word_first = np.searchsorted(taken, words.first)
    code = words.code[taken]
    single = (code * _SPREAD) >> _SHIFT
    pair = np.empty_like(code)
    pair[:-1] = ((code[1:] * _PAIR + code[:-1]) * _SPREAD) >> _SHIFT
    by_word = np.stack((single, pair), axis=1).view(np.int64)
    by_word[left[taken] == 1, 1] = labels.NOTHING

    kind = classes[taken].astype(np.int64)
    known = np.flatnonzero(kind)
    kind = kind[known]
    class_first = np.searchsorted(known, word_first)
    behind = np.repeat(class_first[1:], np.diff(class_first)) - np.arange(len(known))
    by_class = np.full((len(known), 1 + labels.REACH), labels.NOTHING, np.int64)
    by_class[:, 0] = labels.WORD_FEATURES + kind
    for ahead in range(1, labels.REACH + 1):
        here, there = kind[:-ahead], kind[ahead:]
        code_of_pair = np.minimum(here, there) * CLASS_COUNT + np.maximum(here, there)
        by_class[:-ahead, ahead] = np.where(
            behind[:-ahead] > ahead, labels.WORD_FEATURES + code_of_pair, labels.NOTHING
        )
    return labels.Features(np.diff(word_first), by_word.reshape(-1), word_first, by_class.reshape(-1), class_first)


def label_bits(words: MaskedWords, classes: I8) -> U8:
    """Return [n] bit sets of LABELS."""
    found = features(words, classes)
    holds = np.zeros((len(found.count), len(_BIAS)), np.bool_)
    for row, count in enumerate(found.count):
        if count:
            of_words = found.by_word[2 * found.word_first[row] : 2 * found.word_first[row + 1]]
            by_class = found.by_class.reshape(-1, 1 + labels.REACH)
            of_classes = by_class[found.class_first[row] : found.class_first[row + 1]].reshape(-1)
            total = _WEIGHTS[of_words].sum(axis=0) + _WEIGHTS[of_classes].sum(axis=0)
            holds[row] = total / np.sqrt(count) + _BIAS > 0
    return np.packbits(holds, axis=1, bitorder="little")[:, 0]


def _stored() -> tuple[I64, I64]:
    with files("detector.likeness").joinpath("labels.npz").open("rb") as file, np.load(file) as stored:
        return stored["weights"].astype(np.int64), stored["bias"].astype(np.int64)


_WEIGHTS, _BIAS = _stored()

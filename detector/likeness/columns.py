"""From masked words to the columns of `Sketches`.

             template ─ all masked words, in order
    head ┌───────────┐                                     ┌──────────┐ tail
    you are a grader . read the answer SLOT and then say … think step by step
         └─┴─┴─┴─┴─┴─► shingles of SHINGLE words ─► the smallest under each of four keyed orders: fragments

A head is the first HEAD_WORDS masked words, or only the first sentence where that is shorter; a tail mirrors it.
Both end at a sentence because what follows (precedes) a scaffold's sentence is somebody's question.

The skeleton was first the order of the instruction words with the kinds of line (heading, item, table, …). Of 200
paraphrases of a scaffold with sentences reordered it tied 41 %, with synonyms, layout and order changed 10 %; as a
set without line kinds 88 % and 67 %, while human prompts (awesome-chatgpt-prompts, BFCL live, RealHumanEval chats) stay
at 1 to 3 %. `tests/bench/likeness.py` measures it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import xxhash

from detector.event import FRAGMENTS, I8, I64, U64, Mask
from detector.likeness.lexicon import SKELETON_CLASSES
from detector.likeness.words import SLOT, MaskedWords

HEAD_WORDS: Final = 8
HEAD_PLAIN_WORDS: Final = 3  # a shorter first sentence ("Q:") is taken together with what follows
TAIL_WORDS: Final = 6
TAIL_PLAIN_WORDS: Final = 2
END_FREE_WORDS: Final = 3  # so many words must be outside a head or tail for it to be one
SHINGLE: Final = 5
SHINGLE_PLAIN_WORDS: Final = 3
SKELETON_CLASSES_KEPT: Final = 8
SKELETON_MIN_CLASSES: Final = 3
SKELETON_MIN_WORDS: Final = 8
SKELETON_LENGTHS: Final = (64, 512)  # words; coarse, because a paraphrase is some tenths longer or shorter

_ODD: Final = np.uint64(1)
_MAX: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_MIX: Final = np.uint64(0xD6E8FEB86659FD93)
_BASE: Final = 0x9E6C63D0876A9A47


def _powers(n: int) -> U64:
    value = np.full(n, _BASE, np.uint64)
    value[0] = 1
    return np.multiply.accumulate(value)


_POWERS: Final = _powers(1 << 14)


def key_words(key: int, name: str, n: int) -> U64:
    """Return n 64-bit words that only who knows the key can compute, different for every name."""
    seed = key & 0xFFFF_FFFF_FFFF_FFFF
    values = [xxhash.xxh3_64_intdigest(f"{name}{i}".encode(), seed) for i in range(n)]
    return np.array(values, np.uint64)


def finish(value: U64, key: int, name: str) -> U64:
    """Return the keyed form of unkeyed 64-bit values; 0 (unknown) stays 0 and nothing else becomes it."""
    first, second = key_words(key, name, 2)
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
    for column, order in enumerate(key_words(key, "order", FRAGMENTS)):
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

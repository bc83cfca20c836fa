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

from dataclasses import replace
from typing import Final

import numpy as np
import xxhash

from detector.event import FRAGMENTS, I8, I64, U64, Mask, Sketches
from detector.likeness.compiled import entry, inlined
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
_BASE: Final = np.uint64(0x9E6C63D0876A9A47)
_POWERS: Final = np.multiply.accumulate(np.array([1] + [_BASE] * (SHINGLE - 1), np.uint64))


def columns(words: MaskedWords, classes: I8, orders: U64) -> tuple[U64, U64, U64, U64, U64]:
    """Return template, head, tail, fragments and skeleton, not yet keyed but for the choice of fragments.

    `classes` are the words' in the lexicon, `orders` are fragment_orders(key).
    """
    return _columns(words.code, words.opens, words.first, words.words, classes, orders, SLOT, SKELETON_CLASSES)


def fragment_orders(key: int) -> U64:
    """Return what to multiply shingles with, so that the smallest is another one for each key and fragment."""
    return _key_words(key, "order", FRAGMENTS) | _ODD


def keyed(found: Sketches, key: int) -> Sketches:
    """Return the form that only who knows the key can compute; `text` is in it already."""
    return replace(
        found,
        template=_keyed(found.template, key, "template"),
        head=_keyed(found.head, key, "head"),
        tail=_keyed(found.tail, key, "tail"),
        fragments=_keyed(found.fragments, key, "fragment"),
        skeleton=_keyed(found.skeleton, key, "skeleton"),
    )


def _keyed(value: U64, key: int, name: str) -> U64:
    """Return 64-bit values under a key; 0 (unknown) stays 0 and nothing else becomes it."""
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


def _key_words(key: int, name: str, n: int) -> U64:
    """Return n 64-bit words that only who knows the key can compute, different for every name."""
    seed = key & 0xFFFF_FFFF_FFFF_FFFF
    values = [xxhash.xxh3_64_intdigest(f"{name}{i}".encode(), seed) for i in range(n)]
    return np.array(values, np.uint64)


@entry
def _columns(
    code: U64,
    opens: Mask,
    first: I64,
    words: I64,
    classes: I8,
    orders: U64,
    slot: np.uint64,
    skeleton_classes: int,
) -> tuple[U64, U64, U64, U64, U64]:
    """Return the columns.

    Bounds: every function below reads words of its own row only, [begin, end), which is within the columns.
    """
    n = len(words)
    shingles = np.empty(len(code), np.uint64)
    never = np.empty(len(code), np.uint64)  # all bits where a shingle does not count
    template = np.zeros(n, np.uint64)
    head = np.zeros(n, np.uint64)
    tail = np.zeros(n, np.uint64)
    fragments = np.zeros((n, len(orders)), np.uint64)
    skeleton = np.zeros(n, np.uint64)
    for row in range(n):
        begin, end = first[row], first[row + 1]
        if begin == end:
            continue
        template[row] = _value(code, begin, end)
        head[row] = _head(code, opens, begin, end, slot)
        tail[row] = _tail(code, opens, begin, end, slot)
        _fragments(code, begin, end, slot, orders, shingles, never, fragments[row])
        skeleton[row] = _skeleton(classes, begin, end, words[row], skeleton_classes)
    return template, head, tail, fragments, skeleton


@inlined
def _value(code: U64, begin: int, end: int) -> np.uint64:
    """Return the value of a sequence of words: never 0."""
    value = np.uint64(0)
    power = np.uint64(1)
    for at in range(begin, end):
        value += code[at] * power
        power *= _BASE
    return value | _ODD


@inlined
def _head(code: U64, opens: Mask, begin: int, end: int, slot: np.uint64) -> np.uint64:
    """Return the value of the first words: up to where a sentence begins, once enough of them are no slots."""
    plain = 0
    at = begin
    while at < min(begin + HEAD_WORDS, end):
        plain += code[at] != slot
        at += 1
        if plain >= HEAD_PLAIN_WORDS and at < end and opens[at]:
            break
    if plain < HEAD_PLAIN_WORDS or end - at < END_FREE_WORDS:
        return np.uint64(0)
    return _value(code, begin, at)


@inlined
def _tail(code: U64, opens: Mask, begin: int, end: int, slot: np.uint64) -> np.uint64:
    """Return the value of the last words: back to one that begins a sentence, once enough of them are no slots."""
    plain = 0
    at = end
    while at > max(end - TAIL_WORDS, begin):
        at -= 1
        plain += code[at] != slot
        if plain >= TAIL_PLAIN_WORDS and opens[at]:
            break
    if plain < TAIL_PLAIN_WORDS or at - begin < END_FREE_WORDS:
        return np.uint64(0)
    return _value(code, at, end)


@inlined
def _fragments(
    code: U64, begin: int, end: int, slot: np.uint64, orders: U64, shingles: U64, never: U64, smallest: U64
) -> None:
    """Put into `smallest` the smallest shingle under each order, or 0; those of hardly a plain word do not count.

    In steps that work on several shingles at once.
    """
    row = code[begin:end]
    last = len(row) - SHINGLE + 1
    for at in range(last):
        shingle = np.uint64(0)
        for i in range(SHINGLE):
            shingle += row[at + i] * _POWERS[i]
        shingle ^= shingle >> np.uint64(32)
        shingle *= _MIX
        shingle ^= shingle >> np.uint64(29)
        shingles[at] = shingle
    for at in range(last):
        plain = 0
        for i in range(SHINGLE):
            plain += row[at + i] != slot
        never[at] = np.uint64(0) if plain >= SHINGLE_PLAIN_WORDS else _MAX
    for column in range(len(orders)):
        least, order = _MAX, orders[column]
        for at in range(last):
            least = min(least, shingles[at] * order | never[at])
        smallest[column] = least if least != _MAX else np.uint64(0)


@inlined
def _skeleton(classes: I8, begin: int, end: int, words: int, skeleton_classes: int) -> np.uint64:
    """Return what is asked for: the first distinct instruction classes; 0 where there is too little to say anything."""
    kept = 0
    bits = np.uint64(0)
    for at in range(begin, end):
        kind = classes[at]
        if not 0 < kind <= skeleton_classes:
            continue
        bit = _ODD << np.uint64(kind - 1)
        if bits & bit:
            continue
        bits |= bit
        kept += 1
        if kept == SKELETON_CLASSES_KEPT:
            break
    if kept < SKELETON_MIN_CLASSES or words < SKELETON_MIN_WORDS:
        return np.uint64(0)
    length = np.uint64(0)
    for bound in SKELETON_LENGTHS:
        length += np.uint64(words >= bound)
    return bits << np.uint64(2) | length

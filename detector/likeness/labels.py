"""What kind of request a prompt is: a linear classifier over hashed words, light enough for every request.

Features are the masked words, pairs of neighbours, classes of the lexicon, and pairs of classes that are at most
REACH classes apart, among the first FIRST_WORDS and last LAST_WORDS masked words of a prompt:
a harvest says what it wants at its ends, and what is in the middle may be anybody's text. Weights are small
integers (`labels.npz`, made by `tests/bench/train_labels.py`), so that sums are exact and a batch gives what its
rows give. A label says what the text asks for, not that asking it is wrong; all of them occur in honest use.

Precision and recall on sentence patterns and rows that were not trained on (`tests/bench/train_labels.py`; the
weights shipped are then trained on all of it). The lexicon's topics were extended once after a look at the misses:

    reasoning_extraction  0.96  0.97 of 144     false on 6 of 1,520: "think carefully before you answer"
    grading               1.00  0.96 of 195
    agentic               0.99  1.00 of 191
    coding                0.99  0.88 of 244
    generation            1.00  0.76 of 292     misses: data for a persona, pairs "with keys instruction, input"
    probe                 0.93  0.71 of  99     misses: "what are the rules you were given?"

By a classifier that never saw the source at all: generation 1.00 of the alpaca prompts, grading 1.00 of the AlpacaEval
judge, coding 0.68 of bare codealpaca instructions, 0 of its generation prompts (labelled generation instead), agentic 0
of ToolAlpaca. That grading figure was 0 before more judge sentences were written with the miss in mind, and alpaca
is close kin of codealpaca: new sources will do worse than the table. No real reasoning-extraction prompt was to be
had; that row is our sentences only.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from detector.event import F64, I8, I64, U64
from detector.likeness.compiled import entry
from detector.likeness.lexicon import CLASS_COUNT

if TYPE_CHECKING:
    from detector.likeness.words import MaskedWords

WORD_BITS: Final = 14
WORD_FEATURES: Final = 1 << WORD_BITS
FEATURES: Final = WORD_FEATURES + (CLASS_COUNT + 1) * CLASS_COUNT + 2
NOTHING: Final = FEATURES - 1  # its weight is 0
FIRST_WORDS: Final = 64
LAST_WORDS: Final = 32
REACH: Final = 3
_PAIR: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
_SHIFT: Final = np.uint64(64 - WORD_BITS)

# Weights of three labels share one integer, in fields wide enough for the sum over all features of a prompt.
_FIELD_BITS: Final = 21
_FIELD: Final = 1 << _FIELD_BITS
_PER_PACK: Final = 3

Whole = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Features:
    """Features of n prompts, row after row.

    `count`     [n] how many words were looked at
    `by_word`   two for each such word; row r has by_word[2 * word_first[r]:2 * word_first[r + 1]]
    `by_class`  REACH + 1 for each that is in the lexicon; bounds as above by `class_first`
    """

    count: I64
    by_word: I64
    word_first: I64
    by_class: I64
    class_first: I64


def features(words: MaskedWords, classes: I8) -> Features:
    """Return the features of masked words with their lexicon classes."""
    return Features(*_features(words.code, words.first, classes, CLASS_COUNT))


@entry
def _features(code: U64, first: I64, classes: I8, class_count: int) -> tuple[I64, I64, I64, I64, I64]:
    """Return the columns of Features.

    Bounds: of a row at most FIRST_WORDS + LAST_WORDS words are taken, no more than it has, and no more are known.
    """
    n = len(first) - 1
    room = min(len(code), n * (FIRST_WORDS + LAST_WORDS))
    by_word = np.empty(2 * room, np.int64)
    by_class = np.empty((1 + REACH) * room, np.int64)
    counts = np.zeros(n, np.int64)
    word_first = np.zeros(n + 1, np.int64)
    class_first = np.zeros(n + 1, np.int64)
    kinds = np.empty(FIRST_WORDS + LAST_WORDS, np.int64)
    words = known = 0
    for row in range(n):
        begin, end = first[row], first[row + 1]
        count = kind_count = 0
        at = begin
        while at < end:
            after = at + 1
            if after == begin + FIRST_WORDS:
                after = max(after, end - LAST_WORDS)
            by_word[2 * words] = np.int64(code[at] * _SPREAD >> _SHIFT)
            by_word[2 * words + 1] = (
                np.int64((code[after] * _PAIR + code[at]) * _SPREAD >> _SHIFT) if after < end else NOTHING
            )
            if classes[at]:
                kinds[kind_count] = classes[at]
                kind_count += 1
            words += 1
            count += 1
            at = after
        for here in range(kind_count):
            by_class[known] = WORD_FEATURES + kinds[here]
            for ahead in range(1, REACH + 1):
                pair = NOTHING
                if here + ahead < kind_count:
                    one, other = kinds[here], kinds[here + ahead]
                    pair = WORD_FEATURES + min(one, other) * class_count + max(one, other)
                by_class[known + ahead] = pair
            known += 1 + REACH
        counts[row] = count
        word_first[row + 1] = words
        class_first[row + 1] = known // (1 + REACH)
    return counts, by_word[: 2 * words], word_first, by_class[:known], class_first


def pack(weights: Whole) -> I64:
    """Return [packs, features] the weights of _PER_PACK labels in one integer each."""
    fields = weights.astype(np.int64) << (_FIELD_BITS * (np.arange(weights.shape[1]) % _PER_PACK))
    return np.ascontiguousarray(np.add.reduceat(fields, np.arange(0, weights.shape[1], _PER_PACK), axis=1).T)


def scores(found: Features, packed: I64, bias: Whole) -> F64:
    """Return [n, labels] what is above 0 where the label applies; -inf for rows without words."""
    return _scores(found.count, found.by_word, found.word_first, found.by_class, found.class_first, packed, bias)


@entry
def _scores(
    count: I64, by_word: I64, word_first: I64, by_class: I64, class_first: I64, packed: I64, bias: Whole
) -> F64:
    """Return the scores.

    Bounds: a feature is below FEATURES, the length of each table; the firsts rise and end with the features.
    """
    result = np.full((len(count), len(bias)), -np.inf)
    for row in range(len(count)):
        if not count[row]:
            continue
        scale = np.sqrt(count[row])
        for number in range(len(packed)):
            table = packed[number]
            total = 0
            for at in range(2 * word_first[row], 2 * word_first[row + 1]):
                total += table[by_word[at]]
            for at in range((1 + REACH) * class_first[row], (1 + REACH) * class_first[row + 1]):
                total += table[by_class[at]]
            for label in range(number * _PER_PACK, min((number + 1) * _PER_PACK, len(bias))):
                field = ((total + _FIELD // 2) & (_FIELD - 1)) - _FIELD // 2
                total = (total - field) >> _FIELD_BITS
                result[row, label] = field / scale + bias[label]
    return result


def labels(words: MaskedWords, classes: I8) -> npt.NDArray[np.uint8]:
    """Return [n] bit sets of LABELS."""
    holds = scores(features(words, classes), _PACKED, _BIAS) > 0
    return np.packbits(holds, axis=1, bitorder="little")[:, 0]


def _load() -> tuple[I64, Whole]:
    with files("detector.likeness").joinpath("labels.npz").open("rb") as file, np.load(file) as stored:
        return pack(stored["weights"]), stored["bias"]


_PACKED, _BIAS = _load()

"""What kind of request a prompt is: a linear classifier over hashed words, light enough for every request.

Features are the masked words, pairs of neighbours, classes of the lexicon, and pairs of classes that are at most
REACH classes apart, among the first FIRST_WORDS and last LAST_WORDS masked words of a prompt:
a harvest says what it wants at its ends, and what is in the middle may be anybody's text. Weights are small
integers (`labels.npz`, made by `tests/bench/train_labels.py`), so that sums are exact and a batch gives what its
rows give. A label says what the text asks for, not that asking it is wrong; all of them occur in honest use.

@MEASURED@
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from detector.event import LABELS, I64
from detector.likeness.lexicon import CLASS_COUNT, classify

if TYPE_CHECKING:
    from detector.likeness.words import MaskedWords

WORD_BITS: Final = 14
WORD_FEATURES: Final = 1 << WORD_BITS
FEATURES: Final = WORD_FEATURES + (CLASS_COUNT + 1) * CLASS_COUNT + 2
NOTHING: Final = FEATURES - 1  # its weight is 0
REACH: Final = 3
FIRST_WORDS: Final = 96
LAST_WORDS: Final = 32
_PAIR: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
_SHIFT: Final = np.uint64(64 - WORD_BITS)

Weights = npt.NDArray[np.int32]


def _load() -> tuple[Weights, Weights]:
    with files("detector.likeness").joinpath("labels.npz").open("rb") as file, np.load(file) as stored:
        return stored["weights"].astype(np.int32), stored["bias"].astype(np.int32)


def features(words: MaskedWords) -> tuple[I64, I64]:
    """Return the features of all rows, row after row, and [n + 1] where each row's begin."""
    count = np.diff(words.first)
    rank = np.arange(len(words.code)) - np.repeat(words.first[:-1], count)
    left = np.repeat(count, count) - rank
    taken = np.flatnonzero((rank < FIRST_WORDS) | (left <= LAST_WORDS))
    code, left = words.code[taken], left[taken]
    classes = classify(code).astype(np.int64)
    known = np.flatnonzero(classes)
    row = np.repeat(np.arange(len(count)), count)[taken]

    feature = np.full((len(code), 3 + REACH), NOTHING, np.int64)
    feature[:, 0] = (code * _SPREAD) >> _SHIFT
    following = code.take(np.arange(1, len(code) + 1), mode="clip")
    feature[:, 1] = np.where(left == 1, NOTHING, (((following * _PAIR + code) * _SPREAD) >> _SHIFT).view(np.int64))
    feature[known, 2] = WORD_FEATURES + classes[known]
    for ahead in range(1, REACH + 1):
        here, there = known[:-ahead], known[ahead:]
        low = np.minimum(classes[here], classes[there])
        high = np.maximum(classes[here], classes[there])
        pair = WORD_FEATURES + (low * CLASS_COUNT + high)
        feature[here, 2 + ahead] = np.where(row[here] == row[there], pair, NOTHING)
    return feature.reshape(-1), feature.shape[1] * np.searchsorted(taken, words.first)


def scores(words: MaskedWords, weights: Weights, bias: Weights) -> npt.NDArray[np.float64]:
    """Return [n, labels] what is above 0 where the label applies; -inf for rows without words."""
    feature, first = features(words)
    count = np.diff(first) // (3 + REACH)
    full = np.flatnonzero(count > 0)
    result = np.full((len(count), len(LABELS)), -np.inf)
    if len(full):
        total = np.add.reduceat(weights.take(feature, axis=0), first[full], axis=0)
        result[full] = total / np.sqrt(count[full])[:, None] + bias
    return result


def labels(words: MaskedWords) -> npt.NDArray[np.uint8]:
    """Return [n] bit sets of LABELS."""
    bits = (scores(words, _WEIGHTS, _BIAS) > 0) << np.arange(len(LABELS))
    return bits.sum(axis=1).astype(np.uint8)


_WEIGHTS, _BIAS = _load()

"""How many different things, and how unevenly spread, in a few bytes.

*Linear counting* (Whang et al., TODS 1990): hash each value to one of m bits; with z bits still
zero the estimate is m ln(m/z). Good to a few per cent up to m values, and a floor beyond: with all
bits set it says m ln m and no more. Bits are merged by OR, so order and repetition do not matter.

*Spread*: how often each of 16 buckets was hit, by the hash of the template. The entropy of that
histogram, corrected for its bias at small n (Miller and Madow 1955: + (k - 1) / 2n), over the
largest it could be, is 0 for one template and about 1 for many. Different templates may fall into
one bucket, so it errs towards concentrated: by chance at most 1/16 of the pairs.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from detector.event import F32, U64

BUCKETS: Final = 16


def bits(values: U64, words: int) -> U64:
    """Return one bit per value in `words` 64-bit words, [n, words]; none for the value 0."""
    result = np.zeros((len(values), words), np.uint64)
    position = (values >> np.uint64(17)) % np.uint64(64 * words)
    known = values != 0
    word = (position >> np.uint64(6)).astype(np.int64)
    result[np.arange(len(values)), word] = np.where(known, np.uint64(1) << (position & np.uint64(63)), np.uint64(0))
    return result


def count(marks: U64) -> F32:
    """Return the estimate for each row of marks [n, words]; 0 where no bit is set."""
    m = np.float32(64 * marks.shape[1])
    zero = m - np.bitwise_count(marks).sum(axis=1, dtype=np.int64).astype(np.float32)
    estimate: F32 = m * np.log(m / np.maximum(zero, np.float32(1)))
    return estimate


def bucket(values: U64) -> npt.NDArray[np.int64]:
    """Return the bucket of each value."""
    return ((values >> np.uint64(41)) % np.uint64(BUCKETS)).astype(np.int64)


def evenness(counts: F32) -> F32:
    """Return the corrected entropy of histograms [n, BUCKETS] over its largest, in [0, 1]; NaN below two entries."""
    total = counts.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = counts / total[:, None]
        entropy = -np.where(share > 0, share * np.log(share), np.float32(0)).sum(axis=1)
        occupied = (counts > 0).sum(axis=1).astype(np.float32)
        entropy = entropy + (occupied - 1) / (2 * total)
        largest = np.log(np.minimum(total, np.float32(BUCKETS)))
        result = np.clip(entropy / largest, 0, 1)
    return np.where(total >= 2, result, np.float32(np.nan)).astype(np.float32)

"""Which partition Kafka's default partitioner gives a key, so that a replay spreads accounts as the topic does.

The same function as `org.apache.kafka.common.utils.Utils.murmur2` with seed 0x9747b28c, for a
whole batch of keys at once: the keys stand in a matrix of 32-bit words, and word k of every key
is mixed in together. A gateway whose producer uses another partitioner spreads accounts
differently; each account still has one partition, which is all that the detector needs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from detector.event import I32

_M = np.uint32(0x5BD1E995)
_SEED = np.uint32(0x9747B28C)


def murmur2(keys: Sequence[bytes]) -> npt.NDArray[np.uint32]:
    """Return the unsigned 32-bit hash of every key."""
    lengths = np.fromiter(map(len, keys), np.uint32, len(keys))
    words_at_most = int(lengths.max(initial=0)) // 4 + 1
    matrix = np.array(list(keys), dtype=f"S{4 * words_at_most}").view("<u4").reshape(len(keys), words_at_most)
    full = lengths // 4
    h = _SEED ^ lengths
    for k in range(words_at_most):
        word = matrix[:, k]
        mixed = word * _M
        mixed = (mixed ^ (mixed >> np.uint32(24))) * _M
        whole = k < full
        rest = (k == full) & (lengths % 4 > 0)  # the padding is zero, so the last bytes stand alone in their word
        h = np.where(whole, (h * _M) ^ mixed, np.where(rest, (h ^ word) * _M, h))
    h = (h ^ (h >> np.uint32(13))) * _M
    return h ^ (h >> np.uint32(15))


def partitions_of(account_ids: Sequence[str], partitions: int) -> I32:
    """Return the partition of each account among `partitions`, as Kafka's default partitioner does."""
    hashes = murmur2([a.encode("utf-8", "surrogatepass") for a in account_ids])
    return ((hashes & np.uint32(0x7FFFFFFF)) % np.uint32(partitions)).astype(np.int32)


def partition_of(account_id: str, partitions: int) -> int:
    """Return the partition of one account."""
    return int(partitions_of([account_id], partitions)[0])

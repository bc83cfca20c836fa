"""A batch of prompts to `Sketches`: chunks of the batch, one after the other, through words and columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from detector.event import FRAGMENTS, Sketches
from detector.likeness import columns
from detector.likeness.labels import labels
from detector.likeness.lexicon import classify
from detector.likeness.words import digest, fold, mask

if TYPE_CHECKING:
    from collections.abc import Sequence

CHUNK_BYTES: Final = 1 << 17  # so that the columns of a chunk stay in the processor's cache


def sketch(texts: Sequence[str | None], key: int) -> Sketches:
    """Return one row per text; None, "" and what has nothing visible are unknown rows.

    Any string will do, of any length and with any characters. The work is linear in what is read of a prompt
    (`words.FIRST_CHARS`, `words.LAST_CHARS`), but for one fast hash over the rest. Only the low 64 bits of `key` count.
    """
    key &= 0xFFFF_FFFF_FFFF_FFFF
    n = len(texts)
    out = empty(n)
    rows: list[int] = []
    cased: list[bytes] = []
    low: list[bytes] = []
    digests: list[int] = []
    pending = 0
    for row, text in enumerate(texts):
        if not text:
            continue
        with_case, lower = fold(text)
        value = digest(text, lower, key)
        if not value:
            continue
        rows.append(row)
        cased.append(with_case)
        low.append(lower)
        digests.append(value)
        pending += len(lower)
        if pending >= CHUNK_BYTES:
            _fill(out, rows, cased, low, digests, key)
            rows, cased, low, digests, pending = [], [], [], [], 0
    if rows:
        _fill(out, rows, cased, low, digests, key)
    return out


def empty(n: int) -> Sketches:
    """Return n unknown rows."""
    return Sketches(
        known=np.zeros(n, np.bool_),
        text=np.zeros(n, np.uint64),
        template=np.zeros(n, np.uint64),
        head=np.zeros(n, np.uint64),
        tail=np.zeros(n, np.uint64),
        fragments=np.zeros((n, FRAGMENTS), np.uint64),
        skeleton=np.zeros(n, np.uint64),
        words=np.zeros(n, np.int32),
        labels=np.zeros(n, np.uint8),
    )


def _fill(out: Sketches, rows: list[int], cased: list[bytes], low: list[bytes], digests: list[int], key: int) -> None:
    at = np.array(rows)
    words = mask(cased, low)
    classes = classify(words.code)
    out.known[at] = True
    out.text[at] = np.array(digests, np.uint64)
    out.template[at] = columns.finish(columns.template(words), key, "template")
    out.head[at] = columns.finish(columns.head(words), key, "head")
    out.tail[at] = columns.finish(columns.tail(words), key, "tail")
    out.fragments[at] = columns.finish(columns.fragments(words, key), key, "fragment")
    out.skeleton[at] = columns.finish(columns.skeleton(words, classes), key, "skeleton")
    out.words[at] = words.words
    out.labels[at] = labels(words, classes)

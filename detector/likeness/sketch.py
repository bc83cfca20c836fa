"""A batch of prompts to `Sketches`: chunks of the batch, one after the other, from bytes to words to columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from detector.event import FRAGMENTS, Sketches

if TYPE_CHECKING:
    from collections.abc import Sequence

CHUNK_CHARS: Final = 1 << 17  # so that the columns of a chunk stay in the processor's cache


def sketch(texts: Sequence[str | None], key: int) -> Sketches:
    """Return one row per text; None, "" and what has nothing visible are unknown rows.

    Any string will do, of any length and with any characters. The work is linear in what is read of a prompt
    (`fold.FIRST_CHARS`, `fold.LAST_CHARS`), but for one fast hash over the rest. Only the low 64 bits of `key` count.
    """
    key &= 0xFFFF_FFFF_FFFF_FFFF
    out = empty(len(texts))
    rows: list[int] = []
    taken: list[str] = []
    pending = 0
    for row, text in enumerate(texts):
        if not text:
            continue
        rows.append(row)
        taken.append(text)
        pending += len(text)
        if pending >= CHUNK_CHARS:
            _fill(out, rows, taken, key)
            rows, taken, pending = [], [], 0
    if rows:
        _fill(out, rows, taken, key)
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


def _fill(out: Sketches, rows: list[int], texts: list[str], key: int) -> None:
    """Fill some rows; one with nothing visible has no words, and so stays unknown by itself."""
    # Imported by who sketches text: numba costs a second and 130 MB, which a command without text shall not pay.
    from detector.likeness.columns import columns, keyed  # noqa: PLC0415
    from detector.likeness.fold import fold  # noqa: PLC0415
    from detector.likeness.labels import labels  # noqa: PLC0415
    from detector.likeness.lexicon import classify  # noqa: PLC0415
    from detector.likeness.words import mask  # noqa: PLC0415

    at = np.array(rows)
    folded = fold(texts)
    words = mask(folded)
    classes = classify(words.code)
    found = keyed(columns(words, classes, key), key)
    out.text[at] = folded.digests(texts, key)
    out.known[at] = out.text[at] != 0
    out.template[at] = found.template
    out.head[at] = found.head
    out.tail[at] = found.tail
    out.fragments[at] = found.fragments
    out.skeleton[at] = found.skeleton
    out.words[at] = words.words
    out.labels[at] = labels(words, classes)

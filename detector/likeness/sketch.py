"""A batch of prompts to `Sketches`: chunks of the batch, one after the other, from bytes to words to columns."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

import numpy as np

from detector.event import FRAGMENTS, Sketches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHUNK_CHARS: Final = 1 << 17  # a chunk costs 40 us however small; a larger one leaves the processor's cache


def sketch(texts: Sequence[str | None], key: int) -> Sketches:
    """Return one row per text; None, "" and what has nothing visible are unknown rows.

    Any string will do, of any length and with any characters. The work is linear in what is read of a prompt
    (`fold.FIRST_CHARS`, `fold.LAST_CHARS`), but for one fast hash over the rest. Only the low 64 bits of `key` count.
    """
    out = empty(len(texts))
    rows = [row for row, text in enumerate(texts) if text]
    if rows:
        found = _sketch([text for text in texts if text], key & 0xFFFF_FFFF_FFFF_FFFF)
        for field in fields(Sketches):
            getattr(out, field.name)[rows] = getattr(found, field.name)
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


def _sketch(texts: list[str], key: int) -> Sketches:
    """Return the rows of some texts (at least one)."""
    # Imported by who sketches text: numba costs a second and 130 MB, which a command without text shall not pay.
    from detector.likeness.columns import columns, fragment_orders, keyed  # noqa: PLC0415
    from detector.likeness.fold import fold  # noqa: PLC0415
    from detector.likeness.labels import labels  # noqa: PLC0415
    from detector.likeness.lexicon import classify  # noqa: PLC0415
    from detector.likeness.words import mask  # noqa: PLC0415

    orders = fragment_orders(key)
    parts = []
    for chunk in _chunks(texts):
        folded = fold(chunk)
        text = folded.digests(chunk, key)
        words = mask(folded)
        classes = classify(words.code)
        # What has nothing visible has no words: its row is zeros by itself.
        found = columns(words, classes, orders)
        parts.append((text != 0, text, *found, words.words.astype(np.int32), labels(words, classes)))
    return keyed(Sketches(*map(np.concatenate, zip(*parts, strict=True))), key)


def _chunks(texts: list[str]) -> Iterator[list[str]]:
    chunk, chars = [], 0
    for text in texts:
        chunk.append(text)
        chars += len(text)
        if chars >= CHUNK_CHARS:
            yield chunk
            chunk, chars = [], 0
    if chunk:
        yield chunk

"""What a decoder could not read, and where everything came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from detector.event import I32

REASONS: Final = (
    "empty_record",
    "invalid_json",
    "not_an_object",
    "unsupported_version",
    "missing_field",
    "invalid_field",
    "invalid_utf8",
)
"""Every reason there is: labels of a metric and the `reason` header of the dead-letter topic."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Something that is no event: line `line` (from 1; 0: the whole record) of value `index`, as it came.

    `detail` names the field and what was expected; it never quotes a value. `raw` may hold prompt
    text: it belongs on the dead-letter topic and nowhere else.
    """

    index: int
    line: int
    reason: str
    detail: str
    raw: bytes


class Raw:
    """The bytes that rejects came from; a record of many lines is split once."""

    def __init__(self, values: Sequence[bytes | None]) -> None:
        """Look things up in these values."""
        self._values = values
        self._lines: dict[int, list[bytes]] = {}

    def of(self, index: int, line: int) -> bytes:
        """Return line `line` of value `index`, or all of it when `line` is 0."""
        value = self._values[index] or b""
        if not line:
            return value
        if index not in self._lines:
            self._lines[index] = value.split(b"\n")
        return self._lines[index][line - 1]


@dataclass(slots=True)
class Origins:
    """For each event, in order, its value and line; and what gave no event."""

    rejects: list[Reject] = field(default_factory=list)
    tombstones: int = 0
    _values: list[I32] = field(default_factory=list)
    _lines: list[I32] = field(default_factory=list)
    _run: tuple[int, int] = (0, 0)  # whole values, from the first to before the second, that are not in these yet

    def add(self, first: int, count: int) -> None:
        """Say that the next `count` events are the whole values from `first` on."""
        if first != self._run[1]:
            self._close_run()
            self._run = first, first
        self._run = self._run[0], first + count

    def add_lines(self, index: int, lines: list[int]) -> None:
        """Say that the next events are these lines of value `index`."""
        self._close_run()
        self._values.append(np.full(len(lines), index, np.int32))
        self._lines.append(np.array(lines, np.int32))

    def _close_run(self) -> None:
        first, end = self._run
        self._values.append(np.arange(first, end, dtype=np.int32))
        self._lines.append(np.zeros(end - first, np.int32))
        self._run = end, end

    def sorted_rejects(self) -> list[Reject]:
        """Return the rejects in the order of the input."""
        return sorted(self.rejects, key=lambda reject: (reject.index, reject.line))

    def columns(self) -> tuple[I32, I32]:
        """Return the value and the line of every event."""
        self._close_run()
        empty = np.zeros(0, np.int32)
        return np.concatenate([empty, *self._values]), np.concatenate([empty, *self._lines])

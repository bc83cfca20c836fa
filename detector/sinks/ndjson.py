"""Findings appended to a file, one JSON object per line, in the bytes that `detector replay` writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detector.errors import Unavailable
from detector.finding import Finding, encode


class NdjsonSink:
    """Appends to `path`. The file is opened for each delivery, so it may be rotated away at any time."""

    name = "ndjson"

    def __init__(self, path: Path) -> None:
        """Write to this file; its folder has to exist."""
        self._path = path

    async def deliver(self, findings: Sequence[Finding]) -> None:
        if not findings:
            return
        try:
            with self._path.open("ab") as out:
                out.write(b"".join(encode(finding) + b"\n" for finding in findings))
        except OSError as error:
            raise Unavailable(f"file {self._path}", error.strerror or str(error)) from error

    async def close(self) -> None:
        """Do nothing: nothing is held open."""

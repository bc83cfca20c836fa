"""Which sinks are on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """Where findings are delivered to."""

    kafka: bool = True  # publish findings on topics.findings
    log: bool = True  # write one line of log per finding
    ndjson: str = ""  # append findings to this file, one JSON object per line; empty: none

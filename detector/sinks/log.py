"""Findings as log events: who runs without a topic for findings reads them here."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import structlog

from detector.finding import Finding

_LEVELS = {"watch": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}


class LogSink:
    """One log event per update, at a level that follows the severity."""

    name = "log"

    def __init__(self) -> None:
        """Log to where the process logs."""
        self._log = structlog.get_logger("detector.findings")

    async def deliver(self, findings: Sequence[Finding]) -> None:
        for finding in findings:
            self._log.log(
                logging.INFO if finding.state == "cleared" else _LEVELS[finding.severity],
                f"finding_{finding.state}",
                finding_id=finding.finding_id,
                seq=finding.seq,
                kind=finding.kind,
                subject=finding.subject,
                severity=finding.severity,
                score=round(finding.score, 4),
                event_time_ms=finding.time_ms,
                accounts_total=finding.accounts_total,
                accounts_added=len(finding.accounts_added),
                requests_total=finding.requests_total,
                signals=[reason.signal for reason in finding.reasons],
                shadow=finding.shadow,
            )

    async def close(self) -> None:
        """Do nothing: the log belongs to the process."""

"""The settings that evaluations run with: the defaults of the project, on fewer partitions.

Every step of every partition is announced and closed, however little is in it, so that a sparse stream
costs by its partitions and not by its events. What is found does not depend on their number beyond
ties; time does (24 and 8 partitions: five times that of 4 and 1, on 100,000 events a day).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Final

from detector.config import load
from detector.pipeline import PipelineSettings

PARTITIONS: Final = 4
LINK_PARTITIONS: Final = 1
PARTITION_SETTINGS: Final = {
    "DETECTOR_TOPICS_PARTITIONS": str(PARTITIONS),
    "DETECTOR_TOPICS_LINK_PARTITIONS": str(LINK_PARTITIONS),
}


def pipeline_settings(config: Path | None) -> PipelineSettings:
    """Return the settings of a configuration file, or the defaults, on these partitions."""
    return load(config, {**os.environ, **PARTITION_SETTINGS}).pipeline()


def end_on_sigterm() -> None:
    """Let `kill` end the process as Ctrl-C does: servers that it started are stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

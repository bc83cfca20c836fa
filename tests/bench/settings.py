"""The settings that benchmarks run with: the defaults of the project, unless told otherwise."""

from __future__ import annotations

from pathlib import Path

from detector.pipeline import PipelineSettings
from detector.stages.accounts import AccountSettings
from detector.stages.campaigns import CampaignSettings
from detector.stages.links import LinkSettings


def pipeline_settings(config: Path | None) -> PipelineSettings:
    """Return the settings of a configuration file, or the defaults."""
    return PipelineSettings(AccountSettings(), LinkSettings(), CampaignSettings())

"""Template concentration: nearly all prompts come from one or a few templates.

Measured as the bias-corrected entropy of the template histogram over its largest (window/distinct).
Harmless causes: every API application with its own template, which is nearly half of legitimate batch traffic. It
says "a program", not "a harvest", so its weight is low; which template, and who else uses it, is the campaign's matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from detector.event import F32
from detector.signals import ramp
from detector.window.columns import AccountColumns, Column


@dataclass(frozen=True, slots=True)
class TemplateConcentration:
    """Ramp from 0 at `varied` down to 1 at `single`, from `least` prompts on."""

    name: ClassVar[str] = "template_concentration"
    needs: ClassVar[tuple[Column, ...]] = (Column.TEMPLATES_24H, Column.TEMPLATE_EVENNESS_24H)
    rises_with: ClassVar[tuple[Column, ...]] = ()
    varied: float = 0.5  # evenness over templates where the ramp begins ...
    single: float = 0.1  # ... and where it ends: nearly one template
    least: float = 20.0  # below, the bias correction is larger than what it corrects

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength per account; NaN below `least` prompts with a template."""
        enough = accounts[Column.TEMPLATES_24H] >= self.least
        concentrated = ramp.linear(accounts[Column.TEMPLATE_EVENNESS_24H], self.varied, self.single)
        return np.where(enough, concentrated, np.float32(np.nan))

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Evenness: 0 for one template, 1 for many used alike."""
        return accounts.at(Column.TEMPLATE_EVENNESS_24H, row)

    def baseline(self, _accounts: AccountColumns, _row: int) -> float:
        """Evenness where the ramp begins."""
        return self.varied

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it."""
        return (
            f"{accounts.at(Column.TEMPLATES_24H, row):.0f} prompts from very few templates"
            f" (evenness {self.value(accounts, row):.2f} of 1)"
        )

"""One behaviour per file: account columns -> strengths in [0, 1], NaN where it cannot be known.

`SIGNALS` is the family, in the order of the strengths in `Judged` records. `HOWTO.md` says how to add one.
"""

from __future__ import annotations

from typing import ClassVar, Final, Protocol

from detector.event import F32
from detector.signals.block_replay import BlockReplay
from detector.signals.canary import Canary
from detector.signals.grading import Grading
from detector.signals.harvest_shape import HarvestShape
from detector.signals.many_addresses import ManyAddresses
from detector.signals.many_clients import ManyClients
from detector.signals.narrow_capability import NarrowCapability
from detector.signals.no_idle import NoIdle
from detector.signals.no_ramp import NoRamp
from detector.signals.output_volume import OutputVolume
from detector.signals.probing import Probing
from detector.signals.reasoning_extraction import ReasoningExtraction
from detector.signals.regular_gaps import RegularGaps
from detector.signals.relay import Relay
from detector.signals.request_rate import RequestRate
from detector.signals.template_concentration import TemplateConcentration
from detector.signals.tier_excess import TierExcess
from detector.window.columns import AccountColumns, Column


class Signal(Protocol):
    """One behaviour. Fields of the dataclass are its settings; it never looks at another signal."""

    name: ClassVar[str]
    needs: ClassVar[tuple[Column, ...]]  # unknown in any of them: the strength is unknown
    rises_with: ClassVar[tuple[Column, ...]]  # more of any of them is never less strength

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength in [0, 1] per account; NaN where it cannot be known."""

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Return what was measured of one account."""

    def baseline(self, accounts: AccountColumns, row: int) -> float:
        """Return what would have been ordinary."""

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it in a sentence with numbers, for the finding."""


SIGNALS: Final[tuple[Signal, ...]] = (
    Canary(),
    BlockReplay(),
    ReasoningExtraction(),
    Grading(),
    Probing(),
    TemplateConcentration(),
    HarvestShape(),
    NoRamp(),
    TierExcess(),
    Relay(),
    ManyAddresses(),
    ManyClients(),
    OutputVolume(),
    RequestRate(),
    NoIdle(),
    RegularGaps(),
    NarrowCapability(),
)

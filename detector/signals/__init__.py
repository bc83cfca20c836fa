"""One behaviour per file: account columns -> strengths in [0, 1], NaN where it cannot be known.

`SIGNALS` is the family, in the order of the strengths in `Judged` records. `HOWTO.md` says how to add one.
"""

from __future__ import annotations

from typing import ClassVar, Final, Protocol

from detector.event import F32
from detector.signals.request_rate import RequestRate
from detector.window.columns import AccountColumns, Column


class Signal(Protocol):
    """One behaviour. Fields of the dataclass are its settings; it never looks at another signal."""

    name: ClassVar[str]
    needs: ClassVar[tuple[Column, ...]]

    def strengths(self, accounts: AccountColumns) -> F32:
        """Return one strength in [0, 1] per account; NaN where it cannot be known."""

    def value(self, accounts: AccountColumns, row: int) -> float:
        """Return what was measured of one account."""

    def baseline(self, accounts: AccountColumns, row: int) -> float:
        """Return what would have been ordinary."""

    def because(self, accounts: AccountColumns, row: int) -> str:
        """Say it in a sentence with numbers, for the finding."""


SIGNALS: Final[tuple[Signal, ...]] = (RequestRate(),)

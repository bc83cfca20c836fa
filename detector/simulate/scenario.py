"""The dials of a campaign, and the named scenarios.

A scenario is a benign world and the campaigns in it. `scale` multiplies numbers of accounts, benign
and campaign alike, and nothing else: intensities per account, durations and shares stay.
The intensities are the public ones (domain.md); sizes that no source gives are invention.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from detector.simulate.harvest_texts import FAMILIES, SUFFIXES

Timing = Literal["lockstep", "balanced", "human"]


_SHARES: Final = (
    "specialised", "shared_payment", "shared_network", "shared_client", "shared_email", "aged", "block_replay",
)  # fmt: skip
_ABOVE: Final = ("accounts", "per_account_day", "days", "operators")
_LEAST: Final = (
    "start_day", "churn_per_day", "probe_accounts", "probe_days", "ramp_days", "successor_accounts",
    "successor_delay_h",
)  # fmt: skip


def _check(values: Mapping[str, float], what: str) -> None:
    """Refuse the first value that is not `what`."""
    for name, value in values.items():
        if not _HOLDS[what](value):
            raise ValueError(f"{name} is {what}, not {value}")


_HOLDS: Final[dict[str, Callable[[float], bool]]] = {
    "a share from 0 to 1": lambda value: 0 <= value <= 1,
    "above 0": lambda value: value > 0,
    "at least 0": lambda value: value >= 0,
}


@dataclass(frozen=True, slots=True)
class Content:
    """One part of what a campaign asks.

    `share` of its exchanges; `family` of the scaffold (one of FAMILIES); `templates` in use;
    `paraphrase` 0 (fixed) … 1 (full rewrite per request); `suffix` of naked questions (0: none).
    """

    kind: Literal["scaffold", "naked"] = "scaffold"
    share: float = 1.0
    family: str = "agentic"
    templates: int = 1
    paraphrase: float = 0.0
    suffix: int = 0

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"unknown family {self.family!r}, one of {', '.join(FAMILIES)}")
        if self.suffix not in range(len(SUFFIXES)):
            raise ValueError(f"suffix is a number from 0 to {len(SUFFIXES) - 1}, not {self.suffix}")
        _check({"share": self.share, "templates": self.templates}, "above 0")
        _check({"share": self.share, "paraphrase": self.paraphrase}, "a share from 0 to 1")


@dataclass(frozen=True, slots=True)
class Dials:
    """One campaign. Days count from the beginning of the simulation, `*_day` of the campaign from its own.

    `accounts` at a time (each operator and pool), `per_account_day` harvesting exchanges;
    `specialised` share of accounts that serve one content part only, the others all parts;
    `mixed` share of unrelated traffic in the accounts; `shared_*` share of accounts that share a
    payment, a pool of proxy exits (half of them a new exit for every request), one client print and
    parameters, a mail domain pattern;
    `aged` share of accounts bought old and warmed up; `churn_per_day` share of accounts replaced;
    `probe_accounts` for `probe_days`, then growth to full strength within `ramp_days`;
    `ban_day`: the pool is banned then, and `successor_accounts` take over `successor_delay_h` later;
    `pivot`: half of the traffic is on a new model within a day of its release;
    `operators` over one proxy pool, each with its own work and accounts;
    `block_replay` share of exchanges that present a reasoning block issued to another account of the pool.
    """

    accounts: int = 1000
    per_account_day: float = 25.6
    start_day: float = 2.0
    days: float = 8.0
    content: tuple[Content, ...] = (Content(),)
    specialised: float = 0.0
    mixed: float = 0.0
    shared_payment: float = 0.0
    shared_network: float = 0.0
    shared_client: float = 0.0
    shared_email: float = 0.0
    timing: Timing = "balanced"
    aged: float = 0.0
    churn_per_day: float = 0.0
    probe_accounts: int = 0
    probe_days: float = 0.0
    ramp_days: float = 0.0
    ban_day: float | None = None
    successor_accounts: int = 0
    successor_delay_h: float = 3.0
    pivot: bool = True
    operators: int = 1
    block_replay: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.mixed <= 0.95:
            raise ValueError(f"mixed is a share from 0 to 0.95, not {self.mixed}")
        if abs(sum(part.share for part in self.content) - 1.0) > 1e-6:
            raise ValueError("the shares of the content parts must add up to 1")
        _check({name: getattr(self, name) for name in _SHARES}, "a share from 0 to 1")
        _check({name: getattr(self, name) for name in _ABOVE}, "above 0")
        _check({name: getattr(self, name) for name in _LEAST}, "at least 0")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A world: `benign_accounts` at its beginning (more sign up), for `days`, with these campaigns.

    `release_day` is when everybody gets a new model, `outage_days` when we fail for half an hour.
    """

    days: float
    campaigns: tuple[Dials, ...] = ()
    benign_accounts: int = 36_000
    release_day: float | None = 5.4
    outage_days: tuple[float, ...] = (3.62,)
    least_accounts: int = 30  # of a campaign, however small the scale
    begin_hour: float = 0.0  # UTC


def _sharing(share: float, dials: Dials) -> Dials:
    """Return `dials` with a share of accounts that share each kind of identifier."""
    return replace(dials, shared_payment=share, shared_network=share, shared_client=share, shared_email=share)


_APRIL_JUNE: Final = Dials(
    accounts=25_000,
    per_account_day=28.2,
    days=45.0,  # 28.2 after the ramp is 25.6 over all 45 days
    content=(
        Content(share=0.4, family="agentic"),
        Content(share=0.4, family="coding", templates=200, paraphrase=0.15),
        Content(kind="naked", share=0.2),
    ),
    shared_payment=0.04,
    shared_network=0.04,
    shared_client=0.02,
    specialised=0.2,
    probe_accounts=50,
    probe_days=1.0,
    ramp_days=5.0,
    aged=0.1,
    churn_per_day=0.004,
)

SCENARIOS: Final[dict[str, Scenario]] = {
    "april-june": Scenario(days=47.0, campaigns=(_APRIL_JUNE,), release_day=22.4, outage_days=(3.62, 17.3, 33.8)),
    "relay": Scenario(
        days=12.0,
        campaigns=(
            Dials(
                accounts=5_380,
                per_account_day=5.6,
                days=10.0,
                content=(Content(family="reasoning"),),
                shared_payment=0.1,
                shared_network=0.2,
            ),
        ),
    ),
    "burst": Scenario(
        days=5.0,
        release_day=None,
        campaigns=(
            _sharing(
                0.3,
                Dials(
                    accounts=3_500, per_account_day=857.0, days=3.0, content=(Content(family="coding", templates=3),)
                ),
            ),
        ),
    ),
    "small-heavy": Scenario(
        days=19.0,
        campaigns=(
            _sharing(
                0.2,
                Dials(
                    accounts=273, per_account_day=733.0, days=17.0, content=(Content(family="agentic", templates=4),)
                ),
            ),
        ),
    ),
    "hydra-mixed": Scenario(
        days=10.0,
        campaigns=(
            Dials(
                accounts=3_000,
                per_account_day=6.0,
                content=(Content(family="coding", templates=5),),
                mixed=0.9,
                aged=0.5,
                shared_network=0.5,
                shared_payment=0.05,
                timing="human",
            ),
        ),
    ),
    "succession": Scenario(
        days=10.0,
        campaigns=(
            Dials(
                accounts=5_000,
                per_account_day=25.6,
                content=(Content(family="coding", templates=8, paraphrase=0.05),),
                shared_network=0.2,
                shared_payment=0.1,
                ban_day=4.0,
                successor_accounts=3_500,
                successor_delay_h=3.0,
            ),
        ),
    ),
    "paraphrase-1000": Scenario(
        days=10.0,
        campaigns=(
            _sharing(
                0.1,
                Dials(
                    accounts=5_000,
                    per_account_day=13.0,
                    content=(Content(family="coding", templates=1000, paraphrase=0.1),),
                ),
            ),
        ),
    ),
    "clean-infrastructure": Scenario(
        days=10.0,
        campaigns=(
            Dials(
                accounts=5_000,
                per_account_day=13.0,
                content=(Content(family="extraction", templates=3, paraphrase=0.05),),
            ),
        ),
    ),
    "naked": Scenario(
        days=10.0,
        campaigns=(
            Dials(
                accounts=5_000,
                per_account_day=25.6,
                content=(Content(kind="naked"),),
                shared_payment=0.3,
                shared_network=0.6,
                shared_client=0.8,
                shared_email=0.3,
            ),
        ),
    ),
    "naked-clean": Scenario(
        days=10.0, campaigns=(Dials(accounts=5_000, per_account_day=25.6, content=(Content(kind="naked"),)),)
    ),
    "two-operators": Scenario(
        days=10.0,
        campaigns=(
            Dials(
                accounts=2_500,
                per_account_day=13.0,
                content=(Content(family="judge", templates=2),),
                shared_network=0.8,
                operators=2,
            ),
        ),
    ),
    "block-replay": Scenario(
        days=22.0,
        campaigns=(
            Dials(
                accounts=1_500,
                per_account_day=13.0,
                days=20.0,
                content=(Content(family="agentic", templates=40, paraphrase=0.3),),
                block_replay=0.6,
            ),
        ),
    ),
    "quiet": Scenario(days=30.0, release_day=12.4, outage_days=(3.62, 17.3)),
    "demo": Scenario(
        days=0.25,
        begin_hour=13.0,
        benign_accounts=3_000,
        release_day=None,
        outage_days=(),
        campaigns=(
            Dials(
                accounts=300,
                per_account_day=240.0,
                start_day=0.04,
                days=0.2,
                content=(Content(family="agentic"),),
                shared_network=0.3,
            ),
        ),
    ),
}

"""What every cohort is built in: the clock, the scale, the new model, and one account row per actor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from detector.simulate.actors import DAY_MS, FOREVER_MS, HOUR_MS, I64, Cohort, Table, actors, mixed, uniforms
from detector.simulate.clients import PARAMETERS, SDKS, Fields, Shapes, hashed, picks
from detector.simulate.networks import NETWORKS
from detector.simulate.roster import Roster, creations

BEGIN_MS: Final = 1_776_816_000_000  # 2026-04-22T00:00:00Z, a Wednesday: when the longest known campaign began
DAILY_SIGN_UPS: Final = 0.006  # of the accounts that were there at the beginning


@dataclass(slots=True)
class Setting:
    """One simulation while it is built. `people(share)` is a share of the benign accounts at the beginning."""

    seed: int
    days: float
    benign_accounts: int
    release_ms: int  # when the new model appears; FOREVER_MS when it does not
    outages: tuple[tuple[int, int], ...]
    roster: Roster
    begin_ms: int = BEGIN_MS
    shapes: Shapes = field(default_factory=Shapes)
    tables: dict[str, list[Table]] = field(default_factory=dict)

    @property
    def end_ms(self) -> int:
        """Event time of the end."""
        return self.begin_ms + int(self.days * DAY_MS)

    def rng(self, *names: str | int) -> np.random.Generator:
        """Return the generator of one purpose; equal names, equal numbers."""
        words = [self.seed]
        for name in names:
            words += list(name.encode()) if isinstance(name, str) else [name]
        return np.random.default_rng(words)

    def count(self, share: float, least: int = 3) -> int:
        """Return how many accounts a share of the benign population is."""
        return max(least, round(self.benign_accounts * share))

    def joined(
        self,
        rng: np.random.Generator,
        cohort: str,
        count: int,
        kind: str,
        *,
        daily: float = DAILY_SIGN_UPS,
        **record: Any,
    ) -> Table:
        """Add `count` accounts, and those who sign up later, on networks of a kind; return an actor for each."""
        created = creations(rng, count, self.begin_ms, self.days, daily)
        return self.made(rng, cohort, created, NETWORKS.pick(rng, kind, len(created)), **record)

    def made(self, rng: np.random.Generator, cohort: str, created: I64, prefixes: I64, **record: Any) -> Table:
        """Add accounts with these creation times and prefixes; return an actor for each."""
        table = actors(len(created))
        table["account"] = self.roster.add(rng, cohort, created, prefixes=prefixes, **record)
        table["start_ms"] = np.maximum(created, self.begin_ms)
        table["prefix"] = prefixes
        table["shift_h"] = NETWORKS.utc_offset_h[prefixes] + rng.normal(0, 1.5, len(created))
        return table

    def adopts(self, rng: np.random.Generator, table: Table, first_day: float, mean_days: float) -> None:
        """Let a share move to the new model on its first day, the others exponentially later (`mean_days`)."""
        if self.release_ms >= FOREVER_MS:
            return
        count = len(table)
        hours = np.where(
            rng.random(count) < first_day, rng.random(count) * 24, 24 + rng.exponential(mean_days * 24, count)
        )
        table["adopt_ms"] = self.release_ms + (hours * HOUR_MS).astype(np.int64)

    def sdk_shapes(self, rng: np.random.Generator, table: Table, fields: Fields, own_prompt: float = 0.6) -> None:
        """Give every API client an SDK and parameters, mostly its defaults, and its own system prompt or none."""
        clients, parameters = picks(rng, SDKS, len(table)), picks(rng, PARAMETERS, len(table))
        streams = rng.random(len(table)) < 0.3
        private = rng.random(len(table)) < 0.04  # a private link: the gateway sees no address
        owns = uniforms(mixed(table["account"] + 17)) < own_prompt
        for row in range(len(table)):
            values: dict[str, Any] = dict(PARAMETERS[parameters[row]][0])
            if streams[row]:
                values["stream"] = True
            if owns[row]:
                values["system_hash"] = hashed(self.seed * 31 + int(table["account"][row]))
            route = fields & ~Fields.ADDRESS if private[row] else fields
            table["shape"][row] = self.shapes.add(route, SDKS[clients[row]][:2], **values)

    def join(self, name: str, table: Table) -> None:
        """Put actors into the simulation; those who join under one name are drawn together."""
        self.tables.setdefault(name, []).append(table)

    def cohorts(self) -> list[Cohort]:
        """Return a cohort for each name, in the order in which the names were first joined."""
        return [Cohort(name, np.concatenate(tables)) for name, tables in self.tables.items()]

"""A simulation together with everything that was drawn from it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.simulate import Simulation, simulate
from detector.simulate.actors import Table


@dataclass(frozen=True)
class World:
    """A simulation with all of its rows in order of arrival."""

    simulation: Simulation
    rows: Table
    cohort: npt.NDArray[np.str_]  # of each row
    account_cohort: npt.NDArray[np.str_]

    def of(self, *names: str) -> Table:
        return self.rows[np.isin(self.cohort, names)]


def drawn(scenario: str, scale: float, days: float | None = None, seed: int = 5) -> World:
    simulation = simulate(scenario, seed, scale, days, text=False)
    rows = np.concatenate(list(simulation.slices()))
    cohorts = np.array([row["cohort"] for row in simulation._setting.roster.truth])
    return World(simulation, rows, cohorts[rows["account"]], cohorts)

"""One small quiet world and one small campaign, drawn once for all tests of the simulator."""

from dataclasses import dataclass

import numpy as np
import pytest

from detector.simulate import Simulation, simulate
from detector.simulate.actors import Table


@dataclass(frozen=True)
class World:
    """A simulation with all of its rows in order of arrival."""

    simulation: Simulation
    rows: Table
    cohort: np.ndarray  # of each row
    account_cohort: np.ndarray

    def of(self, *names: str) -> Table:
        return self.rows[np.isin(self.cohort, names)]


def world(scenario: str, scale: float, days: float | None = None, seed: int = 5) -> World:
    simulation = simulate(scenario, seed, scale, days, text=False)
    rows = np.concatenate(list(simulation.slices()))
    cohorts = np.array([row["cohort"] for row in simulation._setting.roster.truth])
    return World(simulation, rows, cohorts[rows["account"]], cohorts)


@pytest.fixture(scope="session")
def quiet() -> World:
    return world("quiet", 0.01, 14.0)

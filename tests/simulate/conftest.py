"""One small quiet world, drawn once for all tests of the simulator."""

import pytest

from tests.simulate.worlds import World, drawn


@pytest.fixture(scope="session")
def quiet() -> World:
    return drawn("quiet", 0.01, 14.0)

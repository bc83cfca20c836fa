"""How tests run: the same examples in each run, and what is disturbed by a busy machine not beside its like.

Examples of property tests are the same in each run; `make properties` looks for new ones. None has a deadline: the
first to sketch a text waits for what is compiled.

Test processes take whole files, and the folder tests/chaos as if it were one file: its tests have three workers, a
broker and faults that wait for each other, and two of them at once leave a small machine nothing.
"""

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("fuzz", max_examples=5_000, deadline=None)
settings.load_profile("repeatable")

_ALONE = "tests/chaos"


class _Scheduling(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _ALONE if nodeid.startswith(f"{_ALONE}/") else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Scheduling:
    return _Scheduling(config, log)

"""Examples of property tests are the same in each run; `make properties` looks for new ones.

None has a deadline: the first to sketch a text waits for what is compiled.
"""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("fuzz", max_examples=5_000, deadline=None)
settings.load_profile("repeatable")

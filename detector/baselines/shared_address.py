"""Address sharing, after EvilCohort (Stringhini et al., USENIX Security 2015): accounts that come from one network.

Five accounts on a /24 in a day. Every office, campus and mobile carrier does that.
"""

from detector.baselines.shared_key import SharedKey


def shared_address() -> SharedKey:
    """Return a new one; five accounts is what finds proxy pools that spread themselves thin."""
    return SharedKey("shared_address", "prefix", at_least=5)

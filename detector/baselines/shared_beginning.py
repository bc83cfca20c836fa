"""Same first 50 characters from ten accounts in a day: the rule that finds every scaffold and accuses every harness."""

from detector.baselines.shared_key import SharedKey


def shared_beginning() -> SharedKey:
    """Return a new one."""
    return SharedKey("shared_beginning", "beginning", at_least=10)

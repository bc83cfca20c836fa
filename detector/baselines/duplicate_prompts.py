"""The same prompt, to the letter, from ten accounts in a day: finds benchmarks and copied prompts, no work list."""

from detector.baselines.shared_key import SharedKey


def duplicate_prompts() -> SharedKey:
    """Return a new one."""
    return SharedKey("duplicate_prompts", "prompt", at_least=10)

"""A simulation is a function of its seed."""

import hashlib

from detector.simulate import simulate


def digest(events: int, seed: int = 3, *, days: float = 0.4) -> str:
    found = hashlib.sha256()
    for chunk in simulate("relay", seed, 0.01, days).chunks(events):
        for line in chunk:
            found.update(line + b"\n")
    return found.hexdigest()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert digest(20_000) == digest(20_000)
    assert digest(20_000) != digest(20_000, seed=4)


def test_chunk_sizes_do_not_matter() -> None:
    assert digest(20_000) == digest(777)

"""The rules by which a stage makes of a record what it makes: this package's code and data, and the stage's settings.

Two workers with the same rules make the same of the same records; of others nothing is known, so whatever changed
counts: a hash of the sources cannot be forgotten as a version number can.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

_SOURCES: Final = (".py", ".toml", ".npz")


def rules_of(*settings: object) -> bytes:
    """Return a hash of the rules with these settings, whose `repr` says all that is in them."""
    return hashlib.sha256(f"{_code()} {settings!r}".encode()).hexdigest()[:16].encode()


@cache
def _code() -> str:
    found = hashlib.sha256()
    for source in _sources(resources.files("detector")):
        found.update(source.read_bytes())
    return found.hexdigest()


def _sources(folder: Traversable) -> Iterator[Traversable]:
    for one in sorted(folder.iterdir(), key=lambda one: one.name):
        if one.is_dir():
            yield from _sources(one)
        elif one.name.endswith(_SOURCES):
            yield one

"""Every error this project raises; each class tells its catcher what to do.

DetectorError
├── DecodeError     the record is bad: dead-letter it with `reason`, the stream goes on
├── ConfigError     refuse to start: which setting, what is wrong, the nearest known name
├── InputError      a file or argument is unusable: say which and where, exit 1 or 2
└── Unavailable     a service is away: keep what you hold, slow down, retry
    └── Fenced      another worker owns this partition now: drop what you hold, stop writing
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like `name`, None where none is: for the message of a ConfigError."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)), None)


class DetectorError(Exception):
    """The root; never raised itself."""


class DecodeError(DetectorError):
    """One record (or one line of it) is not an event.

    `reason` is a slug from a small closed set (it becomes a metric label and the `reason`
    header of the dead-letter topic); `detail` says where, and never quotes prompt text.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class ConfigError(DetectorError):
    """A setting is unknown or unusable; the message names it and the nearest known one."""

    def __init__(self, setting: str, problem: str, nearest: str | None = None) -> None:
        hint = f" (did you mean {nearest!r}?)" if nearest else ""
        super().__init__(f"setting {setting!r}: {problem}{hint}")
        self.setting = setting
        self.nearest = nearest


class InputError(DetectorError):
    """A file or argument cannot be used; the message names it and the place in it."""


class Unavailable(DetectorError):
    """A service that is needed does not answer; nothing is lost, try again later."""

    def __init__(self, service: str, detail: str = "") -> None:
        super().__init__(f"{service} is unavailable" + (f": {detail}" if detail else ""))
        self.service = service


class Fenced(Unavailable):
    """A newer owner has written this partition; this worker's state of it is void."""

"""The request event as the decoders fill it: every wire format ends in lists of `Wire`, or in columns (`Scanned`).

`Wire` is derived from `event.RequestEvent`, field by field, so that the two cannot drift. It
differs where columns are made faster: a missing number is NaN and a missing flag -1, so that a
whole column becomes an array without a look at each value; every number is a float, so that
`12` and `12.0` are the same fact, and whole columns are checked for range at once (`NUMBERS`).
An explicit `null` is a missing value, as the contract says.

Two kinds of fields, because nobody may choose to be dead-lettered: what the gateway *measured*
(counts, durations) is refused when it cannot be true; what the *client asked for* has to be a
number, and one that makes no sense (some clients write -1 for "no limit") is unknown.
"""

from __future__ import annotations

import math
import types
from dataclasses import dataclass
from typing import Any, Final, get_args, get_type_hints

import msgspec

from detector.event import F64, I8, I32, RequestEvent

MAX_INTEGER: Final = 2**53
MAX_TIME_MS: Final = 253_402_300_799_999  # the end of the year 9999; microseconds sent as milliseconds lie beyond


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric field is in [0, `most`], and an integer if `whole`; a `measured` one that is not is refused."""

    name: str
    whole: bool
    measured: bool = True
    most: float = MAX_INTEGER


_ASKED_FOR: Final = ("max_tokens", "n", "top_logprobs", "seed", "thinking_budget_tokens", "temperature", "top_p")
_HINTS: Final = get_type_hints(RequestEvent)


def _plain(hint: Any) -> Any:
    """Return the type without its `None`."""
    if isinstance(hint, types.UnionType) or len(get_args(hint)) > 1:
        rest = [a for a in get_args(hint) if a is not types.NoneType]
        return rest[0] if len(rest) == 1 else hint
    return hint


NUMBERS: Final = tuple(
    Number(name, _plain(hint) is int, name not in _ASKED_FOR, MAX_TIME_MS if name == "time_ms" else MAX_INTEGER)
    for name, hint in _HINTS.items()
    if _plain(hint) in (int, float)
)

NUMBERED: Final = (
    "account_id",
    "model",
    "capability",
    "end_user_id",
    "system_hash",
    "system_text",
    "tools_hash",
    "ip",
    "user_agent",
    "tls_ja4",
    "reasoning_block_hash",
    "reasoning_effort",
    "operation",
    "outcome",
    "thinking",
    "response_format",
)
"""Strings of which a batch has few different ones, or of which something is worked out: once for each of those."""


def _field(field: msgspec.structs.FieldInfo) -> tuple[Any, ...]:
    kind = _plain(_HINTS[field.name])
    if kind in (int, float):
        if field.required:
            return (field.name, float)
        return (field.name, float | None, math.nan if field.default is None else field.default)
    if kind is bool:
        return (field.name, bool | None, -1)
    return (field.name, kind) if field.required else (field.name, _HINTS[field.name], field.default)


Wire: Final[Any] = msgspec.defstruct(
    "Wire", [_field(f) for f in msgspec.structs.fields(RequestEvent)], kw_only=True, gc=False
)


@dataclass(frozen=True, slots=True)
class Scanned:
    """Some of the events of a batch, R of them, as columns.

    `runs`      of values that they are, and `others` of the rest, each as (first, behind the last)
    `numbers`   [R] of each name that any row has; NaN where missing or null
    `flags`     [R] of each name: 1, 0, and -1 where missing or null
    `numbered`  of each name in `NUMBERED`: [R] the number of its string, -1 where missing or null, and the strings in
                the order in which they appear first; a string that is written in two ways has two numbers
    `ids`       [R] in UTF-8
    `strings`   [R] of each other name that columns are made of and that any row has; of `session_id` only where the
                row has a `reasoning_block_issuer`
    """

    size: int
    runs: list[tuple[int, int]]
    others: list[tuple[int, int]]
    numbers: dict[str, F64]
    flags: dict[str, I8]
    numbered: dict[str, tuple[I32, list[str]]]
    ids: list[bytes]
    strings: dict[str, list[str | None]]

    def __len__(self) -> int:
        return self.size

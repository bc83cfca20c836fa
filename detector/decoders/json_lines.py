"""JSON records, one object in a value or one per line (NDJSON), for a whole batch at msgspec's speed.

`list.extend(map(decode, values))` keeps what it has decoded when one value raises, and the map
goes on behind it, so that a bad value costs itself and not its batch. Only what failed is looked
at again, in this order:

1. None is a tombstone; blank is `empty_record`.
2. A value that is no single JSON text but has several lines is decoded line by line.
3. Mended and tried again: bytes that are not UTF-8 and lone surrogate escapes become U+FFFD (a
   *client* can put both into its prompt or headers, careless gateways pass them on, and nobody may
   choose to be dead-lettered), a number that no double can hold becomes the largest one (for the same
   reason: a client asks for 1e400 tokens), and `12.0` becomes `12` where an integer is asked for.
4. What is left is a `Reject`. Its `detail` names the field and what was expected, never the value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from detector.decoders.reject import Origins, Reject

PIECE: Final = 250

Decode = Callable[[bytes], Any]

_syntax: Final = msgspec.json.Decoder(msgspec.Raw).decode


class _Version(msgspec.Struct, gc=False):
    v: Any = 1


_version: Final = msgspec.json.Decoder(_Version).decode

_PLACE: Final = re.compile(r"(?P<what>.*) - at `\$\.?(?P<path>[A-Za-z0-9_.\[\]]*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(?P<field>\w+)`")
# One escape after the other: what follows an escaped backslash is none, so the second half of `\\ud83d\ude00` is alone.
_ESCAPE: Final = re.compile(
    rb"(\\[^u]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_NUMBER: Final = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")|-?[0-9][0-9.eE+-]*', re.DOTALL)  # in a JSON text; or a string


def read_json(
    values: Sequence[bytes | None], decode: Decode, origins: Origins, runs: Sequence[tuple[int, int]]
) -> Iterator[list[Any]]:
    """Yield what `decode` (of one JSON text) makes of the values of these runs (first, behind the last), in order.

    Tell `origins` where each came from. In pieces of some PIECE values: what is decoded is still in the processor's
    cache when it is used, and fewer objects than the garbage collector's first threshold (700) live at a time, so that
    it is not woken.
    """
    rows: list[Any] = []
    for begin, end in runs:
        for first in range(begin, end, PIECE):
            rows += _read(values[first : min(first + PIECE, end)], first, decode, origins)
            if len(rows) >= PIECE:
                yield rows
                rows = []
    yield rows


def _read(values: Sequence[bytes | None], offset: int, decode: Decode, origins: Origins) -> list[Any]:
    """Return the rows of a piece that begins at value `offset`."""
    rows: list[Any] = []

    def whole(index: int, value: bytes | None, error: Exception) -> None:
        if value is None:
            origins.tombstones += 1
            return
        if b"\n" in value.strip() and not is_json(value):
            split = value.split(b"\n")
            numbers = [k for k, line in enumerate(split, 1) if line.strip()]

            def one_line(k: int, line: bytes | None, error: Exception) -> None:
                assert line is not None
                row, reason, detail = _second_look(line, error, decode)
                if row is not None:
                    rows.append(row)
                    origins.add_lines(offset + index, [numbers[k]])
                else:
                    origins.rejects.append(Reject(offset + index, numbers[k], reason, detail, line))

            _extend(
                rows,
                [split[k - 1] for k in numbers],
                decode,
                lambda first, count: origins.add_lines(offset + index, numbers[first : first + count]),
                one_line,
            )
            return
        row, reason, detail = _second_look(value, error, decode)
        if row is not None:
            rows.append(row)
            origins.add(offset + index, 1)
        else:
            origins.rejects.append(Reject(offset + index, 0, reason, detail, value))

    _extend(rows, values, decode, lambda first, count: origins.add(offset + first, count), whole)
    return rows


def _extend(
    rows: list[Any],
    values: Sequence[bytes | None],
    decode: Decode,
    decoded: Callable[[int, int], None],
    failed: Callable[[int, bytes | None, Exception], None],
) -> None:
    """Append the rows of `values`; report runs that went well (first, count) and every failure, in order."""
    todo = map(decode, values)  # type: ignore[arg-type]  # a None fails like any bad value, and is told apart then
    first = 0
    while first < len(values):
        before = len(rows)
        error: Exception | None = None
        try:
            rows.extend(todo)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError) as caught:
            error = caught
        count = len(rows) - before
        if count:
            decoded(first, count)
        first += count
        if error is not None:
            failed(first, values[first], error)
            first += 1


def _second_look(value: bytes, error: Exception, decode: Decode) -> tuple[Any, str, str]:
    """Return (row, "", "") if the value can be mended, or else (None, reason, detail)."""
    if not value.strip():
        return None, "empty_record", ""
    mended = mend(value)
    if mended != value:
        try:
            return decode(mended), "", ""
        except (msgspec.MsgspecError, RecursionError) as caught:
            error = caught
    if isinstance(error, msgspec.ValidationError) and "out of range" in str(error) and is_json(mended):
        mended = _NUMBER.sub(_within_range, mended)
        try:
            return decode(mended), "", ""
        except (msgspec.MsgspecError, RecursionError) as caught:
            error = caught
    if isinstance(error, msgspec.ValidationError) and "got `float`" in str(error):
        try:
            return decode(msgspec.json.encode(_with_integers(msgspec.json.decode(mended)))), "", ""
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as caught:
            error = caught
    return None, *_reason(mended, error)


def mend(value: bytes) -> bytes:
    """Return the value with U+FFFD for what is not UTF-8 and for lone surrogate escapes."""
    return _ESCAPE.sub(lambda found: found[1] or rb"\ufffd", value.decode("utf-8", "replace").encode())


def _within_range(found: re.Match[bytes]) -> bytes:
    """Return a string as it is, and a number as one that a double can hold."""
    if found[1] or math.isfinite(float(found[0])):
        return found[0]
    return b"-1e308" if found[0].startswith(b"-") else b"1e308"


def _with_integers(value: Any) -> Any:
    """Return the object with every integral float in it, or in an object in it, as an int."""
    if isinstance(value, dict):
        return {name: _with_integers(part) for name, part in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def is_json(value: bytes) -> bool:
    """Return whether the bytes are one JSON text, not nested too deeply."""
    try:
        _syntax(value)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


def _reason(value: bytes, error: Exception) -> tuple[str, str]:
    if isinstance(error, RecursionError):
        return "invalid_json", "nested too deeply"
    if not isinstance(error, msgspec.ValidationError):
        return "invalid_json", str(error).removeprefix("JSON is malformed: ")
    if not is_json(value):  # msgspec stops at the first wrong field; what follows it may not be JSON
        return "invalid_json", "not one JSON text"
    try:
        version = _version(value).v
    except msgspec.ValidationError:
        return "not_an_object", ""
    if isinstance(version, int | float) and not isinstance(version, bool) and version != 1:
        return "unsupported_version", "this detector reads 1"
    message = str(error)
    if missing := _MISSING.match(message):
        return "missing_field", missing["field"]
    place = _PLACE.fullmatch(message)
    if place is None:
        return "invalid_field", "unknown place"
    what = "not a known value" if place["what"].startswith("Invalid enum") else place["what"]
    return "invalid_field", f"{place['path']}: {what}"

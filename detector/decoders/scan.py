"""Plain JSON objects, one a value, straight to columns: what `json_lines` and `Wire` make of them, by compiled code.

    values ─► joined ─► where the value of each field is ─► numbers, strings numbered ─► `Scanned`
       └ anything else: not plain, left to `json_lines`

Plain is what gateways send nearly always: a flat object, its names without escapes, each field of its type. What is
not is never refused here: it is told apart and read again by msgspec, which alone says what is wrong. So this file may
give up on anything, but what it takes it must take as msgspec does (`tests/decoders/test_scan.py` compares). A string
with escapes or not in ASCII, and a number with many digits, are found here and read by msgspec, one by one.

Why compiled: of the 8 µs that an event took in replay, decoding was nearly half: an object of Python's for each value
of it, and a look at each for whether it was there before. By this it is a third less.

Strings are numbered by a table whose places depend on Python's own secret of the process: nobody can choose names that
all go to one place (`event.places` says why), and nothing but time depends on it. The hash folds products of 128 bits,
as wyhash (Wang Yi, 2019) does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from detector.account import AccountRecord
from detector.decoders.wire import NUMBERED, Scanned, Wire
from detector.event import F64, I32, I64, U64, Mask
from detector.likeness.compiled import entry, inlined

U8 = npt.NDArray[np.uint8]

_UNKNOWN, _NUMBER, _FLAG, _TEXT, _CLASS, _NESTED = range(6)  # kinds of fields
_PLAIN, _QUOTE, _ESCAPE, _WIDE, _CONTROL = range(5)  # kinds of bytes in strings
_DIGITS: Final = 18  # of a number that is read here, at most; a double holds 53 bits of it
_EXACT: Final = 1 << 53
_LONG: Final = _DIGITS + 1  # instead of how many digits are behind the point: another look is needed
_POWERS: Final = np.array([*(10.0**n for n in range(_LONG)), 1.0, np.nan])  # the last two are those of _LONG and -1
_BEHIND: Final = b"\n" * 24  # the last value: loading eight bytes, or comparing with a name, stays inside
_SLOTS: Final = 256  # for the names of fields, some fifty
_a_number: Final = re.compile(rb"-?[0-9][0-9.eE+-]*").match
_read: Final = msgspec.json.Decoder(str).decode
_float: Final = msgspec.json.Decoder(float).decode


def _kind_of(hint: Any) -> tuple[int, tuple[str, ...]]:
    """Return the kind of a field, and the strings there are of it where these are few."""
    kinds = [one for one in (get_args(hint) or (hint,)) if one is not type(None)]
    for kind, of in ((_NUMBER, float), (_FLAG, bool), (_TEXT, str), (_NESTED, AccountRecord)):
        if kinds == [of]:
            return kind, ()
    return _CLASS, get_args(kinds[0])


_FIELDS: Final = {field.name: _kind_of(field.type) for field in msgspec.structs.fields(Wire)}
_PLACE: Final = {name: place for place, name in enumerate(_FIELDS)}
_REQUIRED: Final = [_PLACE[field.name] for field in msgspec.structs.fields(Wire) if field.required]
_EACH_READ: Final = ("id", "prompt_text", "prompt_sketch", "reasoning_block_issuer")


def _of_kind(kind: int) -> list[str]:
    return [name for name, (its, _) in _FIELDS.items() if its == kind]


def scan(values: Sequence[bytes | None]) -> Scanned:
    """Return the plain objects among the values."""
    given = [value or b"" for value in values]
    first = np.zeros(len(given) + 1, np.int64)
    np.cumsum([len(value) + 1 for value in given], out=first[1:])
    raw = b"\n".join((*given, _BEHIND))  # no string goes on beyond a newline
    plain, what, how = _scan(np.frombuffer(raw, np.uint8), first, _NAMES, _CLASSES)
    plain &= (how[_REQUIRED] >= 0).all(axis=0)
    found = _Found(raw, *_taken(plain, what, how))
    if found.wrong.any():  # they looked plain
        plain[np.flatnonzero(plain)[found.wrong]] = False
        found = _Found(raw, *_taken(plain, what, how))
    plains, others = (_runs(np.flatnonzero(rows)) for rows in (plain, ~plain))
    columns = found.numbers, found.flags, found.numbered, found.ids, found.strings
    return Scanned(int(plain.sum()), plains, others, *columns)


def _taken(plain: Mask, what: I64, how: I32) -> tuple[I64, I32]:
    return (what, how) if plain.all() else (what[:, plain], how[:, plain])


class _Found:
    """The values of R plain objects: the columns of `Scanned`, and [R] `wrong` where one is not what it looked like."""

    def __init__(self, raw: bytes, what: I64, how: I32) -> None:
        """`what` and `how` are as `_scan` says them."""
        self._raw = raw
        self._what, self._how = what, how
        self.wrong = np.zeros(how.shape[1], np.bool_)
        self.numbers = self._numbers()
        self.flags = {name: self._how[_PLACE[name]].astype(np.int8) for name in _of_kind(_FLAG)}
        self.numbered = self._numbered()
        self.ids: list[bytes] = []
        self.strings = self._strings()

    def _numbers(self) -> dict[str, F64]:
        """Return `Scanned.numbers`: each is the nearest double, because both sides of a quotient are exact."""
        columns: dict[str, F64] = {}
        for name in _of_kind(_NUMBER):
            digits, places = self._what[_PLACE[name]], self._how[_PLACE[name]]
            if (places < 0).all():
                continue
            columns[name] = np.where(places >= 0, digits, 0) / _POWERS[places]
            for row in np.flatnonzero(places == _LONG).tolist():
                number = _a_number(self._raw, int(digits[row]))
                assert number
                try:
                    columns[name][row] = _float(number[0])
                except msgspec.MsgspecError:  # no double holds it
                    self.wrong[row] = True
        return columns

    def _numbered(self) -> dict[str, tuple[I32, list[str]]]:
        names = [name for name in NUMBERED if name not in _of_kind(_CLASS)]
        places = [_PLACE[name] for name in names]
        numbers, firsts, counts = _number(
            np.frombuffer(self._raw, np.uint8), self._what[places], self._how[places], _SECRET
        )
        columns = {}
        for name, place, number, first, count in zip(names, places, numbers, firsts, counts.tolist(), strict=True):
            found, wrong = self._bytes(place, first[:count])
            if wrong:
                self.wrong |= np.isin(number, wrong)
            columns[name] = number, [one.decode("utf-8", "replace") for one in found]
        for name in _of_kind(_CLASS):
            columns[name] = self._how[_PLACE[name]], list(_FIELDS[name][1])
        return columns

    def _strings(self) -> dict[str, list[str | None]]:
        """Return `Scanned.strings`, and set `ids`; what nobody wants is looked at all the same."""
        columns: dict[str, list[str | None]] = {}
        presents = self._how[_PLACE["reasoning_block_issuer"]] >= 0
        for name in _of_kind(_TEXT):
            if name in NUMBERED:
                continue
            how = self._how[_PLACE[name]]
            wanted = how >= 0 if name in _EACH_READ else (how >= 0) & (how & 1 > 0)
            if name == "session_id":
                wanted |= (how >= 0) & presents
            rows = np.flatnonzero(wanted)
            found, wrong = self._bytes(_PLACE[name], rows)
            self.wrong[rows[wrong]] = True
            if name == "id":
                self.ids = found
            elif found:
                column: list[str | None] = [None] * len(how)
                for row, one in zip(rows.tolist(), found, strict=True):
                    column[row] = one.decode("utf-8", "replace")  # only what is wrong needs it, and goes
                columns[name] = column
        return columns

    def _bytes(self, place: int, rows: I64 | I32) -> tuple[list[bytes], list[int]]:
        """Return the strings of a field in these rows, in UTF-8, and which of them are none."""
        begins, how = self._what[place, rows], self._how[place, rows]
        ends = begins + (how >> 1)
        found = list(map(self._raw.__getitem__, map(slice, begins.tolist(), ends.tolist())))
        wrong = []
        for number in np.flatnonzero(how & 1).tolist():
            quoted = self._raw[begins[number] - 1 : ends[number] + 1]
            try:
                found[number] = _read(quoted).encode()
            except (msgspec.MsgspecError, UnicodeDecodeError):
                wrong.append(number)
        return found, wrong


def _runs(ascending: I64) -> list[tuple[int, int]]:
    if not len(ascending):
        return []
    breaks = np.flatnonzero(np.diff(ascending) != 1)
    firsts, lasts = ascending[np.r_[0, breaks + 1]], ascending[np.r_[breaks, len(ascending) - 1]]
    return list(zip(firsts.tolist(), (lasts + 1).tolist(), strict=True))


# -- what is looked for ----------------------------------------------------------------------------


def _key_words() -> U64:
    """Return [6, fields + 1] the name of each field and the quote behind it, in three little-endian words; their masks.

    The last is that of all other names, and is never met.
    """
    rows = np.full((2, len(_FIELDS) + 1, 24), 255, np.uint8)
    rows[:, :-1] = 0
    for place, name in enumerate(_FIELDS):
        key = np.frombuffer(f'{name}"'.encode(), np.uint8)
        rows[0, place, : len(key)], rows[1, place, : len(key)] = key, 255
    return np.ascontiguousarray(rows.view("<u8").astype(np.uint64).transpose(0, 2, 1)).reshape(6, -1)


def _field_of() -> U8:
    """Return the field of each slot; of a free one, that of all other names."""
    field_of = np.full(_SLOTS, len(_FIELDS), np.uint8)
    for place, name in enumerate(_FIELDS):
        slot = 0
        for char in name.encode():
            slot = (slot * 31 + char) & (_SLOTS - 1)
        while field_of[slot] < len(_FIELDS):
            slot = (slot + 1) & (_SLOTS - 1)
        field_of[slot] = place
    return field_of


def _classes() -> tuple[U8, I64, I64]:
    """Return the bytes of all strings that are classes, where each begins, and which is the first of each field.

    With the end of the last in either; a field of another kind has none.
    """
    words = list(chain.from_iterable(classes for _, classes in _FIELDS.values()))
    begin = np.cumsum([0, *map(len, words)])
    return (
        np.frombuffer("".join(words).encode(), np.uint8),
        begin,
        np.cumsum([0, *(len(c) for _, c in _FIELDS.values())]),
    )


_NAMES: Final = (
    _key_words(),
    _field_of(),
    np.array([*(kind for kind, _ in _FIELDS.values()), _UNKNOWN]),
    np.array([*map(len, _FIELDS), 0]),
)
_CLASSES: Final = _classes()
_BYTE: Final = np.full(256, _PLAIN, np.int64)
_BYTE[:32], _BYTE[128:], _BYTE[34], _BYTE[92] = _CONTROL, _WIDE, _QUOTE, _ESCAPE
_SECRET: Final = np.array([hash(word) & 0xFFFF_FFFF_FFFF_FFFF | 1 for word in ("strings", "their places")], np.uint64)


# -- compiled --------------------------------------------------------------------------------------

_OPEN, _CLOSE, _COLON, _COMMA, _MARK, _MINUS, _POINT, _ZERO, _NINE, _E, _PLUS = b'{}:,"-.09e+'
_SLOT: Final = np.uint64(_SLOTS - 1)
_1, _8, _10, _16, _32 = map(np.uint64, (1, 8, 10, 16, 32))
_ONES: Final = np.uint64(0x0101010101010101)
_TOPS: Final = np.uint64(0x8080808080808080)
_MARKS: Final = np.uint64(0x2222222222222222)
_BACKS: Final = np.uint64(0x5C5C5C5C5C5C5C5C)
_BLANKS: Final = np.uint64(0x2020202020202020)
_PLACES: Final = np.uint64(0x0001020304050607)
_ZEROS: Final = np.uint64(0x3030303030303030)
_ABOVE_NINE: Final = np.uint64(0x7676767676767676)
_FIRST_OF_FOUR: Final = np.uint64(0x000000FF000000FF)
_LOWER: Final = np.uint64(100 + (1_000_000 << 32))
_UPPER: Final = np.uint64(1 + (10_000 << 32))
_TENS: Final = np.array([10**n for n in range(9)])
_FOUR: Final = np.uint64(0xFFFFFFFF)
_FIVE: Final = np.uint64(0xFFFFFFFFFF)
_NULL, _TRUE, _FALSE = (np.uint64(int.from_bytes(word, "little")) for word in (b"null", b"true", b"false"))


@entry
def _scan(raw: U8, first: I64, fields: Any, classes: Any) -> Any:
    """Return whether each row is plain, and [fields, R] `what` and `how`; those of other rows mean nothing.

    Missing or null: `how` is -1. Else, of a number: its digits as an integer, and how many of them are behind the
    point (12.5 is 125 and 1; see `_number_at`). Of a flag: `how` is 1 or 0. Of a class: its place among the strings
    there are. Of a string: where it begins, and twice its bytes, one more with escapes or what is not ASCII.

    Bounds: a row ends with a newline that is its own, `raw[stop]`; nothing is read beyond one, because a newline is
    nothing of what is looked for but white space, and that is looked for before `stop` only. (Eight bytes at once are:
    _BEHIND is there for the last row.) The last field is that of all names that are none.
    """
    n, width = len(first) - 1, len(fields[2])
    plain = np.zeros(n, np.bool_)
    what = np.zeros((width, n), np.int64)
    how = np.full((width, n), -1, np.int32)
    usual = np.zeros(64, np.uint8)
    for row in range(n):
        plain[row] = _object(raw, first[row], first[row + 1] - 1, fields, classes, usual, (what, how), np.uint64(row))
    return plain, what, how


@inlined
def _object(  # noqa: C901, PLR0911, PLR0912, PLR0915 - in parts it takes twice the time: each counts references to arrays
    raw: U8, at: int, stop: int, fields: Any, classes: Any, usual: U8, columns: Any, row: np.uint64
) -> bool:
    """Take the object of a row; return whether it is plain.

    `usual` is the field at each place of the objects before: a sender writes them in one order.
    """
    keys, field_of, kinds, lengths = fields
    what, how = columns
    unknown = np.uint64(len(kinds) - 1)
    at = _blank(raw, at, stop)
    if _byte(raw, at) != _OPEN:
        return False
    at = _blank(raw, at + 1, stop)
    turn = np.uint64(0)
    while _byte(raw, at) == _MARK:
        # The name: the usual one, or looked up.
        at += 1
        field = np.uint64(usual[turn])
        if _is_key(raw, at, keys, field):
            at += lengths[field]
        else:
            begin = at
            slot = np.uint64(0)
            while _kind(raw, at) == _PLAIN:
                slot = (slot * np.uint64(31) + np.uint64(_byte(raw, at))) & _SLOT
                at += 1
            if _byte(raw, at) != _MARK:
                return False
            field = np.uint64(field_of[slot])
            while field != unknown and not _is_key(raw, begin, keys, field):
                slot = (slot + _1) & _SLOT
                field = np.uint64(field_of[slot])
            if field != unknown:
                usual[turn] = field
        kind = kinds[field]
        turn = (turn + _1) & np.uint64(63)
        at = _blank(raw, at + 1, stop)
        if _byte(raw, at) != _COLON:
            return False
        at = _blank(raw, at + 1, stop)
        # The value.
        char = _byte(raw, at)
        if char == _MARK:
            begin = at + 1
            at, odd = _string(raw, begin)
            if _byte(raw, at) != _MARK:
                return False
            if kind == _TEXT:
                what[field, row], how[field, row] = begin, 2 * (at - begin) + odd
            elif kind == _CLASS:
                how[field, row] = _class(raw, begin, at, classes, field)
                if how[field, row] < 0:
                    return False
            elif kind != _UNKNOWN or odd:
                return False
            at += 1
        elif char == _MINUS or _ZERO <= char <= _NINE:
            at, digits, places = _number_at(raw, at)
            if kind == _NUMBER:
                what[field, row], how[field, row] = digits, places
            elif kind != _UNKNOWN:
                return False
            if at < 0:
                return False
        else:
            word = _eight(raw, at)
            if word & _FOUR == _NULL:
                how[field, row] = -1
                at += 4
            elif word & _FOUR == _TRUE or word & _FIVE == _FALSE:
                true = word & _FOUR == _TRUE
                if kind == _FLAG:
                    how[field, row] = true
                elif kind != _UNKNOWN:
                    return False
                at += 4 if true else 5
            else:
                return False
        # What is behind it.
        at = _blank(raw, at, stop)
        if _byte(raw, at) == _CLOSE:
            return bool(_blank(raw, at + 1, stop) == stop)
        if _byte(raw, at) != _COMMA:
            return False
        at = _blank(raw, at + 1, stop)
    return False


@inlined
def _blank(raw: U8, at: int, stop: int) -> int:
    """Return the first place from `at` on that is no white space; `stop` at most."""
    while (
        _byte(raw, at) <= 32
        and at < stop
        and (_byte(raw, at) == 32 or 9 <= _byte(raw, at) <= 10 or _byte(raw, at) == 13)
    ):
        at += 1
    return at


@inlined
def _byte(raw: U8, at: int) -> int:
    """Return a byte; `at` is not negative, which the compiler would look at otherwise."""
    return int(raw[np.uint64(at)])


@inlined
def _kind(raw: U8, at: int) -> int:
    return int(_BYTE[raw[np.uint64(at)]])


@inlined
def _eight(raw: U8, at: int) -> np.uint64:
    """Return eight bytes as a little-endian number; unsigned indices, so that the compiler makes one load of it."""
    start = np.uint64(at)
    value = np.uint64(0)
    for i in range(_8):
        value |= np.uint64(raw[start + i]) << _8 * i
    return value


@inlined
def _signed(small: np.uint64) -> int:
    return np.int64(small)  # type: ignore[return-value]  # compiled there is one kind of these


@inlined
def _is_key(raw: U8, at: int, keys: U64, field: np.uint64) -> bool:
    wrong = (_eight(raw, at) ^ keys[np.uint64(0), field]) & keys[np.uint64(3), field]
    wrong |= (_eight(raw, at + 8) ^ keys[np.uint64(1), field]) & keys[np.uint64(4), field]
    wrong |= (_eight(raw, at + 16) ^ keys[np.uint64(2), field]) & keys[np.uint64(5), field]
    return bool(wrong == 0)


@inlined
def _equal(raw: U8, begin: int, end: int, words: U8, first: int, behind: int) -> bool:
    if end - begin != behind - first:
        return False
    at = 0
    while begin + at < end and _byte(raw, begin + at) == words[first + at]:
        at += 1
    return begin + at == end


@inlined
def _string(raw: U8, at: int) -> tuple[int, bool]:
    """Return where the string ends that begins at `at`, and whether it has escapes or is not ASCII.

    There is a quote, or else what no string may have.
    """
    strange = False
    while True:
        eight = _eight(raw, at)
        mark, back = eight ^ _MARKS, eight ^ _BACKS
        ends = (((mark - _ONES) & ~mark) | ((back - _ONES) & ~back) | ((eight - _BLANKS) & ~eight)) & _TOPS
        end = ends & (~ends + _1)  # only the first is sure: what is borrowed for it may show in those behind it
        strange |= eight & _TOPS & (end - _1) != 0
        if ends == 0:
            at += 8
            continue
        at += _byte_of(end)
        if _kind(raw, at) != _ESCAPE:
            return at, strange
        strange = True
        at += 1
        if _kind(raw, at) == _CONTROL:
            return at, strange
        at += 1


@inlined
def _byte_of(top: np.uint64) -> int:
    """Return in which of eight bytes the one bit is that is set, the top one of its byte."""
    return _signed(((top >> np.uint64(7)) * _PLACES) >> np.uint64(56))


@inlined
def _class(raw: U8, begin: int, end: int, classes: Any, field: np.uint64) -> int:
    words, word_at, first = classes
    for word in range(first[field], first[field + _1]):
        if _equal(raw, begin, end, words, word_at[word], word_at[word + 1]):
            return int(word - first[field])
    return -1


@inlined
def _number_at(raw: U8, at: int) -> tuple[int, int, int]:
    """Return behind the number at `at` (-1: it is none), its digits as an integer, and how many are behind the point.

    Instead of the latter _LONG, and `at` instead of the digits, for what has more of them than a double, an exponent,
    or is -0.
    """
    begin = at
    negative = _byte(raw, at) == _MINUS
    at += negative
    at, whole, value = _digits(raw, at, 0, 0)
    if whole == 0 or (whole > 1 and _byte(raw, at - whole) == _ZERO):
        return -1, 0, 0
    count = whole
    if _byte(raw, at) == _POINT:
        at, count, value = _digits(raw, at + 1, whole, value)
        if count == whole:
            return -1, 0, 0
    long = count > _DIGITS or value > _EXACT or (negative and value == 0)
    if _byte(raw, at) | 32 == _E:
        long = True
        at += 1
        at += _byte(raw, at) in (_PLUS, _MINUS)
        at, exponent, _ = _digits(raw, at, 0, 0)
        if exponent == 0:
            return -1, 0, 0
    if long:
        return at, begin, _LONG
    return at, -value if negative else value, count - whole


@inlined
def _digits(raw: U8, at: int, count: int, value: int) -> tuple[int, int, int]:
    """Read on at `at` a number of `count` digits and this value; return behind it, how many there are, and the value.

    Beyond _DIGITS of them the value means nothing. Eight bytes at once (as Daniel Lemire's fast_float does it, 2021):
    what is no digit is cut off, and pairs are added up, then fours, then all.
    """
    while True:
        eight = _eight(raw, at) ^ _ZEROS
        others = (((eight & ~_TOPS) + _ABOVE_NINE) | eight) & _TOPS
        more = 8 if others == 0 else _byte_of(others & (~others + _1))
        if more:
            eight <<= _8 * np.uint64(8 - more)
            eight = eight * _10 + (eight >> _8)
            low, high = eight & _FIRST_OF_FOUR, (eight >> _16) & _FIRST_OF_FOUR
            value = value * int(_TENS[more]) + _signed((low * _LOWER + high * _UPPER) >> _32)
        at += more
        count += more
        if more < 8:
            return at, count, value


@entry
def _number(raw: U8, begin: I64, how: I32, secret: U64) -> tuple[I32, I32, I32]:
    """Return [columns, R] the number of each string among those of its column, -1 where there is none.

    Then the row in which each appears first, and how many there are in each column. `begin` and `how` are [columns, R],
    as of `_scan`. Bounds: of R rows at most R are distinct, and of a table's slots at most half are taken.
    """
    columns, n = how.shape
    number = np.full((columns, n), -1, np.int32)
    firsts = np.zeros((columns, n), np.int32)
    counts = np.zeros(columns, np.int32)
    hashes = np.empty(n, np.uint64)
    for column in range(columns):
        table = np.full(256, -1, np.int32)
        mask = np.uint64(len(table) - 1)
        count = 0
        for row in range(n):
            if how[column, row] < 0:
                continue
            at = begin[column, row]
            end = at + (how[column, row] >> 1)
            code = _hash(raw, at, end, secret)
            slot = code & mask
            found = table[slot]
            while found >= 0:
                if hashes[found] == code:
                    known = firsts[column, found]
                    other = begin[column, known]
                    if end - at == how[column, known] >> 1 and _same(raw, at, end, other):
                        break
                slot = (slot + np.uint64(1)) & mask
                found = table[slot]
            if found < 0:
                found = count
                table[slot] = count
                hashes[count] = code
                firsts[column, count] = row
                count += 1
                if 2 * count > len(table):
                    table = np.full(4 * len(table), -1, np.int32)
                    mask = np.uint64(len(table) - 1)
                    for one in range(count):
                        slot = hashes[one] & mask
                        while table[slot] >= 0:
                            slot = (slot + np.uint64(1)) & mask
                        table[slot] = one
            number[column, row] = found
        counts[column] = count
    return number, firsts, counts


@inlined
def _same(raw: U8, at: int, end: int, other: int) -> bool:
    """Return whether what is from `at` to `end` is at `other` too."""
    while at + 8 <= end:
        if _eight(raw, at) != _eight(raw, other):
            return False
        at += 8
        other += 8
    return bool((_eight(raw, at) ^ _eight(raw, other)) & _first(end - at) == 0)


@inlined
def _hash(raw: U8, at: int, end: int, secret: U64) -> np.uint64:
    code = secret[0] ^ np.uint64(end - at)
    while at + 8 <= end:
        code = _folded(code ^ _eight(raw, at), secret[1])
        at += 8
    code = _folded(code ^ (_eight(raw, at) & _first(end - at)), secret[1])
    return code ^ (code >> np.uint64(32))


@inlined
def _first(size: int) -> np.uint64:
    """Return a mask of the first `size` of eight bytes, 0 to 7."""
    return (np.uint64(1) << _8 * np.uint64(size)) - np.uint64(1)


@inlined
def _folded(a: np.uint64, b: np.uint64) -> np.uint64:
    """Return the upper and the lower half of the product, one over the other."""
    low32 = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    a_low, a_high, b_low, b_high = a & low32, a >> half, b & low32, b >> half
    low, middle, other, high = a_low * b_low, a_high * b_low, a_low * b_high, a_high * b_high
    carried = (low >> half) + (middle & low32) + other
    return (a * b) ^ (high + (middle >> half) + (carried >> half))

"""From `Wire` structs to an `EventBatch`, a column at a time.

    events ──► one list per field ──► checks on whole columns ──► arrays, hashes, codes
                                            └ rows that cannot be true ──► Reject

Turning structs into tuples costs some 12 ns a value; what a value costs after that decides the
speed. So numbers go through `struct.pack`, at a third of the cost of `np.array`; strings are looked
up or hashed once per distinct value, except where they are nearly all distinct anyway; and a
column that nobody filled costs one comparison a value.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from ipaddress import IPv4Address, ip_address
from itertools import repeat
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from detector import likeness
from detector.account import AccountRecord
from detector.decoders.accounts import wrong_number
from detector.decoders.reject import Origins, Raw, Reject
from detector.decoders.wire import NUMBERS, Wire
from detector.event import (
    F32,
    F64,
    I8,
    I32,
    MAX_ACCOUNT_ID_BYTES,
    OPERATIONS,
    OUTCOMES,
    RESPONSE_FORMATS,
    THINKING,
    U64,
    EventBatch,
    Sketches,
)
from detector.likeness.sketch import empty

MAX_NAME_BYTES: Final = 256  # of `model` and `capability`, which are kept as strings
_REQUIRED: Final = ("id", "account_id", "model")
_KEPT_TEXTS: Final = (
    ("id", 0),
    ("account_id", MAX_ACCOUNT_ID_BYTES),
    ("model", MAX_NAME_BYTES),
    ("capability", MAX_NAME_BYTES),
)
_NUMBER_ROWS: Final = {number.name: row for row, number in enumerate(NUMBERS)}
_MOST: Final = np.array([[number.most] for number in NUMBERS])
_WHOLE: Final = np.array([[number.whole] for number in NUMBERS])
_PIECE: Final = 250
_FIELDS: Final = Wire.__struct_fields__
_REPLACED: Final = "\ufffd"
_HEX16: Final = re.compile(r"[0-9a-fA-F]{16}").fullmatch
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_QUADS: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}(?:\n{_OCTET}(?:\.{_OCTET}){{3}})*").fullmatch
_LAST_OCTET: Final = re.compile(r"\.[0-9]+$", re.MULTILINE)

Column = list[Any]
Columns = dict[str, Column]


def to_batch(
    events: Sequence[Any],
    origins: Origins,
    values: Sequence[bytes | None],
    partitions: Sequence[int] | int,
    hash_key: int,
) -> EventBatch:
    """Return the batch; events that cannot be true become `origins.rejects` and are left out."""
    value, line = origins.columns()
    columns = _transposed(events)
    numbers = np.empty((len(NUMBERS), len(events)))
    for name, place in _NUMBER_ROWS.items():
        numbers[place] = _floats(columns[name])
    bad = _impossible(columns, numbers)
    if bad:
        raw = Raw(values)
        for row, (reason, detail) in bad.items():
            at = int(value[row]), int(line[row])
            origins.rejects.append(Reject(*at, reason, detail, raw.of(*at)))
        keep = [row for row in range(len(events)) if row not in bad]
        columns = _transposed([events[row] for row in keep])
        numbers = numbers[:, keep]
        value = value[keep]
    partition = (
        np.full(len(value), partitions, np.int32)
        if isinstance(partitions, int)
        else np.asarray(partitions, np.int32)[value]
    )
    return _batch(columns, numbers, partition, hash_key)


def _transposed(events: Sequence[Any]) -> Columns:
    """Return one list per field.

    In pieces: a tuple per event is what the garbage collector counts, and with fewer than its first
    threshold (700) alive at a time it is not woken, which halves the cost.
    """
    columns: list[Column] = [[] for _ in _FIELDS]
    for first in range(0, len(events), _PIECE):
        piece = zip(*map(msgspec.structs.astuple, events[first : first + _PIECE]), strict=True)
        for column, values in zip(columns, piece, strict=True):
            column.extend(values)
    return dict(zip(_FIELDS, columns, strict=True))


def _floats(column: Column) -> F64:
    """Return the numbers, NaN where missing or null."""
    try:
        return np.frombuffer(struct.pack(f"{len(column)}d", *column), np.float64)
    except struct.error:
        return np.array(column, np.float64)


def _impossible(columns: Columns, numbers: F64) -> dict[int, tuple[str, str]]:
    """Return (reason, detail) of every row to refuse; blank senseless numbers that a client asked for, in place."""
    bad: dict[int, tuple[str, str]] = {}
    version = numbers[_NUMBER_ROWS["v"]]
    for row in np.flatnonzero((version != 1) & ~np.isnan(version)).tolist():
        bad[row] = ("unsupported_version", "this detector reads 1")
    for row, reason, detail in _wrong_texts(columns):
        bad.setdefault(row, (reason, detail))
    for row, record in _inline(columns["account"]):
        wrong = wrong_number(record)
        if wrong is not None:
            bad.setdefault(row, (wrong[0], "account." + wrong[1]))
    odd = (numbers < 0) | (numbers > _MOST) | ((numbers - np.floor(numbers) > 0) & _WHOLE)
    for place in np.flatnonzero(odd.any(axis=1)).tolist():
        number = NUMBERS[place]
        if number.measured:
            kind = "an integer" if number.whole else "a number"
            detail = f"{number.name}: not {kind} from 0 to {number.most}"
            for row in np.flatnonzero(odd[place]).tolist():
                bad.setdefault(row, ("invalid_field", detail))
        else:
            numbers[place, odd[place]] = np.nan
    return bad


def _wrong_texts(columns: Columns) -> Iterator[tuple[int, str, str]]:
    """Yield (row, reason, detail); the checks are on whole columns, rows are looked at only when one fails."""

    def rows(name: str, wrong: Callable[[str], object]) -> list[int]:
        return [row for row, text in enumerate(columns[name]) if text is not None and wrong(text)]

    for name, most in _KEPT_TEXTS:
        texts = columns[name] if name in ("id", "account_id") else set(columns[name]) - {None}
        if _REPLACED in "".join(texts):
            for row in rows(name, lambda text: _REPLACED in text):
                yield row, "invalid_utf8", name
        if name in _REQUIRED and "" in texts:
            for row in rows(name, lambda text: not text):
                yield row, "invalid_field", f"{name}: empty"
        if most and 4 * max(map(len, texts), default=0) > most:
            for row in rows(name, partial(_longer, most)):
                yield row, "invalid_field", f"{name}: longer than {most} bytes"
    for name in ("system_hash", "tools_hash"):
        if not all(map(_HEX16, set(columns[name]) - {None})):
            for row in rows(name, lambda text: not _HEX16(text)):
                yield row, "invalid_field", f"{name}: not 16 hex digits"


def _longer(most: int, text: str) -> bool:
    return len(text.encode()) > most


def _batch(columns: Columns, numbers: F64, partition: I32, key: int) -> EventBatch:
    floats = numbers.astype(np.float32)

    def f32(name: str) -> F32:
        column: F32 = floats[_NUMBER_ROWS[name]]
        return column

    def hashed(name: str) -> U64:
        return _hashes(columns[name], key)

    account, account_ids = _codes_of(columns["account_id"])
    model, models = _codes_of(columns["model"])
    capability, capabilities = _codes_of(columns["capability"])
    address, prefix = _networks(columns["ip"], key)
    issuer = columns["reasoning_block_issuer"]
    return EventBatch(
        event_id=_hash_each(columns["id"], key),
        time_ms=numbers[_NUMBER_ROWS["time_ms"]].astype(np.int64),
        partition=partition,
        account=account,
        account_ids=account_ids,
        model=model,
        models=models,
        capability=capability,
        capabilities=capabilities,
        org=hashed("org_id"),
        key=hashed("key_id"),
        end_user=hashed("end_user_id"),
        session=hashed("session_id"),
        system=_system(columns, key),
        tools=_mapped(columns["tools_hash"], _hex_value, np.uint64),
        address=address,
        prefix=prefix,
        asn=np.nan_to_num(numbers[_NUMBER_ROWS["asn"]]).astype(np.uint64),
        user_agent=hashed("user_agent"),
        tls=hashed("tls_ja4"),
        block=hashed("reasoning_block_hash"),
        block_issuer=_hashes(issuer, key),
        block_foreign=_foreign(columns),
        reasoning_effort=hashed("reasoning_effort"),
        input_tokens=f32("input_tokens"),
        output_tokens=f32("output_tokens"),
        cache_read_tokens=f32("cache_read_tokens"),
        reasoning_tokens=f32("reasoning_tokens"),
        duration_ms=f32("duration_ms"),
        max_tokens=f32("max_tokens"),
        n=f32("n"),
        top_logprobs=f32("top_logprobs"),
        temperature=f32("temperature"),
        top_p=f32("top_p"),
        tool_count=f32("tool_count"),
        message_count=f32("message_count"),
        user_turns=f32("user_turns"),
        prompt_chars=f32("prompt_chars"),
        thinking_budget=f32("thinking_budget_tokens"),
        operation=_mapped(columns["operation"], OPERATIONS.index, np.int8, -1),
        outcome=_mapped(columns["outcome"], OUTCOMES.index, np.int8, -1),
        thinking=_mapped(columns["thinking"], THINKING.index, np.int8, -1),
        response_format=_mapped(columns["response_format"], RESPONSE_FORMATS.index, np.int8, -1),
        stream=_flags(columns["stream"]),
        logprobs=_flags(columns["logprobs"]),
        has_tool_calls=_flags(columns["has_tool_calls"]),
        sketches=_sketches(columns["prompt_text"], columns["prompt_sketch"], key),
        records=_records(columns["account"], columns["account_id"]),
    )


def _mapped(column: Column, of: Callable[[str], int], dtype: npt.DTypeLike, unknown: int = 0) -> npt.NDArray[Any]:
    """Return `of` of every string, worked out once per distinct one; `unknown` where there is none."""
    distinct = set(column)
    if distinct <= {None}:
        return np.full(len(column), unknown, dtype)
    known = {text: unknown if text is None else of(text) for text in distinct}
    return np.fromiter(map(known.__getitem__, column), dtype, len(column))


def _hash_each(texts: Iterable[str], key: int) -> U64:
    """Return `hash64` of every string."""
    digests = b"".join(map(xxhash.xxh3_64_digest, map(str.encode, texts), repeat(key)))  # a seed by name costs double
    return np.maximum(np.frombuffer(digests, ">u8").astype(np.uint64), np.uint64(1))


def _hashes(column: Column, key: int) -> U64:
    """Return `hash64` of every string, 0 where there is none."""
    distinct = set(column)
    if distinct <= {None}:
        return np.zeros(len(column), np.uint64)
    if 2 * len(distinct) > len(column) and None not in distinct:
        return _hash_each(column, key)
    distinct.discard(None)
    known: dict[str | None, int] = dict(zip(distinct, _hash_each(distinct, key).tolist(), strict=True))
    known[None] = 0
    return np.fromiter(map(known.__getitem__, column), np.uint64, len(column))


def _codes_of(column: Column) -> tuple[I32, tuple[str, ...]]:
    """Return the index of every string in the distinct ones, and those in order of first appearance; -1 for none."""
    distinct = tuple(text for text in dict.fromkeys(column) if text is not None)
    index: dict[str | None, int] = {text: i for i, text in enumerate(distinct)}
    index[None] = -1
    return np.fromiter(map(index.__getitem__, column), np.int32, len(column)), distinct


def _flags(column: Column) -> I8:
    """Return 1, 0, and -1 where missing or null."""
    try:
        return np.frombuffer(struct.pack(f"{len(column)}b", *column), np.int8)
    except struct.error:
        return np.array([-1 if flag is None else flag for flag in column], np.int8)


def _hex_value(text: str) -> int:
    return int(text, 16) or 1


def _system(columns: Columns, key: int) -> U64:
    """Return the system prompt's hash: the gateway's, or else that of the normalised text."""
    hashes = _mapped(columns["system_hash"], _hex_value, np.uint64)
    texts = columns["system_text"]
    if texts.count(None) < len(texts):
        index, distinct = _codes_of(texts)
        ours = np.append(likeness.sketch(distinct, key).text, np.uint64(0))  # row -1: no text
        hashes = np.where(hashes == 0, ours[index], hashes)
    return hashes


def _networks(column: Column, key: int) -> tuple[U64, U64]:
    """Return the hashes of the addresses and of their /24 or /48; see `networks`."""
    index, distinct = _codes_of(column)
    address, prefix = networks(distinct, key)
    unknown = np.zeros(1, np.uint64)  # where the index is -1
    return np.append(address, unknown)[index], np.append(prefix, unknown)[index]


def networks(texts: Sequence[str], key: int) -> tuple[U64, U64]:
    """Return the hashes of IP addresses and of their /24 (IPv4) or /48 (IPv6), in canonical spelling.

    An address may come out of a header that the client wrote: what is none is unknown (0), not a
    reason to refuse the event.
    """
    joined = "\n".join(texts)
    if _QUADS(joined) and joined.count("\n") == len(texts) - 1:  # the usual case, at a fifth of the cost of ipaddress
        return _hash_each(texts, key), _hashes(_LAST_OCTET.sub(".0/24", joined).split("\n"), key)
    address, prefix = np.zeros(len(texts), np.uint64), np.zeros(len(texts), np.uint64)
    dotted = np.array([":" not in text for text in texts], np.bool_)
    if dotted.any() and not dotted.all():
        for rows in (np.flatnonzero(dotted), np.flatnonzero(~dotted)):
            address[rows], prefix[rows] = networks([texts[row] for row in rows.tolist()], key)
        return address, prefix
    spelled = {row: spelling for row, text in enumerate(texts) if (spelling := _spelled(text)) is not None}
    known = list(spelled)
    address[known] = _hash_each([spelling for spelling, _ in spelled.values()], key)
    prefix[known] = _hash_each([network for _, network in spelled.values()], key)
    return address, prefix


def _spelled(text: str) -> tuple[str, str] | None:
    """Return an address in canonical spelling, and its network; None where it is no address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    address = getattr(address, "ipv4_mapped", None) or address
    if isinstance(address, IPv4Address):
        return (dotted := str(address)), dotted[: dotted.rindex(".")] + ".0/24"
    groups = int(address) >> 80
    return str(address), f"{groups >> 32:x}:{groups >> 16 & 0xFFFF:x}:{groups & 0xFFFF:x}::/48"


def _foreign(columns: Columns) -> I8:
    """Return `EventBatch.block_foreign`: whether it was issued to another account, session or model."""
    issuers = columns["reasoning_block_issuer"]
    foreign = np.full(len(issuers), -1, np.int8)
    if issuers.count(None) < len(issuers):
        own = zip(issuers, columns["account_id"], columns["session_id"], columns["model"], strict=True)
        for row, (issuer, account, session, model) in enumerate(own):
            if issuer:
                foreign[row] = _issued_elsewhere(issuer, account, session, model)
    return foreign


def _issued_elsewhere(issuer: str, account: str, session: str | None, model: str) -> int:
    """Compare `account/session/model` part by part; a part that either side does not know says nothing.

    Accounts and models may hold slashes themselves ("openai/gpt"), so the own values are matched as
    prefixes and nothing is split before it has to be.
    """
    compared = 0
    if not issuer.startswith("/"):
        if issuer != account and not issuer.startswith(account + "/"):
            return 1
        issuer, compared = issuer[len(account) :], 1
    rest = issuer[1:]
    if session and rest and not rest.startswith("/"):
        if rest != session and not rest.startswith(session + "/"):
            return 1
        rest, compared = rest[len(session) :], 1
    else:
        rest = "/" + rest.partition("/")[2]
    if len(rest) > 1:
        return int(rest[1:] != model)
    return 0 if compared else -1


def _sketches(texts: Column, given: Column, key: int) -> Sketches:
    """Return the sketch of every prompt: of its text, or else the one that the gateway made."""
    n = len(texts)
    no_texts, none_given = texts.count(None) == n, given.count(None) == n
    if no_texts and none_given:
        return empty(n)
    if none_given:
        return likeness.sketch(texts, key)
    theirs = likeness.decode(given)[0]
    if no_texts:
        return theirs
    ours = likeness.sketch(texts, key)
    known = ours.known
    return Sketches(
        *(
            np.where(known if mine.ndim == 1 else known[:, None], mine, other)
            for mine, other in ((getattr(ours, name), getattr(theirs, name)) for name in Sketches.__dataclass_fields__)
        )
    )


def _inline(column: Column) -> list[tuple[int, AccountRecord]]:
    if column.count(None) == len(column):
        return []
    return [(row, record) for row, record in enumerate(column) if record is not None]


def _records(column: Column, account_ids: Column) -> tuple[tuple[int, AccountRecord], ...]:
    """Return the inline account records; each is about the event's own account, whatever it says."""
    return tuple((row, msgspec.structs.replace(record, account_id=account_ids[row])) for row, record in _inline(column))

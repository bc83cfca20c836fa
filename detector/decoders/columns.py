"""From what was read to an `EventBatch`, a column at a time.

    `Scanned`: is columns ─────────────────────────────────┐
    `Wire` structs ──► numbers packed, strings numbered ───┴► joined ──► in order ──► checks on whole columns
                                                                                          └ cannot be true ──► Reject

What a struct costs is mostly the memory that it touches, so they come in pieces that fit the
processor's cache, and nothing of a piece outlives it but bytes: a number is its eight, a string the
number of the distinct one that it is, given out by a dictionary without a line of Python. What
depends on a string (a hash, a class, a network) is then worked out once per distinct one.
"""

from __future__ import annotations

import math
import re
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, ip_address
from itertools import count, repeat
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from detector import likeness
from detector.account import AccountRecord
from detector.decoders.accounts import shortened, wrong_number
from detector.decoders.reject import Origins, Raw, Reject
from detector.decoders.wire import NUMBERED, NUMBERS, Scanned, Wire
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
    hash64,
)
from detector.likeness.sketch import empty

MAX_NAME_BYTES: Final = 256  # of `model` and `capability`, which are kept as strings
_MOST_BYTES: Final = {"account_id": MAX_ACCOUNT_ID_BYTES, "model": MAX_NAME_BYTES, "capability": MAX_NAME_BYTES}
_NAMES: Final = ("account_id", "model")  # always there, never empty
_CHECKED: Final = (*_NAMES, "capability", "system_hash", "tools_hash")
_FLAGS: Final = ("stream", "logprobs", "has_tool_calls")
_NUMBERS: Final = {number.name: number for number in NUMBERS}
_FIELDS: Final = Wire.__struct_fields__
_MISSING: Final = math.nan  # the very object that `Wire` puts where a number is missing
_MISSING_BYTES: Final = struct.pack("d", _MISSING)
_REPLACED: Final = "\ufffd"
_HEX16: Final = re.compile(r"[0-9a-fA-F]{16}").fullmatch
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_QUADS: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}(?:\n{_OCTET}(?:\.{_OCTET}){{3}})*").fullmatch
_LAST_OCTET: Final = re.compile(r"\.[0-9]+$", re.MULTILINE)

Column = Sequence[Any]
Bad = dict[int, tuple[str, str]]


class _Numbered:
    """A column of strings as numbers: 0 for none where `optional`, the others in order of first appearance."""

    def __init__(self, *, optional: bool) -> None:
        number: Callable[[], bytes] = map(struct.Struct("=i").pack, count()).__next__
        self._number_of: defaultdict[str | None, bytes] = defaultdict(number)
        self.optional = optional
        if optional:
            self._number_of[None]
        self._parts: list[bytes] = []

    def add(self, column: Column) -> None:
        if self.optional and column[0] is None and column.count(None) == len(column):
            self._parts.append(bytes(4 * len(column)))
        else:
            self._parts.append(b"".join(map(self._number_of.__getitem__, column)))

    def add_numbered(self, numbers: I32, texts: Sequence[str]) -> None:
        """Take a column that is numbers of `texts`, -1 for none."""
        every = (*texts, None) if self.optional else texts  # the last is that of -1
        known = np.frombuffer(b"".join(map(self._number_of.__getitem__, every)), np.int32)
        self._parts.append(known[numbers].tobytes())

    @property
    def texts(self) -> tuple[str, ...]:
        """The distinct strings."""
        return tuple(text for text in self._number_of if text is not None)

    def numbers(self) -> I32:
        """Return the number of every row's string."""
        return np.frombuffer(b"".join(self._parts), np.int32)

    def mapped(self, of: Callable[[Sequence[str]], Any], dtype: npt.DTypeLike, unknown: int = 0) -> npt.NDArray[Any]:
        """Return for every row what `of` makes of the distinct strings; `unknown` where there is none."""
        texts = self.texts
        if not texts:
            return np.full(sum(map(len, self._parts)) // 4, unknown, dtype)
        table = np.empty(len(texts) + 1, dtype)
        table[0], table[1:] = unknown, of(texts)
        return table[self.numbers()]


class Columns:
    """The columns of a batch as they grow, piece by piece."""

    def __init__(self, hash_key: int) -> None:
        self._key = hash_key
        self._size = 0
        self._ids: list[U64] = []
        self._parts: dict[str, list[bytes]] = {name: [] for name in (*_NUMBERS, *_FLAGS)}
        self._known: set[str] = set()  # the numbers that any event has
        self._of = {name: _Numbered(optional=name not in _NAMES) for name in NUMBERED}
        self._prompts: list[str | None] = []
        self._sketches: list[str | None] = []
        self._blocks: list[tuple[I8, U64, U64]] = []
        self._records: list[tuple[int, AccountRecord]] = []
        self._bad: Bad = {}

    def add(self, events: Sequence[Any] | Scanned) -> None:
        """Take the next events (`Wire`, or columns)."""
        if not len(events):
            return
        if isinstance(events, Scanned):
            self._add_scanned(events)
        else:
            self._add_structs(events)
        self._size += len(events)

    def _add_scanned(self, events: Scanned) -> None:
        none = [None] * len(events)
        for name, parts in self._parts.items():
            if name in events.flags:
                parts.append(events.flags[name].tobytes())
            elif name in events.numbers:
                self._known.add(name)
                parts.append(events.numbers[name].tobytes())
            else:
                parts.append(_MISSING_BYTES * len(events))
        for name, numbered in self._of.items():
            numbered.add_numbered(*events.numbered[name])
        strings = events.strings
        self._add_ids(events.ids)
        self._prompts += strings.get("prompt_text", none)
        self._sketches += strings.get("prompt_sketch", none)
        issuers = strings.get("reasoning_block_issuer", none)
        sessions = strings.get("session_id", none)
        (accounts, account_ids), (models, names) = (events.numbered[name] for name in _NAMES)

        def own(row: int) -> tuple[str, str, str | None]:
            return account_ids[accounts[row]], names[models[row]], sessions[row]

        self._blocks.append(_blocks(issuers, own, self._key))

    def _add_structs(self, events: Sequence[Any]) -> None:
        columns: dict[str, Column] = dict(
            zip(_FIELDS, zip(*map(msgspec.structs.astuple, events), strict=True), strict=True)
        )
        for name in _NUMBERS:
            self._parts[name].append(self._packed(name, columns[name]))
        for name in _FLAGS:
            self._parts[name].append(_flags(columns[name]))
        for name, numbered in self._of.items():
            numbered.add(columns[name])
        self._add_ids([*map(str.encode, columns["id"])])
        self._prompts += columns["prompt_text"]
        self._sketches += columns["prompt_sketch"]
        own = [columns[name] for name in (*_NAMES, "session_id")]
        issuers = columns["reasoning_block_issuer"]
        self._blocks.append(_blocks(issuers, lambda row: tuple(column[row] for column in own), self._key))
        for row, record in enumerate(columns["account"]):
            if record is not None:  # it is about the event's own account, whatever it says
                self._add_record(self._size + row, record, columns["account_id"][row])

    def _packed(self, name: str, column: Column) -> bytes:
        """Return the numbers as doubles, NaN where missing or null."""
        if column[0] is _MISSING and column.count(_MISSING) == len(column):  # found by identity
            return _MISSING_BYTES * len(column)
        self._known.add(name)
        try:
            return struct.pack(f"{len(column)}d", *column)
        except struct.error:
            return np.array(column, np.float64).tobytes()

    def _add_ids(self, ids: Sequence[bytes]) -> None:
        self._ids.append(_hashes(ids, self._key))
        if b"" in ids or _REPLACED.encode() in b"\n".join(ids):
            for row, one in enumerate(ids, self._size):
                if wrong := _wrong("id", one.decode()):
                    self._bad[row] = wrong

    def _add_record(self, row: int, record: AccountRecord, account_id: str) -> None:
        self._records.append((row, msgspec.structs.replace(shortened(record), account_id=account_id)))

    # -- what cannot be true --------------------------------------------------------------------

    def _impossible(self, numbers: dict[str, F64]) -> Bad:
        """Return (reason, detail) of every row to refuse; blank senseless numbers in place."""
        bad: Bad = {}
        version = numbers.get("v", np.ones(0))
        for row in np.flatnonzero((version != 1) & ~np.isnan(version)).tolist():
            bad[row] = ("unsupported_version", "this detector reads 1")
        for row, wrong in self._bad.items():
            bad.setdefault(row, wrong)
        for name in _CHECKED:
            for row, wrong in self._wrong_texts(name):
                bad.setdefault(row, wrong)
        for row, record in self._records:
            found = wrong_number(record)
            if found is not None:
                bad.setdefault(row, (found[0], "account." + found[1]))
        for name, column in numbers.items():
            number = _NUMBERS[name]
            odd = (column < 0) | (column > number.most)
            if number.whole:
                odd |= np.floor(column) < column
            if not odd.any():
                continue
            column[odd] = 0 if number.measured else np.nan
            if not number.measured:
                continue
            detail = f"{name}: not {'an integer' if number.whole else 'a number'} from 0 to {number.most}"
            for row in np.flatnonzero(odd).tolist():
                bad.setdefault(row, ("invalid_field", detail))
        return bad

    def _wrong_texts(self, name: str) -> Iterable[tuple[int, tuple[str, str]]]:
        """Yield (row, (reason, detail)); rows are looked at only when a distinct string is wrong."""
        numbered = self._of[name]
        texts = numbered.texts
        if not _sound(name, texts):
            first = int(numbered.optional)
            wrong = {number: found for number, text in enumerate(texts, first) if (found := _wrong(name, text))}
            for row, number in enumerate(numbered.numbers().tolist()):
                if number in wrong:
                    yield row, wrong[number]

    # -- the batch ------------------------------------------------------------------------------

    def batch(self, origins: Origins, values: Sequence[bytes | None], partitions: Sequence[int] | int) -> EventBatch:
        """Return the batch; events that cannot be true become `origins.rejects` and are left out."""
        value, line = origins.columns()
        numbers = {name: np.frombuffer(bytearray().join(self._parts[name]), np.float64) for name in self._known}
        bad = self._impossible(numbers)
        partition = (
            np.full(self._size, partitions, np.int32)
            if isinstance(partitions, int)
            else np.asarray(partitions, np.int32)[value]
        )
        batch = self._batch(numbers, partition)
        if not bad and (np.diff(value) >= 0).all():
            return batch
        order = np.argsort(value, kind="stable")  # what was scanned came first
        raw = Raw(values)
        for row, (reason, detail) in bad.items():
            at = int(value[row]), int(line[row])
            origins.rejects.append(Reject(*at, reason, detail, raw.of(*at)))
        return _renumbered(batch.taken(order[~np.isin(order, list(bad))]))

    def _batch(self, numbers: dict[str, F64], partition: I32) -> EventBatch:
        missing = np.full(self._size, np.nan)

        def f64(name: str) -> F64:
            return numbers.get(name, missing)

        def f32(name: str) -> F32:
            return f64(name).astype(np.float32)

        def hashed(name: str) -> U64:
            column: U64 = self._of[name].mapped(partial(_hash_each, key=self._key), np.uint64)
            return column

        def hexed(name: str) -> U64:
            column: U64 = self._of[name].mapped(_hex_values, np.uint64)
            return column

        def classed(name: str, classes: tuple[str, ...]) -> I8:
            column: I8 = self._of[name].mapped(lambda texts: list(map(classes.index, texts)), np.int8, -1)
            return column

        def flags(name: str) -> I8:
            return np.frombuffer(b"".join(self._parts[name]), np.int8)

        capability = self._of["capability"]
        address, prefix = self._networks()
        none = np.zeros(0, np.int8), np.zeros(0, np.uint64), np.zeros(0, np.uint64)
        block_foreign, block_of, block_by = map(np.concatenate, zip(none, *self._blocks, strict=True))
        return EventBatch(
            event_id=np.concatenate([np.zeros(0, np.uint64), *self._ids]),
            time_ms=f64("time_ms").astype(np.int64),
            partition=partition,
            account=self._of["account_id"].numbers(),
            account_ids=self._of["account_id"].texts,
            model=self._of["model"].numbers(),
            models=self._of["model"].texts,
            capability=capability.numbers() - np.int32(1),
            capabilities=capability.texts,
            end_user=hashed("end_user_id"),
            system=self._system(hexed("system_hash")),
            tools=hexed("tools_hash"),
            address=address,
            prefix=prefix,
            asn=np.nan_to_num(f64("asn")).astype(np.uint64),
            user_agent=hashed("user_agent"),
            tls=hashed("tls_ja4"),
            block=hashed("reasoning_block_hash"),
            block_foreign=block_foreign,
            block_of=block_of,
            block_by=block_by,
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
            operation=classed("operation", OPERATIONS),
            outcome=classed("outcome", OUTCOMES),
            thinking=classed("thinking", THINKING),
            response_format=classed("response_format", RESPONSE_FORMATS),
            stream=flags("stream"),
            logprobs=flags("logprobs"),
            has_tool_calls=flags("has_tool_calls"),
            sketches=_sketches(self._prompts, self._sketches, self._key),
            records=tuple(self._records),
        )

    def _system(self, hashes: U64) -> U64:
        """Return the system prompt's hash: the gateway's, or else that of the normalised text."""
        texts = self._of["system_text"]
        if texts.texts:
            ours = texts.mapped(lambda distinct: likeness.sketch(distinct, self._key).text, np.uint64)
            hashes = np.where(hashes == 0, ours, hashes)
        return hashes

    def _networks(self) -> tuple[U64, U64]:
        """Return the hashes of the addresses and of their /24 or /48; see `networks`."""
        texts = self._of["ip"]
        address, prefix = networks(texts.texts, self._key)
        return texts.mapped(lambda _: address, np.uint64), texts.mapped(lambda _: prefix, np.uint64)


def _renumbered(batch: EventBatch) -> EventBatch:
    """Return the batch as if what no event of it names had never been seen."""
    account, account_ids = _first_seen(batch.account, batch.account_ids)
    model, models = _first_seen(batch.model, batch.models)
    capability, capabilities = _first_seen(batch.capability, batch.capabilities)
    return replace(
        batch,
        account=account,
        account_ids=account_ids,
        model=model,
        models=models,
        capability=capability,
        capabilities=capabilities,
    )


def _first_seen(column: I32, names: tuple[str, ...]) -> tuple[I32, tuple[str, ...]]:
    order = dict.fromkeys(number for number in column.tolist() if number >= 0)
    place = np.full(len(names) + 1, -1, np.int32)  # the last is that of -1
    place[list(order)] = np.arange(len(order))
    return place[column], tuple(names[number] for number in order)


def _sound(name: str, texts: Column) -> bool:
    """Return whether `_wrong` finds nothing in any of these, mostly without a look at each."""
    if name in ("system_hash", "tools_hash"):
        return all(map(_HEX16, texts))
    most = _MOST_BYTES.get(name)
    return not (
        _REPLACED in "".join(texts)
        or (name != "capability" and "" in texts)
        or (most and 4 * max(map(len, texts), default=0) > most)
    )


def _wrong(name: str, text: str) -> tuple[str, str] | None:
    """Return (reason, detail) of a string that cannot be."""
    if name in ("system_hash", "tools_hash"):
        return None if _HEX16(text) else ("invalid_field", f"{name}: not 16 hex digits")
    if _REPLACED in text:
        return "invalid_utf8", name
    if not text and name != "capability":
        return "invalid_field", f"{name}: empty"
    if len(text.encode()) > _MOST_BYTES.get(name, math.inf):
        return "invalid_field", f"{name}: longer than {_MOST_BYTES[name]} bytes"
    return None


def _hash_each(texts: Iterable[str], key: int) -> U64:
    """Return `hash64` of every string."""
    return _hashes(map(str.encode, texts), key)


def _hashes(encoded: Iterable[bytes], key: int) -> U64:
    """Return `hash64` of every string, given in UTF-8."""
    digests = b"".join(map(xxhash.xxh3_64_digest, encoded, repeat(key)))  # a seed by name costs double
    return np.maximum(np.frombuffer(digests, ">u8").astype(np.uint64), np.uint64(1))


def _flags(column: Column) -> bytes:
    """Return 1, 0, and -1 where missing or null, a byte each."""
    try:
        return struct.pack(f"{len(column)}b", *column)
    except struct.error:
        return struct.pack(f"{len(column)}b", *(-1 if flag is None else flag for flag in column))


def _hex_values(texts: Sequence[str]) -> list[int]:
    """Return the values, never 0; what is no number will be refused."""
    return [int(text, 16) or 1 if _HEX16(text) else 0 for text in texts]


def networks(texts: Sequence[str], key: int) -> tuple[U64, U64]:
    """Return the hashes of IP addresses and of their /24 (IPv4) or /48 (IPv6), in canonical spelling.

    An address may come out of a header that the client wrote: what is none is unknown (0), not a
    reason to refuse the event.
    """
    joined = "\n".join(texts)
    if _QUADS(joined) and joined.count("\n") == len(texts) - 1:  # the usual case, at a fifth of the cost of ipaddress
        return _hash_each(texts, key), _hash_each(_LAST_OCTET.sub(".0/24", joined).split("\n"), key)
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


def canonical(text: str) -> str | None:
    """Return an address in the spelling that `networks` hashes; None where it is none, such as a pseudonym."""
    if _QUADS(text) and "\n" not in text:
        return text
    spelled = _spelled(text)
    return spelled and spelled[0]


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


def _blocks(issuers: Column, own: Callable[[int], tuple[Any, ...]], key: int) -> tuple[I8, U64, U64]:
    """Return `block_foreign`, `block_of` and `block_by` of `EventBatch`: whom presented blocks were issued to.

    `own` gives the account, model and session of an event; it is asked for those with an issuer.
    """
    foreign = np.full(len(issuers), -1, np.int8)
    of, by = np.zeros(len(issuers), np.uint64), np.zeros(len(issuers), np.uint64)
    if issuers.count(None) < len(issuers):
        for row, issuer in enumerate(issuers):
            if issuer:
                account, model, session = own(row)
                foreign[row] = _issued_elsewhere(issuer, account, session, model)
                other = _other_account(issuer, account)
                if other:
                    of[row], by[row] = hash64(other, key), hash64(account, key)
    return foreign, of, by


def _other_account(issuer: str, account: str) -> str:
    """Return the account of `account/session/model` where it is known and another one, else "".

    Accounts may hold slashes, and those of one provider hold equally many.
    """
    if issuer.startswith(("/", account + "/")) or issuer == account:
        return ""
    return "/".join(issuer.split("/")[: account.count("/") + 1])


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

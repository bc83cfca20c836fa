"""The decoded stream as baselines see it, and what they answer.

Baselines see the prompt text itself (as hashes and a histogram of its letter triples), because the rules that people
write do; the detector never does. Text is read once, here, for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import msgspec
import numpy as np
import xxhash

from detector.event import F32, I8, I32, I64, U64

BEGINNING_CHARS: Final = 50
TRIPLES: Final = 256  # width of the hashed histogram; MMD with a linear kernel needs no more
TRIPLE_CHARS: Final = 1_000  # of the prompt's start and of its end: where scaffolds and elicitations stand


@dataclass(frozen=True, slots=True)
class Requests:
    """Columns of n requests in arrival order; hashes are 0 and numbers NaN where unknown."""

    account: I32
    time_ms: I64
    harvest: I8
    prompt: U64
    beginning: U64
    prefix: U64
    input_tokens: F32
    output_tokens: F32
    cached_tokens: F32
    triples: F32  # [n, TRIPLES], each row of length 1, NaN where there is no text

    def __len__(self) -> int:
        return len(self.time_ms)


class Flag(NamedTuple):
    """These accounts (indices) are flagged at `time_ms`; `group` names the campaign they are said to form."""

    time_ms: int
    accounts: tuple[int, ...]
    group: str | None = None


class Baseline(Protocol):
    """One simple way; a new object for each stream."""

    @property
    def name(self) -> str:
        """The name in tables."""

    def absorb(self, requests: Requests) -> list[Flag]:
        """Take the next chunk; return what is flagged by it, nobody twice in one group."""

    def finish(self) -> list[Flag]:
        """Return what can be said only when the stream has ended."""


class Reader(Protocol):
    """Turns lines into `Requests`."""

    @property
    def account_ids(self) -> list[str]:
        """The accounts that came so far, by their number."""

    def read(self, lines: Sequence[bytes]) -> Requests:
        """Return the columns of the next lines."""


class _Line(msgspec.Struct, gc=False):
    id: str
    time_ms: int
    account_id: str
    x_truth: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    ip: str | None = None
    prompt_text: str | None = None


class RequestReader:
    """Turns lines into `Requests`, numbering accounts as they come and dropping redelivered ids.

    An id that comes again within the last `remembered` to twice as many is dropped, and so is a line
    that is no event: the same happens in the detector, and a metric there says so. Without `text` there is only what
    a score needs: account, time and label.
    """

    def __init__(self, *, text: bool = True, remembered: int = 200_000) -> None:
        self.account_ids: list[str] = []
        self._index: dict[str, int] = {}
        self._text = text
        self._remembered = remembered
        self._young: set[int] = set()
        self._old: set[int] = set()
        self._decode = msgspec.json.Decoder(_Line).decode

    def read(self, lines: Sequence[bytes]) -> Requests:
        """Return the columns of the lines that are events and new."""
        events = [e for line in lines if (e := self._event(line)) is not None]
        account = np.array([self._account(e.account_id) for e in events], np.int32)
        time_ms = np.array([e.time_ms for e in events], np.int64)
        harvest = np.array([_HARVEST.get(e.x_truth, -1) for e in events], np.int8)
        if not self._text:
            unknown, missing = np.zeros(len(events), np.uint64), np.full(len(events), np.nan, np.float32)
            no_hashes, no_numbers = (unknown, unknown, unknown), (missing, missing, missing)
            return Requests(account, time_ms, harvest, *no_hashes, *no_numbers, np.zeros((len(events), 0), np.float32))
        texts = [e.prompt_text for e in events]
        return Requests(
            account,
            time_ms,
            harvest,
            prompt=np.array([_hash(t) for t in texts], np.uint64),
            beginning=np.array([_hash(t and t[:BEGINNING_CHARS]) for t in texts], np.uint64),
            prefix=np.array([_hash(_prefix(e.ip)) for e in events], np.uint64),
            input_tokens=_floats([e.input_tokens for e in events]),
            output_tokens=_floats([e.output_tokens for e in events]),
            cached_tokens=_floats([e.cache_read_tokens for e in events]),
            triples=_triples(texts),
        )

    def _event(self, line: bytes) -> _Line | None:
        try:
            event = self._decode(line)
        except msgspec.DecodeError:
            return None
        key = xxhash.xxh3_64_intdigest(f"{event.account_id}\0{event.id}".encode("utf-8", "surrogatepass"))
        if key in self._young or key in self._old:
            return None
        self._young.add(key)
        if len(self._young) >= self._remembered:
            self._young, self._old = set(), self._young
        return event

    def _account(self, account_id: str) -> int:
        index = self._index.setdefault(account_id, len(self.account_ids))
        if index == len(self.account_ids):
            self.account_ids.append(account_id)
        return index


_HARVEST: Final[dict[str | None, int]] = {"campaign": 1, "benign": 0}


def _hash(text: str | None) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) if text else 0


def _prefix(ip: str | None) -> str | None:
    """Return the /24 of IPv4, the /48 of IPv6 (as written, its first three groups)."""
    if not ip:
        return None
    return ":".join(ip.split(":")[:3]) if ":" in ip else ip.rpartition(".")[0]


def _floats(values: Sequence[int | None]) -> F32:
    return np.array([np.nan if v is None else v for v in values], np.float32)


def _triples(texts: Sequence[str | None]) -> F32:
    rows = np.full((len(texts), TRIPLES), np.nan, np.float32)
    for i, text in enumerate(texts):
        if text:
            part = text if len(text) <= 2 * TRIPLE_CHARS else text[:TRIPLE_CHARS] + text[-TRIPLE_CHARS:]
            letters = np.frombuffer(part.lower().encode("utf-8", "replace"), np.uint8).astype(np.uint32)
            hashed = (letters[:-2] * 0x9E3779B1 + letters[1:-1] * 0x85EBCA77 + letters[2:] * 0xC2B2AE3D) >> 24
            counts = np.bincount(hashed, minlength=TRIPLES)
            if len(hashed):
                rows[i] = counts / np.linalg.norm(counts)
    return rows

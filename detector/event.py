"""The request event as it arrives (`RequestEvent`) and a batch of them as columns (`EventBatch`).

Everything after the decoders works on columns: a batch of one is a batch. What is unknown
is never zero: NaN in a float column, 0 in a hash column, -1 in a code column.

Identifiers become 64-bit keyed hashes at the door (`hash64`); only `account_id`, `model` and
`capability` keep their strings, because findings name them. Prompt text becomes a `Sketches`
row at the door and goes no further.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from operator import itemgetter
from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from detector.account import AccountRecord

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
I8 = npt.NDArray[np.int8]
U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

OPERATIONS: Final = ("chat", "completion", "responses", "messages", "embeddings", "batch", "other")
OUTCOMES: Final = ("ok", "error", "rate_limited", "blocked", "refused")
THINKING: Final = ("none", "enabled", "adaptive")
RESPONSE_FORMATS: Final = ("text", "json_object", "json_schema")

MAX_ACCOUNT_ID_BYTES: Final = 128


class RequestEvent(msgspec.Struct, gc=False, kw_only=True):
    """One request at the gateway: `llm.requests.v1` of the contract. Unknown fields are ignored."""

    id: str
    time_ms: int
    account_id: str
    model: str
    v: int | None = 1
    org_id: str | None = None
    key_id: str | None = None
    end_user_id: str | None = None
    session_id: str | None = None
    provider: str | None = None
    model_requested: str | None = None
    operation: Literal["chat", "completion", "responses", "messages", "embeddings", "batch", "other"] | None = None
    status: int | None = None
    outcome: Literal["ok", "error", "rate_limited", "blocked", "refused"] | None = None
    error_type: str | None = None
    duration_ms: float | None = None
    ttft_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    stream: bool | None = None
    logprobs: bool | None = None
    has_tool_calls: bool | None = None
    max_tokens: int | None = None
    n: int | None = None
    top_logprobs: int | None = None
    seed: int | None = None
    tool_count: int | None = None
    message_count: int | None = None
    user_turns: int | None = None
    prompt_chars: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    thinking: Literal["none", "enabled", "adaptive"] | None = None
    thinking_budget_tokens: int | None = None
    reasoning_effort: str | None = None
    response_format: Literal["text", "json_object", "json_schema"] | None = None
    system_hash: str | None = None
    tools_hash: str | None = None
    prompt_sketch: str | None = None
    prompt_text: str | None = None
    system_text: str | None = None
    reasoning_block_hash: str | None = None
    reasoning_block_issuer: str | None = None
    capability: str | None = None
    ip: str | None = None
    asn: int | None = None
    country: str | None = None
    user_agent: str | None = None
    tls_ja4: str | None = None
    src: str | None = None
    account: AccountRecord | None = None


def hash64(text: str, key: int) -> int:
    """Return the keyed 64-bit hash of `text`, never 0 (0 means unknown).

    XXH3 seeded with the key: fast and well mixed, so that identifiers are pseudonyms to
    whoever has not the key; it is not a cryptographic MAC.
    """
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"), key) or 1


_PLACING: Final = np.uint64(hash("the places of keys") & 0xFFFF_FFFF_FFFF_FFFF | 1)


def places(keys: U64, slots: int) -> U64:
    """Return the first place of each key in an open-addressed table of `slots`, a power of two from 2 on.

    It depends on Python's own secret of the process, because somebody who knew the places could choose names that all
    go to one of them, and a look-up would take as long as there are names: `privacy.hash_key` is 0 by default, and
    keys may come from a gateway. Nothing but time depends on a place.
    """
    return (keys * _PLACING) >> np.uint64(65 - slots.bit_length())


@dataclass(frozen=True, slots=True)
class Sketches:
    """What likeness keeps of n prompts; a row of zeros where there was no prompt (`known` False).

    `text`      the normalised prompt, nothing masked: equal only for the same question
    `template`  what is left when the slots are masked
    `head`, `tail`  the first and last masked words: scaffolds share one, naked harvests a suffix
    `fragments` [n, FRAGMENTS] min-wise samples of the masked shingles: two prompts agree in a
                column with the probability of their Jaccard likeness, whatever part they share
    `skeleton`  what is asked for: the instruction words as a set of classes, length class
    `words`     length in words
    `labels`    bit set of LABELS recognised in the text
    """

    known: Mask
    text: U64
    template: U64
    head: U64
    tail: U64
    fragments: U64
    skeleton: U64
    words: I32
    labels: U8


FRAGMENTS: Final = 4
LABELS: Final = ("reasoning_extraction", "grading", "agentic", "coding", "generation", "probe")


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Columns of n events in arrival order (per partition, the order of the topic).

    `account` indexes `account_ids`, `model` and `capability` index `models` / `capabilities`
    (-1: unknown). All other string fields are `hash64` values (0: unknown). Counts and numbers
    are float32 with NaN for unknown. `records` are inline account records with the row they
    came with.
    """

    event_id: U64
    time_ms: I64
    partition: I32
    account: I32
    account_ids: tuple[str, ...]
    model: I32
    models: tuple[str, ...]
    capability: I32
    capabilities: tuple[str, ...]
    end_user: U64
    system: U64
    tools: U64
    address: U64
    prefix: U64  # /24 of IPv4, /48 of IPv6
    asn: U64  # the number itself, 0 unknown
    user_agent: U64
    tls: U64
    block: U64
    block_foreign: I8  # 1: the block was issued to another account, session or model; 0 same; -1 unknown
    block_of: U64  # the account that it was issued to, where that is another one
    block_by: U64  # and this account then
    reasoning_effort: U64
    input_tokens: F32
    output_tokens: F32
    cache_read_tokens: F32
    reasoning_tokens: F32
    duration_ms: F32
    max_tokens: F32
    n: F32
    top_logprobs: F32
    temperature: F32
    top_p: F32
    tool_count: F32
    message_count: F32
    user_turns: F32
    prompt_chars: F32
    thinking_budget: F32
    operation: I8
    outcome: I8
    thinking: I8
    response_format: I8
    stream: I8
    logprobs: I8
    has_tool_calls: I8
    sketches: Sketches
    records: tuple[tuple[int, AccountRecord], ...]

    def __len__(self) -> int:
        return len(self.time_ms)

    def taken(self, kept: I64) -> EventBatch:
        """Return a batch of the events `kept`, in that order; it knows the same names."""
        place = np.full(len(self), -1, np.int64)
        place[kept] = np.arange(len(kept))
        sketches = replace(self.sketches, **{name: column[kept] for name, column in _columns_of(self.sketches)})
        columns: dict[str, Any] = {name: column[kept] for name, column in _columns_of(self)}
        records = [(int(place[event]), record) for event, record in self.records if place[event] >= 0]
        records.sort(key=itemgetter(0))
        return replace(self, **columns, sketches=sketches, records=tuple(records))


def _columns_of(record: EventBatch | Sketches) -> list[tuple[str, npt.NDArray[Any]]]:
    found = [(field.name, getattr(record, field.name)) for field in fields(record)]
    return [(name, column) for name, column in found if isinstance(column, np.ndarray)]


COLUMNS: Final = tuple(f.name for f in fields(EventBatch))

"""Batches of events for tests: everything unknown but what is given."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from detector.event import FRAGMENTS, EventBatch, Sketches

_DEFAULTS = {"F32": (np.nan, np.float32), "I8": (-1, np.int8), "U64": (0, np.uint64)}
_TYPES = {"text": np.uint64, "template": np.uint64, "labels": np.uint8}


def batch_of(time_ms: Any, account: Any, account_ids: tuple[str, ...], **given: Any) -> EventBatch:
    """Return a batch of n events; `sketches_text=`, `sketches_template=` and `sketches_labels=` make sketches."""
    n = len(time_ms)
    sketches: dict[str, Any] = {
        "known": np.zeros(n, bool),
        "fragments": np.zeros((n, FRAGMENTS), np.uint64),
        "words": np.zeros(n, np.int32),
        "labels": np.zeros(n, np.uint8),
        **{name: np.zeros(n, np.uint64) for name in ("text", "template", "head", "tail", "skeleton")},
    }
    for name in [name for name in given if name.startswith("sketches_")]:
        short = name.removeprefix("sketches_")
        sketches[short] = np.asarray(given.pop(name), _TYPES[short])
        sketches["known"] = sketches["known"] | (sketches[short] != 0)
    columns: dict[str, Any] = {
        "event_id": np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15),
        "time_ms": time_ms,
        "partition": np.zeros(n, np.int32),
        "account": account,
        "model": np.zeros(n, np.int32),
        "capability": np.full(n, -1, np.int32),
    }
    for field in fields(EventBatch):
        if field.name not in columns and field.type in _DEFAULTS:
            default, dtype = _DEFAULTS[str(field.type)]
            columns[field.name] = np.full(n, default, dtype)
    whole = {
        "account_ids": account_ids,
        "models": given.pop("models", ("m",)),
        "capabilities": given.pop("capabilities", ()),
        "records": given.pop("records", ()),
    }
    for name, column in given.items():
        columns[name] = np.asarray(column, columns[name].dtype)
    columns["time_ms"] = np.asarray(time_ms, np.int64)
    columns["account"] = np.asarray(account, np.int32)
    return EventBatch(**columns, **whole, sketches=Sketches(**sketches))


def part_of(batch: EventBatch, start: int, end: int) -> EventBatch:
    """Return events [start, end) as a batch of their own, naming only the accounts that are in it."""
    columns: dict[str, Any] = {}
    for field in fields(batch):
        value = getattr(batch, field.name)
        columns[field.name] = value[start:end] if isinstance(value, np.ndarray) else value
    columns["sketches"] = Sketches(**{f.name: getattr(batch.sketches, f.name)[start:end] for f in fields(Sketches)})
    used, index = np.unique(columns["account"], return_inverse=True)
    columns["account"] = index.astype(np.int32)
    columns["account_ids"] = tuple(batch.account_ids[a] for a in used.tolist())
    columns["records"] = tuple((event - start, record) for event, record in batch.records if start <= event < end)
    return EventBatch(**columns)

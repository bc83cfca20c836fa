"""What is durable has a number: whoever changes a row that a store holds must raise LAYOUT, and this says so.

    tables, dtypes, structs, names of rows, numbers with a meaning ─► outline, in words ─► hash = LAYOUT_LOOKS ?

A row of other columns read as if it were of these is a worker that stops at best, and wrong windows at worst.
The outline is of words and numbers alone, so it is the same whatever versions of Python and numpy there are.
"""

from __future__ import annotations

import hashlib
import json
import re
import types
import typing
from dataclasses import fields, is_dataclass, make_dataclass
from enum import IntEnum
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from detector.account import TIERS
from detector.alert import accounts as alerts
from detector.campaign import observation
from detector.campaign.behaviour import Reference
from detector.campaign.candidate import Candidates
from detector.campaign.link import mix
from detector.campaign.membership import Manner
from detector.campaign.observation import CAPABILITIES, FACTS, PAIRS, Judged, LinkKind
from detector.campaign.table import Table
from detector.decoders import decode
from detector.event import LABELS, hash64
from detector.stages import accounts, campaigns, conduct, links, pending, records
from detector.stages.issuing import SHADOW, Issuing
from detector.stages.journal import Journal
from detector.stages.steps import PAIR
from detector.stores import Message
from detector.stores.redis import LAYOUT, LAYOUT_LOOKS
from detector.verdict import VerdictPolicy, Verdicts, _Dump
from detector.window import activity, rest
from detector.window.clock import PartitionClock
from detector.window.recent import GENERATION_MS


def outline(what: Any) -> Any:
    """Say in words how a table, a dtype or a type is written."""
    if isinstance(what, Table):
        return {name: outline(np.dtype((dtype, width or ()))) for name, (dtype, width) in what._spec.items()}
    if isinstance(what, np.dtype):
        if what.fields is not None:
            return [what.itemsize, *((name, place[1], outline(place[0])) for name, place in what.fields.items())]
        return [what.base.str, *what.shape]
    if typing.get_origin(what) is not None:
        return outline_of_generic(typing.get_origin(what), typing.get_args(what))
    return "..." if what is ... else outline_of_class(what)


def outline_of_generic(origin: Any, words: tuple[Any, ...]) -> Any:
    if origin is np.ndarray:
        return outline(np.dtype(typing.get_args(words[1])[0]))
    if origin is Literal:
        return ["one of", *words]
    if origin in {typing.Union, types.UnionType}:
        return ["or", *sorted((outline(one) for one in words), key=str)]
    return [origin.__name__, *map(outline, words)]


def outline_of_class(what: Any) -> Any:
    if isinstance(what, type) and issubclass(what, IntEnum):
        return {one.name: int(one) for one in what}
    if isinstance(what, type) and issubclass(what, msgspec.Struct):
        names, how = what.__struct_fields__, what.__struct_config__.array_like
    elif is_dataclass(what):
        names, how = tuple(one.name for one in fields(what)), False
    else:
        return what.__name__
    hints = typing.get_type_hints(what)
    return [what.__name__, how, *([name, outline(hints[name])] for name in names)]


def tables(of: object) -> dict[str, Table]:
    """Return the tables that something holds."""
    return {name: held for name, held in vars(of).items() if isinstance(held, Table)}


def rows_of_an_account() -> list[str]:
    """Return how the rows are named that the account stage writes, with n for a number."""
    stage = accounts.AccountStage(accounts.AccountSettings())
    stage.assign(0, {})
    texts = [{"content": [{"type": "text", "text": f"what is {n}"}], "role": "user"} for n in range(2)]
    for n, text in enumerate(texts):
        event = {"id": f"e{n}", "time_ms": GENERATION_MS + n, "account_id": "a", "model": "m", "messages": [text]}
        stage.absorb(decode([json.dumps(event).encode()], 0, hash_key=0).batch)
    return sorted({re.sub(r"\d+", "n", name) for name in stage.drain(0)[0]})


def durable() -> dict[str, Any]:
    """Return the outline of everything that a store holds."""
    journal = Journal(b"rules")
    journal.append(b"record")
    link = links.LinkPartition(links.LinkSettings(filter_slots=16))
    campaign = campaigns.CampaignPartition(campaigns.CampaignSettings())
    issuing = Issuing(campaign, Verdicts(VerdictPolicy()))
    return {
        "outbox": outline(Message),
        "accounts": {
            "rows": rows_of_an_account(),
            "account": [rest.VERSION, outline(activity.ROW), hashlib.sha256(activity.fresh(1)).hexdigest()],
            "records": outline(records._tail.type),
            "partition": [outline(accounts._head.type), outline(PartitionClock)],
            "open step": [outline(pending._chunk.type), outline(PAIR)],
        },
        "journal": sorted(journal.rows(issuing)),
        "links": {
            "parts": sorted(link.dump()),
            "tables": {name: outline(table) for name, table in tables(link).items()},
            "rest": outline(links._rest.type),
        },
        "campaigns": {
            "rows": [SHADOW],
            "parts": sorted(issuing.dump()),
            "tables": {name: outline(table) for name, table in tables(campaign.tables).items()},
            "rest": outline(campaigns._Rest),
            "alerts": outline(alerts._dump.type),
            "conducts": [outline(conduct._dump.type), outline(Reference)],
            "verdicts": outline(_Dump),
        },
        "records": {  # of the internal topics: a journal has them, and so has what waits for its step
            "observations": [outline(observation._decoder.type), outline(FACTS), outline(PAIRS), outline(Judged)],
            "candidates": outline(Candidates),
        },
        "numbers": [
            *(outline(kind) for kind in (LinkKind, Manner, activity.Mark)),
            *(CAPABILITIES, LABELS, TIERS, records.STATUSES),
        ],
        "hashes": [hash64("account", 1), mix(np.arange(1, 3, dtype=np.uint64), 1).tolist()],
    }


def looks(of: Any) -> str:
    """Return a short hash of an outline."""
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]


def test_what_is_written_in_a_layout_stays_as_it_is() -> None:
    found = looks(durable())
    assert found == LAYOUT_LOOKS, (
        f"what the store holds is written otherwise than layout {LAYOUT} was: a version with the old layout cannot "
        f"read it, nor the other way round. In detector/stores/redis.py raise LAYOUT to {int(LAYOUT) + 1}, "
        f'then let LAYOUT_LOOKS be "{found}"'
    )


# -- what is seen of a change -----------------------------------------------------------------------


class Before(msgspec.Struct):
    """A struct, and the same with a field more or in another form."""

    one: int


class More(msgspec.Struct):
    one: int
    two: int = 0


class Listed(msgspec.Struct, array_like=True):
    one: int


CHANGES = {
    "a column is added to a table": (Table(a="<i8"), Table(a="<i8", b="i1")),
    "a column is wider": (Table(a="<i8"), Table(a=("<i8", 2))),
    "a column has another dtype": (Table(a="<i8"), Table(a="<i4")),
    "a column is added to a row": (np.dtype([("a", "<i8")]), np.dtype([("a", "<i8"), ("b", "i1")])),
    "a column of a row is another one": (np.dtype([("a", "<i8")]), np.dtype([("b", "<i8")])),
    "a field is added to a struct": (list[Before], list[More]),
    "a struct becomes a list": (dict[str, Before], dict[str, Listed]),
    "a field is added to a dataclass": (
        make_dataclass("D", [("a", int)]),
        make_dataclass("D", [("a", int), ("b", int)]),
    ),
    "an array has another dtype": (npt.NDArray[np.int32], npt.NDArray[np.int64]),
    "one value more is told apart": (Literal["a"], Literal["a", "b"]),
    "nothing is allowed": (int, int | None),
    "a tuple is longer": (tuple[int, str], tuple[int, str, str]),
    "a number means something else": (IntEnum("E", {"A": 1}), IntEnum("E", {"A": 2})),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(change: str) -> None:
    before, after = CHANGES[change]
    assert looks(outline(before)) != looks(outline(after))


def test_every_table_is_among_what_is_looked_at() -> None:
    found = durable()
    assert set(found["links"]["tables"]) == set(found["campaigns"]["tables"]) == {"accounts", "links", "edges"}
    assert "manner" in found["campaigns"]["tables"]["accounts"]

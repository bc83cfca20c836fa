"""Columns to lines: requests as `llm.requests.v1` JSON, strings last.

Rows are grouped by which fields their client's route fills (a handful of groups), and every group
is one %-format over zipped columns: what an account, a shape, a network or an outcome contributes
is JSON already. That, and no dictionary per event, is where the speed comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from detector.simulate.actors import CAPABILITIES, MODELS, Table
from detector.simulate.clients import Fields, Shapes
from detector.simulate.grammar import mixed64
from detector.simulate.networks import NETWORKS
from detector.simulate.prompts import RealPrompts

_PREFIXES: Final = tuple(
    f',"asn":{NETWORKS.asn[row]},"country":"{NETWORKS.country[row]}","ip":"{start}'
    for row, start in enumerate(NETWORKS.start)
)
_HOSTS: Final = tuple(f'{host >> 8}.{host & 255}"' for host in range(65_536)) + tuple(
    f'{host:x}::1"' for host in range(65_536)
)
_MODELS: Final = tuple(f',"model":"{name}"' for name in MODELS)
_OUTCOMES: Final = (
    ',"status":200,"outcome":"ok"',
    ',"status":529,"outcome":"error","error_type":"overloaded_error"',
    ',"status":429,"outcome":"rate_limited","error_type":"rate_limit_error"',
    ',"status":403,"outcome":"blocked","error_type":"permission_error"',
    ',"status":200,"outcome":"refused"',
)
_TRUTHS: Final = ("", ',"x_truth":"benign"', ',"x_truth":"campaign"')
_CAPABILITIES: Final = (*(f',"capability":"{name}"' for name in CAPABILITIES), "")  # the last one is row -1
_ALWAYS: Final = '{"id":"%016x","time_ms":%d,%s%s,%s%s,"input_tokens":%d,"output_tokens":%d%s%s'

_ACCOUNT_ID: Final = slice(
    len('"account_id":"'), len('"account_id":"acct_0123456789abcdef')
)  # within an account's JSON

Texts = Sequence[Callable[[int, int, int], str]]  # by writer: (key, seed, turn) -> JSON-escaped text


def lines(
    rows: Table, accounts: Sequence[str], shapes: Shapes, texts: Texts | None, real: RealPrompts | None = None
) -> list[bytes]:
    """Return one JSON line (no newline at its end) per row, in row order.

    `accounts[i]` is the JSON of account i's own fields. Without `texts` there is no prompt text; where there
    are `real` ones for a request they go first.
    """
    masks = np.array(shapes.fields, np.int64)[rows["shape"]]
    order = np.argsort(masks, kind="stable")
    rows = rows[order]
    ends = ["}"] * len(rows) if texts is None else _prompts(rows, texts, real)
    written: list[bytes] = []
    bounds = np.flatnonzero(np.diff(masks[order], prepend=-1)).tolist()
    for begin, end in zip(bounds, [*bounds[1:], len(rows)], strict=True):
        fields = Fields(int(masks[order[begin]]))
        written += _same_fields(rows[begin:end], fields, accounts, shapes, ends[begin:end])
    back = np.empty(len(rows), np.int64)
    back[order] = np.arange(len(rows))
    return [written[place] for place in back.tolist()]


def _prompts(rows: Table, texts: Texts, real: RealPrompts | None) -> list[str]:
    columns = (rows[name].tolist() for name in ("writer", "key", "seed", "turn"))
    chosen = [-1] * len(rows) if real is None else real.choose(rows).tolist()
    return [
        f',"prompt_text":"{texts[writer](key, seed, turn) if number < 0 or real is None else real.texts[number]}"}}'
        if writer >= 0
        else "}"
        for number, writer, key, seed, turn in zip(chosen, *columns, strict=True)
    ]


def _blocks(rows: Table, accounts: Sequence[str]) -> list[str]:
    """The reasoning block that a request presents, with whom it was issued to; nothing where it presents none."""
    columns = (rows[name].tolist() for name in ("block", "issuer", "model"))
    return [
        f',"reasoning_block_hash":"{mixed64(block):016x}",'
        f'"reasoning_block_issuer":"{accounts[issuer][_ACCOUNT_ID]}/{block:016x}/{MODELS[model]}"'
        if block
        else ""
        for block, issuer, model in zip(*columns, strict=True)
    ]


def _same_fields(rows: Table, fields: Fields, accounts: Sequence[str], shapes: Shapes, ends: list[str]) -> list[bytes]:
    """Format rows that all have the same `fields`."""
    shape_texts = shapes.text
    template = _ALWAYS
    columns: list[list[int] | list[str]] = [
        rows["id"].tolist(),
        rows["time_ms"].tolist(),
        [accounts[row] for row in rows["account"].tolist()],
        [_MODELS[row] for row in rows["model"].tolist()],
        [shape_texts[row] for row in rows["shape"].tolist()],
        [_OUTCOMES[row] for row in rows["outcome"].tolist()],
        rows["input"].tolist(),
        rows["output"].tolist(),
        [_CAPABILITIES[row] for row in rows["capability"].tolist()],
        [_TRUTHS[row] for row in rows["truth"].tolist()],
    ]
    if Fields.SESSION in fields:
        template += ',"session_id":"%016x"'
        columns.append(rows["session"].tolist())
    if Fields.TURNS in fields:
        template += ',"user_turns":%d,"message_count":%d,"prompt_chars":%d'
        columns += [rows["turns"].tolist(), (2 * rows["turns"]).tolist(), (rows["input"] * 4 - rows["id"] % 4).tolist()]
    if Fields.CACHE in fields:
        template += ',"cache_read_tokens":%d'
        columns.append(rows["cached"].tolist())
    if Fields.TIMING in fields:
        template += ',"duration_ms":%d,"ttft_ms":%d'
        columns += [rows["duration_ms"].tolist(), rows["ttft_ms"].tolist()]
    if Fields.END_USER in fields:
        template += ',"end_user_id":"u%x"'
        columns.append(rows["end_user"].tolist())
    if Fields.REASONING in fields:
        template += ',"reasoning_tokens":%d%s'
        columns += [(rows["output"] * 3 // 5).tolist(), _blocks(rows, accounts)]
    if Fields.ADDRESS in fields:
        template += "%s%s"
        prefix = rows["address"] >> 16
        host = (rows["address"] & 0xFFFF) + 65_536 * NETWORKS.ipv6[prefix]
        columns += [[_PREFIXES[row] for row in prefix.tolist()], [_HOSTS[row] for row in host.tolist()]]
    columns.append(ends)
    return [line.encode() for line in map((template + "%s").__mod__, zip(*columns, strict=True))]

"""What comes through a door, as a function of bytes: what a coverage-guided fuzzer feeds, and what must hold of it.

    bytes ─► Target.run ─► how many inputs that was; raises when something broke that may not

A door is where somebody else's bytes come in: records of the topics, what the store gives back, files, settings. At
each, whatever comes ends as what it says it is or as an error that is expected there, and nothing else. Seeds are
valid, so that a fuzzer begins behind the first check. `python -m tests.fuzz` runs them, `test_doors.py` does so with
every seed and a few mutations of each.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import math
import re
import socket
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest.mock import patch

import msgspec
import numpy as np
import zstandard

from detector import config, likeness
from detector.api import Check, application, serve
from detector.campaign import weights
from detector.decoders import REASONS, Reject, decode, decode_accounts, native, repartitioned
from detector.decoders.json_lines import is_json
from detector.errors import ConfigError, DecodeError, DetectorError, InputError
from detector.event import COLUMNS, MAX_ACCOUNT_ID_BYTES
from detector.metrics import Recorder
from detector.pipeline import Pipeline, PipelineSettings
from detector.runtime.files import chunks_of
from detector.simulate import simulate
from detector.stages.accounts import AccountSettings, AccountStage
from detector.stages.campaigns import CampaignSettings
from detector.stages.issuing import CampaignStage
from detector.stages.links import LinkSettings, LinkStage

KEY: Final = 7
SETTINGS: Final = PipelineSettings(
    AccountSettings(link_partitions=1, hash_key=KEY),
    LinkSettings(sources=1, filter_slots=1 << 8, least_accounts=2, newborn_accounts=3, hash_key=KEY),
    CampaignSettings(sources=1, least_accounts=3, watch_at=0.1, hash_key=KEY),
)
REQUIRED: Final = {"id": "r1", "time_ms": 1_780_000_000_000, "account_id": "a1", "model": "m"}
FULL: Final = REQUIRED | json.loads("""
{"v": 1, "operation": "chat", "outcome": "ok", "status": 200, "thinking": "enabled", "n": 1, "top_p": 0.5,
 "input_tokens": 10, "output_tokens": 2.0, "max_tokens": 4096, "temperature": 0.7, "stream": true,
 "prompt_text": "Grade \\"x\\" from 1 to 5.\\nThink \\ud83d\\ude00.", "system_text": "be brief", "capability": "coding",
 "ip": "10.1.2.3", "user_agent": "ua", "tls_ja4": "t13", "asn": 64512, "tools_hash": "00000000000000ff",
 "session_id": "s", "reasoning_block_hash": "h", "reasoning_block_issuer": "a1/s/m", "message_count": 3,
 "account": {"created_ms": 1770000000000, "tier": "pro", "payment_fp": "p", "card_bin": "4", "signup_ip": "::1"}}
""")


@dataclass(frozen=True, slots=True)
class Target:
    """One door. `run` returns how many inputs the bytes were; `seeds` gives bytes that are valid there."""

    name: str
    run: Callable[[bytes], int]
    seeds: Callable[[], Sequence[bytes]]


def broken(what: str, *about: Any) -> AssertionError:
    """The error that says that something did not hold; an `assert` would be gone under -O."""
    return AssertionError(f"{what}: {', '.join(map(repr, about))}")


# -- records that strangers write ------------------------------------------------------------------


def lines_of(value: bytes) -> list[bytes]:
    """The inputs that a record holds: its lines that are not blank, or itself."""
    if b"\n" in value.strip() and not is_json(value):
        return [line for line in value.split(b"\n") if line.strip()]
    return [value]


def _accounted(value: bytes, taken: int, rejects: Sequence[Reject]) -> int:
    lines = lines_of(value)
    if taken + len(rejects) != len(lines):
        raise broken("every line is one event or one reject", len(lines), taken, len(rejects))
    for reject in rejects:
        if reject.reason not in REASONS or reject.raw not in lines:
            raise broken("a reject has a known reason and the line as it came", reject)
    return len(lines)


def events(value: bytes) -> int:
    """Every line is an event, or a dead letter with a reason; the same ones where it is scanned."""
    found = decode([value], 0, hash_key=KEY)
    with patch.multiple(native, FEWEST=1, LONGEST=1 << 30):
        scanned = decode([value], 0, hash_key=KEY)
    if found.rejects != scanned.rejects:
        raise broken("what is scanned is refused as msgspec does", found.rejects, scanned.rejects)
    for name in COLUMNS:
        column, other = getattr(found.batch, name), getattr(scanned.batch, name)
        if isinstance(column, np.ndarray):
            if len(column) != len(found.batch):
                raise broken("columns are as long as their batch", name)
            if not np.array_equal(column, other, equal_nan=column.dtype.kind == "f"):
                raise broken("what is scanned is what msgspec reads", name, column, other)
    for account_id in found.batch.account_ids:
        if not 0 < len(account_id.encode()) <= MAX_ACCOUNT_ID_BYTES:
            raise broken("an account id is some bytes of UTF-8", account_id)
    return _accounted(value, len(found.batch), found.rejects)


def accounts(value: bytes) -> int:
    """Every line is an account record, or a reject with a reason."""
    found = decode_accounts([value])
    return _accounted(value, len(found.records), found.rejects)


def stages(value: bytes) -> int:
    """What the decoder lets through, all three stages can work with, and what they keep they can take back."""
    pipeline = Pipeline(SETTINGS)
    records, _, rest = value.partition(b"\0")
    pipeline.learn(decode_accounts([records]).records)
    batch = decode([rest], 0, hash_key=KEY).batch
    if len(batch):
        pipeline.feed(repartitioned(batch, 1))
    pipeline.finish()
    kept = AccountStage(SETTINGS.accounts)
    kept.assign(0, {})
    if len(batch):
        kept.absorb(repartitioned(batch, 1))
    rows = {key: row for key, row in kept.drain(0)[0].items() if row is not None}
    again = AccountStage(SETTINGS.accounts)
    again.assign(0, rows)
    for stage in (kept, again):
        stage.finish()
    if kept.drain(0)[1] != again.drain(0)[1]:
        raise broken("a stage that was taken back goes on the same")
    return 1 + len(batch)


def texts(value: bytes) -> int:
    """Any text has a sketch, and any string is one or is none."""
    text = value.decode("utf-8", "surrogateescape")
    sketches = likeness.sketch([text, text[: len(text) // 2]], KEY)
    if likeness.encode(likeness.decode(likeness.encode(sketches))[0]) != likeness.encode(sketches):
        raise broken("a sketch survives being written")
    found, bad = likeness.decode([text])
    if bool(found.known[0]) == bool(len(bad)) and text:
        raise broken("a string is a sketch or is none", text)
    return 2


def _one(**fields: Any) -> bytes:
    return json.dumps({**REQUIRED, **fields}).encode()


@cache
def event_seeds() -> list[bytes]:
    """Events alone, by the line, and damaged in ways that are mended."""
    crowd = [json.dumps({**FULL, "id": f"r{i}", "account_id": f"a{i % 4}"}).encode() for i in range(12)]
    sketch = likeness.encode(likeness.sketch(["Say some words to me."], KEY))[0]
    damaged_text = _one(user_agent="\ud800").replace(b"m", b"\xff")
    return [
        *(_one(), json.dumps(FULL).encode(), json.dumps(FULL, indent=1).encode(), b"\n".join(crowd), b"{}", b"[1.5e9]"),
        *(_one(max_tokens=10**400), _one(prompt_text="\\ud83d\ude00"), damaged_text),
        *(_one(account={"created_ms": 12.0}), _one(v=2), _one(prompt_sketch=sketch)),
    ]


@cache
def account_seeds() -> list[bytes]:
    """Account records alone and by the line."""
    records = [msgspec.json.encode(record) for record in simulate("demo", 3, scale=0.02).accounts[:20]]
    return [*records[:4], b"\n".join(records), b'{"account_id":"a","status":"banned","status_ms":5.0}']


# -- records of our own, and what the store gives back ---------------------------------------------


@cache
def world() -> dict[str, list[bytes]]:
    """The internal records of a small campaign (`observations`, `candidates`), and each row of the store."""
    found: dict[str, list[bytes]] = {"observations": [], "candidates": [], "rows": []}
    stage, links, campaigns = (
        AccountStage(SETTINGS.accounts),
        LinkStage(SETTINGS.links),
        CampaignStage(SETTINGS.campaigns),
    )
    for each in (stage, links, campaigns):
        each.assign(0, {})
    simulation = simulate("demo", 3, scale=0.3)
    stage.learn(simulation.accounts)
    rows: dict[tuple[str, str], bytes] = {}
    for number, chunk in zip(range(6), simulation.chunks(), strict=False):
        stage.absorb(repartitioned(decode(chunk[:300], 0, hash_key=KEY).batch, 1))
        for each, name, onward in (
            (stage, "observations", links),
            (links, "candidates", campaigns),
            (campaigns, "", None),
        ):
            changed, messages = each.drain(0)
            rows |= {(each.name, key): row for key, row in changed.items() if row}
            for message in messages if onward else ():
                found[name].append(message.value)
                onward.absorb(0, [message.value])
        if number == 4:  # a snapshot rather than a journal
            rows |= {("links", f"snapshot/{k}"): v for k, v in links._partitions[0].dump().items()}
            rows |= {("campaigns", f"snapshot/{k}"): v for k, v in campaigns._state[0].dump().items()}
    found["rows"] = [f"{of}\0{key}\0".encode() + row for (of, key), row in sorted(rows.items()) if len(row) < 300_000]
    for name in ("observations", "candidates"):
        found[name] = sorted(set(found[name]), key=len)[-6:]
    return found


def observations(value: bytes) -> int:
    """An internal record is taken or is a DecodeError: then versions do not fit, and the worker stops."""
    return _taken(LinkStage(SETTINGS.links), value)


def candidates(value: bytes) -> int:
    """As `observations`, a stage further."""
    return _taken(CampaignStage(SETTINGS.campaigns), value)


def _taken(stage: LinkStage | CampaignStage, value: bytes) -> int:
    stage.assign(0, {})
    try:
        with np.errstate(all="ignore"):  # numbers that no worker wrote may overflow; numpy would say so and go on
            stage.absorb(0, [value])
    except DecodeError:
        return 1
    stage.drain(0)
    return 1


def rows(value: bytes) -> int:
    """A row of the store is taken, or refused with an error that says so."""
    name, _, rest = value.partition(b"\0")
    key, _, row = rest.partition(b"\0")
    make, settings = {
        b"accounts": (AccountStage, SETTINGS.accounts),
        b"links": (LinkStage, SETTINGS.links),
        b"campaigns": (CampaignStage, SETTINGS.campaigns),
    }.get(name, (None, None))
    if make is None:
        return 0
    stage: Any = make(settings)
    others = kept_rows(name) if key.startswith(b"snapshot") or name == b"accounts" else {}
    try:
        with np.errstate(all="ignore"):
            stage.assign(0, {**others, key.decode("utf-8", "replace"): row})
    except DecodeError:
        return 1
    return 1


@cache
def kept_rows(stage: bytes) -> dict[str, bytes]:
    """The rows of an account partition, or a whole snapshot: what a row of the store stands beside."""
    found = [row.split(b"\0", 2) for row in world()["rows"]]
    return {
        key.decode(): row
        for name, key, row in found
        if name == stage and (stage == b"accounts" or key.startswith(b"snapshot"))
    }


# -- who can reach the port ------------------------------------------------------------------------


class _Well:
    """A worker that is well."""

    def alive(self) -> list[Check]:
        return [Check("progress", ok=True)]

    async def ready(self) -> list[Check]:
        return [Check("store", ok=True)]


@cache
def _port() -> int:
    """Start the server in a thread of its own, for as long as this process lives; return its port."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    app = application(_Well(), Recorder())
    return asyncio.run_coroutine_threadsafe(serve(app, "127.0.0.1", 0), loop).result()[1]


def http(value: bytes) -> int:
    """Whoever knocks at the port gets an answer that is no failure of ours, or none; the next one is served."""
    here = ("127.0.0.1", _port())
    with socket.create_connection(here, timeout=10) as first, socket.create_connection(here, timeout=10) as second:
        with contextlib.suppress(ConnectionError):  # it need not read all before it refuses
            first.sendall(value)
        second.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        served = b"".join(iter(lambda: second.recv(1 << 16), b""))
        if not served.startswith(b"HTTP/1.0 200 "):
            raise broken("the next one is served", served[:200])
        first.setblocking(False)  # what it was to be told is there by now; who sent half a request is told nothing
        with contextlib.suppress(ConnectionError, BlockingIOError):
            answer = first.recv(1 << 20)
            if answer and not re.match(rb"HTTP/\d\.\d [234]\d\d ", answer):
                raise broken("a request is answered or refused", answer[:200])
            if b"Traceback" in answer or b"/detector/" in answer:
                raise broken("an answer tells nothing of the inside", answer[:2000])
    return 1


def _http_seeds() -> list[bytes]:
    pages = [b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % page for page in (b"/metrics", b"/healthz", b"/readyz?a=%00%ff")]
    body = b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"
    upgrade = b"GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nContent-Length: 99999999999\r\n\r\nabc"
    return [
        *pages,
        pages[0] * 3,
        body,
        upgrade,
        b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\n" + b"A: b\r\n" * 999 + b"\r\n",
    ]


# -- what an operator gives ------------------------------------------------------------------------

_FOLDER: Final = tempfile.TemporaryDirectory(prefix="doors")


def _file(name: str, content: bytes) -> Path:
    path = Path(_FOLDER.name) / name
    path.write_bytes(content)
    return path


def settings(value: bytes) -> int:
    """A file of settings is a configuration, or a ConfigError that names what is wrong."""
    try:
        config.load(_file("detector.toml", value), {})
    except ConfigError:
        return 1
    return 1


def weight_files(value: bytes) -> int:
    """A file of weights is one, or an InputError."""
    try:
        weights.parse(value.decode("utf-8", "replace"))
    except DetectorError:
        return 1
    return 1


def files(value: bytes) -> int:
    """A recording is lines, packed or not, or an InputError that names the file and the place."""
    for suffix in (".ndjson", ".gz", ".zst"):
        path = _file(f"events{suffix}", value)
        found: list[bytes] = []
        try:
            for chunk in chunks_of([str(path)], 3):
                found += chunk
        except InputError:
            continue
        if suffix == ".ndjson" and found != [line for line in value.split(b"\n") if line.strip()]:
            raise broken("the lines of a file are what stands in it", value)
    return 3


def _settings_seeds() -> list[bytes]:
    documented = config.documented()
    return [documented.encode(), b'[kafka]\nbrokers = "a:1"\n', b"[signals.canary]\naccount_ids = ['a']\n", b"a.b = 1"]


def _weights_seeds() -> list[bytes]:
    return [(Path(weights.__file__).parent / "weights.toml").read_bytes()]


def _file_seeds() -> list[bytes]:
    plain = b"\n".join(event_seeds()[:4])
    return [plain, gzip.compress(plain), zstandard.compress(plain), zstandard.compress(b"") + zstandard.compress(plain)]


def _stage_seeds() -> list[bytes]:
    return [*(b"\0" + seed for seed in event_seeds()), account_seeds()[4] + b"\0" + event_seeds()[3]]


def _text_seeds() -> list[bytes]:
    sketch = likeness.encode(likeness.sketch(["Say 1, 2 and 3 words to me, please."], KEY))[0]
    return [b"You are a grader. Read 'this' and say: 5/7!", "日本語 é\u0301 🙂".encode(), sketch.encode()]


TARGETS: Final = (
    Target("events", events, event_seeds),
    Target("accounts", accounts, account_seeds),
    Target("stages", stages, _stage_seeds),
    Target("texts", texts, _text_seeds),
    Target("observations", observations, lambda: world()["observations"]),
    Target("candidates", candidates, lambda: world()["candidates"]),
    Target("rows", rows, lambda: world()["rows"]),
    Target("http", http, _http_seeds),
    Target("settings", settings, _settings_seeds),
    Target("weights", weight_files, _weights_seeds),
    Target("files", files, _file_seeds),
)


ODD: Final = (b"\0", b"\xff", b'"', b"\\", b"\n", b"9" * 400, b"[" * 2_000, b"\\ud800", b"-1", b"null", b"1e999")
ODD_VALUES: Final = (
    None,
    True,
    -1,
    0,
    2**63 - 1,
    2**64 - 1,
    1e308,
    math.nan,
    "",
    "\n\x1b[31m",
    b"",
    b"\xff" * 8,
    [],
    {},
    [[]],
)


def damaged(seed: bytes, rng: Random) -> bytes:
    """Return the seed with one simple damage: in its bytes, or in a value of the record that it is."""
    at = rng.randrange(len(seed) + 1)
    how = rng.randrange(7)
    if how == 0:
        return seed[:at]
    if how == 1:
        return seed[:at] + rng.randbytes(rng.randrange(1, 9)) + seed[at + rng.randrange(9) :]
    if how == 2:
        return seed[:at] + rng.choice(ODD) + seed[at + rng.randrange(9) :]
    if how == 3:
        return seed[:at] + seed[at // 2 :]
    body = seed.rpartition(b"\0")[2] if seed[:1].isalpha() else seed
    for read, write in ((msgspec.msgpack.decode, msgspec.msgpack.encode), (json.loads, msgspec.json.encode)):
        for whole in (seed, body):
            try:
                value = read(whole)
            except (ValueError, RecursionError, msgspec.MsgspecError):
                continue
            try:
                return seed[: len(seed) - len(whole)] + write(reshaped(value, rng))
            except (ValueError, TypeError, OverflowError, RecursionError):
                return seed[:at]
    return seed[:at] + seed[at + 1 :]


def reshaped(value: Any, rng: Random) -> Any:
    """Return the value with one thing in it changed, at a random depth."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(list(value))
        return {**value, name: reshaped(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        return [*value[:at], *([] if rng.random() < 0.1 else [reshaped(value[at], rng)]), *value[at + 1 :]]
    if isinstance(value, bytes) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return (
            value[:at] + rng.choice((b"\xff", b"\x00", b"\x7f", b"\x80")) * rng.choice((1, 1, 4, 8)) + value[at + 1 :]
        )
    return rng.choice(ODD_VALUES)

"""Records that grow in one way each, to see that what they cost grows no faster."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from tests.fuzz.targets import REQUIRED

PLACE: Final = b'"PLACE"'


def _one(**fields: Any) -> bytes:
    return json.dumps({**REQUIRED, **fields}).encode()


def _lines(n: int, **fields: Callable[[int], Any]) -> bytes:
    return b"\n".join(_one(id=f"r{i}", **{name: of(i) for name, of in fields.items()}) for i in range(n))


def _with(value: bytes, **fields: Any) -> bytes:
    return _one(prompt_text="PLACE", **fields).replace(PLACE, value)


SHAPES: Final[dict[str, Callable[[int], bytes]]] = {
    "events": lambda n: _lines(n // 100),
    "bad lines": lambda n: b"{\n" * (n // 2),
    "blank lines": lambda n: b"\n" * n + b"x",
    "refused events": lambda n: _lines(n // 100, input_tokens=lambda _: -1),
    "accounts": lambda n: _lines(n // 100, account_id=lambda i: f"a{i}"),
    "models": lambda n: _lines(n // 100, model=lambda i: f"m{i}"),
    "addresses that are none": lambda n: _lines(n // 100, ip=lambda i: f"1.2.3.4.{i}"),
    "account records": lambda n: _lines(n // 100, account=lambda i: {"email_domain": f"d{i}" * 40}),
    "a prompt": lambda n: _with(json.dumps("word, " * (n // 6)).encode()),
    "marks of a prompt": lambda n: _with(json.dumps("e" + "\u0301\u0323" * (n // 6), ensure_ascii=False).encode()),
    "quotes of a prompt": lambda n: _with(json.dumps("'\"`" * (n // 3)).encode()),
    "half surrogates": lambda n: _with(b'"' + b"\\ud83d" * (n // 6) + b'"'),
    "escaped half surrogates": lambda n: _with(b'"' + b"\\\\ud83d\\ude00" * (n // 13) + b'"'),
    "bytes that are no text": lambda n: _with(b'"' + b"\xff\xc3" * (n // 2) + b'"'),
    "a long number": lambda n: _one(max_tokens="PLACE").replace(PLACE, b"1" * n),
    "numbers beyond a double": lambda n: _one(max_tokens="PLACE", x="LIST").replace(PLACE, b"1e999").replace(
        b'"LIST"', b"[" + b"1e999," * (n // 6) + b"0]"
    ),
    "a text beside one": lambda n: _with(b'"' + b'\\"\\\\' * (n // 4) + b'"', n=10**400),
    "a text without an end": lambda n: _one(max_tokens=10**400)[:-1] + b', "x": "' + b'\\"' * (n // 2),
    "brackets": lambda n: _one(x="PLACE").replace(PLACE, b"[" * (n // 2) + b"]" * (n // 2)),
    "fields": lambda n: _one(**{f"x{i}": i for i in range(n // 12)}),
    "the same field": lambda n: b"{" + b'"id":"a",' * (n // 9) + _one()[1:],
}  # fmt: skip

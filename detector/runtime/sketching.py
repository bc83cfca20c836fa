"""`detector sketch`: events with their text replaced by sketches, so that no prompt has to leave the gateway.

What comes out is what the decoder would have made of the text, under the same key. Fields that the
contract does not know are left out, because nobody can say that no text is in them; `x_truth`, which
the contract names, stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from detector import likeness
from detector.account import AccountRecord
from detector.decoders import decode
from detector.decoders.json_lines import mend
from detector.event import RequestEvent

_KEPT: Final = frozenset(RequestEvent.__struct_fields__) - {"prompt_text", "system_text"} | {"x_truth"}
_OF_ACCOUNT: Final = frozenset(AccountRecord.__struct_fields__)
_object: Final = msgspec.json.Decoder(dict[str, Any]).decode


def sketched(chunks: Iterable[list[bytes]], key: int) -> Iterator[tuple[list[bytes], int]]:
    """Yield for each chunk its events without text, in order, and the number of lines that were no events."""
    for chunk in chunks:
        decoded = decode(chunk, 0, hash_key=key)
        refused = {reject.index for reject in decoded.rejects}
        lines = []
        texts = decoded.batch.sketches
        sketches = likeness.encode(texts)
        kept = [value for index, value in enumerate(chunk) if index not in refused]
        for row, value in enumerate(kept):
            event = _object(mend(value))
            out = {name: part for name, part in event.items() if name in _KEPT and part is not None}
            if "account" in out:
                out["account"] = {name: part for name, part in out["account"].items() if name in _OF_ACCOUNT}
            if texts.known[row]:
                out["prompt_sketch"] = sketches[row]
            if "system_hash" not in out and decoded.batch.system[row]:
                out["system_hash"] = f"{int(decoded.batch.system[row]):016x}"
            lines.append(msgspec.json.encode(out))
        yield lines, len(refused)

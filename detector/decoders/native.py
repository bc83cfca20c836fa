"""The contract's own format: `llm.requests.v1` as one JSON object in a record, or one per line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from detector.decoders.json_lines import read_json
from detector.decoders.reject import Origins
from detector.decoders.wire import Wire

name: Final = "native"

_decode: Final = msgspec.json.Decoder(Wire).decode


def read(values: Sequence[bytes | None], origins: Origins) -> Iterator[list[Any]]:
    """Yield the events of all values in order (`Wire` structs); tell `origins` where each came from."""
    return read_json(values, _decode, origins)

"""The contract's format by msgspec's structs alone: what `native` has to equal, however it reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from detector.decoders.json_lines import read_json
from detector.decoders.reject import Origins
from detector.decoders.wire import Wire

name: Final = "by structs"

_decode: Final = msgspec.json.Decoder(Wire).decode


def read(values: Sequence[bytes | None], origins: Origins) -> Iterator[list[Any]]:
    """Yield the events of all values in order."""
    return read_json(values, _decode, origins, [(0, len(values))])

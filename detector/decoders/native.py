"""The contract's own format: `llm.requests.v1` as one JSON object in a record, or one per line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from detector.decoders.json_lines import read_json
from detector.decoders.reject import Origins
from detector.decoders.wire import Scanned, Wire

name: Final = "native"

FEWEST: Final = 64  # values to scan: with fewer, what is done once for all of them costs more than it saves
LONGEST: Final = 1_000  # bytes, on average: msgspec goes through a long text once, and scanning copies it twice more
_decode: Final = msgspec.json.Decoder(Wire).decode


def read(values: Sequence[bytes | None], origins: Origins) -> Iterator[list[Any] | Scanned]:
    """Yield the events of all values; tell `origins` where each came from.

    First those that can be scanned, as columns; then the others, as `Wire` structs in their order.
    """
    rest = [(0, len(values))]
    if len(values) >= FEWEST and sum(map(len, filter(None, values))) <= LONGEST * len(values):
        from detector.decoders.scan import scan  # noqa: PLC0415 - numba costs a second and 100 MB

        scanned = scan(values)
        for first, behind in scanned.runs:
            origins.add(first, behind - first)
        yield scanned
        rest = scanned.others
    yield from read_json(values, _decode, origins, rest)

"""The only part of the simulator that touches files: write a simulation out, read real prompts in."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final, Literal

import msgspec

from detector.errors import InputError
from detector.simulate.simulation import Simulation
from detector.simulate.writers import Collections

MAX_PROMPT_CHARS: Final = 6000
Compression = Literal["", ".gz", ".zst"]


def write(
    simulation: Simulation,
    out_dir: Path,
    compress: Compression = ".zst",
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write events.ndjson[.zst|.gz], accounts.ndjson and truth.ndjson; return the number of events.

    `progress` is called with the number of events of each chunk as it is written.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    encoder = msgspec.json.Encoder()
    with (out_dir / "accounts.ndjson").open("wb") as file:
        file.writelines(encoder.encode(record) + b"\n" for record in simulation.accounts)
    with (out_dir / "truth.ndjson").open("wb") as file:
        file.writelines(encoder.encode(row) + b"\n" for row in simulation.truth)
    total = 0
    with _compressed(out_dir / f"events.ndjson{compress}", compress) as file:
        for chunk in simulation.chunks():
            file.write(b"\n".join(chunk) + b"\n")
            total += len(chunk)
            if progress is not None:
                progress(len(chunk))
    return total


def _compressed(path: Path, compress: Compression) -> BinaryIO:
    if compress == ".gz":
        # No name and no time in the header: the same simulation is the same file.
        return gzip.GzipFile(filename="", mode="wb", compresslevel=3, fileobj=path.open("wb"), mtime=0)  # type: ignore[return-value]
    if compress == ".zst":
        import zstandard

        return zstandard.ZstdCompressor(level=3).stream_writer(path.open("wb"))  # type: ignore[return-value]
    return path.open("wb")


def read_prompts(folder: Path) -> Collections:
    """Read real prompts: every `benign_*.jsonl.gz` and `harvest_*.jsonl.gz` of a folder.

    Rows are objects with `text`, and `template` where several templates share a file (those become
    one source each, "file:template"). Raises InputError for a folder without any, or a bad row.
    """
    sides: dict[str, dict[str, list[str]]] = {"benign": {}, "harvest": {}}
    for path in sorted(folder.glob("*.jsonl.gz")):
        name = path.name.removesuffix(".jsonl.gz")
        side = name.split("_")[0]
        if side not in sides:
            continue
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    row = json.loads(line)
                    text = row["text"][:MAX_PROMPT_CHARS]
                except (ValueError, KeyError, TypeError) as error:
                    raise InputError(f"{path}:{number}: expected an object with a text") from error
                source = f"{name}:{row['template']}" if "template" in row else name
                sides[side].setdefault(source, []).append(json.dumps(text, ensure_ascii=False)[1:-1])
    if not any(sides.values()):
        raise InputError(f"{folder}: no benign_*.jsonl.gz or harvest_*.jsonl.gz with prompts")
    return Collections(*({name: tuple(rows) for name, rows in side.items()} for side in sides.values()))

"""The only part of the simulator that touches files: write a simulation out, read real prompts in."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final, Literal, cast

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
    with ExitStack() as files:
        events = _opened(files, out_dir / f"events.ndjson{compress}", compress)
        for chunk in simulation.chunks():
            events.write(b"\n".join(chunk) + b"\n")
            total += len(chunk)
            if progress is not None:
                progress(len(chunk))
    return total


def _opened(files: ExitStack, path: Path, compress: Compression) -> BinaryIO:
    """Open a file for writing, compressed or not; `files` closes what is to be closed."""
    plain = files.enter_context(path.open("wb"))
    if compress == ".gz":
        # No name and no time in the header: the same simulation is the same file.
        return cast("BinaryIO", files.enter_context(gzip.GzipFile("", "wb", compresslevel=3, fileobj=plain, mtime=0)))
    if compress == ".zst":
        import zstandard  # noqa: PLC0415 - an extra: .gz and plain files need nothing

        writer = zstandard.ZstdCompressor(level=3).stream_writer(plain, closefd=False)
        return cast("BinaryIO", files.enter_context(writer))
    return plain


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

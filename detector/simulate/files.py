"""The only part of the simulator that touches files: write a simulation out, read real prompts in."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Literal, cast

import msgspec

from detector.errors import InputError
from detector.simulate.prompts import Collections
from detector.simulate.simulation import Simulation

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
    """Read real prompts: every file of a folder, in the order of their names.

        *.ndjson, *.jsonl     {"prompt": …, "kind": "benign" | "harvest", "family": …} on each line, family optional
        benign/*.txt          a prompt on each line
        harvest/*.txt

    Each may be compressed (.gz). The family of a harvest is what it is after (as `Content.family`, or
    "naked"), that of benign prompts the job of an API customer that they belong to. Empty lines are passed over.
    Raises InputError, with file and line, for anything else.
    """
    sides: dict[str, dict[str, list[str]]] = {"benign": {}, "harvest": {}}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        read = _reader(path, folder)
        for place, line in _lines(path):
            kind, family, text = read(line, place)
            sides[kind].setdefault(family, []).append(json.dumps(text[:MAX_PROMPT_CHARS], ensure_ascii=False)[1:-1])
    if not any(sides.values()):
        raise InputError(f"{folder}: no prompts; {_SHAPES}")
    return Collections(*({name: tuple(rows) for name, rows in side.items()} for side in sides.values()))


def _reader(path: Path, folder: Path) -> Callable[[str, str], tuple[str, str, str]]:
    """Return what takes a line (and its place, for the message) of such a file to kind, family and prompt."""
    name, within = path.name.removesuffix(".gz"), path.relative_to(folder).parts
    if name.endswith((".ndjson", ".jsonl")):
        return _row
    if name.endswith(".txt") and len(within) == 2 and within[0] in {"benign", "harvest"}:
        return lambda line, _: (within[0], "", line)
    raise InputError(f"{path}: no collection of prompts; {_SHAPES}")


def _row(line: str, place: str) -> tuple[str, str, str]:
    try:
        row = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InputError(f"{place}: {error}; a line is {_ROW}") from None
    return row.kind, row.family, row.prompt


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the lines that are not empty, each with its place."""
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if text := line.decode("utf-8").strip():
                    yield f"{path}:{number}", text
    except UnicodeDecodeError:
        raise InputError(f"{path}:{number}: not UTF-8") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}:{number}: cannot be read: {error}") from None


class _Row(msgspec.Struct):
    prompt: Annotated[str, msgspec.Meta(min_length=1)]
    kind: Literal["benign", "harvest"]
    family: str = ""


_decoder = msgspec.json.Decoder(_Row)
_ROW: Final = '{"prompt": …, "kind": "benign" or "harvest", "family": … (optional)}'
_SHAPES: Final = f"*.ndjson with {_ROW} on each line, or benign/*.txt and harvest/*.txt with a prompt on each"

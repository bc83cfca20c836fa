"""The only part of the simulator that touches files: write a simulation out, read real prompts in."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final, Literal, NamedTuple, cast

import msgspec

from detector.errors import InputError
from detector.simulate.harvest_texts import FAMILIES
from detector.simulate.prompts import Collections
from detector.simulate.simulation import Simulation

MAX_PROMPT_CHARS: Final = 6000
Compression = Literal["", ".gz", ".zst"]
_KINDS: Final[tuple[Literal["benign", "harvest"], ...]] = ("benign", "harvest")


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


class Prompt(NamedTuple):
    """A real prompt, as a collection has it."""

    kind: Literal["benign", "harvest"]
    family: str
    text: str


def read_prompts(folder: Path) -> Collections:
    """Read real prompts: every file of a folder, in the order of their names.

        *.ndjson, *.jsonl     {"prompt": … or "text": …, "kind": "benign" | "harvest", "family": …} on each line
        benign/*, benign_*    such files whose rows need no kind, or *.txt with a prompt on each line
        harvest/*, harvest_*

    Each may be compressed (.gz). The family of a harvest is what it is after (as `Content.family`, or
    "naked"), that of benign prompts the job of an API customer that they belong to. A row without one has, if benign,
    its "template" (rows over one template are one job); if harvested, the word after `harvest_` in the file's name
    that is a family, or else all of them. Empty lines are passed over.
    Raises InputError, with file and line, for anything else.
    """
    sides: dict[str, dict[str, list[str]]] = {"benign": {}, "harvest": {}}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        for kind, family, text in prompts_of(path, folder):
            sides[kind].setdefault(family, []).append(json.dumps(text[:MAX_PROMPT_CHARS], ensure_ascii=False)[1:-1])
    if not any(sides.values()):
        raise InputError(f"{folder}: no prompts; {_SHAPES}")
    return Collections(*({name: tuple(rows) for name, rows in side.items()} for side in sides.values()))


def prompts_of(path: Path, folder: Path) -> Iterator[Prompt]:
    """Yield the prompts of one file of a folder of collections, whole, in their order; as `read_prompts`."""
    name = path.name.removesuffix(".gz")
    kind, family = _told_by_name(path.relative_to(folder))
    if name.endswith((".ndjson", ".jsonl")):
        for place, line in _lines(path):
            yield _prompt(line, place, kind, family)
    elif name.endswith(".txt") and kind:
        for _, line in _lines(path):
            yield Prompt(kind, family, line)
    else:
        raise InputError(f"{path}: no collection of prompts; {_SHAPES}")


def _told_by_name(within: Path) -> tuple[Literal["benign", "harvest"] | None, str]:
    """Return what the name of a file in the folder says: the kind, if anything does, and the family of a harvest."""
    first, *words = within.name.partition(".")[0].split("_")
    for kind in _KINDS:
        if words and first == kind:
            known = [word for word in words if word in (*FAMILIES, "naked")]
            return kind, "_".join(known[-1:] or words) if kind == "harvest" else ""
        if len(within.parts) == 2 and within.parts[0] == kind:
            return kind, ""
    return None, ""


def _prompt(line: str, place: str, kind: Literal["benign", "harvest"] | None, family: str) -> Prompt:
    """Return what a row says, and the name of its file where it does not."""
    try:
        row = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InputError(f"{place}: {error}; a line is {_ROW}") from None
    text, kind = row.prompt or row.text, row.kind or kind
    if not text:
        raise InputError(f"{place}: no prompt and no text; a line is {_ROW}")
    if not kind:
        raise InputError(f"{place}: no kind, and the file's name says none; a line is {_ROW}")
    return Prompt(kind, row.family or (str(row.template) if kind == "benign" else family), text)


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
    prompt: str = ""
    text: str = ""
    kind: Literal["benign", "harvest"] | None = None
    family: str = ""
    template: str | int = ""


_decoder = msgspec.json.Decoder(_Row)
_ROW: Final = '{"prompt" or "text": …, "kind": "benign" or "harvest", "family": … (optional)}'
_SHAPES: Final = (
    f"*.ndjson with {_ROW} on each line, or benign_*.ndjson and harvest_*.ndjson without the kind, "
    "or benign/*.txt and harvest/*.txt with a prompt on each"
)

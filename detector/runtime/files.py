"""Recorded records from files: NDJSON, plain, `.gz`, `.zst`, or `-` for standard input.

A file is read in pieces and never held whole, and neither is a line without an end: one that is
longer than `LINE_BYTES` is an error, not memory. Whatever is wrong with a file becomes an
`InputError` of one line that names the file and the place.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final, Protocol

from detector.errors import InputError

CHUNK_LINES: Final = 5_000
LINE_BYTES: Final = 16 * 1024 * 1024
_PIECE_BYTES: Final = 1024 * 1024
_PACKED_BYTES: Final = 1024
"""Of zstd at a time: four bytes may stand for 128 KiB, and all that what it is given unpacks to comes at once."""
STANDARD_INPUT: Final = "-"


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def chunks_of(
    paths: Sequence[str], lines_each: int = CHUNK_LINES, progress: Callable[[int], None] | None = None
) -> Iterator[list[bytes]]:
    """Yield the non-blank lines of all files, in order, some `lines_each` at a time; no chunk crosses files.

    `progress` is told how many bytes of the files (as they stand on disk) were taken since it was told last.
    Raise InputError when a file cannot be read, after the lines before that place.
    """
    for path in paths:
        yield from _chunks_of_file(path, lines_each, progress)


def lines_of(path: str) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line) for every line that is not blank."""
    number = 0
    for chunk in _split(path, None):
        for line in chunk:
            number += 1
            if line.strip():
                yield number, line


def bytes_of(paths: Sequence[str]) -> int | None:
    """Return how many bytes the files have on disk; None where standard input is among them. Raise InputError."""
    if STANDARD_INPUT in paths:
        return None
    total = 0
    for path in paths:
        with _explained(path, lambda: 0), Path(path).open("rb") as opened:  # so that what cannot be read is found out
            total += os.fstat(opened.fileno()).st_size
    return total


def _chunks_of_file(path: str, lines_each: int, progress: Callable[[int], None] | None) -> Iterator[list[bytes]]:
    waiting: list[bytes] = []
    for lines in _split(path, progress):
        waiting.extend(line for line in lines if line.strip())
        while len(waiting) >= lines_each:
            yield waiting[:lines_each]
            del waiting[:lines_each]
    if waiting:
        yield waiting


def _split(path: str, progress: Callable[[int], None] | None) -> Iterator[list[bytes]]:
    """Yield the lines of a file, as they come out of the pieces that are read."""
    done = 0
    rest = b""
    with _explained(path, lambda: done):
        for piece in _pieces(path, progress):
            lines = (rest + piece).split(b"\n") if b"\n" in piece else [rest + piece]
            rest = lines.pop()
            if len(rest) > LINE_BYTES:
                raise InputError(f"{_name(path)}: line {done + len(lines) + 1} is longer than {LINE_BYTES} bytes")
            if done == 0 and b"\x00" in piece[:1024]:
                raise InputError(f"{_name(path)}: this is a binary file, not lines of JSON")
            if lines:
                yield lines
            done += len(lines)
        if rest:
            yield [rest]


@contextlib.contextmanager
def _explained(path: str, lines_read: Callable[[], int]) -> Iterator[None]:
    """Turn what goes wrong with a file into one clear line."""
    name = _name(path)
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such file") from None
    except IsADirectoryError:
        raise InputError(f"{name}: this is a directory, not a file") from None
    except PermissionError:
        raise InputError(f"{name}: not allowed to read it") from None
    except EOFError:
        raise InputError(f"{name}: cut off after line {lines_read()}: the compressed data ends too early") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{name}: damaged after line {lines_read()}: {error}") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read after line {lines_read()}: {error.strerror or error}") from None


def _pieces(path: str, progress: Callable[[int], None] | None) -> Iterator[bytes]:
    """Yield the content in pieces, unpacked; tell `progress` of the bytes taken from the disk."""
    if path == STANDARD_INPUT:
        yield from _reads(sys.stdin.buffer)
        return
    with Path(path).open("rb") as raw:
        suffix = Path(path).suffix
        if suffix == ".gz":
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield from _told(_reads(unpacked), raw, progress)
        elif suffix == ".zst":
            yield from _told(_unpacked_zst(_reads(raw), path), raw, progress)
        else:
            yield from _told(_reads(raw), raw, progress)


def _reads(stream: _Readable) -> Iterator[bytes]:
    return iter(lambda: stream.read(_PIECE_BYTES), b"")


def _told(pieces: Iterator[bytes], raw: IO[bytes], progress: Callable[[int], None] | None) -> Iterator[bytes]:
    told = 0
    for piece in pieces:
        yield piece
        if progress is not None:
            progress(raw.tell() - told)
            told = raw.tell()


def _unpacked_zst(pieces: Iterator[bytes], path: str) -> Iterator[bytes]:
    """Yield what the frames hold; `stream_reader` would take a file that was cut off for a whole one."""
    try:
        import zstandard  # noqa: PLC0415 - an extra; most files are not .zst
    except ImportError:
        raise InputError(f"{path}: reading .zst needs the package zstandard (pip install 'detector[replay]')") from None
    frame = zstandard.ZstdDecompressor().decompressobj()
    begun = False
    held, size = list[bytes](), 0
    try:
        for piece in pieces:
            for at in range(0, len(piece), _PACKED_BYTES):
                rest = piece[at : at + _PACKED_BYTES]
                while rest:
                    if frame.eof:
                        frame, begun = zstandard.ZstdDecompressor().decompressobj(), False
                    unpacked, begun = frame.decompress(rest), True
                    rest = frame.unused_data if frame.eof else b""
                    held.append(unpacked)
                    size += len(unpacked)
                if size >= _PIECE_BYTES:
                    yield b"".join(held)
                    held, size = [], 0
    except zstandard.ZstdError as error:
        yield b"".join(held)
        raise zlib.error(str(error)) from None
    yield b"".join(held)
    if begun and not frame.eof:
        raise EOFError


def _name(path: str) -> str:
    return "standard input" if path == STANDARD_INPUT else path

"""Files of records: what is read, and the one clear line when it cannot be."""

from __future__ import annotations

import gzip
import io
import sys
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import InputError
from detector.runtime import files
from detector.runtime.files import bytes_of, chunks_of, lines_of

LINES = [f'{{"n": {i}}}'.encode() for i in range(1_000)]
CONTENT = b"\n".join(LINES) + b"\n"


def packed(path: Path, content: bytes = CONTENT) -> str:
    if path.suffix == ".gz":
        content = gzip.compress(content)
    elif path.suffix == ".zst":
        content = zstandard.ZstdCompressor().compress(content)
    path.write_bytes(content)
    return str(path)


def read(*paths: str, lines_each: int = 300) -> list[bytes]:
    return [line for chunk in chunks_of(paths, lines_each) for line in chunk]


@pytest.mark.parametrize("name", ["events.ndjson", "events.ndjson.gz", "events.ndjson.zst"])
def test_a_file_gives_its_lines_whatever_it_is_packed_with(tmp_path: Path, name: str) -> None:
    path = packed(tmp_path / name)
    assert read(path) == LINES
    assert [number for number, _ in lines_of(path)] == list(range(1, 1_001))


@pytest.mark.parametrize("name", ["events.ndjson.gz", "events.ndjson.zst"])
def test_packed_files_may_be_joined_end_to_end(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    packed(path)
    path.write_bytes(path.read_bytes() * 2)
    assert read(str(path)) == LINES * 2


def test_files_follow_each_other_and_chunks_have_the_asked_for_size(tmp_path: Path) -> None:
    first, second = packed(tmp_path / "a.ndjson"), packed(tmp_path / "b.ndjson.gz", b"x\n")
    assert [len(chunk) for chunk in chunks_of([first, second], 400)] == [400, 400, 200, 1]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_what_unpacks_to_a_hundred_times_memory_is_never_held_whole(tmp_path: Path, suffix: str) -> None:
    size = 200_000_000
    path = packed(tmp_path / f"bomb{suffix}", bytes(size).replace(b"\0", b"1"))
    assert bytes_of([path]) < size / 500
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="line 1 is longer than"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < size / 2
    finally:
        tracemalloc.stop()


def test_the_lines_before_the_place_of_damage_are_given(tmp_path: Path) -> None:
    path = tmp_path / "a.zst"
    packed(path)
    path.write_bytes(path.read_bytes() + b"damage")
    given = files.chunks_of([str(path)], 300)
    assert [line for chunk in (next(given), next(given), next(given)) for line in chunk] == LINES[:900]
    with pytest.raises(InputError, match="damaged after line 1000"):
        list(given)


def test_blank_lines_are_no_records_but_count_as_lines(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.ndjson", b"\n1\n \r\n\n2")
    assert read(path) == [b"1", b"2"]
    assert list(lines_of(path)) == [(2, b"1"), (5, b"2")]


def test_standard_input_is_a_file_called_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CONTENT)))
    assert read("-") == LINES
    assert bytes_of(["-"]) is None


def test_progress_is_told_of_every_byte_on_disk(tmp_path: Path) -> None:
    paths = [packed(tmp_path / name) for name in ("a.ndjson", "b.ndjson.gz", "c.ndjson.zst")]
    taken: list[int] = []
    list(chunks_of(paths, 10, taken.append))
    assert sum(taken) == bytes_of(paths)


@given(st.lists(st.binary(max_size=12).filter(lambda b: b"\0" not in b), max_size=20), st.integers(1, 9))
def test_the_size_of_the_pieces_does_not_show(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], piece: int
) -> None:
    content = b"\n".join(parts)
    path = tmp_path_factory.mktemp("f") / "a.ndjson"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_PIECE_BYTES", piece)
        assert read(str(path), lines_each=3) == [line for line in content.split(b"\n") if line.strip()]


@pytest.mark.parametrize("name", ["a.ndjson.gz", "a.ndjson.zst"])
def test_a_file_that_was_cut_off_says_so_after_the_lines_it_has(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    packed(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=rf"{name}: cut off after line \d+"):
        read(str(path))


@pytest.mark.parametrize("name", ["a.ndjson.gz", "a.ndjson.zst"])
def test_a_file_that_is_not_what_its_name_says_is_damaged(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(CONTENT)
    with pytest.raises(InputError, match=rf"{name}: damaged after line 0"):
        read(str(path))


def test_a_missing_file_a_directory_and_a_binary_are_each_named(tmp_path: Path) -> None:
    binary = tmp_path / "a.bin"
    binary.write_bytes(bytes(range(256)) * 9)
    for path, problem in ((tmp_path / "gone", "no such file"), (tmp_path, "directory"), (binary, "binary file")):
        with pytest.raises(InputError) as caught:
            read(str(path))
        assert str(path) in str(caught.value)
        assert problem in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_size_of_a_missing_file_is_an_error_and_not_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        bytes_of([str(tmp_path / "gone")])


def test_a_line_without_an_end_is_an_error_and_not_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LINE_BYTES", 100)
    monkeypatch.setattr(files, "_PIECE_BYTES", 64)
    path = packed(tmp_path / "a.ndjson", b"1\n2\n" + b"x" * 1_000)
    with pytest.raises(InputError, match="line 3 is longer than 100 bytes"):
        read(path)

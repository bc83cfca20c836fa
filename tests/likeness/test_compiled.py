"""The compiled way from bytes to columns gives what the definition by columns gives, and stays within its arrays."""

from __future__ import annotations

import ast
import errno
import importlib.util
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detector import likeness
from detector.decoders.native import FEWEST
from detector.event import Sketches
from detector.likeness import sketch
from detector.likeness.compiled import Shipped
from tests.likeness import by_columns
from tests.likeness.test_sketch import KEY, TEXTS

# What words, slots, sentences and scripts are told by, more often than by chance; and letters whose lower case has
# another length, so that what stands where differs between the two forms of a text.
TELLING = st.text(st.sampled_from("aaabBC1 \n\"'`,.-:/(_@{?=%東かé😀\u0301ȺẞİǅﬀÅ\x00\ud800"), max_size=200)
ANY = st.one_of(TELLING, TEXTS, st.text(st.characters(exclude_categories=()), min_size=100, max_size=300))
LETTERS = st.text("aB1é漢", min_size=10, max_size=40)
COMMON = "write a function list of explain grade the answer Paris 17 data, train, model. you? must: \"x\" 'y' why"
WORDS = st.lists(st.sampled_from(COMMON.split(" ")), max_size=150).map(" ".join)


def assert_same(texts: list[str], key: int = KEY) -> None:
    ours, theirs = sketch(texts, key), by_columns.sketch(texts, key)
    for field in fields(Sketches):
        got, expected = getattr(ours, field.name), getattr(theirs, field.name)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected, err_msg=field.name)


@given(st.lists(st.one_of(ANY, LETTERS, WORDS), min_size=1, max_size=6), st.integers())
@example(["hello there", '"""', "'a' 'b", "`" * 7], 1)
@example(["", "\n", " ", "\x7f", "a"], 2)
def test_any_texts_give_what_the_definition_gives(texts: list[str], key: int) -> None:
    assert_same(texts, key)


@settings(max_examples=25)
@given(st.lists(st.one_of(TELLING, WORDS, LETTERS), min_size=1, max_size=8), st.sampled_from(["", " ", "\n", ". "]))
def test_long_texts_give_what_the_definition_gives(pieces: list[str], glue: str) -> None:
    piece = glue.join(pieces) + glue or "x"
    assert_same([piece * (n // len(piece) + 1) for n in (2_000, 9_000, 200_000)])


@pytest.mark.parametrize("char", [*map(chr, range(256)), "漢", "😀", "\ud800", "\u0301", "\ufdfa", "Ⱥ", "ẞ"])
def test_one_character_many_times_gives_what_the_definition_gives(char: str) -> None:
    assert_same([char * n for n in (1, 2, 3, 4, 15, 16, 17, 24, 25, 8191, 8192, 8193)])
    assert_same([f"{char}a{char} "[i:] * n for i in range(3) for n in (1, 2, 3, 100)])


def test_what_is_compiled_uses_nothing_of_the_detector_from_another_file() -> None:
    """Numba compiles anew when the entry's own file changes, and would not notice a change elsewhere."""
    compiled = 0
    for path in sorted(Path(likeness.__file__).parents[1].glob("*/*.py")):
        tree = ast.parse(path.read_text())
        elsewhere = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("detector")
            for alias in node.names
        }
        for function in tree.body:
            if not isinstance(function, ast.FunctionDef):
                continue
            if {ast.unparse(decorator) for decorator in function.decorator_list} & {"entry", "inlined"}:
                compiled += 1
                used = {node.id for line in function.body for node in ast.walk(line) if isinstance(node, ast.Name)}
                assert not used & elsewhere, f"{path.name}: {function.name} uses {used & elsewhere}"
    assert compiled > 10


SOURCE = """
from detector.likeness.compiled import entry

@entry
def doubled(n):
    return 2 * n
"""


def imported(path: Path) -> Any:
    """Return the compiled function of a module as a process that starts anew gets it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.doubled


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    path = tmp_path / "source.py"
    path.write_text(SOURCE)
    return path


def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make numba find that no folder may be written (root may write everywhere)."""

    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("numba.core.caching.tempfile.TemporaryFile", refuse)
    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._open_for_write", refuse)


def test_what_was_compiled_once_is_read_by_the_next_process(source: Path) -> None:
    assert imported(source)(4) == 8
    again = imported(source)
    assert again(4) == 8
    assert sum(again.stats.cache_hits.values()) == 1
    assert len(list((source.parent / "__pycache__").glob("source.doubled-*.nbc"))) == 1


def test_where_nothing_can_be_written_it_is_compiled_for_the_process(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_only(monkeypatch)
    assert imported(source)(4) == 8


def test_what_an_image_brings_is_read_where_nothing_can_be_written(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("numba.config.CACHE_LOCATOR_CLASSES", f"{Shipped.__module__}.{Shipped.__qualname__}")
    assert imported(source)(4) == 8
    read_only(monkeypatch)
    again = imported(source)
    assert again(4) == 8
    assert sum(again.stats.cache_hits.values()) == 1


def test_only_who_scans_a_batch_or_sketches_text_imports_numba() -> None:
    """It costs a second and 130 MB, which a command that does neither shall not pay."""
    program = """
import sys
import detector.runtime.replay, detector.decoders
assert "numba" not in sys.modules
detector.likeness.sketch([None, ""], 0)
assert "numba" not in sys.modules
detector.decoders.decode([b"{}"] * (FEWEST - 1), 0, hash_key=0)
assert "numba" not in sys.modules
USED
assert "numba" in sys.modules
"""
    for used in ('detector.likeness.sketch(["a"], 0)', 'detector.decoders.decode([b"{}"] * FEWEST, 0, hash_key=0)'):
        script = program.replace("USED", used).replace("FEWEST", str(FEWEST))
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60)

"""The rules of the repository that a linter does not know. A reader may rely on each of them."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_BYTES = 36_000
FORBIDDEN_NAMES = {"base", "common", "core", "helper", "helpers", "lib", "misc", "shared", "tools", "util", "utils"}
# What git would call generated: locks are written by `make lock`, dashboards by build.py, and read by machines.
GENERATED = ("requirements.lock", "requirements-dev.lock", "deploy/grafana/dashboards/", "deploy/schemas/", "docs/")


def files(*suffixes: str) -> list[Path]:
    """Return every file that is part of the repository, committed or about to be."""
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        names = subprocess.run(
            [git, "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        found = [ROOT / name for name in names]
    else:
        hidden = {".venv", ".cache", ".git", "__pycache__", ".hypothesis"}
        found = [path for path in ROOT.rglob("*") if not hidden & set(path.relative_to(ROOT).parts)]
    return sorted(path for path in found if path.is_file() and (not suffixes or path.suffix in suffixes))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def modules(folder: str) -> list[Path]:
    return [path for path in files(".py") if name_of(path).startswith(f"{folder}/")]


def test_each_module_imports_only_from_the_layers_below_it() -> None:
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    result = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_signals_do_not_look_at_each_other() -> None:
    family = {path.stem for path in modules("detector/signals")} - {"__init__"}
    for path in modules("detector/signals"):
        if path.stem == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "detector.signals":
                imported = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("detector.signals."):
                imported = {str(node.module).rsplit(".", 1)[-1]}
            else:
                continue
            others = {name for name in imported & family if defines_a_signal(path.with_name(f"{name}.py"))}
            assert not others, f"{name_of(path)} imports the signals {others}"


def defines_a_signal(path: Path) -> bool:
    return "def strengths(" in path.read_text() and "def because(" in path.read_text()


@pytest.mark.parametrize("path", modules("detector"), ids=name_of)
def test_pure_code_is_never_async(path: Path) -> None:
    world = ("stores", "sinks", "runtime", "api", "cli.py", "config.py", "metrics.py", "__main__.py")
    if path.relative_to(ROOT / "detector").parts[0] in world:
        return
    waits = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
    ]
    assert not waits, f"{name_of(path)} awaits in lines {waits}"


@pytest.mark.parametrize("path", [*modules("detector"), *modules("tests"), *modules("deploy")], ids=name_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text())
    if path.name == "conftest.py" or not tree.body:
        return
    if name_of(path).startswith("tests/") and any(isinstance(node, ast.FunctionDef) for node in tree.body):
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        if any(name.startswith("test_") for name in names):
            return  # the names of its tests say it
    assert ast.get_docstring(tree), f"{name_of(path)} has no docstring"


def test_no_file_is_too_long_to_read() -> None:
    long = {name_of(p): p.stat().st_size for p in files() if p.stat().st_size > MAX_BYTES and p.suffix != ".zst"}
    assert not {name: size for name, size in long.items() if not name.startswith(GENERATED)}


def test_names_say_what_a_thing_is() -> None:
    bad = [
        name_of(path)
        for path in [*modules("detector"), *modules("tests"), *modules("deploy")]
        if FORBIDDEN_NAMES & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}
    ]
    assert not bad


def test_the_map_in_the_readme_lists_every_folder_of_the_detector_and_no_other() -> None:
    readme = (ROOT / "README.md").read_text()
    listed = set(re.findall(r"^\| `(\w+)/` \|", readme, re.MULTILINE))
    here = {path.relative_to(ROOT / "detector").parts[0] for path in modules("detector")}
    assert listed == {name for name in here if not name.endswith(".py")}


def test_what_the_readme_points_at_is_there() -> None:
    for path in [path for path in files(".md") if not name_of(path).startswith("docs/")]:
        for target in re.findall(r"\]\(([^)#:\s]+)[^):]*\)", path.read_text()):
            assert (path.parent / target).exists(), f"{name_of(path)} points at {target}"


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE).group(1).split())
    assert phony == targets
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^  make ([a-z-]+) ", shown, re.MULTILINE)) == targets


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    assert re.search(r"^## \[Unreleased\]$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_nothing_sleeps_in_tests() -> None:
    sleeping = [
        f"{name_of(path)}:{node.lineno}"
        for path in modules("tests")
        if not name_of(path).startswith("tests/bench/")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "sleep"}
    ]
    assert not sleeping


def test_no_test_is_skipped() -> None:
    ways = {"pytest.skip", "pytest.mark.skip", "pytest.mark.skipif", "pytest.importorskip", "pytest.mark.xfail"}
    skips = [
        f"{name_of(path)}:{node.lineno}"
        for path in modules("tests")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ways
    ]
    assert not skips


def test_nothing_is_left_to_do_later() -> None:
    marks = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK")) + r")\b")
    left = [
        name_of(path)
        for path in files(".py", ".lua", ".toml", ".yml", ".yaml", ".md")
        if marks.search(path.read_text())
    ]
    assert not left


def test_no_registry_and_no_folder_of_one_machine_is_named_in_the_locks() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / lock).read_text()
        assert "://" not in text, f"{lock} names a host"
        assert "--index" not in text
        names = re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE)
        assert names
        assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", text)) >= len(names), f"{lock} has no hashes"


def test_what_the_demo_installs_is_what_the_tests_were_run_with() -> None:
    def pins(lock: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9._-]+==[^ ;]+)", (ROOT / lock).read_text(), re.MULTILINE))

    assert pins("requirements.lock") <= pins("requirements-dev.lock")

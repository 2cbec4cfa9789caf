"""What the documents show is executed: Python runs, commands parse, settings are taken."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import attrs
import pytest

from tasker_health import __main__ as command
from tasker_health import read_configuration

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT: Final = Path(__file__).parents[2]
DOCUMENTS: Final = (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))
OURS: Final = re.compile(r"(?:\S*/)?tasker-health (?=[a-z])(.*)")

_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE: Final = re.compile(r"# (\S+\.py)\n")
_CONTRACT: Final = re.compile(r"^class Test\w+\(\w+Contract\)", re.MULTILINE)


@attrs.frozen
class Block:
    """A fenced block.

    Args:
        place: the document and the line, for who looks for it.
        language: what the fence says.
        text: what stands in it.
    """

    place: str
    language: str
    text: str


def blocks(document: Path) -> Iterator[Block]:
    """List the fenced blocks of a document."""
    text = document.read_text()
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(f"{document.name}:{line}", found[1], found[2])


BLOCKS: Final = [block for document in DOCUMENTS for block in blocks(document)]
CONSOLES: Final = [block for block in BLOCKS if block.language in {"bash", "console", "sh"}]
TABLES: Final = [block for block in BLOCKS if block.language == "toml"]


def commands(block: Block) -> list[list[str]]:
    """List the arguments of each call of our program in a block, up to a pipe or a comment."""
    lines = (re.split(r" [|#>] ?", line, maxsplit=1)[0] for line in block.text.splitlines())
    return [shlex.split(found[1]) for line in lines for found in OURS.finditer(line)]


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder that Python imports from, and forget what was imported."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "your_app":
            del sys.modules[name]


def run(block: Block, beside: Path) -> None:
    """Run a block as its reader would: as a script, as a module of theirs, or as tests."""
    named = _FILE.match(block.text)
    if named:
        file = beside / named[1]
        file.parent.mkdir(exist_ok=True)
        file.write_text(block.text)
    namespace: dict[str, object] = {"__name__": "__main__"}
    code = compile(block.text, block.place, "exec", dont_inherit=True)
    exec(code, namespace)  # noqa: S102  our own documents
    if _CONTRACT.search(block.text):
        certified(beside / "test_shown.py", block.text)
        return
    for name, value in namespace.items():
        if name.startswith("test_") and inspect.iscoroutinefunction(value):
            anyio.run(value)


def certified(file: Path, text: str) -> None:
    """Run a test module in a pytest of its own."""
    file.write_text(text)
    ran = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file],
        env={**os.environ, "PYTHONPATH": str(file.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert re.search(r"^\d+ passed in", ran.stdout, re.MULTILINE), ran.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_python_runs(document: Path, beside: Path) -> None:
    """Every Python block of a document runs, in their order; its tests pass."""
    for block in blocks(document):
        if block.language == "python":
            run(block, beside)


@pytest.mark.parametrize("block", CONSOLES, ids=lambda block: block.place)
def test_commands_parse(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call of our program has a command and options that there are."""
    for arguments in commands(block):
        monkeypatch.setattr(sys, "argv", ["tasker-health", *arguments, "--help"])
        assert command.main() == 0, arguments


@pytest.mark.parametrize("block", TABLES, ids=lambda block: block.place)
def test_settings_are_taken(block: Block, tmp_path: Path) -> None:
    """Every table of settings is read without a complaint, and changes something."""
    file = tmp_path / "settings.toml"
    file.write_text(block.text)
    configuration = read_configuration({"TASKER_HEALTH_CONFIG": str(file)})
    assert configuration != read_configuration({})


def test_the_documents_show_something() -> None:
    """The fences are found: an empty list would let everything pass."""
    assert {block.place.partition(":")[0] for block in BLOCKS} >= {"README.md", "authentication.md"}
    shown = [block for block in BLOCKS if block.place.startswith("authentication.md")]
    assert sum(block.language == "python" for block in shown) >= 7
    called = [arguments for block in shown for arguments in commands(block)]
    assert [arguments[:2] for arguments in called] == [
        ["token", "create"],
        ["token", "list"],
        ["token", "revoke"],
    ]


def test_a_command_that_there_is_not_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The help of an unknown option or command is a failure, not a pass."""
    for arguments in (["serve", "--nope"], ["tokens"], ["token", "make"]):
        monkeypatch.setattr(sys, "argv", ["tasker-health", *arguments, "--help"])
        assert command.main() == 2

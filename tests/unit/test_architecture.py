"""Imports point inward, vendors stay where they belong, and breaking either is noticed."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import tasker_health

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE: Final = Path(tasker_health.__file__).parent
PROJECT: Final = Path(__file__).parents[2]

DOMAIN_MAY_IMPORT: Final = frozenset({*sys.stdlib_module_names, "attrs"})


def imported(source: str) -> Iterator[str]:
    """List every module that a source text imports, wherever it does."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def strangers(domain: Path) -> list[str]:
    """List what the domain imports and may not, as ``module: import``."""
    return [
        f"{path.name}: {name}"
        for path in sorted(domain.rglob("*.py"))
        for name in imported(path.read_text())
        if name.partition(".")[0] not in DOMAIN_MAY_IMPORT
        and not f"{name}.".startswith("tasker_health.domain.")
    ]


def lint(source: Path) -> subprocess.CompletedProcess[str]:
    """Run the import contracts of the project over a copy of the package."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(  # noqa: S603  the linter of our own environment
        [program, "--config", PROJECT / "pyproject.toml", "--no-cache"],
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Give a copy of the package, to plant something in."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "tasker_health", ignore=ignore)
    return tmp_path


def plant(source: Path, module: str, statement: str) -> None:
    """Add a statement to the end of a module, or make the module."""
    path = source / "tasker_health" / f"{module}.py"
    with path.open("a") as file:
        file.write(f"\n{statement}\n")


def test_the_domain_imports_the_standard_library_and_attrs() -> None:
    """No module of the domain names any other package, not even for its types."""
    assert strangers(PACKAGE / "domain") == []


@pytest.mark.parametrize(
    "statement",
    [
        "import sqlalchemy",
        "import msgspec.json",
        "from redis.asyncio import Redis",
        "from tasker_health.formats import snapshot",
        "from tasker_health import adapters",
        "from .. import adapters",
        "def late():\n    import litestar",
        "if TYPE_CHECKING:\n    from uvicorn import Server",
    ],
)
def test_a_stranger_in_the_domain_is_noticed(copy: Path, statement: str) -> None:
    """The allow-list names the module and what it imports, however it does so."""
    plant(copy, "domain/status", statement)
    (found,) = strangers(copy / "tasker_health" / "domain")
    assert found.startswith("status.py: ")


def test_the_domain_loads_the_standard_library_and_attrs() -> None:
    """Loading every module of the domain loads nothing else either."""
    modules = [
        f"tasker_health.domain.{path.stem}" for path in (PACKAGE / "domain").glob("[!_]*.py")
    ]
    assert len(modules) > 10
    script = (
        "import sys; before = set(sys.modules)\n"
        f"import importlib; [importlib.import_module(name) for name in {modules!r}]\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    ran = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    loaded = {name for name in ran.stdout.split() if not name.startswith("_")}
    assert loaded - sys.stdlib_module_names == {"attr", "attrs", "tasker_health"}


def test_the_import_contracts_hold() -> None:
    """The package keeps every contract that the project makes of its imports."""
    ran = lint(PACKAGE.parent)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " 0 broken" in ran.stdout


@pytest.mark.parametrize(
    ("module", "statement", "contract"),
    [
        # Layers.
        ("domain/status", "import tasker_health.formats.snapshot", "Imports point inward"),
        ("domain/status", "import tasker_health.adapters.clock", "Imports point inward"),
        ("formats/snapshot", "import tasker_health.adapters.clock", "Imports point inward"),
        ("formats/snapshot", "import tasker_health.entrypoints", "Imports point inward"),
        ("adapters/clock", "import tasker_health.entrypoints", "Imports point inward"),
        ("adapters/clock", "import tasker_health.simulation", "Imports point inward"),
        ("simulation/__init__", "import tasker_health.entrypoints", "Imports point inward"),
        # Nothing in the package imports what is for users' tests.
        ("domain/status", "import tasker_health.testing.doubles", "Imports point inward"),
        ("adapters/clock", "import tasker_health.testing.doubles", "Imports point inward"),
        ("entrypoints/http", "import tasker_health.testing.doubles", "Imports point inward"),
        ("simulation/__init__", "import tasker_health.testing.doubles", "Imports point inward"),
        # A package that is in no layer.
        ("stray", "import json", "Imports point inward"),
        # Siblings.
        ("adapters/redis", "import tasker_health.adapters.clock", "siblings"),
        ("adapters/clock", "import tasker_health.adapters.memory.world", "siblings"),
        ("adapters/memory/world", "import tasker_health.adapters.sql", "siblings"),
        # Vendors.
        ("domain/status", "import sqlalchemy", "SQLAlchemy"),
        ("domain/status", "import redis", "redis only"),
        ("domain/status", "import litestar", "Litestar only"),
        ("domain/status", "import msgspec", "msgspec only"),
        ("formats/snapshot", "import sqlalchemy", "SQLAlchemy"),
        ("formats/snapshot", "import redis.asyncio", "redis only"),
        ("formats/snapshot", "import litestar", "Litestar only"),
        ("adapters/clock", "import sqlalchemy", "SQLAlchemy"),
        ("adapters/redis", "import asyncpg", "SQLAlchemy"),
        ("adapters/clock", "import redis", "redis only"),
        ("adapters/log", "import hiredis", "hiredis by nobody"),
        ("adapters/sql/__init__", "import redis.asyncio", "redis only"),
        ("adapters/redis", "import litestar", "Litestar only"),
        ("adapters/log", "import msgspec", "msgspec only"),
        ("adapters/newcomer", "import sqlalchemy", "SQLAlchemy"),
        ("adapters/newcomer", "import redis", "redis only"),
        ("simulation/__init__", "import redis", "redis only"),
        ("simulation/__init__", "import litestar", "Litestar only"),
        ("simulation/__init__", "import msgspec", "msgspec only"),
        ("entrypoints/http", "import sqlalchemy", "SQLAlchemy"),
        ("entrypoints/http", "import redis", "redis only"),
        ("entrypoints/http", "import litestar", "Litestar only"),
        ("entrypoints/asgi", "import uvicorn", "uvicorn only"),
        ("entrypoints/http", "import msgspec", "msgspec only"),
        ("entrypoints/newcomer", "import litestar", "Litestar only"),
        ("testing/doubles", "import redis", "redis only"),
        ("testing/doubles", "import litestar", "Litestar only"),
        ("testing/doubles", "import msgspec", "msgspec only"),
        ("__main__", "import redis", "redis only"),
        ("adapters/clock", "import structlog", "structlog only"),
        ("adapters/redis", "import uvicorn", "uvicorn only"),
    ],
)
def test_a_planted_violation_is_caught(
    copy: Path, module: str, statement: str, contract: str
) -> None:
    """Each kind of forbidden import breaks the contract that forbids it, by its name."""
    plant(copy, module, statement)
    ran = lint(copy)
    broken = [line for line in ran.stdout.splitlines() if line.endswith("BROKEN")]
    told = ran.stdout + ran.stderr
    assert ran.returncode != 0, told
    assert any(contract in line for line in broken) or contract in told.partition("Broken")[2], told

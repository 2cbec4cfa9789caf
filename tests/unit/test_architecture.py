"""Imports point inward, vendors stay where they belong, and breaking either is noticed."""

from __future__ import annotations

import ast
import os
import re
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

NO_BYTECODE: Final = shutil.ignore_patterns("__pycache__")
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
    shutil.copytree(PACKAGE, tmp_path / "tasker_health", ignore=NO_BYTECODE)
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


PLANTED: Final = (
    # Layers.
    ("domain/status", "tasker_health.formats.snapshot", "Imports point inward"),
    ("domain/status", "tasker_health.adapters.clock", "Imports point inward"),
    ("formats/snapshot", "tasker_health.adapters.clock", "Imports point inward"),
    ("formats/snapshot", "tasker_health.entrypoints", "Imports point inward"),
    ("adapters/clock", "tasker_health.entrypoints", "Imports point inward"),
    ("adapters/clock", "tasker_health.simulation", "Imports point inward"),
    ("simulation/__init__", "tasker_health.entrypoints", "Imports point inward"),
    # Nothing in the package imports what is for users' tests.
    ("domain/status", "tasker_health.testing.doubles", "Imports point inward"),
    ("adapters/clock", "tasker_health.testing.doubles", "Imports point inward"),
    ("entrypoints/http", "tasker_health.testing.doubles", "Imports point inward"),
    ("simulation/__init__", "tasker_health.testing.doubles", "Imports point inward"),
    # Siblings.
    ("adapters/redis/cache", "tasker_health.adapters.clock", "siblings"),
    ("adapters/clock", "tasker_health.adapters.memory.world", "siblings"),
    ("adapters/memory/world", "tasker_health.adapters.sql", "siblings"),
    # Vendors.
    ("domain/status", "sqlalchemy", "SQLAlchemy"),
    ("domain/status", "redis", "redis only"),
    ("domain/status", "litestar", "Litestar only"),
    ("domain/status", "msgspec", "msgspec only"),
    ("formats/snapshot", "sqlalchemy", "SQLAlchemy"),
    ("formats/snapshot", "redis.asyncio", "redis only"),
    ("formats/snapshot", "litestar", "Litestar only"),
    ("adapters/clock", "sqlalchemy", "SQLAlchemy"),
    ("adapters/redis/cache", "asyncpg", "SQLAlchemy"),
    ("adapters/clock", "redis", "redis only"),
    ("adapters/log", "hiredis", "hiredis by nobody"),
    ("adapters/sql/__init__", "redis.asyncio", "redis only"),
    ("adapters/redis/cache", "litestar", "Litestar only"),
    ("adapters/log", "msgspec", "msgspec only"),
    ("adapters/newcomer", "sqlalchemy", "SQLAlchemy"),
    ("adapters/newcomer", "redis", "redis only"),
    ("simulation/__init__", "redis", "redis only"),
    ("adapters/redis/cache", "emcache", "emcache only"),
    ("entrypoints/caches", "emcache", "emcache only"),
    ("simulation/__init__", "litestar", "Litestar only"),
    ("simulation/__init__", "msgspec", "msgspec only"),
    ("entrypoints/http", "sqlalchemy", "SQLAlchemy"),
    ("entrypoints/http", "redis", "redis only"),
    ("entrypoints/http", "litestar", "Litestar only"),
    ("entrypoints/asgi", "uvicorn", "uvicorn only"),
    ("entrypoints/http", "msgspec", "msgspec only"),
    ("entrypoints/newcomer", "litestar", "Litestar only"),
    ("testing/doubles", "redis", "redis only"),
    ("testing/doubles", "litestar", "Litestar only"),
    ("testing/doubles", "msgspec", "msgspec only"),
    ("__main__", "redis", "redis only"),
    ("adapters/clock", "structlog", "structlog only"),
    ("adapters/meter", "prometheus_client", "prometheus_client only"),
    ("formats/documents", "prometheus_client", "prometheus_client only"),
    ("adapters/redis/cache", "uvicorn", "uvicorn only"),
    ("domain/status", "httpx", "httpx only"),
    ("adapters/sinks/webhook", "httpx", "httpx only"),
    ("entrypoints/http", "datadog", "datadog only"),
    ("adapters/sinks/otlp", "datadog", "datadog only"),
    ("adapters/sinks/dogstatsd", "opentelemetry.proto", "OpenTelemetry only"),
    ("formats/snapshot", "google.protobuf", "OpenTelemetry only"),
    ("adapters/sinks/pagerduty", "tasker_health.adapters.redis", "siblings"),
)
"""Module, what is planted in it, and the contract that forbids it."""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Plant everything in one copy and give what the linter says, by contract."""
    source = tmp_path_factory.mktemp("planted")
    shutil.copytree(PACKAGE, source / "tasker_health", ignore=NO_BYTECODE)
    plant(source, "stray", "import json")
    for module, target, _ in PLANTED:
        plant(source, module, f"import {target}")
    ran = lint(source)
    assert ran.returncode != 0
    told = ran.stdout.partition("Broken contracts\n")[2]
    sections = re.split(r"\n(.+\n(?:.+\n)?)-{10,}\n", told)
    return {
        " ".join(name.split()): " ".join(text.split())
        for name, text in zip(sections[1::2], sections[2::2], strict=True)
    }


@pytest.mark.parametrize(("module", "target", "contract"), PLANTED)
def test_a_planted_violation_is_caught(
    broken: dict[str, str], module: str, target: str, contract: str
) -> None:
    """Each kind of forbidden import breaks the contract that forbids it, by its name."""
    (told,) = (text for name, text in broken.items() if contract in name)
    planted = module.removesuffix("/__init__").replace("/", ".")
    vendor = target if target.startswith("tasker_health") else target.partition(".")[0]
    assert f"tasker_health.{planted} -> {vendor} (l." in told


def test_a_module_in_no_layer_is_caught(broken: dict[str, str]) -> None:
    """A new part of the package has to be given its place."""
    (told,) = (text for name, text in broken.items() if "Imports point inward" in name)
    assert "not listed as layers: - tasker_health.stray" in told

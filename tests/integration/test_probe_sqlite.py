"""The SQL probe on SQLite, the embedded default."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest
from tests.integration.probing import (
    MIGRATIONS,
    WELL,
    opened,
    reasons,
)

from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.sql.opening import DatabaseOptions, open_database
from tasker_health.adapters.sql.probe import SqlDatabaseProbe
from tasker_health.domain.database import DatabaseExpectations, Generation
from tasker_health.domain.errors import ConfigurationError, SourceError
from tasker_health.domain.reasons import Reason
from tasker_health.simulation.schema import ddl

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.anyio


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    """Make the engine's tables in a file."""
    file = tmp_path / "odd name?#%.sqlite3"
    with sqlite3.connect(file) as connection:
        for statement in ddl(Generation.ENGINE, "sqlite"):
            connection.execute(statement)
    connection.close()
    return file


def sqlite_url(file: Path) -> str:
    """Write the URL of a file."""
    return "sqlite:///" + str(file).replace("%", "%25").replace("?", "%3F").replace("#", "%23")


async def test_sqlite_is_found_by_looking(sqlite_file: Path) -> None:
    """The engine's tables in a file are found, whole; its migrations are listed."""
    async with opened(sqlite_url(sqlite_file)) as database:
        facts = await database.probe.observe()
        assert facts.generation is Generation.ENGINE
        assert facts.missing == ()
        assert facts.migrations == MIGRATIONS[Generation.ENGINE]
        assert facts.writable


async def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A missing file is refused, stays missing, and is found as soon as it is there."""
    file = tmp_path / "later.sqlite3"
    async with opened(sqlite_url(file)) as database:
        with pytest.raises(SourceError) as refused:
            await database.probe.observe()
        assert refused.value.reason is Reason.REFUSED
        assert not file.exists()
        sqlite3.connect(file).close()
        file.touch()
        await asyncio.sleep(0.26)  # the least time between two attempts
        assert await reasons(database) == {**WELL, "migrations": Reason.PENDING}


async def test_a_locked_file_is_locked(sqlite_file: Path) -> None:
    """While another holds the file for itself, the answer is `locked`, and well afterwards."""
    async with opened(sqlite_url(sqlite_file)) as database:
        assert await reasons(database) == WELL
        other = sqlite3.connect(sqlite_file, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SourceError) as locked:
            await database.probe.observe()
        assert locked.value.reason is Reason.LOCKED
        other.execute("COMMIT")
        other.close()
        assert await reasons(database) == WELL


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """A file of another kind is an error with a reason, not a crash."""
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but long enough to be looked at" * 50)
    async with opened(sqlite_url(file)) as database:
        with pytest.raises(SourceError) as failed:
            await database.probe.observe()
        assert failed.value.reason is Reason.FAILED


def test_sqlite_holds_no_core() -> None:
    """The core generation in SQLite is refused by name at opening."""
    with pytest.raises(ConfigurationError, match="TASKER_SCHEMA"):
        open_database(
            DatabaseOptions(target="sqlite:///x.sqlite3"),
            DatabaseExpectations(tasker_schema=Generation.CORE),
            SystemClock(),
        )


async def test_a_connection_that_came_too_late_is_hung_up(sqlite_file: Path) -> None:
    """A connection that is there when nobody waits for it any more is ended."""
    async with opened(sqlite_url(sqlite_file)) as database:
        probe = database.probe
        assert isinstance(probe, SqlDatabaseProbe)
        opening = asyncio.ensure_future(probe._open())
        probe._see_off(opening, (5.0, 6.0))
        line = await opening
        await asyncio.sleep(0)  # whoever was told to look at the end comes first
        assert line.closed

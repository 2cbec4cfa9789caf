"""The SQL probe keeps the promises of its port, on every driver, dialect and generation."""

from __future__ import annotations

import sqlite3
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, ClassVar

import pytest

from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.sql.opening import DatabaseOptions, open_database
from tasker_health.domain.database import DatabaseExpectations, Generation
from tasker_health.simulation.schema import ddl
from tasker_health.testing.contracts import DatabaseProbeContract

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.integration.postgres_server import PostgresServer

    from tasker_health.domain.ports import DatabaseProbe

    Open = Callable[[str], DatabaseProbe]


@pytest.fixture
async def open_probe() -> AsyncIterator[Open]:
    """Open probes, and close them after the test."""
    async with AsyncExitStack() as stack:

        def probe(url: str) -> DatabaseProbe:
            database = open_database(
                DatabaseOptions(target=url), DatabaseExpectations(), SystemClock()
            )
            stack.push_async_callback(database.aclose)
            return database.probe

        yield probe


class PostgresProbe(DatabaseProbeContract):
    """The promises on PostgreSQL."""

    driver: ClassVar = "asyncpg"

    def url(self, url: str) -> str:
        """Choose the driver."""
        return url.replace("postgresql:", f"postgresql+{self.driver}:")

    @pytest.fixture
    def probe(self, postgres: PostgresServer, open_probe: Open) -> DatabaseProbe:
        """Give the probe of a whole database."""
        return open_probe(self.url(postgres.create_database(self.generation)))

    @pytest.fixture
    def empty(self, postgres: PostgresServer, open_probe: Open) -> DatabaseProbe:
        """Give the probe of an empty database."""
        return open_probe(self.url(postgres.create_database()))

    @pytest.fixture
    def unreachable(self, open_probe: Open) -> DatabaseProbe:
        """Give the probe of a port that nobody may listen on."""
        return open_probe(self.url("postgresql://nobody:canary@127.0.0.1:1/nothing"))


class TestEngineOverAsyncpg(PostgresProbe):
    """The engine's tables, by the default driver."""


class TestCoreOverAsyncpg(PostgresProbe):
    """The core's tables, by the default driver."""

    generation = Generation.CORE


class TestEngineOverPsycopg(PostgresProbe):
    """The engine's tables, by the other driver."""

    driver = "psycopg"


class TestSqlite(DatabaseProbeContract):
    """The engine's tables in a file."""

    @pytest.fixture
    def probe(self, tmp_path: Path, open_probe: Open) -> DatabaseProbe:
        """Give the probe of a whole file."""
        connection = sqlite3.connect(tmp_path / "whole.sqlite3")
        with connection:
            for statement in ddl(Generation.ENGINE, "sqlite"):
                connection.execute(statement)
        connection.close()
        return open_probe(f"sqlite:///{tmp_path}/whole.sqlite3")

    @pytest.fixture
    def empty(self, tmp_path: Path, open_probe: Open) -> DatabaseProbe:
        """Give the probe of an empty file."""
        (tmp_path / "empty.sqlite3").touch()
        return open_probe(f"sqlite:///{tmp_path}/empty.sqlite3")

    @pytest.fixture
    def unreachable(self, tmp_path: Path, open_probe: Open) -> DatabaseProbe:
        """Give the probe of a file that is not there."""
        return open_probe(f"sqlite:///{tmp_path}/nowhere/none.sqlite3")

"""The published contract over real databases: every number is the brute-force model's.

The rules are written twice, once in SQL and once in Python, from the same description. Two
hundred generated databases of each generation must not tell them apart.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar

import pytest
from tests.integration.processes import free_port
from tests.integration.tasker_databases import fill, make_sqlite, reading, with_driver, writing

from tasker_health.domain.database import Generation
from tasker_health.testing.contracts import TaskerContract

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.integration.postgres_server import PostgresServer

    from tasker_health.adapters.memory.world import World
    from tasker_health.domain.ports import Tasker

    Holding = Callable[[World], AbstractAsyncContextManager[Tasker]]


@asynccontextmanager
async def _holding(url: str, read_url: str) -> AsyncIterator[Holding]:
    """Fill one database with world after world; the tasker outlives them all."""
    async with writing(url) as engine, reading(read_url) as database:

        @asynccontextmanager
        async def holding(world: World) -> AsyncIterator[Tasker]:
            await fill(engine, world)
            yield database.tasker

        yield holding


@asynccontextmanager
async def _unreachable(url: str) -> AsyncIterator[Tasker]:
    async with reading(url) as database:
        yield database.tasker


class OnPostgres(TaskerContract):
    """The contract over a PostgreSQL database, on any driver."""

    driver: ClassVar[str] = "asyncpg"

    @pytest.fixture
    async def holding(self, postgres: PostgresServer) -> AsyncIterator[Holding]:
        """Fill the generation's database: every world takes the place of the one before."""
        url = postgres.shared_database(self.generation)
        async with _holding(url, with_driver(url, self.driver)) as holding:
            yield holding

    @pytest.fixture
    async def unreachable(self) -> AsyncIterator[Tasker]:
        """Point at a port where nothing listens."""
        url = with_driver(f"postgresql://nobody@127.0.0.1:{free_port()}/none", self.driver)
        async with _unreachable(url) as tasker:
            yield tasker


class TestEngineOnPostgres(OnPostgres):
    """The engine generation, on asyncpg."""

    generated = 200


class TestCoreOnPostgres(OnPostgres):
    """The core generation, on asyncpg."""

    generation = Generation.CORE
    generated = 200


class TestEngineOnPsycopg(OnPostgres):
    """The engine generation, on psycopg."""

    driver = "psycopg"


class TestCoreOnPsycopg(OnPostgres):
    """The core generation, on psycopg."""

    generation = Generation.CORE
    driver = "psycopg"


class TestEngineOnSqlite(TaskerContract):
    """The engine generation, on SQLite."""

    generated = 200

    @pytest.fixture
    async def holding(self, tmp_path: Path) -> AsyncIterator[Holding]:
        """Fill a file of the test's own."""
        url = await make_sqlite(tmp_path)
        async with _holding(url, url) as holding:
            yield holding

    @pytest.fixture
    async def unreachable(self, tmp_path: Path) -> AsyncIterator[Tasker]:
        """Point at a file that is not there."""
        async with _unreachable(f"sqlite:///{tmp_path / 'missing.sqlite3'}") as tasker:
            yield tasker

"""Real databases that hold a world: made, filled, and read as the product reads them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine

from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.sql.opening import DatabaseOptions, open_database
from tasker_health.domain.database import DatabaseExpectations, Generation
from tasker_health.domain.status import Activity, PerformanceMetrics, SystemHealth
from tasker_health.simulation.loading import clear, load
from tasker_health.simulation.schema import ddl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tasker_health.adapters.memory.world import World
    from tasker_health.adapters.sql.opening import Database
    from tasker_health.domain.ports import TaskerView

__all__ = ["Facts", "facts", "fill", "make_sqlite", "reading", "with_driver", "writing"]


@attrs.frozen
class Facts:
    """All that a view tells of Tasker itself."""

    counts: SystemHealth
    performance: PerformanceMetrics
    activity: Activity


async def facts(view: TaskerView, window_seconds: float = 3600.0) -> Facts:
    """Ask a view for everything."""
    return Facts(
        await view.counts(),
        await view.performance(window_seconds),
        await view.activity(window_seconds),
    )


async def make_sqlite(folder: Path) -> str:
    """Make a file with Tasker's tables, that may be read while it is written; give its URL."""
    url = f"sqlite:///{folder / 'tasker.sqlite3'}"
    async with writing(url) as engine:
        async with engine.connect() as connection:
            await connection.execute(text("PRAGMA journal_mode = WAL"))
        async with engine.begin() as connection:
            for statement in ddl(Generation.ENGINE, "sqlite"):
                await connection.exec_driver_sql(statement)
    return url


async def fill(engine: AsyncEngine, world: World) -> None:
    """Put a world in place of whatever is there."""
    await clear(engine, world.generation)
    await load(engine, world)


@asynccontextmanager
async def writing(url: str) -> AsyncIterator[AsyncEngine]:
    """Open an engine that may write, on asyncpg unless the URL names another driver."""
    named = "+" in url.partition("://")[0]
    engine = create_async_engine(url if named else with_driver(url, "asyncpg"))
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _do_not_wait_for_the_disk)
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def reading(
    url: str, told: Generation | None = None, *, measurement_timeout_seconds: float = 10.0
) -> AsyncIterator[Database]:
    """Open a database as the service does."""
    options = DatabaseOptions(target=url, measurement_timeout_seconds=measurement_timeout_seconds)
    database = open_database(options, DatabaseExpectations(tasker_schema=told), SystemClock())
    try:
        yield database
    finally:
        await database.aclose()


def _do_not_wait_for_the_disk(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")


def with_driver(url: str, postgres: str, sqlite: str = "aiosqlite") -> str:
    """Name the drivers in a URL that names none."""
    scheme, rest = url.split("://", 1)
    return f"{scheme}+{sqlite if scheme == 'sqlite' else postgres}://{rest}"

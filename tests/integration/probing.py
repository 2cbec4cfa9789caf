"""A database as the probe has it, and what its answer means, for the tests of the probe."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.sql.opening import Database, DatabaseOptions, open_database
from tasker_health.domain.database import DatabaseExpectations, Generation, judge
from tasker_health.simulation.schema import CORE_MIGRATIONS, ENGINE_MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tasker_health.domain.checks import CheckResult
    from tasker_health.domain.ports import Clock
    from tasker_health.domain.reasons import Reason

NAME = "tasker-health"
MIGRATIONS = {
    Generation.ENGINE: frozenset(ENGINE_MIGRATIONS),
    Generation.CORE: frozenset(map(str, CORE_MIGRATIONS)),
}
TASKS = {Generation.ENGINE: "tasker_tasks", Generation.CORE: "tasker.tasks"}
DRIVERS = ("asyncpg", "psycopg")


@asynccontextmanager
async def opened(
    url: str,
    expectations: DatabaseExpectations | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Database]:
    """Open a database for a test, that a busy machine gets the time for."""
    database = open_database(
        DatabaseOptions(target=url, readiness_timeout_seconds=5.0),
        expectations or DatabaseExpectations(),
        clock or SystemClock(),
    )
    try:
        yield database
    finally:
        await database.aclose()


async def reasons(
    database: Database, expectations: DatabaseExpectations | None = None
) -> dict[str, Reason | None]:
    """Ask once and tell the reason of each check."""
    return told(judge(await database.probe.observe(), expectations or DatabaseExpectations()))


def told(results: object) -> dict[str, Reason | None]:
    """Tell the reason of each result."""
    checked: list[CheckResult] = list(results)  # type: ignore[call-overload]  # a sequence of them
    return {result.name: result.reason for result in checked}


WELL = {"database": None, "migrations": None, "configuration": None}


def name_of(url: str) -> str:
    """Tell the database that a URL names."""
    return url.rpartition("/")[2]

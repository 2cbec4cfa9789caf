"""One read-only transaction that sees one moment, on either dialect, limited in time.

Limits are set inside the transaction, never on the session, so that a pooler which hands
out connections by transaction keeps them together. Whoever is cancelled in here does not
roll back politely: the other end may be frozen. The connection is thrown away.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

__all__ = ["open_snapshot"]

# Compiling expressions to machine code costs more here than it saves.
_POSTGRES_LIMITS: Final = text(
    """
    SELECT
        set_config('TimeZone', 'UTC', true),
        set_config('statement_timeout', :statement_timeout, true),
        set_config('lock_timeout', :lock_timeout, true),
        set_config('jit', 'off', true)
    """
)

_LOCK_SHARE: Final = 0.5
"""How much of a statement's time may go by waiting for a lock: less than all of it, so that
the server names the lock where a lock is to blame."""

_SQLITE_STEPS: Final = 10_000
"""Virtual machine steps between two looks at the clock; well under a millisecond."""


def open_snapshot(
    engine: AsyncEngine, statement_timeout_seconds: float
) -> AbstractAsyncContextManager[AsyncConnection]:
    """Open a transaction that reads one moment and writes nothing.

    Args:
        engine: where to get a connection.
        statement_timeout_seconds: how long the server may work on one statement, > 0; on
            SQLite, on all of the transaction.
    """
    if engine.dialect.name == "sqlite":
        return _sqlite(engine, statement_timeout_seconds)
    return _postgres(engine, statement_timeout_seconds)


@asynccontextmanager
async def _postgres(engine: AsyncEngine, seconds: float) -> AsyncIterator[AsyncConnection]:
    repeatable = engine.execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    async with _checked_out(repeatable) as connection:
        await connection.execute(
            _POSTGRES_LIMITS,
            {
                "statement_timeout": f"{max(1, round(seconds * 1000))}ms",
                "lock_timeout": f"{max(1, round(seconds * 1000 * _LOCK_SHARE))}ms",
            },
        )
        yield connection


@asynccontextmanager
async def _sqlite(engine: AsyncEngine, seconds: float) -> AsyncIterator[AsyncConnection]:
    """Begin by hand, because the driver itself begins only before a write.

    SQLite has no time limit of its own; its progress handler gives it one, and ends a
    statement that nobody waits for any more. Handing the connection back rolls back.
    """
    by_hand = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with _checked_out(by_hand) as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.set_progress_handler(_given_up_after(seconds), _SQLITE_STEPS)
        try:
            await connection.exec_driver_sql("BEGIN")
            yield connection
        finally:
            if not connection.invalidated:
                await driver.set_progress_handler(None, 0)


@asynccontextmanager
async def _checked_out(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as connection:
        try:
            yield connection
        except asyncio.CancelledError:
            await connection.invalidate()
            raise


def _given_up_after(seconds: float) -> Callable[[], bool]:
    """Make what SQLite's thread asks now and then: is it too late, or was our task cancelled?"""
    deadline = time.monotonic() + seconds
    task = cast("asyncio.Task[object]", asyncio.current_task())
    cancelled_before = task.cancelling()

    def given_up() -> bool:
        return task.cancelling() > cancelled_before or time.monotonic() > deadline

    return given_up

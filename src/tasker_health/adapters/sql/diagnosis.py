"""What the doctor asks of a database, one question at a time.

Everything here reads: catalogues, settings and the statements of a measurement, on
connections that are opened as the service opens them, read-only, with the server's own
limits upon them. ``EXPLAIN`` is asked without ``ANALYZE``, so that nothing is run for it.
Whoever asks bounds each question; what it means is ``domain/examining.py``.

Source: guide, *Troubleshooting*; database facts, *Useful indexes*.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs
from sqlalchemy import event, text
from sqlalchemy.exc import SQLAlchemyError

from tasker_health.adapters.sql.catalogue import REQUIRED
from tasker_health.adapters.sql.failures import reason_of
from tasker_health.adapters.sql.vitals import measure_vitals
from tasker_health.domain.database import Generation
from tasker_health.domain.diagnosis import (
    ClockReading,
    PoolTrial,
    RoleFacts,
    ServerFacts,
    WorkTime,
)
from tasker_health.domain.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from tasker_health.adapters.sql.opening import Database
    from tasker_health.domain.ports import Clock
    from tasker_health.domain.status import Vitals

__all__ = ["SqlExamination"]

_ROUND_TRIPS: Final = 3
_LARGE_ROWS: Final = 100_000

_POSTGRES_SERVER: Final = text(
    "SELECT 'PostgreSQL ' || current_setting('server_version'), clock_timestamp(), pg_backend_pid()"
)
_SQLITE_SERVER: Final = text("SELECT 'SQLite ' || sqlite_version(), NULL, 0")

_MAY_WRITE: Final = text(
    """
    SELECT name FROM unnest(CAST(:names AS text[])) AS name
    WHERE has_table_privilege(to_regclass(name), 'INSERT, UPDATE, DELETE, TRUNCATE')
    ORDER BY name
    """
)

# Sessions of other roles do not tell a plain role what they call themselves.
_ROLE: Final = text(
    """
    SELECT
        count(*) FILTER (WHERE usename = current_user) AS connections,
        (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS allowed,
        count(*) FILTER (WHERE like_us) AS services,
        count(*) FILTER (WHERE like_us AND state <> 'idle') AS busy
    FROM pg_stat_activity, LATERAL (
        SELECT application_name = current_setting('application_name')
            AND datname = current_database() AND pid <> pg_backend_pid() AS like_us
    ) AS seen
    """
)

_INDEXES: Final = text(
    """
    SELECT class.relname, attribute.attname, pg_get_expr(index.indpred, index.indrelid)
    FROM pg_catalog.pg_index AS index
    JOIN pg_catalog.pg_class AS class ON class.oid = index.indrelid
    JOIN pg_catalog.pg_namespace AS space ON space.oid = class.relnamespace
    JOIN pg_catalog.pg_attribute AS attribute
        ON attribute.attrelid = class.oid AND attribute.attnum = index.indkey[0]
    WHERE index.indisvalid AND class.relname = ANY (CAST(:names AS text[]))
        AND CASE WHEN :core THEN space.nspname = 'tasker'
            ELSE pg_catalog.pg_table_is_visible(class.oid) END
    """
)
_CURRENT: Final = re.compile(r"\(?most_recent( = true| IS TRUE)?\)?")

_LARGE: Final = text(
    "SELECT DISTINCT relname FROM pg_catalog.pg_class"
    " WHERE relname = ANY (CAST(:names AS text[])) AND reltuples >= :rows ORDER BY relname"
)


@attrs.frozen
class _Index:
    """An index that our statements count on: its table, its first column, its condition."""

    table: str
    column: str
    current: bool = False

    def __str__(self) -> str:
        """Write what comes after ``CREATE INDEX ON``."""
        return f"{self.table} ({self.column}){' WHERE most_recent' if self.current else ''}"


_RECOMMENDED: Final = {
    Generation.ENGINE: (
        _Index("tasker_task_transitions", "task_id", current=True),
        _Index("tasker_workflow_step_transitions", "workflow_step_id", current=True),
        _Index("tasker_workflow_steps", "task_id"),
        _Index("tasker_workflow_step_edges", "to_step_id"),
    ),
    Generation.CORE: (
        _Index("task_transitions", "task_uuid", current=True),
        _Index("workflow_step_transitions", "workflow_step_uuid", current=True),
        _Index("workflow_steps", "task_uuid"),
        _Index("workflow_step_edges", "to_step_uuid"),
    ),
}


class SqlExamination:
    """Questions to one opened database. Each raises SourceError when it is not answered.

    Args:
        database: opened as the service opens it; whoever opened it closes it.
        clock: ours, which the server's is held against.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def server(self) -> ServerFacts:
        """Connect, and tell how that went."""
        began = self._clock.monotonic()
        async with self._connection() as connection:
            connect_ms = self._ms_since(began)
            round_trips = [await self._round_trip_ms(connection) for _ in range(_ROUND_TRIPS)]
            postgres = connection.dialect.name == "postgresql"
            before, asked = self._clock.now(), self._clock.monotonic()
            statement = _POSTGRES_SERVER if postgres else _SQLITE_SERVER
            product, told, pid = (await connection.execute(statement)).one()
            half = self._ms_since(asked) / 2000
            reading = None
            if told is not None:
                ahead = (told - before).total_seconds() - half
                reading = ClockReading(ahead_seconds=ahead, within_seconds=half)
            return ServerFacts(
                product=str(product),
                connect_ms=connect_ms,
                round_trip_ms=min(round_trips),
                clock=reading,
                pooled=postgres and await _announced_pid(connection) != pid,
            )

    async def role(self, generation: Generation, unreadable: Sequence[str]) -> RoleFacts:
        """Tell what our role may, and how many sessions it has.

        Args:
            generation: whose tables.
            unreadable: those that it may not read, which are not looked at again.
        """
        prefix = "tasker." if generation is Generation.CORE else ""
        names = [f"{prefix}{table}" for table in REQUIRED[generation] if table not in unreadable]
        async with self._connection() as connection:
            if connection.dialect.name == "sqlite":
                return RoleFacts()  # we open its file so that nothing of ours can write
            may_write = (await connection.execute(_MAY_WRITE, {"names": names})).scalars()
            row = (await connection.execute(_ROLE)).one()
            return RoleFacts(
                may_write=tuple(may_write),
                connections=row.connections,
                connections_allowed=row.allowed if row.allowed >= 0 else None,
                services=row.services,
                services_busy=row.busy,
            )

    async def vitals(self) -> Vitals:
        """Tell how many connections the server has."""
        async with self._connection() as connection:
            return await measure_vitals(connection)

    async def fill_pool(self) -> PoolTrial:
        """Open all connections of the pool at one time, and give them back."""
        size = self._database.pool().size
        full = asyncio.Event()
        taken = 0

        async def take() -> None:
            nonlocal taken
            async with self._connection():
                taken += 1
                if taken == size:
                    full.set()
                await full.wait()

        taking = [asyncio.create_task(take()) for _ in range(size)]
        filled = asyncio.create_task(full.wait())
        try:
            await asyncio.wait([*taking, filled], return_when=asyncio.FIRST_COMPLETED)
            state = self._database.pool()
            failures = (task.exception() for task in taking if task.done())
            reasons = [error.reason for error in failures if isinstance(error, SourceError)]
            if not filled.done():
                state = attrs.evolve(state, connections=taken, checked_out=taken)
            return PoolTrial(state=state, failure=reasons[0] if reasons else None)
        except asyncio.CancelledError:
            for task in taking:
                task.cancel()
            raise
        finally:
            full.set()
            filled.cancel()
            await asyncio.gather(*taking, filled, return_exceptions=True)

    async def work(self, window_seconds: float, slow_ms: float) -> tuple[WorkTime, ...]:
        """Measure as the status does, and tell what each part took.

        Args:
            window_seconds: how far a measurement looks back.
            slow_ms: what takes longer is looked into: which tables does it read as a whole?
        """
        times = []
        async with self._database.tasker.view(self._clock.now()) as view:
            parts: tuple[tuple[str, Callable[[], Awaitable[object]]], ...] = (
                ("counts", view.counts),
                ("performance", lambda: view.performance(window_seconds)),
                ("activity", lambda: view.activity(window_seconds)),
                ("vitals", view.vitals),
            )
            for name, ask in parts:
                with self._listening() as statements:
                    began = self._clock.monotonic()
                    await ask()
                    took_ms = self._ms_since(began)
                times.append((name, took_ms, tuple(statements)))
        return tuple(
            [
                WorkTime(
                    name=name,
                    took_ms=took_ms,
                    whole_tables=await self._whole(said) if took_ms > slow_ms else (),
                )
                for name, took_ms, said in times
            ]
        )

    async def missing_indexes(self, generation: Generation) -> tuple[str, ...]:
        """Name the indexes that our statements count on and that are not there."""
        recommended = _RECOMMENDED[generation]
        core = generation is Generation.CORE
        async with self._connection() as connection:
            if connection.dialect.name == "sqlite":
                return ()
            names = [index.table for index in recommended]
            rows = await connection.execute(_INDEXES, {"names": names, "core": core})
            found = {_Index(table, column, _current(where)) for table, column, where in rows}
        prefix = "tasker." if core else ""
        return tuple(f"{prefix}{index}" for index in recommended if index not in found)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        """Take a connection of the pool; one that is given up in the middle is thrown away."""
        try:
            async with self._database.engine.connect() as connection:
                try:
                    yield connection
                except asyncio.CancelledError:
                    await connection.invalidate()
                    raise
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise SourceError(reason_of(error)) from error

    async def _round_trip_ms(self, connection: AsyncConnection) -> float:
        began = self._clock.monotonic()
        await connection.execute(text("SELECT 1"))
        return self._ms_since(began)

    def _ms_since(self, began: float) -> float:
        return max(0.0, self._clock.monotonic() - began) * 1000

    async def _whole(self, statements: Sequence[tuple[str, Any]]) -> tuple[str, ...]:
        """Name large tables that the server's plans for these statements read as a whole."""
        async with self._connection() as connection:
            if connection.dialect.name == "sqlite":
                return ()
            read: set[str] = set()
            for statement, parameters in statements:
                said = await connection.exec_driver_sql(
                    f"EXPLAIN (FORMAT JSON) {statement}", parameters
                )
                plan = said.scalar_one()
                read.update(_read_whole(json.loads(plan) if isinstance(plan, str) else plan))
            large = await connection.execute(_LARGE, {"names": sorted(read), "rows": _LARGE_ROWS})
            return tuple(large.scalars())

    def _listening(self) -> _Listening:
        return _Listening(self._database.engine.sync_engine)


class _Listening:
    """Writes down the statements that an engine runs meanwhile, but for those that only set."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._heard: list[tuple[str, Any]] = []

    def __enter__(self) -> list[tuple[str, Any]]:
        event.listen(self._engine, "before_cursor_execute", self._hear)
        return self._heard

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._hear)

    def _hear(self, *call: Any) -> None:
        _, _, statement, parameters, _, _ = call
        self._heard.append((statement, parameters))


def _read_whole(plan: Any) -> Iterator[str]:
    """Walk a plan and name what is read from end to end."""
    if isinstance(plan, list):
        for part in plan:
            yield from _read_whole(part)
    elif isinstance(plan, dict):
        if plan.get("Node Type") == "Seq Scan":
            yield plan["Relation Name"]
        yield from _read_whole(plan.get("Plan"))
        yield from _read_whole(plan.get("Plans"))


def _current(condition: str | None) -> bool:
    return condition is not None and _CURRENT.fullmatch(condition) is not None


async def _announced_pid(connection: AsyncConnection) -> int:
    """Tell which process answers, as it was told on connecting: a pooler tells its own."""
    raw: Any = (await connection.get_raw_connection()).driver_connection
    return int(raw.get_server_pid() if hasattr(raw, "get_server_pid") else raw.info.backend_pid)

"""The shared status in a table: for who has a database to spare and no cache.

One small table of our own, made when it is missing and we may; on PostgreSQL it is UNLOGGED,
for what is in it can be measured again. The database's clock decides what has expired, so
that the clocks of those who share it may differ. Whatever stands there that is no report is
a miss, and is removed only while it is still what was read.

Connecting and making the table go on in the background, under a bound of their own, when a
caller's time is over.

What is left out on purpose: housekeeping. A Tasker has one row, which each report replaces.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

import attrs
from sqlalchemy import LargeBinary, TextClause, bindparam, text
from sqlalchemy.exc import SQLAlchemyError

from tasker_health.adapters.sql.failures import reason_of
from tasker_health.domain.deadline import within
from tasker_health.domain.errors import CacheError, DeadlineError
from tasker_health.domain.flight import Flight
from tasker_health.domain.reasons import Reason
from tasker_health.formats.sealed import LARGEST_BYTES, Seal

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tasker_health.domain.ports import StatusCache
    from tasker_health.domain.status import StatusReport

    T = TypeVar("T")

__all__ = ["CONNECT_SECONDS", "TABLE", "TIMEOUT_SECONDS", "SqlStatusCache"]

TABLE: Final = "tasker_health_status_cache"
"""The one table that this package ever writes; unqualified, so the search path places it."""

TIMEOUT_SECONDS: Final = 0.025
CONNECT_SECONDS: Final = 1.0
_MAKING_MS: Final = 900


def _with_bytes(statement: str, *names: str) -> TextClause:
    return text(statement).bindparams(*(bindparam(name, type_=LargeBinary) for name in names))


@attrs.frozen(kw_only=True)
class _Statements:
    """What is said to one dialect. One byte more is read than a good value has."""

    isolation: str
    make: tuple[TextClause, ...]
    get: TextClause
    put: TextClause
    discard: TextClause


_LOOK: Final = text(f"SELECT 1 FROM {TABLE} LIMIT 0")  # noqa: S608  a constant of ours
_POSTGRES: Final = _Statements(
    isolation="READ COMMITTED",
    make=(
        text(f"SET LOCAL statement_timeout = '{_MAKING_MS}ms'"),
        text(f"""
            CREATE UNLOGGED TABLE IF NOT EXISTS {TABLE} (
                key text PRIMARY KEY, value bytea NOT NULL, kept_until timestamptz NOT NULL
            )
        """),
    ),
    get=text(f"""
        SELECT substring(value FROM 1 FOR CAST(:most AS int)) FROM {TABLE}
        WHERE key = :key AND kept_until > clock_timestamp()
    """),  # noqa: S608  a constant of ours
    put=_with_bytes(
        f"""
        INSERT INTO {TABLE} (key, value, kept_until)
        VALUES (
            :key, :value, clock_timestamp() + CAST(:keep AS double precision) * interval '1 second'
        )
        ON CONFLICT (key) DO UPDATE SET value = excluded.value, kept_until = excluded.kept_until
        """,  # noqa: S608  a constant of ours
        "value",
    ),
    discard=_with_bytes(
        f"""
        DELETE FROM {TABLE}
        WHERE key = :key AND substring(value FROM 1 FOR CAST(:most AS int)) = :found
        """,  # noqa: S608  a constant of ours
        "found",
    ),
)
_VALUE: Final = "coalesce(substr(CAST(value AS BLOB), 1, :most), x'')"
"""SQLite says NULL for the beginning of nothing."""

_NOW: Final = "(julianday('now') - 2440587.5) * 86400.0"
_SQLITE: Final = _Statements(
    isolation="AUTOCOMMIT",
    make=(
        text(f"""
            CREATE TABLE IF NOT EXISTS {TABLE} (
                key TEXT PRIMARY KEY, value BLOB NOT NULL, kept_until REAL NOT NULL
            )
        """),
    ),
    get=text(f"""
        SELECT {_VALUE} FROM {TABLE}
        WHERE key = :key AND kept_until > {_NOW}
    """),  # noqa: S608  a constant of ours
    put=_with_bytes(
        f"""
        INSERT INTO {TABLE} (key, value, kept_until) VALUES (:key, :value, {_NOW} + :keep)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value, kept_until = excluded.kept_until
        """,  # noqa: S608  a constant of ours
        "value",
    ),
    discard=_with_bytes(
        f"""
        DELETE FROM {TABLE} WHERE key = :key AND {_VALUE} = :found
        """,  # noqa: S608  a constant of ours
        "found",
    ),
)
_DIALECTS: Final[Mapping[str, _Statements]] = MappingProxyType(
    {"postgresql": _POSTGRES, "sqlite": _SQLITE}
)


class SqlStatusCache:
    """One report in one row, through an opened engine; whoever opened it closes it.

    Args:
        engine: on PostgreSQL or SQLite, apart from every other use: a cache that hangs must
            hold up nobody else's connection. In ``AUTOCOMMIT`` a use is one round trip.
        key: which Tasker it is; the same in every process that watches it.
        timeout_seconds: what one use costs at most, > 0.
        cut_off: ends the engine's connections without a word to the server; called when it
            has fallen silent.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        key: str,
        timeout_seconds: float = TIMEOUT_SECONDS,
        cut_off: Callable[[], object] = lambda: None,
    ) -> None:
        self._engine: Final = engine
        self._sql: Final = _DIALECTS[engine.dialect.name]
        self._key: Final = f"tasker_health:status:{key}"
        self._seal: Final = Seal(self._key)
        self._timeout_seconds: Final = timeout_seconds
        self._cut_off: Final = cut_off
        self._reached = False
        self._reaching: Final = Flight[None]()
        self._unreadable = 0

    @property
    def unreadable(self) -> int:
        """How many values were found that could not be read."""
        return self._unreadable

    async def get(self) -> StatusReport | None:
        """Give back what was put; None when there is nothing, or nothing readable.

        Raises:
            CacheError: the database did not answer, or would not.
        """
        return await self._bounded(self._get())

    async def put(self, report: StatusReport, keep_seconds: float) -> None:
        """Keep the report for ``keep_seconds``, > 0, in place of any other.

        Raises:
            CacheError: the database did not take it, or could not give it back as it is.
        """
        try:
            value = self._seal.write(report)
        except ValueError as error:
            raise CacheError(Reason.FAILED) from error
        await self._bounded(self._put(value, keep_seconds))

    async def aclose(self) -> None:
        """End what is under way. The engine stays open: it is its opener's."""
        await self._reaching.aclose()

    async def _get(self) -> StatusReport | None:
        await self._reach()
        asked = {"key": self._key, "most": LARGEST_BYTES + 1}
        async with self._engine.begin() as connection:
            found = (await connection.execute(self._sql.get, asked)).scalar_one_or_none()
            if found is None:
                return None
            try:
                return self._seal.read(bytes(found))
            except ValueError:
                self._unreadable += 1
                await connection.execute(self._sql.discard, {**asked, "found": bytes(found)})
                return None

    async def _put(self, value: bytes, keep_seconds: float) -> None:
        await self._reach()
        row = {"key": self._key, "value": value, "keep": keep_seconds}
        async with self._engine.begin() as connection:
            await connection.execute(self._sql.put, row)

    async def _reach(self) -> None:
        """Wait until there is a connection and a table; both go on when a caller gives up."""
        if not self._reached:
            await self._reaching.join(self._prepare, patience_seconds=CONNECT_SECONDS)

    async def _prepare(self) -> None:
        try:
            await within(CONNECT_SECONDS, self._have_table())
        except DeadlineError:
            self._cut_off()
            raise
        self._reached = True

    async def _have_table(self) -> None:
        try:
            await self._look()
        except SQLAlchemyError as error:
            if reason_of(error) is not Reason.PENDING:
                raise
            await self._make_table()

    async def _look(self) -> None:
        async with self._engine.connect() as connection:
            await connection.execute(_LOOK)

    async def _make_table(self) -> None:
        try:
            async with self._engine.connect() as plain:
                connection = await plain.execution_options(isolation_level=self._sql.isolation)
                async with connection.begin():
                    for statement in self._sql.make:
                        await connection.execute(statement)
        except SQLAlchemyError:
            # Two who make it at once get in each other's way, although only the first need.
            try:
                await self._look()
            except SQLAlchemyError:
                pass
            else:
                return
            raise

    async def _bounded(self, use: Coroutine[object, object, T]) -> T:
        """Bound one use of the database, and say what went wrong in our words."""
        try:
            return await within(self._timeout_seconds, use)
        except DeadlineError as error:
            if self._reached:
                # Silent for one is silent for all; and nobody waits for its farewell.
                self._cut_off()
            self._reached = False
            raise CacheError(Reason.TIMEOUT) from error
        except (SQLAlchemyError, OSError, TimeoutError, UnicodeError) as error:
            self._reached = False
            raise CacheError(reason_of(error)) from error


if TYPE_CHECKING:
    _: type[StatusCache] = SqlStatusCache

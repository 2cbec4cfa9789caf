"""Opening a database: two ways into it, apart from each other, and the way out of both.

The status path has a small pool; the readiness probe has one connection of its own, so
that neither a slow measurement nor a full pool can make an instance look unready. The
server is told to give up before we do. Nothing connects here: the first use does.
"""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from tasker_health.adapters.sql.drivers import Connector, is_closed
from tasker_health.adapters.sql.pool import WatchedPool
from tasker_health.adapters.sql.probe import SqlDatabaseProbe
from tasker_health.adapters.sql.tasker import SqlTasker
from tasker_health.adapters.sql.url import DatabaseTarget, parse_database_url
from tasker_health.domain.database import Generation
from tasker_health.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasker_health.domain.database import DatabaseExpectations
    from tasker_health.domain.diagnosis import PoolState
    from tasker_health.domain.ports import Clock

__all__ = [
    "APPLICATION_NAME",
    "Database",
    "DatabaseOptions",
    "close_engine",
    "open_database",
    "replace_if_closed",
    "server_limits",
    "session_name",
]

APPLICATION_NAME: Final = "tasker-health"
_CHECKS_SHARE: Final = 0.7
_SERVER_SHARE: Final = 0.9
_CLOSE_SECONDS: Final = 1.0


def _target(given: DatabaseTarget | str) -> DatabaseTarget:
    return parse_database_url(given) if isinstance(given, str) else given


_positive = attrs.validators.gt(0.0)


@attrs.frozen(kw_only=True)
class DatabaseOptions:
    """How Tasker's database is opened. What the URL says holds where nothing is given here.

    Args:
        target: ``DATABASE_URL``, read or as it is written.
        pool_size: connections of the status path, at least 1; 2 if nobody says.
        checkout_timeout_seconds: how long a measurement waits for one of them; 5 likewise.
        prepared_statements: false behind a pooler that shares sessions (pgbouncer).
        connect_timeout_seconds: how long an attempt to connect may take; 5 likewise.
        readiness_timeout_seconds: the readiness budget, which the probe's limits stay below.
        measurement_timeout_seconds: the same for the status path.
    """

    target: DatabaseTarget = attrs.field(converter=_target)
    pool_size: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.ge(1))
    )
    checkout_timeout_seconds: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(_positive)
    )
    prepared_statements: bool | None = None
    connect_timeout_seconds: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(_positive)
    )
    readiness_timeout_seconds: float = attrs.field(default=0.1, validator=_positive)
    measurement_timeout_seconds: float = attrs.field(default=10.0, validator=_positive)


class Database:
    """An opened database. Whoever opened it closes it."""

    def __init__(
        self,
        target: DatabaseTarget,
        *,
        engines: tuple[AsyncEngine, AsyncEngine],
        connectors: tuple[Connector, Connector],
        expectations: DatabaseExpectations,
        clock: Clock,
        connect_timeout_seconds: float,
        statement_timeout_seconds: float,
        prepared_statements: bool,
    ) -> None:
        self.fingerprint: Final = target.fingerprint
        self.prepared_statements: Final = prepared_statements
        self.engine, probe_engine = engines
        self._connectors: Final = connectors
        self.tasker: Final = SqlTasker(
            self.engine,
            expectations.tasker_schema,
            statement_timeout_seconds=statement_timeout_seconds,
        )
        self.probe: Final = SqlDatabaseProbe(
            probe_engine,
            cut_off=connectors[1].terminate,
            clock=clock,
            expectations=expectations,
            connect_timeout_seconds=connect_timeout_seconds,
        )

    def pool(self) -> PoolState:
        """Tell how the status path's pool is; asks nobody."""
        return cast("WatchedPool", self.engine.pool).state()

    async def aclose(self) -> None:
        """Close every connection: with a farewell if the server listens, without one if not."""
        await self.probe.aclose()
        await close_engine(self.engine, *self._connectors)


async def close_engine(engine: AsyncEngine, *connectors: Connector) -> None:
    """Close an engine, whose server may be silent, and all that the connectors opened."""
    disposing = asyncio.ensure_future(engine.dispose())
    try:
        await asyncio.wait({disposing}, timeout=_CLOSE_SECONDS)
    finally:
        for connector in connectors:
            connector.terminate()
        disposing.cancel()
    await asyncio.wait({disposing}, timeout=_CLOSE_SECONDS)
    for connector in connectors:
        await connector.settle()


def open_database(
    options: DatabaseOptions, expectations: DatabaseExpectations, clock: Clock
) -> Database:
    """Make ready to use a database; nothing is connected yet.

    Raises:
        ConfigurationError: the core generation is told of, and the database is SQLite; or
            the driver that the URL names is not installed.
    """
    target = options.target
    if target.driver == "psycopg" and find_spec("psycopg") is None:
        allowed = (
            "postgresql://, unless the extra is installed: pip install 'tasker-health[psycopg]'"
        )
        raise ConfigurationError("DATABASE_URL", "of scheme 'postgresql+psycopg'", allowed)
    if target.dialect == "sqlite" and expectations.tasker_schema is Generation.CORE:
        raise ConfigurationError(
            "TASKER_SCHEMA", "'core'", "auto or engine where DATABASE_URL is SQLite"
        )
    timeout = _first(options.connect_timeout_seconds, target.connect_timeout_seconds, 5.0)
    prepared = _first(options.prepared_statements, target.prepared_statements, True)  # noqa: FBT003
    status, probe = (
        Connector(
            target,
            settings=settings,
            connect_timeout_seconds=timeout if target.dialect == "postgresql" else lock_seconds,
            prepared_statements=prepared,
        )
        for settings, lock_seconds in (
            (_status_settings(target, options, pooler=not prepared), 1.0),
            (_probe_settings(target, options, pooler=not prepared), _probe_seconds(options) / 2),
        )
    )
    return Database(
        target,
        engines=(_pooled(status, target, options), _single(probe)),
        connectors=(status, probe),
        expectations=expectations,
        clock=clock,
        connect_timeout_seconds=timeout,
        statement_timeout_seconds=options.measurement_timeout_seconds * _SERVER_SHARE,
        prepared_statements=prepared,
    )


def _pooled(connector: Connector, target: DatabaseTarget, options: DatabaseOptions) -> AsyncEngine:
    engine = create_async_engine(
        connector.url,
        connect_args=connector.arguments,
        poolclass=WatchedPool,
        pool_size=_first(options.pool_size, target.pool_size, 2),
        max_overflow=0,
        pool_timeout=_first(options.checkout_timeout_seconds, target.checkout_timeout_seconds, 5.0),
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "checkout", replace_if_closed)
    return engine


def _single(connector: Connector) -> AsyncEngine:
    """Make the probe's engine: it holds its one connection itself, outside any transaction."""
    return create_async_engine(
        connector.url,
        connect_args=connector.arguments,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
    )


def replace_if_closed(connection: Any, *_: object) -> None:
    """Have the pool replace a connection that the server ended while it lay there.

    Costs nothing, where a ping would cost a round trip.
    """
    if is_closed(connection.driver_connection):
        raise exc.DisconnectionError


def _status_settings(
    target: DatabaseTarget, options: DatabaseOptions, *, pooler: bool
) -> Mapping[str, str]:
    limits = server_limits(options.measurement_timeout_seconds)
    return session_name(target) if pooler else {**session_name(target), **limits, **_READ_ONLY}


def _probe_settings(
    target: DatabaseTarget, options: DatabaseOptions, *, pooler: bool
) -> Mapping[str, str]:
    """Tell the probe's settings; not read-only, for it must see what Tasker would get."""
    return (
        session_name(target)
        if pooler
        else {**session_name(target), **server_limits(_probe_seconds(options))}
    )


_READ_ONLY: Final = {"default_transaction_read_only": "on"}


def session_name(target: DatabaseTarget) -> Mapping[str, str]:
    """Give what even a pooler takes: a name, and the zone in which times are compared."""
    name = target.settings.get("application_name", APPLICATION_NAME)
    return {"application_name": name, "timezone": "UTC"}


def server_limits(seconds: float) -> Mapping[str, str]:
    """Have the server give up first: waiting for a lock, then the statement, then we."""
    statement = max(2, int(seconds * _SERVER_SHARE * 1000))
    lock = max(1, statement * 3 // 4)
    return {"statement_timeout": f"{statement}", "lock_timeout": f"{lock}"}


def _probe_seconds(options: DatabaseOptions) -> float:
    return options.readiness_timeout_seconds * _CHECKS_SHARE


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)

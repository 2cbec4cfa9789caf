"""Opening a SQL-backed cache by its URL: an engine of its own, beside all others.

It shares nothing with the status path and the probe, not even where the URL names Tasker's
own database: a cache that hangs must cost no connection of theirs. Naming that database here
is what permits a table of ours to be made in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from tasker_health.adapters.sql.cache import CONNECT_SECONDS, TIMEOUT_SECONDS, SqlStatusCache
from tasker_health.adapters.sql.drivers import Connector
from tasker_health.adapters.sql.opening import (
    close_engine,
    replace_if_closed,
    server_limits,
    session_name,
)
from tasker_health.adapters.sql.url import parse_database_url
from tasker_health.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from tasker_health.adapters.sql.url import DatabaseTarget

__all__ = ["open_sql_cache"]

_CONNECTIONS: Final = 2


class _OwnSqlStatusCache(SqlStatusCache):
    """A cache whose engine was opened here, and so is closed here."""

    def __init__(
        self, engine: AsyncEngine, connector: Connector, *, key: str, timeout_seconds: float
    ) -> None:
        super().__init__(
            engine, key=key, timeout_seconds=timeout_seconds, cut_off=connector.terminate
        )
        self._connector: Final = connector

    async def aclose(self) -> None:
        """End what is under way and close every connection, in little more than a second."""
        await super().aclose()
        await close_engine(self._engine, self._connector)


def open_sql_cache(
    url: str, *, key: str, source: str = "", timeout_seconds: float = TIMEOUT_SECONDS
) -> SqlStatusCache:
    """Make a cache of a URL. Connects when it is first used; ``aclose()`` closes all of it.

    Args:
        url: ``postgresql://`` or ``sqlite://``, as ``DATABASE_URL`` is written. A file that
            is not there is made.
        key: which Tasker it is.
        source: where the URL came from, for the error.
        timeout_seconds: what one use costs at most, > 0.

    Raises:
        ConfigurationError: the URL cannot be read; its secrets are not repeated.
    """
    target = _target(url, source)
    prepared = target.prepared_statements is not False
    limits = server_limits(timeout_seconds) if prepared else {}
    postgres = target.dialect == "postgresql"
    connector = Connector(
        target,
        settings={**session_name(target), **limits},
        connect_timeout_seconds=CONNECT_SECONDS if postgres else timeout_seconds / 2,
        prepared_statements=prepared,
        writes=True,
    )
    engine = create_async_engine(
        connector.url,
        connect_args=connector.arguments,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=target.pool_size or _CONNECTIONS,
        max_overflow=0,
        pool_timeout=CONNECT_SECONDS,
        isolation_level="AUTOCOMMIT",  # no round trips to begin and to commit
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "checkout", replace_if_closed)
    return _OwnSqlStatusCache(engine, connector, key=key, timeout_seconds=timeout_seconds)


def _target(url: str, source: str) -> DatabaseTarget:
    try:
        return parse_database_url(url, source=source)
    except ConfigurationError as error:
        problem = attrs.evolve(error, setting="CACHE_URL")
    raise problem

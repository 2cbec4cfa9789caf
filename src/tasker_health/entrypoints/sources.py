"""What a service rests on, opened as the settings say: the log, the database, the cache.

The service itself is ``server.py``; the commands that need no service stop here, and do
without the framework.

Source: guide, *Performance Tuning* and *Cache Configuration*.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import attrs

from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.log import StructlogJournal
from tasker_health.adapters.sql.opening import Database, DatabaseOptions, open_database
from tasker_health.adapters.sql.url import parse_database_url
from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.ports import Clock, StatusCache
from tasker_health.domain.secret import Secret
from tasker_health.entrypoints.caches import cache_scheme, cache_secrets, open_cache
from tasker_health.entrypoints.refusals import as_written
from tasker_health.entrypoints.watchers import watcher_secrets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tasker_health.adapters.redis import OpenedRedis  # noqa: TC004  never evaluated
    from tasker_health.adapters.sql.url import DatabaseTarget
    from tasker_health.entrypoints.options import Configuration

__all__ = ["Sources", "database_target", "open_sources", "open_tasker_database"]


@attrs.frozen(kw_only=True)
class Sources:
    """What a service rests on, opened.

    Args:
        clock: wall and monotonic time.
        journal: where transitions are written down.
        database: Tasker's, by both ways into it.
        cache: shared or not, as the settings say.
        cache_kind: the scheme of its URL.
        redis: the client that it stands before, where that is Redis.
        secrets: what must not be seen in any output.
    """

    clock: Clock
    journal: StructlogJournal
    database: Database
    cache: StatusCache
    cache_kind: str
    redis: OpenedRedis | None = None
    secrets: Secret[tuple[str, ...]]


@asynccontextmanager
async def open_sources(
    configuration: Configuration, *, clock: Clock | None = None, cache_name: str = ""
) -> AsyncIterator[Sources]:
    """Open what the settings name, and close all of it afterwards. Nothing is connected yet.

    Args:
        configuration: all settings.
        clock: the system's unless given.
        cache_name: a name apart for the cache's key, for who must not touch the live one.

    Raises:
        ConfigurationError: on entering, as in :func:`check`.
    """
    clock, target = clock or SystemClock(), database_target(configuration)
    async with AsyncExitStack() as stack:
        secrets = tuple(_secrets(configuration, target))
        journal = StructlogJournal(renderer=configuration.log_format, secrets=secrets)
        stack.callback(journal.close)
        database = open_tasker_database(configuration, clock)
        stack.push_async_callback(database.aclose)
        opened = open_cache(configuration, f"{database.fingerprint}{cache_name}", clock)
        stack.push_async_callback(opened.aclose)
        yield Sources(
            clock=clock,
            journal=journal,
            database=database,
            cache=opened.cache,
            cache_kind=cache_scheme(configuration),
            redis=opened.redis,
            secrets=Secret(secrets),
        )


def database_target(configuration: Configuration) -> DatabaseTarget:
    """Read where Tasker's database is.

    Raises:
        ConfigurationError: nobody said, or it cannot be read.
    """
    if not configuration.database_url:
        allowed = "the URL of Tasker's database, as in postgresql://user:password@host/database"
        written = configuration.origin("database_url").written
        raise ConfigurationError(written, "missing", allowed)
    with as_written(configuration):
        return parse_database_url(configuration.database_url.reveal())


def open_tasker_database(configuration: Configuration, clock: Clock) -> Database:
    """Make ready to use Tasker's database, as the settings say; nothing is connected yet.

    Raises:
        ConfigurationError: it cannot be had.
    """
    health = configuration.settings.health
    options = DatabaseOptions(
        target=database_target(configuration),
        pool_size=configuration.pool_size,
        checkout_timeout_seconds=configuration.checkout_timeout_seconds,
        prepared_statements=configuration.prepared_statements,
        connect_timeout_seconds=configuration.connect_timeout_seconds,
        readiness_timeout_seconds=health.readiness_timeout_seconds,
        measurement_timeout_seconds=health.measurement_timeout_seconds,
    )
    with as_written(configuration):
        return open_database(options, configuration.settings.database, clock)


def _secrets(configuration: Configuration, target: DatabaseTarget) -> Iterator[str]:
    """Tell what must not be seen in any line of the log."""
    yield target.password.reveal()
    for name in (target.user.reveal(), target.database, *(host for host, _ in target.hosts)):
        yield from (f'"{name}"', f"'{name}'")  # as vendors write names into their errors
    yield configuration.database_url.reveal()
    yield from cache_secrets(configuration)
    yield from watcher_secrets(configuration)

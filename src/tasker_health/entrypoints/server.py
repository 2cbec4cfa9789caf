"""The composition root: the only place where settings become adapters.

:func:`open_service` opens what the settings name and closes it again; :func:`create_app`
puts it behind HTTP, for any ASGI server. A database or a cache that is down is no error
here: the service starts, says so on readiness, and heals by itself. What cannot be had at
all, such as an unknown scheme or a class that is not there, is refused before anything is
opened. Sockets and processes are ``serving.py``.

Source: guide, *Security Configuration* and *Cache Configuration*.
"""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from tasker_health.adapters.auth import (
    HostUserAuthenticator,
    PermissionCoordinator,
    load_coordinator,
)
from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.log import StructlogJournal
from tasker_health.adapters.memory.cache import InMemoryStatusCache
from tasker_health.adapters.sql.opening import DatabaseOptions, open_database
from tasker_health.adapters.sql.url import parse_database_url
from tasker_health.domain.errors import ConfigurationError, SourceError
from tasker_health.domain.events import Changed
from tasker_health.domain.service import HealthService
from tasker_health.entrypoints.authentication import build_authenticator, knows_nobody
from tasker_health.entrypoints.environment import read_configuration
from tasker_health.entrypoints.lifespan import Entrance
from tasker_health.entrypoints.litestar import documented

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from tasker_health.adapters.redis import RedisStatusCache
    from tasker_health.adapters.sql.opening import Database
    from tasker_health.adapters.sql.url import DatabaseTarget
    from tasker_health.domain.checks import HealthCheck
    from tasker_health.domain.coordination import BaseCoordinator
    from tasker_health.domain.ports import Authenticator, Clock, Coordinator, DatabaseProbe
    from tasker_health.entrypoints.asgi import Receive, Scope, Send
    from tasker_health.entrypoints.options import Configuration

__all__ = ["ServedApp", "check", "create_app", "open_service"]

_CACHES: Final = "memory://, redis://, rediss:// or unix://"
_WARM_UP_SECONDS: Final = 0.5
_NOT_YET: Final = ("memcached", "redis+sentinel", "redis+cluster")


def check(configuration: Configuration) -> None:
    """See that everything the settings name can be had, without opening any of it.

    Raises:
        ConfigurationError: it cannot; the setting is named as the user wrote it.
    """
    _target(configuration)
    build_authenticator(configuration, SystemClock())
    _coordinator(configuration)
    _open_database(configuration, SystemClock())
    _open_cache(configuration, "", SystemClock())
    ServedApp(configuration)


@asynccontextmanager
async def open_service(
    configuration: Configuration,
    *,
    authenticator: Authenticator | None = None,
    coordinator: Coordinator | type[BaseCoordinator] | None = None,
    checks: Sequence[HealthCheck] = (),
) -> AsyncIterator[HealthService]:
    """Open a service over what the settings name, and close all of it afterwards.

    Args:
        configuration: all settings.
        authenticator: tells who asks, in place of what the settings name. Where neither is
            given, it is whom the application that we are embedded in found.
        coordinator: tells who may, in place of what the settings name; an instance, or a
            subclass of BaseCoordinator itself.
        checks: what readiness asks besides the database and the cache.

    Raises:
        ConfigurationError: on entering, as in :func:`check`.
    """
    clock, target = SystemClock(), _target(configuration)
    authenticator = authenticator or build_authenticator(
        configuration, clock, default=HostUserAuthenticator()
    )
    coordinator = coordinator or _coordinator(configuration)
    async with AsyncExitStack() as stack:
        journal = StructlogJournal(
            renderer=configuration.log_format, secrets=_secrets(configuration, target)
        )
        stack.callback(journal.close)
        database = _open_database(configuration, clock)
        stack.push_async_callback(database.aclose)
        cache = _open_cache(configuration, database.fingerprint, clock)
        if not isinstance(cache, InMemoryStatusCache):
            stack.push_async_callback(cache.aclose)
        service = HealthService(
            tasker=database.tasker,
            probe=database.probe,
            clock=clock,
            journal=journal,
            authenticator=authenticator,
            coordinator=coordinator,
            checks=checks,
            cache=cache,
            settings=configuration.settings,
        )
        stack.push_async_callback(service.aclose)
        if configuration.settings.auth.authorization_enabled and knows_nobody(authenticator):
            journal.record(_CLOSED_TO_ALL)
        await _warm_up(database.probe)
        yield service


async def _warm_up(probe: DatabaseProbe) -> None:
    """Connect before the first caller asks, whose budget a fresh connection may exceed.

    A database that does not answer delays the start by no more than this.
    """
    with suppress(SourceError, TimeoutError):
        async with asyncio.timeout(_WARM_UP_SECONDS):
            await probe.observe()


_CLOSED_TO_ALL: Final = Changed(
    subject="access",
    before="",
    after="degraded",
    detail="authorization is enabled and nobody can be recognised, so that every request"
    " for the status is answered 403: set TOKENS_FILE, JWT_KEY_FILE, JWT_JWKS_FILE or"
    " AUTHENTICATOR_CLASS",
)


class ServedApp:
    """The ASGI application that ``serve`` runs: the lean endpoints before the framework.

    The service is opened when the server starts the application, and closed when it stops it.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._service: HealthService | None = None
        entrance = Entrance(self._open, configuration.prefix)
        self._app: Final = documented(entrance)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await self._app(scope, receive, send)

    def drain(self) -> None:
        """Make readiness answer ``draining`` from now on."""
        if self._service is not None:
            self._service.drain()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[HealthService]:
        authenticator = build_authenticator(self._configuration, SystemClock())
        async with open_service(self._configuration, authenticator=authenticator) as service:
            self._service = service
            try:
                yield service
            finally:
                self._service = None


def create_app(configuration: Configuration | None = None) -> ServedApp:
    """Make the application, for any ASGI server.

    Args:
        configuration: all settings; read from the environment where it is not given.

    Raises:
        ConfigurationError: a setting cannot be had.
    """
    configuration = configuration or read_configuration(os.environ)
    check(configuration)
    return ServedApp(configuration)


def _refused(
    configuration: Configuration, setting: str, given: str, allowed: str
) -> ConfigurationError:
    origin = configuration.origin(setting)
    return ConfigurationError(origin.written, given, allowed, origin.place)


@contextmanager
def _as_written(configuration: Configuration) -> Iterator[None]:
    """Have an adapter's refusal name the setting as the user wrote it."""
    try:
        yield
    except ConfigurationError as error:
        problem = _refused(configuration, error.setting.lower(), error.given, error.allowed)
    else:
        return
    raise problem  # apart from the adapter's, whose traceback may hold the URL


def _target(configuration: Configuration) -> DatabaseTarget:
    if not configuration.database_url:
        allowed = "the URL of Tasker's database, as in postgresql://user:password@host/database"
        written = configuration.origin("database_url").written
        raise ConfigurationError(written, "missing", allowed)
    with _as_written(configuration):
        return parse_database_url(configuration.database_url)


def _open_database(configuration: Configuration, clock: Clock) -> Database:
    health = configuration.settings.health
    options = DatabaseOptions(
        target=_target(configuration),
        pool_size=configuration.pool_size,
        checkout_timeout_seconds=configuration.checkout_timeout_seconds,
        prepared_statements=configuration.prepared_statements,
        connect_timeout_seconds=configuration.connect_timeout_seconds,
        readiness_timeout_seconds=health.readiness_timeout_seconds,
        measurement_timeout_seconds=health.measurement_timeout_seconds,
    )
    with _as_written(configuration):
        return open_database(options, configuration.settings.database, clock)


def _cache_scheme(configuration: Configuration) -> str:
    scheme = configuration.cache_url.partition("://")[0].lower()
    if scheme in {"memory", "redis", "rediss", "unix"}:
        return scheme
    known = re.fullmatch(r"[a-z][a-z0-9+.-]{0,31}", scheme) and "://" in configuration.cache_url
    given = f"of scheme {scheme!r}" if known else ""
    later = f"; {scheme}:// is not built yet" if scheme in _NOT_YET else ""
    raise _refused(configuration, "cache_url", given, f"{_CACHES}{later}")


def _open_cache(
    configuration: Configuration, fingerprint: str, clock: Clock
) -> InMemoryStatusCache | RedisStatusCache:
    if _cache_scheme(configuration) == "memory":
        return InMemoryStatusCache(clock)
    # Who shares nothing does without the client, its memory and its time to import.
    from tasker_health.adapters.redis import open_redis_cache  # noqa: PLC0415

    with _as_written(configuration):
        return open_redis_cache(
            configuration.cache_url,
            key=fingerprint,
            timeout_seconds=configuration.settings.health.cache_timeout_seconds,
        )


def _coordinator(configuration: Configuration) -> Coordinator | type[BaseCoordinator]:
    path = configuration.settings.auth.authorization_coordinator_class
    origin = configuration.origin("authorization_coordinator_class")
    if not path:
        return PermissionCoordinator
    return load_coordinator(path, setting=origin.written, source=origin.place)


def _secrets(configuration: Configuration, target: DatabaseTarget) -> Iterator[str]:
    """Tell what must not be seen in any line of the log."""
    yield target.password
    for name in (target.user, target.database, *(host for host, _ in target.hosts)):
        yield from (f'"{name}"', f"'{name}'")  # as vendors write names into their errors
    yield configuration.database_url
    if _cache_scheme(configuration) != "memory":
        yield configuration.cache_url
        yield unquote(urlsplit(configuration.cache_url).password or "")

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
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from tasker_health.adapters.auth import HostUserAuthenticator
from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.meter import CountingMeter
from tasker_health.domain.errors import ConfigurationError, SourceError
from tasker_health.domain.events import Changed
from tasker_health.domain.service import CHECKS, HealthService
from tasker_health.entrypoints.authentication import (
    build_authenticator,
    knows_nobody,
    named_coordinator,
)
from tasker_health.entrypoints.caches import open_cache
from tasker_health.entrypoints.debugging import RequestLog
from tasker_health.entrypoints.environment import read_configuration
from tasker_health.entrypoints.lifespan import Entrance
from tasker_health.entrypoints.litestar import documented
from tasker_health.entrypoints.sources import (
    Sources,
    database_target,
    open_sources,
    open_tasker_database,
)
from tasker_health.entrypoints.watchers import check_watchers, open_watchers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from tasker_health.domain.checks import HealthCheck
    from tasker_health.domain.coordination import BaseCoordinator
    from tasker_health.domain.ports import (
        Authenticator,
        Coordinator,
        DatabaseProbe,
        Meter,
    )
    from tasker_health.entrypoints.asgi import Receive, Scope, Send
    from tasker_health.entrypoints.options import Configuration

__all__ = ["ServedApp", "check", "create_app", "open_service", "problems"]

_WARM_UP_SECONDS: Final = 0.5


def check(configuration: Configuration) -> None:
    """See that everything the settings name can be had, without opening any of it.

    Raises:
        ConfigurationError: it cannot; the setting is named as the user wrote it.
    """
    for problem in problems(configuration):
        raise problem


def problems(configuration: Configuration) -> Iterator[ConfigurationError]:
    """Tell everything that the settings name and that cannot be had, as :func:`check` sees it."""
    clock = SystemClock()
    parts: tuple[Callable[[], object], ...] = (
        lambda: database_target(configuration),
        lambda: build_authenticator(configuration, clock),
        lambda: named_coordinator(configuration),
        lambda: open_tasker_database(configuration, clock),
        lambda: open_cache(configuration, "", clock),
        lambda: check_watchers(configuration, clock),
        lambda: ServedApp(configuration),
    )
    told: set[str] = set()
    for part in parts:
        try:
            part()
        except ConfigurationError as error:
            if str(error) not in told:  # what needs the same setting says the same
                told.add(str(error))
                yield error


@asynccontextmanager
async def open_service(
    configuration: Configuration,
    *,
    authenticator: Authenticator | None = None,
    coordinator: Coordinator | type[BaseCoordinator] | None = None,
    checks: Sequence[HealthCheck] = (),
    sources: Sources | None = None,
    meter: Meter | None = None,
) -> AsyncIterator[HealthService]:
    """Open a service over what the settings name, and close all of it afterwards.

    Args:
        configuration: all settings.
        authenticator: tells who asks, in place of what the settings name. Where neither is
            given, it is whom the application that we are embedded in found.
        coordinator: tells who may, in place of what the settings name; an instance, or a
            subclass of BaseCoordinator itself.
        checks: what readiness asks besides the database and the cache.
        sources: opened already, by who closes them; None to open them here.
        meter: counts how answers come about; None for one of this service's own.

    Raises:
        ConfigurationError: on entering, as in :func:`check`.
    """
    clock = SystemClock()
    authenticator = authenticator or build_authenticator(
        configuration, clock, default=HostUserAuthenticator()
    )
    coordinator = coordinator or named_coordinator(configuration)
    async with AsyncExitStack() as stack:
        if sources is None:
            sources = await stack.enter_async_context(open_sources(configuration, clock=clock))
        journal, database = sources.journal, sources.database
        watched_by = open_watchers(
            configuration,
            fingerprint=database.fingerprint,
            clock=clock,
            journal=journal,
            redis=sources.redis,
        )
        stack.push_async_callback(watched_by.aclose)
        service = HealthService(
            tasker=database.tasker,
            probe=database.probe,
            clock=clock,
            journal=journal,
            authenticator=authenticator,
            coordinator=coordinator,
            checks=checks,
            cache=sources.cache,
            settings=configuration.settings,
            watchers=watched_by.watchers,
            meter=meter or CountingMeter((*CHECKS, *(n for check in checks for n in check.names))),
        )
        stack.push_async_callback(service.aclose)
        service.start()
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

    def __init__(self, configuration: Configuration, *, meter: Meter | None = None) -> None:
        self._configuration = configuration
        self._meter = meter
        self._service: HealthService | None = None
        entrance = Entrance(self._open, configuration.prefix)
        app = documented(entrance)
        self._seen: Final = (
            RequestLog(app, configuration.prefix) if configuration.debug_requests else None
        )
        self._app: Final = self._seen or app

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
        async with (
            open_sources(self._configuration) as sources,
            open_service(
                self._configuration,
                authenticator=authenticator,
                sources=sources,
                meter=self._meter,
            ) as service,
        ):
            self._service = service
            if self._seen is not None:
                self._seen.attach(sources.journal, sources.database.pool, sources.cache_kind)
            try:
                yield service
            finally:
                self._service = None


def create_app(
    configuration: Configuration | None = None, *, meter: Meter | None = None
) -> ServedApp:
    """Make the application, for any ASGI server.

    Args:
        configuration: all settings; read from the environment where it is not given.
        meter: counts how answers come about; None for one of the application's own.

    Raises:
        ConfigurationError: a setting cannot be had.
    """
    configuration = configuration or read_configuration(os.environ)
    check(configuration)
    return ServedApp(configuration, meter=meter)

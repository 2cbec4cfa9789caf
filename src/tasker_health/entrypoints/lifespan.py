"""Who opens the service: the embedder, or the application that serves it, as it starts.

An :class:`Entrance` is the one place that several doors share (the lean app and the
framework behind it): the service is opened when the first of them starts and closed when
the last of them stops.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from tasker_health.domain.service import HealthService
from tasker_health.entrypoints.http import HealthEndpoints, paths
from tasker_health.entrypoints.messages import (
    METHODS,
    Request,
    Response,
    for_method,
    no_metrics,
    not_found,
    unavailable,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Entrance", "Opener", "Source", "entrance"]

Opener = Callable[[], AbstractAsyncContextManager[HealthService]]
"""Makes a context manager that opens a service and closes it again."""


class Entrance:
    """The endpoints, over a service that is there already or is opened with the application.

    Args:
        service: a service, which whoever made it closes; or what opens one.
        prefix: what stands before ``/health`` and ``/metrics`` in every path.

    Raises:
        ConfigurationError: the prefix is no path.
    """

    def __init__(self, service: HealthService | Opener, prefix: str = "/tasker") -> None:
        self.prefix: Final = prefix
        self.paths: Final = paths(prefix)
        self.endpoints: HealthEndpoints | None = None
        self._opener: Opener | None = None
        self._held = 0
        self._stack = AsyncExitStack()
        if isinstance(service, HealthService):
            self.endpoints = HealthEndpoints(service, prefix)
        else:
            self._opener = service

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Hold the service open; a service that was there already is left as it is."""
        if self._opener is not None and not self._held:
            service = await self._stack.enter_async_context(self._opener())
            self.endpoints = HealthEndpoints(service, self.prefix)
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if self._opener is not None and not self._held:
                self.endpoints = None
                await self._stack.aclose()

    def has(self, path: str) -> bool:
        """Tell whether something stands at exactly this path; the checks' own, once opened."""
        return path in self.paths or (self.endpoints is not None and self.endpoints.has(path))

    async def answer(self, request: Request) -> Response:
        """Answer a request; while there is no service, say so."""
        if self.endpoints is not None:
            return await self.endpoints.answer(request)
        name = self.paths.get(request.path)
        if name is None or request.method not in METHODS:
            return not_found(request.method)
        return for_method(request.method, no_metrics()) if name == "metrics" else unavailable()


Source = HealthService | Opener | Entrance
"""What a door may stand before."""


def entrance(source: Source, prefix: str) -> Entrance:
    """Take an entrance as it is, or make one."""
    return source if isinstance(source, Entrance) else Entrance(source, prefix)

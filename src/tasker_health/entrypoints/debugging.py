"""The debug hook: a line in the log for every health request, while the setting asks for it.

It tells who asked, for which path, with which outcome and how long it took, how the pool
was then, and which kind of cache there is. The address is the connection's own peer: no
``Forwarded`` or ``X-Forwarded-For`` is believed, so that behind a proxy it is the proxy's.
Headers, query values and credentials are never looked at. Where the setting is off none of
this stands between the server and the endpoints.

Source: guide, *Health Check Debugging*.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.adapters.log import StructlogJournal
from tasker_health.domain.diagnosis import PoolState
from tasker_health.domain.events import Requested
from tasker_health.entrypoints.asgi import sent_path

if TYPE_CHECKING:
    from tasker_health.entrypoints.asgi import ASGIApp, Message, Receive, Scope, Send

__all__ = ["RequestLog"]

_NOT_ANSWERED: Final = 0


@attrs.frozen
class _Witness:
    journal: StructlogJournal
    pool: Callable[[], PoolState]
    cache: str


class RequestLog:
    """Stands before an application and writes down the health requests that pass.

    Args:
        app: what answers.
        prefix: what stands before ``/health`` in every path.
    """

    def __init__(self, app: ASGIApp, prefix: str = "/tasker") -> None:
        self._app: Final = app
        self._start: Final = f"{prefix}/health"
        self._metrics: Final = f"{prefix}/metrics"
        self._witness: _Witness | None = None

    def attach(self, journal: StructlogJournal, pool: Callable[[], PoolState], cache: str) -> None:
        """Say where to write, and what is looked at beside the request.

        Args:
            journal: takes the lines.
            pool: tells how the pool is at that moment.
            cache: the kind of the cache.
        """
        self._witness = _Witness(journal, pool, cache)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        witness = self._witness
        if witness is None or scope["type"] != "http" or not self._ours(sent_path(scope)):
            await self._app(scope, receive, send)
            return
        began, code = time.monotonic(), _NOT_ANSWERED

        async def seen(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            client = scope.get("client")
            witness.journal.note(
                Requested(
                    remote_address=str(client[0]) if client else "",
                    path=sent_path(scope),
                    code=code,
                    took_ms=(time.monotonic() - began) * 1000,
                    pool=witness.pool(),
                    cache=witness.cache,
                )
            )

    def _ours(self, path: str) -> bool:
        return path.startswith((f"{self._start}/", f"{self._metrics}/")) or path in {
            self._start,
            self._metrics,
        }

"""The lean ASGI application: the endpoints, and nothing between them and the server.

It stands alone, is mounted under any ASGI framework, or stands before one: what is not
exactly a path of the endpoints goes on to the ``fallback`` untouched.

Source: ASGI 3.0, *HTTP & WebSocket* and *Lifespan*.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from tasker_health.domain.errors import TaskerHealthError
from tasker_health.entrypoints.lifespan import entrance
from tasker_health.entrypoints.messages import Request, Response, not_found

if TYPE_CHECKING:
    from tasker_health.entrypoints.lifespan import Source

__all__ = ["ASGIApp", "HealthApp", "request_of", "sent_path"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class HealthApp:
    """Answers the endpoints itself and hands everything else on.

    Args:
        service: what answers; or what opens it as the application starts and closes it as
            it stops; or an entrance shared with another door.
        prefix: what stands before ``/health`` and ``/metrics``; an entrance has its own.
        fallback: gets every other path and every other kind of connection; None for 404.
    """

    def __init__(
        self, service: Source, prefix: str = "/tasker", fallback: ASGIApp | None = None
    ) -> None:
        self._entrance: Final = entrance(service, prefix)
        self._fallback: Final = fallback
        self._paths: Final = self._entrance.paths
        self._lives: Final = {path for path, name in self._entrance.paths.items() if name == "live"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = scope["type"]
        if kind == "http":
            path = sent_path(scope)
            if path in self._paths or self._entrance.has(path):
                await _respond(await self._answer(scope, path), send)
                return
        elif kind == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if self._fallback is not None:
            await self._fallback(scope, receive, send)
        elif kind == "http":
            await _respond(not_found(scope["method"]), send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, path: str) -> Response:
        """Answer; liveness by the short way, which makes no request of the connection."""
        endpoints = self._entrance.endpoints
        if path in self._lives and scope["method"] == "GET" and endpoints is not None:
            try:
                return endpoints.live()
            except Exception:  # noqa: BLE001  the long way knows what to do
                return await endpoints.answer(request_of(scope, path))
        return await self._entrance.answer(request_of(scope, path))

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open the service before the fallback starts, close it after the fallback stopped."""
        startup = await receive()
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._entrance.open())
            except TaskerHealthError as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            except Exception as error:
                await send(_broken("startup", error))
                raise
            if self._fallback is None:
                await _serve_lifespan(stack, receive, send)
            else:
                await self._fallback(scope, _replaying(startup, receive), _closing(stack, send))


def sent_path(scope: Scope) -> str:
    """Give the path as it was sent, still encoded, without what we are mounted at.

    A server that does not tell what was sent leaves only the decoded path.
    """
    raw: bytes | None = scope.get("raw_path")
    path: str = scope["path"] if raw is None else raw.decode("latin-1")
    mounted_at: str = scope.get("root_path", "")
    if not mounted_at:
        return path
    root = mounted_at.rstrip("/")
    return path[len(root) :] if path.startswith(f"{root}/") else path


def request_of(scope: Scope, path: str) -> Request:
    """Make a request out of a connection, and of whom a host's middleware found there."""
    return Request(
        scope["method"],
        path,
        scope.get("query_string", b"").decode("latin-1"),
        _headers(scope["headers"]),
        scope.get("user"),
    )


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Join what was sent more than once, so that nobody has to choose one of them."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name in headers:
            value = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{value}"
        headers[name] = value
    return headers


async def _respond(response: Response, send: Send) -> None:
    """Send a response; a caller who hung up meanwhile does not get it, and that is all."""
    try:
        await send(
            {
                "type": "http.response.start",
                "status": response.status,
                "headers": list(response.headers),
            }
        )
        await send({"type": "http.response.body", "body": response.body})
    except OSError:
        return


async def _serve_lifespan(stack: AsyncExitStack, receive: Receive, send: Send) -> None:
    await send({"type": "lifespan.startup.complete"})
    await receive()
    try:
        await stack.aclose()
    except Exception as error:
        await send(_broken("shutdown", error))
        raise
    await send({"type": "lifespan.shutdown.complete"})


def _broken(phase: str, error: Exception) -> Message:
    """Say that it failed; what a vendor wrote travels in the exception alone."""
    return {"type": f"lifespan.{phase}.failed", "message": type(error).__name__}


def _replaying(first: Message, receive: Receive) -> Receive:
    """Give the message that was already taken, then go on receiving."""
    taken = [first]

    async def replay() -> Message:
        return taken.pop() if taken else await receive()

    return replay


def _closing(stack: AsyncExitStack, send: Send) -> Send:
    """Close the service before the server hears that all has stopped."""

    async def close(message: Message) -> None:
        if message["type"] == "lifespan.shutdown.complete":
            await stack.aclose()
        await send(message)

    return close

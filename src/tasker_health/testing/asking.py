"""Requests to an ASGI application without a socket, a server or a client library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from tasker_health.entrypoints.asgi import ASGIApp

__all__ = ["Answer", "ask"]

_NO_HEADERS: Final[Mapping[str, str]] = {}


@attrs.frozen(kw_only=True)
class Answer:
    """What came back.

    Args:
        status_code: the code.
        headers: names in lower case.
        content: the body.
    """

    status_code: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """Read the body as JSON."""
        return json.loads(self.content)


async def ask(
    app: ASGIApp, path: str, *, method: str = "GET", headers: Mapping[str, str] = _NO_HEADERS
) -> Answer:
    """Ask once.

    Args:
        app: what is asked.
        path: as it would be sent, the query included.
        method: as it would be sent.
        headers: of the request.
    """
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(_scope(path, method, headers), receive, send)
    start, *bodies = sent
    return Answer(
        status_code=start["status"],
        headers={name.decode(): value.decode() for name, value in start["headers"]},
        content=b"".join(message["body"] for message in bodies),
    )


def _scope(path: str, method: str, headers: Mapping[str, str]) -> dict[str, Any]:
    target, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": target,
        "raw_path": target.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }

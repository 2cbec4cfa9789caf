"""Generated requests against the model of who gets what, as bytes over real connections.

Each deployment stands behind a real uvicorn, by all three doors: the lean application with
Litestar behind it, as ``serve`` runs it; the plugin in a Litestar application; and the lean
application mounted in another framework's.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
import uvicorn
from litestar import Litestar
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.access_model import Case, Deployment, Expected, Seen, Tally, cases, expected, health

from tasker_health.entrypoints.asgi import HealthApp
from tasker_health.entrypoints.litestar import TaskerHealthPlugin, documented

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytestmark = pytest.mark.anyio

CASES: Final = 12_000
CONNECTIONS: Final = 8
ACCESS_SECONDS: Final = 0.2
MOUNT: Final = "/mnt"
_SENDABLE: Final = re.compile(r"[!-~]+")
_TOKEN: Final = re.compile(r"[A-Za-z]+")
_REFUSED: Final = frozenset({400, 404, 405, 421, 501})


def _lean(deployment: Deployment) -> Any:
    service = health(deployment, timeout_seconds=ACCESS_SECONDS).service
    return documented(service, deployment.prefix)


def _plugin(deployment: Deployment) -> Any:
    service = health(deployment, timeout_seconds=ACCESS_SECONDS).service
    plugin = TaskerHealthPlugin(service, deployment.prefix)
    return Litestar(plugins=[plugin], openapi_config=None, logging_config=None)


def _mounted(deployment: Deployment) -> Any:
    service = health(deployment, timeout_seconds=ACCESS_SECONDS).service
    return Starlette(routes=[Mount(deployment.mount, app=HealthApp(service, deployment.prefix))])


DOORS: Final[Mapping[str, tuple[str, Callable[[Deployment], Any]]]] = {
    "lean": ("", _lean),
    "plugin": ("", _plugin),
    "mounted": (MOUNT, _mounted),
}


def _deployments(mount: str) -> list[Deployment]:
    switches = list(itertools.product((False, True), repeat=2))
    odd = [
        *(("raises", "shipped"), ("false", "shipped"), ("nobody", "true"), ("hangs", "true")),
        *(("desk", may) for may in ("one", "yes", "none", "raises", "hangs")),
    ]
    return [
        *(Deployment(required, enabled, "/tasker", mount) for required, enabled in switches),
        *(Deployment(True, True, "/tasker", mount, who, may) for who, may in odd),  # noqa: FBT003
    ]


class _Fleet:
    """One uvicorn for each deployment, in a thread with a loop of its own."""

    def __init__(self, apps: Mapping[Deployment, Any]) -> None:
        self._listeners = {deployment: _listen() for deployment in apps}
        self.ports: Final = {
            deployment: int(listener.getsockname()[1])
            for deployment, listener in self._listeners.items()
        }
        self._servers = [uvicorn.Server(_config(app)) for app in apps.values()]
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        async def serve() -> None:
            listeners = self._listeners.values()
            await asyncio.gather(
                *(
                    server.serve(sockets=[listener])
                    for server, listener in zip(self._servers, listeners, strict=True)
                )
            )

        asyncio.run(serve())

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve; connections wait in the backlog until it does."""
        self._thread.start()
        try:
            yield
        finally:
            for server in self._servers:
                server.should_exit = True
            self._thread.join(30)
            assert not self._thread.is_alive()


def _listen() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="none",
        timeout_keep_alive=120,  # a busy machine may let one of many connections wait long
        timeout_graceful_shutdown=2,
    )


@attrs.define
class _Connection:
    """A connection that is kept, and opened again when the server ended it."""

    port: int
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def ask(self, case: Case) -> Seen:
        """Send a request as bytes, and read the one response to it."""
        if self.reader is None or self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(_bytes(case))
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        code = int(first.split(" ")[1])
        body = b""
        if case.method != "HEAD" and code != 304:
            body = await self._body(headers)
        if headers.get("connection") == "close" or case.method == "CONNECT":
            await self.close()
        return Seen(code, headers, body)

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        assert self.reader is not None
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        body = b""
        while (size := int(await self.reader.readline(), 16)) > 0:
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return body

    async def close(self) -> None:
        """Hang up."""
        if self.writer is not None:
            self.writer.close()
            self.reader = self.writer = None


def _bytes(case: Case) -> bytes:
    target = f"{case.target}?{case.query}" if case.query else case.target
    names = {name.lower() for name, _ in case.headers}
    host = () if "host" in names else (("Host", "localhost"),)
    lines = [f"{case.method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in (*host, *case.headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _can_be_sent(case: Case) -> bool:
    """Leave out what is no HTTP at all: uvicorn does not let it through."""
    values = "".join(value for _, value in case.headers)
    return (
        case.raw
        and _SENDABLE.fullmatch(case.target) is not None
        and "http://" not in case.target
        and _TOKEN.fullmatch(case.method) is not None
        and "\x00" not in values
    )


def _as_sent(case: Case) -> Case:
    """A server takes the blanks around a header's value away."""
    return attrs.evolve(case, headers=tuple((n, v.strip()) for n, v in case.headers))


def _tolerant(case: Case, told: Expected, seen: Seen) -> Expected:
    """Let whoever stands before us refuse in its own words what nobody may have anyway."""
    if seen.code in _REFUSED and told.code in (404, 405):
        return attrs.evolve(told, code=seen.code)
    mount = case.deployment.mount
    if mount and not case.target.startswith(f"{mount}/") and seen.code == 404:
        return Expected(404)  # the framework takes what is not below its mount
    return told


@pytest.mark.parametrize("door", list(DOORS))
async def test_nothing_is_granted_or_denied_wrongly_over_sockets(door: str) -> None:
    """Four thousand requests by each door, sent as bytes, get exactly what the model says."""
    mount, make = DOORS[door]
    apps = {deployment: make(deployment) for deployment in _deployments(mount)}
    generated = cases(CASES, len(door), apps, slow_share=0.01)
    wanted = [_as_sent(case) for case in generated if _can_be_sent(case)]
    wanted = wanted[: CASES // len(DOORS)]
    assert len(wanted) == CASES // len(DOORS)
    fleet, tally = _Fleet(apps), Tally()
    with fleet.running():
        await asyncio.gather(
            *(_ask_in_turn(wanted[n::CONNECTIONS], fleet.ports, tally) for n in range(CONNECTIONS))
        )
    assert tally.wrong == {}, str(tally)
    assert tally.granted > CASES // 120
    assert tally.denied > CASES // 120


async def _ask_in_turn(wanted: list[Case], ports: Mapping[Deployment, int], tally: Tally) -> None:
    connections = {deployment: _Connection(port) for deployment, port in ports.items()}
    try:
        async with asyncio.timeout(60):
            for case in wanted:
                seen = await connections[case.deployment].ask(case)
                tally.note(case, _tolerant(case, expected(case), seen), seen)
    finally:
        for connection in connections.values():
            await connection.close()

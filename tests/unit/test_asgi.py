"""The lean ASGI application: exact paths, mounting, lifespan, fallback."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tasker_health.domain.errors import ConfigurationError
from tasker_health.entrypoints.asgi import HealthApp, request_of, sent_path
from tasker_health.entrypoints.lifespan import Entrance
from tasker_health.testing.services import InMemoryHealth

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping

    from tasker_health.domain.service import HealthService
    from tasker_health.entrypoints.asgi import ASGIApp, Receive, Scope, Send

pytestmark = pytest.mark.anyio


def http_scope(path: str, **more: Any) -> dict[str, Any]:
    """A connection as a server hands it over."""
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        **more,
    }


async def call(app: ASGIApp, scope: Scope, *received: str) -> list[MutableMapping[str, Any]]:
    """Run one connection and give what was sent."""
    sent: list[MutableMapping[str, Any]] = []
    waiting = [{"type": kind} for kind in received]

    async def receive() -> MutableMapping[str, Any]:
        return waiting.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


async def status_of(app: ASGIApp, path: str, **more: Any) -> int:
    """Ask and give the code."""
    sent = await call(app, http_scope(path, **more))
    code: int = sent[0]["status"]
    return code


class Host:
    """An application that answers everything with 418, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        self.asked.append(scope.get("path", scope["type"]))
        if scope["type"] == "lifespan":
            self.asked.append((await receive())["type"])
            await send({"type": "lifespan.startup.complete"})
            self.asked.append((await receive())["type"])
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 418, "headers": []})
            await send({"type": "http.response.body", "body": b""})


class Opening:
    """Opens a service, and notes that it did."""

    def __init__(self, broken: Exception | None = None, stuck: Exception | None = None) -> None:
        self.broken = broken
        self.stuck = stuck
        self.seen: list[str] = []

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[HealthService]:
        """Open."""
        if self.broken is not None:
            raise self.broken
        self.seen.append("opened")
        async with InMemoryHealth().service as service:
            yield service
        self.seen.append("closed")
        if self.stuck is not None:
            raise self.stuck


@pytest.mark.parametrize("name", ["live", "ready", "status"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_endpoints_answer(name: str, slash: str) -> None:
    """Each endpoint answers at its path, with and without a slash at the end."""
    app = HealthApp(InMemoryHealth().service)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        response = await client.get(f"http://health/tasker/health/{name}{slash}")

    assert response.status_code == 200
    assert response.headers["content-length"] == str(len(response.content))
    assert response.json()["timestamp"] == "2025-06-18T15:30:00Z"


async def test_head_and_options_of_live() -> None:
    """The short way of liveness is GET's alone; the other methods get their own answers."""
    app = HealthApp(InMemoryHealth().service)
    head = await call(app, http_scope("/tasker/health/live", method="HEAD"))
    options = await call(app, http_scope("/tasker/health/live", method="OPTIONS"))

    assert head[0]["status"] == options[0]["status"] == 200
    assert head[1]["body"] == options[1]["body"] == b""
    assert (b"allow", b"GET, HEAD, OPTIONS") in options[0]["headers"]
    assert await status_of(app, "/tasker/health/live", method="POST") == 405


@pytest.mark.parametrize(
    ("path", "raw_path"),
    [
        ("/tasker/health/live", b"/tasker%2Fhealth/live"),
        ("/tasker/health/live", b"/tasker/health/liv%65"),
        ("/tasker/health/live", b"//tasker/health/live"),
        ("/tasker/health/live", b"/tasker/health/x/../live"),
        ("//tasker/health/live", b"//tasker/health/live"),
        ("/tasker/health/\xff", b"/tasker/health/\xff"),
    ],
)
async def test_what_was_sent_is_what_counts(path: str, raw_path: bytes) -> None:
    """A path that only looks like ours once it is decoded is not ours."""
    app = HealthApp(InMemoryHealth().service)

    assert await status_of(app, path, raw_path=raw_path) == 404


async def test_a_server_that_does_not_tell_what_was_sent() -> None:
    """Without the raw path the decoded one counts."""
    app = HealthApp(InMemoryHealth().service)

    assert await status_of(app, "/tasker/health/live", raw_path=None) == 200
    assert await status_of(app, "//tasker/health/live", raw_path=None) == 404


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("/ops/tasker/health/live", "/ops", "/tasker/health/live"),
        ("/ops/tasker/health/live", "/ops/", "/tasker/health/live"),
        ("/tasker/health/live", "/ops", "/tasker/health/live"),
        ("/opsy/live", "/ops", "/opsy/live"),
        ("/ops", "/ops", "/ops"),
        ("/tasker/health/live", "", "/tasker/health/live"),
        ("/tasker/health/live", "/", "/tasker/health/live"),
    ],
)
def test_what_we_are_mounted_at_is_taken_off(path: str, root: str, expected: str) -> None:
    """The part of a path that leads to the application is not its own."""
    assert sent_path(http_scope(path, root_path=root)) == expected


async def test_mounted_under_another_framework() -> None:
    """Under Starlette the endpoints stand where they are mounted, and nowhere else."""
    outer = Starlette(routes=[Mount("/ops", HealthApp(InMemoryHealth().service))])

    for path, code in {
        "/ops/tasker/health/live": 200,
        "/ops/tasker/health/ready/": 200,
        "/tasker/health/live": 404,
        "/ops/ops/tasker/health/live": 404,
        "/ops//tasker/health/live": 404,
        "/ops/health/live": 404,
    }.items():
        assert await status_of(outer, path) == code, path


async def test_everything_else_is_the_hosts() -> None:
    """What is not exactly ours goes on to the fallback, whatever kind of connection it is."""
    host = Host()
    app = HealthApp(InMemoryHealth().service, fallback=host)

    assert await status_of(app, "/tasker/health/live") == 200
    assert await status_of(app, "/tasker/health/other") == 418
    assert await status_of(app, "/tasker/health/live/", raw_path=b"/tasker/health/live%2F") == 418
    await call(app, {"type": "websocket", "path": "/chat"})
    assert host.asked == ["/tasker/health/other", "/tasker/health/live/", "/chat"]


async def test_other_connections_without_a_host() -> None:
    """Alone, a web socket is closed and an unknown kind of connection is passed over."""
    app = HealthApp(InMemoryHealth().service)

    assert await call(app, {"type": "websocket", "path": "/"}) == [
        {"type": "websocket.close", "code": 1000}
    ]
    assert await call(app, {"type": "unheard of"}) == []


async def test_the_service_lives_as_long_as_the_application() -> None:
    """A service that is opened with the application is closed before its end is told."""
    opening = Opening()
    app = HealthApp(opening)
    sent = await call(app, {"type": "lifespan"}, "lifespan.startup", "lifespan.shutdown")

    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert opening.seen == ["opened", "closed"]


async def test_the_service_outlives_the_host() -> None:
    """With a fallback, the service is there when it starts and until it has stopped."""
    opening, host = Opening(), Host()
    app = HealthApp(opening, fallback=host)
    sent = await call(app, {"type": "lifespan"}, "lifespan.startup", "lifespan.shutdown")

    assert host.asked == ["lifespan", "lifespan.startup", "lifespan.shutdown"]
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert opening.seen == ["opened", "closed"]


async def test_a_service_that_was_there_already_is_left_open() -> None:
    """Starting and stopping the application does not close what its maker opened."""
    app = HealthApp(InMemoryHealth().service)
    await call(app, {"type": "lifespan"}, "lifespan.startup", "lifespan.shutdown")

    assert await status_of(app, "/tasker/health/live") == 200


async def test_an_entrance_is_opened_once() -> None:
    """Doors that share an entrance share its service, until the last of them is shut."""
    opening = Opening()
    shared = Entrance(opening, "/x")
    app = HealthApp(shared)
    async with shared.open():
        async with shared.open():
            pass
        assert opening.seen == ["opened"]
        assert await status_of(app, "/x/health/live") == 200
    assert opening.seen == ["opened", "closed"]


async def test_before_the_service_is_there() -> None:
    """While there is no service the endpoints say 503, and other paths are still 404."""
    app = HealthApp(Opening())

    for name in ("live", "ready", "status"):
        assert await status_of(app, f"/tasker/health/{name}") == 503
    assert await status_of(app, "/tasker/health/live", method="POST") == 404
    assert await status_of(app, "/other") == 404


async def test_the_checks_have_paths_once_the_service_is_there() -> None:
    """A check's path is the fallback's until the service that has the check is open."""
    shared, host = Entrance(Opening()), Host()
    app = HealthApp(shared, fallback=host)

    assert await status_of(app, "/tasker/health/ready/database") == 418
    async with shared.open():
        assert await status_of(app, "/tasker/health/ready/database") == 200
        assert await status_of(app, "/tasker/health/ready/cache/") == 200
        assert await status_of(app, "/tasker/health/ready/nonsense") == 418
        assert await status_of(app, "/tasker/health/ready//database") == 418
    assert await status_of(app, "/tasker/health/ready/database") == 418


async def test_a_setting_that_cannot_be_had_is_told() -> None:
    """A start that a setting prevents is told in its words, without a traceback."""
    app = HealthApp(Opening(broken=ConfigurationError("database_url", "", "a URL")))
    sent = await call(app, {"type": "lifespan"}, "lifespan.startup")

    assert sent == [
        {"type": "lifespan.startup.failed", "message": "database_url: allowed is a URL"}
    ]


async def test_a_start_that_fails_says_no_vendors_words() -> None:
    """Any other failure to start is raised, and its words are not sent."""
    app = HealthApp(Opening(broken=RuntimeError("hunter2")))
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    with pytest.raises(RuntimeError, match="hunter2"):
        await app({"type": "lifespan"}, receive, send)
    assert sent == [{"type": "lifespan.startup.failed", "message": "RuntimeError"}]


async def test_an_end_that_fails_is_told() -> None:
    """A service that cannot be closed ends the application with a failure."""
    app = HealthApp(Opening(stuck=RuntimeError("hunter2")))
    sent: list[MutableMapping[str, Any]] = []
    waiting = ["lifespan.startup", "lifespan.shutdown"]

    async def receive() -> MutableMapping[str, Any]:
        return {"type": waiting.pop(0)}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    with pytest.raises(RuntimeError):
        await app({"type": "lifespan"}, receive, send)
    assert sent[-1] == {"type": "lifespan.shutdown.failed", "message": "RuntimeError"}


async def test_a_caller_who_hangs_up() -> None:
    """A caller who is gone before the answer is there does no harm."""

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_: MutableMapping[str, Any]) -> None:
        raise ConnectionResetError

    app = HealthApp(InMemoryHealth().service)
    await app(http_scope("/tasker/health/status"), receive, send)


async def test_liveness_survives_a_broken_clock() -> None:
    """The short way of liveness falls back on the long one, which knows what to do."""

    class Broken:
        def now(self) -> Any:
            raise OSError

        def monotonic(self) -> float:
            return 0.0

    health = InMemoryHealth()
    health.service._clock = Broken()

    assert await status_of(HealthApp(health.service), "/tasker/health/live") == 200


def test_what_was_sent_twice_is_joined() -> None:
    """A header that was sent twice is one value, so that nobody picks the one they like."""
    request = request_of(
        http_scope(
            "/",
            query_string=b"a=1",
            headers=[
                (b"Authorization", b"Bearer a"),
                (b"authorization", b"Bearer b"),
                (b"cookie", b"a=1"),
                (b"cookie", b"b=2"),
            ],
            user="alice",
        ),
        "/x",
    )

    assert (request.method, request.path, request.query, request.user) == (
        "GET",
        "/x",
        "a=1",
        "alice",
    )
    assert request.headers == {"authorization": "Bearer a, Bearer b", "cookie": "a=1; b=2"}

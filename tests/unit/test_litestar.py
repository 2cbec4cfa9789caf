"""The endpoints in a Litestar application: the lean application's answers, the host's life."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar import Litestar, get
from litestar.exceptions import NotAuthorizedException
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.middleware.base import DefineMiddleware

from tasker_health.domain.checks import HealthCheck
from tasker_health.domain.permissions import METRICS_INDEX, STATUS_INDEX, Principal
from tasker_health.domain.settings import AuthSettings, HealthSettings, Settings
from tasker_health.entrypoints.asgi import HealthApp
from tasker_health.entrypoints.litestar import TaskerHealthPlugin, documented
from tasker_health.testing.services import InMemoryHealth

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from litestar.connection import ASGIConnection

    from tasker_health.domain.permissions import Credentials
    from tasker_health.domain.ports import User
    from tasker_health.domain.service import HealthService

pytestmark = pytest.mark.anyio

PATHS = (
    *("health/live", "health/ready", "health/status", "metrics"),
    *("health/live/", "health/ready/", "health/status/", "metrics/"),
    *("health/ready/database", "health/ready/cache", "health/ready/database/"),
    "health/ready/payments",
)
ACCEPTS = (
    *("", "*/*", "application/json", "image/png", "nonsense"),
    *("text/plain", "application/health+json", "application/openmetrics-text"),
)
QUERIES = (
    *("", "?fail_on=unhealthy", "?fail_on=degraded", "?fail_on=x", "?x=%ff"),
    *("?verbose", "?exclude=cache", "?exclude=x&verbose=1", "?exclude=database&exclude=payments"),
)
NAMES = ("", "alice", "bob")
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE")


class HostsUser:
    """Knows whom the host application found."""

    async def authenticate(self, credentials: Credentials) -> User | None:
        """Take the host's word for it."""
        return credentials.user if isinstance(credentials.user, Principal) else None


def litestar_app(service: Any, **more: Any) -> Litestar:
    """A host application with the plugin."""
    more.setdefault("plugins", [TaskerHealthPlugin(service)])
    return Litestar(logging_config=None, openapi_config=None, **more)


def client(app: Any) -> httpx.AsyncClient:
    """A client without a socket."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://health")


async def raw_status(app: Any, **more: Any) -> int:
    """Ask as a server does, of an HTTP/1.0 client that names no host, and give the code."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    asked = {"type": "http", "http_version": "1.0", "method": "GET", "query_string": b""}
    await app({**asked, "headers": [], **more}, receive, send)
    code: int = sent[0]["status"]
    return code


class ByName:
    """Knows alice, who may, and bob, who may not."""

    async def authenticate(self, credentials: Credentials) -> User | None:
        """Look at the header."""
        name = credentials.headers.get("x-name", "")
        permissions = frozenset({STATUS_INDEX, METRICS_INDEX}) if name == "alice" else frozenset()
        return Principal(name=name, permissions=permissions) if name else None


async def pay() -> None:
    """Check what the embedder depends on."""


@pytest.mark.parametrize("protected", [False, True])
async def test_same_answer_as_the_lean_application(protected: bool) -> None:
    """Litestar's door gives the lean one's answer, byte for byte, header for header."""
    health = InMemoryHealth(
        settings=Settings(
            health=HealthSettings(
                readiness_timeout_seconds=30, status_requires_authentication=protected
            ),
            auth=AuthSettings(authorization_enabled=protected),
        ),
        authenticator=ByName(),
        checks=[HealthCheck.single("payments", pay)],
    )
    lean, full = HealthApp(health.service), litestar_app(health.service)
    async with client(lean) as short, client(full) as long:
        await short.get("/tasker/health/status", headers={"x-name": "alice"})
        await same_answers(short, long)


async def same_answers(short: httpx.AsyncClient, long: httpx.AsyncClient) -> None:
    """Draw requests and compare both doors' answers."""
    requests = st.tuples(
        st.sampled_from(METHODS),
        st.sampled_from(PATHS),
        st.sampled_from(QUERIES),
        st.sampled_from(ACCEPTS),
        st.sampled_from(["", "*", 'W/"x"']),
        st.sampled_from(NAMES),
    )
    seen: list[tuple[str, ...]] = []

    @settings(max_examples=300)
    @given(requests)
    def collect(request: tuple[str, ...]) -> None:
        seen.append(request)

    collect()
    for method, path, query, accept, known, name in seen:
        url = f"/tasker/{path}{query}"
        headers = {"accept": accept, **({"if-none-match": known} if known else {}), "x-name": name}
        one = await short.request(method, url, headers=headers)
        other = await long.request(method, url, headers=headers)
        assert (one.status_code, one.headers.raw, one.content) == (
            other.status_code,
            other.headers.raw,
            other.content,
        ), (method, url, headers)


@pytest.mark.parametrize(
    "raw_path",
    [
        b"//tasker/health/status",
        b"/tasker//health/status",
        b"/tasker%2Fhealth/status",
        b"/tasker/health/statu%73",
        b"/tasker/health/status//",
        b"/TASKER/health/status",
        b"/tasker/health/./status",
        b"/tasker/health/ready/databas%65",
        b"/tasker/health/ready//database",
        b"/tasker/health/ready%2Fdatabase",
        b"/tasker/health/ready/Database",
        b"/tasker/health/ready/nonsense",
        b"/tasker/health/ready/x/database",
    ],
)
async def test_nothing_but_the_exact_paths(raw_path: bytes) -> None:
    """What Litestar would route to us although it was sent otherwise is 404."""
    health = InMemoryHealth()
    path = unquote_to_bytes(raw_path).decode()

    assert await raw_status(litestar_app(health.service), path=path, raw_path=raw_path) == 404
    assert health.tasker.views == health.probe.observations == 0


@pytest.mark.parametrize("method", METHODS)
async def test_an_unknown_check_is_any_unknown_path_of_the_hosts(method: str) -> None:
    """Nobody can tell a check that is not there from a path that the host does not have."""
    app = litestar_app(InMemoryHealth(settings=PROTECTED).service)
    async with client(app) as asking:
        unknown = await asking.request(method, "/tasker/health/ready/nonsense")
        other = await asking.request(method, "/tasker/health/nonsense")

    assert (unknown.status_code, unknown.headers.raw, unknown.content) == (
        404,
        other.headers.raw,
        other.content,
    )


async def test_a_hosts_route_among_the_checks_stays_the_hosts() -> None:
    """A route of the host beside the checks answers as before."""

    @get("/tasker/health/ready/mine", sync_to_thread=False)
    def mine() -> str:
        return "mine"

    app = litestar_app(InMemoryHealth().service, route_handlers=[mine])
    async with client(app) as asking:
        assert (await asking.get("/tasker/health/ready/mine")).text == "mine"
        assert (await asking.get("/tasker/health/ready/cache")).status_code == 200


async def test_an_old_client_without_a_host() -> None:
    """HTTP/1.0 without a Host header gets its answer."""
    app = litestar_app(InMemoryHealth().service)

    assert await raw_status(app, path="/tasker/health/ready") == 200


async def test_the_hosts_routes_stay_the_hosts() -> None:
    """A route of the host under the same prefix answers as before."""

    @get("/tasker/health/mine", sync_to_thread=False)
    def mine() -> str:
        return "mine"

    app = litestar_app(InMemoryHealth().service, route_handlers=[mine])
    async with client(app) as asking:
        assert (await asking.get("/tasker/health/mine")).text == "mine"
        assert (await asking.get("/tasker/health/other")).status_code == 404
        assert (await asking.get("/tasker/health/live")).status_code == 200


class ByHeader(AbstractAuthenticationMiddleware):
    """The host's own authentication."""

    async def authenticate_request(
        self, connection: ASGIConnection[Any, Any, Any, Any]
    ) -> AuthenticationResult:
        """Know alice and bob; refuse everybody else."""
        name = connection.headers.get("x-name")
        if name is None:
            raise NotAuthorizedException
        permissions = frozenset({STATUS_INDEX}) if name == "alice" else frozenset()
        return AuthenticationResult(user=Principal(name=name, permissions=permissions), auth=None)


PROTECTED = Settings(
    health=HealthSettings(status_requires_authentication=True),
    auth=AuthSettings(authorization_enabled=True),
)


async def test_the_hosts_user_is_whom_the_status_asks_about() -> None:
    """Whom the host's middleware found is granted or denied; probes ask nobody."""
    health = InMemoryHealth(settings=PROTECTED, authenticator=HostsUser())
    app = litestar_app(health.service, middleware=[DefineMiddleware(ByHeader)])
    async with client(app) as asking:
        for name, code in {"alice": 200, "bob": 403}.items():
            response = await asking.get("/tasker/health/status", headers={"x-name": name})
            assert response.status_code == code
        assert (await asking.get("/tasker/health/status")).status_code == 401
        assert (await asking.get("/tasker/health/live")).status_code == 200
        assert (await asking.get("/tasker/health/ready")).status_code == 200


async def test_the_hosts_user_is_whom_one_check_asks_about() -> None:
    """One check alone asks about the host's user, and readiness never makes the host ask."""
    health = InMemoryHealth(settings=PROTECTED, authenticator=HostsUser())
    app = litestar_app(health.service, middleware=[DefineMiddleware(ByHeader)])
    async with client(app) as asking:
        for name, code in {"alice": 200, "bob": 403}.items():
            sent = {"x-name": name}
            one = await asking.get("/tasker/health/ready/database", headers=sent)
            assert one.status_code == code
            assert (await asking.get("/tasker/health/ready", headers=sent)).status_code == 200
            detail = await asking.get("/tasker/health/ready?verbose", headers=sent)
            assert detail.status_code == 401
        assert (await asking.get("/tasker/health/ready/database")).status_code == 401


async def test_without_authentication_nobody_is_known() -> None:
    """In a host without authentication a protected status is 401, not a failure."""
    health = InMemoryHealth(settings=PROTECTED, authenticator=HostsUser())
    async with client(litestar_app(health.service)) as asking:
        response = await asking.get("/tasker/health/status")

    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"


async def test_the_service_lives_as_long_as_the_host() -> None:
    """A service that the plugin opens is there while the application runs, and closed after."""
    seen: list[str] = []

    @asynccontextmanager
    async def opening() -> AsyncIterator[HealthService]:
        seen.append("opened")
        async with InMemoryHealth().service as service:
            yield service
        seen.append("closed")

    app = litestar_app(opening, plugins=[TaskerHealthPlugin(opening, "/x")])
    async with client(app) as asking:
        assert (await asking.get("/x/health/live")).status_code == 503
        async with app.lifespan():
            assert (await asking.get("/x/health/live")).status_code == 200
            assert seen == ["opened"]
    assert seen == ["opened", "closed"]


async def test_the_served_application() -> None:
    """What is not an endpoint and not the description is a problem document."""
    async with client(documented(InMemoryHealth().service)) as asking:
        live = await asking.get("/tasker/health/live")
        other = await asking.get("/tasker/health/other")
        wrong = await asking.post("/tasker/openapi.json")
        page = await asking.get("/schema")

    assert live.status_code == 200
    assert (other.status_code, wrong.status_code, page.status_code) == (404, 405, 404)
    assert other.headers["content-type"] == "application/problem+json"
    assert other.json()["status"] == 404

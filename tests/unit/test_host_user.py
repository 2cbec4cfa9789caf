"""The host application's user: whom its own middleware found is whom the status is asked by."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import attrs
import httpx
import pytest
from litestar import Litestar, Request, get, post
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.middleware.base import DefineMiddleware
from litestar.middleware.session.server_side import (
    ServerSideSessionBackend,
    ServerSideSessionConfig,
)
from litestar.security.session_auth import SessionAuth
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.routing import Mount

from tasker_health import (
    AuthSettings,
    ConfigurationError,
    Credentials,
    HealthSettings,
    Principal,
    Settings,
    open_service,
    read_configuration,
)
from tasker_health.adapters.auth import AnonymousAuthenticator, HostUserAuthenticator
from tasker_health.entrypoints.asgi import HealthApp
from tasker_health.entrypoints.litestar import TaskerHealthPlugin
from tasker_health.testing import (
    InMemoryHealth,
    TestAuthenticator,
    admin_user,
    auth_headers,
    user_with_permission,
    user_without_permissions,
)
from tasker_health.testing.contracts import AuthenticatorContract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from litestar.connection import ASGIConnection
    from starlette.requests import HTTPConnection

    from tasker_health.domain.ports import Authenticator

pytestmark = pytest.mark.anyio

READY, LIVE, STATUS = (f"/tasker/health/{name}" for name in ("ready", "live", "status"))
INDEX = "tasker.health_status:index"
AUTHORIZED = Settings(
    auth=AuthSettings(authorization_enabled=True, access_timeout_seconds=0.2),
)
REQUIRED = Settings(health=HealthSettings(status_requires_authentication=True))
CLOSED = attrs.evolve(AUTHORIZED, health=REQUIRED.health)


def client(app: Any) -> httpx.AsyncClient:
    """A client without a socket that keeps its cookies."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://host")


class Asynchronous:
    """A user of the host's whose answers come from its database."""

    @property
    async def tasker_admin(self) -> bool:
        """Tell later."""
        await asyncio.sleep(0)
        return False

    async def has_tasker_permission(self, permission: str) -> bool:
        """Tell later."""
        await asyncio.sleep(0)
        return permission == INDEX


class Stranger:
    """A user of a host that never heard of Tasker."""

    tasker_admin = True


class Broken:
    """A user that cannot be asked."""

    @property
    def tasker_admin(self) -> bool:
        """Fail."""
        raise LookupError

    def has_tasker_permission(self, permission: str) -> bool:
        """Grant what nobody gets to ask for."""
        return bool(permission)


class Hanging:
    """A user whose database hangs."""

    tasker_admin = False

    async def has_tasker_permission(self, permission: str) -> bool:
        """Never tell."""
        await asyncio.Event().wait()
        return bool(permission)


@attrs.frozen
class Telling:
    """A user that says whether it is anybody."""

    is_authenticated: object
    tasker_admin: bool = True

    def has_tasker_permission(self, permission: str) -> bool:
        """Grant."""
        return bool(permission)


class Lost:
    """A user that fails to say whether it is anybody, in the way that looks like absence."""

    tasker_admin = True

    @property
    def is_authenticated(self) -> bool:
        """Fail."""
        raise AttributeError("session")

    def has_tasker_permission(self, permission: str) -> bool:
        """Grant."""
        return bool(permission)


async def _later(answer: object) -> object:
    return answer


PEOPLE: dict[str, tuple[Callable[[], object], int, int, int]] = {
    "permitted": (lambda: user_with_permission(INDEX), 200, 200, 200),
    "admin": (admin_user, 200, 200, 200),
    "asynchronous": (Asynchronous, 200, 200, 200),
    "without": (user_without_permissions, 403, 200, 403),
    "other": (lambda: user_with_permission("tasker.metrics:index"), 403, 200, 403),
    "stranger": (Stranger, 403, 200, 403),
    "name": (lambda: "alice", 403, 200, 403),
    "claims": (lambda: {"sub": "alice"}, 403, 200, 403),
    "broken": (Broken, 403, 200, 403),
    "hanging": (Hanging, 403, 200, 403),
    "somebody": (lambda: Telling(is_authenticated=True), 200, 200, 200),
    "by-method": (lambda: Telling(is_authenticated=lambda: True), 200, 200, 200),
    "by-coroutine": (lambda: Telling(is_authenticated=lambda: _later(True)), 200, 200, 200),  # noqa: FBT003
    "nobody": (lambda: Telling(is_authenticated=False), 403, 401, 401),
    "nobody-by-method": (lambda: Telling(is_authenticated=lambda: False), 403, 401, 401),
    "truthy": (lambda: Telling(is_authenticated="yes"), 403, 401, 401),
    "none": (lambda: None, 403, 401, 401),
    "false": (lambda: False, 403, 401, 401),
    "empty": (lambda: "", 403, 401, 401),
    "lost": (Lost, 503, 503, 503),
}
"""Whom the host may find, and the code under authorization, authentication, and both."""


class ByHeader(AbstractAuthenticationMiddleware):
    """A host's own middleware, which lets the anonymous pass."""

    async def authenticate_request(
        self, connection: ASGIConnection[Any, Any, Any, Any]
    ) -> AuthenticationResult:
        """Find the user that the token's payload names, as one would behind a gateway."""
        token = connection.headers.get("x-token", "")
        name = json.loads(base64.b64decode(token))["sub"] if token else "none"
        return AuthenticationResult(user=PEOPLE[name][0](), auth=token)


def token(name: str) -> dict[str, str]:
    """Make the header that the host's middleware reads."""
    return {"x-token": base64.b64encode(json.dumps({"sub": name}).encode()).decode()}


def host(health: InMemoryHealth) -> Litestar:
    """A Litestar application with a middleware of its own and the plugin."""
    return Litestar(
        plugins=[TaskerHealthPlugin(health.service)],
        middleware=[DefineMiddleware(ByHeader)],
        logging_config=None,
        openapi_config=None,
    )


@pytest.mark.parametrize("name", PEOPLE)
async def test_whom_a_litestar_host_found(name: str) -> None:
    """Each kind of user gets the code of the table; probes never ask."""
    for settings, code in zip((AUTHORIZED, REQUIRED, CLOSED), PEOPLE[name][1:], strict=True):
        async with client(host(InMemoryHealth(settings=settings))) as asking:
            response = await asking.get(STATUS, headers=token(name))
            assert response.status_code == code, settings
            assert ("system_health" in response.json()) is (code == 200)
            for path in (READY, LIVE):
                assert (await asking.get(path, headers=token(name))).status_code == 200


async def test_an_open_status_asks_no_user() -> None:
    """Without any protection the host's user is not even looked at."""
    async with client(host(InMemoryHealth())) as asking:
        assert (await asking.get(STATUS, headers=token("lost"))).status_code == 200


async def test_an_authenticator_of_the_services_own_comes_before_the_host() -> None:
    """Who configured one is not overruled by what a middleware found."""
    alice = user_with_permission(INDEX)
    health = InMemoryHealth(settings=CLOSED, authenticator=TestAuthenticator(alice))
    async with client(host(health)) as asking:
        assert (await asking.get(STATUS, headers=token("admin"))).status_code == 401
        assert (await asking.get(STATUS, headers=auth_headers(alice))).status_code == 200
    closed = InMemoryHealth(settings=CLOSED, authenticator=AnonymousAuthenticator())
    async with client(host(closed)) as asking:
        assert (await asking.get(STATUS, headers=token("admin"))).status_code == 401


async def test_a_litestar_session() -> None:
    """Somebody who logged in to the host sees the status, until they log out."""

    @post("/login")
    async def login(request: Request[Any, Any, Any]) -> None:
        request.set_session({"name": request.query_params["name"]})

    @get("/logout")
    async def logout(request: Request[Any, Any, Any]) -> None:
        request.clear_session()

    def user_of(session: dict[str, Any], _: object) -> object:
        return PEOPLE[session["name"]][0]() if session.get("name") else None

    sessions = SessionAuth[Any, ServerSideSessionBackend](
        retrieve_user_handler=user_of,
        session_backend_config=ServerSideSessionConfig(),
        exclude=["/login"],
    )
    app = Litestar(
        [login, logout],
        plugins=[TaskerHealthPlugin(InMemoryHealth(settings=CLOSED).service)],
        on_app_init=[sessions.on_app_init],
        logging_config=None,
        openapi_config=None,
    )
    async with client(app) as asking:
        codes = [(await asking.get(STATUS)).status_code]
        for name in ("without", "permitted"):
            await asking.post(f"/login?name={name}")
            codes.append((await asking.get(STATUS)).status_code)
        await asking.get("/logout")
        codes.append((await asking.get(STATUS)).status_code)
        probes = [(await asking.get(path)).status_code for path in (READY, LIVE)]
    assert codes == [401, 403, 200, 401]
    assert probes == [200, 200]


class ByName(AuthenticationBackend):
    """How a Starlette application finds its user."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        """Know whoever has a name; Starlette fills in its own nobody."""
        name = conn.headers.get("x-name")
        if name is None:
            return None
        user: Any = PEOPLE[name][0]() if name in PEOPLE else SimpleUser(name)
        return AuthCredentials(), user


@pytest.mark.parametrize(
    ("name", "code"),
    [(None, 401), ("permitted", 200), ("admin", 200), ("without", 403), ("somebody-else", 403)],
)
async def test_whom_starlettes_middleware_found(name: str | None, code: int) -> None:
    """Mounted under Starlette, its user is asked; its nobody is nobody."""
    app = Starlette(
        routes=[Mount("/", HealthApp(InMemoryHealth(settings=CLOSED).service))],
        middleware=[Middleware(AuthenticationMiddleware, backend=ByName())],
    )
    async with client(app) as asking:
        headers = {"x-name": name} if name else {}
        assert (await asking.get(STATUS, headers=headers)).status_code == code
        assert (await asking.get(READY, headers=headers)).status_code == 200


def variables(tmp_path: Path, **more: str) -> dict[str, str]:
    """An environment with a database and whatever else."""
    url = f"sqlite:///{tmp_path}/tasker.db"
    settings = {"DATABASE_URL": url, "LOG_FORMAT": "json", **more}
    return {f"TASKER_HEALTH_{name}": value for name, value in settings.items()}


async def test_a_service_opened_from_settings_takes_the_hosts_user(tmp_path: Path) -> None:
    """Where the settings name no authenticator, an embedded service asks the host's user."""
    configuration = read_configuration(
        variables(tmp_path, AUTHORIZATION_ENABLED="true", STATUS_REQUIRES_AUTHENTICATION="true")
    )
    async with open_service(configuration) as service:
        app = host(_of(service))
        async with client(app) as asking:
            codes = [
                (await asking.get(STATUS, headers=token(name))).status_code
                for name in ("none", "without")
            ]
    assert codes == [401, 403]


def test_a_server_of_our_own_has_no_host(tmp_path: Path) -> None:
    """The same settings without a host are refused: nobody could ever be recognised."""
    from tasker_health.entrypoints.server import create_app  # noqa: PLC0415  a vendor's module

    configuration = read_configuration(variables(tmp_path, STATUS_REQUIRES_AUTHENTICATION="true"))
    with pytest.raises(ConfigurationError, match="STATUS_REQUIRES_AUTHENTICATION is true"):
        create_app(configuration)


def _of(service: Any) -> Any:
    return attrs.make_class("Opened", ["service"])(service)


class TestHostUserAuthenticator(AuthenticatorContract):
    """Whom the host found, as an authenticator."""

    @pytest.fixture
    def authenticator(self) -> Authenticator:
        """Make one."""
        return HostUserAuthenticator()


async def test_headers_are_the_hosts_to_read() -> None:
    """A token that the host did not turn into a user is nobody."""
    credentials = Credentials(headers={"authorization": "Bearer x", "cookie": "session=y"})
    assert await HostUserAuthenticator().authenticate(credentials) is None
    alice = Principal(name="alice")
    assert await HostUserAuthenticator().authenticate(Credentials(user=alice)) is alice

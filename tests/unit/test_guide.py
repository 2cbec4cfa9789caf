"""The promises of Tasker's health guide, one test each, named by section.

``docs/guide.md`` restates them; the last test here holds the two lists against each other.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tasker_health import (
    AuthSettings,
    BaseCoordinator,
    Credentials,
    ForbiddenError,
    Generation,
    HealthCheck,
    HealthSettings,
    Principal,
    Reason,
    Resources,
    Settings,
    SourceError,
    Vitals,
)
from tasker_health.adapters.auth import PermissionCoordinator
from tasker_health.adapters.memory.world import Step, Task, Transition, World
from tasker_health.entrypoints.asgi import HealthApp
from tasker_health.entrypoints.authentication import build_authenticator
from tasker_health.entrypoints.environment import read_configuration
from tasker_health.testing import (
    InMemoryHealth,
    ManualClock,
    TestAuthenticator,
    admin_user,
    auth_headers,
    user_with_permission,
    user_without_permissions,
)

pytestmark = pytest.mark.anyio

READY, LIVE, STATUS = (f"/tasker/health/{name}" for name in ("ready", "live", "status"))
AT = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)
CLOSED = Settings(
    health=HealthSettings(status_requires_authentication=True),
    auth=AuthSettings(authorization_enabled=True),
)


def client(health: InMemoryHealth) -> httpx.AsyncClient:
    """Speak to the service as its callers do."""
    transport = httpx.ASGITransport(app=HealthApp(health.service))
    return httpx.AsyncClient(transport=transport, base_url="http://app")


async def get(health: InMemoryHealth, path: str, **headers: str) -> httpx.Response:
    """Ask once."""
    async with client(health) as speaking:
        return await speaking.get(path, headers=headers)


async def hang() -> None:
    """Never come back."""
    await asyncio.Event().wait()


class DoorAuthenticator:
    """Named in the configuration by a test below; knows whoever found the door open."""

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Look at the door."""
        return Principal(name="guest") if credentials.headers.get("x-door") == "open" else None


class NobodyCoordinator(BaseCoordinator):
    """Named in the configuration by a test below; lets nobody in."""


def moved(*states: str, minutes_ago: float = 1) -> list[Transition]:
    """Make the transitions of an item that went through these states a while ago."""
    return [
        Transition(
            to_state=state,
            from_state=before,
            sort_key=10 * number,
            most_recent=number == len(states),
            created_at=AT - timedelta(minutes=minutes_ago),
        )
        for number, (before, state) in enumerate(
            zip((None, *states[:-1]), states, strict=True), start=1
        )
    ]


def busy_world() -> World:
    """Make a Tasker with a task in every state, and a step that waits for its retry."""
    world = World(generation=Generation.ENGINE)
    began = AT - timedelta(minutes=3)
    states = {
        1: [],
        2: moved("pending", "in_progress"),
        3: moved("pending", "in_progress", "complete"),
        4: moved("pending", "in_progress", "error"),
        5: moved("pending", "cancelled"),
        6: moved("pending", "in_progress"),
        7: moved("pending", "in_progress", "error", "resolved_manually"),
    }
    for number, transitions in states.items():
        done = bool(transitions) and transitions[-1].to_state == "complete"
        world.tasks[number] = Task(
            id=number, created_at=began, transitions=transitions, complete=done
        )
    failed = moved("pending", "in_progress", "error")
    world.steps[1] = Step(id=1, task_id=2, created_at=began, attempts=1, transitions=failed)
    world.steps[2] = Step(
        id=2, task_id=6, created_at=began, attempts=3, retry_limit=3, transitions=list(failed)
    )
    return world


async def test_overview_three_endpoints() -> None:
    """Three endpoints answer, with nothing configured."""
    health = InMemoryHealth()
    for path in (READY, LIVE, STATUS):
        assert (await get(health, path)).status_code == 200


async def test_readiness_probe_document() -> None:
    """The guide's readiness document, key by key."""
    response = await get(InMemoryHealth(), READY)
    document = response.json()
    assert response.headers["content-type"] == "application/json"
    assert list(document) == ["ready", "checks", "timestamp"]
    assert document["ready"] is True
    assert list(document["checks"])[:3] == ["database", "migrations", "configuration"]
    assert document["checks"]["database"] == {"status": "ok", "response_time_ms": 0}
    assert document["checks"]["migrations"] == {"status": "ok"}
    assert document["checks"]["configuration"] == {"status": "ok"}
    assert document["timestamp"] == "2025-06-18T15:30:00Z"


async def test_readiness_probe_says_no_with_503() -> None:
    """A failing critical check takes the instance out of service, with a public reason."""
    health = InMemoryHealth()
    health.probe.failure = SourceError(Reason.REFUSED)
    response = await get(health, READY)
    assert response.status_code == 503
    assert response.json()["ready"] is False
    assert response.json()["checks"]["database"]["status"] == "error"
    assert response.json()["checks"]["database"]["reason"] == "refused"


async def test_readiness_probe_answers_within_100_ms() -> None:
    """A check that never comes back is an answer in time."""
    health = InMemoryHealth(checks=[HealthCheck.single("slow", hang)])
    spent = []
    async with client(health) as speaking:
        for _ in range(5):
            began = time.monotonic()
            response = await speaking.get(READY)
            spent.append(time.monotonic() - began)
            health.clock.advance(1)
            assert response.status_code == 503
            assert response.json()["checks"]["slow"]["reason"] == "timeout"
    assert min(spent) < 0.1  # the others were measured on a machine with more to do
    await health.service.aclose()


async def never_asks_who(path: str) -> None:
    """Ask without credentials while everything about access is on, and broken."""
    authenticator = TestAuthenticator()
    authenticator.failure = RuntimeError("down")
    health = InMemoryHealth(settings=CLOSED, authenticator=authenticator)
    for headers in ({}, {"authorization": "Bearer nonsense"}):
        response = await get(health, path, **headers)
        assert response.status_code == 200
        assert "www-authenticate" not in response.headers


async def test_readiness_probe_never_asks_who() -> None:
    """No credentials are needed, and bad ones do no harm."""
    await never_asks_who(READY)


async def test_readiness_probe_serves_every_prober() -> None:
    """GET, HEAD and OPTIONS have one verdict, good or bad, with and without a Host."""
    health = InMemoryHealth()
    app = HealthApp(health.service)

    async def probed(method: str) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request"}

        scope = {
            "type": "http",
            "http_version": "1.0",
            "method": method,
            "path": READY,
            "raw_path": READY.encode(),
            "query_string": b"",
            "headers": [],
        }
        await app(scope, receive, send)
        status: int = sent[0]["status"]
        return status

    for failure, code in ((None, 200), (SourceError(Reason.AUTH), 503)):
        health.probe.failure = failure
        health.clock.advance(1)
        assert [await probed(method) for method in ("GET", "HEAD", "OPTIONS")] == [code] * 3


async def test_liveness_probe_document() -> None:
    """The guide's liveness document."""
    response = await get(InMemoryHealth(), LIVE)
    assert response.status_code == 200
    assert list(response.json().items()) == [("alive", True), ("timestamp", "2025-06-18T15:30:00Z")]


async def test_liveness_probe_touches_nothing() -> None:
    """It answers while the checks hang, and neither database nor cache hears of it."""
    health = InMemoryHealth(checks=[HealthCheck.single("slow", hang)])
    probing = asyncio.create_task(get(health, READY))
    await asyncio.sleep(0)
    asked = health.probe.observations
    assert (await get(health, LIVE)).status_code == 200
    assert (health.tasker.views, health.probe.observations) == (0, asked)
    await probing
    await health.service.aclose()


async def test_liveness_probe_never_asks_who() -> None:
    """No credentials are needed, and bad ones do no harm."""
    await never_asks_who(LIVE)


async def test_status_endpoint_document() -> None:
    """The guide's status document, key by key and type by type."""
    document = (await get(InMemoryHealth(busy_world()), STATUS)).json()
    guide: dict[str, Any] = {
        "status": str,
        "system_health": {
            "overall_status": str,
            "total_tasks": int,
            "pending_tasks": int,
            "running_tasks": int,
            "completed_tasks": int,
            "failed_tasks": int,
            "blocked_tasks": int,
            "retry_queue_size": int,
        },
        "performance_metrics": {
            "avg_task_completion_time_ms": int,
            "avg_step_completion_time_ms": (int, type(None)),
            "retry_success_rate": (float, int, type(None)),
        },
        "timestamp": str,
        "cache_info": {"cached": bool, "cache_expires_at": str},
    }

    def follows(told: dict[str, Any], shape: dict[str, Any]) -> None:
        assert list(told)[: len(shape)] == list(shape)
        for key, kind in shape.items():
            if isinstance(kind, dict):
                follows(told[key], kind)
            else:
                assert isinstance(told[key], kind), key

    follows(document, guide)
    assert document["timestamp"] == "2025-06-18T15:30:00Z"
    assert document["cache_info"]["cache_expires_at"] == "2025-06-18T15:30:15Z"


async def test_status_endpoint_counts_are_taskers() -> None:
    """Every state of Tasker's has its number, and they add up."""
    document = (await get(InMemoryHealth(busy_world()), STATUS)).json()
    assert document["system_health"] == {
        "overall_status": "healthy",
        "total_tasks": 7,
        "pending_tasks": 1,
        "running_tasks": 1,
        "completed_tasks": 2,
        "failed_tasks": 1,
        "blocked_tasks": 1,
        "retry_queue_size": 1,
        "cancelled_tasks": 1,
    }
    assert document["performance_metrics"]["avg_task_completion_time_ms"] == 120_000
    assert document["performance_metrics"]["retry_success_rate"] == 0


async def test_status_endpoint_is_cached_for_15_seconds() -> None:
    """Measured, then served from the cache, then measured again."""
    health = InMemoryHealth()
    first = (await get(health, STATUS)).json()
    health.clock.advance(14)
    second = (await get(health, STATUS)).json()
    health.clock.advance(1)
    third = (await get(health, STATUS)).json()
    assert [told["cache_info"]["cached"] for told in (first, second, third)] == [False, True, False]
    assert second["timestamp"] == first["timestamp"]
    assert second["cache_info"]["cache_expires_at"] == third["timestamp"]
    assert health.tasker.views == 2


async def test_status_endpoint_verdict() -> None:
    """The verdict stands in both places, and findings say why."""
    health = InMemoryHealth()
    assert (await get(health, STATUS)).json()["findings"] == []
    health.tasker.vitals = Vitals(round_trip_ms=1, client_connections=95, connections_allowed=100)
    health.clock.advance(15)
    response = await get(health, STATUS)
    document = response.json()
    assert response.status_code == 200
    assert document["status"] == document["system_health"]["overall_status"] == "unhealthy"
    assert document["findings"][0]["rule"] == "connections"
    assert (await get(health, f"{STATUS}?fail_on=unhealthy")).status_code == 503


async def test_status_endpoint_answers_within_100_ms_when_it_knows_anything() -> None:
    """An old report bridges a source that does not answer, marked stale."""
    health = InMemoryHealth()
    await get(health, STATUS)
    health.clock.advance(15)
    health.tasker.failure = SourceError(Reason.TIMEOUT)
    spent = []
    for _ in range(5):
        began = time.monotonic()
        document = (await get(health, STATUS)).json()
        spent.append(time.monotonic() - began)
        assert document["cache_info"]["stale"] is True
    assert min(spent) < 0.1  # the others were measured on a machine with more to do


async def test_authentication_configuration_default_is_open() -> None:
    """Nobody is asked unless the user says so."""
    assert HealthSettings().status_requires_authentication is False
    assert (await get(InMemoryHealth(), STATUS)).status_code == 200


async def test_authentication_configuration_required() -> None:
    """The anonymous get 401 and a challenge; whom the authenticator knows gets the report."""
    required = Settings(health=HealthSettings(status_requires_authentication=True))
    alice = user_without_permissions()
    health = InMemoryHealth(settings=required, authenticator=TestAuthenticator(alice))
    refused = await get(health, STATUS)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"]
    assert "system_health" not in refused.json()
    assert (await get(health, STATUS, **auth_headers(alice))).status_code == 200


async def test_authentication_configuration_concerns_the_status_only() -> None:
    """Ready and live stay open while the status is closed."""
    health = InMemoryHealth(settings=CLOSED)
    codes = [(await get(health, path)).status_code for path in (READY, LIVE, STATUS)]
    assert codes == [200, 200, 401]


async def test_authentication_configuration_authenticator_class() -> None:
    """The class that recognises callers is named in the configuration."""
    configuration = read_configuration(
        {
            "TASKER_HEALTH_STATUS_REQUIRES_AUTHENTICATION": "true",
            "TASKER_HEALTH_AUTHENTICATOR_CLASS": f"{__name__}:DoorAuthenticator",
        }
    )
    authenticator = build_authenticator(configuration, ManualClock())
    health = InMemoryHealth(settings=configuration.settings, authenticator=authenticator)
    assert (await get(health, STATUS)).status_code == 401
    assert (await get(health, STATUS, **{"x-door": "open"})).status_code == 200


async def test_authorization_configuration_with_authentication() -> None:
    """Four kinds of callers under four settings: the guide's table."""
    known, admin = user_without_permissions(), admin_user()
    holder = user_with_permission("tasker.health_status:index")
    codes = {}
    for required, enabled in itertools.product((False, True), repeat=2):
        settings = Settings(
            health=HealthSettings(status_requires_authentication=required),
            auth=AuthSettings(authorization_enabled=enabled),
        )
        people = TestAuthenticator(known, holder, admin)
        health = InMemoryHealth(settings=settings, authenticator=people)
        headers = [{}, *map(auth_headers, (known, holder, admin))]
        codes[required, enabled] = [(await health.get(STATUS, one)).status_code for one in headers]
    assert codes == {
        (False, False): [200, 200, 200, 200],
        (True, False): [401, 200, 200, 200],
        (False, True): [403, 403, 200, 200],
        (True, True): [401, 403, 200, 200],
    }


async def test_authorization_configuration_permission() -> None:
    """Exactly one permission opens the status."""
    holder = user_with_permission("tasker.health_status:index")
    other = user_with_permission("tasker.metrics:index")
    enabled = Settings(auth=AuthSettings(authorization_enabled=True))
    health = InMemoryHealth(settings=enabled, authenticator=TestAuthenticator(holder, other))
    assert (await get(health, STATUS, **auth_headers(holder))).status_code == 200
    assert (await get(health, STATUS, **auth_headers(other))).status_code == 403
    assert (await get(health, STATUS)).status_code == 403


async def test_authorization_configuration_coordinator_class() -> None:
    """The class that decides is named in the configuration."""
    from tasker_health.adapters.auth import load_coordinator  # noqa: PLC0415  the configured way

    configuration = read_configuration(
        {
            "TASKER_HEALTH_AUTHORIZATION_ENABLED": "true",
            "TASKER_HEALTH_AUTHORIZATION_COORDINATOR_CLASS": f"{__name__}:NobodyCoordinator",
        }
    )
    auth = configuration.settings.auth
    coordinator = load_coordinator(
        auth.authorization_coordinator_class, setting="AUTHORIZATION_COORDINATOR_CLASS"
    )
    root = admin_user()
    health = InMemoryHealth(
        settings=configuration.settings,
        coordinator=coordinator,
        authenticator=TestAuthenticator(root),
    )
    assert (await get(health, STATUS, **auth_headers(root))).status_code == 403


async def test_authorization_coordinator_admins_and_holders() -> None:
    """Admins and holders are let in; nobody else, and nobody who has no permissions to ask for."""

    class Stranger:
        tasker_admin = True

    async def may(user: object) -> bool:
        coordinator = PermissionCoordinator(user)  # type: ignore[arg-type]  # a stranger too
        return await coordinator.can(Resources.HEALTH_STATUS, "index")

    assert await may(admin_user())
    assert await may(user_with_permission("tasker.health_status:index"))
    assert not await may(user_without_permissions())
    assert not await may(Stranger())


async def test_authorization_coordinator_base_class() -> None:
    """A subclass says who may by one hook, with the user at hand, and is asked for each user."""

    class YourAuthorizationCoordinator(BaseCoordinator):
        def is_authorized(self, resource: str, action: str, context: object) -> object:
            del context
            if resource == Resources.HEALTH_STATUS and action == "index":
                return self.user.tasker_admin
            return False

    admin, other = admin_user(), user_with_permission("tasker.health_status:index")
    health = InMemoryHealth(
        settings=CLOSED,
        authenticator=TestAuthenticator(admin, other),
        coordinator=YourAuthorizationCoordinator,
    )
    assert (await get(health, STATUS, **auth_headers(admin))).status_code == 200
    assert (await get(health, STATUS, **auth_headers(other))).status_code == 403


async def test_troubleshooting_debug_a_coordinator() -> None:
    """Asked by hand, a coordinator raises for those who may not, and is quiet for others."""
    await PermissionCoordinator(admin_user()).authorize("tasker.health_status", "index")
    with pytest.raises(ForbiddenError):
        await PermissionCoordinator(user_without_permissions()).authorize(
            "tasker.health_status", "index"
        )

"""The façade: three questions, wired to their use cases."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.status_bench import Source, turns

from tasker_health.adapters.auth import PermissionCoordinator
from tasker_health.domain.checks import CheckResult, CheckStatus, HealthCheck
from tasker_health.domain.database import DatabaseExpectations, Generation
from tasker_health.domain.errors import (
    ForbiddenError,
    SourceError,
    StatusUnavailableError,
    UnauthenticatedError,
)
from tasker_health.domain.permissions import STATUS_INDEX, Credentials, Permission, Principal
from tasker_health.domain.readiness import ReadinessReport
from tasker_health.domain.reasons import Reason
from tasker_health.domain.service import HealthService
from tasker_health.domain.settings import AuthSettings, HealthSettings, Settings
from tasker_health.testing.services import InMemoryHealth

pytestmark = pytest.mark.anyio


class HostUser:
    """Recognises the user that the host already found."""

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Give the host's user, if there is one."""
        return credentials.user if isinstance(credentials.user, Principal) else None


async def failing() -> None:
    """Fail, as an embedder's dependency does."""
    raise SourceError(Reason.REFUSED)


async def test_live_is_a_clock_reading() -> None:
    """Being alive depends on nothing else: no port but the clock is touched."""
    health = InMemoryHealth()
    assert health.service.live().at == health.clock.now()
    assert (health.tasker.views, health.probe.observations) == (0, 0)


async def test_ready_tells_the_guides_checks_then_ours_then_the_embedders() -> None:
    """The document's order is the guide's, then cache, then what was added."""
    extra = HealthCheck.single("payments", failing, critical=False)
    health = InMemoryHealth(checks=[extra])
    report = await health.service.ready()
    assert [check.name for check in report.checks] == [
        "database",
        "migrations",
        "configuration",
        "cache",
        "payments",
    ]
    assert report.ready
    assert report.checks[-1].status is CheckStatus.DEGRADED


async def test_an_embedders_critical_check_decides_with_the_others() -> None:
    """What the embedder calls critical takes the instance out of service."""
    health = InMemoryHealth(checks=[HealthCheck.single("payments", failing)])
    assert not (await health.service.ready()).ready


async def test_without_a_cache_there_is_no_cache_check() -> None:
    """Nothing is told of what is not there."""
    memory = InMemoryHealth()
    bare = HealthService(
        tasker=memory.tasker,
        probe=memory.probe,
        clock=memory.clock,
        journal=memory.journal,
        authenticator=HostUser(),
        coordinator=PermissionCoordinator,
    )
    assert [check.name for check in (await bare.ready()).checks][-1] == "configuration"
    assert (await bare.status()).cached is False
    assert (await bare.metrics()).counts is None, "nor are there counts without a meter"
    await bare.aclose()


async def test_the_database_settings_reach_the_checks() -> None:
    """What the settings expect of the database is what readiness holds it against."""
    told = Settings(database=DatabaseExpectations(tasker_schema=Generation.CORE))
    report = await InMemoryHealth(settings=told).service.ready()
    results = {check.name: check for check in report.checks}
    assert results["configuration"].reason is Reason.MISMATCH
    assert not report.ready


async def test_a_failing_probe_is_not_ready_and_the_status_goes_on() -> None:
    """The two have ways of their own to the database."""
    health = InMemoryHealth()
    health.probe.failure = SourceError(Reason.TOO_MANY_CONNECTIONS)
    report = await health.service.ready()
    assert report.checks[0].reason is Reason.TOO_MANY_CONNECTIONS
    assert (await health.service.status()).report.verdict == "healthy"


async def test_a_failing_source_never_changes_ready() -> None:
    """Numbers that cannot be had are no reason to take an instance out of service."""
    health = InMemoryHealth()
    health.tasker.failure = SourceError(Reason.TIMEOUT)
    with pytest.raises(StatusUnavailableError):
        await health.service.status()
    assert (await health.service.ready()).ready


async def test_access_is_decided_before_anything_is_read() -> None:
    """Who may not see it does not even cause a measurement, nor read the cache."""
    closed = Settings(auth=AuthSettings(authorization_enabled=True))
    health = InMemoryHealth(settings=closed, authenticator=HostUser())
    with pytest.raises(ForbiddenError):
        await health.service.status()
    assert health.tasker.views == 0
    permitted = Principal(name="alice", permissions=frozenset({STATUS_INDEX}))
    answer = await health.service.status(Credentials(user=permitted))
    assert answer.report.verdict == "healthy"
    with pytest.raises(ForbiddenError):
        await health.service.status()


async def test_the_permission_asked_for_is_the_status_ones() -> None:
    """Another permission of Tasker's opens nothing here."""
    closed = Settings(
        health=HealthSettings(status_requires_authentication=True),
        auth=AuthSettings(authorization_enabled=True),
    )
    health = InMemoryHealth(settings=closed, authenticator=HostUser())
    other = Principal(name="bob", permissions=frozenset({Permission("tasker.metrics", "index")}))
    with pytest.raises(ForbiddenError):
        await health.service.status(Credentials(user=other))
    with pytest.raises(UnauthenticatedError):
        await health.service.status()


async def test_draining_turns_ready_and_nothing_else() -> None:
    """Live and status go on while the instance leaves."""
    health = InMemoryHealth()
    health.service.drain()
    assert (await health.service.ready()).reason is Reason.DRAINING
    assert health.service.live().alive
    assert (await health.service.status()).report.verdict == "healthy"


async def test_status_is_open_exactly_when_nobody_is_asked_for() -> None:
    """Shared caches may keep the status only while everybody may see it."""
    assert InMemoryHealth().service.status_is_open
    for closed in (
        Settings(auth=AuthSettings(authorization_enabled=True)),
        Settings(health=HealthSettings(status_requires_authentication=True)),
    ):
        assert not InMemoryHealth(settings=closed).service.status_is_open


async def test_leaving_the_service_leaves_nothing_under_way() -> None:
    """As a context manager it ends its own tasks."""
    before = asyncio.all_tasks()

    async def hang() -> None:
        await asyncio.Event().wait()

    health = InMemoryHealth(checks=[HealthCheck.single("slow", hang)])
    async with health.service as service:
        report = await service.ready()
        assert report.checks[-1] == CheckResult(
            name="slow",
            status=CheckStatus.ERROR,
            reason=Reason.TIMEOUT,
            response_time_ms=report.checks[-1].response_time_ms,
        )
    assert asyncio.all_tasks() == before


async def test_leaving_in_the_middle_ends_what_others_wait_for() -> None:
    """A run of the checks and a measurement that are under way are cut short."""

    async def hang() -> None:
        await asyncio.Event().wait()

    memory, source = InMemoryHealth(), Source()
    source.let_go.clear()
    service = HealthService(
        tasker=source,
        probe=memory.probe,
        clock=memory.clock,
        journal=memory.journal,
        authenticator=HostUser(),
        coordinator=PermissionCoordinator,
        checks=[HealthCheck.single("slow", hang)],
        settings=Settings(
            health=HealthSettings(readiness_timeout_seconds=60, status_timeout_seconds=60)
        ),
    )
    before = asyncio.all_tasks()
    callers = [asyncio.create_task(service.ready()), asyncio.create_task(service.status())]
    await turns()
    await service.aclose()
    await turns()
    assert asyncio.all_tasks() == before
    ready, status = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(ready, ReadinessReport)
    assert isinstance(status, StatusUnavailableError)

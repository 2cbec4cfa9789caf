"""What is counted about ourselves: every way that an answer may come about, once each."""

from __future__ import annotations

import asyncio

import pytest

from tasker_health.domain.errors import (
    ForbiddenError,
    SourceError,
    StatusUnavailableError,
    UnauthenticatedError,
)
from tasker_health.domain.metering import Counts, StatusSource
from tasker_health.domain.permissions import METRICS_INDEX, STATUS_INDEX, Credentials, Principal
from tasker_health.domain.reasons import Reason
from tasker_health.domain.settings import AuthSettings, HealthSettings, Settings
from tasker_health.testing.doubles import RecordingMeter
from tasker_health.testing.services import InMemoryHealth

pytestmark = pytest.mark.anyio

PATIENT = Settings(health=HealthSettings(status_timeout_seconds=30, status_patience_seconds=30))


async def test_the_first_answer_is_measured_and_the_next_held() -> None:
    """Who waited on the measurement is told from those who found its report."""
    health = InMemoryHealth(settings=PATIENT)
    await health.service.status()
    await health.service.status()
    assert health.meter.answers == [StatusSource.MEASURED, StatusSource.HELD]
    assert [failure for _, failure in health.meter.measurements] == [None]


async def test_an_answer_from_the_shared_cache_is_told_as_shared() -> None:
    """Another process measured: nothing is measured here."""
    health = InMemoryHealth(settings=PATIENT)
    other = InMemoryHealth(settings=PATIENT)
    await health.cache.put((await other.service.status()).report, 60)
    await health.service.status()
    assert (health.meter.answers, health.meter.measurements) == ([StatusSource.SHARED], [])


async def test_stale_and_unavailable_answers_are_told_apart() -> None:
    """While the database is away: first the old report, and when that has expired, nothing."""
    health = InMemoryHealth(settings=PATIENT)
    await health.service.status()
    health.tasker.failure = SourceError(Reason.REFUSED)
    health.clock.advance(PATIENT.health.cache_duration_seconds + 1)
    await health.service.status()
    health.clock.advance(PATIENT.health.max_stale_seconds)
    with pytest.raises(StatusUnavailableError):
        await health.service.status()
    assert health.meter.answers[1:] == [StatusSource.STALE, StatusSource.UNAVAILABLE]
    assert {failure for _, failure in health.meter.measurements[1:]} == {Reason.REFUSED}


async def test_those_who_share_a_measurement_are_counted() -> None:
    """Of three who ask at once one begins the measurement and two join it."""
    health = InMemoryHealth(settings=PATIENT)
    await asyncio.gather(*(health.service.status() for _ in range(3)))
    assert health.meter.joins == 2
    assert health.meter.answers == [StatusSource.MEASURED] * 3
    assert len(health.meter.measurements) == 1


async def test_an_assessment_is_counted_and_its_reuse_is_not() -> None:
    """The checks ran once for two callers; the meter has the report and its seconds."""
    health = InMemoryHealth()
    report = await health.service.ready()
    await health.service.ready()
    assert health.meter.assessments == [(report, 0.0)]


async def test_metrics_run_no_check_and_are_counted_as_no_request() -> None:
    """A scrape has the report, leaves the probe alone, and is no status request."""
    health = InMemoryHealth(settings=PATIENT)
    observation = await health.service.metrics()
    assert observation.status is not None
    assert observation.at == health.clock.now()
    assert (observation.readiness, health.probe.observations) == (None, 0)
    assert health.meter.answers == []


async def test_metrics_know_the_last_readiness_and_a_drain() -> None:
    """What the checks said last is told; a process that drains says so at once."""
    health = InMemoryHealth()
    report = await health.service.ready()
    assert (await health.service.metrics()).readiness is report
    health.service.drain()
    readiness = (await health.service.metrics()).readiness
    assert readiness is not None
    assert readiness.reason is Reason.DRAINING


async def test_metrics_have_what_the_meter_counted() -> None:
    """The sums are the meter's own, passed on as they are."""
    sums = Counts(answers={}, joined=3, assessments={}, checks={}, measurements={}, failures={})

    class Summing(RecordingMeter):
        def counts(self) -> Counts:  # type: ignore[override]  # the double has none
            return sums

    health = InMemoryHealth(meter=Summing())
    assert (await health.service.metrics()).counts is sums


async def test_metrics_have_no_report_rather_than_an_error() -> None:
    """With the database away the observation is empty; a scrape never fails for it."""
    health = InMemoryHealth()
    health.tasker.failure = SourceError(Reason.REFUSED)
    assert (await health.service.metrics()).status is None


async def test_metrics_wait_no_longer_than_a_patient_status() -> None:
    """The first scrape of a slow database is empty; the measurement goes on for the next."""
    impatient = Settings(health=HealthSettings(status_patience_seconds=0))
    health = InMemoryHealth(settings=impatient)
    assert (await health.service.metrics()).status is None
    for _ in range(20):
        await asyncio.sleep(0)
    assert (await health.service.metrics()).status is not None


@pytest.mark.parametrize("permission", [METRICS_INDEX, STATUS_INDEX])
async def test_metrics_ask_for_their_own_permission(permission: object) -> None:
    """Who may see the status may not for that see the metrics, before anything is measured."""
    health = InMemoryHealth(settings=Settings(auth=AuthSettings(authorization_enabled=True)))
    held = frozenset({permission})
    credentials = Credentials(user=Principal(name="prometheus", permissions=held))  # type: ignore[arg-type]  # either is one
    if permission is METRICS_INDEX:
        await health.service.metrics(credentials)
    else:
        with pytest.raises(ForbiddenError):
            await health.service.metrics(credentials)
        assert health.tasker.views == 0


async def test_metrics_ask_who_is_there_where_that_is_required() -> None:
    """Nobody gets no numbers."""
    required = Settings(health=HealthSettings(status_requires_authentication=True))
    with pytest.raises(UnauthenticatedError):
        await InMemoryHealth(settings=required).service.metrics()

"""The doctor: asks everything that the guide's *Troubleshooting* asks by hand, each thing bounded.

What is asked rests on what was asked before: of a database that does not answer nothing
else is asked. Nothing of Tasker's is written; the cache is tried under a key apart from the
live report's, for a few seconds. What the facts mean is ``domain/examining.py``; who may
read the status is looked at in ``doctor_access.py``.

Source: guide, *Troubleshooting*.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, runtime_checkable

import attrs

from tasker_health.adapters.log import redact
from tasker_health.adapters.sql.diagnosis import SqlExamination
from tasker_health.domain.deadline import within
from tasker_health.domain.diagnosis import Area, CacheTrial, ClockReading, Diagnosis, Finding
from tasker_health.domain.errors import CacheError, DeadlineError, SourceError
from tasker_health.domain.examining import (
    examine_cache,
    examine_clock,
    examine_connections,
    examine_indexes,
    examine_pool,
    examine_pooler,
    examine_privileges,
    examine_server,
    examine_standing,
    examine_work,
    failed,
    unreachable,
)
from tasker_health.domain.permissions import STATUS_INDEX
from tasker_health.domain.reasons import Reason
from tasker_health.domain.status import (
    Activity,
    PerformanceMetrics,
    Snapshot,
    StatusReport,
    SystemHealth,
    Verdict,
    Vitals,
)
from tasker_health.entrypoints.doctor_access import look_at_access
from tasker_health.entrypoints.sources import open_sources

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from tasker_health.domain.database import Generation
    from tasker_health.domain.permissions import Permission
    from tasker_health.domain.ports import Clock
    from tasker_health.domain.secret import Secret
    from tasker_health.entrypoints.options import Configuration
    from tasker_health.entrypoints.sources import Sources

__all__ = ["Doctor", "diagnose"]

T = TypeVar("T")

_KEEP_SECONDS: Final = 5.0
_LONGEST_CACHE_SECONDS: Final = 10.0
_APART: Final = ":doctor"


@runtime_checkable
class Timekeeper(Protocol):
    """A cache that can tell its server's time."""

    async def server_time(self) -> datetime:
        """Tell it, aware. Raises CacheError."""
        ...


async def diagnose(
    configuration: Configuration,
    *,
    clock: Clock | None = None,
    token: Secret[str] | None = None,
    permission: Permission = STATUS_INDEX,
    timeout_seconds: float = 5.0,
) -> Diagnosis:
    """Look at everything that the settings name.

    Args:
        configuration: all settings.
        clock: ours; the system's unless given.
        token: an API token or JWT to try; None to try none.
        permission: what it should permit.
        timeout_seconds: bound of each question.

    Raises:
        ConfigurationError: the database's or the cache's settings cannot be had.
    """
    # The cache is waited for as long as everything else: slow and away are two findings.
    patient = _with_cache_timeout(configuration, min(timeout_seconds, _LONGEST_CACHE_SECONDS))
    async with open_sources(patient, clock=clock, cache_name=_APART) as sources:
        doctor = Doctor(configuration, sources, timeout_seconds)
        at = sources.clock.now()
        return Diagnosis(
            at=at,
            findings=(
                *await doctor.database(),
                *await doctor.cache(),
                *await look_at_access(configuration, sources, token, permission),
            ),
        )


class Doctor:
    """Asks, part by part; each answers with findings and raises nothing but cancellation."""

    def __init__(
        self, configuration: Configuration, sources: Sources, timeout_seconds: float
    ) -> None:
        self._configuration: Final = configuration
        self._sources: Final = sources
        self._seconds: Final = timeout_seconds

    async def database(self) -> tuple[Finding, ...]:
        """Look at the database, from the way in to the statements."""
        examination = SqlExamination(self._sources.database, self._sources.clock)
        findings: list[Finding] = []
        try:
            await self._connected(examination, findings)
        except (SourceError, DeadlineError) as error:
            findings.append(self._refused(Area.DATABASE, error))
        return tuple(findings)

    async def cache(self) -> tuple[Finding, ...]:
        """Write a report of our own to the cache and read it back."""
        sources = self._sources
        trial = await self._tried(CacheTrial(store=sources.cache_kind))
        health = self._configuration.settings.health
        findings = [*examine_cache(trial, health.cache_timeout_seconds)]
        if trial.clock is not None:
            findings += examine_clock("cache", trial.clock)
        return tuple(findings)

    async def _connected(self, examination: SqlExamination, findings: list[Finding]) -> None:
        """Ask the database one thing after the other; a failure of the first two ends it."""
        settings = self._configuration.settings
        server = await self._bounded(examination.server())
        findings += examine_server(server, settings.thresholds)
        prepared = self._sources.database.prepared_statements
        findings += examine_pooler(pooled=server.pooled, prepared_statements=prepared)
        if server.clock is not None:
            findings += examine_clock("database", server.clock)
        standing = await self._bounded(self._sources.database.probe.observe())
        findings += examine_standing(standing, settings.database)
        generation = standing.generation
        whole = generation is not None and not standing.missing and not standing.unreadable
        if generation is not None:
            await self._role(examination, generation, standing.unreadable, findings)
        await self._each(
            findings,
            (Area.INDEXES, lambda: self._indexes(examination, generation)) if generation else None,
            (Area.STATEMENTS, lambda: self._work(examination)) if whole else None,
        )

    async def _role(
        self,
        examination: SqlExamination,
        generation: Generation,
        unreadable: tuple[str, ...],
        findings: list[Finding],
    ) -> None:
        role = await self._bounded(examination.role(generation, unreadable))
        findings += examine_privileges(role, unreadable, generation)
        vitals = await self._bounded(examination.vitals())
        thresholds = self._configuration.settings.thresholds
        findings += examine_connections(vitals, role, thresholds)
        findings += examine_pool(await self._bounded(examination.fill_pool()), role)

    async def _indexes(
        self, examination: SqlExamination, generation: Generation
    ) -> Iterable[Finding]:
        return examine_indexes(await examination.missing_indexes(generation))

    async def _work(self, examination: SqlExamination) -> Iterable[Finding]:
        settings = self._configuration.settings
        slow_ms = settings.thresholds.degraded_response_time_ms
        parts = await examination.work(settings.health.metrics_window_seconds, slow_ms)
        return examine_work(parts, settings.thresholds, settings.health.measurement_timeout_seconds)

    async def _each(
        self,
        findings: list[Finding],
        *questions: tuple[Area, Callable[[], Coroutine[object, object, Iterable[Finding]]]] | None,
    ) -> None:
        """Ask what does not rest on one another; each failure is a finding of its own."""
        for question in questions:
            if question is None:
                continue
            area, ask = question
            try:
                findings += await self._bounded(ask())
            except (SourceError, DeadlineError) as error:
                findings.append(self._refused(area, error))

    async def _bounded(self, work: Coroutine[object, object, T]) -> T:
        return await within(self._seconds, work)

    def _refused(self, area: Area, error: SourceError | DeadlineError) -> Finding:
        if isinstance(error, DeadlineError):
            return failed(area, Reason.TIMEOUT, f"no answer within {self._seconds:g} s")
        words = redact(str(error.__cause__ or ""), self._sources.secrets.reveal())
        if area is Area.DATABASE:
            return unreachable(error.reason, words)
        return failed(area, error.reason, words)

    async def _tried(self, trial: CacheTrial) -> CacheTrial:
        cache, clock = self._sources.cache, self._sources.clock
        report = _sample(clock.now())

        async def timed(ask: Callable[[], Awaitable[T]]) -> tuple[float, T]:
            began = clock.monotonic()
            answer = await ask()
            return max(0.0, clock.monotonic() - began) * 1000, answer

        async def work() -> CacheTrial:
            await cache.put(report, _KEEP_SECONDS)  # the first use connects; the second is timed
            put_ms, _ = await timed(lambda: cache.put(report, _KEEP_SECONDS))
            get_ms, found = await timed(cache.get)
            reading = None
            if isinstance(cache, Timekeeper):
                with suppress(CacheError):  # not every role may know it
                    took_ms, told = await timed(cache.server_time)
                    half = took_ms / 2000
                    ahead = (told - clock.now()).total_seconds() + half
                    reading = ClockReading(ahead_seconds=ahead, within_seconds=half)
            return attrs.evolve(
                trial, put_ms=put_ms, get_ms=get_ms, came_back=found == report, clock=reading
            )

        try:
            return await self._bounded(work())
        except CacheError as error:
            return attrs.evolve(trial, failure=error.reason)
        except DeadlineError:
            return attrs.evolve(trial, failure=Reason.TIMEOUT)


def _with_cache_timeout(configuration: Configuration, seconds: float) -> Configuration:
    settings = configuration.settings
    health = attrs.evolve(settings.health, cache_timeout_seconds=seconds)
    return attrs.evolve(configuration, settings=attrs.evolve(settings, health=health))


def _sample(at: datetime) -> StatusReport:
    """Make a report that nobody takes for Tasker's: it has no tasks at all."""
    return StatusReport(
        snapshot=Snapshot(
            at=at,
            took_ms=0.0,
            system_health=SystemHealth(
                **dict.fromkeys((field.name for field in attrs.fields(SystemHealth)), 0)
            ),
            performance=PerformanceMetrics(window_seconds=1.0),
            activity=Activity(),
            vitals=Vitals(round_trip_ms=0.0),
        ),
        verdict=Verdict.HEALTHY,
        findings=(),
        expires_at=at + timedelta(seconds=_KEEP_SECONDS),
    )

"""The status use case: a report from this process's hands, the shared cache, or Tasker itself.

The way of a request::

    fresh in our hands ──────────────────────────────► answered, cached
    else one flight for all: the shared cache, then Tasker ─► answered
    not in time, or Tasker does not answer:
        an old report within its stale time ─────────► answered, stale
        none ────────────────────────────────────────► StatusUnavailableError

Tasker is asked by one flight at a time, never on behalf of one request: a request waits
for it only so long, and a failed measurement is not repeated at once. Access was decided
before anything here runs.

Source: guide, *Status Endpoint* and *Cache Configuration*.
"""

from __future__ import annotations

import asyncio
import math
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.domain.checks import CheckResult, CheckStatus
from tasker_health.domain.errors import (
    CacheError,
    DeadlineError,
    SourceError,
    StatusUnavailableError,
)
from tasker_health.domain.events import Changed
from tasker_health.domain.flight import Flight
from tasker_health.domain.freshness import Freshness, HeldReport, hold
from tasker_health.domain.reasons import Reason
from tasker_health.domain.status import Snapshot, StatusAnswer, StatusReport
from tasker_health.domain.verdict import evaluate

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasker_health.domain.ports import Clock, Journal, StatusCache, Tasker
    from tasker_health.domain.settings import Settings

__all__ = ["StatusReporter", "measure"]


async def measure(tasker: Tasker, clock: Clock, settings: Settings) -> Snapshot:
    """Read all facts of one moment from one consistent view.

    Raises:
        SourceError: the facts cannot be had.
    """
    at, began = clock.now(), clock.monotonic()
    window_seconds = settings.health.metrics_window_seconds
    async with tasker.view(at) as view:
        vitals = await view.vitals()
        system_health = await view.counts()
        performance = await view.performance(window_seconds)
        activity = await view.activity(window_seconds)
    return Snapshot(
        at=at,
        took_ms=max(0.0, clock.monotonic() - began) * 1000,
        system_health=system_health,
        performance=performance,
        activity=activity,
        vitals=vitals,
    )


@attrs.frozen
class _Landed:
    """What a flight brought: a report, and whether it was measured for those who waited."""

    held: HeldReport
    measured: bool


class StatusReporter:
    """Gives each caller the best report there is, and asks Tasker as rarely as promised."""

    def __init__(
        self,
        tasker: Tasker,
        *,
        cache: StatusCache | None,
        clock: Clock,
        journal: Journal,
        settings: Settings,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._tasker = tasker
        self._cache = cache
        self._clock = clock
        self._journal = journal
        self._settings = settings
        self._draw = draw
        self._flight: Final = Flight[_Landed]()
        self._putting: set[asyncio.Task[None]] = set()
        self._held: HeldReport | None = None
        self._resting_until = float("-inf")
        self._failure: Reason | None = None
        self._cache_failure: Reason | None = None

    async def answer(self) -> StatusAnswer:
        """Give the best report there is.

        Raises:
            StatusUnavailableError: there is none, not even a stale one.
        """
        held, now = self._held, self._clock.monotonic()
        if held is not None and held.freshness(now) is Freshness.FRESH:
            if held.due_early(now, self._draw()) and now >= self._resting_until:
                self._flight.begin(self._renew)
            return StatusAnswer(report=held.report, cached=True)
        if now < self._resting_until and not self._flight.flying:
            return self._fallback(self._failure or Reason.UNKNOWN)
        try:
            landed = await self._flight.join(self._renew, patience_seconds=self._patience(now))
        except DeadlineError:
            return self._fallback(self._failure or Reason.TIMEOUT)
        except SourceError as error:
            return self._fallback(error.reason)
        return StatusAnswer(report=landed.held.report, cached=not landed.measured)

    def cache_result(self) -> CheckResult:
        """Tell the last known outcome of using the shared cache; asks nothing itself."""
        if self._cache_failure is None:
            return CheckResult(name="cache")
        return CheckResult(name="cache", status=CheckStatus.DEGRADED, reason=self._cache_failure)

    async def aclose(self) -> None:
        """End what is under way."""
        await self._flight.aclose()
        for task in self._putting:
            task.cancel()
        if self._putting:
            await asyncio.wait(self._putting, timeout=1.0)

    def _patience(self, now: float) -> float:
        health = self._settings.health
        if self._held is not None and self._held.freshness(now) is not Freshness.EXPIRED:
            return min(health.status_patience_seconds, health.status_timeout_seconds)
        return health.status_timeout_seconds

    def _fallback(self, reason: Reason) -> StatusAnswer:
        held, now = self._held, self._clock.monotonic()
        if held is None or held.freshness(now) is Freshness.EXPIRED:
            wait = max(1, math.ceil(self._resting_until - now)) if self._failure else 1
            raise StatusUnavailableError(reason, wait)
        stale = held.freshness(now) is Freshness.STALE
        return StatusAnswer(report=held.report, cached=True, stale=stale)

    async def _renew(self) -> _Landed:
        """Take what another process measured since, else measure."""
        shared = await self._from_cache()
        if shared is not None and _newer(shared, self._held):
            self._held = shared
            if shared.freshness(self._clock.monotonic()) is Freshness.FRESH:
                return _Landed(shared, measured=False)
        held = self._held = self._hold(await self._measured())
        self._put_soon(held.report)
        return _Landed(held, measured=True)

    async def _measured(self) -> StatusReport:
        health = self._settings.health
        try:
            async with asyncio.timeout(health.measurement_timeout_seconds):
                snapshot = await measure(self._tasker, self._clock, self._settings)
        except SourceError as error:
            self._failed(error.reason, error)
            raise
        except Exception as error:
            reason = Reason.TIMEOUT if isinstance(error, TimeoutError) else Reason.FAILED
            self._failed(reason, error)
            raise SourceError(reason) from error
        self._succeeded()
        return self._judged(snapshot)

    def _judged(self, snapshot: Snapshot) -> StatusReport:
        previous = self._held.report if self._held else None
        verdict, findings = evaluate(
            snapshot, self._settings.thresholds, previous.findings if previous else ()
        )
        if previous is None or previous.verdict is not verdict:
            self._note(
                "verdict",
                previous.verdict.value if previous else "",
                verdict.value,
                detail="; ".join(
                    f"{found.rule} {found.observed:g} over {found.threshold:g}: {found.look_at}"
                    for found in findings
                ),
            )
        period = timedelta(seconds=self._settings.health.cache_duration_seconds)
        return StatusReport(
            snapshot=snapshot, verdict=verdict, findings=findings, expires_at=snapshot.at + period
        )

    def _hold(self, report: StatusReport) -> HeldReport:
        return hold(
            report,
            at=self._clock.now(),
            monotonic=self._clock.monotonic(),
            settings=self._settings.health,
        )

    def _failed(self, reason: Reason, error: BaseException) -> None:
        rest = self._settings.health.measurement_rest_seconds
        self._resting_until = self._clock.monotonic() + rest
        if self._failure is not reason:
            before = "failing" if self._failure else "answering"
            told = error.__cause__ or error
            self._note("status_source", before, "failing", reason, f"{type(told).__name__}: {told}")
        self._failure = reason

    def _succeeded(self) -> None:
        if self._failure is not None:
            self._note("status_source", "failing", "answering")
        self._failure = None
        self._resting_until = float("-inf")

    async def _from_cache(self) -> HeldReport | None:
        if self._cache is None:
            return None
        try:
            async with asyncio.timeout(self._settings.health.cache_timeout_seconds):
                report = await self._cache.get()
        except Exception as error:  # noqa: BLE001  a cache that fails is a miss
            self._cache_used(error)
            return None
        self._cache_used(None)
        return self._hold(report) if report is not None else None

    def _put_soon(self, report: StatusReport) -> None:
        """Share the report without anybody waiting for it."""
        health = self._settings.health
        keep = health.cache_duration_seconds + health.max_stale_seconds
        if self._cache is None or keep <= 0:
            return
        task = asyncio.get_running_loop().create_task(self._put(self._cache, report, keep))
        self._putting.add(task)
        task.add_done_callback(self._putting.discard)

    async def _put(self, cache: StatusCache, report: StatusReport, keep_seconds: float) -> None:
        try:
            async with asyncio.timeout(self._settings.health.cache_timeout_seconds):
                await cache.put(report, keep_seconds)
        except Exception as error:  # noqa: BLE001  the report is good without the cache
            self._cache_used(error)
        else:
            self._cache_used(None)

    def _cache_used(self, error: Exception | None) -> None:
        reason = _cache_reason(error)
        if reason is not self._cache_failure:
            self._note(
                "status_cache",
                "failing" if self._cache_failure else "answering",
                "failing" if reason else "answering",
                reason,
                f"{type(error).__name__}: {error}" if error else "",
            )
        self._cache_failure = reason

    def _note(
        self, subject: str, before: str, after: str, reason: Reason | None = None, detail: str = ""
    ) -> None:
        self._journal.record(
            Changed(subject=subject, before=before, after=after, reason=reason, detail=detail)
        )


def _newer(found: HeldReport, held: HeldReport | None) -> bool:
    return held is None or found.report.snapshot.at > held.report.snapshot.at


def _cache_reason(error: Exception | None) -> Reason | None:
    match error:
        case None:
            return None
        case CacheError():
            return error.reason
        case TimeoutError():
            return Reason.TIMEOUT
        case _:
            return Reason.FAILED

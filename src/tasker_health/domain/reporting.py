"""The status use case: a report from this process's hands, the shared cache, or Tasker itself.

The way of a request::

    fresh in our hands ───────────────────────────────────────► answered, cached
    else one flight for all: the shared cache, then Tasker ───► answered
    not in time, or Tasker does not answer:
        an old report within its stale time ──────────────────► answered, stale
        none ─────────────────────────────────────────────────► StatusUnavailableError

Tasker is asked by one flight at a time, never on behalf of one request: a request waits
for it only so long. While anybody asks, the report is renewed in the background just
before it expires, so that who polls never waits; when nobody does, nothing is measured.
Access was decided before anything here runs.

Source: guide, *Status Endpoint* and *Cache Configuration*.
"""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.domain.errors import DeadlineError, SourceError, StatusUnavailableError
from tasker_health.domain.flight import Flight
from tasker_health.domain.freshness import Freshness, HeldReport, hold
from tasker_health.domain.metering import StatusSource, Unmetered
from tasker_health.domain.reasons import Reason
from tasker_health.domain.status import StatusAnswer, StatusReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasker_health.domain.measuring import Measurer
    from tasker_health.domain.ports import Clock, Meter
    from tasker_health.domain.settings import HealthSettings
    from tasker_health.domain.sharing import SharedReports

__all__ = ["StatusReporter"]


@attrs.frozen
class _Landed:
    """What a flight brought: a report, and whether it was measured for those who waited."""

    report: StatusReport
    measured: bool


class StatusReporter:
    """Gives each caller the best report there is, and asks Tasker as rarely as promised."""

    def __init__(
        self,
        measurer: Measurer,
        shared: SharedReports | None,
        *,
        clock: Clock,
        settings: HealthSettings,
        draw: Callable[[], float] | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._measurer = measurer
        self._shared = shared
        self._clock = clock
        self._settings = settings
        self._meter: Final = meter or Unmetered()
        # A generator of its own: the host may have seeded the one that all share.
        self._draw: Final = draw or random.Random().random  # noqa: S311  no secret hangs on it
        self._flight: Final = Flight[_Landed]()
        self._held: HeldReport | None = None
        self._wanted_until = float("-inf")
        self._renewal: asyncio.TimerHandle | None = None

    async def answer(self) -> StatusAnswer:
        """Give the best report there is.

        Raises:
            StatusUnavailableError: there is none, not even a stale one.
        """
        try:
            answer, source = await self._best(self._patience)
        except StatusUnavailableError:
            self._meter.answered(StatusSource.UNAVAILABLE)
            raise
        self._meter.answered(source)
        return answer

    async def glance(self, *, patience_seconds: float) -> StatusAnswer | None:
        """Give the best report there is after so long; None when there is none.

        It keeps the report warm as any request does, and is counted as none.
        """
        try:
            answer, _ = await self._best(lambda _: patience_seconds)
        except StatusUnavailableError:
            return None
        return answer

    async def _best(self, patience: Callable[[float], float]) -> tuple[StatusAnswer, StatusSource]:
        held, now = self._held, self._clock.monotonic()
        self._wanted_until = now + self._settings.status_keep_warm_seconds
        if held is not None and held.freshness(now) is Freshness.FRESH:
            return StatusAnswer(report=held.report, cached=True), StatusSource.HELD
        if self._flight.flying:
            self._meter.joined()
        elif self._measurer.resting_seconds:
            return self._fallback(self._measurer.failure or Reason.UNKNOWN)
        try:
            landed = await self._flight.join(self._renew, patience_seconds=patience(now))
        except DeadlineError:
            return self._fallback(self._measurer.failure or Reason.TIMEOUT)
        except SourceError as error:
            return self._fallback(error.reason)
        source = StatusSource.MEASURED if landed.measured else StatusSource.SHARED
        return StatusAnswer(report=landed.report, cached=not landed.measured), source

    async def aclose(self) -> None:
        """End what is under way."""
        if self._renewal is not None:
            self._renewal.cancel()
        await self._flight.aclose()
        if self._shared is not None:
            await self._shared.aclose()

    def _patience(self, now: float) -> float:
        """How long this caller waits: long with empty hands, briefly with an old report."""
        settings, held = self._settings, self._held
        reuses = settings.cache_duration_seconds > 0
        if reuses and held is not None and held.freshness(now) is not Freshness.EXPIRED:
            return min(settings.status_patience_seconds, settings.status_timeout_seconds)
        return settings.status_timeout_seconds

    def _fallback(self, reason: Reason) -> tuple[StatusAnswer, StatusSource]:
        held, now = self._held, self._clock.monotonic()
        freshness = held.freshness(now) if held is not None else Freshness.EXPIRED
        if held is None or freshness is Freshness.EXPIRED:
            raise StatusUnavailableError(reason, max(1, math.ceil(self._measurer.resting_seconds)))
        stale = freshness is Freshness.STALE
        source = StatusSource.STALE if stale else StatusSource.HELD
        return StatusAnswer(report=held.report, cached=True, stale=stale), source

    async def _renew(self) -> _Landed:
        """Take what another process measured since, else measure and share it."""
        if self._shared is not None and (found := await self._shared.get()) is not None:
            newer = self._held is None or found.snapshot.at > self._held.report.snapshot.at
            if newer and self._hold(found) is Freshness.FRESH:
                return _Landed(found, measured=False)
        report = await self._measurer.report(self._held.report if self._held else None)
        self._hold(report)
        if self._shared is not None:
            self._shared.put_soon(report)
        return _Landed(report, measured=True)

    def _hold(self, report: StatusReport) -> Freshness:
        """Take a report into hands, and see to it that it is renewed in time."""
        now = self._clock.monotonic()
        self._held = hold(report, at=self._clock.now(), monotonic=now, settings=self._settings)
        freshness = self._held.freshness(now)
        if freshness is Freshness.FRESH:
            self._renew_in(self._held.renewal_in(now, self._draw()))
        return freshness

    def _renew_in(self, seconds: float) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
        self._renewal = asyncio.get_running_loop().call_later(seconds, self._keep_warm)

    def _keep_warm(self) -> None:
        """Renew the report if anybody asked for it lately; a failure is the next caller's."""
        if self._clock.monotonic() < self._wanted_until:
            self._flight.begin(self._renew)

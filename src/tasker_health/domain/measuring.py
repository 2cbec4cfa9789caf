"""Asking Tasker itself: one consistent view, read in time, and judged.

A failed measurement is not tried again at once, however many ask: a source that refuses is
asked at the pace of :attr:`HealthSettings.measurement_rest_seconds`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tasker_health.domain.deadline import within
from tasker_health.domain.errors import DeadlineError, SourceError
from tasker_health.domain.events import Changed
from tasker_health.domain.metering import Unmetered
from tasker_health.domain.reasons import Reason
from tasker_health.domain.status import Snapshot, StatusReport
from tasker_health.domain.verdict import evaluate

if TYPE_CHECKING:
    from tasker_health.domain.ports import Clock, Journal, Meter, Tasker
    from tasker_health.domain.settings import Settings

__all__ = ["Measurer", "measure"]


async def measure(tasker: Tasker, clock: Clock, window_seconds: float) -> Snapshot:
    """Read all facts of one moment from one consistent view.

    Args:
        tasker: where Tasker keeps its state.
        clock: tells the moment, and how long it took.
        window_seconds: how far performance and activity look back.

    Raises:
        SourceError: the facts cannot be had.
    """
    at, began = clock.now(), clock.monotonic()
    async with tasker.view(at) as view:
        vitals = await view.vitals()
        system_health = await view.counts()
        performance = await view.performance(window_seconds)
        activity = await view.activity(window_seconds)
    return Snapshot(
        at=at,
        took_ms=(clock.monotonic() - began) * 1000,
        system_health=system_health,
        performance=performance,
        activity=activity,
        vitals=vitals,
    )


class Measurer:
    """Measures within a deadline, judges, and remembers how the source is."""

    def __init__(
        self,
        tasker: Tasker,
        *,
        clock: Clock,
        journal: Journal,
        settings: Settings,
        meter: Meter | None = None,
    ) -> None:
        self._tasker = tasker
        self._clock = clock
        self._journal = journal
        self._settings = settings
        self._meter: Final = meter or Unmetered()
        self._resting_until = float("-inf")
        self.failure: Reason | None = None

    @property
    def resting_seconds(self) -> float:
        """How long the source is still left alone after a failure; 0 when it may be asked."""
        return max(0.0, self._resting_until - self._clock.monotonic())

    async def report(self, previous: StatusReport | None) -> StatusReport:
        """Measure and judge.

        Args:
            previous: the report before, whose findings tell since when a rule speaks.

        Raises:
            SourceError: the facts cannot be had, or not in time.
        """
        health = self._settings.health
        began = self._clock.monotonic()
        work = measure(self._tasker, self._clock, health.metrics_window_seconds)
        try:
            snapshot = await within(health.measurement_timeout_seconds, work)
        except Exception as error:
            self._failed(_reason(error), error.__cause__ or error)
            self._meter.measured(self._clock.monotonic() - began, _reason(error))
            raise SourceError(_reason(error)) from error
        self._succeeded()
        self._meter.measured(self._clock.monotonic() - began, None)
        return self._judged(snapshot, previous)

    def _judged(self, snapshot: Snapshot, previous: StatusReport | None) -> StatusReport:
        earlier = previous.findings if previous else ()
        verdict, findings = evaluate(snapshot, self._settings.thresholds, earlier)
        before = previous.verdict.value if previous else ""
        if before != verdict:
            told = (f"{f.rule} {f.observed:g} over {f.threshold:g}: {f.look_at}" for f in findings)
            self._note("verdict", before, verdict.value, detail="; ".join(told))
        period = timedelta(seconds=self._settings.health.cache_duration_seconds)
        return StatusReport(
            snapshot=snapshot,
            verdict=verdict,
            findings=findings,
            expires_at=self._clock.now() + period,
        )

    def _failed(self, reason: Reason, error: BaseException) -> None:
        rest = self._settings.health.measurement_rest_seconds
        self._resting_until = self._clock.monotonic() + rest
        if self.failure is not reason:
            before = "failing" if self.failure else "answering"
            detail = f"{type(error).__name__}: {error}"
            self._note("status_source", before, "failing", reason, detail)
        self.failure = reason

    def _succeeded(self) -> None:
        if self.failure is not None:
            self._note("status_source", "failing", "answering")
        self.failure = None
        self._resting_until = float("-inf")

    def _note(
        self, subject: str, before: str, after: str, reason: Reason | None = None, detail: str = ""
    ) -> None:
        self._journal.record(
            Changed(subject=subject, before=before, after=after, reason=reason, detail=detail)
        )


def _reason(error: Exception) -> Reason:
    if isinstance(error, SourceError):
        return error.reason
    return Reason.TIMEOUT if isinstance(error, DeadlineError | TimeoutError) else Reason.FAILED

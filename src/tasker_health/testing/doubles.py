"""Doubles of the ports that a test wants to hold in its hand: a clock, a journal, a meter.

The other ports have whole adapters in :mod:`tasker_health.adapters.memory`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tasker_health.domain.events import Changed
    from tasker_health.domain.metering import StatusSource
    from tasker_health.domain.ports import Clock, Journal, Meter
    from tasker_health.domain.readiness import ReadinessReport
    from tasker_health.domain.reasons import Reason

__all__ = ["ManualClock", "RecordingJournal", "RecordingMeter"]

_SOME_DAY: Final = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)


class ManualClock:
    """Two clocks that stand still until a test moves them.

    Args:
        now: what the wall clock shows, aware UTC.
        monotonic: what the monotonic clock shows, seconds.
    """

    def __init__(self, now: datetime = _SOME_DAY, monotonic: float = 1000.0) -> None:
        self._now = now
        self._monotonic = monotonic

    def now(self) -> datetime:
        """Show the wall clock."""
        return self._now

    def monotonic(self) -> float:
        """Show the monotonic clock."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks.

        Raises:
            ValueError: time would run backwards, which no monotonic clock does.
        """
        if seconds < 0:
            raise ValueError(f"time cannot pass by {seconds!r} s: use jump for a wall clock")
        self._monotonic += seconds
        self.jump(seconds)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator or NTP does."""
        self._now += timedelta(seconds=seconds)


class RecordingJournal:
    """Keeps all that was recorded, in order, in ``changes``."""

    def __init__(self) -> None:
        self.changes: Final[list[Changed]] = []

    def record(self, changed: Changed) -> None:
        """Note that something changed."""
        self.changes.append(changed)

    def about(self, subject: str) -> list[Changed]:
        """Pick what was recorded of one subject."""
        return [changed for changed in self.changes if changed.subject == subject]


class RecordingMeter:
    """Keeps what was counted, in order.

    Attributes:
        assessments: each run of the readiness checks, and its seconds.
        measurements: the seconds of each measurement, and why it failed, if it did.
        answers: where each answer to a request for the status came from.
        joins: how many requests shared a measurement that was under way.
    """

    def __init__(self) -> None:
        self.assessments: Final[list[tuple[ReadinessReport, float]]] = []
        self.measurements: Final[list[tuple[float, Reason | None]]] = []
        self.answers: Final[list[StatusSource]] = []
        self.joins = 0

    def assessed(self, report: ReadinessReport, seconds: float) -> None:
        """Note that the readiness checks ran."""
        self.assessments.append((report, seconds))

    def measured(self, seconds: float, failure: Reason | None) -> None:
        """Note that Tasker was measured, or could not be."""
        self.measurements.append((seconds, failure))

    def answered(self, source: StatusSource) -> None:
        """Note where an answer came from."""
        self.answers.append(source)

    def joined(self) -> None:
        """Note that a request shared a measurement."""
        self.joins += 1

    def counts(self) -> None:
        """Have no sums to tell."""


if TYPE_CHECKING:
    _clock: type[Clock] = ManualClock
    _journal: type[Journal] = RecordingJournal
    _meter: type[Meter] = RecordingMeter

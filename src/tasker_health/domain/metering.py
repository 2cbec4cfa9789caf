"""What is counted about ourselves: how answers came about, and how long finding out took.

The counts are an adapter's; here is what they are called, and the meter of whoever wants
none. Requests for liveness are not counted, nor those that a reused readiness answers:
what costs nothing is told by nobody.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasker_health.domain.readiness import ReadinessReport
    from tasker_health.domain.reasons import Reason

__all__ = ["StatusSource", "Unmetered"]


class StatusSource(StrEnum):
    """Where the answer to a request for the status came from."""

    HELD = "held"
    """This process had a fresh report in its hands."""
    SHARED = "shared"
    """Another process had measured; the shared cache had its report."""
    MEASURED = "measured"
    """The request waited on the measurement."""
    STALE = "stale"
    """An old report, because no newer one could be had in time."""
    UNAVAILABLE = "unavailable"
    """There was none."""


class Unmetered:
    """Counts nothing."""

    def assessed(self, report: ReadinessReport, seconds: float) -> None:
        """Pass over a run of the readiness checks."""

    def measured(self, seconds: float, failure: Reason | None) -> None:
        """Pass over a measurement."""

    def answered(self, source: StatusSource) -> None:
        """Pass over an answer."""

    def joined(self) -> None:
        """Pass over somebody who shares a measurement."""

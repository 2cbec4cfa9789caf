"""What is counted about ourselves: how answers came about, and how long finding out took.

The counts are an adapter's; here is what they are called, and the meter of whoever wants
none. Requests for liveness are not counted, nor those that a reused readiness answers:
what costs nothing is told by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

import attrs

from tasker_health.domain.reasons import Reason

if TYPE_CHECKING:
    from tasker_health.domain.readiness import ReadinessReport

__all__ = ["Counts", "Durations", "StatusSource", "Unmetered"]


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


@attrs.frozen(kw_only=True)
class Durations:
    """How long something took, time after time, sorted by size.

    Args:
        bounds: seconds, rising; each is the most that its class holds.
        counts: how many in each class; the last is of those above all bounds.
        seconds: all of them together.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    seconds: float


@attrs.frozen(kw_only=True)
class Counts:
    """What was counted since the start, in all processes that count together.

    Args:
        answers: to requests for the status, by where they came from; all sources are there.
        joined: requests that shared a measurement that was under way.
        assessments: runs of the readiness checks, by whether they came out ready.
        checks: what each check spent on the outside, by its name.
        measurements: of Tasker, by whether they succeeded.
        failures: measurements that failed, by reason; those that never came are left out.
    """

    answers: Mapping[StatusSource, int]
    joined: int
    assessments: Mapping[bool, Durations]
    checks: Mapping[str, Durations]
    measurements: Mapping[bool, Durations]
    failures: Mapping[Reason, int]


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

    def counts(self) -> None:
        """Have nothing to tell."""

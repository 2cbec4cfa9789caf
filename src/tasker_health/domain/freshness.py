"""How long a report is good: fresh, then stale, then expired.

A report travels between processes with wall-clock times, which may disagree or jump. So
each process reads them once, clamps what is left to what the settings allow, and from
then on counts on its own monotonic clock.

A report that is asked for is renewed before it runs out, by a lead that is drawn as in the
probabilistic early expiration of Vattani, Chierichetti and Lowenstein (*Optimal
Probabilistic Cache Stampede Prevention*, VLDB 2015): longer the dearer the measurement, and
different in every process, so that one renews for all.
"""

from __future__ import annotations

import math
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.domain.status import StatusReport

if TYPE_CHECKING:
    from datetime import datetime

    from tasker_health.domain.settings import HealthSettings

__all__ = ["Freshness", "HeldReport", "hold"]

_LEAST_DRAW: Final = 1e-12


class Freshness(Enum):
    """What may be done with a report."""

    FRESH = auto()
    STALE = auto()
    EXPIRED = auto()


@attrs.frozen(kw_only=True)
class HeldReport:
    """A report in this process's hands.

    Args:
        report: the report.
        fresh_until: monotonic seconds; from then on it is stale.
        stale_until: monotonic seconds, ≥ ``fresh_until``; from then on it is expired.
    """

    report: StatusReport
    fresh_until: float
    stale_until: float

    def freshness(self, monotonic: float) -> Freshness:
        """Tell what may be done with it at this time."""
        if monotonic < self.fresh_until:
            return Freshness.FRESH
        return Freshness.STALE if monotonic < self.stale_until else Freshness.EXPIRED

    def renewal_in(self, monotonic: float, draw: float) -> float:
        """Tell in how many seconds to renew it, so that it never runs out; ≥ 0.

        Args:
            monotonic: now.
            draw: a random number in 0..1.
        """
        left = self.fresh_until - monotonic
        took_seconds = self.report.snapshot.took_ms / 1000
        lead = took_seconds * (1 - math.log(max(draw, _LEAST_DRAW)))
        return max(0.0, left - min(lead, left / 2))


def hold(
    report: StatusReport, *, at: datetime, monotonic: float, settings: HealthSettings
) -> HeldReport:
    """Take a report into this process's hands.

    Args:
        report: just measured, or found in the shared cache.
        at: now, on the wall clock.
        monotonic: now, on this process's own clock.
        settings: how long a report may be kept; no report's own times reach beyond them.
    """
    left = (report.expires_at - at).total_seconds()
    fresh = min(left, settings.cache_duration_seconds)
    return HeldReport(
        report=report,
        fresh_until=monotonic + fresh,
        stale_until=monotonic + fresh + settings.max_stale_seconds,
    )

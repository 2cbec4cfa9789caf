"""What is known at a moment, for those who watch rather than ask: exporters, sinks, alerts."""

from __future__ import annotations

from datetime import datetime

import attrs

from tasker_health.domain.metering import Counts
from tasker_health.domain.readiness import ReadinessReport
from tasker_health.domain.status import StatusAnswer

__all__ = ["Observation"]


@attrs.frozen(kw_only=True)
class Observation:
    """What is known of Tasker and of this instance; nothing was asked to find out.

    Args:
        at: when, aware UTC.
        status: the best report there is; None when there is none, not even a stale one.
        readiness: how the checks came out when they were last asked; None when nobody
            asked yet.
        counts: how answers came about; None where nobody counts.
    """

    at: datetime
    status: StatusAnswer | None = None
    readiness: ReadinessReport | None = None
    counts: Counts | None = None

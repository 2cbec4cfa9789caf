"""The machine's own clocks."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasker_health.domain.ports import Clock

__all__ = ["SystemClock"]


class SystemClock:
    """Wall clock in UTC, and the monotonic clock that event loops use."""

    def now(self) -> datetime:
        """Tell the time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Tell seconds since some fixed moment."""
        return time.monotonic()


_: type[Clock] = SystemClock

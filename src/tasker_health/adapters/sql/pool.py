"""The connection pool, and how it is at a moment: SQLAlchemy's, that also tells who waits.

Source: guide, *Common Issues* (``connection_pool.stat``).
"""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util.queue import AsyncAdaptedQueue

from tasker_health.domain.diagnosis import PoolState

__all__ = ["WatchedPool"]


class _WatchedQueue(AsyncAdaptedQueue[Any]):
    """Counts those who wait for a connection to come back."""

    waiting = 0

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002  theirs
        """Take a connection, or wait for one."""
        if not block or not self.empty():
            return super().get(block, timeout)
        self.waiting += 1
        try:
            return super().get(block, timeout)
        finally:
            self.waiting -= 1


class WatchedPool(AsyncAdaptedQueuePool):
    """A pool that can tell how it is."""

    _queue_class = _WatchedQueue

    def state(self) -> PoolState:
        """Tell how it is now; asks nobody."""
        queue = cast("_WatchedQueue", self._pool)
        return PoolState(
            size=self.size(),
            connections=self.checkedin() + self.checkedout(),
            checked_out=self.checkedout(),
            waiting=queue.waiting,
            checkout_timeout_seconds=self.timeout(),
        )

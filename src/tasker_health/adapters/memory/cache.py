"""A status cache in this process: one report, for as long as it was told to keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasker_health.domain.ports import Clock, StatusCache
    from tasker_health.domain.status import StatusReport

__all__ = ["InMemoryStatusCache"]


class InMemoryStatusCache:
    """Keeps one report. Reports never change, so what was put is what is given back.

    Args:
        clock: its monotonic side tells when the report has expired; a wall clock that
            jumps changes nothing.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._report: StatusReport | None = None
        self._until = float("-inf")

    async def get(self) -> StatusReport | None:
        """Give the report back; None when there is none or its time is over."""
        if self._clock.monotonic() >= self._until:
            self._report = None
        return self._report

    async def put(self, report: StatusReport, keep_seconds: float) -> None:
        """Keep the report in place of any other."""
        self._report = report
        self._until = self._clock.monotonic() + keep_seconds


if TYPE_CHECKING:
    _: type[StatusCache] = InMemoryStatusCache

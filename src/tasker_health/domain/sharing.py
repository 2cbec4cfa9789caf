"""The shared cache as the status use case uses it: bounded, optional, and watched.

A cache that fails or hangs is a miss, and nobody waits for a report to be put into it. How
its last use came out is kept, so that readiness can tell without touching it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from tasker_health.domain.checks import CheckResult, CheckStatus
from tasker_health.domain.deadline import end, within
from tasker_health.domain.errors import CacheError, DeadlineError
from tasker_health.domain.events import Changed
from tasker_health.domain.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import TypeVar

    from tasker_health.domain.ports import Journal, StatusCache
    from tasker_health.domain.settings import HealthSettings
    from tasker_health.domain.status import StatusReport

    T = TypeVar("T")

__all__ = ["SharedReports"]


class SharedReports:
    """What other processes measured, and what this one gives them."""

    def __init__(self, cache: StatusCache, *, journal: Journal, settings: HealthSettings) -> None:
        self._cache = cache
        self._journal = journal
        self._timeout_seconds: Final = settings.cache_timeout_seconds
        self._keep_seconds: Final = settings.cache_duration_seconds + settings.max_stale_seconds
        self._failure: Reason | None = None
        self._putting: set[asyncio.Task[None]] = set()

    async def get(self) -> StatusReport | None:
        """Find the shared report; None when there is none to be had in time."""
        return await self._use(self._cache.get())

    def put_soon(self, report: StatusReport) -> None:
        """Share the report without anybody waiting for it."""
        if self._keep_seconds > 0:
            put = self._use(self._cache.put(report, self._keep_seconds))
            task = asyncio.get_running_loop().create_task(put)
            self._putting.add(task)
            task.add_done_callback(self._putting.discard)

    def check(self) -> CheckResult:
        """Tell how the last use came out; asks nothing itself."""
        if self._failure is None:
            return CheckResult(name="cache")
        return CheckResult(name="cache", status=CheckStatus.DEGRADED, reason=self._failure)

    async def aclose(self) -> None:
        """End what is under way."""
        await end(self._putting)

    async def _use(self, work: Coroutine[object, object, T]) -> T | None:
        try:
            found = await within(self._timeout_seconds, work)
        except Exception as error:  # noqa: BLE001  whatever a cache does wrong, it is a miss
            told = error.__cause__ or error
            self._came_out(_reason(error), f"{type(told).__name__}: {told}")
            return None
        self._came_out(None)
        return found

    def _came_out(self, failure: Reason | None, detail: str = "") -> None:
        if failure is not self._failure:
            self._journal.record(
                Changed(
                    subject="status_cache",
                    before="failing" if self._failure else "answering",
                    after="failing" if failure else "answering",
                    reason=failure,
                    detail=detail,
                )
            )
        self._failure = failure


def _reason(error: Exception) -> Reason:
    if isinstance(error, CacheError):
        return error.reason
    return Reason.TIMEOUT if isinstance(error, DeadlineError | TimeoutError) else Reason.FAILED

"""The status use case on a bench: a source, a shared cache and the clocks in a test's hands."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tasker_health.domain.measuring import Measurer
from tasker_health.domain.reporting import StatusReporter
from tasker_health.domain.settings import HealthSettings, Settings
from tasker_health.domain.sharing import SharedReports
from tasker_health.domain.status import (
    Activity,
    PerformanceMetrics,
    StatusAnswer,
    StatusReport,
    SystemHealth,
    Vitals,
)
from tasker_health.testing.doubles import ManualClock, RecordingJournal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from tasker_health.domain.ports import StatusCache, TaskerView

__all__ = ["PATIENT", "Bench", "BrokenCache", "Source", "turns"]

PATIENT = HealthSettings(status_timeout_seconds=30, status_patience_seconds=30)
"""No deadline ends a test on a busy machine; those that are about one set their own."""


class Source:
    """A Tasker with a number of completed tasks; counts how often it is looked at."""

    def __init__(self) -> None:
        self.looks = 0
        self.completed = 0
        self.failing: Exception | None = None
        self.vitals_told = Vitals(round_trip_ms=1.0)
        self.let_go = asyncio.Event()
        self.let_go.set()

    @asynccontextmanager
    async def view(self, _: datetime) -> AsyncIterator[TaskerView]:
        """Open a view, when let go."""
        self.looks += 1
        await self.let_go.wait()
        if self.failing is not None:
            raise self.failing
        yield self

    async def counts(self) -> SystemHealth:
        """So many completed tasks, and no other."""
        return SystemHealth(
            total_tasks=self.completed,
            pending_tasks=0,
            running_tasks=0,
            completed_tasks=self.completed,
            failed_tasks=0,
            blocked_tasks=0,
            cancelled_tasks=0,
            retry_queue_size=0,
        )

    async def performance(self, window_seconds: float) -> PerformanceMetrics:
        """Nothing is known."""
        return PerformanceMetrics(window_seconds=window_seconds)

    async def activity(self, _: float) -> Activity:
        """Nothing happens."""
        return Activity()

    async def vitals(self) -> Vitals:
        """As told."""
        return self.vitals_told


class BrokenCache:
    """A shared cache that fails as told, or hangs."""

    def __init__(self, failing: Exception | None = None) -> None:
        self.failing = failing
        self.uses = 0

    async def get(self) -> StatusReport | None:
        """Fail."""
        self.uses += 1
        if self.failing is None:
            await asyncio.Event().wait()
        elif isinstance(self.failing, Exception):
            raise self.failing
        return None

    async def put(self, _: StatusReport, __: float) -> None:
        """Fail likewise."""
        await self.get()


class Bench:
    """One process: its hands, its source, its share of a cache."""

    def __init__(
        self,
        source: Source,
        cache: StatusCache | None = None,
        *,
        clock: Any = None,
        health: HealthSettings | None = None,
        draw: float = 1.0,
    ) -> None:
        self.source = source
        self.clock = clock or ManualClock()
        self.journal = RecordingJournal()
        self.draw = draw
        settings = Settings(health=health or PATIENT)
        self.shared = (
            SharedReports(cache, journal=self.journal, settings=settings.health) if cache else None
        )
        self.reporter = StatusReporter(
            Measurer(source, clock=self.clock, journal=self.journal, settings=settings),
            self.shared,
            clock=self.clock,
            settings=settings.health,
            draw=lambda: self.draw,
        )

    async def ask(self) -> StatusAnswer:
        """Ask once, and let what goes on in the background go on."""
        answer = await self.reporter.answer()
        await turns()
        return answer

    async def tasks(self) -> int:
        """Ask once and give the number of tasks."""
        return (await self.ask()).report.snapshot.system_health.total_tasks


async def turns() -> None:
    """Let every ready task run for a while."""
    for _ in range(10):
        await asyncio.sleep(0)

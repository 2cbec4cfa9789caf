"""Cache and single flight under any sequence of asking, waiting, failing and healing.

Two processes share one cache and one Tasker. Whatever happens in whatever order, no report
is served past its time, none is served that was not true when it was measured, and Tasker
is looked at no more often than promised.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tasker_health.adapters.memory.cache import InMemoryStatusCache
from tasker_health.domain.errors import SourceError, StatusUnavailableError
from tasker_health.domain.measuring import Measurer
from tasker_health.domain.reasons import Reason
from tasker_health.domain.reporting import StatusReporter
from tasker_health.domain.settings import HealthSettings, Settings
from tasker_health.domain.sharing import SharedReports
from tasker_health.domain.status import (
    Activity,
    PerformanceMetrics,
    StatusAnswer,
    SystemHealth,
    Vitals,
)
from tasker_health.testing.doubles import ManualClock, RecordingJournal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from tasker_health.domain.ports import TaskerView

FRESH, STALE = 15.0, 60.0
REST = 0.5


class Source:
    """Counts its looks; its number of tasks is how often it was looked at."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.failing = False
        self.looked_at: list[float] = []
        self.told_at: dict[int, float] = {}

    @asynccontextmanager
    async def view(self, _: datetime) -> AsyncIterator[TaskerView]:
        """Open a view, or fail."""
        await asyncio.sleep(0)
        self.looked_at.append(self.clock.monotonic())
        if self.failing:
            raise SourceError(Reason.REFUSED)
        yield self

    async def counts(self) -> SystemHealth:
        """A number that tells which look it was."""
        number = len(self.looked_at)
        self.told_at[number] = self.clock.monotonic()
        return SystemHealth(
            total_tasks=number,
            pending_tasks=0,
            running_tasks=0,
            completed_tasks=number,
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
        """All is well."""
        return Vitals(round_trip_ms=0.0)


class StatusMachine(RuleBasedStateMachine):
    """Drives two processes through time."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.answers: list[tuple[float, StatusAnswer]] = []

    @initialize()
    def start(self) -> None:
        """Start with everything cold and the source well."""
        self.clock = ManualClock()
        self.source = Source(self.clock)
        cache = InMemoryStatusCache(self.clock)
        self.processes = [self.process(cache) for _ in range(2)]

    def process(self, cache: InMemoryStatusCache) -> StatusReporter:
        """Start one process."""
        chosen = Settings(
            health=HealthSettings(
                cache_duration_seconds=FRESH,
                max_stale_seconds=STALE,
                measurement_rest_seconds=REST,
            )
        )
        journal = RecordingJournal()
        return StatusReporter(
            Measurer(self.source, clock=self.clock, journal=journal, settings=chosen),
            SharedReports(cache, journal=journal, settings=chosen.health),
            clock=self.clock,
            settings=chosen.health,
            draw=lambda: 1.0,
        )

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 7.0, 14.9, 15.0, 40.0, 75.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-3600.0, -20.0, 20.0, 3600.0]))
    def wall_clock_jumps(self, seconds: float) -> None:
        """Let an operator or NTP set the wall clock."""
        self.clock.jump(seconds)

    @rule(failing=st.booleans())
    def source_turns(self, failing: bool) -> None:
        """Let the source fail or heal."""
        self.source.failing = failing

    @rule(which=st.integers(0, 1), callers=st.sampled_from([1, 2, 20]), leaving=st.booleans())
    def ask(self, which: int, callers: int, leaving: bool) -> None:
        """Let some callers ask at once; all but one may leave before they are answered."""
        looks = len(self.source.looked_at)
        now = self.clock.monotonic()
        ends = self.loop.run_until_complete(self.asked(self.processes[which], callers, leaving))
        assert len(self.source.looked_at) - looks <= 1, "one flight for all"
        for end in ends:
            if isinstance(end, StatusAnswer):
                self.check(now, end)
            else:
                assert isinstance(end, StatusUnavailableError | asyncio.CancelledError)
        assert not isinstance(ends[-1], asyncio.CancelledError), "who stays is answered"

    async def asked(
        self, reporter: StatusReporter, callers: int, leaving: bool
    ) -> list[StatusAnswer | BaseException]:
        """Ask and let everything settle."""
        tasks = [asyncio.ensure_future(reporter.answer()) for _ in range(callers)]
        await asyncio.sleep(0)
        if leaving:
            for task in tasks[:-1]:
                task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(10):
            await asyncio.sleep(0)
        return ends

    def check(self, now: float, answer: StatusAnswer) -> None:
        """Hold an answer against what is true."""
        number = answer.report.snapshot.system_health.total_tasks
        assert number in self.source.told_at, "no number is invented"
        age = now - self.source.told_at[number]
        assert age < FRESH + STALE + FRESH, "nothing outlives its time"
        if not answer.cached:
            assert age == 0, "who waited on the measurement has the newest numbers"
            assert not answer.stale

    @invariant()
    def a_failing_source_is_left_alone(self) -> None:
        """Two looks are never closer than the rest, but for each process its own."""
        looked = (getattr(self, "source", None) and self.source.looked_at) or []
        for first, third in zip(looked, looked[2:], strict=False):
            assert third - first >= REST

    def teardown(self) -> None:
        """Close what was opened."""
        for reporter in getattr(self, "processes", []):
            self.loop.run_until_complete(reporter.aclose())
        self.loop.close()


TestStatusMachine = StatusMachine.TestCase
TestStatusMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

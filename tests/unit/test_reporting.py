"""The status use case: cached, in flight, stale, or not to be had."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.memory.cache import InMemoryStatusCache
from tasker_health.domain.errors import CacheError, SourceError, StatusUnavailableError
from tasker_health.domain.measuring import Measurer
from tasker_health.domain.reasons import Reason
from tasker_health.domain.reporting import StatusReporter
from tasker_health.domain.settings import HealthSettings, Settings
from tasker_health.domain.sharing import SharedReports
from tasker_health.domain.status import (
    Activity,
    PerformanceMetrics,
    StatusAnswer,
    StatusReport,
    SystemHealth,
    Verdict,
    Vitals,
)
from tasker_health.testing.doubles import ManualClock, RecordingJournal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from tasker_health.domain.ports import StatusCache, TaskerView

pytestmark = pytest.mark.anyio


PATIENT = HealthSettings(status_timeout_seconds=30, status_patience_seconds=30)
"""No deadline ends a test on a busy machine; those that are about one set their own."""


class Source:
    """A Tasker with a number of completed tasks; counts how often it is looked at."""

    def __init__(self) -> None:
        self.looks = 0
        self.completed = 0
        self.failing: Exception | None = None
        self.vitals_told = Vitals(round_trip_ms=1.0)
        self.looked = asyncio.Event()
        self.on_look: Callable[[], None] | None = None
        self.let_go = asyncio.Event()
        self.let_go.set()

    @asynccontextmanager
    async def view(self, _: datetime) -> AsyncIterator[TaskerView]:
        """Open a view, when let go."""
        self.looks += 1
        self.looked.set()
        if self.on_look is not None:
            self.on_look()
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


async def test_the_first_caller_waits_and_the_next_are_served_from_hand() -> None:
    """One measurement a cache period; cached is false for who waited on it alone."""
    bench = Bench(Source())
    assert (await bench.ask()).cached is False
    bench.clock.advance(14.9)
    answer = await bench.ask()
    assert (answer.cached, answer.stale) == (True, False)
    assert bench.source.looks == 1
    bench.clock.advance(0.1)
    assert (await bench.ask()).cached is False
    assert bench.source.looks == 2


async def test_cold_callers_at_once_are_one_measurement() -> None:
    """Five hundred simultaneous cold callers: one look at the source, none cached."""
    bench = Bench(Source())
    bench.source.let_go.clear()
    callers = [asyncio.create_task(bench.reporter.answer()) for _ in range(500)]
    await turns()
    bench.source.let_go.set()
    answers = await asyncio.gather(*callers)
    assert bench.source.looks == 1
    assert not any(answer.cached for answer in answers)
    assert len({id(answer.report) for answer in answers}) == 1


async def test_the_expiry_that_is_told_is_the_expiry_that_holds() -> None:
    """The report says when it expires, one cache period after it was measured."""
    bench = Bench(Source())
    answer = await bench.ask()
    left = (answer.report.expires_at - bench.clock.now()).total_seconds()
    bench.clock.advance(left - 0.001)
    assert (await bench.ask()).cached
    bench.clock.advance(0.001)
    assert not (await bench.ask()).cached


async def test_no_reuse_measures_every_time() -> None:
    """With a cache duration of 0 each caller in turn gets numbers of their own."""
    bench = Bench(Source(), health=HealthSettings(cache_duration_seconds=0))
    for looks in (1, 2, 3):
        bench.source.completed = looks
        assert await bench.tasks() == looks
        assert bench.source.looks == looks


async def test_an_old_report_bridges_a_failing_source_and_says_so() -> None:
    """While the source fails the last report is served, marked stale, for a bounded time."""
    bench = Bench(Source())
    bench.source.completed = 7
    await bench.ask()
    bench.source.failing = SourceError(Reason.REFUSED)
    bench.clock.advance(15)
    answer = await bench.ask()
    assert (answer.cached, answer.stale) == (True, True)
    assert answer.report.snapshot.system_health.total_tasks == 7
    bench.clock.advance(299.9)
    assert (await bench.ask()).stale
    bench.clock.advance(0.1)
    with pytest.raises(StatusUnavailableError) as gone:
        await bench.ask()
    assert gone.value.reason is Reason.REFUSED
    assert gone.value.retry_after_seconds >= 1


async def test_without_any_report_a_failing_source_is_told() -> None:
    """No number is invented: there is a reason and a time to come back."""
    bench = Bench(Source())
    bench.source.failing = SourceError(Reason.AUTH)
    with pytest.raises(StatusUnavailableError) as none:
        await bench.ask()
    assert (none.value.reason, none.value.retry_after_seconds) == (Reason.AUTH, 1)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RuntimeError("bug"), Reason.FAILED), (TimeoutError(), Reason.TIMEOUT)],
)
async def test_any_error_of_the_source_is_classified(error: Exception, reason: Reason) -> None:
    """Even an adapter's own bug ends as a reason from the closed set."""
    bench = Bench(Source())
    bench.source.failing = error
    with pytest.raises(StatusUnavailableError) as none:
        await bench.ask()
    assert none.value.reason is reason


async def test_a_failing_source_is_not_asked_again_at_once() -> None:
    """However many ask, a source that refuses is asked at its own pace."""
    bench = Bench(Source())
    bench.source.failing = SourceError(Reason.REFUSED)
    for _ in range(100):
        with pytest.raises(StatusUnavailableError):
            await bench.ask()
    assert bench.source.looks == 1
    bench.clock.advance(0.5)
    bench.source.failing = None
    assert (await bench.ask()).cached is False
    assert bench.source.looks == 2


async def test_a_slow_source_is_not_waited_for_beyond_the_budget() -> None:
    """A cold caller gets its 503 while the measurement goes on and serves the next."""
    health = HealthSettings(status_timeout_seconds=0.01)
    bench = Bench(Source(), health=health)
    bench.source.let_go.clear()
    with pytest.raises(StatusUnavailableError) as late:
        await bench.ask()
    assert late.value.reason is Reason.TIMEOUT
    bench.source.let_go.set()
    await turns()
    assert (await bench.ask()).cached is True
    assert bench.source.looks == 1


async def test_with_an_old_report_at_hand_nobody_waits_long() -> None:
    """A slow renewal is bridged by the stale report, and then is there for the next."""
    bench = Bench(
        Source(),
        health=HealthSettings(status_timeout_seconds=30, status_patience_seconds=0.01),
    )
    await bench.ask()
    bench.clock.advance(15)
    bench.source.let_go.clear()
    assert (await bench.ask()).stale
    bench.source.let_go.set()
    await turns()
    answer = await bench.ask()
    assert (answer.cached, answer.stale) == (True, False)


async def test_a_measurement_that_hangs_is_ended() -> None:
    """The background is bounded too: the flight ends and the source may be asked again."""
    health = HealthSettings(status_timeout_seconds=0.05, measurement_timeout_seconds=0.05)
    bench = Bench(Source(), health=health)
    bench.source.let_go.clear()
    with pytest.raises(StatusUnavailableError):
        await bench.ask()
    await asyncio.wait({bench.reporter._flight.begin(bench.reporter._renew)})
    assert [c.reason for c in bench.journal.about("status_source")] == [Reason.TIMEOUT]
    bench.source.let_go.set()
    bench.clock.advance(0.5)
    assert (await bench.ask()).cached is False


class QuickBench(Bench):
    """On the machine's own clock, with a short period, so that renewals come by themselves."""

    def __init__(self, source: Source, *, warm: float) -> None:
        health = HealthSettings(cache_duration_seconds=0.05, status_keep_warm_seconds=warm)
        super().__init__(source, health=health, clock=SystemClock())

    async def settle(self, looks: int) -> None:
        """Wait until the source was looked at so often."""
        async with asyncio.timeout(10):
            while self.source.looks < looks:
                self.source.looked.clear()
                await self.source.looked.wait()
        await turns()


async def test_while_anybody_asks_the_report_is_renewed_in_the_background() -> None:
    """Who polls finds a fresh report in hand and never waits for one."""
    bench = QuickBench(Source(), warm=60)
    assert (await bench.ask()).cached is False
    for looks in (2, 3, 4):
        bench.source.completed = looks
        await bench.settle(looks)
        answer = await bench.reporter.answer()
        assert (answer.cached, answer.stale) == (True, False)
        assert answer.report.snapshot.system_health.total_tasks == looks
    await bench.reporter.aclose()


async def test_when_nobody_asks_nothing_is_measured() -> None:
    """A process that nobody asks leaves the database alone."""
    bench = QuickBench(Source(), warm=0)
    await bench.ask()
    await asyncio.sleep(0.2)
    assert bench.source.looks == 1


async def test_a_background_renewal_that_fails_is_tried_by_the_next_caller() -> None:
    """The failure is noted, the old report bridges it, and asking goes on."""
    bench = QuickBench(Source(), warm=60)
    await bench.ask()
    bench.source.failing = SourceError(Reason.REFUSED)
    await bench.settle(2)
    await asyncio.sleep(0.06)
    assert (await bench.ask()).stale
    bench.source.failing = None
    await asyncio.sleep(0.5)
    assert (await bench.ask()).stale is False
    await bench.reporter.aclose()


async def test_two_processes_share_one_measurement() -> None:
    """What one process measured serves the other, as cached."""
    clock, source = ManualClock(), Source()
    cache = InMemoryStatusCache(clock)
    one, other = Bench(source, cache, clock=clock), Bench(source, cache, clock=clock)
    assert (await one.ask()).cached is False
    assert (await other.ask()).cached is True
    assert source.looks == 1


async def test_a_shared_report_bridges_a_failing_source_after_a_restart() -> None:
    """A process that has never measured serves the fleet's last report, marked stale."""
    clock, source = ManualClock(), Source()
    cache = InMemoryStatusCache(clock)
    await Bench(source, cache, clock=clock).ask()
    clock.advance(20)
    source.failing = SourceError(Reason.REFUSED)
    answer = await Bench(source, cache, clock=clock).ask()
    assert (answer.cached, answer.stale) == (True, True)


async def test_an_older_shared_report_does_not_replace_a_newer_one_in_hand() -> None:
    """Numbers never go back in time within a process."""
    clock, source = ManualClock(), Source()
    cache = InMemoryStatusCache(clock)
    one = Bench(source, cache, clock=clock)
    old = (await one.ask()).report
    clock.advance(15)
    source.completed = 5
    await one.ask()
    await cache.put(old, 60)
    clock.advance(15)
    source.failing = SourceError(Reason.REFUSED)
    assert await one.tasks() == 5


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        (CacheError(Reason.REFUSED), Reason.REFUSED),
        (RuntimeError("bug"), Reason.FAILED),
        (None, Reason.TIMEOUT),
    ],
)
async def test_a_broken_cache_is_a_miss(failing: Exception | None, reason: Reason) -> None:
    """The status is measured, 200, and readiness can tell how the cache is."""
    cache = BrokenCache(failing)
    bench = Bench(Source(), cache, health=HealthSettings(cache_timeout_seconds=0.005))
    assert (await bench.ask()).cached is False
    await asyncio.sleep(0.02)
    assert cache.uses == 2
    assert bench.shared is not None
    assert bench.shared.check().reason is reason
    assert [c.reason for c in bench.journal.about("status_cache")] == [reason]
    await bench.reporter.aclose()


async def test_a_mended_cache_is_ok_again() -> None:
    """The last use speaks."""
    cache = BrokenCache(CacheError(Reason.REFUSED))
    bench = Bench(Source(), cache)
    await bench.ask()
    mended = InMemoryStatusCache(bench.clock)
    assert bench.shared is not None
    bench.shared._cache = mended
    bench.clock.advance(15)
    await bench.ask()
    assert bench.shared.check().reason is None
    assert [c.after for c in bench.journal.about("status_cache")] == ["failing", "answering"]


async def test_nothing_to_keep_is_not_put() -> None:
    """With neither reuse nor stale time there is nothing to share."""
    cache = BrokenCache(CacheError(Reason.REFUSED))
    bench = Bench(
        Source(),
        cache,
        health=HealthSettings(cache_duration_seconds=0, max_stale_seconds=0),
    )
    await bench.ask()
    assert cache.uses == 1


async def test_transitions_of_source_and_verdict_are_noted_once() -> None:
    """One line when the source fails, one when it answers; one when the verdict changes."""
    bench = Bench(Source())
    await bench.ask()
    for failing in (SourceError(Reason.REFUSED), SourceError(Reason.REFUSED), None):
        bench.source.failing = failing
        bench.clock.advance(15)
        await bench.ask()
    bench.source.vitals_told = Vitals(round_trip_ms=900.0)
    for _ in range(2):
        bench.clock.advance(15)
        await bench.ask()
    told = [(c.subject, c.before, c.after) for c in bench.journal.changes]
    assert told == [
        ("verdict", "", "healthy"),
        ("status_source", "answering", "failing"),
        ("status_source", "failing", "answering"),
        ("verdict", "healthy", "degraded"),
    ]
    assert "response_time 900 over 200" in bench.journal.changes[-1].detail


async def test_since_lives_in_the_cache_entry() -> None:
    """A finding's first time survives a restart, through the shared cache."""
    clock, source = ManualClock(), Source()
    cache = InMemoryStatusCache(clock)
    source.vitals_told = Vitals(round_trip_ms=900.0)
    first = (await Bench(source, cache, clock=clock).ask()).report
    clock.advance(60)
    later = (await Bench(source, cache, clock=clock).ask()).report
    assert later.verdict is Verdict.DEGRADED
    assert later.findings[0].since == first.snapshot.at
    assert later.snapshot.at > first.snapshot.at


async def test_closing_ends_flight_and_puts() -> None:
    """After closing nothing of the use case is under way."""
    before = asyncio.all_tasks()
    bench = Bench(Source(), BrokenCache(), health=HealthSettings(cache_timeout_seconds=0.5))
    caller = asyncio.create_task(bench.reporter.answer())
    await asyncio.wait({caller})
    bench.clock.advance(15)
    bench.source.let_go.clear()
    hanging = asyncio.create_task(bench.reporter.answer())
    await asyncio.sleep(0.02)
    await bench.reporter.aclose()
    await asyncio.wait({hanging})
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == before

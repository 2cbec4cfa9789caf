"""When a report is measured again, to the second, on a loop that leaps over the waiting."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from tests.unit.leaping_loop import ON_A_LEAPING_LOOP, LoopClock
from tests.unit.status_bench import Bench, BrokenCache, Source

from tasker_health.adapters.memory.cache import InMemoryStatusCache
from tasker_health.domain.errors import SourceError
from tasker_health.domain.measuring import Measurer
from tasker_health.domain.reasons import Reason
from tasker_health.domain.settings import HealthSettings, Settings
from tasker_health.testing.doubles import ManualClock, RecordingJournal, RecordingMeter

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Let no test of this module sleep."""
    return ON_A_LEAPING_LOOP


class SlowSource(Source):
    """A Tasker that takes a while to tell of its vitals."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    async def vitals(self) -> Any:
        """Tell them late."""
        await asyncio.sleep(self.seconds)
        return await super().vitals()


async def test_what_measuring_took_is_told() -> None:
    """The snapshot has the moment that it shows, and how long it took to see."""
    bench = Bench(SlowSource(0.25), clock=LoopClock())
    began = bench.clock.now()
    snapshot = (await bench.ask()).report.snapshot
    assert snapshot.at == began
    assert snapshot.took_ms == pytest.approx(250)


async def test_what_measuring_took_is_counted() -> None:
    """A measurement that hangs is counted with its deadline, as one that failed."""
    source, meter = SlowSource(0.25), RecordingMeter()
    settings = Settings(health=HealthSettings(measurement_timeout_seconds=10))
    measurer = Measurer(
        source, clock=LoopClock(), journal=RecordingJournal(), settings=settings, meter=meter
    )
    await measurer.report(None)
    source.let_go.clear()
    with pytest.raises(SourceError):
        await measurer.report(None)
    (well, told), (hung, failure) = meter.measurements
    assert (told, failure) == (None, Reason.TIMEOUT)
    assert [well, hung] == pytest.approx([0.25, 10])


async def test_a_report_is_renewed_when_the_draw_says() -> None:
    """Measured in one second and good for fifteen: a draw of e^-2 renews three before the end."""
    bench = Bench(SlowSource(1), clock=LoopClock(), draw=math.exp(-2))
    await bench.ask()
    await asyncio.sleep(11.9)
    assert bench.source.looks == 1
    await asyncio.sleep(0.2)
    assert bench.source.looks == 2
    await bench.reporter.aclose()


async def test_while_anybody_asks_the_report_is_renewed_in_the_background() -> None:
    """Who polls finds a fresh report in hand and never waits for one."""
    bench = Bench(Source(), clock=LoopClock())
    assert (await bench.ask()).cached is False
    for looks in (2, 3, 4):
        bench.source.completed = looks
        await asyncio.sleep(15.1)
        assert bench.source.looks == looks
        answer = await bench.ask()
        assert (answer.cached, answer.stale) == (True, False)
        assert answer.report.snapshot.system_health.total_tasks == looks
    await bench.reporter.aclose()


async def test_when_nobody_asks_any_more_nothing_is_measured() -> None:
    """A report is kept warm for a while, and then the database is left alone."""
    bench = Bench(Source(), clock=LoopClock(), health=HealthSettings(status_keep_warm_seconds=40))
    await bench.ask()
    await asyncio.sleep(39)
    assert bench.source.looks == 3
    await asyncio.sleep(1000)
    assert bench.source.looks == 3


async def test_a_background_renewal_that_fails_is_tried_by_the_next_caller() -> None:
    """The failure is noted, the old report bridges it, and asking goes on."""
    bench = Bench(Source(), clock=LoopClock())
    await bench.ask()
    bench.source.failing = SourceError(Reason.REFUSED)
    await asyncio.sleep(15.1)
    assert bench.source.looks == 2
    assert (await bench.ask()).stale
    bench.source.failing = None
    await asyncio.sleep(0.5)
    assert (await bench.ask()).stale is False
    await bench.reporter.aclose()


async def test_after_closing_nothing_is_measured() -> None:
    """A service that has ended leaves the database alone, whoever asked before."""
    bench = Bench(Source(), clock=LoopClock())
    await bench.ask()
    await bench.reporter.aclose()
    await asyncio.sleep(60)
    assert bench.source.looks == 1


async def test_a_renewal_does_not_take_its_own_report_back() -> None:
    """What the shared cache has is of use only where it is newer than what is in hand."""
    clock = LoopClock()
    bench = Bench(SlowSource(1), InMemoryStatusCache(clock), clock=clock, draw=math.exp(-2))
    await bench.ask()
    await asyncio.sleep(14)
    assert bench.source.looks == 2
    await bench.reporter.aclose()


async def test_a_report_that_was_renewed_early_is_renewed_once_later() -> None:
    """The time at which its predecessor was to be renewed has no meaning any more."""
    clock = ManualClock()  # it may run ahead of the loop, as after a suspension
    bench = Bench(Source(), clock=clock)
    await bench.ask()
    clock.advance(15)
    await asyncio.sleep(5)
    await bench.ask()
    await asyncio.sleep(14)
    assert bench.source.looks == 2
    await asyncio.sleep(2)
    assert bench.source.looks == 3
    await bench.reporter.aclose()


async def test_a_report_that_is_not_kept_warm_is_never_renewed() -> None:
    """Zero seconds of warmth are none, even for a clock that stands still."""
    bench = Bench(Source(), health=HealthSettings(status_keep_warm_seconds=0))
    await bench.ask()
    await asyncio.sleep(60)
    assert bench.source.looks == 1


@pytest.mark.parametrize(("duration", "waited"), [(0, 1.0), (0.5, 0.08), (15, 0.08)])
async def test_an_old_report_is_waited_with_only_where_reports_are_reused(
    duration: float, waited: float
) -> None:
    """Who wants no reuse waits for numbers of their own; others have the old ones soon."""
    health = HealthSettings(cache_duration_seconds=duration, status_keep_warm_seconds=0)
    bench = Bench(SlowSource(1), clock=LoopClock(), health=health)
    await bench.ask()
    await asyncio.sleep(16)
    began = bench.clock.monotonic()
    answer = await bench.reporter.answer()
    assert bench.clock.monotonic() - began == pytest.approx(waited)
    assert answer.stale is (duration > 0)
    await bench.reporter.aclose()


async def test_however_short_reports_are_kept_they_are_shared() -> None:
    """Half a second of reuse is some, and other processes may have it."""
    clock = LoopClock()
    cache = InMemoryStatusCache(clock)
    health = HealthSettings(
        cache_duration_seconds=0.5, max_stale_seconds=0, status_keep_warm_seconds=0
    )
    await Bench(Source(), cache, clock=clock, health=health).ask()
    assert await cache.get() is not None


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

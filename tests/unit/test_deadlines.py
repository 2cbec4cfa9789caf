"""Deadlines to the millisecond, on a loop that leaps over the waiting."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.leaping_loop import ON_A_LEAPING_LOOP, LoopClock

from tasker_health.domain.checks import CheckResult, HealthCheck, Probe
from tasker_health.domain.deadline import end, within
from tasker_health.domain.errors import DeadlineError
from tasker_health.domain.readiness import Readiness, ReadinessReport
from tasker_health.domain.reasons import Reason
from tasker_health.domain.running import CheckRunner
from tasker_health.domain.settings import HealthSettings
from tasker_health.testing.doubles import RecordingJournal

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.anyio

LONG = 1000.0


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Let no test of this module sleep."""
    return ON_A_LEAPING_LOOP


def now() -> float:
    """Tell the loop's time."""
    return asyncio.get_running_loop().time()


class Stubborn:
    """Work that goes on after it was cancelled, and notes when it was."""

    def __init__(self, *, cancellations: int, clean_up_seconds: float = LONG) -> None:
        self.cancelled: list[float] = []
        self.gone = asyncio.Event()
        self._cancellations = cancellations
        self._clean_up_seconds = clean_up_seconds

    async def __call__(self) -> None:
        """Go on until cancelled so often, or until the clean-up after the first is done."""
        wait = LONG
        try:
            while len(self.cancelled) < self._cancellations:
                try:
                    await asyncio.sleep(wait)
                except asyncio.CancelledError:
                    self.cancelled.append(now())
                    wait = self._clean_up_seconds
                else:
                    break
        finally:
            self.gone.set()


async def hang() -> Sequence[CheckResult]:
    """Never answer."""
    await asyncio.Event().wait()
    return ()


async def test_a_deadline_does_not_wait_for_work_that_resists() -> None:
    """The caller goes on at the deadline; the work is cancelled then, and a moment later."""
    work = Stubborn(cancellations=2)
    began = now()
    with pytest.raises(DeadlineError):
        await within(5, work())
    assert now() - began == pytest.approx(5)
    await work.gone.wait()
    assert [at - began for at in work.cancelled] == pytest.approx([5, 5.25])


async def test_a_failure_of_what_was_left_behind_is_not_reported_as_forgotten() -> None:
    """Work that fails long after its deadline troubles nobody."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    work = Stubborn(cancellations=2)

    async def fail_in_the_end() -> None:
        await work()
        raise ValueError("late")

    with pytest.raises(DeadlineError):
        await within(5, fail_in_the_end())
    await work.gone.wait()
    await asyncio.sleep(1)
    gc.collect()
    assert complaints == []


async def test_ending_waits_for_a_clean_up() -> None:
    """What ends soon after it was cancelled is gone when ending returns."""
    work = Stubborn(cancellations=3, clean_up_seconds=0.75)
    task = asyncio.create_task(work())
    await asyncio.sleep(1)
    began = now()
    await end([task])
    assert task.done()
    assert now() - began == pytest.approx(0.75)


async def test_ending_does_not_wait_for_ever() -> None:
    """What does not end keeps a process from stopping for a second and no longer."""
    tasks = [asyncio.create_task(Stubborn(cancellations=2)()) for _ in range(3)]
    await asyncio.sleep(1)
    began = now()
    await end(tasks)
    assert now() - began == pytest.approx(1)
    await end(tasks)
    assert all(task.done() for task in tasks)


async def test_ending_nothing_takes_no_time() -> None:
    """Where nothing is under way there is nothing to wait for."""
    began = now()
    await end([])
    assert now() == began


async def test_a_check_that_hangs_takes_its_deadline_and_no_longer() -> None:
    """The time that it is waited for is the time that is told."""
    runner = CheckRunner([HealthCheck(names=("x",), probe=hang)], LoopClock())
    began = now()
    (result,) = await runner.run(10)
    assert now() - began == pytest.approx(10)
    assert (result.reason, result.response_time_ms) == (Reason.TIMEOUT, 10_000)


def readiness(
    budget_seconds: float, *, probe: Probe = hang, journal: RecordingJournal | None = None
) -> Readiness:
    """Make a readiness whose one check hangs, unless told otherwise."""
    return Readiness(
        [HealthCheck(names=("x",), probe=probe)],
        clock=LoopClock(),
        journal=journal or RecordingJournal(),
        settings=HealthSettings(readiness_timeout_seconds=budget_seconds),
    )


async def test_the_checks_end_before_those_who_wait_for_them() -> None:
    """Everybody shares one result, which tells how long was waited, within the budget."""
    asked, began = readiness(10), now()
    first, second = await asyncio.gather(asked.report(), asked.report())
    assert now() - began < 10
    assert first is second
    (check,) = first.checks
    assert check.response_time_ms == round(1000 * (now() - began))


async def test_who_waits_is_answered_within_the_budget_even_when_the_run_is_not() -> None:
    """A run that does not end costs those who wait their patience and no more."""
    asked, began = readiness(10), now()

    async def never() -> ReadinessReport:
        await asyncio.Event().wait()
        raise AssertionError

    asked._flight.begin(never)
    report = await asked.report()
    assert now() - began < 10
    assert [(check.name, check.reason) for check in report.checks] == [("x", Reason.TIMEOUT)]
    await asked.aclose()


async def test_closing_readiness_ends_the_run_and_its_checks() -> None:
    """Nothing is under way afterwards, and nothing is noted of a run that was cut short."""
    work, journal = Stubborn(cancellations=9, clean_up_seconds=0.1), RecordingJournal()

    async def slow_to_end() -> Sequence[CheckResult]:
        await work()
        return (CheckResult(name="x"),)

    asked = readiness(10, probe=slow_to_end, journal=journal)
    caller = asyncio.create_task(asked.report())
    await asyncio.sleep(1)
    await asked.aclose()
    assert work.gone.is_set()
    await asyncio.wait({caller})
    assert journal.changes == []

"""One flight for many callers, and deadlines that hold."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from tasker_health.domain.deadline import abandon, within
from tasker_health.domain.errors import DeadlineError
from tasker_health.domain.flight import Flight

pytestmark = pytest.mark.anyio

LONG = 30.0


class Work:
    """A computation that counts how often it starts and ends when it is told to."""

    def __init__(self) -> None:
        self.starts = 0
        self.ended = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        """Wait to be told, then give the number of this start or the error."""
        self.starts += 1
        start = self.starts
        await self.ended.wait()
        if self.error is not None:
            raise self.error
        return start


async def turn() -> None:
    """Let every task that is ready run once."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_many_callers_share_one_start() -> None:
    """Five hundred callers at once, one computation, one result."""
    flight, work = Flight[int](), Work()
    callers = [asyncio.create_task(flight.join(work, patience_seconds=LONG)) for _ in range(500)]
    await turn()
    work.ended.set()
    assert await asyncio.gather(*callers) == [1] * 500
    assert work.starts == 1


async def test_the_next_caller_after_the_end_starts_anew() -> None:
    """A flight that has landed is not shared any more."""
    flight, work = Flight[int](), Work()
    work.ended.set()
    assert await flight.join(work, patience_seconds=LONG) == 1
    assert not flight.flying
    assert await flight.join(work, patience_seconds=LONG) == 2


async def test_no_callers_disconnection_ends_the_flight() -> None:
    """499 of 500 leave; the one who stays is answered by the same computation."""
    flight, work = Flight[int](), Work()
    callers = [asyncio.create_task(flight.join(work, patience_seconds=LONG)) for _ in range(500)]
    await turn()
    for caller in callers[:499]:
        caller.cancel()
    await turn()
    assert flight.flying
    work.ended.set()
    assert await callers[499] == 1
    assert work.starts == 1


async def test_patience_ends_without_ending_the_flight() -> None:
    """Who waits no longer is told so; the flight goes on for the others."""
    flight, work = Flight[int](), Work()
    with pytest.raises(DeadlineError):
        await flight.join(work, patience_seconds=0.001)
    assert flight.flying
    work.ended.set()
    assert await flight.join(work, patience_seconds=LONG) == 1


async def test_a_failure_is_shared_and_then_forgotten() -> None:
    """Everyone who waited gets the same error; the next caller starts anew."""
    flight, work = Flight[int](), Work()
    work.error = ValueError("once")
    callers = [asyncio.create_task(flight.join(work, patience_seconds=LONG)) for _ in range(3)]
    await turn()
    work.ended.set()
    ends = await asyncio.gather(*callers, return_exceptions=True)
    assert all(end is work.error for end in ends)
    work.error = None
    assert await flight.join(work, patience_seconds=LONG) == 2


async def test_a_failure_that_nobody_waited_for_is_not_reported_as_forgotten() -> None:
    """The event loop has nothing to complain about (warnings are errors here)."""
    flight, work = Flight[int](), Work()
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    work.error = ValueError("unheard")
    work.ended.set()
    flight.begin(work)
    await turn()
    del flight
    await turn()
    assert complaints == []


async def test_a_flight_carries_nothing_of_who_started_it() -> None:
    """A user or a trace of the first caller is not seen by the computation."""
    user = contextvars.ContextVar("user", default="nobody")
    user.set("alice")

    async def seen() -> str:
        return user.get()

    assert await Flight[str]().join(seen, patience_seconds=LONG) == "nobody"


async def test_closing_ends_the_flight() -> None:
    """After closing nothing is under way, and who still waited is told at once."""
    flight, work = Flight[int](), Work()
    caller = asyncio.create_task(flight.join(work, patience_seconds=LONG))
    await turn()
    await flight.aclose()
    assert not flight.flying
    with pytest.raises(DeadlineError):
        await caller
    await flight.aclose()


async def test_within_gives_result_and_error_in_time() -> None:
    """What the work gives or raises comes through unchanged."""

    async def give() -> int:
        return 7

    async def fail() -> int:
        raise ValueError("mine")

    assert await within(LONG, give()) == 7
    with pytest.raises(ValueError, match="mine"):
        await within(LONG, fail())


async def test_within_abandons_the_work_when_its_caller_is_cancelled() -> None:
    """A caller that goes away leaves no work behind."""
    before = asyncio.all_tasks()
    caller = asyncio.create_task(within(LONG, asyncio.sleep(LONG)))
    await turn()
    caller.cancel()
    await asyncio.wait({caller})
    await turn()
    assert asyncio.all_tasks() == before


async def test_work_that_cancels_itself_is_no_answer() -> None:
    """A cancellation from inside does not look like one of the caller's own."""

    async def quit_early() -> None:
        raise asyncio.CancelledError

    with pytest.raises(DeadlineError):
        await within(LONG, quit_early())


async def test_abandoning_what_is_done_changes_nothing() -> None:
    """A task that has ended keeps its result."""
    task = asyncio.create_task(asyncio.sleep(0, "kept"))
    await task
    abandon(task)
    assert task.result() == "kept"

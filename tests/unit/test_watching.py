"""Telling those who watch: at their own pace, apart from each other and from requests."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from tasker_health.domain.errors import SourceError
from tasker_health.domain.observing import Observation
from tasker_health.domain.reasons import Reason
from tasker_health.testing.services import InMemoryHealth

pytestmark = pytest.mark.anyio


@attrs.define
class Watching:
    """Remembers what it was shown; breaks or hangs when told to."""

    name: str = "diary"
    interval_seconds: float = 0.01
    seen: list[Observation] = attrs.field(factory=list)
    failing: Exception | None = None
    hanging: bool = False
    _looked: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def look(self, observation: Observation) -> None:
        """Take what is known."""
        self.seen.append(observation)
        self._looked.set()
        if self.failing is not None:
            raise self.failing
        if self.hanging:
            await asyncio.Event().wait()

    async def looks(self, number: int) -> None:
        """Wait for so many more looks."""
        async with asyncio.timeout(10):
            for _ in range(number):
                self._looked.clear()
                await self._looked.wait()


async def test_a_watcher_is_shown_the_status_without_asking() -> None:
    """Nobody asked over HTTP, and yet the watcher has Tasker's numbers."""
    diary = Watching()
    async with InMemoryHealth(watchers=[diary]).service:
        await diary.looks(1)
    (first, *_) = diary.seen
    assert first.status is not None
    assert first.status.report.snapshot.system_health.total_tasks == 0


async def test_it_is_shown_again_and_again_until_the_service_ends() -> None:
    """One look follows the other; after the end there is none."""
    diary = Watching()
    async with InMemoryHealth(watchers=[diary]).service:
        await diary.looks(3)
    seen = len(diary.seen)
    await asyncio.sleep(0.05)
    assert len(diary.seen) == seen


async def test_nothing_is_told_before_the_start() -> None:
    """A service that is only built does no work."""
    diary = Watching()
    health = InMemoryHealth(watchers=[diary])
    await asyncio.sleep(0.03)
    assert (diary.seen, health.tasker.views) == ([], 0)


async def test_starting_twice_tells_once() -> None:
    """However often it is started, a watcher has one task."""
    diary = Watching(interval_seconds=60)
    async with InMemoryHealth(watchers=[diary]).service as service:
        service.start()
        await diary.looks(1)
        await asyncio.sleep(0.03)
    assert len(diary.seen) == 1


async def test_a_watcher_learns_that_there_is_no_report() -> None:
    """With the database away and nothing old at hand, the status is None rather than an error."""
    diary = Watching()
    health = InMemoryHealth(watchers=[diary])
    health.tasker.failure = SourceError(Reason.REFUSED)
    async with health.service:
        await diary.looks(1)
    assert diary.seen[0].status is None


async def test_a_watcher_is_shown_how_the_checks_last_came_out() -> None:
    """Readiness is as somebody else found it; no check runs for a watcher."""
    diary = Watching()
    health = InMemoryHealth(watchers=[diary])
    async with health.service:
        await diary.looks(1)
        assert diary.seen[-1].readiness is None
        assert health.probe.observations == 0
        report = await health.service.ready()
        await diary.looks(2)
    assert diary.seen[-1].readiness is report


async def test_a_watcher_that_fails_is_written_down_once_and_told_again() -> None:
    """A broken sink is one line in the log when it breaks and one when it works again."""
    diary = Watching(failing=OSError("no route"))
    health = InMemoryHealth(watchers=[diary])
    async with health.service:
        await diary.looks(3)
        diary.failing = None
        await diary.looks(3)
    lines = [(one.before, one.after, one.reason) for one in health.journal.about("watcher:diary")]
    assert lines == [("working", "failing", Reason.FAILED), ("failing", "working", None)]
    assert "no route" in health.journal.about("watcher:diary")[0].detail


async def test_a_watcher_that_hangs_is_cut_off_and_keeps_nobody_waiting() -> None:
    """Its own interval bounds a look; another watcher goes on meanwhile."""
    stuck, diary = Watching(name="stuck", hanging=True), Watching()
    health = InMemoryHealth(watchers=[stuck, diary])
    async with health.service:
        await stuck.looks(2)
        assert len(diary.seen) > 1
    (line,) = health.journal.about("watcher:stuck")
    assert line.reason is Reason.TIMEOUT

"""The in-memory Tasker, probe and cache: what they do besides the rules."""

from __future__ import annotations

import pytest
from tests.unit.small_worlds import (
    AT,
    CORE,
    ENGINE,
    WINDOW,
    counts,
    moved,
    step,
    world_of,
)

from tasker_health.adapters.memory.cache import InMemoryStatusCache
from tasker_health.adapters.memory.probe import InMemoryDatabaseProbe
from tasker_health.adapters.memory.tasker import InMemoryTasker
from tasker_health.adapters.memory.world import Task, World
from tasker_health.domain.database import DatabaseFacts
from tasker_health.domain.errors import SourceError
from tasker_health.domain.reasons import Reason
from tasker_health.domain.status import Vitals
from tasker_health.testing.doubles import ManualClock
from tasker_health.testing.reports import report

pytestmark = pytest.mark.anyio


async def test_a_view_does_not_see_what_changes_after_it_was_opened() -> None:
    """Everything that one view tells is of one moment, whatever is written meanwhile."""
    world = world_of(ENGINE, (moved(("in_progress", 9)), [step()]))
    async with InMemoryTasker(world).view(AT) as view:
        world.tasks[1].transitions[0].to_state = "complete"
        world.tasks[2] = Task(id=2, created_at=AT)
        world.steps[1].processed = True
        world.steps[1].parents.append(1)
        world.steps[1].transitions.append(moved(("complete", 0))[0])
        assert (await view.counts()).running_tasks == 1
        assert (await view.counts()).total_tasks == 1
        assert (await view.activity(WINDOW)).ready_steps == 1
    assert (await counts(world)).completed_tasks == 1


async def test_a_tasker_tells_what_it_is_told_of_its_server() -> None:
    """There is no server behind memory unless a test says so."""
    tasker = InMemoryTasker(World(generation=ENGINE))
    async with tasker.view(AT) as view:
        assert await view.vitals() == Vitals(round_trip_ms=0.0)
    tasker.vitals = Vitals(round_trip_ms=5.0, client_connections=9, connections_allowed=10)
    async with tasker.view(AT) as view:
        assert await view.vitals() == tasker.vitals
    assert tasker.views == 2


async def test_a_tasker_fails_while_it_is_told_to() -> None:
    """A failure is raised on entering, until it is taken back."""
    tasker = InMemoryTasker(World(generation=ENGINE))
    tasker.failure = SourceError(Reason.REFUSED)
    with pytest.raises(SourceError):
        async with tasker.view(AT):
            pass
    tasker.failure = None
    async with tasker.view(AT) as view:
        assert (await view.counts()).total_tasks == 0
    assert tasker.views == 1


async def test_a_probe_tells_what_it_is_told() -> None:
    """Facts and failure can be set at any time; observations are counted."""
    probe = InMemoryDatabaseProbe()
    assert (await probe.observe()).generation is ENGINE
    probe.facts = DatabaseFacts(round_trip_ms=1.0, found=frozenset({CORE}), generation=CORE)
    assert await probe.observe() == probe.facts
    probe.failure = SourceError(Reason.TIMEOUT)
    with pytest.raises(SourceError, match="timeout"):
        await probe.observe()
    assert probe.observations == 3


async def test_a_cache_keeps_to_the_monotonic_clock() -> None:
    """A wall clock that jumps neither ends a report's time nor lengthens it."""
    clock = ManualClock()
    cache = InMemoryStatusCache(clock)
    await cache.put(report(), 10)
    clock.jump(3600)
    assert await cache.get() == report()
    clock.jump(-7200)
    clock.advance(9.999)
    assert await cache.get() == report()
    clock.advance(0.001)
    assert await cache.get() is None


async def test_a_cache_lets_go_of_what_is_over() -> None:
    """An expired report is not held in memory once it was asked for."""
    clock = ManualClock()
    cache = InMemoryStatusCache(clock)
    await cache.put(report(), 10)
    clock.advance(10)
    await cache.get()
    assert cache._report is None

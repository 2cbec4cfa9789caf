"""Worlds of a task or two, written down by hand, and what the in-memory Tasker tells of them.

The in-memory Tasker is what the SQL is compared with, so nothing but such worlds holds it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from tasker_health.adapters.memory.tasker import InMemoryTasker
from tasker_health.adapters.memory.world import Step, Task, Transition, World
from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from tasker_health.domain.status import Activity, PerformanceMetrics, SystemHealth

ENGINE, CORE = Generation.ENGINE, Generation.CORE
AT: Final = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)
WINDOW: Final = 3600.0


def ago(seconds: float) -> datetime:
    """Tell when it was so many seconds before AT."""
    return AT - timedelta(seconds=seconds)


def moved(*moves: tuple[str, float]) -> list[Transition]:
    """Make a history out of states and how many seconds before AT each was entered."""
    return [
        Transition(
            to_state=state,
            sort_key=number,
            most_recent=number == len(moves),
            created_at=ago(seconds),
        )
        for number, (state, seconds) in enumerate(moves, start=1)
    ]


def world_of(generation: Generation, *tasks: tuple[list[Transition], list[Step]]) -> World:
    """Make a world out of tasks: their histories, and their steps in order of id."""
    world = World(generation=generation)
    for id_, (moves, steps) in enumerate(tasks, start=1):
        world.tasks[id_] = Task(id=id_, created_at=ago(1000), transitions=moves)
        for step in steps:
            step.task_id, step.id = id_, len(world.steps) + 1
            world.steps[step.id] = step
    return world


def step(*moves: tuple[str, float], created: float = 900, **columns: Any) -> Step:
    """Make a step out of its history; ``world_of`` says whose it is."""
    return Step(id=0, task_id=0, created_at=ago(created), transitions=moved(*moves), **columns)


def failed_for_good(seconds: float = 500) -> Step:
    """Make a step that used up its attempts."""
    return step(("error", seconds), attempts=3)


async def counts(world: World) -> SystemHealth:
    """Count at AT."""
    async with InMemoryTasker(world).view(AT) as view:
        return await view.counts()


async def activity(world: World, window_seconds: float = WINDOW) -> Activity:
    """Tell the activity at AT."""
    async with InMemoryTasker(world).view(AT) as view:
        return await view.activity(window_seconds)


async def performance(world: World, window_seconds: float = WINDOW) -> PerformanceMetrics:
    """Look back from AT."""
    async with InMemoryTasker(world).view(AT) as view:
        return await view.performance(window_seconds)

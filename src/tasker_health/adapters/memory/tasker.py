"""Tasker in memory: the rules applied to records, one by one.

It is the yardstick that the SQL adapters are held against. Both are written from the same
description and share no line, so where they agree the rules are right, or wrongly told.
"""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from tasker_health.adapters.memory import core_rules, engine_rules
from tasker_health.adapters.memory.rules import (
    last_transition_at,
    performance,
    tasks_that_entered,
)
from tasker_health.domain.database import Generation
from tasker_health.domain.status import Activity, PerformanceMetrics, SystemHealth, Vitals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from tasker_health.adapters.memory.world import World
    from tasker_health.domain.ports import Tasker, TaskerView

__all__ = ["InMemoryTasker"]

_RULES: Final = MappingProxyType(
    {Generation.ENGINE: engine_rules, Generation.CORE: core_rules},
)

_NO_SERVER: Final = Vitals(round_trip_ms=0.0)


class InMemoryTasker:
    """Reads a world as if it were a database.

    Args:
        world: what Tasker keeps; it may be changed at any time, open views do not notice.

    Attributes:
        vitals: what views tell about the server; there is none unless a test says so.
        failure: raised on opening a view, while it is set.
        views: how many views were opened.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.vitals = _NO_SERVER
        self.failure: Exception | None = None
        self.views = 0

    @asynccontextmanager
    async def view(self, at: datetime) -> AsyncIterator[InMemoryView]:
        """Open one consistent view: a copy of the world as it is now."""
        if self.failure is not None:
            raise self.failure
        self.views += 1
        yield InMemoryView(self._world.copy(), at, self.vitals)


class InMemoryView:
    """The facts of one world at one moment."""

    def __init__(self, world: World, at: datetime, vitals: Vitals) -> None:
        self._world = world
        self._rules = _RULES[world.generation]
        self._at = at
        self._vitals = vitals

    async def counts(self) -> SystemHealth:
        """Count all tasks by state, and the steps that wait for a retry."""
        world = self._world
        tasks = Counter(self._rules.bucket(world, task, self._at) for task in world.tasks.values())
        return SystemHealth(
            total_tasks=len(world.tasks),
            pending_tasks=tasks["pending"],
            running_tasks=tasks["running"],
            completed_tasks=tasks["completed"],
            failed_tasks=tasks["failed"],
            blocked_tasks=tasks["blocked"],
            cancelled_tasks=tasks["cancelled"],
            retry_queue_size=len(self._rules.retry_queue(world)),
        )

    async def performance(self, window_seconds: float) -> PerformanceMetrics:
        """Look back over (at - window, at]."""
        return performance(self._world, self._at, window_seconds, self._rules.is_failed_for_good)

    async def activity(self, window_seconds: float) -> Activity:
        """Tell what is ready, when anything last moved, and what ended in the window."""
        world, at, rules = self._world, self._at, self._rules
        ready = rules.ready_steps(world, at)
        return Activity(
            ready_steps=len(ready),
            ready_since=self._past(min(map(rules.could_run_since, ready), default=None)),
            last_transition_at=last_transition_at(world, at),
            tasks_failed=tasks_that_entered(world, "error", at, window_seconds),
            tasks_completed=tasks_that_entered(world, "complete", at, window_seconds),
            blocked_since=self._past(rules.oldest_blocked_since(world, at)),
        )

    async def vitals(self) -> Vitals:
        """Tell what the tasker was told of its server."""
        return self._vitals

    def _past(self, moment: datetime | None) -> datetime | None:
        """Nothing has lasted since a time to come: it began at the latest now."""
        return None if moment is None else min(moment, self._at)


if TYPE_CHECKING:
    _view: type[TaskerView] = InMemoryView
    _: type[Tasker] = InMemoryTasker

"""Tasks that failed or completed a moment ago, written into a real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from tests.integration.tasker_databases import fill, writing

from tasker_health.adapters.memory.world import Task, Transition, World
from tasker_health.domain.database import Generation

__all__ = ["ended"]


def ended(url: str, *, failed: int, completed: int) -> None:
    """Put so many tasks that just ended in place of all that are there."""
    now = datetime.now(UTC)
    world = World(generation=Generation.ENGINE)
    for number in range(1, failed + completed + 1):
        state = "error" if number <= failed else "complete"
        moved = Transition(
            to_state=state,
            sort_key=1,
            most_recent=True,
            created_at=now - timedelta(seconds=1),
        )
        world.tasks[number] = Task(
            id=number,
            complete=state == "complete",
            created_at=now - timedelta(seconds=3),
            transitions=[moved],
        )

    async def write() -> None:
        async with writing(url) as engine:
            await fill(engine, world)

    asyncio.run(write())

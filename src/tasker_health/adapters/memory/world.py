"""Tasks, steps and their transitions as Tasker keeps them, as plain records.

One record is one row. Nothing is derived here: a world can hold every contradiction that
a database can. Identities are whole numbers in both generations; a writer turns them into
the keys of its tables. Times are aware UTC.

Source: database facts, *Generation 1* and *Generation 2*.
"""

from __future__ import annotations

from datetime import datetime

import attrs

from tasker_health.domain.database import Generation

__all__ = ["Step", "Task", "Transition", "World"]


@attrs.define(kw_only=True)
class Transition:
    """One move of a task or a step. Of one item's, at most one has ``most_recent``."""

    to_state: str
    from_state: str | None = None
    sort_key: int
    most_recent: bool
    created_at: datetime


@attrs.define(kw_only=True)
class Task:
    """One task; without a transition it is pending."""

    id: int
    name: str = "task"
    complete: bool = False
    created_at: datetime
    transitions: list[Transition] = attrs.field(factory=list)


@attrs.define(kw_only=True)
class Step:
    """One step of a task; without a transition it is pending.

    Args:
        retry_limit: ``retry_limit`` of the engine, ``max_attempts`` of the core.
        parents: ids of the steps that must be done first (the edges that end here).
    """

    id: int
    task_id: int
    name: str = "step"
    retryable: bool = True
    retry_limit: int | None = 3
    in_process: bool = False
    processed: bool = False
    processed_at: datetime | None = None
    attempts: int | None = None
    last_attempted_at: datetime | None = None
    backoff_request_seconds: int | None = None
    created_at: datetime
    transitions: list[Transition] = attrs.field(factory=list)
    parents: list[int] = attrs.field(factory=list)


@attrs.define(kw_only=True)
class World:
    """All that one Tasker keeps."""

    generation: Generation
    tasks: dict[int, Task] = attrs.field(factory=dict)
    steps: dict[int, Step] = attrs.field(factory=dict)

    def copy(self) -> World:
        """Make a world that holds the same and shares no record with this one."""
        return World(
            generation=self.generation,
            tasks={
                task.id: attrs.evolve(task, transitions=_copied(task.transitions))
                for task in self.tasks.values()
            },
            steps={
                step.id: attrs.evolve(
                    step, transitions=_copied(step.transitions), parents=list(step.parents)
                )
                for step in self.steps.values()
            },
        )


def _copied(transitions: list[Transition]) -> list[Transition]:
    return [attrs.evolve(move) for move in transitions]

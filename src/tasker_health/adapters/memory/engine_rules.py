"""The Rails engine's rules, as functions of its records.

Source: database facts, *Rules of the engine that health numbers rest on*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tasker_health.adapters.memory.rules import (
    attempts_left,
    current,
    dependencies_satisfied,
    doubled,
    requested_backoff_end,
    state,
    steps_of,
)

if TYPE_CHECKING:
    from datetime import datetime

    from tasker_health.adapters.memory.world import Step, Task, World

__all__ = [
    "bucket",
    "could_run_since",
    "is_blocked",
    "is_failed_for_good",
    "is_ready",
    "oldest_blocked_since",
    "ready_steps",
    "retry_queue",
]

_OPEN: Final = {"pending", "in_progress"}

_LONGEST_BACKOFF_SECONDS: Final = 30

_BUCKETS: Final = {
    "pending": "pending",
    "in_progress": "running",
    "complete": "completed",
    "resolved_manually": "completed",
    "error": "failed",
    "cancelled": "cancelled",
}


def bucket(world: World, task: Task, at: datetime) -> str:
    """Tell which of the report's six counts the task belongs to."""
    return "blocked" if is_blocked(world, task, at) else _BUCKETS[state(task)]


def is_blocked(world: World, task: Task, at: datetime) -> bool:
    """Tell whether an open task failed somewhere for good and has nothing left to run."""
    steps = steps_of(world, task)
    return (
        state(task) in _OPEN
        and any(is_failed_for_good(step) for step in steps)
        and not any(is_ready(world, step, at) for step in steps)
        and not any(state(step) == "in_progress" for step in steps)
    )


def is_failed_for_good(step: Step) -> bool:
    """Tell whether the step failed and may not be tried again."""
    return state(step) == "error" and not (step.retryable and attempts_left(step))


def is_ready(world: World, step: Step, at: datetime) -> bool:
    """Tell whether the step itself could run now, whatever its task's state."""
    return (
        state(step) in {"pending", "error"}
        and not step.processed
        and not step.in_process
        and step.retryable
        and attempts_left(step)
        and dependencies_satisfied(world, step)
        and all(end <= at for end in _backoff_ends(step))
    )


def ready_steps(world: World, at: datetime) -> list[Step]:
    """List the ready steps of open tasks: those of ended ones will never run."""
    return [step for step in _steps_of_open_tasks(world) if is_ready(world, step, at)]


def could_run_since(step: Step) -> datetime:
    """Tell since when the step could run, as far as its own row tells."""
    return max([step.created_at, *_backoff_ends(step)])


def retry_queue(world: World) -> list[Step]:
    """List the failed steps of open tasks that may be tried again."""
    return [
        step
        for step in _steps_of_open_tasks(world)
        if state(step) == "error" and step.retryable and attempts_left(step)
    ]


def oldest_blocked_since(world: World, at: datetime) -> datetime | None:
    """Tell since when the longest-blocked task is: since the last of its steps moved."""
    return min(
        (
            max(move.created_at for step in steps_of(world, task) if (move := current(step)))
            for task in world.tasks.values()
            if is_blocked(world, task, at)
        ),
        default=None,
    )


def _steps_of_open_tasks(world: World) -> list[Step]:
    return [step for step in world.steps.values() if state(world.tasks[step.task_id]) in _OPEN]


def _backoff_ends(step: Step) -> list[datetime]:
    """List when its back-offs end: the requested one, and the one after a failure."""
    requested, move = requested_backoff_end(step), current(step)
    ends = [] if requested is None else [requested]
    if move is not None and move.to_state == "error":
        ends.append(move.created_at + doubled(step.attempts, _LONGEST_BACKOFF_SECONDS))
    return ends

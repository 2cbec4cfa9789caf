"""The Rust core's rules, as functions of its records.

Source: database facts, *Generation 2*.
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
)

if TYPE_CHECKING:
    from datetime import datetime

    from tasker_health.adapters.memory.world import Step, Task, World

__all__ = [
    "bucket",
    "could_run_since",
    "is_failed_for_good",
    "is_ready",
    "oldest_blocked_since",
    "ready_steps",
    "retry_queue",
]

_RUNNING: Final = {
    "initializing",
    "enqueuing_steps",
    "steps_in_process",
    "evaluating_results",
    "waiting_for_dependencies",
    "waiting_for_retry",
}

_OPEN: Final = {"pending", *_RUNNING}
"""A blocked task is not among them: it moves on to ``error`` or is resolved by hand, and
none of its steps runs again before that."""

_LONGEST_BACKOFF_SECONDS: Final = 60

_BUCKETS: Final = {
    "pending": "pending",
    **dict.fromkeys(_RUNNING, "running"),
    "blocked_by_failures": "blocked",
    "complete": "completed",
    "resolved_manually": "completed",
    "error": "failed",
    "cancelled": "cancelled",
}


def bucket(_world: World, task: Task, _at: datetime) -> str:
    """Tell which of the report's six counts the task belongs to: its state tells all."""
    return _BUCKETS[state(task)]


def is_failed_for_good(step: Step) -> bool:
    """Tell whether the step failed and may not be tried again; a retry has its own state."""
    return state(step) == "error"


def is_ready(world: World, step: Step, at: datetime) -> bool:
    """Tell whether the step itself could be enqueued now, whatever its task's state."""
    end = _backoff_end(step)
    return (
        state(step) in {"pending", "waiting_for_retry"}
        and not step.processed
        and not step.in_process
        and dependencies_satisfied(world, step)
        and (not step.attempts or (step.retryable and attempts_left(step)))
        and (end is None or end <= at)
    )


def ready_steps(world: World, at: datetime) -> list[Step]:
    """List the ready and the enqueued steps of open tasks: both wait for a worker."""
    return [
        step
        for step in _steps_of_open_tasks(world)
        if state(step) == "enqueued" or is_ready(world, step, at)
    ]


def could_run_since(step: Step) -> datetime:
    """Tell since when the step could run, as far as its own row tells."""
    return max(step.created_at, _backoff_end(step) or step.created_at)


def retry_queue(world: World) -> list[Step]:
    """List the steps of open tasks that wait for a retry."""
    return [step for step in _steps_of_open_tasks(world) if state(step) == "waiting_for_retry"]


def oldest_blocked_since(world: World, _at: datetime) -> datetime | None:
    """Tell since when the longest-blocked task is in that state."""
    return min(
        (
            move.created_at
            for task in world.tasks.values()
            if (move := current(task)) and move.to_state == "blocked_by_failures"
        ),
        default=None,
    )


def _steps_of_open_tasks(world: World) -> list[Step]:
    return [step for step in world.steps.values() if state(world.tasks[step.task_id]) in _OPEN]


def _backoff_end(step: Step) -> datetime | None:
    """Tell when its back-off ends: a requested one stands in place of the doubling one."""
    requested = requested_backoff_end(step)
    if requested is not None:
        return requested
    failures = [move.created_at for move in step.transitions if move.to_state == "error"]
    if not failures:
        return None
    return max(failures) + doubled(step.attempts, _LONGEST_BACKOFF_SECONDS)

"""What can happen to a Tasker, as values; and what each of them does to a world.

A move says all that changes, and what it changes from: who writes it down need not know
the state before. Making moves up is ``workload.py``, writing them into a database
``living.py``.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias, assert_never

import attrs

from tasker_health.adapters.memory.world import Step, Task, Transition

if TYPE_CHECKING:
    from tasker_health.adapters.memory.world import World

__all__ = ["Move", "NewStep", "StepMoved", "TaskCreated", "TaskMoved", "apply"]


@attrs.frozen(kw_only=True)
class NewStep:
    """A step as it is made: nothing tried yet."""

    step_id: int
    name: str
    retry_limit: int | None
    parents: tuple[int, ...]


@attrs.frozen(kw_only=True)
class TaskCreated:
    """A task was asked for: its row, its steps and their edges, no transition yet."""

    at: datetime
    task_id: int
    name: str
    steps: tuple[NewStep, ...]


@attrs.frozen(kw_only=True)
class TaskMoved:
    """A task went from one state to another.

    Args:
        sort_key: of the new transition, 10 above the one before.
    """

    at: datetime
    task_id: int
    from_state: str
    to_state: str
    sort_key: int

    @property
    def completes(self) -> bool:
        """Whether the task's own row says ``complete`` from now on."""
        return self.to_state == "complete"


@attrs.frozen(kw_only=True)
class StepMoved:
    """A step went from one state to another; the columns are those of its row afterwards."""

    at: datetime
    step_id: int
    from_state: str
    to_state: str
    sort_key: int
    retryable: bool
    attempts: int | None
    in_process: bool
    processed: bool
    processed_at: datetime | None
    last_attempted_at: datetime | None
    backoff_request_seconds: int | None


Move: TypeAlias = TaskCreated | TaskMoved | StepMoved


def apply(world: World, move: Move) -> None:
    """Let the move happen in the world, in place.

    Raises:
        KeyError: it moves a task or a step that the world does not have.
    """
    match move:
        case TaskCreated():
            _create(world, move)
        case TaskMoved():
            task = world.tasks[move.task_id]
            _append(task.transitions, move)
            task.complete = task.complete or move.completes
        case StepMoved():
            step = world.steps[move.step_id]
            _append(step.transitions, move)
            step.retryable = move.retryable
            step.attempts = move.attempts
            step.in_process = move.in_process
            step.processed = move.processed
            step.processed_at = move.processed_at
            step.last_attempted_at = move.last_attempted_at
            step.backoff_request_seconds = move.backoff_request_seconds
        case _:
            assert_never(move)


def _create(world: World, move: TaskCreated) -> None:
    world.tasks[move.task_id] = Task(id=move.task_id, name=move.name, created_at=move.at)
    for new in move.steps:
        world.steps[new.step_id] = Step(
            id=new.step_id,
            task_id=move.task_id,
            name=new.name,
            retry_limit=new.retry_limit,
            created_at=move.at,
            parents=list(new.parents),
        )


def _append(transitions: list[Transition], move: TaskMoved | StepMoved) -> None:
    if transitions:
        transitions[-1].most_recent = False
    transitions.append(
        Transition(
            to_state=move.to_state,
            from_state=move.from_state,
            sort_key=move.sort_key,
            most_recent=True,
            created_at=move.at,
        )
    )

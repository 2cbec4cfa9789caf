"""What both generations read alike in the records.

Where they differ is :mod:`.engine_rules` and :mod:`.core_rules`. All of it is written to be
compared with the database facts line by line, not to be fast: every question walks the
whole world.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tasker_health.domain.status import PerformanceMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from tasker_health.adapters.memory.world import Step, Task, Transition, World

__all__ = [
    "attempts_left",
    "current",
    "dependencies_satisfied",
    "doubled",
    "last_transition_at",
    "performance",
    "requested_backoff_end",
    "state",
    "steps_of",
    "tasks_that_entered",
]

DEFAULT_LIMIT: Final = 3
"""How many attempts a step has whose row does not tell."""


def current(item: Task | Step) -> Transition | None:
    """Find the transition that tells the item's state; None when it never moved."""
    return next((move for move in item.transitions if move.most_recent), None)


def state(item: Task | Step) -> str:
    """Tell the state of a task or step; without a transition it is pending."""
    move = current(item)
    return move.to_state if move is not None else "pending"


def steps_of(world: World, task: Task) -> list[Step]:
    """List the steps of one task."""
    return [step for step in world.steps.values() if step.task_id == task.id]


def attempts_left(step: Step) -> bool:
    """Tell whether the step was tried fewer times than it may be."""
    limit = DEFAULT_LIMIT if step.retry_limit is None else step.retry_limit
    return (step.attempts or 0) < limit


def dependencies_satisfied(world: World, step: Step) -> bool:
    """Tell whether every parent step is done."""
    return all(
        state(world.steps[parent]) in {"complete", "resolved_manually"} for parent in step.parents
    )


def requested_backoff_end(step: Step) -> datetime | None:
    """Tell when the back-off ends that the step itself asked for; None without one."""
    if step.last_attempted_at is None or step.backoff_request_seconds is None:
        return None
    return step.last_attempted_at + timedelta(seconds=step.backoff_request_seconds)


def doubled(attempts: int | None, at_most_seconds: int) -> timedelta:
    """Tell the back-off that doubles with each attempt; an unknown number counts as one.

    The exponent stops where the limit is passed: no number of attempts can overflow it.
    """
    exponent = min(1 if attempts is None else attempts, at_most_seconds.bit_length())
    return timedelta(seconds=min(2**exponent, at_most_seconds))


def last_transition_at(world: World, at: datetime) -> datetime | None:
    """Tell when anything last moved, futures left out."""
    return max(
        (
            move.created_at
            for item in _items(world)
            for move in item.transitions
            if move.created_at <= at
        ),
        default=None,
    )


def tasks_that_entered(world: World, to_state: str, at: datetime, window_seconds: float) -> int:
    """Count the tasks, each once, that moved to this state in the window."""
    return sum(
        any(_in_window(move, at, window_seconds) for move in _moves_to(task, to_state))
        for task in world.tasks.values()
    )


def performance(
    world: World,
    at: datetime,
    window_seconds: float,
    failed_for_good: Callable[[Step], bool],
) -> PerformanceMetrics:
    """Look back over (at - window, at].

    Args:
        world: what Tasker keeps.
        at: the window's end.
        window_seconds: its length.
        failed_for_good: whether a step, in its current state, is permanently failed.
    """
    tasks = _completion_times(world.tasks.values(), at, window_seconds)
    steps = _completion_times(world.steps.values(), at, window_seconds)
    return PerformanceMetrics(
        window_seconds=window_seconds,
        avg_task_completion_time_ms=_mean_ms(tasks),
        avg_step_completion_time_ms=_mean_ms(steps),
        retry_success_rate=_retry_success_rate(world, at, window_seconds, failed_for_good),
        excluded_future=sum(
            move.created_at > at for item in _items(world) for move in _moves_to(item, "complete")
        ),
        excluded_negative=sum(time < timedelta() for time in (*tasks, *steps)),
    )


def _items(world: World) -> Iterable[Task | Step]:
    yield from world.tasks.values()
    yield from world.steps.values()


def _moves_to(item: Task | Step, to_state: str) -> list[Transition]:
    return [move for move in item.transitions if move.to_state == to_state]


def _in_window(move: Transition, at: datetime, window_seconds: float) -> bool:
    return at - timedelta(seconds=window_seconds) < move.created_at <= at


def _completion_times(
    items: Iterable[Task | Step], at: datetime, window_seconds: float
) -> list[timedelta]:
    """From creation to each completion in the window, the negative ones included."""
    return [
        move.created_at - item.created_at
        for item in items
        for move in _moves_to(item, "complete")
        if _in_window(move, at, window_seconds)
    ]


def _mean_ms(times: Sequence[timedelta]) -> float | None:
    counted = [time for time in times if time >= timedelta()]
    if not counted:
        return None
    return sum(counted, timedelta()) / timedelta(milliseconds=1) / len(counted)


def _retry_success_rate(
    world: World,
    at: datetime,
    window_seconds: float,
    failed_for_good: Callable[[Step], bool],
) -> float | None:
    ended = [
        step
        for step in world.steps.values()
        if (step.attempts or 0) > 1
        and (move := current(step)) is not None
        and _in_window(move, at, window_seconds)
        and (state(step) == "complete" or failed_for_good(step))
    ]
    if not ended:
        return None
    return sum(state(step) == "complete" for step in ended) / len(ended)

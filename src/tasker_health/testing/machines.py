"""Tasker's state machines: which moves a task or step may make, and random walks along them.

Source: database facts, *States* of both generations.
"""

from __future__ import annotations

from collections import deque
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

__all__ = ["STEP_MOVES", "TASK_MOVES", "Moves", "walk"]

Moves = dict[str, tuple[str, ...]]
"""From each state, the states that may follow it."""

_ENGINE_TASK: Final[Moves] = {
    "pending": ("in_progress", "cancelled", "error"),
    "in_progress": ("complete", "error", "cancelled", "pending"),
    "error": ("pending", "resolved_manually"),
    "complete": ("cancelled",),
    "resolved_manually": ("cancelled",),
    "cancelled": (),
}

_ENGINE_STEP: Final[Moves] = {
    "pending": ("in_progress", "error", "cancelled", "resolved_manually"),
    "in_progress": ("complete", "error", "cancelled"),
    "error": ("pending", "resolved_manually"),
    "complete": (),
    "resolved_manually": (),
    "cancelled": (),
}

_CORE_TASK_FLOW: Final[Moves] = {
    "pending": ("initializing",),
    "initializing": ("enqueuing_steps", "waiting_for_dependencies", "complete"),
    "enqueuing_steps": ("steps_in_process", "error"),
    "steps_in_process": ("evaluating_results", "waiting_for_retry", "complete", "error"),
    "evaluating_results": (
        "complete",
        "enqueuing_steps",
        "waiting_for_dependencies",
        "blocked_by_failures",
    ),
    "waiting_for_dependencies": ("evaluating_results",),
    "waiting_for_retry": ("enqueuing_steps",),
    "blocked_by_failures": ("error", "resolved_manually"),
}

_CORE_TASK: Final[Moves] = {
    **{
        state: (*dict.fromkeys((*follows, "cancelled", "resolved_manually")),)
        for state, follows in _CORE_TASK_FLOW.items()
    },
    "error": ("pending", "resolved_manually"),
    "complete": ("resolved_manually",),
    "cancelled": ("resolved_manually",),
    "resolved_manually": (),
}

_CORE_STEP: Final[Moves] = {
    "pending": ("enqueued", "in_progress", "error", "waiting_for_retry", "cancelled"),
    "enqueued": ("in_progress", "error", "waiting_for_retry", "cancelled"),
    "in_progress": (
        "enqueued_for_orchestration",
        "enqueued_as_error_for_orchestration",
        "complete",
        "error",
        "waiting_for_retry",
        "cancelled",
    ),
    "enqueued_for_orchestration": ("complete", "error", "cancelled"),
    "enqueued_as_error_for_orchestration": ("error", "complete", "waiting_for_retry", "cancelled"),
    "waiting_for_retry": ("pending", "cancelled"),
    "error": ("pending", "cancelled", "resolved_manually"),
    "complete": (),
    "cancelled": (),
    "resolved_manually": (),
}

TASK_MOVES: Final[Mapping[Generation, Moves]] = MappingProxyType(
    {Generation.ENGINE: _ENGINE_TASK, Generation.CORE: _CORE_TASK}
)
STEP_MOVES: Final[Mapping[Generation, Moves]] = MappingProxyType(
    {Generation.ENGINE: _ENGINE_STEP, Generation.CORE: _CORE_STEP}
)


def walk(moves: Moves, random: Random, goal: str) -> list[str]:
    """Walk from ``pending`` to the goal, sometimes by a detour.

    Returns:
        The states in order, ``pending`` first. Where a detour cannot lead to the goal any
        more, the direct way is taken.
    """
    passed = ["pending"]
    for _ in range(random.choice((0, 0, 0, 1, 2, 4))):
        onward = [state for state in moves[passed[-1]] if _way(moves, state, goal) is not None]
        if not onward:
            break
        passed.append(random.choice(onward))
    return [*passed, *(_way(moves, passed[-1], goal) or [])]


def _way(moves: Moves, start: str, goal: str) -> list[str] | None:
    """Find the shortest way, without its start; None when there is none."""
    ways: dict[str, list[str]] = {start: []}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        if state == goal:
            return ways[state]
        for following in moves[state]:
            if following not in ways:
                ways[following] = [*ways[state], following]
                queue.append(following)
    return None

"""Generated worlds are legal, and spare a query nothing."""

# ruff: noqa: S311  chance makes data here, not secrets

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasker_health.adapters.memory.rules import state
from tasker_health.adapters.memory.tasker import InMemoryTasker
from tasker_health.domain.database import Generation
from tasker_health.testing.machines import STEP_MOVES, TASK_MOVES, walk
from tasker_health.testing.worlds import AT, WINDOW_SECONDS, random_world, worlds

if TYPE_CHECKING:
    from datetime import datetime

    from tasker_health.adapters.memory.world import Step, Task, World
    from tasker_health.testing.machines import Moves

pytestmark = pytest.mark.parametrize("generation", Generation)

ENDED = {"complete", "cancelled", "resolved_manually", "error", "blocked_by_failures"}


def many(generation: Generation, count: int = 60) -> list[World]:
    """Make as many worlds, the same in every run."""
    return [random_world(generation, Random(seed), AT) for seed in range(count)]


def items(world: World) -> list[Task | Step]:
    """List tasks and steps."""
    return [*world.tasks.values(), *world.steps.values()]


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_every_item_got_where_it_is_by_legal_moves(
    generation: Generation, data: st.DataObject
) -> None:
    """Each history starts at pending, makes moves that Tasker makes, and names them rightly."""
    world = data.draw(worlds(generation))

    def check(item: Task | Step, moves: Moves) -> None:
        before = "pending"
        for number, move in enumerate(item.transitions):
            if number == 0 and move.to_state == "pending":
                assert move.from_state is None
                continue
            assert move.from_state == before
            assert move.to_state in moves[before]
            before = move.to_state

    for task in world.tasks.values():
        check(task, TASK_MOVES[generation])
    for step in world.steps.values():
        check(step, STEP_MOVES[generation])


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_what_a_database_enforces_holds(generation: Generation, data: st.DataObject) -> None:
    """The newest transition alone is current, sort keys are unique, and edges make a DAG."""
    world = data.draw(worlds(generation))
    for item in items(world):
        flags = [move.most_recent for move in item.transitions]
        assert flags == [False] * (len(flags) - 1) + [True] * bool(flags)
        keys = [move.sort_key for move in item.transitions]
        assert keys == sorted(set(keys))
    for step in world.steps.values():
        assert step.task_id in world.tasks
        assert len(set(step.parents)) == len(step.parents)
        for parent in step.parents:
            assert parent < step.id
            assert world.steps[parent].task_id == step.task_id


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_an_open_task_is_never_marked_complete(generation: Generation, data: st.DataObject) -> None:
    """The flag is set only on tasks that were completed and are not open."""
    for task in data.draw(worlds(generation)).tasks.values():
        if task.complete:
            assert state(task) in {"complete", "cancelled", "resolved_manually"}
            assert "complete" in {move.to_state for move in task.transitions}


def test_the_same_seed_makes_the_same_world(generation: Generation) -> None:
    """A failing world can be made again from its seed; another seed makes another."""
    assert random_world(generation, Random(1), AT) == random_world(generation, Random(1), AT)
    assert random_world(generation, Random(1), AT) != random_world(generation, Random(2), AT)


def test_worlds_have_as_many_tasks_as_asked(generation: Generation) -> None:
    """The number of tasks is what was asked for, none included."""
    assert [len(random_world(generation, Random(0), AT, tasks=n).tasks) for n in (0, 1, 40)] == [
        0,
        1,
        40,
    ]


@pytest.mark.anyio
async def test_every_number_moves(generation: Generation) -> None:
    """In a fair part of the worlds each number of a report is there and not zero."""
    moving: Counter[str] = Counter()
    generated = many(generation, 80)
    for world in generated:
        async with InMemoryTasker(world).view(AT) as view:
            facts = (
                await view.counts(),
                await view.performance(WINDOW_SECONDS),
                await view.activity(WINDOW_SECONDS),
            )
        for fact in facts:
            moving.update(name for name, value in attrs.asdict(fact).items() if value)
    assert len(moving) == 20
    assert min(moving.values()) > len(generated) * 0.15


def test_every_trap_is_set(generation: Generation) -> None:
    """Among the worlds is everything that trips a query."""
    steps = [step for world in many(generation) for step in world.steps.values()]
    tasks = [(world, task) for world in many(generation) for task in world.tasks.values()]
    assert {state(step) for step in steps} == set(STEP_MOVES[generation])
    assert {state(task) for _, task in tasks} == set(TASK_MOVES[generation])
    assert {step.attempts for step in steps} >= {None, 0, 1, 60}
    assert {step.retry_limit for step in steps} >= {None, 0, 3}
    for flag in ("retryable", "processed", "in_process"):
        assert {getattr(step, flag) for step in steps} == {True, False}
    assert any(not step.transitions for step in steps)
    assert any(not task.transitions for _, task in tasks)
    assert any(len(step.parents) > 1 for step in steps)
    owners = [{step.task_id for step in world.steps.values()} for world, _ in tasks]
    assert any(task.id not in owned for (_, task), owned in zip(tasks, owners, strict=True))
    assert {step.last_attempted_at is None for step in steps} == {True, False}
    assert {step.backoff_request_seconds is None for step in steps} == {True, False}


def test_moments_fall_on_edges_and_at_odds(generation: Generation) -> None:
    """Moves fall exactly on the window's edges, into the future, and before the creation."""
    moves = [
        (item.created_at, move.created_at)
        for world in many(generation)
        for item in items(world)
        for move in item.transitions
    ]
    ages = {(AT - moved).total_seconds() for _, moved in moves}
    assert {0.0, WINDOW_SECONDS} <= ages
    assert {-1e-6, 1e-6} <= {round(age, 6) for age in ages}
    assert any(age < -1 for age in ages)
    assert any(moved < created for created, moved in moves)


def test_back_offs_end_exactly_now(generation: Generation) -> None:
    """Requested back-offs end at the very moment, a microsecond before and one after."""
    ends: set[datetime] = set()
    for world in many(generation, 150):
        for step in world.steps.values():
            if step.last_attempted_at is not None and step.backoff_request_seconds is not None:
                seconds = step.backoff_request_seconds
                ends.add(step.last_attempted_at - AT + (AT.resolution * seconds * 1_000_000) + AT)
    assert {AT - AT.resolution, AT, AT + AT.resolution} <= ends


@pytest.mark.parametrize("seed", range(20))
def test_a_walk_ends_at_its_goal(generation: Generation, seed: int) -> None:
    """Every state can be walked to, by moves that are made, whatever the detour."""
    for moves in (TASK_MOVES[generation], STEP_MOVES[generation]):
        for goal in moves:
            passed = walk(moves, Random(seed), goal)
            assert passed[0] == "pending"
            assert passed[-1] == goal
            assert all(after in moves[before] for before, after in pairwise(passed))

"""The simulated Tasker keeps Tasker's laws, and shows all that can happen to one."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasker_health.adapters.memory.tasker import InMemoryView
from tasker_health.adapters.memory.world import Step, Task, World
from tasker_health.domain.database import Generation
from tasker_health.domain.status import Vitals
from tasker_health.simulation.catalog import RECIPES, Recipe, StepPlan
from tasker_health.simulation.moves import Move, StepMoved, TaskCreated, TaskMoved, apply
from tasker_health.simulation.workload import moves
from tasker_health.testing.machines import STEP_MOVES, TASK_MOVES

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
DONE = {"complete", "resolved_manually"}

generations = st.sampled_from(list(Generation))
seeds = st.integers(min_value=0, max_value=2**32)
lengths = st.integers(min_value=0, max_value=1500)


def begun(generation: Generation, seed: int, length: int) -> list[Move]:
    """Give the first moves of a workload."""
    return list(islice(moves(generation, seed=seed, begin=BEGIN), length))


def world_after(generation: Generation, happened: list[Move]) -> World:
    """Let moves happen in an empty world."""
    world = World(generation=generation)
    for move in happened:
        apply(world, move)
    return world


def items(world: World) -> list[Task | Step]:
    """Give all tasks and steps of a world."""
    return [*world.tasks.values(), *world.steps.values()]


def state(item: Task | Step) -> str:
    """Tell an item's state by its flag alone."""
    return next((one.to_state for one in item.transitions if one.most_recent), "pending")


@given(generations, seeds, lengths)
@settings(max_examples=25, deadline=None)
def test_every_move_is_legal(generation: Generation, seed: int, length: int) -> None:
    """No task and no step makes a move that its generation's state machine does not have."""
    tasks: dict[int, str] = {}
    steps: dict[int, str] = {}
    for move in begun(generation, seed, length):
        match move:
            case TaskCreated():
                tasks[move.task_id] = "pending"
                steps.update((new.step_id, "pending") for new in move.steps)
            case TaskMoved():
                assert move.from_state == tasks[move.task_id]
                assert move.to_state in TASK_MOVES[generation][move.from_state]
                tasks[move.task_id] = move.to_state
            case StepMoved():
                assert move.from_state == steps[move.step_id]
                assert move.to_state in STEP_MOVES[generation][move.from_state]
                steps[move.step_id] = move.to_state


@pytest.mark.parametrize("generation", Generation)
def test_without_recipes_nothing_happens(generation: Generation) -> None:
    """Where there is nothing to do, the work is over before it began."""
    assert list(moves(generation, seed=1, begin=BEGIN, recipes=())) == []


@given(generations, seeds, lengths)
@settings(max_examples=25, deadline=None)
def test_transitions_are_a_chain(generation: Generation, seed: int, length: int) -> None:
    """Sort keys rise by ten, times never fall, and the last transition alone is current."""
    for item in items(world_after(generation, begun(generation, seed, length))):
        made = item.transitions
        assert [one.sort_key for one in made] == [10 * n for n in range(1, len(made) + 1)]
        assert [one.most_recent for one in made] == [False] * (len(made) - 1) + [True] * bool(made)
        assert all(before.to_state == after.from_state for before, after in pairwise(made))
        times = [item.created_at, *(one.created_at for one in made)]
        assert times == sorted(times)


@given(generations, seeds, lengths)
@settings(max_examples=25, deadline=None)
def test_rows_agree_with_their_states(generation: Generation, seed: int, length: int) -> None:
    """A row says complete, processed and in process when, and only when, its state does."""
    world = world_after(generation, begun(generation, seed, length))
    for task in world.tasks.values():
        assert task.complete is (state(task) == "complete")
    for step in world.steps.values():
        at_end = step.transitions[-1].created_at if step.transitions else None
        assert step.processed is (state(step) in DONE)
        assert step.processed_at == (at_end if step.processed else None)
        assert step.in_process is (state(step) == "in_progress")
        if state(step) == "error":
            assert (step.attempts or 0) >= 1


@given(generations, seeds, lengths)
@settings(max_examples=25, deadline=None)
def test_parents_come_first(generation: Generation, seed: int, length: int) -> None:
    """No step begins before all its parents are done."""
    states: dict[int, str] = {}
    parents: dict[int, tuple[int, ...]] = {}
    for move in begun(generation, seed, length):
        if isinstance(move, TaskCreated):
            parents.update((new.step_id, new.parents) for new in move.steps)
        elif isinstance(move, StepMoved):
            if move.to_state in {"enqueued", "in_progress"}:
                assert all(states.get(parent) in DONE for parent in parents[move.step_id])
            states[move.step_id] = move.to_state


@given(generations, seeds, lengths)
@settings(max_examples=25, deadline=None)
def test_attempts_keep_to_limit_and_back_off(
    generation: Generation, seed: int, length: int
) -> None:
    """No step is tried more often than its limit, after a refusal, or within its back-off."""
    limits: dict[int, int] = {}
    last: dict[int, StepMoved] = {}
    for move in begun(generation, seed, length):
        if isinstance(move, TaskCreated):
            limits.update((new.step_id, new.retry_limit or 3) for new in move.steps)
        elif isinstance(move, StepMoved):
            before = last.get(move.step_id)
            if before is not None and move.to_state == "pending" and move.attempts:
                assert before.to_state in {"error", "waiting_for_retry"}
                assert before.retryable
                assert move.attempts < limits[move.step_id]
                assert before.last_attempted_at is not None
                asked = timedelta(seconds=before.backoff_request_seconds or 0)
                assert move.at >= before.last_attempted_at + asked
                if generation is Generation.ENGINE:
                    wait = min(2**move.attempts, 30)
                    assert move.at >= before.at + timedelta(seconds=wait)
            assert (move.attempts or 0) <= limits[move.step_id]
            last[move.step_id] = move


@given(generations, seeds)
@settings(max_examples=10, deadline=None)
def test_same_seed_same_history(generation: Generation, seed: int) -> None:
    """The same seed makes the same moves, in the order of their times; another one others."""
    once = begun(generation, seed, 400)
    assert once == begun(generation, seed, 400)
    assert once != begun(generation, seed + 1, 400)
    assert [move.at for move in once] == sorted(move.at for move in once)
    assert once[0].at > BEGIN


@pytest.mark.parametrize("generation", Generation)
def test_all_states_occur(generation: Generation) -> None:
    """Six hours of work pass through every state that a task or a step of the generation has."""
    seen: set[tuple[type[Move], str]] = set()
    for move in moves(generation, seed=1, begin=BEGIN):
        if move.at > BEGIN + timedelta(hours=6):
            break
        if not isinstance(move, TaskCreated):
            seen.add((type(move), move.to_state))
    assert {to for kind, to in seen if kind is TaskMoved} == set(TASK_MOVES[generation])
    assert {to for kind, to in seen if kind is StepMoved} == set(STEP_MOVES[generation])


@pytest.mark.anyio
@pytest.mark.parametrize("generation", Generation)
async def test_every_number_moves(generation: Generation) -> None:
    """Seen through the port, each count of a busy Tasker adds up and is above zero at times."""
    world = World(generation=generation)
    look_at = BEGIN + timedelta(minutes=2)
    peaks: Counter[str] = Counter()
    for move in moves(generation, seed=5, begin=BEGIN, recipes=[_TROUBLED]):
        if move.at > look_at:
            view = InMemoryView(world.copy(), look_at, Vitals(round_trip_ms=0))
            counts = await view.counts()
            assert counts.total_tasks == len(world.tasks)
            peaks |= Counter({name: getattr(counts, name) for name in _COUNTS})
            look_at += timedelta(seconds=45)
        if move.at > BEGIN + timedelta(minutes=45):
            break
        apply(world, move)
    assert set(peaks) == set(_COUNTS)
    performance = await InMemoryView(world, look_at, Vitals(round_trip_ms=0)).performance(3600)
    assert performance.avg_task_completion_time_ms
    assert performance.avg_step_completion_time_ms
    assert performance.retry_success_rate
    assert performance.excluded_future == performance.excluded_negative == 0


@pytest.mark.parametrize("generation", Generation)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_few_tasks_fail(generation: Generation, seed: int) -> None:
    """In an hour of the shipped recipes some tasks fail, and under five of a hundred do."""
    ended: Counter[str] = Counter()
    for move in moves(generation, seed=seed, begin=BEGIN):
        if move.at > BEGIN + timedelta(hours=1):
            break
        if isinstance(move, TaskMoved):
            ended[move.to_state] += 1
    assert 0 < ended["error"] < 0.05 * (ended["error"] + ended["complete"])


def test_recipes_are_graphs() -> None:
    """Each recipe names its steps once, parents before children."""
    for recipe in RECIPES:
        known: set[str] = set()
        for plan in recipe.steps:
            assert plan.name not in known
            assert known.issuperset(plan.after)
            known.add(plan.name)


_COUNTS = (
    "pending_tasks",
    "running_tasks",
    "completed_tasks",
    "failed_tasks",
    "blocked_tasks",
    "cancelled_tasks",
    "retry_queue_size",
)

_TROUBLED = Recipe(
    "troubled",
    6,
    (
        StepPlan("first", 2),
        StepPlan("left", 3, after=("first",), flaky=0.5),
        StepPlan("right", 1, after=("first",)),
    ),
)
"""Fails often, so that a small world shows everything."""

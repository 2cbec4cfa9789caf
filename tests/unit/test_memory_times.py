"""Since when, how long and how often, by the rules of both generations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from tests.unit.small_worlds import (
    AT,
    CORE,
    ENGINE,
    WINDOW,
    activity,
    ago,
    failed_for_good,
    moved,
    performance,
    step,
    world_of,
)

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from tasker_health.adapters.memory.world import Step

pytestmark = pytest.mark.anyio


async def test_the_engine_is_blocked_since_a_tasks_last_step_moved() -> None:
    """Of each blocked task the latest step counts, and of all tasks the longest blocked."""
    world = world_of(
        ENGINE,
        (moved(("in_progress", 800)), [failed_for_good(700), step(("complete", 300)), step()]),
        (moved(("in_progress", 800)), [failed_for_good(200)]),
        (moved(("error", 800)), [failed_for_good(799)]),
    )
    world.steps[3].parents = [1]
    assert (await activity(world)).blocked_since == ago(300)


async def test_the_core_is_blocked_since_the_state_was_entered() -> None:
    """The earliest entry of a current blocked state counts; one that was left does not."""
    world = world_of(
        CORE,
        (moved(("blocked_by_failures", 300)), [step(("error", 5))]),
        (moved(("blocked_by_failures", 200)), []),
        (moved(("blocked_by_failures", 800), ("error", 700)), []),
    )
    assert (await activity(world)).blocked_since == ago(300)


@pytest.mark.parametrize("generation", Generation)
async def test_nothing_lasts_since_the_future(generation: Generation) -> None:
    """Where clocks ran ahead, what is ready or blocked is so since now."""
    state = {ENGINE: "in_progress", CORE: "blocked_by_failures"}[generation]
    world = world_of(
        generation,
        (moved((state, -50)), [failed_for_good(-50)]),
        ([], [step(created=-70)]),
    )
    found = await activity(world)
    assert found.ready_since == AT
    assert found.blocked_since == AT


async def test_ready_since_the_engines_last_hindrance_was_over() -> None:
    """A step is ready since it is there and all its back-offs are over; the longest counts."""
    world = world_of(
        ENGINE,
        (
            [],
            [
                step(("error", 500), attempts=2),  # over 4 s later
                step(
                    ("error", 600),
                    attempts=1,
                    last_attempted_at=ago(600),
                    backoff_request_seconds=120,
                ),
                step(created=400),
            ],
        ),
    )
    assert (await activity(world)).ready_since == ago(496)


async def test_ready_since_the_cores_back_off_was_over() -> None:
    """In the core a requested back-off stands in place of the other, also for the age."""
    world = world_of(
        CORE,
        (
            [],
            [
                step(
                    ("error", 600),
                    ("pending", 599),
                    attempts=1,
                    last_attempted_at=ago(600),
                    backoff_request_seconds=1,
                ),
                step(("error", 500), ("pending", 499), attempts=2),
            ],
        ),
    )
    assert (await activity(world)).ready_since == ago(599)


@pytest.mark.parametrize("generation", Generation)
async def test_the_last_move_is_the_latest_that_happened(generation: Generation) -> None:
    """The latest transition of any task or step counts, not only current ones, none to come."""
    world = world_of(
        generation,
        (moved(("in_progress", 50)), [step(("in_progress", 7), ("complete", -5))]),
    )
    assert (await activity(world)).last_transition_at == ago(7)
    world.tasks[1].transitions[0].created_at = AT
    assert (await activity(world)).last_transition_at == AT


@pytest.mark.parametrize("generation", Generation)
async def test_the_window_leaves_out_its_beginning_and_holds_its_end(
    generation: Generation,
) -> None:
    """Of moves at both edges, only those after the beginning and not after the end count."""
    edges = [3600, 3599.999999, 0, -0.000001]
    world = world_of(
        generation,
        *((moved(("complete", seconds)), []) for seconds in edges),
        *((moved(("error", seconds)), []) for seconds in edges),
    )
    found = await activity(world)
    assert (found.tasks_completed, found.tasks_failed) == (2, 2)
    assert (await performance(world)).excluded_future == 1
    found = await activity(world, 3600.000001)
    assert (found.tasks_completed, found.tasks_failed) == (3, 3)


@pytest.mark.parametrize("generation", Generation)
async def test_a_task_that_failed_twice_failed_once(generation: Generation) -> None:
    """Tasks are counted, not their moves, and whatever became of them since."""
    world = world_of(
        generation, (moved(("error", 9), ("pending", 8), ("error", 7), ("pending", 6)), [])
    )
    assert (await activity(world)).tasks_failed == 1


@pytest.mark.parametrize("generation", Generation)
async def test_averages_are_from_creation_to_completion_in_the_window(
    generation: Generation,
) -> None:
    """Completions in the window are averaged, those before it are not, nor other moves."""
    world = world_of(
        generation,
        (moved(("complete", 990)), [step(("complete", 850)), step(("complete", 899.9985))]),
        (moved(("complete", 980), ("cancelled", 5)), [step(("error", 100), attempts=9)]),
        (moved(("error", 900)), []),
        (moved(("complete", 4000)), [step(("complete", 3600), created=5000)]),
    )
    found = await performance(world)
    assert found.avg_task_completion_time_ms == 15_000.0  # of 10 s and 20 s
    assert found.avg_step_completion_time_ms == 25_000.75  # of 50 s and 1.5 ms
    assert found.excluded_future == 0
    assert found.excluded_negative == 0
    assert found.window_seconds == WINDOW


@pytest.mark.parametrize("generation", Generation)
async def test_impossible_completions_are_counted_apart(generation: Generation) -> None:
    """Completions to come and those before their creation are left out and counted."""
    world = world_of(
        generation,
        (moved(("complete", 1000)), []),
        (moved(("complete", 1001)), [step(("complete", 901)), step(("complete", 5000))]),
        (moved(("complete", -1)), [step(("complete", -9999))]),
    )
    found = await performance(world)
    assert found.avg_task_completion_time_ms == 0.0
    assert found.avg_step_completion_time_ms is None
    assert found.excluded_future == 2
    assert found.excluded_negative == 2


@pytest.mark.parametrize("generation", Generation)
async def test_without_completions_nothing_is_averaged(generation: Generation) -> None:
    """Where nothing qualifies, no number is invented."""
    found = await performance(world_of(generation, (moved(("error", 5)), [step(("pending", 5))])))
    assert found.avg_task_completion_time_ms is None
    assert found.avg_step_completion_time_ms is None
    assert found.retry_success_rate is None


RETRIED: Final[dict[str, tuple[Generation, Step, float | None]]] = {
    "engine: completed": (ENGINE, step(("complete", 5), attempts=2), 1.0),
    "engine: used up": (ENGINE, step(("error", 5), attempts=3), 0.0),
    "engine: no leave": (ENGINE, step(("error", 5), attempts=2, retryable=False), 0.0),
    "engine: no limit told": (ENGINE, step(("error", 5), attempts=3, retry_limit=None), 0.0),
    "engine: to be retried": (ENGINE, step(("error", 5), attempts=2), None),
    "engine: resolved by hand": (ENGINE, step(("resolved_manually", 5), attempts=3), None),
    "engine: at the first attempt": (ENGINE, step(("complete", 5), attempts=1), None),
    "engine: attempts unknown": (ENGINE, step(("complete", 5), attempts=None), None),
    "engine: before the window": (ENGINE, step(("complete", 3600), attempts=2), None),
    "engine: at the window's end": (ENGINE, step(("complete", 0), attempts=2), 1.0),
    "engine: to come": (ENGINE, step(("complete", -1), attempts=2), None),
    "engine: before its creation": (ENGINE, step(("complete", 901), attempts=2), 1.0),
    "engine: only the end counts": (
        ENGINE,
        step(("error", 9), ("pending", 8), ("complete", 5), attempts=3),
        1.0,
    ),
    "core: completed": (CORE, step(("complete", 5), attempts=2), 1.0),
    "core: failed": (CORE, step(("error", 5), attempts=2), 0.0),
    "core: to be retried": (CORE, step(("waiting_for_retry", 5), attempts=2), None),
    "core: cancelled": (CORE, step(("cancelled", 5), attempts=2), None),
}


@pytest.mark.parametrize(("generation", "one", "rate"), RETRIED.values(), ids=RETRIED.keys())
async def test_what_counts_for_the_retry_success_rate(
    generation: Generation, one: Step, rate: float | None
) -> None:
    """A retried step counts once it reached an end in the window, as the table says."""
    world = world_of(generation, (moved(("cancelled", 5)), [one]))
    assert (await performance(world)).retry_success_rate == rate


async def test_the_retry_success_rate_is_a_share() -> None:
    """Of three retried steps that completed and one that failed, three quarters succeeded."""
    steps = [step(("complete", 5), attempts=2) for _ in range(3)]
    world = world_of(ENGINE, ([], [*steps, failed_for_good()]))
    assert (await performance(world)).retry_success_rate == 0.75

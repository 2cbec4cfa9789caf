"""What counts, what is ready, and what is blocked, by the rules of both generations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from tests.unit.small_worlds import (
    CORE,
    ENGINE,
    activity,
    ago,
    counts,
    failed_for_good,
    moved,
    step,
    world_of,
)

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from tasker_health.adapters.memory.world import Step, Transition

pytestmark = pytest.mark.anyio


BUCKETS: Final = {
    ENGINE: {
        "pending": "pending",
        "in_progress": "running",
        "complete": "completed",
        "resolved_manually": "completed",
        "error": "failed",
        "cancelled": "cancelled",
    },
    CORE: {
        "pending": "pending",
        "initializing": "running",
        "enqueuing_steps": "running",
        "steps_in_process": "running",
        "evaluating_results": "running",
        "waiting_for_dependencies": "running",
        "waiting_for_retry": "running",
        "blocked_by_failures": "blocked",
        "complete": "completed",
        "resolved_manually": "completed",
        "error": "failed",
        "cancelled": "cancelled",
    },
}


@pytest.mark.parametrize(
    ("generation", "state", "bucket"),
    [(generation, *pair) for generation, buckets in BUCKETS.items() for pair in buckets.items()],
)
async def test_each_state_has_its_count(generation: Generation, state: str, bucket: str) -> None:
    """A task is counted once, under the count that its current state belongs to."""
    world = world_of(generation, (moved(("error", 9), (state, 5)), []))
    found = await counts(world)
    assert getattr(found, f"{bucket}_tasks") == 1
    assert found.total_tasks == 1


@pytest.mark.parametrize("generation", Generation)
async def test_a_task_that_never_moved_is_pending(generation: Generation) -> None:
    """Without a transition a task is pending, and nothing has happened yet."""
    world = world_of(generation, ([], []))
    assert (await counts(world)).pending_tasks == 1
    assert (await activity(world)).last_transition_at is None


READY: Final[dict[str, tuple[Generation, Step, bool]]] = {
    # The engine: pending or failed, with leave and attempts left, and no back-off running.
    "engine: never moved": (ENGINE, step(), True),
    "engine: pending": (ENGINE, step(("pending", 5)), True),
    "engine: in progress": (ENGINE, step(("in_progress", 5)), False),
    "engine: complete": (ENGINE, step(("complete", 5)), False),
    "engine: processed": (ENGINE, step(processed=True), False),
    "engine: in process": (ENGINE, step(in_process=True), False),
    "engine: not retryable": (ENGINE, step(retryable=False), False),
    "engine: an attempt left": (ENGINE, step(attempts=2), True),
    "engine: none left": (ENGINE, step(attempts=3), False),
    "engine: no limit told means 3": (ENGINE, step(attempts=2, retry_limit=None), True),
    "engine: no limit told, used up": (ENGINE, step(attempts=3, retry_limit=None), False),
    "engine: no attempts told means 0": (ENGINE, step(attempts=None, retry_limit=1), True),
    "engine: a limit of 0": (ENGINE, step(attempts=None, retry_limit=0), False),
    "engine: failed, 2 s for one attempt": (ENGINE, step(("error", 2), attempts=1), True),
    "engine: failed, too soon": (ENGINE, step(("error", 1.999999), attempts=1), False),
    "engine: failed, unknown counts as one": (ENGINE, step(("error", 2), attempts=None), True),
    "engine: failed, unknown, too soon": (ENGINE, step(("error", 1.9), attempts=None), False),
    "engine: failed, 1 s for none": (ENGINE, step(("error", 1), attempts=0), True),
    "engine: failed, 16 s for 4": (ENGINE, step(("error", 16), attempts=4, retry_limit=9), True),
    "engine: failed, 15 s for 4": (ENGINE, step(("error", 15), attempts=4, retry_limit=9), False),
    "engine: failed, 30 s at most": (
        ENGINE,
        step(("error", 30), attempts=60, retry_limit=99),
        True,
    ),
    "engine: failed, 29 s": (ENGINE, step(("error", 29), attempts=60, retry_limit=99), False),
    "engine: back-off ends now": (
        ENGINE,
        step(last_attempted_at=ago(60), backoff_request_seconds=60),
        True,
    ),
    "engine: back-off runs": (
        ENGINE,
        step(last_attempted_at=ago(59.999999), backoff_request_seconds=60),
        False,
    ),
    "engine: back-off without an attempt": (ENGINE, step(backoff_request_seconds=60), True),
    "engine: attempt without back-off": (ENGINE, step(last_attempted_at=ago(-9)), True),
    "engine: both back-offs must end": (
        ENGINE,
        step(("error", 1), attempts=1, last_attempted_at=ago(60), backoff_request_seconds=60),
        False,
    ),
    "engine: an old failure is over": (
        ENGINE,
        step(("error", 1), ("pending", 0.5), attempts=1),
        True,
    ),
    # The core: waiting, with a first attempt or leave, and one back-off, not two.
    "core: never moved": (CORE, step(attempts=0), True),
    "core: waiting for a retry": (CORE, step(("waiting_for_retry", 5), attempts=1), True),
    "core: failed for good": (CORE, step(("error", 99), attempts=1), False),
    "core: enqueued is waiting work": (CORE, step(("enqueued", 5)), True),
    "core: at work": (CORE, step(("in_progress", 5)), False),
    "core: to be judged": (CORE, step(("enqueued_for_orchestration", 5)), False),
    "core: processed": (CORE, step(processed=True), False),
    "core: in process": (CORE, step(in_process=True), False),
    "core: a first attempt needs no leave": (CORE, step(attempts=0, retryable=False), True),
    "core: nor a limit": (CORE, step(attempts=0, retry_limit=0), True),
    "core: no attempts told means 0": (CORE, step(attempts=None, retryable=False), True),
    "core: a second needs leave": (CORE, step(attempts=1, retryable=False), False),
    "core: an attempt left": (CORE, step(attempts=2, retry_limit=None), True),
    "core: none left": (CORE, step(attempts=3, retry_limit=None), False),
    "core: failed once, 2 s": (
        CORE,
        step(("error", 2), ("waiting_for_retry", 1), attempts=1),
        True,
    ),
    "core: failed once, too soon": (
        CORE,
        step(("error", 1.9), ("waiting_for_retry", 1), attempts=1),
        False,
    ),
    "core: the latest failure counts": (
        CORE,
        step(("error", 50), ("pending", 40), ("error", 1), ("pending", 0), attempts=1),
        False,
    ),
    "core: 60 s at most": (
        CORE,
        step(("error", 60), ("pending", 9), attempts=60, retry_limit=99),
        True,
    ),
    "core: 59 s": (CORE, step(("error", 59), ("pending", 9), attempts=60, retry_limit=99), False),
    "core: a requested back-off replaces the other": (
        CORE,
        step(
            ("error", 1),
            ("pending", 0),
            attempts=1,
            last_attempted_at=ago(1),
            backoff_request_seconds=1,
        ),
        True,
    ),
    "core: a requested back-off runs": (
        CORE,
        step(last_attempted_at=ago(1), backoff_request_seconds=2),
        False,
    ),
}


@pytest.mark.parametrize(("generation", "one", "ready"), READY.values(), ids=READY.keys())
async def test_when_a_step_is_ready(generation: Generation, one: Step, *, ready: bool) -> None:
    """A step of an open task is ready exactly as the table says."""
    found = await activity(world_of(generation, ([], [one])))
    assert found.ready_steps == int(ready)
    assert (found.ready_since is not None) is ready


@pytest.mark.parametrize("generation", Generation)
@pytest.mark.parametrize("state", ["complete", "resolved_manually", "cancelled", "in_progress"])
async def test_a_step_waits_for_all_its_parents(generation: Generation, state: str) -> None:
    """A child is ready when every parent is complete or resolved by hand, and not before."""
    world = world_of(generation, ([], [step(("complete", 9)), step((state, 9)), step()]))
    world.steps[3].parents = [1, 2]
    assert (await activity(world)).ready_steps == int(state in {"complete", "resolved_manually"})


@pytest.mark.parametrize(
    ("generation", "state"),
    [
        (generation, state)
        for generation, buckets in BUCKETS.items()
        for state, bucket in buckets.items()
        if bucket not in {"pending", "running"}
    ],
)
async def test_steps_of_ended_tasks_are_not_work(generation: Generation, state: str) -> None:
    """What an ended or blocked task left undone is neither ready nor to be retried."""
    failed = "error" if generation is ENGINE else "waiting_for_retry"
    world = world_of(generation, (moved((state, 5)), [step(), step((failed, 100), attempts=1)]))
    assert (await activity(world)).ready_steps == 0
    assert (await counts(world)).retry_queue_size == 0


@pytest.mark.parametrize("state", [s for s, b in BUCKETS[CORE].items() if b == "running"])
async def test_open_tasks_of_the_core_have_work(state: str) -> None:
    """In every open state of the core, steps are ready and wait for their retry."""
    steps = [step(), step(("waiting_for_retry", 100), attempts=1)]
    world = world_of(CORE, (moved((state, 5)), steps))
    assert (await activity(world)).ready_steps == 2
    assert (await counts(world)).retry_queue_size == 1


async def test_the_engines_retry_queue_is_its_retryable_failures() -> None:
    """Failed steps with leave and attempts left wait for a retry, back-off or not."""
    world = world_of(
        ENGINE,
        (
            moved(("in_progress", 9)),
            [
                step(("error", 100), attempts=1),
                step(("error", 0), attempts=2, retry_limit=None),
                step(("error", 100), attempts=None),
                step(("error", 100), attempts=3),
                step(("error", 100), attempts=1, retryable=False),
                step(("pending", 100), attempts=1),
            ],
        ),
    )
    assert (await counts(world)).retry_queue_size == 3


BLOCKED: Final[dict[str, tuple[list[Transition], list[Step], bool]]] = {
    "used up": (moved(("in_progress", 9)), [failed_for_good()], True),
    "used up, pending": (moved(("pending", 9)), [failed_for_good()], True),
    "used up, never moved": ([], [failed_for_good()], True),
    "no leave": ([], [step(("error", 99), attempts=1, retryable=False)], True),
    "past the limit": ([], [step(("error", 99), attempts=60)], True),
    "a failure left to retry": ([], [step(("error", 99), attempts=1)], False),
    "beside it a ready step": ([], [failed_for_good(), step()], False),
    "beside it a step at work": ([], [failed_for_good(), step(("in_progress", 5))], False),
    "beside it a retry in back-off": (
        [],
        [failed_for_good(), step(("error", 1), attempts=2)],
        True,
    ),
    "beside it a finished step": ([], [failed_for_good(), step(("complete", 5))], True),
    "no steps": (moved(("in_progress", 9)), [], False),
    "the task failed already": (moved(("error", 9)), [failed_for_good()], False),
    "the task is cancelled": (moved(("cancelled", 9)), [failed_for_good()], False),
}


@pytest.mark.parametrize(("moves", "steps", "blocked"), BLOCKED.values(), ids=BLOCKED.keys())
async def test_when_a_task_of_the_engine_is_blocked(
    moves: list[Transition], steps: list[Step], *, blocked: bool
) -> None:
    """An open task is blocked exactly as the table says, and counted as nothing else."""
    world = world_of(ENGINE, (moves, steps))
    found = await counts(world)
    assert found.blocked_tasks == int(blocked)
    assert found.total_tasks == 1
    assert ((await activity(world)).blocked_since is not None) is blocked


async def test_a_child_of_a_failed_step_does_not_unblock() -> None:
    """A step that waits for one that failed for good is not ready."""
    world = world_of(ENGINE, ([], [failed_for_good(), step()]))
    world.steps[2].parents = [1]
    assert (await counts(world)).blocked_tasks == 1

"""The rules of both generations, each on a tiny world whose numbers were found by hand.

The in-memory Tasker is what the SQL is compared with, so nothing but these worlds holds it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from tasker_health.adapters.memory.cache import InMemoryStatusCache
from tasker_health.adapters.memory.probe import InMemoryDatabaseProbe
from tasker_health.adapters.memory.tasker import InMemoryTasker
from tasker_health.adapters.memory.world import Step, Task, Transition, World
from tasker_health.domain.database import DatabaseFacts, Generation
from tasker_health.domain.errors import SourceError
from tasker_health.domain.reasons import Reason
from tasker_health.domain.status import Vitals
from tasker_health.testing.doubles import ManualClock
from tasker_health.testing.reports import report

if TYPE_CHECKING:
    from tasker_health.domain.status import Activity, PerformanceMetrics, SystemHealth

pytestmark = pytest.mark.anyio

ENGINE, CORE = Generation.ENGINE, Generation.CORE
AT: Final = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)
WINDOW: Final = 3600.0


def ago(seconds: float) -> datetime:
    """Tell when it was so many seconds before AT."""
    return AT - timedelta(seconds=seconds)


def moved(*moves: tuple[str, float]) -> list[Transition]:
    """Make a history out of states and how many seconds before AT each was entered."""
    return [
        Transition(
            to_state=state,
            sort_key=number,
            most_recent=number == len(moves),
            created_at=ago(seconds),
        )
        for number, (state, seconds) in enumerate(moves, start=1)
    ]


def world_of(generation: Generation, *tasks: tuple[list[Transition], list[Step]]) -> World:
    """Make a world out of tasks: their histories, and their steps in order of id."""
    world = World(generation=generation)
    for id_, (moves, steps) in enumerate(tasks, start=1):
        world.tasks[id_] = Task(id=id_, created_at=ago(1000), transitions=moves)
        for step in steps:
            step.task_id, step.id = id_, len(world.steps) + 1
            world.steps[step.id] = step
    return world


def step(*moves: tuple[str, float], created: float = 900, **columns: Any) -> Step:
    """Make a step out of its history; ``world_of`` says whose it is."""
    return Step(id=0, task_id=0, created_at=ago(created), transitions=moved(*moves), **columns)


def failed_for_good(seconds: float = 500) -> Step:
    """Make a step that used up its attempts."""
    return step(("error", seconds), attempts=3)


async def counts(world: World) -> SystemHealth:
    """Count at AT."""
    async with InMemoryTasker(world).view(AT) as view:
        return await view.counts()


async def activity(world: World, window_seconds: float = WINDOW) -> Activity:
    """Tell the activity at AT."""
    async with InMemoryTasker(world).view(AT) as view:
        return await view.activity(window_seconds)


async def performance(world: World, window_seconds: float = WINDOW) -> PerformanceMetrics:
    """Look back from AT."""
    async with InMemoryTasker(world).view(AT) as view:
        return await view.performance(window_seconds)


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


async def test_a_view_does_not_see_what_changes_after_it_was_opened() -> None:
    """Everything that one view tells is of one moment, whatever is written meanwhile."""
    world = world_of(ENGINE, (moved(("in_progress", 9)), [step()]))
    async with InMemoryTasker(world).view(AT) as view:
        world.tasks[1].transitions[0].to_state = "complete"
        world.tasks[2] = Task(id=2, created_at=AT)
        world.steps[1].processed = True
        world.steps[1].parents.append(1)
        world.steps[1].transitions.append(moved(("complete", 0))[0])
        assert (await view.counts()).running_tasks == 1
        assert (await view.counts()).total_tasks == 1
        assert (await view.activity(WINDOW)).ready_steps == 1
    assert (await counts(world)).completed_tasks == 1


async def test_a_tasker_tells_what_it_is_told_of_its_server() -> None:
    """There is no server behind memory unless a test says so."""
    tasker = InMemoryTasker(World(generation=ENGINE))
    async with tasker.view(AT) as view:
        assert await view.vitals() == Vitals(round_trip_ms=0.0)
    tasker.vitals = Vitals(round_trip_ms=5.0, client_connections=9, connections_allowed=10)
    async with tasker.view(AT) as view:
        assert await view.vitals() == tasker.vitals
    assert tasker.views == 2


async def test_a_tasker_fails_while_it_is_told_to() -> None:
    """A failure is raised on entering, until it is taken back."""
    tasker = InMemoryTasker(World(generation=ENGINE))
    tasker.failure = SourceError(Reason.REFUSED)
    with pytest.raises(SourceError):
        async with tasker.view(AT):
            pass
    tasker.failure = None
    async with tasker.view(AT) as view:
        assert (await view.counts()).total_tasks == 0
    assert tasker.views == 1


async def test_a_probe_tells_what_it_is_told() -> None:
    """Facts and failure can be set at any time; observations are counted."""
    probe = InMemoryDatabaseProbe()
    assert (await probe.observe()).generation is ENGINE
    probe.facts = DatabaseFacts(round_trip_ms=1.0, found=frozenset({CORE}), generation=CORE)
    assert await probe.observe() == probe.facts
    probe.failure = SourceError(Reason.TIMEOUT)
    with pytest.raises(SourceError, match="timeout"):
        await probe.observe()
    assert probe.observations == 3


async def test_a_cache_keeps_to_the_monotonic_clock() -> None:
    """A wall clock that jumps neither ends a report's time nor lengthens it."""
    clock = ManualClock()
    cache = InMemoryStatusCache(clock)
    await cache.put(report(), 10)
    clock.jump(3600)
    assert await cache.get() == report()
    clock.jump(-7200)
    clock.advance(9.999)
    assert await cache.get() == report()
    clock.advance(0.001)
    assert await cache.get() is None


async def test_a_cache_lets_go_of_what_is_over() -> None:
    """An expired report is not held in memory once it was asked for."""
    clock = ManualClock()
    cache = InMemoryStatusCache(clock)
    await cache.put(report(), 10)
    clock.advance(10)
    await cache.get()
    assert cache._report is None

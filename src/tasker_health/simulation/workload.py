"""A model of Tasker at work: seeded, endless, and the same for the same seed.

A discrete-event simulation. Every task is a process, a generator that yields how many
seconds it waits next; so is every attempt of a step, every stream of arrivals and every
operator. Processes make moves; :func:`moves` gives them out in the order of their times.

What goes wrong, so that every number of a report moves:

- attempts fail and are tried again after their back-off, which a remote side may lengthen;
- about one task in forty has a step that cannot succeed: it uses up its attempts, or says
  at once that trying again is no use (``retryable = false``);
- such a task is blocked for some seconds to minutes, then ends in ``error``, or an operator
  resolves the step; about once an hour nobody looks for six to eight minutes, long enough
  for a report to be degraded for a minute or three;
- of the tasks in ``error``, operators retry a quarter and resolve a fifth, minutes later;
- about one task in eighty is called off while it waits or runs.

Failures stay near two of a hundred ended tasks: healthy, by the default thresholds.
Left out on purpose: time zones, skewed clocks, contradictions. Those are for generated
worlds, not for a Tasker that works as it should.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Generator
from datetime import datetime, timedelta
from enum import Enum, auto
from itertools import count
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from tasker_health.domain.database import Generation
from tasker_health.simulation.catalog import RECIPES, StepPlan
from tasker_health.simulation.moves import NewStep, StepMoved, TaskCreated, TaskMoved
from tasker_health.simulation.ways import WAYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tasker_health.simulation.catalog import Recipe
    from tasker_health.simulation.moves import Move

__all__ = ["moves"]

_DOOMED_SHARE: Final = 0.025
_CANCELLED_SHARE: Final = 0.012
_DETOUR_SHARE: Final = 0.1
_LENGTHENED_SHARE: Final = 0.3
_NEGLECTED_SHARE: Final = 0.04
_RESOLVED_WHILE_BLOCKED_SHARE: Final = 0.2
_RETRIED_SHARE: Final = 0.25
_RESOLVED_SHARE: Final = 0.2

_PICK_UP_SECONDS: Final = 4.0
_BATCH_SPACING_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.4
_QUEUE_SECONDS: Final = 0.1
_BLOCKED_SECONDS: Final = 40.0
_BLOCKED_AT_MOST_SECONDS: Final = 240.0
_OPERATOR_SECONDS: Final = 420.0

_DEFAULT_RETRY_LIMIT: Final = 3
_LONGEST_BACK_OFF_SECONDS: Final = {Generation.ENGINE: 30, Generation.CORE: 60}

_Process: TypeAlias = Generator[float, None, None]


class _Doom(Enum):
    """Why a step cannot succeed."""

    EXHAUSTS = auto()
    REFUSES = auto()


@attrs.define(eq=False)
class _Run:
    """A step, as far as the workload has to remember it."""

    step_id: int
    plan: StepPlan
    parents: list[_Run]
    doom: _Doom | None = None
    state: str = "pending"
    sort_key: int = 0
    failed_for_good: bool = False
    due_at: float = 0.0
    retryable: bool = True
    attempts: int | None = None
    in_process: bool = False
    processed_at: datetime | None = None
    last_attempted_at: datetime | None = None
    backoff_request_seconds: int | None = None

    @property
    def retry_limit(self) -> int:
        limit = self.plan.retry_limit
        return _DEFAULT_RETRY_LIMIT if limit is None else limit

    @property
    def done(self) -> bool:
        return self.processed_at is not None

    def runnable(self, now: float) -> bool:
        return (
            not self.done
            and not self.failed_for_good
            and self.due_at <= now
            and all(parent.done for parent in self.parents)
        )


@attrs.define(eq=False)
class _Job:
    """A task and its steps. Processes of an older epoch than the job's are dropped."""

    task_id: int
    runs: list[_Run]
    state: str = "pending"
    sort_key: int = 0
    under_way: int = 0
    epoch: int = 0

    def failed(self) -> list[_Run]:
        return [run for run in self.runs if run.failed_for_good]

    def waiting(self) -> list[_Run]:
        """Give the steps whose back-off is all that they wait for."""
        return [
            run for run in self.runs if run.due_at > 0 and not run.done and not run.failed_for_good
        ]


def moves(
    generation: Generation,
    *,
    seed: int,
    begin: datetime,
    recipes: Sequence[Recipe] = RECIPES,
) -> Iterator[Move]:
    """Work for ever, beginning with nothing at all.

    Args:
        generation: whose state machines are kept.
        seed: the same seed, begin and recipes give the same moves.
        begin: the moment before the first move, aware UTC.
        recipes: what there is to do.

    Returns:
        Moves in the order of their times, without end.
    """
    return _Workload(generation, seed=seed, begin=begin).run(recipes)


class _Workload:
    def __init__(self, generation: Generation, *, seed: int, begin: datetime) -> None:
        self._generation = generation
        self._ways = WAYS[generation]
        # Reproducible on purpose; nothing here guards anything.
        self._random = random.Random(seed)  # noqa: S311
        self._begin = begin
        self._now = 0.0
        self._made: list[Move] = []
        self._agenda: list[tuple[float, int, int, _Job | None, _Process]] = []
        self._turn = count()
        self._task_ids = count(1)
        self._step_ids = count(1)

    # Time

    def run(self, recipes: Sequence[Recipe]) -> Iterator[Move]:
        for recipe in recipes:
            self._start(None, self._arrivals(recipe))
        while self._agenda:
            self._now, _, epoch, job, process = heapq.heappop(self._agenda)
            if job is not None and job.epoch != epoch:
                process.close()
                continue
            self._resume(job, epoch, process)
            yield from self._made
            self._made.clear()

    def _start(self, job: _Job | None, process: _Process) -> None:
        """Begin a process now, after whatever else happens now."""
        entry = (self._now, next(self._turn), job.epoch if job else 0, job, process)
        heapq.heappush(self._agenda, entry)

    def _resume(self, job: _Job | None, epoch: int, process: _Process) -> None:
        wait = next(process, None)
        if wait is not None:
            entry = (self._now + wait, next(self._turn), epoch, job, process)
            heapq.heappush(self._agenda, entry)

    def _at(self) -> datetime:
        return self._begin + timedelta(seconds=self._now)

    def _about(self, median: float) -> float:
        """Draw a duration: log-normal, mostly near the median, sometimes far above it."""
        return self._random.lognormvariate(math.log(median), 0.5)

    def _happens(self, share: float) -> bool:
        return self._random.random() < share

    # Moves

    def _move(self, job: _Job, *states: str) -> _Process:
        """Take a task through states, a moment apart."""
        for place, state in enumerate(states):
            if place:
                yield self._random.uniform(0.005, 0.04)
            job.sort_key += 10
            self._made.append(
                TaskMoved(
                    at=self._at(),
                    task_id=job.task_id,
                    from_state=job.state,
                    to_state=state,
                    sort_key=job.sort_key,
                )
            )
            job.state = state

    def _move_step(self, run: _Run, state: str) -> None:
        run.sort_key += 10
        self._made.append(
            StepMoved(
                at=self._at(),
                step_id=run.step_id,
                from_state=run.state,
                to_state=state,
                sort_key=run.sort_key,
                retryable=run.retryable,
                attempts=run.attempts,
                in_process=run.in_process,
                processed=run.done,
                processed_at=run.processed_at,
                last_attempted_at=run.last_attempted_at,
                backoff_request_seconds=run.backoff_request_seconds,
            )
        )
        run.state = state

    # Processes

    def _arrivals(self, recipe: Recipe) -> _Process:
        while True:
            yield self._random.expovariate(1 / recipe.every_seconds)
            for place in range(recipe.batch):
                job = self._create(recipe)
                self._start(job, self._work(job, place * _BATCH_SPACING_SECONDS))
                if self._happens(_CANCELLED_SHARE):
                    self._start(None, self._change_of_mind(job))

    def _create(self, recipe: Recipe) -> _Job:
        runs: dict[str, _Run] = {}
        for plan in recipe.steps:
            parents = [runs[name] for name in plan.after]
            runs[plan.name] = _Run(next(self._step_ids), plan, parents)
        job = _Job(next(self._task_ids), list(runs.values()))
        if self._happens(_DOOMED_SHARE):
            self._random.choice(job.runs).doom = self._random.choice(list(_Doom))
        self._made.append(
            TaskCreated(
                at=self._at(),
                task_id=job.task_id,
                name=recipe.name,
                steps=tuple(
                    NewStep(
                        step_id=run.step_id,
                        name=run.plan.name,
                        retry_limit=run.plan.retry_limit,
                        parents=tuple(parent.step_id for parent in run.parents),
                    )
                    for run in job.runs
                ),
            )
        )
        return job

    def _work(self, job: _Job, delay: float) -> _Process:
        yield delay + self._about(_PICK_UP_SECONDS)
        yield from self._move(job, *self._ways.begin)
        yield self._about(_QUEUE_SECONDS)
        if self._happens(_DETOUR_SHARE):
            for state in self._ways.detour:
                yield from self._move(job, state)
                yield self._about(_POLL_SECONDS)
        yield from self._round(job)

    def _round(self, job: _Job) -> _Process:
        """Hand out every step that can run; the last to come back decides what is next."""
        yield from self._move(job, *self._ways.enqueue)
        runs = [run for run in job.runs if run.runnable(self._now)]
        for run in runs:
            if run.state != "pending":
                self._move_step(run, "pending")
            for state in self._ways.step_enqueue:
                self._move_step(run, state)
        yield from self._move(job, *self._ways.work)
        job.under_way = len(runs)
        for run in runs:
            self._start(job, self._attempt(job, run))

    def _attempt(self, job: _Job, run: _Run) -> _Process:
        yield self._about(_QUEUE_SECONDS)
        run.attempts = (run.attempts or 0) + 1
        run.in_process = True
        run.last_attempted_at = self._at()
        run.backoff_request_seconds = None
        self._move_step(run, "in_progress")
        yield self._about(run.plan.seconds)
        run.in_process = False
        if run.doom is not None or self._happens(run.plan.flaky):
            yield from self._fail(run)
        else:
            yield from self._end(run, self._ways.step_succeed)
        job.under_way -= 1
        if not job.under_way:
            yield from self._decide(job)

    def _end(self, run: _Run, states: Sequence[str]) -> _Process:
        for state in states[:-1]:
            self._move_step(run, state)
            yield self._about(_QUEUE_SECONDS)
        run.processed_at = self._at()
        self._move_step(run, states[-1])

    def _fail(self, run: _Run) -> _Process:
        attempts = run.attempts or 1
        run.retryable = run.doom is not _Doom.REFUSES
        run.failed_for_good = not run.retryable or attempts >= run.retry_limit
        if not run.failed_for_good:
            self._back_off(run, attempts)
        states = self._ways.step_fail if run.failed_for_good else self._ways.step_retry
        for state in states[:-1]:
            self._move_step(run, state)
            yield self._about(_QUEUE_SECONDS)
        self._move_step(run, states[-1])

    def _back_off(self, run: _Run, attempts: int) -> None:
        """Tell when the step may be tried again, by the generation's rule."""
        exponential = min(2**attempts, _LONGEST_BACK_OFF_SECONDS[self._generation])
        asked = self._random.randint(10, 45) if self._happens(_LENGTHENED_SHARE) else None
        if self._generation is Generation.CORE:
            asked = asked or exponential
        run.backoff_request_seconds = asked
        # From now, though a request counts from the attempt's begin: later is never too early.
        run.due_at = self._now + max(exponential, asked or 0)

    def _decide(self, job: _Job) -> _Process:
        if any(run.runnable(self._now) for run in job.runs):
            yield from self._move(job, *self._ways.evaluate)
            yield self._about(_QUEUE_SECONDS)
            yield from self._round(job)
        elif waiting := job.waiting():
            yield from self._move(job, *self._ways.await_retry)
            due_at = min(run.due_at for run in waiting)
            yield max(0.0, due_at - self._now) + self._about(_POLL_SECONDS)
            yield from self._round(job)
        elif job.failed():
            yield from self._move(job, *self._ways.block)
            yield from self._blocked(job)
        else:
            yield from self._move(job, *self._ways.finish)

    def _blocked(self, job: _Job) -> _Process:
        if self._happens(_NEGLECTED_SHARE):
            yield self._random.uniform(360, 480)
        else:
            yield min(self._about(_BLOCKED_SECONDS), _BLOCKED_AT_MOST_SECONDS)
        if not self._happens(_RESOLVED_WHILE_BLOCKED_SHARE):
            yield from self._move(job, *self._ways.give_up)
            yield from self._failed(job)
            return
        self._resolve(job)
        if self._ways.resolve:
            yield from self._move(job, *self._ways.resolve)
        else:
            yield from self._decide(job)

    def _failed(self, job: _Job) -> _Process:
        """Let an operator look at a task in error, if one ever does."""
        yield self._about(_OPERATOR_SECONDS)
        verdict = self._random.random()
        if verdict < _RETRIED_SHARE:
            for run in job.failed():
                self._reset(run)
            yield from self._move(job, "pending")
            yield from self._work(job, 0.0)
        elif verdict < _RETRIED_SHARE + _RESOLVED_SHARE:
            self._resolve(job)
            yield from self._move(job, "resolved_manually")

    def _resolve(self, job: _Job) -> None:
        for run in job.failed():
            run.failed_for_good = False
            run.processed_at = self._at()
            self._move_step(run, "resolved_manually")

    def _reset(self, run: _Run) -> None:
        """Start a step afresh, what ailed it repaired."""
        run.doom, run.failed_for_good, run.retryable = None, False, True
        run.attempts, run.due_at, run.backoff_request_seconds = 0, 0.0, None
        self._move_step(run, "pending")

    def _change_of_mind(self, job: _Job) -> _Process:
        yield self._random.uniform(1, 20)
        if job.state not in self._ways.cancellable:
            return
        job.epoch += 1
        for run in job.runs:
            if run.state in self._ways.step_cancellable:
                run.in_process = False
                self._move_step(run, "cancelled")
        yield from self._move(job, "cancelled")

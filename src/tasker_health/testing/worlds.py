"""Generated databases: legal ones, with everything in them that trips a query.

Every item got where it is by moves that Tasker makes, and its newest transition alone is
``most_recent``. Within that nothing is spared: items that never moved, attempts and limits
that are NULL or passed long ago, 60 attempts, clocks that ran ahead or back, moments that
fall on the edge of a window or a back-off to the microsecond.

The one thing that may be relied upon: a task in an open state has ``complete = false``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from tasker_health.adapters.memory.world import Step, Task, Transition, World
from tasker_health.domain.database import Generation
from tasker_health.testing.machines import STEP_MOVES, TASK_MOVES, walk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from tasker_health.testing.machines import Moves

__all__ = ["AT", "WINDOW_SECONDS", "random_world", "worlds"]

AT: Final = datetime(2025, 6, 18, 15, 30, 0, 123456, tzinfo=UTC)
"""The moment that :func:`worlds` are made for."""

WINDOW_SECONDS: Final = 3600.0
"""The window on whose edges moments fall."""

_TICK: Final = timedelta(microseconds=1)
_SECOND: Final = timedelta(seconds=1)
_ENDED: Final = frozenset({"complete", "cancelled", "resolved_manually"})
_DONE: Final = frozenset({"complete", "resolved_manually"})
_STUCK_GOALS: Final = ("complete", "pending", "pending", "error", "cancelled")


def random_world(generation: Generation, random: Random, at: datetime, tasks: int = 12) -> World:
    """Make a world.

    Args:
        generation: whose states and moves.
        random: where chance comes from; the same seed makes the same world.
        at: the moment that its times lie around, aware UTC.
        tasks: how many tasks, each with up to six steps.
    """
    maker = _Maker(generation, random, at)
    for _ in range(tasks):
        maker.add_task()
    return maker.world


def worlds(generation: Generation, *, max_tasks: int = 10) -> st.SearchStrategy[World]:
    """Generate worlds around :data:`AT`."""

    def make(random: Random, tasks: int) -> World:
        return random_world(generation, random, AT, tasks=tasks)

    return st.builds(make, st.randoms(use_true_random=False), st.integers(0, max_tasks))


class _Maker:
    """Adds one task after the other to a world."""

    def __init__(self, generation: Generation, random: Random, at: datetime) -> None:
        self.world = World(generation=generation)
        self._random = random
        self._at = at
        self._task_moves = TASK_MOVES[generation]
        self._step_moves = STEP_MOVES[generation]

    def add_task(self) -> None:
        random, id_ = self._random, len(self.world.tasks) + 1
        stuck = self._chance(0.25)
        goals = [state for state in self._task_moves if not stuck or state not in _ENDED]
        created_at = self._moment()
        moves = self._transitions(self._task_moves, random.choice(goals), created_at)
        states = [move.to_state for move in moves]
        self.world.tasks[id_] = Task(
            id=id_,
            name=random.choice(("order_fulfillment", "invoice", "Überweisung 'x'")),
            # A task that was completed keeps the flag, whatever was done to it by hand since.
            complete="complete" in states and states[-1] in _ENDED and self._chance(0.9),
            created_at=created_at,
            transitions=moves,
        )
        siblings: list[Step] = []
        for _ in range(random.choice((0, 1, 1, 2, 3, 4, 6))):
            step = self._step(id_, siblings, stuck=stuck)
            siblings.append(step)
            self.world.steps[step.id] = step

    def _step(self, task_id: int, siblings: Sequence[Step], *, stuck: bool) -> Step:
        random = self._random
        created_at = self._moment()
        first = not siblings
        goals = tuple(self._step_moves)
        if stuck:
            goals = ("error",) if first else _STUCK_GOALS
        moves = self._transitions(self._step_moves, random.choice(goals), created_at)
        state = moves[-1].to_state if moves else "pending"
        processed = self._chance(0.9 if state in _DONE else 0.08)
        step = Step(
            id=len(self.world.steps) + 1,
            task_id=task_id,
            name=random.choice(("fetch", "charge", "ship", "notify")),
            retryable=self._chance(0.5 if stuck and first else 0.85),
            retry_limit=random.choice((None, 3, 3, 3, 1, 0, 5, 99)),
            in_process=self._chance(0.8 if state == "in_progress" else 0.08),
            processed=processed,
            processed_at=self._moment() if processed else None,
            attempts=random.choice((None, 0, 0, 1, 1, 2, 2, 3, 5, 6, 60)),
            last_attempted_at=self._moment() if self._chance(0.5) else None,
            backoff_request_seconds=random.choice((None, None, 0, 1, 30, 600, 86_400)),
            created_at=created_at,
            transitions=moves,
            parents=self._parents(siblings, stuck=stuck),
        )
        if self._chance(0.3):
            self._bring_to_an_edge(step)
        return step

    def _parents(self, siblings: Sequence[Step], *, stuck: bool) -> list[int]:
        if stuck and siblings and self._chance(0.7):
            return [siblings[0].id]
        likely = self._random.choice((0.0, 0.2, 0.5))
        return [step.id for step in siblings if self._chance(likely)]

    def _transitions(self, moves: Moves, goal: str, created_at: datetime) -> list[Transition]:
        """Make the history of an item that got to its goal."""
        random = self._random
        states = walk(moves, random, goal)
        for _ in range(random.choice((0, 0, 0, 1, 2))):  # failed, and begun anew
            states = [*walk(moves, random, "error"), *states]
        # Some deployments write a first row for ``pending``, some do not.
        written = states if self._chance(0.5) else states[1:]
        befores = [None, *states] if written is states else states
        times = self._times(len(written), created_at)
        return [
            Transition(
                to_state=to_state,
                from_state=from_state,
                sort_key=10 * number,
                most_recent=number == len(written),
                created_at=time,
            )
            for number, (to_state, from_state, time) in enumerate(
                zip(written, befores, times, strict=False), start=1
            )
        ]

    def _times(self, count: int, created_at: datetime) -> list[datetime]:
        """Draw when an item moved: mostly one after the other, now and then at odds."""
        times, time = [], created_at
        for _ in range(count):
            time = self._moment() if self._chance(0.15) else time + self._gap()
            times.append(time)
        return times

    def _gap(self) -> timedelta:
        most = self._random.choice((0, 1, 1_000_000, 300_000_000))
        return self._random.randint(0, most) * _TICK

    def _moment(self) -> datetime:
        """Draw a moment: lately, long ago, to come, or on an edge to the microsecond."""
        random, at = self._random, self._at
        edge = at - random.choice((0, WINDOW_SECONDS)) * _SECOND
        (moment,) = random.choices(
            (
                at - random.uniform(0, 2 * WINDOW_SECONDS) * _SECOND,
                at - random.randrange(70) * _SECOND,
                at - random.uniform(0, 400 * 86_400) * _SECOND,
                at + random.uniform(0, 2 * WINDOW_SECONDS) * _SECOND,
                edge + random.choice((-1, 0, 0, 1)) * _TICK,
            ),
            weights=(55, 15, 10, 8, 12),
        )
        return moment

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _bring_to_an_edge(self, step: Step) -> None:
        """Let a back-off end now, or a microsecond before or after."""
        random = self._random
        end = self._at + random.choice((-1, 0, 1)) * _TICK
        failures = [move for move in step.transitions if move.to_state == "error"]
        if failures and self._chance(0.7):
            exponent = 1 if step.attempts is None else min(step.attempts, 6)
            longest = {Generation.ENGINE: 30, Generation.CORE: 60}[self.world.generation]
            seconds = min(2**exponent, random.choice((longest, 64)))
            random.choice(failures).created_at = end - seconds * _SECOND
            step.last_attempted_at = random.choice((None, step.last_attempted_at))
        elif step.backoff_request_seconds is not None:
            step.last_attempted_at = end - step.backoff_request_seconds * _SECOND

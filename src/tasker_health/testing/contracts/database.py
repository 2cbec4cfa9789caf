"""The promises of :class:`~tasker_health.domain.ports.Tasker` and ``DatabaseProbe``."""

# ruff: noqa: S101  assert is how a contract speaks

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, ClassVar, Final

import attrs
import pytest

from tasker_health.adapters.memory.tasker import InMemoryTasker
from tasker_health.adapters.memory.world import World
from tasker_health.domain.database import Generation
from tasker_health.domain.errors import SourceError
from tasker_health.domain.status import Activity, PerformanceMetrics, SystemHealth
from tasker_health.testing.contracts.base import Contract, cancelled_after, to_override
from tasker_health.testing.worlds import AT, WINDOW_SECONDS, random_world

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from tasker_health.domain.ports import DatabaseProbe, Tasker, TaskerView

    Holding = Callable[[World], AbstractAsyncContextManager[Tasker]]

__all__ = ["DatabaseProbeContract", "TaskerContract"]


@attrs.frozen
class _Facts:
    """All that a view tells of Tasker itself."""

    counts: SystemHealth
    performance: PerformanceMetrics
    activity: Activity


async def _facts(view: TaskerView, window_seconds: float = WINDOW_SECONDS) -> _Facts:
    return _Facts(
        await view.counts(),
        await view.performance(window_seconds),
        await view.activity(window_seconds),
    )


async def _expected(world: World, at: datetime, window_seconds: float) -> _Facts:
    async with InMemoryTasker(world).view(at) as view:
        return await _facts(view, window_seconds)


def _assert_same(found: _Facts, expected: _Facts) -> None:
    """Compare exactly, but for the last bits of a mean that is summed in another order."""
    assert found.counts == expected.counts
    assert found.activity == expected.activity
    for name, value in attrs.asdict(expected.performance).items():
        assert _close(getattr(found.performance, name), value), (name, found, expected)


def _close(found: float | None, expected: float | None) -> bool:
    if found is None or expected is None:
        return found is expected
    return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-6)


class TaskerContract(Contract):
    """What every Tasker promises: the numbers of the reference, on any database.

    Override ``generation``, and the fixtures ``holding`` and ``unreachable``.

    Attributes:
        generation: which of the two is read.
        generated: how many generated databases are compared.
    """

    generation: ClassVar[Generation] = Generation.ENGINE
    generated: ClassVar[int] = 20

    @pytest.fixture
    def holding(self) -> Holding:
        """Give a function of a world: an async context manager of a Tasker that holds it."""
        to_override(self, "holding")

    @pytest.fixture
    def unreachable(self) -> Tasker:
        """Give a Tasker whose state cannot be reached."""
        to_override(self, "unreachable")

    def _world(self, seed: int, tasks: int = 12) -> World:
        # The same worlds in every run: chance makes data here, not secrets.
        return random_world(self.generation, Random(seed), AT, tasks=tasks)  # noqa: S311

    async def test_an_empty_database_has_no_invented_numbers(self, holding: Holding) -> None:
        """Where there is nothing, counts are 0 and what is not known is None."""
        world = World(generation=self.generation)
        async with holding(world) as tasker, tasker.view(AT) as view:
            found = await _facts(view)
        assert set(attrs.asdict(found.counts).values()) == {0}
        assert found.performance.avg_task_completion_time_ms is None
        assert found.performance.avg_step_completion_time_ms is None
        assert found.performance.retry_success_rate is None
        assert found.activity.ready_steps == 0
        assert found.activity.ready_since is None
        assert found.activity.last_transition_at is None
        assert found.activity.blocked_since is None

    async def test_generated_databases_give_the_numbers_of_the_reference(
        self, holding: Holding
    ) -> None:
        """On any legal database every number is the one that the rules give."""
        for seed in range(self.generated):
            world = self._world(seed)
            expected = await _expected(world, AT, WINDOW_SECONDS)
            async with holding(world) as tasker, tasker.view(AT) as view:
                _assert_same(await _facts(view), expected)

    @pytest.mark.parametrize("shift", [-WINDOW_SECONDS, -0.000001, 0.000001, 1800.0])
    async def test_everything_is_measured_against_the_views_own_moment(
        self, holding: Holding, shift: float
    ) -> None:
        """Back-offs, windows and the future are told from ``at``, not from a server's clock."""
        world = self._world(4, tasks=30)
        at = AT + timedelta(seconds=shift)
        expected = await _expected(world, at, WINDOW_SECONDS)
        async with holding(world) as tasker, tasker.view(at) as view:
            _assert_same(await _facts(view), expected)

    @pytest.mark.parametrize("window_seconds", [1.0, 0.5, 86_400.0, 2_592_000.0])
    async def test_any_window_can_be_looked_back_upon(
        self, holding: Holding, window_seconds: float
    ) -> None:
        """The window is as long as it was asked for."""
        world = self._world(5, tasks=30)
        expected = await _expected(world, AT, window_seconds)
        async with holding(world) as tasker, tasker.view(AT) as view:
            _assert_same(await _facts(view, window_seconds), expected)

    async def test_a_view_says_the_same_twice(self, holding: Holding) -> None:
        """Whatever is asked again of one view gets the same answer."""
        world = self._world(6)
        async with holding(world) as tasker, tasker.view(AT) as view:
            assert await _facts(view) == await _facts(view)

    async def test_views_do_not_disturb_each_other(self, holding: Holding) -> None:
        """Several views may be open at once, each of its own moment."""
        world = self._world(7)
        moments = [AT, AT - timedelta(seconds=1800)]
        async with holding(world) as tasker:

            async def look(at: datetime) -> _Facts:
                async with tasker.view(at) as view:
                    return await _facts(view)

            found = await asyncio.gather(*map(look, moments))
        for at, facts in zip(moments, found, strict=True):
            _assert_same(facts, await _expected(world, at, WINDOW_SECONDS))

    @pytest.mark.parametrize("steps", range(0, 40, 4))
    async def test_a_cancelled_view_lets_go(self, holding: Holding, steps: int) -> None:
        """Whenever a measurement is cancelled, the next one gives its numbers."""
        world = self._world(8)
        async with holding(world) as tasker:

            async def look() -> _Facts:
                async with tasker.view(AT) as view:
                    return await _facts(view)

            await cancelled_after(steps, look)
            _assert_same(await look(), await _expected(world, AT, WINDOW_SECONDS))

    async def test_vitals_are_known_together_or_not_at_all(self, holding: Holding) -> None:
        """Connections in use are told exactly when it is known how many are allowed."""
        world = World(generation=self.generation)
        async with holding(world) as tasker, tasker.view(AT) as view:
            vitals = await view.vitals()
        assert vitals.round_trip_ms >= 0
        assert (vitals.client_connections is None) == (vitals.connections_allowed is None)

    async def test_what_cannot_be_reached_is_said_on_entering(self, unreachable: Tasker) -> None:
        """Where the state cannot be reached, opening a view raises ``SourceError``."""
        async with AsyncExitStack() as stack:
            with pytest.raises(SourceError):
                await stack.enter_async_context(unreachable.view(AT))


_AT_ONCE: Final = 10


class DatabaseProbeContract(Contract):
    """What every probe promises.

    Override ``generation``, and the fixtures ``probe``, ``empty`` and ``unreachable``.

    Attributes:
        generation: whose tables, all of them, stand in the good database.
    """

    generation: ClassVar[Generation] = Generation.ENGINE

    @pytest.fixture
    def probe(self) -> DatabaseProbe:
        """Give the probe of a database that holds all of the generation's tables."""
        to_override(self, "probe")

    @pytest.fixture
    def empty(self) -> DatabaseProbe:
        """Give the probe of a database that answers and holds nothing of Tasker's."""
        to_override(self, "empty")

    @pytest.fixture
    def unreachable(self) -> DatabaseProbe:
        """Give the probe of a database that cannot be reached."""
        to_override(self, "unreachable")

    async def test_a_good_database_is_good(self, probe: DatabaseProbe) -> None:
        """Of a whole database nothing is missing, unreadable or half-way."""
        facts = await probe.observe()
        assert facts.generation is self.generation
        assert self.generation in facts.found
        assert facts.missing == ()
        assert facts.unreadable == ()
        assert facts.failed_migrations == ()
        assert facts.round_trip_ms >= 0

    async def test_an_empty_database_is_no_failure(self, empty: DatabaseProbe) -> None:
        """A database without Tasker's tables answers; it tells that none were found."""
        facts = await empty.observe()
        assert facts.found == frozenset()
        assert facts.generation is None

    async def test_observing_again_finds_the_same(self, probe: DatabaseProbe) -> None:
        """Of a database that did not change, every observation tells the same catalogue."""
        first, second = await probe.observe(), await probe.observe()
        assert attrs.evolve(first, round_trip_ms=0) == attrs.evolve(second, round_trip_ms=0)

    async def test_many_may_observe_at_once(self, probe: DatabaseProbe) -> None:
        """Concurrent observers are all answered."""
        observed = await asyncio.gather(*(probe.observe() for _ in range(_AT_ONCE)))
        assert [facts.generation for facts in observed] == [self.generation] * _AT_ONCE

    @pytest.mark.parametrize("steps", range(0, 40, 4))
    async def test_a_cancelled_observation_harms_nobody(
        self, probe: DatabaseProbe, steps: int
    ) -> None:
        """Whenever an observation is cancelled, the next one is answered."""
        await cancelled_after(steps, probe.observe)
        assert (await probe.observe()).generation is self.generation

    async def test_what_cannot_be_reached_is_said(self, unreachable: DatabaseProbe) -> None:
        """Where the database does not answer, observing raises ``SourceError``, every time."""
        for _ in range(2):
            with pytest.raises(SourceError):
                await unreachable.observe()

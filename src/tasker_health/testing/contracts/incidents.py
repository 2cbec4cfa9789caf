"""The promises of :class:`~tasker_health.domain.ports.IncidentStore`."""

# ruff: noqa: S101  assert is how a contract speaks

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, Final

import attrs
import pytest

from tasker_health.domain.alerting import AlertRule, Incident, Phase
from tasker_health.testing.contracts.base import Contract, cancelled_after, to_override

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tasker_health.domain.ports import IncidentStore

__all__ = ["IncidentStoreContract"]

_ONE: Final = Incident(
    key="tasker-health/0123/failure_rate",
    rule=AlertRule.FAILURE_RATE,
    phase=Phase.TRIGGERED,
    revision=1,
    at=datetime(2025, 6, 18, 15, 30, 0, 123_457, tzinfo=UTC),
    observed=0.1 + 0.2,
    threshold=1e-300,
    summary='\x00 "quoted" \\ \n ünï ✓ 🦀 \u2028',
    numbers={"total_tasks": 2**53, "retry_success_rate": None, "window_seconds": 0.25},
    told=frozenset({"pagerduty"}),
)
_OTHER: Final = attrs.evolve(
    _ONE, rule=AlertRule.UNHEALTHY, phase=Phase.RESOLVED, revision=7, told=frozenset()
)


class IncidentStoreContract(Contract):
    """What every memory of incidents promises.

    Override ``store``. Override ``other_store`` where another process would hold a handle
    of its own, and ``pass_time`` where the store's clock can be moved by hand.

    Attributes:
        claim_seconds: how long the tests claim for, in the store's own time; at least twice
            what it can tell apart.
    """

    claim_seconds: ClassVar[float] = 0.5

    @pytest.fixture
    def store(self) -> IncidentStore:
        """Give an empty store."""
        to_override(self, "store")

    @pytest.fixture
    def other_store(self, store: IncidentStore) -> IncidentStore:
        """Give a second handle of the same store."""
        return store

    @pytest.fixture
    def pass_time(self) -> Callable[[float], Awaitable[None]]:
        """Give a coroutine function that lets so many seconds pass for the store."""

        async def wait(seconds: float) -> None:
            # No timer may be so early that the claim rightly still holds.
            await asyncio.sleep(seconds + 0.02)

        return wait

    @property
    def _ages(self) -> float:
        """How long to claim what must not be over before the test is, on any machine."""
        return 120 * self.claim_seconds

    async def test_nothing_saved_is_nothing(self, store: IncidentStore) -> None:
        """A store into which nothing was saved gives nothing, claimed or not."""
        assert tuple(await store.load()) == ()
        assert await store.claim("one", self._ages)
        assert tuple(await store.load()) == ()

    async def test_one_holder_at_a_time(
        self, store: IncidentStore, other_store: IncidentStore
    ) -> None:
        """While one holds the claim no other gets it, through whichever handle."""
        assert await store.claim("one", self._ages)
        assert not await other_store.claim("other", self._ages)
        assert not await store.claim("other", self._ages)

    async def test_of_many_at_once_one_gets_it(
        self, store: IncidentStore, other_store: IncidentStore
    ) -> None:
        """However many ask for it at the same time, one is told that it is theirs."""
        handles = [store, other_store] * 8
        got = await asyncio.gather(
            *(handle.claim(f"holder {n}", self._ages) for n, handle in enumerate(handles))
        )
        assert got.count(True) == 1

    async def test_a_holder_stays_the_holder(
        self,
        store: IncidentStore,
        other_store: IncidentStore,
        pass_time: Callable[[float], Awaitable[None]],
    ) -> None:
        """A claim that is renewed in time goes on from then."""
        assert await store.claim("one", self.claim_seconds)
        assert await other_store.claim("one", self._ages)
        await pass_time(self.claim_seconds)
        assert not await other_store.claim("other", self._ages)
        assert await store.save("one", [_ONE])

    async def test_a_claim_ends_by_itself(
        self,
        store: IncidentStore,
        other_store: IncidentStore,
        pass_time: Callable[[float], Awaitable[None]],
    ) -> None:
        """Once its time is over, another can have it, and what was saved is there for them."""
        assert await store.claim("one", self.claim_seconds)
        assert await store.save("one", [_ONE])
        await pass_time(self.claim_seconds)
        assert await other_store.claim("other", self._ages)
        assert tuple(await other_store.load()) == (_ONE,)
        assert not await store.claim("one", self._ages)

    async def test_who_lost_the_claim_saves_nothing(
        self,
        store: IncidentStore,
        other_store: IncidentStore,
        pass_time: Callable[[float], Awaitable[None]],
    ) -> None:
        """A holder whose time is over changes nothing, whether or not another one came."""
        assert await store.claim("one", self.claim_seconds)
        await pass_time(self.claim_seconds)
        assert not await store.save("one", [_ONE])
        assert await other_store.claim("other", self._ages)
        assert await other_store.save("other", [_OTHER])
        assert not await store.save("one", [_ONE])
        assert tuple(await store.load()) == (_OTHER,)

    async def test_who_never_had_it_saves_nothing(self, store: IncidentStore) -> None:
        """Without a claim there is no saving."""
        assert not await store.save("one", [_ONE])
        assert await store.claim("other", self._ages)
        assert not await store.save("one", [_ONE])
        assert tuple(await store.load()) == ()

    async def test_what_was_saved_comes_back_exactly(
        self, store: IncidentStore, other_store: IncidentStore
    ) -> None:
        """Incidents come back equal in every part; the latest replace all others."""
        assert await store.claim("one", self._ages)
        assert await store.save("one", [_ONE, _OTHER])
        assert tuple(await other_store.load()) == (_ONE, _OTHER)
        told = _ONE.taken_by("webhook")
        assert await store.save("one", [told])
        assert tuple(await other_store.load()) == (told,)
        assert await store.save("one", [])
        assert tuple(await other_store.load()) == ()

    async def test_a_claim_can_be_given_up(
        self, store: IncidentStore, other_store: IncidentStore
    ) -> None:
        """What one releases another has at once; what was saved stays."""
        assert await store.claim("one", self._ages)
        assert await store.save("one", [_ONE])
        await store.release("one")
        assert not await store.save("one", [_OTHER])
        assert await other_store.claim("other", self._ages)
        assert tuple(await other_store.load()) == (_ONE,)

    async def test_nobody_gives_up_what_another_holds(
        self, store: IncidentStore, other_store: IncidentStore
    ) -> None:
        """Releasing what is not one's own changes nothing."""
        await store.release("nobody")
        assert await store.claim("one", self._ages)
        await other_store.release("other")
        assert not await other_store.claim("other", self._ages)
        assert await store.save("one", [_ONE])

    @pytest.mark.parametrize("steps", range(5))
    async def test_a_cancelled_save_leaves_whole_incidents(
        self, store: IncidentStore, steps: int
    ) -> None:
        """Whenever a save is cancelled, the old or the new incidents are there, and it goes on."""
        assert await store.claim("one", self._ages)
        assert await store.save("one", [_ONE])
        await cancelled_after(steps, lambda: store.save("one", [_OTHER]))
        assert tuple(await store.load()) in ((_ONE,), (_OTHER,))
        assert await store.save("one", [_ONE, _OTHER])
        assert tuple(await store.load()) == (_ONE, _OTHER)

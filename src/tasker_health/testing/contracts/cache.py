"""The promises of :class:`~tasker_health.domain.ports.StatusCache`."""

# ruff: noqa: S101  assert is how a contract speaks

from __future__ import annotations

import asyncio
import pickle
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar, Final

import attrs
import pytest

from tasker_health.domain.errors import CacheError
from tasker_health.domain.status import (
    Activity,
    Finding,
    PerformanceMetrics,
    Rule,
    SystemHealth,
    Verdict,
    Vitals,
)
from tasker_health.testing.contracts.base import Contract, cancelled_after, to_override
from tasker_health.testing.reports import report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tasker_health.domain.ports import StatusCache
    from tasker_health.domain.status import StatusReport

__all__ = ["StatusCacheContract", "StoredStatusCacheContract"]

_AT: Final = datetime(2025, 6, 18, 15, 30, 0, 123_457, tzinfo=UTC)


def _finding(rule: Rule = Rule.STALLED, look_at: str = "the workers") -> Finding:
    return Finding(
        rule=rule,
        severity=Verdict.UNHEALTHY,
        observed=0.1 + 0.2,
        threshold=1e-300,
        since=_AT - timedelta(microseconds=1),
        look_at=look_at,
    )


_NOTHING: Final = report(
    system_health=SystemHealth(
        total_tasks=0,
        pending_tasks=0,
        running_tasks=0,
        completed_tasks=0,
        failed_tasks=0,
        blocked_tasks=0,
        cancelled_tasks=0,
        retry_queue_size=0,
    ),
    performance=PerformanceMetrics(window_seconds=1.0),
    activity=Activity(),
    vitals=Vitals(round_trip_ms=0.0),
    took_ms=0.0,
)

_EXAMPLES: Final = {
    "plain": report(at=_AT),
    "nothing known": _NOTHING,
    "every rule": report(findings=[_finding(rule) for rule in Rule]),
    "any script": report(findings=[_finding(look_at='\x00 "quoted" \\ \n ünï ✓ 🦀 \u2028')]),
    "far times": report(at=datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC)),
    "long ago": report(at=datetime(1, 1, 2, tzinfo=UTC)),
}


class StatusCacheContract(Contract):
    """What every status cache promises.

    Override ``cache``. Override ``other_cache`` where another process would hold a handle
    of its own, and ``pass_time`` where the cache's clock can be moved by hand.

    Attributes:
        keep_seconds: how long the tests have reports kept, in the cache's own time; at
            least twice what it can tell apart.
    """

    keep_seconds: ClassVar[float] = 1.0

    @property
    def _ages(self) -> float:
        """How long to keep what must not be over before the test is, on any machine."""
        return 60 * self.keep_seconds

    @pytest.fixture
    def cache(self) -> StatusCache:
        """Give an empty cache."""
        to_override(self, "cache")

    @pytest.fixture
    def other_cache(self, cache: StatusCache) -> StatusCache:
        """Give a second handle of the same cache."""
        return cache

    @pytest.fixture
    def pass_time(self) -> Callable[[float], Awaitable[None]]:
        """Give a coroutine function that lets so many seconds pass for the cache."""

        async def wait(seconds: float) -> None:
            # No timer may be so early that the cache is right to still hold the report.
            await asyncio.sleep(seconds + 0.02)

        return wait

    async def test_nothing_put_is_none(self, cache: StatusCache) -> None:
        """A cache into which nothing was put gives None, again and again."""
        assert await cache.get() is None
        assert await cache.get() is None

    @pytest.mark.parametrize("told", _EXAMPLES.values(), ids=_EXAMPLES.keys())
    async def test_what_was_put_comes_back_exactly(
        self, cache: StatusCache, told: StatusReport
    ) -> None:
        """A report comes back equal in every part, and as often as it is asked for."""
        await cache.put(told, self._ages)
        assert await cache.get() == told
        assert await cache.get() == told

    async def test_a_big_report_comes_back_exactly(self, cache: StatusCache) -> None:
        """A report many times the usual size is kept like any other."""
        big = report(findings=[_finding(look_at=f"{number}: " + "x" * 250) for number in range(60)])
        await cache.put(big, self._ages)
        assert await cache.get() == big

    async def test_a_report_too_big_is_refused_whole(self, cache: StatusCache) -> None:
        """A report without measure is kept or refused with ``CacheError``, never cut."""
        old, huge = report(), report(findings=[_finding(look_at="x" * 1_000_000)])
        await cache.put(old, self._ages)
        try:
            await cache.put(huge, self._ages)
        except CacheError:
            assert await cache.get() in (old, None)
        else:
            assert await cache.get() == huge

    async def test_the_latest_replaces_any_other(self, cache: StatusCache) -> None:
        """Only the report that was put last is given, whichever was measured last."""
        await cache.put(report(at=_AT), self._ages)
        older = report(at=_AT - timedelta(seconds=5))
        await cache.put(older, self._ages)
        assert await cache.get() == older

    async def test_a_report_is_kept_while_it_may_be(
        self, cache: StatusCache, pass_time: Callable[[float], Awaitable[None]]
    ) -> None:
        """Half-way through its time a report is still there."""
        await cache.put(report(), self.keep_seconds)
        await pass_time(self.keep_seconds / 2)
        assert await cache.get() == report()

    async def test_a_report_is_not_kept_past_its_time(
        self, cache: StatusCache, pass_time: Callable[[float], Awaitable[None]]
    ) -> None:
        """Once its time is over a report is gone, and stays gone."""
        await cache.put(report(), self.keep_seconds)
        await pass_time(self.keep_seconds)
        assert await cache.get() is None
        await pass_time(self.keep_seconds / 2)
        assert await cache.get() is None

    async def test_each_report_has_its_own_time(
        self, cache: StatusCache, pass_time: Callable[[float], Awaitable[None]]
    ) -> None:
        """What replaces a report is kept for its own time, longer or shorter."""
        await cache.put(report(), self.keep_seconds)
        await cache.put(_NOTHING, 60 * self.keep_seconds)
        await pass_time(self.keep_seconds)
        assert await cache.get() == _NOTHING
        await cache.put(report(), self.keep_seconds)
        await pass_time(self.keep_seconds)
        assert await cache.get() is None

    async def test_every_handle_sees_the_same(
        self, cache: StatusCache, other_cache: StatusCache
    ) -> None:
        """What is put through one handle is seen, and replaced, through another."""
        await cache.put(report(), self._ages)
        assert await other_cache.get() == report()
        await other_cache.put(_NOTHING, self._ages)
        assert await cache.get() == _NOTHING

    @pytest.mark.parametrize("steps", range(5))
    async def test_a_cancelled_put_leaves_one_whole_report(
        self, cache: StatusCache, steps: int
    ) -> None:
        """Whenever a put is cancelled, the old or the new report is there, and puts go on."""
        old = report()
        keep = self._ages
        await cache.put(old, keep)
        await cancelled_after(steps, lambda: cache.put(_NOTHING, keep))
        assert await cache.get() in (old, _NOTHING)
        newest = report(at=_AT)
        await cache.put(newest, keep)
        assert await cache.get() == newest

    @pytest.mark.parametrize("steps", range(5))
    async def test_a_cancelled_get_harms_nobody(self, cache: StatusCache, steps: int) -> None:
        """Whenever a get is cancelled, the next one gives the report."""
        await cache.put(report(), self._ages)
        await cancelled_after(steps, cache.get)
        assert await cache.get() == report()

    async def test_concurrent_callers_get_whole_reports(
        self, cache: StatusCache, other_cache: StatusCache
    ) -> None:
        """While many put and get, each get gives one of the reports, whole."""
        told = [report(at=_AT + timedelta(seconds=number)) for number in range(12)]
        await cache.put(told[0], self._ages)

        async def put(handle: StatusCache, one: StatusReport) -> None:
            await handle.put(one, self._ages)

        async def look(handle: StatusCache) -> None:
            assert await handle.get() in told

        handles = (cache, other_cache)
        await asyncio.gather(
            *(put(handle, one) for one in told for handle in handles),
            *(look(handle) for _ in told for handle in handles),
        )
        assert await cache.get() in told


@attrs.frozen
class _Trap:
    """Would change the list if a cache ever unpickled what it finds."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return _sprung.append, ("executed",)


_sprung: list[str] = []

_UNREADABLE: Final = {
    "nothing": b"",
    "no text": b"\xff\xfe\x00\x01",
    "no report": b'{"version": 1}',
    "not a number": b'{"version":1,"report":NaN}',
    "a number without end": b"1" * 5000,
    "nested without end": b"[" * 50_000,
    "a pickle": pickle.dumps(_Trap()),
}


class StoredStatusCacheContract(StatusCacheContract):
    """What a cache promises besides whose reports lie as bytes where others may write.

    Override ``plant`` and ``stored`` too.
    """

    @pytest.fixture
    def plant(self, cache: StatusCache) -> Callable[[bytes], Awaitable[None]]:
        """Give a coroutine function that puts bytes where the cache keeps its report."""
        del cache
        to_override(self, "plant")

    @pytest.fixture
    def stored(self, cache: StatusCache) -> Callable[[], Awaitable[bytes | None]]:
        """Give a coroutine function that reads those bytes; None where there are none."""
        del cache
        to_override(self, "stored")

    @pytest.mark.parametrize("data", _UNREADABLE.values(), ids=_UNREADABLE.keys())
    async def test_what_cannot_be_read_is_a_miss(
        self,
        cache: StatusCache,
        plant: Callable[[bytes], Awaitable[None]],
        stored: Callable[[], Awaitable[bytes | None]],
        data: bytes,
    ) -> None:
        """What is no report is a miss, is removed, never runs, and the next report is kept."""
        await plant(data)
        assert await cache.get() is None
        assert await stored() is None
        assert _sprung == []
        await cache.put(report(), self._ages)
        assert await cache.get() == report()

    async def test_a_truncated_report_is_a_miss(
        self,
        cache: StatusCache,
        plant: Callable[[bytes], Awaitable[None]],
        stored: Callable[[], Awaitable[bytes | None]],
    ) -> None:
        """A report that lost its end is a miss and is removed."""
        await cache.put(report(), self._ages)
        data = await stored()
        assert data
        await plant(data[: len(data) // 2])
        assert await cache.get() is None
        assert await stored() is None

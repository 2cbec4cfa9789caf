"""The status use case: cached, in flight, stale, or not to be had."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.status_bench import Bench, BrokenCache, Source, turns

from tasker_health.adapters.memory.cache import InMemoryStatusCache
from tasker_health.domain.errors import CacheError, SourceError, StatusUnavailableError
from tasker_health.domain.reasons import Reason
from tasker_health.domain.settings import HealthSettings
from tasker_health.domain.status import Verdict, Vitals
from tasker_health.testing.doubles import ManualClock

pytestmark = pytest.mark.anyio


async def test_the_first_caller_waits_and_the_next_are_served_from_hand() -> None:
    """One measurement a cache period; cached is false for who waited on it alone."""
    bench = Bench(Source())
    assert (await bench.ask()).cached is False
    bench.clock.advance(14.9)
    answer = await bench.ask()
    assert (answer.cached, answer.stale) == (True, False)
    assert bench.source.looks == 1
    bench.clock.advance(0.1)
    assert (await bench.ask()).cached is False
    assert bench.source.looks == 2


async def test_cold_callers_at_once_are_one_measurement() -> None:
    """Five hundred simultaneous cold callers: one look at the source, none cached."""
    bench = Bench(Source())
    bench.source.let_go.clear()
    callers = [asyncio.create_task(bench.reporter.answer()) for _ in range(500)]
    await turns()
    bench.source.let_go.set()
    answers = await asyncio.gather(*callers)
    assert bench.source.looks == 1
    assert not any(answer.cached for answer in answers)
    assert len({id(answer.report) for answer in answers}) == 1


async def test_the_expiry_that_is_told_is_the_expiry_that_holds() -> None:
    """The report says when it expires, one cache period after it was measured."""
    bench = Bench(Source())
    answer = await bench.ask()
    left = (answer.report.expires_at - bench.clock.now()).total_seconds()
    bench.clock.advance(left - 0.001)
    assert (await bench.ask()).cached
    bench.clock.advance(0.001)
    assert not (await bench.ask()).cached


async def test_no_reuse_measures_every_time() -> None:
    """With a cache duration of 0 each caller in turn gets numbers of their own."""
    bench = Bench(Source(), health=HealthSettings(cache_duration_seconds=0))
    for looks in (1, 2, 3):
        bench.source.completed = looks
        assert await bench.tasks() == looks
        assert bench.source.looks == looks


async def test_an_old_report_bridges_a_failing_source_and_says_so() -> None:
    """While the source fails the last report is served, marked stale, for a bounded time."""
    bench = Bench(Source())
    bench.source.completed = 7
    await bench.ask()
    bench.source.failing = SourceError(Reason.REFUSED)
    bench.clock.advance(15)
    answer = await bench.ask()
    assert (answer.cached, answer.stale) == (True, True)
    assert answer.report.snapshot.system_health.total_tasks == 7
    bench.clock.advance(299.9)
    assert (await bench.ask()).stale
    bench.clock.advance(0.1)
    with pytest.raises(StatusUnavailableError) as gone:
        await bench.ask()
    assert gone.value.reason is Reason.REFUSED
    assert gone.value.retry_after_seconds >= 1


async def test_without_any_report_a_failing_source_is_told() -> None:
    """No number is invented: there is a reason and a time to come back."""
    bench = Bench(Source())
    bench.source.failing = SourceError(Reason.AUTH)
    with pytest.raises(StatusUnavailableError) as none:
        await bench.ask()
    assert (none.value.reason, none.value.retry_after_seconds) == (Reason.AUTH, 1)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RuntimeError("bug"), Reason.FAILED), (TimeoutError(), Reason.TIMEOUT)],
)
async def test_any_error_of_the_source_is_classified(error: Exception, reason: Reason) -> None:
    """Even an adapter's own bug ends as a reason from the closed set."""
    bench = Bench(Source())
    bench.source.failing = error
    with pytest.raises(StatusUnavailableError) as none:
        await bench.ask()
    assert none.value.reason is reason


async def test_a_failing_source_is_not_asked_again_at_once() -> None:
    """However many ask, a source that refuses is asked at its own pace."""
    bench = Bench(Source())
    bench.source.failing = SourceError(Reason.REFUSED)
    for _ in range(100):
        with pytest.raises(StatusUnavailableError):
            await bench.ask()
    assert bench.source.looks == 1
    bench.clock.advance(0.5)
    bench.source.failing = None
    assert (await bench.ask()).cached is False
    assert bench.source.looks == 2


async def test_a_slow_source_is_not_waited_for_beyond_the_budget() -> None:
    """A cold caller gets its 503 while the measurement goes on and serves the next."""
    health = HealthSettings(status_timeout_seconds=0.01)
    bench = Bench(Source(), health=health)
    bench.source.let_go.clear()
    with pytest.raises(StatusUnavailableError) as late:
        await bench.ask()
    assert late.value.reason is Reason.TIMEOUT
    bench.source.let_go.set()
    await turns()
    assert (await bench.ask()).cached is True
    assert bench.source.looks == 1


async def test_with_an_old_report_at_hand_nobody_waits_long() -> None:
    """A slow renewal is bridged by the stale report, and then is there for the next."""
    bench = Bench(
        Source(),
        health=HealthSettings(status_timeout_seconds=30, status_patience_seconds=0.01),
    )
    await bench.ask()
    bench.clock.advance(15)
    bench.source.let_go.clear()
    assert (await bench.ask()).stale
    bench.source.let_go.set()
    await turns()
    answer = await bench.ask()
    assert (answer.cached, answer.stale) == (True, False)


async def test_a_measurement_that_hangs_is_ended() -> None:
    """The background is bounded too: the flight ends and the source may be asked again."""
    health = HealthSettings(status_timeout_seconds=0.05, measurement_timeout_seconds=0.05)
    bench = Bench(Source(), health=health)
    bench.source.let_go.clear()
    with pytest.raises(StatusUnavailableError):
        await bench.ask()
    await asyncio.wait({bench.reporter._flight.begin(bench.reporter._renew)})
    assert [c.reason for c in bench.journal.about("status_source")] == [Reason.TIMEOUT]
    bench.source.let_go.set()
    bench.clock.advance(0.5)
    assert (await bench.ask()).cached is False


async def test_two_processes_share_one_measurement() -> None:
    """What one process measured serves the other, as cached."""
    clock, source = ManualClock(), Source()
    cache = InMemoryStatusCache(clock)
    one, other = Bench(source, cache, clock=clock), Bench(source, cache, clock=clock)
    assert (await one.ask()).cached is False
    assert (await other.ask()).cached is True
    assert source.looks == 1


async def test_a_shared_report_bridges_a_failing_source_after_a_restart() -> None:
    """A process that has never measured serves the fleet's last report, marked stale."""
    clock, source = ManualClock(), Source()
    cache = InMemoryStatusCache(clock)
    await Bench(source, cache, clock=clock).ask()
    clock.advance(20)
    source.failing = SourceError(Reason.REFUSED)
    answer = await Bench(source, cache, clock=clock).ask()
    assert (answer.cached, answer.stale) == (True, True)


async def test_an_older_shared_report_does_not_replace_a_newer_one_in_hand() -> None:
    """Numbers never go back in time within a process."""
    clock, source = ManualClock(), Source()
    cache = InMemoryStatusCache(clock)
    one = Bench(source, cache, clock=clock)
    old = (await one.ask()).report
    clock.advance(15)
    source.completed = 5
    await one.ask()
    await cache.put(old, 60)
    clock.advance(15)
    source.failing = SourceError(Reason.REFUSED)
    assert await one.tasks() == 5


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        (CacheError(Reason.REFUSED), Reason.REFUSED),
        (RuntimeError("bug"), Reason.FAILED),
        (None, Reason.TIMEOUT),
    ],
)
async def test_a_broken_cache_is_a_miss(failing: Exception | None, reason: Reason) -> None:
    """The status is measured, 200, and readiness can tell how the cache is."""
    cache = BrokenCache(failing)
    bench = Bench(Source(), cache, health=HealthSettings(cache_timeout_seconds=0.005))
    assert (await bench.ask()).cached is False
    await asyncio.sleep(0.02)
    assert cache.uses == 2
    assert bench.shared is not None
    assert bench.shared.check().reason is reason
    (noted,) = bench.journal.about("status_cache")
    assert (noted.before, noted.after, noted.reason) == ("answering", "failing", reason)
    await bench.reporter.aclose()


async def test_a_mended_cache_is_ok_again() -> None:
    """The last use speaks."""
    cache = BrokenCache(CacheError(Reason.REFUSED))
    bench = Bench(Source(), cache)
    await bench.ask()
    mended = InMemoryStatusCache(bench.clock)
    assert bench.shared is not None
    bench.shared._cache = mended
    bench.clock.advance(15)
    await bench.ask()
    assert bench.shared.check().reason is None
    noted = [(c.before, c.after) for c in bench.journal.about("status_cache")]
    assert noted == [("answering", "failing"), ("failing", "answering")]


async def test_nothing_to_keep_is_not_put() -> None:
    """With neither reuse nor stale time there is nothing to share."""
    cache = BrokenCache(CacheError(Reason.REFUSED))
    bench = Bench(
        Source(),
        cache,
        health=HealthSettings(cache_duration_seconds=0, max_stale_seconds=0),
    )
    await bench.ask()
    assert cache.uses == 1


async def test_what_was_put_is_let_go_of() -> None:
    """However often a report is shared, nothing is held of the uses that are over."""
    clock = ManualClock()
    bench = Bench(Source(), InMemoryStatusCache(clock), clock=clock)
    await bench.ask()
    assert bench.shared is not None
    assert not bench.shared._putting


async def test_the_log_is_told_what_the_vendor_said() -> None:
    """The cause of a classified error is what helps; an error without one speaks for itself."""
    vendors, ours = RuntimeError("vendor words"), SourceError(Reason.REFUSED)
    ours.__cause__ = vendors
    for error in (vendors, ours):
        bench = Bench(Source(), BrokenCache(error))
        bench.source.failing = error
        with pytest.raises(StatusUnavailableError):
            await bench.ask()
        for subject in ("status_cache", "status_source"):
            (noted,) = bench.journal.about(subject)
            assert noted.detail == "RuntimeError: vendor words"


async def test_transitions_of_source_and_verdict_are_noted_once() -> None:
    """One line when the source fails, one when it answers; one when the verdict changes."""
    bench = Bench(Source())
    await bench.ask()
    refused = SourceError(Reason.REFUSED)
    for failing in (refused, refused, SourceError(Reason.TIMEOUT), None):
        bench.source.failing = failing
        bench.clock.advance(15)
        await bench.ask()
    bench.source.vitals_told = Vitals(round_trip_ms=900.0)
    for _ in range(2):
        bench.clock.advance(15)
        await bench.ask()
    told = [(c.subject, c.before, c.after) for c in bench.journal.changes]
    assert told == [
        ("verdict", "", "healthy"),
        ("status_source", "answering", "failing"),
        ("status_source", "failing", "failing"),
        ("status_source", "failing", "answering"),
        ("verdict", "healthy", "degraded"),
    ]
    assert "response_time 900 over 200" in bench.journal.changes[-1].detail


async def test_since_lives_in_the_cache_entry() -> None:
    """A finding's first time survives a restart, through the shared cache."""
    clock, source = ManualClock(), Source()
    cache = InMemoryStatusCache(clock)
    source.vitals_told = Vitals(round_trip_ms=900.0)
    first = (await Bench(source, cache, clock=clock).ask()).report
    clock.advance(60)
    later = (await Bench(source, cache, clock=clock).ask()).report
    assert later.verdict is Verdict.DEGRADED
    assert later.findings[0].since == first.snapshot.at
    assert later.snapshot.at > first.snapshot.at

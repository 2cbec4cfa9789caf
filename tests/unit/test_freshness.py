"""How long a report is good, whatever the clocks do."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.domain.freshness import Freshness, HeldReport, hold
from tasker_health.domain.settings import HealthSettings
from tasker_health.domain.status import (
    Activity,
    PerformanceMetrics,
    Snapshot,
    StatusReport,
    SystemHealth,
    Verdict,
    Vitals,
)

AT = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)
SETTINGS = HealthSettings(cache_duration_seconds=15, max_stale_seconds=300)


def report(*, expires_in: float = 15.0, took_ms: float = 0.0) -> StatusReport:
    """Make a report that was measured at AT."""
    return StatusReport(
        snapshot=Snapshot(
            at=AT,
            took_ms=took_ms,
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
            performance=PerformanceMetrics(window_seconds=60),
            activity=Activity(),
            vitals=Vitals(round_trip_ms=0),
        ),
        verdict=Verdict.HEALTHY,
        findings=(),
        expires_at=AT + timedelta(seconds=expires_in),
    )


def held(at: datetime = AT, monotonic: float = 100.0, **told: float) -> HeldReport:
    """Take a report into hands at a time."""
    return hold(report(**told), at=at, monotonic=monotonic, settings=SETTINGS)


@pytest.mark.parametrize(
    ("later", "freshness"),
    [
        (0, Freshness.FRESH),
        (14.999, Freshness.FRESH),
        (15, Freshness.STALE),
        (314.999, Freshness.STALE),
        (315, Freshness.EXPIRED),
    ],
)
def test_fresh_then_stale_then_expired(later: float, freshness: Freshness) -> None:
    """Fresh for the cache duration, stale for the stale time, then not to be had."""
    assert held().freshness(100.0 + later) is freshness


def test_a_report_found_late_is_fresh_for_what_is_left() -> None:
    """What another process measured ten seconds ago has five to go."""
    found = held(at=AT + timedelta(seconds=10))
    assert found.freshness(104.9) is Freshness.FRESH
    assert found.freshness(105.0) is Freshness.STALE


@given(
    st.floats(-1e8, 1e8),
    st.floats(-1e8, 1e8),
    st.floats(0, 1e5),
)
def test_no_clock_makes_a_report_outlive_the_settings(
    skew: float, expires_in: float, later: float
) -> None:
    """However far a wall clock or an entry's times are off, the settings bound its life."""
    found = hold(
        report(expires_in=expires_in),
        at=AT + timedelta(seconds=skew),
        monotonic=0.0,
        settings=SETTINGS,
    )
    if later >= 15:
        assert found.freshness(later) is not Freshness.FRESH
    if later >= 315:
        assert found.freshness(later) is Freshness.EXPIRED


def test_no_reuse_is_never_fresh() -> None:
    """A cache duration of 0 leaves nothing to reuse, but a report to fall back on."""
    none = hold(
        report(expires_in=0),
        at=AT,
        monotonic=5.0,
        settings=HealthSettings(cache_duration_seconds=0),
    )
    assert none.freshness(5.0) is Freshness.STALE


def test_a_report_is_renewed_just_before_it_runs_out() -> None:
    """The lead is what measuring takes, and more by chance."""
    assert held(took_ms=0.0).renewal_in(100.0, draw=0.5) == 15.0
    assert held(took_ms=1000.0).renewal_in(100.0, draw=1.0) == 14.0
    assert held(took_ms=1000.0).renewal_in(103.0, draw=math.exp(-2)) == pytest.approx(9.0)


def test_however_dear_half_of_what_is_left_is_used() -> None:
    """A measurement longer than the period does not measure without a pause."""
    assert held(took_ms=60_000.0).renewal_in(100.0, draw=0.0) == 7.5
    assert held(took_ms=60_000.0).renewal_in(120.0, draw=0.0) == 0.0


@given(st.floats(0, 20_000), st.floats(0, 30), st.floats(0, 1), st.floats(0, 1))
def test_a_smaller_draw_renews_no_later(
    took_ms: float, later: float, one: float, other: float
) -> None:
    """The lead is monotone in the draw, as in the rule of Vattani et al., and in time."""
    low, high = sorted((one, other))
    entry, now = held(took_ms=took_ms), 100.0 + later
    assert 0 <= entry.renewal_in(now, low) <= entry.renewal_in(now, high)
    assert entry.renewal_in(now, high) <= max(0.0, entry.fresh_until - now)

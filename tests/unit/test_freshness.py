"""How long a report is good, whatever the clocks do."""

from __future__ import annotations

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


def test_cheap_and_far_from_expiry_is_not_renewed_early() -> None:
    """Only a dear measurement or a near expiry makes a caller renew."""
    assert not held(took_ms=0.0).due_early(114.9, draw=0.0)
    assert not held(took_ms=100.0).due_early(100.0, draw=0.5)
    assert held(took_ms=100.0).due_early(114.99, draw=0.5)
    assert held(took_ms=10_000.0).due_early(110.0, draw=0.5)


def test_the_luckiest_draw_renews_in_finite_time() -> None:
    """A draw of exactly 0 is no error, and one of 1 never renews early."""
    assert held(took_ms=1_000.0).due_early(100.0, draw=0.0)
    assert not held(took_ms=1_000.0).due_early(114.999, draw=1.0)


@given(st.floats(0, 14.9), st.floats(0, 1), st.floats(0, 1))
def test_a_smaller_draw_renews_no_later(later: float, one: float, other: float) -> None:
    """Early expiration is monotone in the draw, as the rule of Vattani et al. is."""
    low, high = sorted((one, other))
    entry = held(took_ms=500.0)
    assert entry.due_early(100.0 + later, low) >= entry.due_early(100.0 + later, high)

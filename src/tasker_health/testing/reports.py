"""Status reports: one to build by hand, and all that there can be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from tasker_health.domain.status import (
    Activity,
    Finding,
    PerformanceMetrics,
    Rule,
    Snapshot,
    StatusReport,
    SystemHealth,
    Verdict,
    Vitals,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["findings", "report", "reports", "snapshots"]

_AT: Final = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)

_COUNTS: Final = SystemHealth(
    total_tasks=100,
    pending_tasks=20,
    running_tasks=5,
    completed_tasks=60,
    failed_tasks=10,
    blocked_tasks=3,
    cancelled_tasks=2,
    retry_queue_size=4,
)


def report(
    *,
    at: datetime = _AT,
    took_ms: float = 12.5,
    system_health: SystemHealth = _COUNTS,
    performance: PerformanceMetrics | None = None,
    activity: Activity | None = None,
    vitals: Vitals | None = None,
    findings: Iterable[Finding] = (),
    fresh_seconds: float = 15.0,
) -> StatusReport:
    """Build a report out of what a test cares about; the rest is plausible.

    Args:
        at: when it was measured, aware UTC.
        took_ms: how long that took.
        system_health: the counts.
        performance: None for a plausible one.
        activity: None for a plausible one.
        vitals: None for plausible ones.
        findings: what is wrong; the verdict follows from them.
        fresh_seconds: how long after ``at`` it expires.
    """
    told = tuple(findings)
    return StatusReport(
        snapshot=Snapshot(
            at=at,
            took_ms=took_ms,
            system_health=system_health,
            performance=performance
            or PerformanceMetrics(
                window_seconds=3600.0,
                avg_task_completion_time_ms=2500.25,
                avg_step_completion_time_ms=300.125,
                retry_success_rate=0.75,
            ),
            activity=activity
            or Activity(
                ready_steps=7,
                ready_since=at - timedelta(seconds=4),
                last_transition_at=at - timedelta(seconds=1),
                tasks_failed=1,
                tasks_completed=30,
                blocked_since=at - timedelta(seconds=90),
            ),
            vitals=vitals
            or Vitals(round_trip_ms=0.8, client_connections=12, connections_allowed=97),
        ),
        verdict=_worst(told),
        findings=told,
        expires_at=at + timedelta(seconds=fresh_seconds),
    )


def findings() -> st.SearchStrategy[Finding]:
    """Generate any finding."""
    return st.builds(
        Finding,
        rule=st.sampled_from(Rule),
        severity=st.sampled_from([Verdict.DEGRADED, Verdict.UNHEALTHY]),
        observed=_numbers(),
        threshold=_numbers(),
        since=_moments(),
        look_at=st.text(max_size=80),
    )


def snapshots() -> st.SearchStrategy[Snapshot]:
    """Generate any snapshot; its parts need not agree with each other."""
    return st.builds(
        Snapshot,
        at=_moments(),
        took_ms=_amounts(),
        system_health=_system_healths(),
        performance=st.builds(
            PerformanceMetrics,
            window_seconds=st.floats(min_value=1, max_value=1e9),
            avg_task_completion_time_ms=st.none() | _amounts(),
            avg_step_completion_time_ms=st.none() | _amounts(),
            retry_success_rate=st.none() | st.floats(0, 1),
            excluded_future=_counts(),
            excluded_negative=_counts(),
        ),
        activity=st.builds(
            Activity,
            ready_steps=_counts(),
            ready_since=st.none() | _moments(),
            last_transition_at=st.none() | _moments(),
            tasks_failed=_counts(),
            tasks_completed=_counts(),
            blocked_since=st.none() | _moments(),
        ),
        vitals=st.builds(
            Vitals,
            round_trip_ms=_amounts(),
            client_connections=st.none() | _counts(),
            connections_allowed=st.none() | st.integers(1, 2**31),
        ),
    )


def reports() -> st.SearchStrategy[StatusReport]:
    """Generate any report whose numbers are finite."""

    def judged(snapshot: Snapshot, found: list[Finding], expires_at: datetime) -> StatusReport:
        ordered = sorted(found, key=lambda finding: -finding.severity.severity)
        return StatusReport(
            snapshot=snapshot,
            verdict=_worst(found),
            findings=tuple(ordered),
            expires_at=expires_at,
        )

    return st.builds(judged, snapshots(), st.lists(findings(), max_size=6), _moments())


def _worst(found: Iterable[Finding]) -> Verdict:
    severities = (finding.severity for finding in found)
    return max(severities, key=lambda verdict: verdict.severity, default=Verdict.HEALTHY)


def _system_healths() -> st.SearchStrategy[SystemHealth]:
    def counted(parts: tuple[int, ...], retry_queue_size: int) -> SystemHealth:
        pending, running, completed, failed, blocked, cancelled = parts
        return SystemHealth(
            total_tasks=sum(parts),
            pending_tasks=pending,
            running_tasks=running,
            completed_tasks=completed,
            failed_tasks=failed,
            blocked_tasks=blocked,
            cancelled_tasks=cancelled,
            retry_queue_size=retry_queue_size,
        )

    return st.builds(counted, st.tuples(*[_counts()] * 6), _counts())


def _counts() -> st.SearchStrategy[int]:
    return st.integers(0, 2**48)


def _numbers() -> st.SearchStrategy[float]:
    return st.floats(allow_nan=False, allow_infinity=False)


def _amounts() -> st.SearchStrategy[float]:
    return st.floats(min_value=0, allow_infinity=False)


def _moments() -> st.SearchStrategy[datetime]:
    return st.datetimes(timezones=st.just(UTC))

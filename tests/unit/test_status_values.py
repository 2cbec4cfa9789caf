"""The values of a status report hold their invariants."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.domain.status import (
    Activity,
    Finding,
    PerformanceMetrics,
    Rule,
    Snapshot,
    StatusAnswer,
    StatusReport,
    SystemHealth,
    Verdict,
    Vitals,
)

AT = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)
counts = st.integers(0, 10**12)


def health(**counts: int) -> SystemHealth:
    """Make counts that add up; those not given are 0."""
    six = ("pending", "running", "completed", "failed", "blocked", "cancelled")
    told = {f"{state}_tasks": counts.get(state, 0) for state in six}
    return SystemHealth(
        total_tasks=sum(told.values()), retry_queue_size=counts.get("retry", 0), **told
    )


@given(st.lists(counts, min_size=6, max_size=6), st.integers(-3, 3))
def test_the_six_counts_add_up_to_the_total(six: list[int], off: int) -> None:
    """Counts that do not add up cannot be told."""
    names = ("pending", "running", "completed", "failed", "blocked", "cancelled")
    told = {f"{name}_tasks": count for name, count in zip(names, six, strict=True)}
    total = sum(six) + off
    if off == 0:
        assert SystemHealth(total_tasks=total, retry_queue_size=0, **told).total_tasks == total
        return
    with pytest.raises(ValueError, match=r"add up|total_tasks"):
        SystemHealth(total_tasks=total, retry_queue_size=0, **told)


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(SystemHealth)])
@pytest.mark.parametrize("bad", [-1, 1.0, True, None, "1"])
def test_a_count_is_a_whole_number_from_zero(name: str, bad: object) -> None:
    """A count that is no count is refused by its name."""
    told: dict[str, Any] = {**attrs.asdict(health()), name: bad}
    with pytest.raises(ValueError, match=name):
        SystemHealth(**told)


@pytest.mark.parametrize(
    "wrong",
    [
        {"retry_success_rate": 1.01},
        {"retry_success_rate": -0.01},
        {"avg_task_completion_time_ms": -1.0},
        {"avg_step_completion_time_ms": -1.0},
        {"window_seconds": 0},
        {"excluded_future": -1},
        {"excluded_negative": -1},
    ],
)
def test_performance_keeps_its_ranges(wrong: dict[str, Any]) -> None:
    """A rate is in 0..1, a time is not negative, and a window is some time."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PerformanceMetrics(**{"window_seconds": 3600.0, **wrong})


def test_nothing_known_is_none() -> None:
    """Unless told, no metric has a value."""
    metrics = PerformanceMetrics(window_seconds=60.0)
    assert metrics.avg_task_completion_time_ms is None
    assert metrics.avg_step_completion_time_ms is None
    assert metrics.retry_success_rate is None
    assert (metrics.excluded_future, metrics.excluded_negative) == (0, 0)
    assert attrs.asdict(Activity()) == {
        "ready_steps": 0,
        "ready_since": None,
        "last_transition_at": None,
        "tasks_failed": 0,
        "tasks_completed": 0,
        "blocked_since": None,
    }


def test_the_ends_of_a_range_belong_to_it() -> None:
    """No time, no share, the whole share and one connection are facts like others."""
    for rate in (0, 1):
        metrics = PerformanceMetrics(
            window_seconds=0.5,
            avg_task_completion_time_ms=0,
            avg_step_completion_time_ms=0,
            retry_success_rate=rate,
        )
        assert metrics.retry_success_rate == rate
    least = Vitals(round_trip_ms=0, client_connections=0, connections_allowed=1)
    assert least.connections_allowed == 1


@pytest.mark.parametrize("name", ["ready_since", "last_transition_at", "blocked_since"])
def test_times_have_their_zone(name: str) -> None:
    """A time without a zone could be any time, and is refused."""
    naive: dict[str, Any] = {name: AT.replace(tzinfo=None)}
    with pytest.raises(ValueError, match=name):
        Activity(**naive)


def test_a_server_allows_some_connections() -> None:
    """A limit of none at all would make a ratio impossible."""
    with pytest.raises(ValueError, match="connections_allowed"):
        Vitals(round_trip_ms=1.0, client_connections=1, connections_allowed=0)
    with pytest.raises(ValueError, match="round_trip_ms"):
        Vitals(round_trip_ms=-1.0)


def snapshot() -> Snapshot:
    """Make the smallest snapshot."""
    return Snapshot(
        at=AT,
        took_ms=1.0,
        system_health=health(),
        performance=PerformanceMetrics(window_seconds=60.0),
        activity=Activity(),
        vitals=Vitals(round_trip_ms=1.0),
    )


def finding(severity: Verdict) -> Finding:
    """Make a finding of this severity."""
    return Finding(
        rule=Rule.BLOCKED, severity=severity, observed=2, threshold=1, since=AT, look_at="there"
    )


def test_a_finding_says_something() -> None:
    """Healthy is no finding."""
    with pytest.raises(ValueError, match="severity"):
        finding(Verdict.HEALTHY)


@pytest.mark.parametrize(
    ("verdict", "severities"),
    [
        (Verdict.HEALTHY, [Verdict.DEGRADED]),
        (Verdict.DEGRADED, []),
        (Verdict.DEGRADED, [Verdict.DEGRADED, Verdict.UNHEALTHY]),
        (Verdict.UNHEALTHY, [Verdict.DEGRADED]),
    ],
)
def test_a_verdict_is_the_worst_of_its_findings(
    verdict: Verdict, severities: list[Verdict]
) -> None:
    """A report whose verdict its findings do not explain cannot be made."""
    with pytest.raises(ValueError, match="worst"):
        StatusReport(
            snapshot=snapshot(),
            verdict=verdict,
            findings=tuple(finding(severity) for severity in severities),
            expires_at=AT,
        )


def test_an_answer_is_not_stale_unless_told() -> None:
    """Stale is the exception, and somebody has to say so."""
    report = StatusReport(snapshot=snapshot(), verdict=Verdict.HEALTHY, findings=(), expires_at=AT)
    assert not StatusAnswer(report=report, cached=True).stale


def test_verdicts_are_ordered() -> None:
    """Healthy is better than degraded, and degraded than unhealthy."""
    assert sorted(Verdict, key=lambda verdict: verdict.severity) == [
        Verdict.HEALTHY,
        Verdict.DEGRADED,
        Verdict.UNHEALTHY,
    ]

"""The verdict rules: each threshold from both sides, and what follows from time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.domain.settings import Thresholds
from tasker_health.domain.status import (
    Activity,
    Finding,
    PerformanceMetrics,
    Rule,
    Snapshot,
    SystemHealth,
    Verdict,
    Vitals,
)
from tasker_health.domain.verdict import evaluate, failed_share, stalled_seconds

AT = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)
LIMITS = Thresholds()


def ago(seconds: float) -> datetime:
    """Tell the moment so many seconds before the snapshot."""
    return AT - timedelta(seconds=seconds)


def snapshot(activity: Activity | None = None, vitals: Vitals | None = None) -> Snapshot:
    """Make a snapshot that differs from a quiet, well one as told."""
    return Snapshot(
        at=AT,
        took_ms=5.0,
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
        performance=PerformanceMetrics(window_seconds=3600.0),
        activity=activity or Activity(),
        vitals=vitals or Vitals(round_trip_ms=1.0),
    )


def ended(failed: int, completed: int) -> Snapshot:
    """Make a snapshot in whose window so many tasks ended."""
    return snapshot(Activity(tasks_failed=failed, tasks_completed=completed))


def only(found: tuple[Verdict, tuple[Finding, ...]]) -> Finding:
    """Insist on exactly one finding, and that the verdict is its severity."""
    verdict, (finding,) = found
    assert verdict is finding.severity
    return finding


def test_an_empty_tasker_is_healthy() -> None:
    """Where nothing is, nothing is wrong."""
    assert evaluate(snapshot(), LIMITS) == (Verdict.HEALTHY, ())


@pytest.mark.parametrize(
    ("failed", "completed", "verdict"),
    [
        (19, 0, Verdict.HEALTHY),
        (0, 1000, Verdict.HEALTHY),
        (5, 95, Verdict.HEALTHY),
        (6, 94, Verdict.DEGRADED),
        (10, 10, Verdict.DEGRADED),
        (11, 10, Verdict.UNHEALTHY),
        (20, 0, Verdict.UNHEALTHY),
    ],
)
def test_failed_share_of_the_window(failed: int, completed: int, verdict: Verdict) -> None:
    """More than 5 % is degraded, more than 50 % unhealthy, below 20 ended tasks nothing."""
    assert evaluate(ended(failed, completed), LIMITS)[0] is verdict


def test_failed_share_tells_what_it_saw() -> None:
    """The finding holds the share, the threshold that it passed, and where to look."""
    finding = only(evaluate(ended(10, 90), LIMITS))
    assert (finding.rule, finding.observed, finding.threshold) == (Rule.FAILED_SHARE, 0.1, 0.05)
    assert finding.since == AT
    assert finding.look_at
    worse = only(evaluate(ended(90, 10), LIMITS))
    assert (worse.observed, worse.threshold) == (0.9, 0.5)


def test_a_share_of_too_few_is_none() -> None:
    """A share below the smallest number of tasks is not known, rather than 0."""
    assert failed_share(Activity(tasks_failed=10, tasks_completed=9), 20) is None
    assert failed_share(Activity(tasks_failed=10, tasks_completed=10), 20) == 0.5


@pytest.mark.parametrize(
    ("connections", "allowed", "verdict"),
    [
        (90, 100, Verdict.HEALTHY),
        (91, 100, Verdict.UNHEALTHY),
        (None, 100, Verdict.HEALTHY),
        (91, None, Verdict.HEALTHY),
    ],
)
def test_connections(connections: int | None, allowed: int | None, verdict: Verdict) -> None:
    """More than 90 % of the allowed connections is unhealthy; unknown is silent."""
    vitals = Vitals(round_trip_ms=1, client_connections=connections, connections_allowed=allowed)
    assert evaluate(snapshot(vitals=vitals), LIMITS)[0] is verdict


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [(-5, Verdict.HEALTHY), (300, Verdict.HEALTHY), (300.5, Verdict.DEGRADED)],
)
def test_blocked(seconds: float, verdict: Verdict) -> None:
    """A task blocked for over five minutes is degraded; for less it is the engine's to end."""
    assert evaluate(snapshot(Activity(blocked_since=ago(seconds))), LIMITS)[0] is verdict


@pytest.mark.parametrize(
    ("ready", "moved", "verdict"),
    [
        (None, 10_000, Verdict.HEALTHY),
        (301, 301, Verdict.UNHEALTHY),
        (301, 300, Verdict.HEALTHY),
        (300, 301, Verdict.HEALTHY),
        (301, None, Verdict.UNHEALTHY),
        (1, 10_000, Verdict.HEALTHY),
        (10_000, 1, Verdict.HEALTHY),
    ],
)
def test_stalled(ready: float | None, moved: float | None, verdict: Verdict) -> None:
    """Ready work and no transition, both for over five minutes, is unhealthy."""
    activity = Activity(
        ready_steps=0 if ready is None else 1,
        ready_since=None if ready is None else ago(ready),
        last_transition_at=None if moved is None else ago(moved),
    )
    assert evaluate(snapshot(activity), LIMITS)[0] is verdict


def test_work_that_arrives_after_a_quiet_night_is_not_stalled() -> None:
    """A task that came a second ago is not held against an idle system's last move."""
    activity = Activity(ready_steps=1, ready_since=ago(1), last_transition_at=ago(36_000))
    assert stalled_seconds(activity, AT) == 1
    assert stalled_seconds(Activity(last_transition_at=ago(36_000)), AT) is None
    assert stalled_seconds(Activity(ready_since=ago(-5)), AT) == 0


@pytest.mark.parametrize(
    ("spent", "verdict"), [(200.0, Verdict.HEALTHY), (200.1, Verdict.DEGRADED)]
)
def test_response_time(spent: float, verdict: Verdict) -> None:
    """A round trip of over 200 ms is degraded, as the guide advises to alert."""
    assert evaluate(snapshot(vitals=Vitals(round_trip_ms=spent)), LIMITS)[0] is verdict


def test_the_worst_finding_comes_first_and_is_the_verdict() -> None:
    """Findings are ordered by severity; none is lost."""
    bad = snapshot(
        Activity(
            ready_steps=1,
            ready_since=ago(900),
            blocked_since=ago(900),
            tasks_failed=10,
            tasks_completed=90,
        ),
        Vitals(round_trip_ms=500.0, client_connections=99, connections_allowed=100),
    )
    verdict, findings = evaluate(bad, LIMITS)
    assert verdict is Verdict.UNHEALTHY
    assert [finding.rule for finding in findings] == [
        Rule.CONNECTIONS,
        Rule.STALLED,
        Rule.FAILED_SHARE,
        Rule.BLOCKED,
        Rule.RESPONSE_TIME,
    ]


def test_since_is_carried_through_an_unbroken_run() -> None:
    """A rule that spoke in the measurement before keeps its first time, at any severity."""
    first = only(evaluate(ended(10, 90), LIMITS))
    later = attrs.evolve(ended(90, 10), at=AT + timedelta(minutes=10))
    assert only(evaluate(later, LIMITS, [first])).since == AT
    other = attrs.evolve(
        snapshot(vitals=Vitals(round_trip_ms=900.0)), at=AT + timedelta(minutes=10)
    )
    assert only(evaluate(other, LIMITS, [first])).since == other.at


def test_since_is_never_later_than_the_measurement() -> None:
    """When the wall clock jumps back, a finding does not begin in the future."""
    first = only(evaluate(ended(10, 90), LIMITS))
    earlier = attrs.evolve(ended(10, 90), at=AT - timedelta(hours=1))
    assert only(evaluate(earlier, LIMITS, [first])).since == earlier.at


def test_every_threshold_is_a_setting() -> None:
    """With its threshold moved, each rule speaks where it was silent."""
    quiet = snapshot(
        Activity(
            tasks_failed=1,
            tasks_completed=99,
            blocked_since=ago(10),
            ready_steps=1,
            ready_since=ago(10),
        ),
        Vitals(round_trip_ms=10.0, client_connections=5, connections_allowed=100),
    )
    assert evaluate(quiet, LIMITS)[1] == ()
    strict = Thresholds(
        degraded_failed_share=0.001,
        unhealthy_connections_ratio=0.01,
        degraded_blocked_seconds=1,
        unhealthy_stall_seconds=1,
        degraded_response_time_ms=1,
    )
    assert {finding.rule for finding in evaluate(quiet, strict)[1]} == set(Rule)
    assert evaluate(quiet, Thresholds(failed_share_minimum_tasks=101))[1] == ()


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 500))
def test_one_more_failure_never_heals(failed: int, completed: int, more: int) -> None:
    """Among enough tasks, the verdict only gets worse as more of them fail."""
    if failed + completed < LIMITS.failed_share_minimum_tasks:
        return
    before, _ = evaluate(ended(failed, completed), LIMITS)
    after, _ = evaluate(ended(failed + more, completed), LIMITS)
    assert after.severity >= before.severity

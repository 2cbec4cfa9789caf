"""From facts to a verdict: the rules, each a function of a snapshot and the thresholds.

A rule that lacks its facts says nothing. No rule reads a clock: an age is measured against
the snapshot's own time, so that the same facts always get the same verdict.

Source: the project's design, *Documents*; guide, *Alerting Examples* (the 5 %) and
*Optimization Tips* (the 200 ms). Two departures from a lifetime rate are on purpose: a
window, because a rate over all history can neither fire nor clear; and a smallest number
of tasks, because one failure of two is no 50 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.domain.status import Finding, Rule, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from tasker_health.domain.settings import Thresholds
    from tasker_health.domain.status import Activity, Snapshot

__all__ = ["evaluate", "failed_share", "stalled_seconds"]


@attrs.frozen
class _Breach:
    """A rule that was broken: how badly, what was seen, what it was held against."""

    severity: Verdict
    observed: float
    threshold: float


def evaluate(
    snapshot: Snapshot, thresholds: Thresholds, earlier: Iterable[Finding] = ()
) -> tuple[Verdict, tuple[Finding, ...]]:
    """Judge a snapshot.

    Args:
        snapshot: the facts.
        thresholds: where well ends.
        earlier: the findings of the measurement before; a rule that still speaks keeps
            their ``since``.

    Returns:
        The verdict and its findings, worst first.
    """
    since = {finding.rule: finding.since for finding in earlier}
    found = [
        Finding(
            rule=rule,
            severity=breach.severity,
            observed=breach.observed,
            threshold=breach.threshold,
            since=min(since.get(rule, snapshot.at), snapshot.at),
            look_at=_LOOK_AT[rule],
        )
        for rule, judge in _JUDGES.items()
        if (breach := judge(snapshot, thresholds)) is not None
    ]
    found.sort(key=lambda finding: -finding.severity.severity)
    return (found[0].severity if found else Verdict.HEALTHY), tuple(found)


def failed_share(activity: Activity, minimum_tasks: int) -> float | None:
    """Tell which share of the tasks that ended in the window failed; None below the minimum."""
    ended = activity.tasks_failed + activity.tasks_completed
    return activity.tasks_failed / ended if ended >= minimum_tasks else None


def stalled_seconds(activity: Activity, at: datetime) -> float | None:
    """Tell how long ready work has waited without any transition; None without ready work.

    Work that became ready a moment ago is not stalled however long nothing moved before it.
    """
    if activity.ready_since is None:
        return None
    quiet_since = max(activity.ready_since, activity.last_transition_at or activity.ready_since)
    return max(0.0, (at - quiet_since).total_seconds())


def _failed_share(snapshot: Snapshot, thresholds: Thresholds) -> _Breach | None:
    share = failed_share(snapshot.activity, thresholds.failed_share_minimum_tasks)
    if share is None or share <= thresholds.degraded_failed_share:
        return None
    if share > thresholds.unhealthy_failed_share:
        return _Breach(Verdict.UNHEALTHY, share, thresholds.unhealthy_failed_share)
    return _Breach(Verdict.DEGRADED, share, thresholds.degraded_failed_share)


def _connections(snapshot: Snapshot, thresholds: Thresholds) -> _Breach | None:
    vitals, limit = snapshot.vitals, thresholds.unhealthy_connections_ratio
    if vitals.client_connections is None or vitals.connections_allowed is None:
        return None
    ratio = vitals.client_connections / vitals.connections_allowed
    return _Breach(Verdict.UNHEALTHY, ratio, limit) if ratio > limit else None


def _blocked(snapshot: Snapshot, thresholds: Thresholds) -> _Breach | None:
    since, limit = snapshot.activity.blocked_since, thresholds.degraded_blocked_seconds
    if since is None:
        return None
    seconds = (snapshot.at - since).total_seconds()
    return _Breach(Verdict.DEGRADED, seconds, limit) if seconds > limit else None


def _stalled(snapshot: Snapshot, thresholds: Thresholds) -> _Breach | None:
    seconds = stalled_seconds(snapshot.activity, snapshot.at)
    limit = thresholds.unhealthy_stall_seconds
    if seconds is None or seconds <= limit:
        return None
    return _Breach(Verdict.UNHEALTHY, seconds, limit)


def _response_time(snapshot: Snapshot, thresholds: Thresholds) -> _Breach | None:
    spent, limit = snapshot.vitals.round_trip_ms, thresholds.degraded_response_time_ms
    return _Breach(Verdict.DEGRADED, spent, limit) if spent > limit else None


_JUDGES: Final[dict[Rule, Callable[[Snapshot, Thresholds], _Breach | None]]] = {
    Rule.FAILED_SHARE: _failed_share,
    Rule.CONNECTIONS: _connections,
    Rule.BLOCKED: _blocked,
    Rule.STALLED: _stalled,
    Rule.RESPONSE_TIME: _response_time,
}

_LOOK_AT: Final = {
    Rule.FAILED_SHARE: "the tasks that entered error in the window, and their failed steps",
    Rule.CONNECTIONS: "who holds the server's connections, and the pool sizes of its clients",
    Rule.BLOCKED: "the tasks whose steps failed for good and that nobody resolved or cancelled",
    Rule.STALLED: "whether any worker runs and reaches the database: work is ready, nothing moves",
    Rule.RESPONSE_TIME: "the database's load, its locks and the network on the way to it",
}

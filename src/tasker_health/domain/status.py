"""What a status report says: Tasker's counts, its performance, and what is wrong.

Values only. Shares and ratios are in 0..1, times in milliseconds or aware UTC instants;
what is not known is ``None``, never a guess.

Source: guide, *Status Endpoint*; database facts, *How both become one report*.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import attrs

__all__ = [
    "Activity",
    "Finding",
    "PerformanceMetrics",
    "Rule",
    "Snapshot",
    "StatusAnswer",
    "StatusReport",
    "SystemHealth",
    "Verdict",
    "Vitals",
]

_not_negative = attrs.validators.ge(0)
_maybe_not_negative = attrs.validators.optional(_not_negative)


def _count(_: object, attribute: attrs.Attribute[int], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{attribute.name} is {value!r}: allowed is a whole number, 0 or more")


_maybe_count = attrs.validators.optional(_count)


def _ratio(_: object, attribute: attrs.Attribute[float | None], value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"{attribute.name} is {value!r}: allowed is 0..1 or None")


def _aware(_: object, attribute: attrs.Attribute[datetime], value: datetime) -> None:
    if value.utcoffset() is None:
        raise ValueError(f"{attribute.name} is {value!r}: allowed is a time with its zone")


_maybe_aware = attrs.validators.optional(_aware)


@attrs.frozen(kw_only=True)
class SystemHealth:
    """How many tasks there are, by state. The six states are disjoint and add up to the total.

    Args:
        total_tasks: all tasks.
        pending_tasks: not begun.
        running_tasks: begun, and not ended.
        completed_tasks: complete or resolved by hand.
        failed_tasks: ended in error.
        blocked_tasks: open, with a step that failed for good and nothing left to run.
        cancelled_tasks: called off.
        retry_queue_size: steps of open tasks that failed and will be tried again.
    """

    total_tasks: int = attrs.field(validator=_count)
    pending_tasks: int = attrs.field(validator=_count)
    running_tasks: int = attrs.field(validator=_count)
    completed_tasks: int = attrs.field(validator=_count)
    failed_tasks: int = attrs.field(validator=_count)
    blocked_tasks: int = attrs.field(validator=_count)
    cancelled_tasks: int = attrs.field(validator=_count)
    retry_queue_size: int = attrs.field(validator=_count)

    def __attrs_post_init__(self) -> None:
        parts = (
            self.pending_tasks
            + self.running_tasks
            + self.completed_tasks
            + self.failed_tasks
            + self.blocked_tasks
            + self.cancelled_tasks
        )
        if parts != self.total_tasks:
            raise ValueError(
                f"the six counts add up to {parts}, not to the {self.total_tasks} told"
            )


@attrs.frozen(kw_only=True)
class PerformanceMetrics:
    """How Tasker did in the window that ends now; ``None`` where nothing qualified.

    Args:
        window_seconds: how far it looks back; the window is (now - window, now].
        avg_task_completion_time_ms: from a task's creation to its move to ``complete``.
        avg_step_completion_time_ms: the same for steps.
        retry_success_rate: of the steps with more than one attempt that reached an end in
            the window, the share that completed.
        excluded_future: completions stamped after now, left out.
        excluded_negative: completions in the window that precede their creation, left out
            of the averages.
    """

    window_seconds: float = attrs.field(validator=attrs.validators.gt(0))
    avg_task_completion_time_ms: float | None = attrs.field(
        default=None, validator=_maybe_not_negative
    )
    avg_step_completion_time_ms: float | None = attrs.field(
        default=None, validator=_maybe_not_negative
    )
    retry_success_rate: float | None = attrs.field(default=None, validator=_ratio)
    excluded_future: int = attrs.field(default=0, validator=_count)
    excluded_negative: int = attrs.field(default=0, validator=_count)


@attrs.frozen(kw_only=True)
class Activity:
    """Whether Tasker moves: what waits to run, and when anything last happened.

    Args:
        ready_steps: steps that could run now.
        ready_since: since when the longest-waiting of them could; None when there is none.
        last_transition_at: the latest move of any task or step, none from the future.
        tasks_failed: tasks that entered ``error`` in the window.
        tasks_completed: tasks that entered ``complete`` in the window.
        blocked_since: since when the longest-blocked task is; None when there is none.
    """

    ready_steps: int = attrs.field(default=0, validator=_count)
    ready_since: datetime | None = attrs.field(default=None, validator=_maybe_aware)
    last_transition_at: datetime | None = attrs.field(default=None, validator=_maybe_aware)
    tasks_failed: int = attrs.field(default=0, validator=_count)
    tasks_completed: int = attrs.field(default=0, validator=_count)
    blocked_since: datetime | None = attrs.field(default=None, validator=_maybe_aware)


@attrs.frozen(kw_only=True)
class Vitals:
    """How the database server itself is.

    Args:
        round_trip_ms: what one trivial statement took.
        client_connections: clients connected to the server; None where it has no such notion.
        connections_allowed: how many it takes from ordinary roles, above 0; None likewise.
    """

    round_trip_ms: float = attrs.field(validator=_not_negative)
    client_connections: int | None = attrs.field(default=None, validator=_maybe_count)
    connections_allowed: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.gt(0))
    )


@attrs.frozen(kw_only=True)
class Snapshot:
    """All facts of one measurement, seen in one consistent view.

    Args:
        at: when, aware UTC.
        took_ms: how long measuring took.
    """

    at: datetime = attrs.field(validator=_aware)
    took_ms: float = attrs.field(validator=_not_negative)
    system_health: SystemHealth
    performance: PerformanceMetrics
    activity: Activity
    vitals: Vitals


class Verdict(StrEnum):
    """How the whole is, from best to worst."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"

    @property
    def severity(self) -> int:
        """0 for healthy, rising."""
        return tuple(Verdict).index(self)


class Rule(StrEnum):
    """The rules that a verdict is made of."""

    FAILED_SHARE = "failed_share"
    CONNECTIONS = "connections"
    BLOCKED = "blocked"
    STALLED = "stalled"
    RESPONSE_TIME = "response_time"


@attrs.frozen(kw_only=True)
class Finding:
    """Why a verdict is not healthy.

    Args:
        rule: which rule speaks.
        severity: what it makes of the whole; never healthy.
        observed: what was seen, in the threshold's unit.
        threshold: what it was held against.
        since: the first measurement of the unbroken run of this rule.
        look_at: where to look first.
    """

    rule: Rule
    severity: Verdict = attrs.field(
        validator=attrs.validators.not_(attrs.validators.in_([Verdict.HEALTHY]))
    )
    observed: float
    threshold: float
    since: datetime = attrs.field(validator=_aware)
    look_at: str


@attrs.frozen(kw_only=True)
class StatusReport:
    """A snapshot, judged.

    Args:
        snapshot: the facts.
        verdict: the worst of the findings' severities; healthy without any.
        findings: why, worst first.
        expires_at: until when the report is fresh, aware UTC, whole measurement periods
            after ``snapshot.at``.
    """

    snapshot: Snapshot
    verdict: Verdict
    findings: tuple[Finding, ...]
    expires_at: datetime = attrs.field(validator=_aware)

    def __attrs_post_init__(self) -> None:
        worst = max((finding.severity.severity for finding in self.findings), default=0)
        if worst != self.verdict.severity:
            raise ValueError("the verdict is the worst of its findings")


@attrs.frozen(kw_only=True)
class StatusAnswer:
    """A report as one caller gets it.

    Args:
        report: what is known.
        cached: false for everyone who waited on its measurement.
        stale: whether it is past its expiry, because no newer one could be had.
    """

    report: StatusReport
    cached: bool
    stale: bool = False

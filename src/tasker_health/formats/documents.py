"""The guide's JSON documents: their shapes, and domain values written as their bytes.

The guide's keys come first, in its order and with its types; ours follow and never rename
or nest theirs. Times are UTC, whole seconds, ``Z``. What is unknown is ``null``. Nothing
here depends on when a document is asked for: the same value always gives the same bytes.

Left out on purpose: codes, headers and the choice of a format (``entrypoints/http.py``).

Source: guide, *Health Endpoints*; RFC 9457 for problem documents.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tasker_health.domain.checks import CheckStatus  # noqa: TC001  msgspec reads annotations
from tasker_health.domain.reasons import Reason  # noqa: TC001  the same
from tasker_health.domain.status import Rule, Verdict  # noqa: TC001  the same

if TYPE_CHECKING:
    from datetime import datetime

    from tasker_health.domain.checks import CheckResult
    from tasker_health.domain.readiness import LivenessReport, ReadinessReport
    from tasker_health.domain.status import (
        Finding,
        PerformanceMetrics,
        StatusAnswer,
        SystemHealth,
    )

__all__ = [
    "JSON",
    "PROBLEM_JSON",
    "LiveDocument",
    "ProblemDocument",
    "ReadyDocument",
    "StatusDocument",
    "instant",
    "live",
    "problem",
    "ready",
    "status",
    "whole_ms",
]

JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"

_PLACES: Final = 4
"""Decimals of shares and of what findings observed."""

_LARGEST: Final = 2**53 - 1
"""The largest whole number that every reader of JSON keeps exactly (RFC 8259, 6)."""

Instant = Annotated[
    str,
    Meta(
        description="UTC, whole seconds.",
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$",
        extra_json_schema={"format": "date-time"},
    ),
]
Count = Annotated[int, Meta(ge=0)]
Ratio = Annotated[float, Meta(ge=0, le=1)]


class LiveDocument(Struct, frozen=True, kw_only=True):
    """This process answers."""

    alive: bool
    timestamp: Instant


class CheckDocument(Struct, frozen=True, kw_only=True):
    """How one check came out; there is a reason exactly when it is not ok."""

    status: CheckStatus
    response_time_ms: Count | UnsetType = UNSET
    reason: Reason | UnsetType = UNSET


class ReadyDocument(Struct, frozen=True, kw_only=True):
    """Whether this instance can take traffic."""

    ready: bool
    checks: dict[str, CheckDocument]
    timestamp: Instant
    reason: Reason | UnsetType = UNSET


class SystemHealthDocument(Struct, frozen=True, kw_only=True):
    """How many tasks there are; the six states are disjoint and add up to the total."""

    overall_status: Verdict
    total_tasks: Count
    pending_tasks: Count
    running_tasks: Count
    completed_tasks: Count
    failed_tasks: Count
    blocked_tasks: Count
    retry_queue_size: Count
    cancelled_tasks: Count


class PerformanceMetricsDocument(Struct, frozen=True, kw_only=True):
    """How Tasker did in the window; null where nothing qualified."""

    avg_task_completion_time_ms: Count | None
    avg_step_completion_time_ms: Count | None
    retry_success_rate: Ratio | None
    window_seconds: float
    excluded_future: Count
    excluded_negative: Count


class CacheInfoDocument(Struct, frozen=True, kw_only=True):
    """Whether the caller waited for the measurement, and until when it is served."""

    cached: bool
    cache_expires_at: Instant
    stale: bool


class FindingDocument(Struct, frozen=True, kw_only=True):
    """Why the verdict is not healthy."""

    rule: Rule
    severity: Verdict
    observed: float
    threshold: float
    since: Instant
    look_at: str


class StatusDocument(Struct, frozen=True, kw_only=True):
    """How Tasker is, as of the timestamp."""

    status: Verdict
    system_health: SystemHealthDocument
    performance_metrics: PerformanceMetricsDocument
    timestamp: Instant
    cache_info: CacheInfoDocument
    findings: list[FindingDocument]


class ProblemDocument(Struct, frozen=True, kw_only=True):
    """Why there is no such document for this caller (RFC 9457)."""

    type: str
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    reason: Reason | UnsetType = UNSET


_encode: Final = msgspec.json.Encoder().encode


def instant(at: datetime) -> str:
    """Write a time as all documents do: UTC, cut to whole seconds, ``Z``."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def live(report: LivenessReport) -> bytes:
    """Write the liveness document."""
    return _encode(LiveDocument(alive=report.alive, timestamp=instant(report.at)))


def ready(report: ReadinessReport) -> bytes:
    """Write the readiness document."""
    return _encode(
        ReadyDocument(
            ready=report.ready,
            checks={result.name: _check(result) for result in report.checks},
            timestamp=instant(report.at),
            reason=report.reason or UNSET,
        )
    )


def status(answer: StatusAnswer) -> bytes:
    """Write the status document."""
    report = answer.report
    snapshot = report.snapshot
    return _encode(
        StatusDocument(
            status=report.verdict,
            system_health=_system_health(report.verdict, snapshot.system_health),
            performance_metrics=_performance(snapshot.performance),
            timestamp=instant(snapshot.at),
            cache_info=CacheInfoDocument(
                cached=answer.cached,
                cache_expires_at=instant(report.expires_at),
                stale=answer.stale,
            ),
            findings=[_finding(finding) for finding in report.findings],
        )
    )


def problem(status: int, title: str, detail: str, reason: Reason | None = None) -> bytes:
    """Write a problem document.

    Args:
        status: the HTTP code.
        title: the code's name.
        detail: what the caller can do about it; nothing about the system.
        reason: a public reason, where one may be told.
    """
    return _encode(
        ProblemDocument(
            type="about:blank", title=title, status=status, detail=detail, reason=reason or UNSET
        )
    )


def _check(result: CheckResult) -> CheckDocument:
    return CheckDocument(
        status=result.status,
        response_time_ms=UNSET if result.response_time_ms is None else result.response_time_ms,
        reason=result.reason or UNSET,
    )


def _system_health(verdict: Verdict, counts: SystemHealth) -> SystemHealthDocument:
    return SystemHealthDocument(
        overall_status=verdict,
        total_tasks=counts.total_tasks,
        pending_tasks=counts.pending_tasks,
        running_tasks=counts.running_tasks,
        completed_tasks=counts.completed_tasks,
        failed_tasks=counts.failed_tasks,
        blocked_tasks=counts.blocked_tasks,
        retry_queue_size=counts.retry_queue_size,
        cancelled_tasks=counts.cancelled_tasks,
    )


def _performance(metrics: PerformanceMetrics) -> PerformanceMetricsDocument:
    rate = metrics.retry_success_rate
    return PerformanceMetricsDocument(
        avg_task_completion_time_ms=whole_ms(metrics.avg_task_completion_time_ms),
        avg_step_completion_time_ms=whole_ms(metrics.avg_step_completion_time_ms),
        retry_success_rate=None if rate is None else round(rate, _PLACES),
        window_seconds=_tidy(metrics.window_seconds),
        excluded_future=metrics.excluded_future,
        excluded_negative=metrics.excluded_negative,
    )


def _finding(finding: Finding) -> FindingDocument:
    return FindingDocument(
        rule=finding.rule,
        severity=finding.severity,
        observed=_tidy(finding.observed),
        threshold=_tidy(finding.threshold),
        since=instant(finding.since),
        look_at=finding.look_at,
    )


def whole_ms(value: float | None) -> int | None:
    """Round to whole milliseconds; beyond what JSON's readers count exactly, nothing is known."""
    return None if value is None or value > _LARGEST else round(value)


def _tidy(value: float) -> float:
    """Write 3600.0 as 3600, and a share with as many decimals as anybody reads."""
    if abs(value) <= _LARGEST and value == int(value):
        return int(value)
    return round(value, _PLACES)

"""A status report as the bytes that processes share, and back, exactly.

The bytes are one JSON document with a version. Reading is strict and typed: what is not
exactly a report of this version is refused before a report is made of it, so that a value
somebody else wrote can be wrong but never runs, never hangs and never passes for a report.

What is left out on purpose: leniency. A cache is shared by processes of different
versions; one that does not know a value measures anew, which is what a cache is for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec

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

__all__ = ["LARGEST_BYTES", "VERSION", "decode", "encode"]

VERSION: Final = 1
"""Raised with every change of what is written below."""

LARGEST_BYTES: Final = 64 * 1024
"""A report takes about 1.5 KB; nothing larger than this is looked at."""

_Aware = Annotated[datetime, msgspec.Meta(tz=True)]


class _Record(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What all parts of the document have in common. No field has a default: none is optional."""


class _SystemHealth(_Record):
    total_tasks: int
    pending_tasks: int
    running_tasks: int
    completed_tasks: int
    failed_tasks: int
    blocked_tasks: int
    cancelled_tasks: int
    retry_queue_size: int


class _Performance(_Record):
    window_seconds: float
    avg_task_completion_time_ms: float | None
    avg_step_completion_time_ms: float | None
    retry_success_rate: float | None
    excluded_future: int
    excluded_negative: int


class _Activity(_Record):
    ready_steps: int
    ready_since: _Aware | None
    last_transition_at: _Aware | None
    tasks_failed: int
    tasks_completed: int
    blocked_since: _Aware | None


class _Vitals(_Record):
    round_trip_ms: float
    client_connections: int | None
    connections_allowed: int | None


class _Snapshot(_Record):
    at: _Aware
    took_ms: float
    system_health: _SystemHealth
    performance: _Performance
    activity: _Activity
    vitals: _Vitals


class _Finding(_Record):
    rule: Rule
    severity: Verdict
    observed: float
    threshold: float
    since: _Aware
    look_at: str


class _Report(_Record):
    snapshot: _Snapshot
    verdict: Verdict
    findings: tuple[_Finding, ...]
    expires_at: _Aware


class _Document(_Record):
    version: Literal[1]
    report: _Report


_decoder: Final = msgspec.json.Decoder(_Document, strict=True)


def encode(report: StatusReport) -> bytes:
    """Write a report.

    Args:
        report: what was measured and judged.

    Returns:
        At most :data:`LARGEST_BYTES`, of which :func:`decode` makes an equal report.

    Raises:
        ValueError: no equal report could be read back: a number is infinite, a time is
            outside what can be written, a field is not known here, or it is too large.
    """
    try:
        record = msgspec.convert(report, _Report, from_attributes=True)
        data = msgspec.json.encode(_Document(version=VERSION, report=record))
        same = decode(data) == report
    except (msgspec.MsgspecError, OverflowError, TypeError, ValueError) as error:
        raise ValueError("the report cannot be written so that it can be read back") from error
    if not same:
        raise ValueError("the report would be read back as another")
    return data


def decode(data: bytes) -> StatusReport:
    """Read a report.

    Args:
        data: whatever was found.

    Raises:
        ValueError: these bytes are no report of this version.
    """
    if len(data) > LARGEST_BYTES:
        raise ValueError(f"{len(data)} bytes, where a report has at most {LARGEST_BYTES}")
    try:
        return _report(_decoder.decode(data).report)
    except (
        msgspec.MsgspecError,  # no JSON, another version, another type, an unknown field
        RecursionError,  # nested without end
        OverflowError,  # a time that has no equal in UTC
    ) as error:
        raise ValueError("these bytes are no report of this version") from error


def _report(record: _Report) -> StatusReport:
    return StatusReport(
        snapshot=_snapshot(record.snapshot),
        verdict=record.verdict,
        findings=tuple(
            Finding(
                rule=finding.rule,
                severity=finding.severity,
                observed=finding.observed,
                threshold=finding.threshold,
                since=finding.since.astimezone(UTC),
                look_at=finding.look_at,
            )
            for finding in record.findings
        ),
        expires_at=record.expires_at.astimezone(UTC),
    )


def _snapshot(record: _Snapshot) -> Snapshot:
    activity = record.activity
    return Snapshot(
        at=record.at.astimezone(UTC),
        took_ms=record.took_ms,
        system_health=SystemHealth(**msgspec.structs.asdict(record.system_health)),
        performance=PerformanceMetrics(**msgspec.structs.asdict(record.performance)),
        activity=Activity(
            ready_steps=activity.ready_steps,
            ready_since=_utc(activity.ready_since),
            last_transition_at=_utc(activity.last_transition_at),
            tasks_failed=activity.tasks_failed,
            tasks_completed=activity.tasks_completed,
            blocked_since=_utc(activity.blocked_since),
        ),
        vitals=Vitals(**msgspec.structs.asdict(record.vitals)),
    )


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)

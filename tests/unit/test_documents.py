"""The guide's documents, key by key, and the choice among media types."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.domain.checks import CheckResult, CheckStatus
from tasker_health.domain.readiness import LivenessReport, ReadinessReport
from tasker_health.domain.reasons import Reason
from tasker_health.domain.status import (
    PerformanceMetrics,
    StatusAnswer,
    StatusReport,
    SystemHealth,
)
from tasker_health.formats import documents
from tasker_health.formats.negotiation import choose
from tasker_health.testing.reports import report, reports

AT = datetime(2025, 6, 18, 15, 30, 0, 987_654, tzinfo=UTC)
OFFERED = ("application/json", "text/plain")


def test_live_document() -> None:
    """The liveness document has the guide's two keys, in its order."""
    assert documents.live(LivenessReport(at=AT)) == (
        b'{"alive":true,"timestamp":"2025-06-18T15:30:00Z"}'
    )


def test_ready_document() -> None:
    """A check tells its time where it spent any, and its reason where it is not ok."""
    told = ReadinessReport(
        ready=False,
        checks=(
            CheckResult(name="database", response_time_ms=12),
            CheckResult.error("migrations", Reason.PENDING, detail="host db.internal"),
            CheckResult(name="cache", status=CheckStatus.DEGRADED, reason=Reason.TIMEOUT),
        ),
        at=AT,
    )

    assert documents.ready(told) == (
        b'{"ready":false,"checks":{'
        b'"database":{"status":"ok","response_time_ms":12},'
        b'"migrations":{"status":"error","reason":"pending"},'
        b'"cache":{"status":"degraded","reason":"timeout"}},'
        b'"timestamp":"2025-06-18T15:30:00Z"}'
    )


def test_ready_document_of_a_draining_process() -> None:
    """A reason that no check tells stands at the end of the document."""
    told = ReadinessReport(ready=False, checks=(), at=AT, reason=Reason.DRAINING)

    assert documents.ready(told) == (
        b'{"ready":false,"checks":{},"timestamp":"2025-06-18T15:30:00Z","reason":"draining"}'
    )


def test_a_time_of_zero_is_told() -> None:
    """Zero milliseconds is a time, and not the absence of one."""
    told = ReadinessReport(
        ready=True, checks=(CheckResult(name="database", response_time_ms=0),), at=AT
    )

    assert json.loads(documents.ready(told))["checks"]["database"] == {
        "status": "ok",
        "response_time_ms": 0,
    }


def test_status_document() -> None:
    """The status document has the guide's keys in its order and types, and ours after them."""
    told = report(
        at=AT,
        system_health=SystemHealth(
            total_tasks=1252,
            pending_tasks=45,
            running_tasks=12,
            completed_tasks=1180,
            failed_tasks=13,
            blocked_tasks=0,
            cancelled_tasks=2,
            retry_queue_size=3,
        ),
        performance=PerformanceMetrics(
            window_seconds=3600.0,
            avg_task_completion_time_ms=2340.4,
            avg_step_completion_time_ms=449.6,
            retry_success_rate=0.87,
            excluded_future=1,
            excluded_negative=2,
        ),
    )

    text = documents.status(StatusAnswer(report=told, cached=True))

    assert text.startswith(
        b'{"status":"healthy","system_health":{"overall_status":"healthy","total_tasks":1252,'
        b'"pending_tasks":45,"running_tasks":12,"completed_tasks":1180,"failed_tasks":13,'
        b'"blocked_tasks":0,"retry_queue_size":3,"cancelled_tasks":2},'
        b'"performance_metrics":{"avg_task_completion_time_ms":2340,'
        b'"avg_step_completion_time_ms":450,"retry_success_rate":0.87,"window_seconds":3600,'
        b'"excluded_future":1,"excluded_negative":2},'
        b'"timestamp":"2025-06-18T15:30:00Z","cache_info":{"cached":true,'
    )
    assert text.endswith(b'"stale":false},"findings":[]}')


def test_nothing_is_invented() -> None:
    """What is not known is null, and what no number can hold is not known."""
    told = report(
        at=AT,
        performance=PerformanceMetrics(
            window_seconds=0.5, avg_step_completion_time_ms=float("inf")
        ),
    )

    metrics = json.loads(documents.status(StatusAnswer(report=told, cached=False)))[
        "performance_metrics"
    ]

    assert metrics == {
        "avg_task_completion_time_ms": None,
        "avg_step_completion_time_ms": None,
        "retry_success_rate": None,
        "window_seconds": 0.5,
        "excluded_future": 0,
        "excluded_negative": 0,
    }


@given(reports(), st.booleans(), st.booleans())
def test_every_report_can_be_written(told: StatusReport, cached: bool, stale: bool) -> None:
    """Whatever a report holds, its document is JSON, and tells its verdict and findings."""
    document = json.loads(documents.status(StatusAnswer(report=told, cached=cached, stale=stale)))

    assert document["status"] == document["system_health"]["overall_status"] == told.verdict
    assert [found["rule"] for found in document["findings"]] == [
        found.rule.value for found in told.findings
    ]
    assert document["cache_info"]["cached"] is cached
    assert document["cache_info"]["stale"] is stale


def test_times_are_utc() -> None:
    """A time of another zone is told in UTC, cut to whole seconds."""
    here = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))

    assert documents.instant(here) == "2025-06-18T15:30:00Z"


def test_problem_document() -> None:
    """A problem says its code, its name and what to do; a public reason where there is one."""
    assert documents.problem(403, "Forbidden", "No.") == (
        b'{"type":"about:blank","title":"Forbidden","status":403,"detail":"No."}'
    )
    assert documents.problem(503, "Gone", "Later.", Reason.TIMEOUT).endswith(
        b'"detail":"Later.","reason":"timeout"}'
    )


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("APPLICATION/JSON; charset=utf-8", "application/json"),
        ("text/plain", "text/plain"),
        ("text/*", "text/plain"),
        ("text/plain;q=0.5, application/*", "application/json"),
        ("text/plain, application/json;q=0.9", "text/plain"),
        ("text/plain, application/json", "application/json"),
        ("*/*;q=0.1, text/plain;q=0.1", "application/json"),
        ("*/*, application/json;q=0", "text/plain"),
        ("application/json;q=0, application/*", None),
        ("image/png", None),
        ("*/*;q=0", None),
        ("nonsense", "application/json"),
        (",,;q=1", "application/json"),
        ("text/plain;q=7, application/json;q=0.5", "text/plain"),
        ("*/json", None),
    ],
)
def test_choice_among_media_types(accept: str, chosen: str | None) -> None:
    """The weight of the range that covers a type most exactly decides, and order on a tie."""
    assert choose(accept, OFFERED) == chosen


@given(st.text())
def test_no_accept_breaks_the_choice(accept: str) -> None:
    """Whatever is sent as Accept, the choice is one of those offered, or none."""
    assert choose(accept, OFFERED) in {*OFFERED, None}

"""What the endpoints really send, told for OpenAPI: codes, media types, headers, examples.

Plain data, so that any framework can turn it into a description; Litestar's door does. The
examples are written by the same code that writes the answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

import attrs

from tasker_health.domain.checks import CheckResult
from tasker_health.domain.observing import Observation
from tasker_health.domain.readiness import LivenessReport, ReadinessReport
from tasker_health.domain.reasons import Reason
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
from tasker_health.formats import documents, health_json, openmetrics, text

__all__ = ["DOCUMENTED", "Content", "Documented", "Outcome", "Parameter"]


@attrs.frozen
class Content:
    """One form that a body takes.

    Args:
        shape: the document's type.
        example: a body of it, as parsed JSON; a text as it is.
    """

    shape: type
    example: Mapping[str, Any] | str


@attrs.frozen
class Outcome:
    """One code that an endpoint answers with.

    Args:
        description: when.
        content: the forms of its body by media type; empty when there is no body.
        headers: the headers that say something, with what they say.
    """

    description: str
    content: Mapping[str, Content]
    headers: Mapping[str, str]


@attrs.frozen
class Parameter:
    """One thing that a caller may give.

    Args:
        description: what it does.
        allowed: the only values; empty where they are not told here.
        example: a value; empty for none.
        repeatable: whether it may be given more than once.
        empty: whether it may be given without a value.
    """

    description: str
    allowed: tuple[str, ...] = ()
    example: str = ""
    repeatable: bool = False
    empty: bool = False


@attrs.frozen
class Documented:
    """One endpoint.

    Args:
        summary: what it answers, in a line.
        outcomes: by code.
        path: the parts of the path that vary.
        query: the fields of the query that mean something.
        request_headers: the headers that mean something.
    """

    summary: str
    outcomes: Mapping[int, Outcome]
    path: Mapping[str, Parameter] = attrs.field(factory=dict)
    query: Mapping[str, Parameter] = attrs.field(factory=dict)
    request_headers: Mapping[str, Parameter] = attrs.field(factory=dict)


_AT: Final = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)
_NO_STORE: Final = {"Cache-Control": "`no-store`"}
_KEPT_BY_NOBODY: Final = {
    "Cache-Control": "`no-store`; `private, no-store` for what not everybody may see"
}
_RETRY: Final = {"Retry-After": "seconds after which asking again makes sense"}


def _json(shape: type, body: bytes) -> dict[str, Content]:
    return {documents.JSON: Content(shape, json.loads(body))}


def _problem(code: int, detail: str, reason: Reason | None = None) -> dict[str, Content]:
    body = documents.problem(code, HTTPStatus(code).phrase, detail, reason)
    return {documents.PROBLEM_JSON: Content(documents.ProblemDocument, json.loads(body))}


def _refusal(code: int, description: str, **headers: str) -> Outcome:
    named = {name.replace("_", "-"): told for name, told in headers.items()}
    return Outcome(description, _problem(code, description), {**_NO_STORE, **named})


def _forms(report: ReadinessReport) -> dict[str, Content]:
    return {
        **_json(documents.ReadyDocument, documents.ready(report)),
        health_json.HEALTH_JSON: Content(
            health_json.HealthDocument, json.loads(health_json.ready(report))
        ),
        text.TEXT: Content(str, text.ready(report, verbose=True).decode()),
    }


def _status_example(*findings: Finding) -> bytes:
    snapshot = Snapshot(
        at=_AT,
        took_ms=12.0,
        system_health=SystemHealth(
            total_tasks=1250,
            pending_tasks=45,
            running_tasks=12,
            completed_tasks=1180,
            failed_tasks=11,
            blocked_tasks=0,
            cancelled_tasks=2,
            retry_queue_size=3,
        ),
        performance=PerformanceMetrics(
            window_seconds=3600.0,
            avg_task_completion_time_ms=2340.0,
            avg_step_completion_time_ms=450.0,
            retry_success_rate=0.87,
        ),
        activity=Activity(),
        vitals=Vitals(round_trip_ms=1.0),
    )
    report = StatusReport(
        snapshot=snapshot,
        verdict=findings[0].severity if findings else Verdict.HEALTHY,
        findings=findings,
        expires_at=_AT + timedelta(seconds=15),
    )
    return documents.status(StatusAnswer(report=report, cached=True))


_UNHEALTHY: Final = Finding(
    rule=Rule.STALLED,
    severity=Verdict.UNHEALTHY,
    observed=420.0,
    threshold=300.0,
    since=_AT - timedelta(minutes=2),
    look_at="whether any worker runs and reaches the database",
)
_READY: Final = ReadinessReport(
    ready=True,
    checks=(
        CheckResult(name="database", response_time_ms=12),
        CheckResult(name="migrations"),
        CheckResult(name="configuration"),
    ),
    at=_AT,
)
_NOT_READY: Final = ReadinessReport(
    ready=False,
    checks=(
        CheckResult.error("database", Reason.REFUSED),
        CheckResult.error("migrations", Reason.UNKNOWN),
        CheckResult.error("configuration", Reason.UNKNOWN),
    ),
    at=_AT,
)

_UNAUTHENTICATED: Final = _refusal(
    401,
    "Credentials are required, or those given are not good.",
    WWW_Authenticate="how to say who asks",
)
_FORBIDDEN: Final = _refusal(403, "The permission to see this is lacking.")
_OTHER_METHOD: Final = _refusal(
    405, "The methods of this path are GET, HEAD, OPTIONS.", Allow="the methods of this path"
)
_BAD_EXCLUDE: Final = _refusal(400, "The query excludes what is no check, or all checks.")

_LIVE: Final = Documented(
    "Whether this process answers",
    {
        200: Outcome(
            "This process answers.",
            _json(documents.LiveDocument, documents.live(LivenessReport(at=_AT))),
            _NO_STORE,
        ),
        405: _OTHER_METHOD,
    },
)
_READINESS_OUTCOMES: Final = {
    200: Outcome("It can take traffic.", _forms(_READY), _KEPT_BY_NOBODY),
    400: _BAD_EXCLUDE,
    401: _UNAUTHENTICATED,
    403: _FORBIDDEN,
    405: _OTHER_METHOD,
    503: Outcome(
        "It cannot; the checks say why, or the reason does. Or it cannot be told who asks.",
        {**_forms(_NOT_READY), **_problem(503, "It cannot be told who is asking; try again.")},
        {**_KEPT_BY_NOBODY, **_RETRY},
    ),
}
_DETAIL: Final = {
    "verbose": Parameter(
        "A text has a line for every check even when all is well. For those who may see the"
        " status.",
        empty=True,
    ),
    "exclude": Parameter(
        "A check to leave out of verdict and answer. For those who may see the status.",
        example="migrations",
        repeatable=True,
    ),
}
_READINESS: Final = Documented(
    "Whether this instance can take traffic", _READINESS_OUTCOMES, query=_DETAIL
)
_ONE_CHECK: Final = Documented(
    "How one check of readiness came out, for those who may see the status",
    {**_READINESS_OUTCOMES, 404: _refusal(404, "There is nothing at this path.")},
    path={"check": Parameter("The check's name.", example="database")},
    query=_DETAIL,
)
_STATUS: Final = Documented(
    "How Tasker is: its counts, its performance, and what is wrong",
    {
        200: Outcome(
            "There is a report; its verdict may be any.",
            _json(documents.StatusDocument, _status_example()),
            {
                "Cache-Control": "how long a shared cache may keep it; `private, no-store`"
                " where not everybody may see it",
            },
        ),
        304: Outcome("The caller has this report already.", {}, {"ETag": "its weak tag"}),
        400: _refusal(400, "The query names a value that is not allowed."),
        401: _UNAUTHENTICATED,
        403: _FORBIDDEN,
        405: _OTHER_METHOD,
        406: _refusal(406, "The caller accepts no media type that there is."),
        503: Outcome(
            "There is no report, not even an old one; or `fail_on` asked for this code.",
            {
                **_problem(503, "There is no report yet; try again.", Reason.TIMEOUT),
                **_json(documents.StatusDocument, _status_example(_UNHEALTHY)),
            },
            {**_NO_STORE, **_RETRY},
        ),
    },
    query={
        "fail_on": Parameter(
            "The verdict from which on the code is 503.",
            allowed=(Verdict.UNHEALTHY.value, Verdict.DEGRADED.value),
        )
    },
    request_headers={"If-None-Match": Parameter("tags of the reports that the caller has")},
)


def _exposition(form: str) -> Content:
    known = Observation(at=_AT, readiness=_READY)
    return Content(str, openmetrics.metrics(known, form, version="1.2.3").decode())


_METRICS: Final = Documented(
    "What is known of Tasker and of this instance, for Prometheus",
    {
        200: Outcome(
            "What is known; what is not has no sample.",
            {form: _exposition(form) for form in openmetrics.FORMS},
            _KEPT_BY_NOBODY,
        ),
        401: _UNAUTHENTICATED,
        403: _refusal(403, "The permission is lacking, or it cannot be told who is asking."),
        405: _OTHER_METHOD,
        406: _refusal(406, "The caller accepts no media type that there is."),
    },
)

DOCUMENTED: Final[Mapping[str, Documented]] = {
    "health/ready": _READINESS,
    "health/ready/{check}": _ONE_CHECK,
    "health/live": _LIVE,
    "health/status": _STATUS,
    "metrics": _METRICS,
}
"""The endpoints by their path under the prefix."""

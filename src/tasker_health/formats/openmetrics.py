"""What is known and what was counted, for Prometheus and whoever reads its formats.

The four names of the guide come first, as they are. Beside them stand names that follow the
conventions: base units, ratios in 0..1, ``_total`` on counters alone. What is not known has
no sample, never a 0 or a NaN; nothing bears a timestamp; each label has a closed set of
values, or the names of the checks. ``tasker_`` is Tasker as it was at the last
measurement, ``tasker_health_`` is this service.

Source: guide, *Prometheus Metrics*; OpenMetrics 1.0; Prometheus text format 0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import attrs
from prometheus_client import exposition
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from tasker_health.domain.checks import CheckStatus
from tasker_health.domain.status import Rule, Verdict
from tasker_health.domain.verdict import failed_share
from tasker_health.formats.documents import whole_ms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tasker_health.domain.metering import Counts, Durations
    from tasker_health.domain.observing import Observation
    from tasker_health.domain.readiness import ReadinessReport
    from tasker_health.domain.status import Snapshot, StatusAnswer, StatusReport

__all__ = ["FORMS", "OPENMETRICS", "PROMETHEUS_TEXT", "content_type", "metrics", "nothing"]

PROMETHEUS_TEXT: Final = "text/plain"
OPENMETRICS: Final = "application/openmetrics-text"
FORMS: Final = (PROMETHEUS_TEXT, OPENMETRICS)
"""In which metrics can be told, the favourite of who has none first."""

_CONTENT_TYPES: Final = {
    PROMETHEUS_TEXT: exposition.CONTENT_TYPE_PLAIN_0_0_4,
    OPENMETRICS: openmetrics.CONTENT_TYPE_LATEST,
}
_UNITS: Final = ("seconds", "ratio")
_READY: Final = {True: "ready", False: "not_ready"}
_GOOD: Final = {True: "ok", False: "failed"}


def content_type(form: str) -> str:
    """Tell the whole media type of one of the forms, its version included."""
    return _CONTENT_TYPES[form]


def metrics(observation: Observation, form: str = PROMETHEUS_TEXT, *, version: str) -> bytes:
    """Write what is known.

    Args:
        observation: what is known.
        form: one of ``FORMS``.
        version: of this package.
    """
    return _written(form, _families(observation, version))


def nothing(form: str = PROMETHEUS_TEXT) -> bytes:
    """Write that there is nothing to tell."""
    return _written(form, iter((_up(known=False),)))


@attrs.frozen
class _Families(Collector):
    """The families as the client's writers want them."""

    told: Iterator[Metric]

    def collect(self) -> Iterator[Metric]:
        """Give them; families without a sample are left out."""
        return (family for family in self.told if family.samples)


def _written(form: str, families: Iterator[Metric]) -> bytes:
    if form == OPENMETRICS:
        # The client leaves this one of its functions without types.
        written: bytes = openmetrics.generate_latest(_Families(families))  # type: ignore[no-untyped-call]
        return written
    return exposition.generate_latest(_Families(families))


def _families(observation: Observation, version: str) -> Iterator[Metric]:
    answer = observation.status
    if answer is not None:
        yield from _guides(answer.report)
        yield from _tasks(answer.report.snapshot)
        yield from _window(answer.report.snapshot)
        yield from _database(answer.report.snapshot)
        yield from _judged(answer.report)
        yield from _measured(answer, observation.at)
    if observation.readiness is not None:
        yield from _readiness(observation.readiness, observation.at)
    if observation.counts is not None:
        yield from _counted(observation.counts)
    yield _up(known=answer is not None)
    build = InfoMetricFamily("tasker_health_build", "Which tasker-health this is")
    build.add_metric((), {"version": version})
    yield build


def _up(*, known: bool) -> Metric:
    told = "Whether there is a report, be it an old one: without it the tasker_ metrics are absent"
    return _gauge("tasker_health_up", told, known)


def _guides(report: StatusReport) -> Iterator[Metric]:
    """Tell the four that the guide's exporter reads off the status document, as it has them."""
    counts, performance = report.snapshot.system_health, report.snapshot.performance
    yield _gauge("tasker_total_tasks", "Tasks, all there are", counts.total_tasks)
    yield _gauge("tasker_pending_tasks", "Tasks that have not begun", counts.pending_tasks)
    yield _gauge("tasker_failed_tasks", "Tasks that ended in error", counts.failed_tasks)
    yield _gauge(
        "tasker_avg_completion_time",
        "Mean time from a task's creation to its completion in the window, in milliseconds",
        whole_ms(performance.avg_task_completion_time_ms),
    )


def _tasks(snapshot: Snapshot) -> Iterator[Metric]:
    counts, activity, at = snapshot.system_health, snapshot.activity, snapshot.at
    states = {
        "pending": counts.pending_tasks,
        "running": counts.running_tasks,
        "completed": counts.completed_tasks,
        "failed": counts.failed_tasks,
        "blocked": counts.blocked_tasks,
        "cancelled": counts.cancelled_tasks,
    }
    yield _gauges("tasker_tasks", "Tasks by state; each is in one", "state", states)
    yield _gauge(
        "tasker_retry_queue_steps",
        "Steps of open tasks that failed and will be tried again",
        counts.retry_queue_size,
    )
    yield _gauge("tasker_ready_steps", "Steps that could run now", activity.ready_steps)
    yield _gauge(
        "tasker_oldest_ready_step_age_seconds",
        "How long the longest-waiting step that could run has waited; absent without one",
        _age(activity.ready_since, at),
    )
    yield _gauge(
        "tasker_last_transition_age_seconds",
        "How long ago any task or step last moved",
        _age(activity.last_transition_at, at),
    )
    yield _gauge(
        "tasker_oldest_blocked_task_age_seconds",
        "How long the longest-blocked task has been blocked; absent without one",
        _age(activity.blocked_since, at),
    )


def _window(snapshot: Snapshot) -> Iterator[Metric]:
    performance, activity = snapshot.performance, snapshot.activity
    yield _gauge(
        "tasker_window_seconds",
        "How far the tasker_window metrics look back",
        performance.window_seconds,
    )
    yield _gauges(
        "tasker_window_ended_tasks",
        "Tasks that ended in the window, by outcome",
        "outcome",
        {"completed": activity.tasks_completed, "failed": activity.tasks_failed},
    )
    yield _gauge(
        "tasker_window_failed_ratio",
        "Share of failed among the tasks that ended in the window; absent without any",
        failed_share(activity, minimum_tasks=1),
    )
    yield _gauge(
        "tasker_window_task_completion_seconds",
        "Mean time from a task's creation to its completion in the window",
        _seconds(performance.avg_task_completion_time_ms),
    )
    yield _gauge(
        "tasker_window_step_completion_seconds",
        "Mean time from a step's creation to its completion in the window",
        _seconds(performance.avg_step_completion_time_ms),
    )
    yield _gauge(
        "tasker_window_retry_success_ratio",
        "Share that completed of the retried steps that came to an end in the window",
        performance.retry_success_rate,
    )
    yield _gauges(
        "tasker_window_excluded_completions",
        "Completions left out, by what is wrong with their times",
        "cause",
        {"future": performance.excluded_future, "negative": performance.excluded_negative},
    )


def _database(snapshot: Snapshot) -> Iterator[Metric]:
    vitals = snapshot.vitals
    yield _gauge(
        "tasker_database_round_trip_seconds",
        "What one trivial statement took",
        _seconds(vitals.round_trip_ms),
    )
    yield _gauge(
        "tasker_database_connections",
        "Clients connected to the database server",
        vitals.client_connections,
    )
    yield _gauge(
        "tasker_database_connections_allowed",
        "Clients that the database server takes from ordinary roles",
        vitals.connections_allowed,
    )


def _judged(report: StatusReport) -> Iterator[Metric]:
    yield _gauges(
        "tasker_health_verdict",
        "How Tasker is; 1 for the verdict that holds",
        "verdict",
        {verdict: verdict is report.verdict for verdict in Verdict},
    )
    findings = GaugeMetricFamily(
        "tasker_health_finding",
        "Whether a rule speaks, and how badly",
        labels=("rule", "severity"),
    )
    spoken = {(finding.rule, finding.severity) for finding in report.findings}
    for rule in Rule:
        for severity in (Verdict.DEGRADED, Verdict.UNHEALTHY):
            findings.add_metric((rule, severity), (rule, severity) in spoken)
    yield findings
    yield _gauges(
        "tasker_health_finding_age_seconds",
        "How long a rule has spoken without a break; absent while it does not",
        "rule",
        {
            finding.rule: max(0.0, (report.snapshot.at - finding.since).total_seconds())
            for finding in report.findings
        },
    )


def _measured(answer: StatusAnswer, at: datetime) -> Iterator[Metric]:
    snapshot = answer.report.snapshot
    yield _gauge(
        "tasker_health_status_stale",
        "Whether the report is past its expiry because no newer one could be had",
        answer.stale,
    )
    yield _gauge(
        "tasker_health_snapshot_timestamp_seconds",
        "When the report was measured, since the epoch",
        snapshot.at.timestamp(),
    )
    yield _gauge(
        "tasker_health_snapshot_age_seconds", "How old the report is", _age(snapshot.at, at)
    )
    yield _gauge(
        "tasker_health_snapshot_measurement_seconds",
        "How long it took to measure the report",
        _seconds(snapshot.took_ms),
    )


def _readiness(report: ReadinessReport, at: datetime) -> Iterator[Metric]:
    yield _gauge(
        "tasker_health_ready",
        "Whether this instance can take traffic, as found when it was last asked",
        report.ready,
    )
    yield _gauge(
        "tasker_health_readiness_age_seconds",
        "How long ago the readiness checks were last asked",
        _age(report.at, at),
    )
    checks = GaugeMetricFamily(
        "tasker_health_check_status",
        "How a readiness check came out; 1 for the status that holds",
        labels=("check", "status"),
    )
    for result in report.checks:
        for status in CheckStatus:
            checks.add_metric((result.name, status), status is result.status)
    yield checks


def _counted(counts: Counts) -> Iterator[Metric]:
    answers = CounterMetricFamily(
        "tasker_health_status_answers",
        "Requests for the status, by where their answer came from",
        labels=("source",),
    )
    for source, count in counts.answers.items():
        answers.add_metric((source,), count)
    yield answers
    yield CounterMetricFamily(
        "tasker_health_measurements_shared",
        "Requests that shared a measurement that was under way",
        value=counts.joined,
    )
    failures = CounterMetricFamily(
        "tasker_health_measurement_failures",
        "Measurements that failed, by reason; a reason is absent until it first comes",
        labels=("reason",),
    )
    for reason, count in counts.failures.items():
        failures.add_metric((reason,), count)
    yield failures
    yield _histogram(
        "tasker_health_measurement_duration_seconds",
        "What measuring Tasker took, by outcome",
        "outcome",
        {_GOOD[good]: durations for good, durations in counts.measurements.items()},
    )
    yield _histogram(
        "tasker_health_readiness_duration_seconds",
        "What running the readiness checks took, by outcome",
        "outcome",
        {_READY[ready]: durations for ready, durations in counts.assessments.items()},
    )
    yield _histogram(
        "tasker_health_check_duration_seconds",
        "What a readiness check spent on the outside",
        "check",
        counts.checks,
    )


def _gauge(name: str, told: str, value: float | None) -> Metric:
    return GaugeMetricFamily(name, told, value=value, unit=_unit(name))


def _gauges(name: str, told: str, label: str, values: Mapping[str, float | None]) -> Metric:
    family = GaugeMetricFamily(name, told, labels=(label,), unit=_unit(name))
    for of, value in values.items():
        if value is not None:
            family.add_metric((of,), value)
    return family


def _histogram(name: str, told: str, label: str, values: Mapping[str, Durations]) -> Metric:
    family = HistogramMetricFamily(name, told, labels=(label,), unit="seconds")
    for of, durations in values.items():
        bounds = (*map(floatToGoString, durations.bounds), "+Inf")
        upto = accumulate(durations.counts)
        family.add_metric((of,), tuple(zip(bounds, upto, strict=True)), durations.seconds)
    return family


def _unit(name: str) -> str:
    last = name.rpartition("_")[2]
    return last if last in _UNITS else ""


def _age(since: datetime | None, at: datetime) -> float | None:
    return None if since is None else max(0.0, (at - since).total_seconds())


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000

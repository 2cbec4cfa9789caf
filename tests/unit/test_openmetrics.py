"""Metrics, written and read again by another's readers: the same facts, and none invented."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from tasker_health.adapters.meter import CountingMeter
from tasker_health.domain.checks import CheckResult, CheckStatus
from tasker_health.domain.metering import StatusSource
from tasker_health.domain.observing import Observation
from tasker_health.domain.readiness import ReadinessReport
from tasker_health.domain.reasons import Reason
from tasker_health.domain.status import (
    Activity,
    Finding,
    PerformanceMetrics,
    Rule,
    StatusAnswer,
    Verdict,
    Vitals,
)
from tasker_health.formats import documents, openmetrics
from tasker_health.formats.openmetrics import OPENMETRICS, PROMETHEUS_TEXT
from tasker_health.testing import reports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.metrics_core import Metric

    from tasker_health.domain.status import StatusReport

AT: Final = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)
READERS: Final[dict[str, Callable[[str], Iterable[Metric]]]] = {
    PROMETHEUS_TEXT: read_text,
    OPENMETRICS: read_openmetrics,
}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""Values by name and labels."""


def families(observation: Observation, form: str) -> list[Metric]:
    """Write, and read what was written."""
    written = openmetrics.metrics(observation, form, version="1.2.3")
    return list(READERS[form](written.decode()))


def samples(observation: Observation, form: str = OPENMETRICS) -> Samples:
    """Write, read, and give the values; each stands there once, without a time."""
    found: Samples = {}
    for family in families(observation, form):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            assert sample.timestamp is None
            found[key] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float | None:
    """Look one value up; None where it is absent."""
    return found.get((name, frozenset(labels.items())))


def observed(report: StatusReport | None, *, stale: bool = False) -> Observation:
    """Make an observation of a report alone."""
    status = None if report is None else StatusAnswer(report=report, cached=True, stale=stale)
    return Observation(at=AT, status=status)


def whole() -> Observation:
    """Make an observation in which everything is known and everything was counted."""
    meter = CountingMeter(["database", "cache"])
    meter.answered(StatusSource.HELD)
    meter.measured(0.3, None)
    meter.measured(10.0, Reason.TIMEOUT)
    meter.joined()
    readiness = ReadinessReport(
        ready=True,
        checks=(CheckResult(name="database", response_time_ms=30), CheckResult(name="cache")),
        at=AT - timedelta(seconds=2),
    )
    meter.assessed(readiness, 0.03)
    status = StatusAnswer(report=reports.report(at=AT), cached=True)
    return Observation(at=AT, status=status, readiness=readiness, counts=meter.counts())


def status_document(report: StatusReport) -> dict[str, dict[str, float | None]]:
    """Give the status document as its readers have it."""
    document: dict[str, dict[str, float | None]] = json.loads(
        documents.status(StatusAnswer(report=report, cached=True))
    )
    return document


@pytest.mark.parametrize("form", READERS)
@settings(max_examples=40)
@given(report=reports.reports())
def test_the_guides_four_are_those_of_the_status_document(form: str, report: StatusReport) -> None:
    """The names of the guide's exporter have the very values that it would read."""
    found, document = samples(observed(report), form), status_document(report)
    health, performance = document["system_health"], document["performance_metrics"]
    for name in ("total_tasks", "pending_tasks", "failed_tasks"):
        assert value(found, f"tasker_{name}") == health[name]
    told = performance["avg_task_completion_time_ms"]
    assert value(found, "tasker_avg_completion_time") == told


@pytest.mark.parametrize("form", READERS)
@settings(max_examples=40)
@given(report=reports.reports())
def test_everything_of_a_report_is_told(form: str, report: StatusReport) -> None:
    """States, window, database, verdict and findings come back as they are in the report."""
    found, snapshot = samples(observed(report), form), report.snapshot
    health, activity, vitals = snapshot.system_health, snapshot.activity, snapshot.vitals
    for state in ("pending", "running", "completed", "failed", "blocked", "cancelled"):
        told = value(found, "tasker_tasks", state=state)
        assert told == getattr(health, f"{state}_tasks")
    assert value(found, "tasker_retry_queue_steps") == health.retry_queue_size
    assert value(found, "tasker_ready_steps") == activity.ready_steps
    ended = {"completed": activity.tasks_completed, "failed": activity.tasks_failed}
    for outcome, number in ended.items():
        assert value(found, "tasker_window_ended_tasks", outcome=outcome) == number
    ratio = value(found, "tasker_window_failed_ratio")
    assert ratio == (ended["failed"] / sum(ended.values()) if any(ended.values()) else None)
    assert value(found, "tasker_database_connections") == vitals.client_connections
    assert value(found, "tasker_database_connections_allowed") == vitals.connections_allowed
    assert value(found, "tasker_database_round_trip_seconds") == vitals.round_trip_ms / 1000
    for verdict in Verdict:
        told = value(found, "tasker_health_verdict", verdict=verdict)
        assert told == (verdict is report.verdict)
    spoken = {(finding.rule, finding.severity) for finding in report.findings}
    for rule in Rule:
        for severity in (Verdict.DEGRADED, Verdict.UNHEALTHY):
            told = value(found, "tasker_health_finding", rule=rule, severity=severity)
            assert told == ((rule, severity) in spoken)


@pytest.mark.parametrize("form", READERS)
@settings(max_examples=40)
@given(report=st.none() | reports.reports(), stale=st.booleans())
def test_no_number_is_invented(form: str, report: StatusReport | None, stale: bool) -> None:
    """Every value is a number; the report's are absent without a report."""
    found = samples(observed(report, stale=stale and report is not None), form)
    assert all(math.isfinite(told) for told in found.values())
    assert value(found, "tasker_health_up") == (report is not None)
    tasker = [name for name, _ in found if not name.startswith("tasker_health_")]
    assert bool(tasker) is (report is not None)


@pytest.mark.parametrize(
    "name",
    [
        "tasker_avg_completion_time",
        "tasker_oldest_ready_step_age_seconds",
        "tasker_last_transition_age_seconds",
        "tasker_oldest_blocked_task_age_seconds",
        "tasker_window_failed_ratio",
        "tasker_window_task_completion_seconds",
        "tasker_window_step_completion_seconds",
        "tasker_window_retry_success_ratio",
        "tasker_database_connections",
        "tasker_database_connections_allowed",
    ],
)
def test_what_is_not_known_is_absent(name: str) -> None:
    """No 0 and no NaN stands for it, and no help without a sample."""
    known = reports.report(at=AT)
    assert value(samples(observed(known)), name) is not None
    unknown = reports.report(
        at=AT,
        performance=PerformanceMetrics(window_seconds=60.0),
        activity=Activity(),
        vitals=Vitals(round_trip_ms=1.0),
    )
    assert name not in openmetrics.metrics(observed(unknown), version="1").decode()


def test_ages_are_those_of_the_report() -> None:
    """What waits is as old as it was when it was measured; the report itself ages."""
    found = samples(observed(reports.report(at=AT - timedelta(seconds=7), took_ms=12.5)))
    assert value(found, "tasker_oldest_ready_step_age_seconds") == 4
    assert value(found, "tasker_last_transition_age_seconds") == 1
    assert value(found, "tasker_oldest_blocked_task_age_seconds") == 90
    assert value(found, "tasker_health_snapshot_age_seconds") == 7
    assert value(found, "tasker_health_snapshot_timestamp_seconds") == AT.timestamp() - 7
    assert value(found, "tasker_health_snapshot_measurement_seconds") == 0.0125
    assert value(found, "tasker_health_status_stale") == 0


def test_a_clock_that_went_back_makes_no_negative_age() -> None:
    """An age is never below 0."""
    found = samples(observed(reports.report(at=AT + timedelta(seconds=7))))
    assert value(found, "tasker_health_snapshot_age_seconds") == 0


def test_a_finding_tells_since_when_it_speaks() -> None:
    """The age of a rule that speaks is there, and of none that is quiet."""
    finding = Finding(
        rule=Rule.STALLED,
        severity=Verdict.UNHEALTHY,
        observed=420.0,
        threshold=300.0,
        since=AT - timedelta(minutes=3),
        look_at="somewhere",
    )
    found = samples(observed(reports.report(at=AT, findings=[finding])))
    assert value(found, "tasker_health_finding_age_seconds", rule="stalled") == 180
    assert value(found, "tasker_health_finding_age_seconds", rule="blocked") is None


@pytest.mark.parametrize("form", READERS)
def test_readiness_is_told_by_check_and_status(form: str) -> None:
    """Exactly one status of each check is 1; without readiness there is none of it."""
    checks = (
        CheckResult(name="database"),
        CheckResult.error("migrations", Reason.PENDING),
        CheckResult(name="cache", status=CheckStatus.DEGRADED, reason=Reason.REFUSED),
    )
    report = ReadinessReport(ready=False, checks=checks, at=AT - timedelta(seconds=5))
    found = samples(Observation(at=AT, readiness=report), form)
    assert value(found, "tasker_health_ready") == 0
    assert value(found, "tasker_health_readiness_age_seconds") == 5
    for check in checks:
        for status in CheckStatus:
            told = value(found, "tasker_health_check_status", check=check.name, status=status)
            assert told == (status is check.status)
    assert "ready" not in openmetrics.metrics(Observation(at=AT), form, version="1").decode()


@pytest.mark.parametrize("form", READERS)
def test_counts_come_back(form: str) -> None:
    """Counters and histograms, with all classes cumulated, as Prometheus wants them."""
    found = samples(whole(), form)
    assert value(found, "tasker_health_status_answers_total", source="held") == 1
    assert value(found, "tasker_health_status_answers_total", source="stale") == 0
    assert value(found, "tasker_health_measurements_shared_total") == 1
    assert value(found, "tasker_health_measurement_failures_total", reason="timeout") == 1
    measured = "tasker_health_measurement_duration_seconds"
    assert value(found, f"{measured}_bucket", outcome="ok", le="0.2") == 0
    assert value(found, f"{measured}_bucket", outcome="ok", le="0.5") == 1
    assert value(found, f"{measured}_bucket", outcome="ok", le="+Inf") == 1
    assert value(found, f"{measured}_sum", outcome="failed") == 10
    assert value(found, f"{measured}_bucket", outcome="failed", le="10.0") == 1
    assert value(found, f"{measured}_count", outcome="failed") == 1
    ready = "tasker_health_readiness_duration_seconds"
    assert value(found, f"{ready}_count", outcome="ready") == 1
    assert value(found, f"{ready}_count", outcome="not_ready") == 0
    assert value(found, "tasker_health_check_duration_seconds_sum", check="database") == 0.03


def test_both_forms_tell_the_same() -> None:
    """There is no value in one that the other has not."""
    assert samples(whole(), PROMETHEUS_TEXT) == samples(whole(), OPENMETRICS)


def test_names_follow_the_conventions() -> None:
    """Counters end in ``_total``, units in their names, all have a help; labels are few."""
    for family in families(whole(), OPENMETRICS):
        assert family.name.startswith("tasker_")
        assert family.documentation
        assert family.name.endswith(family.unit)
        names = {sample.name for sample in family.samples}
        assert any(name.endswith("_total") for name in names) is (family.type == "counter")
        assert not family.unit or family.unit in {"seconds", "ratio"}
        labels = {label for sample in family.samples for label in sample.labels}
        assert labels <= {
            *("state", "outcome", "cause", "verdict", "rule", "severity"),
            *("check", "status", "source", "reason", "le", "version"),
        }


def test_the_release_is_told() -> None:
    """The version is a label of a constant."""
    assert value(samples(Observation(at=AT)), "tasker_health_build_info", version="1.2.3") == 1


@pytest.mark.parametrize("form", READERS)
def test_nothing_is_told_as_such(form: str) -> None:
    """Where all broke, one metric says that there is nothing."""
    (family,) = READERS[form](openmetrics.nothing(form).decode())
    assert [(sample.name, sample.value) for sample in family.samples] == [("tasker_health_up", 0)]


def test_content_types_name_their_version() -> None:
    """As Prometheus needs them to choose its reader."""
    assert openmetrics.content_type(PROMETHEUS_TEXT) == "text/plain; version=0.0.4; charset=utf-8"
    assert openmetrics.content_type(OPENMETRICS) == (
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    )

"""The status document and the diagnosis as people read them in a terminal."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasker_health.domain.diagnosis import Area, Diagnosis, Finding, Grade
from tasker_health.domain.status import (
    Finding as StatusFinding,
)
from tasker_health.domain.status import (
    PerformanceMetrics,
    Rule,
    StatusAnswer,
    StatusReport,
    SystemHealth,
    Verdict,
)
from tasker_health.formats import diagnosis, documents, terminal
from tasker_health.testing.reports import report, reports

AT = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def shown(
    told: StatusReport,
    now: datetime = AT + timedelta(seconds=4),
    *,
    cached: bool = True,
    stale: bool = False,
    colour: bool = False,
) -> str:
    """Write a report as a terminal shows it."""
    body = documents.status(StatusAnswer(report=told, cached=cached, stale=stale))
    return terminal.status(terminal.read_status(body), now, colour=colour)


def finding(rule: Rule, severity: Verdict, observed: float, threshold: float) -> StatusFinding:
    """Make a finding of twelve minutes ago."""
    return StatusFinding(
        rule=rule,
        severity=severity,
        observed=observed,
        threshold=threshold,
        since=AT - timedelta(minutes=12),
        look_at="the tasks that failed, by name, newest first, and what the steps say of it all",
    )


def test_a_whole_report() -> None:
    """Verdict, age, findings with since and what to look at, counts and performance."""
    told = report(
        at=AT,
        findings=[
            finding(Rule.STALLED, Verdict.UNHEALTHY, 400.0, 300.0),
            finding(Rule.FAILED_SHARE, Verdict.DEGRADED, 0.081, 0.05),
        ],
    )
    assert (
        shown(told)
        == """\
UNHEALTHY  2025-06-18 15:30:00Z, 4 s ago, cached for 11 s more

x stalled: ready work has waited untouched for 6 min 40 s; allowed are 5 min
  since 2025-06-18 15:18:00Z, for 12 min 4 s
  look at: the tasks that failed, by name, newest first, and what the steps say
           of it all

! failed_share: of the tasks that ended, 8.1 % failed; allowed are 5.0 %
  since 2025-06-18 15:18:00Z, for 12 min 4 s
  look at: the tasks that failed, by name, newest first, and what the steps say
           of it all

Tasks                        100    In the last 1 h
  pending                     20      a task took                    2.5 s
  running                      5      a step took                   300 ms
  completed                   60      retries that succeeded        75.0 %
  failed                      10
  blocked                      3
  cancelled                    2
Steps to be retried            4
"""
    )


@pytest.mark.parametrize(
    ("cached", "stale", "told"),
    [
        (False, False, "measured now"),
        (True, False, "cached for 11 s more"),
        (True, True, "STALE: no newer report can be had"),
    ],
)
def test_how_old_and_from_where(cached: bool, stale: bool, told: str) -> None:
    """A report says whether it was measured now, is cached or stale."""
    assert told in shown(report(at=AT), cached=cached, stale=stale).splitlines()[0]


def test_what_is_unknown_is_said_so() -> None:
    """A null is no zero; what was left out is counted."""
    performance = PerformanceMetrics(window_seconds=90.0, excluded_future=2, excluded_negative=3)
    lines = shown(report(at=AT, performance=performance))
    assert "In the last 1 min 30 s" in lines
    assert lines.count("unknown") == 3
    assert re.search(r"left out, from the future +2\n", lines)
    assert re.search(r"left out, end before start +3\n", lines)


def test_large_numbers_keep_their_column() -> None:
    """Ten million tasks stand right under one."""
    counts = attrs.evolve(
        SystemHealth(**dict.fromkeys((f.name for f in attrs.fields(SystemHealth)), 0)),
        total_tasks=10_000_000,
        completed_tasks=10_000_000,
    )
    first, *_, last = (
        line[:32] for line in shown(report(at=AT, system_health=counts)).splitlines()[2:]
    )
    assert first.endswith(" 10,000,000")
    assert last.endswith(" 0")


@settings(max_examples=40)
@given(reports(), st.datetimes(timezones=st.just(UTC)))
def test_whatever_is_told_fits_80_columns(told: StatusReport, now: datetime) -> None:
    """No line of any report is longer, and colour adds nothing but colour."""
    plain = shown(told, now)
    assert max(map(len, plain.splitlines())) <= terminal.WIDTH
    assert plain.isascii() or "look at" in plain
    assert ESCAPES.sub("", shown(told, now, colour=True)) == plain


@pytest.mark.parametrize(
    ("verdict", "code"),
    [(Verdict.HEALTHY, "32;1"), (Verdict.DEGRADED, "33;1"), (Verdict.UNHEALTHY, "31;1")],
)
def test_the_verdict_has_its_colour(verdict: Verdict, code: str) -> None:
    """Green, yellow, red."""
    assert terminal.paint("X", verdict, colour=True) == f"\x1b[{code}mX\x1b[0m"
    assert terminal.paint("X", verdict, colour=False) == "X"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 ms"),
        (0.45, "450 ms"),
        (1, "1 s"),
        (2.34, "2.3 s"),
        (60, "1 min"),
        (80, "1 min 20 s"),
        (3600, "1 h"),
        (11_100, "3 h 5 min"),
        (86_400, "1 d"),
        (266_400, "3 d 2 h"),
    ],
)
def test_time_spans_have_two_units_at_most(seconds: float, told: str) -> None:
    """From milliseconds to days."""
    assert terminal.duration(seconds) == told


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b"[" * 100_000, b'{"status":"fine"}'])
def test_other_documents_are_refused(body: bytes) -> None:
    """What is no status document is an error of one kind."""
    with pytest.raises(ValueError, match="no status document"):
        terminal.read_status(body)


def test_a_time_that_is_none_does_no_harm() -> None:
    """A server that writes nonsense where a time belongs is shown all the same."""
    body = documents.status(StatusAnswer(report=report(at=AT), cached=True))
    document = json.loads(body)
    document["timestamp"] = "2025-13-18T15:30:00Z"
    assert "1970-01-01" in terminal.status(terminal.read_status(json.dumps(document).encode()), AT)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (documents.problem(503, "x", "Try\x1b again.", None), "Try again."),
        (b"nonsense", ""),
    ],
)
def test_a_refusal_is_one_clean_line(body: bytes, told: str) -> None:
    """A problem document's detail is told; anything else is nothing."""
    assert terminal.read_problem(body) == told


DIAGNOSIS = Diagnosis(
    at=AT,
    findings=(
        Finding(area=Area.POOLER, grade=Grade.OK, seen="we talk to the server itself"),
        Finding(
            area=Area.PRIVILEGES,
            grade=Grade.PROBLEM,
            seen="SELECT is missing on tasker_tasks,\n tasker_task_transitions and one more table",
            remedy="GRANT SELECT ON it TO our role, and then look here again to see that it is so.",
        ),
    ),
)


def test_a_diagnosis_in_a_terminal() -> None:
    """Problems first, each with its remedy below, and a last line that counts."""
    assert (
        diagnosis.text(DIAGNOSIS)
        == """\
PROBLEM  privileges     SELECT is missing on tasker_tasks,
                        tasker_task_transitions and one more table
                        -> GRANT SELECT ON it TO our role, and then look here
                           again to see that it is so.
ok       pooler         we talk to the server itself

1 ok, 1 problem
"""
    )
    coloured = diagnosis.text(DIAGNOSIS, colour=True)
    assert ESCAPES.sub("", coloured) == diagnosis.text(DIAGNOSIS)
    assert "\x1b[31;1mPROBLEM" in coloured


def test_a_diagnosis_as_json() -> None:
    """One line, worst first; a remedy only where there is one."""
    assert diagnosis.json(DIAGNOSIS) == (
        b'{"grade":"problem","timestamp":"2025-06-18T15:30:00Z","findings":['
        b'{"area":"privileges","grade":"problem","seen":"SELECT is missing on tasker_tasks,'
        b' tasker_task_transitions and one more table","remedy":"GRANT SELECT ON it TO our role,'
        b' and then look here again to see that it is so."},'
        b'{"area":"pooler","grade":"ok","seen":"we talk to the server itself"}]}'
    )

"""The counting meter: what goes in comes out, in one process or several."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.adapters.meter import BOUNDS, CountingMeter
from tasker_health.domain.checks import CheckResult
from tasker_health.domain.metering import StatusSource
from tasker_health.domain.readiness import ReadinessReport
from tasker_health.domain.reasons import Reason

AT = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)


def report(*results: CheckResult, ready: bool = True) -> ReadinessReport:
    """Make a readiness report."""
    checks = results if ready else (*results, CheckResult.error("database", Reason.REFUSED))
    return ReadinessReport(ready=ready, checks=checks, at=AT)


def test_a_meter_begins_with_nothing() -> None:
    """Every source, outcome and check is there from the start, with 0; no reason is."""
    counts = CountingMeter(["database", "cache"]).counts()
    assert dict(counts.answers) == dict.fromkeys(StatusSource, 0)
    assert counts.joined == 0
    assert counts.failures == {}
    assert list(counts.checks) == ["database", "cache"]
    for durations in (
        *counts.checks.values(),
        *counts.assessments.values(),
        *counts.measurements.values(),
    ):
        assert durations.counts == (0,) * (len(BOUNDS) + 1)
        assert durations.seconds == 0


@given(st.lists(st.sampled_from(StatusSource)), st.integers(0, 9))
def test_answers_and_sharers_are_counted(sources: list[StatusSource], joins: int) -> None:
    """Each answer counts at its source, and who joins counts beside them."""
    meter = CountingMeter()
    for source in sources:
        meter.answered(source)
    for _ in range(joins):
        meter.joined()
    counts = meter.counts()
    assert counts.answers == {source: sources.count(source) for source in StatusSource}
    assert counts.joined == joins


@given(
    st.lists(
        st.tuples(st.floats(0, 1e6) | st.sampled_from(BOUNDS), st.none() | st.sampled_from(Reason))
    )
)
def test_measurements_are_sorted_by_size(measured: list[tuple[float, Reason | None]]) -> None:
    """Each counts in the first class that holds it, a bound in the class below it."""
    meter = CountingMeter()
    for seconds, failure in measured:
        meter.measured(seconds, failure)
    counts = meter.counts()
    for good in (True, False):
        told = [seconds for seconds, failure in measured if (failure is None) is good]
        durations = counts.measurements[good]
        upto = [sum(seconds <= bound for seconds in told) for bound in (*BOUNDS, float("inf"))]
        assert durations.bounds == BOUNDS
        assert [sum(durations.counts[: i + 1]) for i in range(len(upto))] == upto
        assert durations.seconds == pytest.approx(sum(told))
    reasons = [failure for _, failure in measured if failure is not None]
    assert counts.failures == {reason: reasons.count(reason) for reason in set(reasons)}


def test_what_each_check_spent_is_counted() -> None:
    """By name; a check that spent no time and one of another name are passed over."""
    meter = CountingMeter(["database", "cache"])
    spent = CheckResult(name="database", response_time_ms=30)
    other = CheckResult(name="payments", response_time_ms=30)
    meter.assessed(report(spent, CheckResult(name="cache"), other), 0.04)
    meter.assessed(report(ready=False), 0.002)
    counts = meter.counts()
    assert counts.checks["database"].seconds == 0.03
    assert sum(counts.checks["database"].counts) == 1
    assert sum(counts.checks["cache"].counts) == 0
    assert set(counts.checks) == {"database", "cache"}
    assert counts.assessments[True].seconds == 0.04
    assert counts.assessments[False].seconds == 0.002


def test_a_name_that_is_given_twice_counts_once() -> None:
    """An embedder's check that bears a name of ours shares its counts."""
    assert list(CountingMeter(["cache", "cache"]).counts().checks) == ["cache"]


_FORKED: Final = """
import os
from tasker_health.adapters.meter import CountingMeter
from tasker_health.domain.metering import StatusSource
from tasker_health.domain.reasons import Reason

meter = CountingMeter(processes=3)
meter.answered(StatusSource.HELD)
for row in (1, 2, 1):  # the last takes the place of the first
    pid = os.fork()
    if pid == 0:
        meter.take(row)
        meter.answered(StatusSource.HELD)
        meter.measured(0.5, Reason.TIMEOUT)
        os._exit(0)
    os.waitpid(pid, 0)
counts = meter.counts()
print(counts.answers[StatusSource.HELD], counts.failures, counts.measurements[False].seconds)
"""


def test_processes_count_together() -> None:
    """What a forked process counts in its row is told by its parent, and outlives it."""
    ran = subprocess.run(  # noqa: S603  our own interpreter, which has no thread to fork with
        [sys.executable, "-c", _FORKED], check=True, capture_output=True, text=True
    )
    assert ran.stdout == "4 {<Reason.TIMEOUT: 'timeout'>: 3} 1.5\n"


def test_there_are_no_more_rows_than_processes() -> None:
    """A row that there is not is an error, and no other process's row."""
    with pytest.raises(IndexError):
        CountingMeter(processes=2).take(2)

"""Reports for tests: the builder and the strategy make valid ones of every kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, find, settings

from tasker_health.domain.status import Finding, Rule, StatusReport, Verdict, Vitals
from tasker_health.testing.reports import report, reports

if TYPE_CHECKING:
    from collections.abc import Callable

AT = datetime(2030, 1, 1, tzinfo=UTC)


def finding(severity: Verdict) -> Finding:
    """Make a finding of this severity."""
    return Finding(
        rule=Rule.BLOCKED, severity=severity, observed=2, threshold=1, since=AT, look_at="there"
    )


def test_a_built_report_follows_its_findings() -> None:
    """The builder's verdict is the worst of the findings it was given, healthy without any."""
    bad, worse = finding(Verdict.DEGRADED), finding(Verdict.UNHEALTHY)
    assert report().verdict is Verdict.HEALTHY
    assert report(findings=[bad]).verdict is Verdict.DEGRADED
    assert report(findings=[worse, bad]).verdict is Verdict.UNHEALTHY
    assert report(findings=[worse, bad]).findings == (worse, bad)


def test_a_built_report_is_what_was_asked_for() -> None:
    """What a test gives is in the report, and it expires so long after its measurement."""
    vitals = Vitals(round_trip_ms=7.0)
    built = report(at=AT, took_ms=3.0, vitals=vitals, fresh_seconds=3)
    assert built.snapshot.at == AT
    assert built.snapshot.took_ms == 3.0
    assert built.snapshot.vitals == vitals
    assert built.expires_at == AT + timedelta(seconds=3)


def test_a_builder_makes_the_same_twice() -> None:
    """Two reports of which nothing was asked are equal."""
    assert report() == report()


@pytest.mark.parametrize(
    "wanted",
    [
        lambda told: told.verdict is Verdict.HEALTHY,
        lambda told: told.verdict is Verdict.DEGRADED,
        lambda told: told.verdict is Verdict.UNHEALTHY,
        lambda told: len({found.rule for found in told.findings}) > 2,
        lambda told: told.snapshot.performance.retry_success_rate is None,
        lambda told: told.snapshot.performance.retry_success_rate not in {None, 0.0, 1.0},
        lambda told: told.snapshot.activity.ready_since is None,
        lambda told: told.snapshot.activity.blocked_since is not None,
        lambda told: told.snapshot.vitals.connections_allowed is None,
        lambda told: told.snapshot.at.microsecond > 0,
        lambda told: told.expires_at < told.snapshot.at,
        lambda told: any(not found.look_at.isascii() for found in told.findings),
    ],
)
def test_every_kind_of_report_is_generated(wanted: Callable[[StatusReport], bool]) -> None:
    """The strategy reaches each kind of report."""
    once = settings(max_examples=500, phases=[Phase.generate], database=None, deadline=None)
    assert wanted(find(reports(), wanted, settings=once))

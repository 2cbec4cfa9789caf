"""When an incident opens and when it closes: the rules, at their bounds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.domain.alerting import (
    AlertRule,
    AlertSettings,
    FailureBasis,
    Incident,
    Leaning,
    Phase,
    Reading,
    Streak,
    decide,
    merged,
    read,
)
from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.observing import Observation
from tasker_health.domain.status import (
    Activity,
    Finding,
    Rule,
    StatusAnswer,
    SystemHealth,
    Verdict,
)
from tasker_health.testing.reports import report

AT: Final = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)
RATE: Final = AlertRule.FAILURE_RATE
KEY: Final = "tasker-health/0123/failure_rate"
SETTINGS: Final = AlertSettings(alert_clear_rate=0.03)
LIFETIME: Final = AlertSettings(alert_failure_basis=FailureBasis.LIFETIME, alert_clear_rate=0.03)


def counts(failed: int, completed: int) -> SystemHealth:
    """Give so many tasks of two kinds, and none of the others."""
    return SystemHealth(
        total_tasks=failed + completed,
        pending_tasks=0,
        running_tasks=0,
        completed_tasks=completed,
        failed_tasks=failed,
        blocked_tasks=0,
        cancelled_tasks=0,
        retry_queue_size=0,
    )


def seen(
    failed: int,
    completed: int,
    *,
    stale: bool = False,
    at: datetime = AT,
    lifetime: SystemHealth | None = None,
    findings: tuple[Finding, ...] = (),
) -> Observation:
    """Observe a window in which so many tasks failed and so many completed."""
    told = report(
        at=at,
        system_health=lifetime or counts(0, 1000),
        activity=Activity(tasks_failed=failed, tasks_completed=completed),
        findings=findings,
    )
    return Observation(at=at, status=StatusAnswer(report=told, cached=True, stale=stale))


def leaning(observation: Observation, settings: AlertSettings = SETTINGS) -> Leaning:
    """Tell what the failure rate makes of it."""
    found = read(RATE, observation, settings)
    assert found is not None
    return found.leaning


@pytest.mark.parametrize(
    ("failed", "completed", "expected"),
    [
        (6, 94, Leaning.OVER),
        (5, 95, Leaning.BETWEEN),  # exactly the threshold is not over it
        (4, 96, Leaning.BETWEEN),
        (3, 97, Leaning.CLEAR),  # exactly the lower bound is clear
        (0, 100, Leaning.CLEAR),
        (20, 0, Leaning.OVER),  # just as many as it takes
        (19, 0, Leaning.BETWEEN),  # one fewer opens nothing, and is not clear
        (1, 0, Leaning.BETWEEN),
        (0, 1, Leaning.CLEAR),
        (0, 0, Leaning.CLEAR),  # nothing failed
    ],
)
def test_a_windows_failure_rate_leans(failed: int, completed: int, expected: Leaning) -> None:
    """Over is above the threshold with enough tasks; clear is at or below the lower bound."""
    assert leaning(seen(failed, completed)) is expected


@pytest.mark.parametrize(
    ("failed", "total", "expected"),
    [
        (6, 100, Leaning.OVER),
        (5, 100, Leaning.BETWEEN),
        (3, 100, Leaning.CLEAR),
        (1, 1, Leaning.OVER),  # the guide asks for no more than one task
        (0, 0, Leaning.CLEAR),  # and for that one
    ],
)
def test_the_guides_own_rule_is_a_setting(failed: int, total: int, expected: Leaning) -> None:
    """Of all tasks there are, whatever the window says; only when there are tasks."""
    lifetime = counts(failed, total - failed)
    assert leaning(seen(50, 50, lifetime=lifetime), LIFETIME) is expected
    assert leaning(seen(0, 100, lifetime=lifetime), LIFETIME) is expected


def test_the_window_sees_what_a_lifetime_cannot() -> None:
    """With a long history a total outage leaves the guide's rate where it was."""
    outage = seen(1000, 0, lifetime=counts(1000, 10_000_000))
    assert leaning(outage, SETTINGS) is Leaning.OVER
    assert leaning(outage, LIFETIME) is Leaning.CLEAR


def test_a_reading_tells_what_it_saw() -> None:
    """The share, what it was held against, the guide's numbers and the window's, in one line."""
    found = read(RATE, seen(30, 70), SETTINGS)
    assert found is not None
    assert (found.rule, found.at, found.observed, found.threshold) == (RATE, AT, 0.3, 0.05)
    assert found.summary == (
        "30.0% of 100 tasks that ended in the last 3600 s failed (threshold 0.05)"
    )
    assert found.numbers == {
        **attrs.asdict(counts(0, 1000)),
        "avg_task_completion_time_ms": 2500.25,
        "avg_step_completion_time_ms": 300.125,
        "retry_success_rate": 0.75,
        "window_seconds": 3600.0,
        "tasks_failed_in_window": 30,
        "tasks_completed_in_window": 70,
    }
    lifetime = read(RATE, seen(0, 0, lifetime=counts(1, 9)), LIFETIME)
    assert lifetime is not None
    assert lifetime.summary == "10.0% of 10 tasks there are failed (threshold 0.05)"
    assert lifetime.observed == 0.1


@pytest.mark.parametrize("rule", AlertRule)
def test_what_is_not_known_says_nothing(rule: AlertRule) -> None:
    """No report, and one that is stale, give no reading."""
    assert read(rule, Observation(at=AT), SETTINGS) is None
    assert read(rule, seen(100, 0, stale=True), SETTINGS) is None
    assert read(rule, seen(100, 0), SETTINGS) is not None


def test_the_verdict_is_a_rule_of_its_own() -> None:
    """Unhealthy is over, anything better is clear; the findings are the summary."""

    def verdict(severity: Verdict) -> Reading:
        finding = Finding(
            rule=Rule.STALLED,
            severity=severity,
            observed=400.0,
            threshold=300.0,
            since=AT,
            look_at="the workers",
        )
        found = read(AlertRule.UNHEALTHY, seen(0, 0, findings=(finding,)), SETTINGS)
        assert found is not None
        return found

    bad, half = verdict(Verdict.UNHEALTHY), verdict(Verdict.DEGRADED)
    good = read(AlertRule.UNHEALTHY, seen(0, 0), SETTINGS)
    assert good is not None
    assert [one.leaning for one in (bad, half, good)] == [
        Leaning.OVER,
        Leaning.CLEAR,
        Leaning.CLEAR,
    ]
    assert bad.summary == "unhealthy: stalled 400 over 300"
    assert good.summary == "healthy"
    assert (bad.observed, half.observed, bad.threshold) == (2, 1, 2)
    assert bad.rule is AlertRule.UNHEALTHY


def test_only_the_guides_rule_is_on_unless_asked() -> None:
    """The verdict's rule is an option."""
    assert AlertSettings().rules == (RATE,)
    assert AlertSettings(alert_on_unhealthy=True).rules == (RATE, AlertRule.UNHEALTHY)


def reading(lean: Leaning, minute: int = 0) -> Reading:
    """Give a reading that leans so."""
    return Reading(
        rule=RATE,
        at=AT + timedelta(minutes=minute),
        leaning=lean,
        observed=0.3,
        threshold=0.05,
        summary="30%",
        numbers={"failed_tasks": 30},
    )


def streak(*leans: Leaning | None) -> Streak:
    """Go through looks, a minute apart; None where nothing was known."""
    made = Streak()
    for minute, lean in enumerate(leans):
        made = made.after(None if lean is None else reading(lean, minute))
    return made


OVER, BETWEEN, CLEAR = Leaning.OVER, Leaning.BETWEEN, Leaning.CLEAR


@pytest.mark.parametrize(
    ("leans", "over", "clear"),
    [
        ((), 0, 0),
        ((OVER,), 1, 0),
        ((OVER, OVER), 2, 0),
        ((OVER, BETWEEN), 0, 0),
        ((OVER, CLEAR), 0, 1),
        ((CLEAR, CLEAR, OVER), 1, 0),
        ((CLEAR, BETWEEN, CLEAR), 0, 1),
        ((OVER, None, OVER), 2, 0),  # nothing known breaks nothing
    ],
)
def test_a_streak_is_unbroken(leans: tuple[Leaning | None, ...], over: int, clear: int) -> None:
    """Reports in a row that say the same are counted; another one begins anew."""
    made = streak(*leans)
    assert (made.over, made.clear) == (over, clear)


def test_the_same_report_counts_once() -> None:
    """Looking twice at one report is one report."""
    one = Streak().after(reading(OVER))
    assert one.after(reading(OVER)) == one
    assert one.after(reading(OVER, 1)).over == 2
    earlier = one.after(reading(OVER, -1))  # measured by a process whose clock is behind
    assert earlier.over == 2


def incident(phase: Phase = Phase.TRIGGERED, revision: int = 1, *told: str) -> Incident:
    """Give an incident."""
    return Incident(
        key=KEY,
        rule=RATE,
        phase=phase,
        revision=revision,
        at=AT,
        observed=0.3,
        threshold=0.05,
        summary="30%",
        numbers={"failed_tasks": 30},
        told=frozenset(told),
    )


def decided(
    before: Incident | None,
    *leans: Leaning | None,
    settings: AlertSettings = SETTINGS,
) -> Incident | None:
    """Decide at the end of these looks."""
    last = leans[-1]
    now = None if last is None else reading(last, len(leans) - 1)
    return decide(before, streak(*leans), now, settings, KEY)


def test_an_incident_opens_after_enough_reports() -> None:
    """One report over is none; the second opens, told to nobody, with all that was read."""
    assert decided(None, OVER) is None
    opened = decided(None, OVER, OVER)
    assert opened == attrs.evolve(incident(), at=AT + timedelta(minutes=1))


def test_an_incident_closes_after_enough_reports() -> None:
    """Two clear reports leave it open; the third closes it, told to nobody yet."""
    before = incident(Phase.TRIGGERED, 4, "pagerduty")
    assert decided(before, CLEAR, CLEAR) is before
    closed = decided(before, CLEAR, CLEAR, CLEAR)
    assert closed is not None
    assert (closed.phase, closed.revision, closed.told) == (Phase.RESOLVED, 5, frozenset())
    assert closed.key == before.key


def test_a_closed_one_opens_again_as_the_next() -> None:
    """What comes back is a new phase under the same key."""
    opened = decided(incident(Phase.RESOLVED, 2, "pagerduty"), OVER, OVER)
    assert opened is not None
    assert (opened.phase, opened.revision, opened.told) == (Phase.TRIGGERED, 3, frozenset())


@pytest.mark.parametrize(
    ("phase", "leans"),
    [
        (Phase.TRIGGERED, (OVER, OVER, OVER)),
        (Phase.TRIGGERED, (CLEAR, CLEAR, BETWEEN)),
        (Phase.RESOLVED, (CLEAR, CLEAR, CLEAR, CLEAR)),
        (Phase.RESOLVED, (OVER, BETWEEN)),
        (Phase.TRIGGERED, (CLEAR, CLEAR, CLEAR, None)),
        (Phase.RESOLVED, (OVER, OVER, None)),
    ],
)
def test_what_goes_on_stays_as_it_is(phase: Phase, leans: tuple[Leaning | None, ...]) -> None:
    """An open one stays open while it is over, a closed one closed, and both while unknown."""
    before = incident(phase, 3, "pagerduty")
    assert decided(before, *leans) is before


def test_nothing_known_opens_nothing() -> None:
    """Without a reading of this look nothing is decided, however long the streak."""
    assert decided(None, OVER, OVER, None) is None


@given(st.lists(st.sampled_from([OVER, BETWEEN, CLEAR, None]), max_size=40))
def test_phases_alternate(leans: list[Leaning | None]) -> None:
    """Whatever is read, incidents open and close in turn, and each phase has its number."""
    state, now, phases = Streak(), None, []
    for minute, lean in enumerate(leans):
        read_now = None if lean is None else reading(lean, minute)
        state = state.after(read_now)
        after = decide(now, state, read_now, SETTINGS, KEY)
        if after is not now:
            assert after is not None
            phases.append((after.phase, after.revision))
        now = after
    expected = [Phase.TRIGGERED, Phase.RESOLVED] * len(phases)
    assert phases == list(zip(expected, range(1, len(phases) + 1), strict=False))


def test_of_two_memories_the_later_is_true() -> None:
    """The higher revision wins, then the later report; of one and the same, all who were told."""
    first = incident(Phase.TRIGGERED, 1, "pagerduty")
    second = incident(Phase.RESOLVED, 2)
    assert merged(None, first) is first
    assert merged(first, second) is second
    assert merged(second, first) is second
    later = attrs.evolve(first, at=AT + timedelta(seconds=1))
    assert merged(first, later) is later
    assert merged(later, first) is later
    assert merged(first, incident(Phase.TRIGGERED, 1, "webhook")).told == {"pagerduty", "webhook"}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"alert_failure_rate": 0}, "alert_failure_rate"),
        ({"alert_failure_rate": 1.1}, "alert_failure_rate"),
        ({"alert_clear_rate": -0.1}, "alert_clear_rate"),
        ({"alert_clear_rate": 0.06}, "alert_clear_rate"),
        ({"alert_failure_basis": "forever"}, "alert_failure_basis"),
        ({"alert_minimum_tasks": 0}, "alert_minimum_tasks"),
        ({"alert_trigger_reports": 0}, "alert_trigger_reports"),
        ({"alert_clear_reports": 0}, "alert_clear_reports"),
        ({"alert_on_unhealthy": "yes"}, "alert_on_unhealthy"),
        ({"alert_trigger_reports": 1001}, "alert_trigger_reports"),
        ({"alert_clear_reports": 1001}, "alert_clear_reports"),
        ({"alert_interval_seconds": 0.09}, "alert_interval_seconds"),
        ({"alert_interval_seconds": 3600.5}, "alert_interval_seconds"),
    ],
)
def test_a_setting_out_of_its_range_is_named(settings: dict[str, Any], named: str) -> None:
    """Each bound is kept, and the error names the setting."""
    with pytest.raises(ConfigurationError) as error:
        AlertSettings(**settings)
    assert error.value.setting == named


def test_the_guides_numbers_are_the_defaults() -> None:
    """Five percent; four of them to be clear again; equal bounds are allowed, and none at all."""
    assert AlertSettings().alert_failure_rate == 0.05
    assert AlertSettings().clear_rate == pytest.approx(0.04)
    assert AlertSettings(alert_failure_rate=0.5).clear_rate == pytest.approx(0.4)
    assert AlertSettings(alert_clear_rate=0.05).clear_rate == 0.05
    assert AlertSettings(alert_clear_rate=0).clear_rate == 0
    assert AlertSettings().alert_failure_basis is FailureBasis.WINDOW
    settings = AlertSettings()
    numbers = settings.alert_minimum_tasks, settings.alert_trigger_reports
    assert (*numbers, settings.alert_clear_reports) == (20, 2, 3)
    assert (settings.alert_interval_seconds, settings.alert_on_unhealthy) == (15.0, False)


def test_the_bounds_of_a_setting_are_allowed() -> None:
    """The least and the most that can be had are no mistake."""
    least = AlertSettings(
        alert_minimum_tasks=1,
        alert_trigger_reports=1,
        alert_clear_reports=1,
        alert_interval_seconds=0.1,
    )
    most = AlertSettings(
        alert_failure_rate=1.0,
        alert_trigger_reports=1000,
        alert_clear_reports=1000,
        alert_interval_seconds=3600.0,
    )
    assert least.alert_interval_seconds < most.alert_interval_seconds


def test_words_that_others_keep_stay_as_they_are() -> None:
    """They stand in keys, in what processes of several versions share, and in settings."""
    assert [str(rule) for rule in AlertRule] == ["failure_rate", "unhealthy"]
    assert [str(basis) for basis in FailureBasis] == ["window", "lifetime"]
    assert [str(phase) for phase in Phase] == ["triggered", "resolved"]
    assert [str(lean) for lean in Leaning] == ["over", "between", "clear"]


def test_who_took_it_is_noted() -> None:
    """One more name, and nothing else."""
    taken = incident(Phase.TRIGGERED, 1, "webhook").taken_by("pagerduty")
    assert taken == incident(Phase.TRIGGERED, 1, "webhook", "pagerduty")

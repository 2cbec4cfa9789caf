"""When somebody is to be told that Tasker fails, and when that it is over.

Pure: a report becomes a reading of each rule, readings in a row become a streak, and a
streak opens or closes an incident. An incident opens above one bound and closes below
another, each only after some reports in a row, so that nobody is told of a moment's noise
and nothing flaps. A report that is not there, or is stale, says nothing: it neither opens
nor closes.

The guide's rule divides all failed tasks by all tasks there ever were. Such a rate can
hardly fire once there is a history, and does not clear; so the share of those that ended in
the window is the default, and the guide's own rule a setting.

What is left out on purpose: who is told, by whom of a fleet, and what is remembered of it
(``paging.py``).

Source: guide, *Alerting Examples*.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.domain.bounds import number, ratio, seconds, switch, whole
from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.status import Verdict

if TYPE_CHECKING:
    from tasker_health.domain.observing import Observation
    from tasker_health.domain.status import Snapshot, StatusReport

__all__ = [
    "AlertRule",
    "AlertSettings",
    "FailureBasis",
    "Incident",
    "Leaning",
    "Phase",
    "Reading",
    "Streak",
    "decide",
    "merged",
    "read",
]

_CLEAR_SHARE: Final = 0.8
"""How far below the threshold an incident closes, unless a setting says where."""

_HOUR: Final = 3600.0


class AlertRule(StrEnum):
    """What an incident is about."""

    FAILURE_RATE = "failure_rate"
    UNHEALTHY = "unhealthy"


class FailureBasis(StrEnum):
    """What failed tasks are a share of."""

    WINDOW = "window"
    """Of those that ended in the window."""
    LIFETIME = "lifetime"
    """Of all there are, as the guide writes it."""


def _basis(given: str) -> FailureBasis:
    try:
        return FailureBasis(given)
    except ValueError:
        allowed = " or ".join(FailureBasis)
    raise ConfigurationError("alert_failure_basis", repr(given), allowed)


@attrs.frozen(kw_only=True)
class AlertSettings:
    """When an alert opens and when it closes.

    Args:
        alert_failure_rate: the share of failed tasks above which an incident opens.
        alert_clear_rate: the share at or below which it closes; four fifths of the other
            unless given.
        alert_failure_basis: what failed tasks are a share of: ``window``, those that ended in
            ``metrics_window_seconds``, or ``lifetime``, all there are, as the guide has it.
        alert_minimum_tasks: below so many ended tasks in the window no incident opens.
        alert_trigger_reports: how many reports in a row must be over.
        alert_clear_reports: how many reports in a row must be clear.
        alert_on_unhealthy: whether the verdict ``unhealthy`` is an incident of its own.
        alert_interval_seconds: how often to look; what is not delivered is tried again
            then. A sender that dies is replaced after some three times as long.
    """

    alert_failure_rate: float = attrs.field(default=0.05, validator=ratio())
    alert_clear_rate: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(number(0, 1, "parts of the whole"))
    )
    alert_failure_basis: FailureBasis = attrs.field(default=FailureBasis.WINDOW, converter=_basis)
    alert_minimum_tasks: int = attrs.field(default=20, validator=whole(1))
    alert_trigger_reports: int = attrs.field(default=2, validator=whole(1, 1000))
    alert_clear_reports: int = attrs.field(default=3, validator=whole(1, 1000))
    alert_on_unhealthy: bool = attrs.field(default=False, validator=switch)
    alert_interval_seconds: float = attrs.field(default=15.0, validator=seconds(0.1, _HOUR))

    def __attrs_post_init__(self) -> None:
        if self.clear_rate > self.alert_failure_rate:
            raise ConfigurationError(
                "alert_clear_rate",
                repr(self.alert_clear_rate),
                f"at most alert_failure_rate, which is {self.alert_failure_rate!r}",
            )

    @property
    def clear_rate(self) -> float:
        """Where a failure rate is clear."""
        if self.alert_clear_rate is None:
            return self.alert_failure_rate * _CLEAR_SHARE
        return self.alert_clear_rate

    @property
    def rules(self) -> tuple[AlertRule, ...]:
        """What is looked at."""
        return tuple(AlertRule) if self.alert_on_unhealthy else (AlertRule.FAILURE_RATE,)


class Leaning(StrEnum):
    """What one report says about a rule."""

    OVER = "over"
    BETWEEN = "between"
    CLEAR = "clear"


@attrs.frozen(kw_only=True)
class Reading:
    """One rule, read off one report.

    Args:
        rule: which.
        at: when the report was measured, aware UTC.
        leaning: what it says.
        observed: the share of failed tasks, 0..1, or how severe the verdict is.
        threshold: what that was held against.
        summary: the same for people, one line.
        numbers: what a person will want to see beside it; the guide's names first.
    """

    rule: AlertRule
    at: datetime
    leaning: Leaning
    observed: float
    threshold: float
    summary: str
    numbers: Mapping[str, float | None]


def read(rule: AlertRule, observation: Observation, settings: AlertSettings) -> Reading | None:
    """Read a rule off what is known; None when nothing is, or nothing fresh."""
    answer = observation.status
    if answer is None or answer.stale:
        return None
    return _READERS[rule](answer.report, settings)


def _failure_rate(report: StatusReport, settings: AlertSettings) -> Reading:
    snapshot = report.snapshot
    failed, tasks, least, which = _share(snapshot, settings)
    rate, threshold = failed / tasks if tasks else 0.0, settings.alert_failure_rate
    if rate <= settings.clear_rate:
        leaning = Leaning.CLEAR
    else:
        over = rate > threshold and tasks >= least
        leaning = Leaning.OVER if over else Leaning.BETWEEN
    return Reading(
        rule=AlertRule.FAILURE_RATE,
        at=snapshot.at,
        leaning=leaning,
        observed=rate,
        threshold=threshold,
        summary=f"{rate:.1%} of {tasks} tasks {which} failed (threshold {threshold:.4g})",
        numbers=_numbers(snapshot),
    )


def _share(snapshot: Snapshot, settings: AlertSettings) -> tuple[int, int, int, str]:
    """Tell how many failed, of how many, how many there must be, and which they are."""
    counts, activity = snapshot.system_health, snapshot.activity
    if settings.alert_failure_basis is FailureBasis.LIFETIME:
        return counts.failed_tasks, counts.total_tasks, 1, "there are"
    ended = activity.tasks_failed + activity.tasks_completed
    which = f"that ended in the last {snapshot.performance.window_seconds:g} s"
    return activity.tasks_failed, ended, settings.alert_minimum_tasks, which


def _unhealthy(report: StatusReport, settings: AlertSettings) -> Reading:
    del settings
    verdict = report.verdict
    told = "; ".join(f"{f.rule} {f.observed:.4g} over {f.threshold:.4g}" for f in report.findings)
    return Reading(
        rule=AlertRule.UNHEALTHY,
        at=report.snapshot.at,
        leaning=Leaning.OVER if verdict is Verdict.UNHEALTHY else Leaning.CLEAR,
        observed=verdict.severity,
        threshold=Verdict.UNHEALTHY.severity,
        summary=f"{verdict}: {told}" if told else verdict.value,
        numbers=_numbers(report.snapshot),
    )


_READERS: Final = {AlertRule.FAILURE_RATE: _failure_rate, AlertRule.UNHEALTHY: _unhealthy}


def _numbers(snapshot: Snapshot) -> dict[str, float | None]:
    performance, activity = snapshot.performance, snapshot.activity
    return {
        **attrs.asdict(snapshot.system_health),
        "avg_task_completion_time_ms": performance.avg_task_completion_time_ms,
        "avg_step_completion_time_ms": performance.avg_step_completion_time_ms,
        "retry_success_rate": performance.retry_success_rate,
        "window_seconds": performance.window_seconds,
        "tasks_failed_in_window": activity.tasks_failed,
        "tasks_completed_in_window": activity.tasks_completed,
    }


@attrs.frozen(kw_only=True)
class Streak:
    """How many reports in a row said the same of a rule; the same report counts once."""

    over: int = 0
    clear: int = 0
    at: datetime | None = None

    def after(self, reading: Reading | None) -> Streak:
        """Go on with the next look; one that saw nothing new changes nothing."""
        if reading is None or reading.at == self.at:
            return self
        return Streak(
            over=self.over + 1 if reading.leaning is Leaning.OVER else 0,
            clear=self.clear + 1 if reading.leaning is Leaning.CLEAR else 0,
            at=reading.at,
        )


class Phase(StrEnum):
    """How far an incident is."""

    TRIGGERED = "triggered"
    RESOLVED = "resolved"


@attrs.frozen(kw_only=True)
class Incident:
    """What there is to tell of one rule, and who took it already.

    Args:
        key: what a receiver folds repetitions by: the same for all incidents of one rule of
            one Tasker, whoever sends them.
        rule: what it is about.
        phase: how far it is.
        revision: 1 for the first phase there was under this key, one more for each after.
        at: when the report was measured that decided the phase, aware UTC.
        observed: as the reading has it; so with the next three.
        threshold: see there.
        summary: see there.
        numbers: see there.
        told: the notifiers that took the phase.
    """

    key: str
    rule: AlertRule
    phase: Phase
    revision: int = attrs.field(validator=attrs.validators.ge(1))
    at: datetime
    observed: float
    threshold: float
    summary: str
    numbers: Mapping[str, float | None]
    told: frozenset[str] = frozenset()

    def taken_by(self, name: str) -> Incident:
        """Note that a notifier took it."""
        return attrs.evolve(self, told=self.told | {name})


def decide(
    incident: Incident | None,
    streak: Streak,
    reading: Reading | None,
    settings: AlertSettings,
    key: str,
) -> Incident | None:
    """Open, close or keep.

    Args:
        incident: the last one of this rule, open or closed; None when there never was one.
        streak: of the rule, this look included.
        reading: of this look.
        settings: how long a streak must be.
        key: of the rule's incidents.

    Returns:
        The incident as it was, or in its next phase, of which nobody was told yet.
    """
    if reading is None:
        return incident
    is_open = incident is not None and incident.phase is Phase.TRIGGERED
    if not is_open and streak.over >= settings.alert_trigger_reports:
        phase = Phase.TRIGGERED
    elif is_open and streak.clear >= settings.alert_clear_reports:
        phase = Phase.RESOLVED
    else:
        return incident
    return Incident(
        key=key,
        rule=reading.rule,
        phase=phase,
        revision=incident.revision + 1 if incident else 1,
        at=reading.at,
        observed=reading.observed,
        threshold=reading.threshold,
        summary=reading.summary,
        numbers=reading.numbers,
    )


def merged(ours: Incident | None, theirs: Incident) -> Incident:
    """Of two memories of one rule's incident, give the later, with all who were told of it."""
    if ours is None:
        return theirs
    if (ours.revision, ours.phase, ours.at) == (theirs.revision, theirs.phase, theirs.at):
        return attrs.evolve(ours, told=ours.told | theirs.told)
    return max(theirs, ours, key=lambda one: (one.revision, one.at))

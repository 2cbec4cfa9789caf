"""Whether this instance can take traffic: the rule, and the use case that applies it.

One run of the checks serves every caller who asks while it is under way and, for at most
a second, those who come after. A kubelet, two load balancers and a mesh can ask at once
and the database is asked once.

Source: guide, *Readiness Probe* and *Liveness Probe*.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.domain.checks import CheckResult, CheckStatus
from tasker_health.domain.errors import CheckSelectionError, DeadlineError
from tasker_health.domain.events import Changed
from tasker_health.domain.flight import Flight
from tasker_health.domain.metering import Unmetered
from tasker_health.domain.reasons import Reason
from tasker_health.domain.running import CheckRunner, unanswered

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tasker_health.domain.checks import HealthCheck
    from tasker_health.domain.ports import Clock, Journal, Meter
    from tasker_health.domain.settings import HealthSettings

__all__ = ["LivenessReport", "Readiness", "ReadinessReport", "assess", "selected"]

_CHECKS_SHARE: Final = 0.7
_WAITERS_SHARE: Final = 0.85
"""Parts of the readiness budget. The checks' own deadline ends first, so that everybody who
waits shares one classified result; the rest of the budget is for writing the answer."""


@attrs.frozen(kw_only=True)
class LivenessReport:
    """This process answers. There is no other way for it to come out.

    Args:
        at: when, aware UTC.
    """

    at: datetime
    alive: bool = attrs.field(default=True, init=False)


@attrs.frozen(kw_only=True)
class ReadinessReport:
    """Whether this instance can take traffic.

    Args:
        ready: true exactly when no check is in error and the process is not draining.
        checks: one result a name.
        at: when the checks were asked, aware UTC.
        reason: why not ready, where the checks do not tell (``draining``).
    """

    ready: bool
    checks: tuple[CheckResult, ...]
    at: datetime
    reason: Reason | None = None

    def __attrs_post_init__(self) -> None:
        if self.ready is not _well(self.reason, self.checks):
            raise ValueError("ready is true exactly when nothing is in error")

    def narrowed(self, names: Collection[str]) -> ReadinessReport:
        """Look at these checks alone: the others count neither in the verdict nor as told.

        A reason that no check tells stays, so that a process that drains is ready for
        nobody. Names that the report does not have are passed over.
        """
        checks = tuple(result for result in self.checks if result.name in names)
        return attrs.evolve(self, ready=_well(self.reason, checks), checks=checks)


def _well(reason: Reason | None, checks: Sequence[CheckResult]) -> bool:
    return reason is None and all(result.status is not CheckStatus.ERROR for result in checks)


def selected(
    names: Sequence[str], *, only: str | None = None, exclude: Collection[str] = ()
) -> Sequence[str]:
    """Pick the checks that a caller asks about.

    Args:
        names: of all checks.
        only: the one to look at; None for all.
        exclude: those to leave out.

    Returns:
        The names that are left, in their order.

    Raises:
        CheckSelectionError: there is no check of that name, or none is left: a verdict on
            nothing would always be good.
    """
    asked = (*exclude, *(() if only is None else (only,)))
    for name in asked:
        if name not in names:
            raise CheckSelectionError(name, tuple(names))
    left = [name for name in names if only in {None, name} and name not in exclude]
    if not left:
        raise CheckSelectionError(" and ".join(exclude), tuple(names))
    return left


def assess(
    results: Sequence[CheckResult], critical: Mapping[str, bool], at: datetime
) -> ReadinessReport:
    """Apply the rule: one failing critical check and the instance is not ready.

    A check that is not critical never takes it out of service: its error counts, and is
    told, as ``degraded``.

    Args:
        results: what the checks answered.
        critical: by name, whether an error of it counts as one.
        at: when they were asked.
    """
    softened = tuple(
        result
        if critical[result.name] or result.status is not CheckStatus.ERROR
        else attrs.evolve(result, status=CheckStatus.DEGRADED)
        for result in results
    )
    return ReadinessReport(ready=_well(None, softened), checks=softened, at=at)


class Readiness:
    """The readiness use case: ask, judge, reuse for a moment, note what changed."""

    def __init__(
        self,
        checks: Sequence[HealthCheck],
        *,
        clock: Clock,
        journal: Journal,
        settings: HealthSettings,
        meter: Meter | None = None,
    ) -> None:
        self._runner: Final = CheckRunner(checks, clock)
        self._critical: Final = {name: check.critical for check in checks for name in check.names}
        self._clock = clock
        self._journal = journal
        self._settings = settings
        self._meter: Final = meter or Unmetered()
        self._flight: Final = Flight[ReadinessReport]()
        self._last: ReadinessReport | None = None
        self._reusable_until = float("-inf")
        self._draining = False

    @property
    def names(self) -> Sequence[str]:
        """What the checks are called, in the order of the document."""
        return tuple(self._critical)

    @property
    def last(self) -> ReadinessReport | None:
        """How the checks came out when they were last asked; asks nothing itself."""
        return self._drained() if self._draining else self._last

    async def report(self) -> ReadinessReport:
        """Tell whether this instance can take traffic, within the readiness budget.

        Raises nothing: what cannot be found out in time is an error of its check.
        """
        if self._draining:
            return self._drained()
        if self._last is not None and self._clock.monotonic() < self._reusable_until:
            return self._last
        try:
            return await self._flight.join(
                self._ask,
                patience_seconds=self._settings.readiness_timeout_seconds * _WAITERS_SHARE,
            )
        except DeadlineError:
            return assess(self._unheard(), self._critical, self._clock.now())

    def drain(self) -> None:
        """Answer ``draining`` from now on."""
        if not self._draining:
            self._draining = True
            self._note("readiness", _word(self._last), "not ready", Reason.DRAINING)

    async def aclose(self) -> None:
        """End what is under way."""
        await self._flight.aclose()
        await self._runner.aclose()

    async def _ask(self) -> ReadinessReport:
        at, began = self._clock.now(), self._clock.monotonic()
        results = await self._runner.run(self._settings.readiness_timeout_seconds * _CHECKS_SHARE)
        report = assess(results, self._critical, at)
        self._meter.assessed(report, self._clock.monotonic() - began)
        self._keep(report, began)
        return report

    def _keep(self, report: ReadinessReport, began: float) -> None:
        previous, self._last = self._last, report
        settings = self._settings
        self._reusable_until = began + (
            settings.readiness_reuse_seconds if report.ready else settings.readiness_retry_seconds
        )
        self._note_changes(previous, report)

    def _note_changes(self, before: ReadinessReport | None, after: ReadinessReport) -> None:
        known = {result.name: result for result in before.checks} if before else {}
        for result in after.checks:
            was = known.get(result.name)
            old = was.status.value if was else ""
            if (old or CheckStatus.OK) != result.status or (
                was and was.reason is not result.reason
            ):
                self._note(
                    f"check:{result.name}", old, result.status.value, result.reason, result.detail
                )
        if before is None or before.ready is not after.ready:
            self._note("readiness", _word(before), _word(after))

    def _note(
        self, subject: str, before: str, after: str, reason: Reason | None = None, detail: str = ""
    ) -> None:
        self._journal.record(
            Changed(subject=subject, before=before, after=after, reason=reason, detail=detail)
        )

    def _drained(self) -> ReadinessReport:
        checks = self._last.checks if self._last else ()
        return ReadinessReport(
            ready=False, checks=checks, at=self._clock.now(), reason=Reason.DRAINING
        )

    def _unheard(self) -> tuple[CheckResult, ...]:
        return tuple(
            result for check in self._runner.checks for result in unanswered(check, Reason.TIMEOUT)
        )


def _word(report: ReadinessReport | None) -> str:
    if report is None:
        return ""
    return "ready" if report.ready else "not ready"

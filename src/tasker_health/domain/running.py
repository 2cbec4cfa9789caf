"""Asking all checks at once, in time.

A check can hang, raise, answer nonsense or refuse to be cancelled; what comes out of
:class:`CheckRunner` is always one classified result a name, before the deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tasker_health.domain.checks import CheckResult, CheckStatus
from tasker_health.domain.deadline import abandon, end
from tasker_health.domain.errors import ConfigurationError, SourceError
from tasker_health.domain.reasons import Reason

if TYPE_CHECKING:
    from tasker_health.domain.checks import HealthCheck
    from tasker_health.domain.ports import Clock

__all__ = ["CheckRunner", "unanswered"]

_LATE_LOOP_SECONDS: Final = 0.02


class CheckRunner:
    """Asks all checks at once and answers in time, whatever they do.

    A check that outlives its deadline is abandoned; until it is gone it is not asked anew.
    """

    def __init__(self, checks: Sequence[HealthCheck], clock: Clock) -> None:
        names = [name for check in checks for name in check.names]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigurationError("checks", repr(twice), "each name once")
        self.checks: Final = tuple(checks)
        self._clock = clock
        self._asked: dict[HealthCheck, asyncio.Task[Sequence[CheckResult]]] = {}

    async def run(self, budget_seconds: float) -> tuple[CheckResult, ...]:
        """Ask every check.

        Args:
            budget_seconds: when the answer must be there, > 0.

        Returns:
            One result a name, in the order of the checks.
        """
        groups = await asyncio.gather(*(self._ask(check, budget_seconds) for check in self.checks))
        return tuple(result for group in groups for result in group)

    async def aclose(self) -> None:
        """End the checks that are still under way."""
        await end(self._asked.values())

    async def _ask(self, check: HealthCheck, budget_seconds: float) -> Sequence[CheckResult]:
        deadline = min(budget_seconds, check.timeout_seconds or budget_seconds)
        if (left := self._asked.get(check)) is not None and not left.done():
            return unanswered(check, Reason.TIMEOUT, "the previous run has not ended")
        started = self._clock.monotonic()
        task = asyncio.ensure_future(_start(check))
        self._asked[check] = task
        try:
            await asyncio.wait({task}, timeout=deadline)
            if (
                not task.done()
                and self._clock.monotonic() - started > deadline + _LATE_LOOP_SECONDS
            ):
                # The loop itself came late: what the check waits for may already lie there.
                await asyncio.wait({task}, timeout=_LATE_LOOP_SECONDS)
        finally:
            abandon(task)
        return _classify(check, task, round((self._clock.monotonic() - started) * 1000))


def unanswered(
    check: HealthCheck, reason: Reason, detail: str = "", spent_ms: int | None = None
) -> Sequence[CheckResult]:
    """Make the results of a check that was asked and gave none.

    The first name bears the reason; what the others would have said is unknown.
    """
    asked, *following = check.names
    return (
        CheckResult(
            name=asked,
            status=CheckStatus.ERROR,
            reason=reason,
            response_time_ms=spent_ms,
            detail=detail,
        ),
        *(CheckResult.error(name, Reason.UNKNOWN) for name in following),
    )


async def _start(check: HealthCheck) -> Sequence[CheckResult]:
    """Turn any awaitable, and any error before the first await, into one task."""
    return await check.probe()


def _classify(
    check: HealthCheck, task: asyncio.Task[Sequence[CheckResult]], spent_ms: int
) -> Sequence[CheckResult]:
    if not task.done() or task.cancelled():
        return unanswered(check, Reason.TIMEOUT, "no answer before the deadline", spent_ms)
    error = task.exception()
    if isinstance(error, SourceError):
        return unanswered(check, error.reason, _told(error), spent_ms)
    if isinstance(error, TimeoutError):
        return unanswered(check, Reason.TIMEOUT, _told(error), spent_ms)
    if error is not None:
        return unanswered(check, Reason.FAILED, _told(error), spent_ms)
    results = task.result()
    if not _answers(check, results):
        return unanswered(
            check, Reason.FAILED, f"the probe answered {type(results).__name__}", spent_ms
        )
    return results


def _answers(check: HealthCheck, results: object) -> bool:
    return (
        isinstance(results, Sequence)
        and all(isinstance(result, CheckResult) for result in results)
        and tuple(result.name for result in results) == check.names
    )


def _told(error: BaseException) -> str:
    """What the log may be told of an error: its kinds and words, cause included."""
    cause = f" from {_told(error.__cause__)}" if error.__cause__ is not None else ""
    return f"{type(error).__name__}: {error}{cause}"

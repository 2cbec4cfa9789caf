"""Health checks: what readiness asks, and what comes back. Running them is ``running.py``."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Final, Self

import attrs

from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.reasons import Reason

__all__ = ["CheckResult", "CheckStatus", "HealthCheck", "Probe"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


class CheckStatus(StrEnum):
    """How a check came out, from best to worst."""

    OK = "ok"
    DEGRADED = "degraded"
    ERROR = "error"


@attrs.frozen(kw_only=True)
class CheckResult:
    """The outcome of one check.

    Args:
        name: lower-case word, at most 64 characters.
        status: how it came out.
        reason: from the closed set; there is one exactly when the status is not ok.
        response_time_ms: time spent on the outside, ≥ 0; None where none was.
        detail: for the log alone; may hold a vendor's words and is never rendered.
    """

    name: str = attrs.field(validator=attrs.validators.matches_re(_NAME))
    status: CheckStatus = attrs.field(default=CheckStatus.OK, converter=CheckStatus)
    reason: Reason | None = None
    response_time_ms: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.ge(0))
    )
    detail: str = attrs.field(default="", repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if (self.reason is None) != (self.status is CheckStatus.OK):
            raise ValueError("a check has a reason exactly when it is not ok")

    @classmethod
    def error(cls, name: str, reason: Reason, *, detail: str = "") -> Self:
        """Make a result that says the check failed."""
        return cls(name=name, status=CheckStatus.ERROR, reason=reason, detail=detail)


Probe = Callable[[], Awaitable[Sequence[CheckResult]]]
"""Ask the outside and come back with one result for each name of the check."""


def _names(_: object, __: object, names: tuple[str, ...]) -> None:
    if not names or any(_NAME.fullmatch(name) is None for name in names):
        raise ConfigurationError("names", repr(names), "lower-case words of at most 64 characters")


@attrs.frozen(kw_only=True)
class HealthCheck:
    """A question that readiness asks.

    Args:
        names: what it answers for, in the order of the document. The first is what is
            asked; what the others say follows from the answer, so that they are
            ``unknown`` when it does not come.
        probe: asks the outside.
        critical: whether an error takes this instance out of service.
        timeout_seconds: a deadline of its own, within the readiness budget; None for that alone.
    """

    names: tuple[str, ...] = attrs.field(validator=_names)
    probe: Probe
    critical: bool = True
    timeout_seconds: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.gt(0))
    )

    @classmethod
    def single(
        cls, name: str, ask: Callable[[], Awaitable[object]], *, critical: bool = True
    ) -> Self:
        """Make a check out of a coroutine function that returns when all is well.

        Args:
            name: what it answers for.
            ask: raises :class:`SourceError` to give a reason; anything else it raises is
                told as ``failed``.
            critical: whether an error takes this instance out of service.
        """

        async def probe() -> Sequence[CheckResult]:
            await ask()
            return (CheckResult(name=name),)

        return cls(names=(name,), probe=probe, critical=critical)

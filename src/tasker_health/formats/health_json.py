"""Readiness as ``application/health+json``, for tools that read that format anywhere.

A check that is ok passes, a degraded one warns, an error fails; so does the whole: it
warns when it is ready although a check is degraded. ``output`` is the public reason. The
database is keyed ``database:responseTime``, because that is what is observed of it; the
other checks are keyed by name, and tell a time where they spent one.

Left out on purpose: the status, because the format ties ``fail`` to a code of 400 or more
and the status is 200 whatever its verdict; liveness, which has one thing to say.

Source: draft-inadarei-api-health-check-06, 3 and 4.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tasker_health.domain.checks import CheckStatus
from tasker_health.domain.reasons import Reason  # noqa: TC001  msgspec reads annotations
from tasker_health.formats.documents import Count, Instant, instant

if TYPE_CHECKING:
    from datetime import datetime

    from tasker_health.domain.checks import CheckResult
    from tasker_health.domain.readiness import ReadinessReport

__all__ = ["HEALTH_JSON", "HealthDocument", "ready"]

HEALTH_JSON: Final = "application/health+json"


class Health(StrEnum):
    """The format's three words."""

    PASS = "pass"  # noqa: S105  the format's word for good, no secret
    WARN = "warn"
    FAIL = "fail"


class ComponentType(StrEnum):
    """What a check looks at."""

    COMPONENT = "component"
    DATASTORE = "datastore"


class ObservationDocument(Struct, frozen=True, kw_only=True, rename="camel"):
    """What one check observed; there is an output exactly when it does not pass."""

    component_type: ComponentType
    observed_value: Count | UnsetType = UNSET
    observed_unit: str | UnsetType = UNSET
    status: Health
    time: Instant
    output: Reason | UnsetType = UNSET


class HealthDocument(Struct, frozen=True, kw_only=True):
    """Whether this instance can take traffic, in the format's words."""

    status: Health
    checks: dict[str, list[ObservationDocument]]
    output: Reason | UnsetType = UNSET


_encode: Final = msgspec.json.Encoder().encode

_WORDS: Final = {
    CheckStatus.OK: Health.PASS,
    CheckStatus.DEGRADED: Health.WARN,
    CheckStatus.ERROR: Health.FAIL,
}
_MEASUREMENTS: Final = {"database": "database:responseTime"}
"""By name and not by what came back, so that a check keeps its key when it fails."""
_DATASTORES: Final = frozenset({"database", "migrations", "cache"})


def ready(report: ReadinessReport) -> bytes:
    """Write a readiness report."""
    return _encode(
        HealthDocument(
            status=_overall(report),
            checks={
                _MEASUREMENTS.get(result.name, result.name): [_observation(result, report.at)]
                for result in report.checks
            },
            output=report.reason or UNSET,
        )
    )


def _overall(report: ReadinessReport) -> Health:
    if not report.ready:
        return Health.FAIL
    degraded = any(result.status is CheckStatus.DEGRADED for result in report.checks)
    return Health.WARN if degraded else Health.PASS


def _observation(result: CheckResult, at: datetime) -> ObservationDocument:
    spent_ms = result.response_time_ms
    return ObservationDocument(
        component_type=ComponentType.DATASTORE
        if result.name in _DATASTORES
        else ComponentType.COMPONENT,
        observed_value=UNSET if spent_ms is None else spent_ms,
        observed_unit=UNSET if spent_ms is None else "ms",
        status=_WORDS[result.status],
        time=instant(at),
        output=result.reason or UNSET,
    )

"""Health, readiness and status of a Tasker workflow engine.

The names below are loaded when they are first used (PEP 562), so that importing the
package costs nothing and loads no vendor.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasker_health.domain.alerting import AlertSettings, Incident
    from tasker_health.domain.checks import CheckResult, CheckStatus, HealthCheck
    from tasker_health.domain.coordination import BaseCoordinator, Resources
    from tasker_health.domain.database import DatabaseExpectations, DatabaseFacts, Generation
    from tasker_health.domain.errors import (
        CacheError,
        ConfigurationError,
        DeliveryError,
        ForbiddenError,
        InvalidCredentialsError,
        SourceError,
        TaskerHealthError,
    )
    from tasker_health.domain.observing import Observation
    from tasker_health.domain.permissions import ANONYMOUS, Credentials, Permission, Principal
    from tasker_health.domain.readiness import LivenessReport, ReadinessReport
    from tasker_health.domain.reasons import Reason
    from tasker_health.domain.service import HealthService
    from tasker_health.domain.settings import (
        AuthSettings,
        HealthSettings,
        Settings,
        Thresholds,
    )
    from tasker_health.domain.status import (
        Activity,
        Finding,
        PerformanceMetrics,
        Snapshot,
        StatusAnswer,
        StatusReport,
        SystemHealth,
        Verdict,
        Vitals,
    )
    from tasker_health.entrypoints.environment import read_configuration
    from tasker_health.entrypoints.server import open_service

__all__ = [
    "ANONYMOUS",
    "Activity",
    "AlertSettings",
    "AuthSettings",
    "BaseCoordinator",
    "CacheError",
    "CheckResult",
    "CheckStatus",
    "ConfigurationError",
    "Credentials",
    "DatabaseExpectations",
    "DatabaseFacts",
    "DeliveryError",
    "Finding",
    "ForbiddenError",
    "Generation",
    "HealthCheck",
    "HealthService",
    "HealthSettings",
    "Incident",
    "InvalidCredentialsError",
    "LivenessReport",
    "Observation",
    "PerformanceMetrics",
    "Permission",
    "Principal",
    "ReadinessReport",
    "Reason",
    "Resources",
    "Settings",
    "Snapshot",
    "SourceError",
    "StatusAnswer",
    "StatusReport",
    "SystemHealth",
    "TaskerHealthError",
    "Thresholds",
    "Verdict",
    "Vitals",
    "open_service",
    "read_configuration",
]

_HOMES = {
    "domain.alerting": ("AlertSettings", "Incident"),
    "domain.checks": ("CheckResult", "CheckStatus", "HealthCheck"),
    "domain.coordination": ("BaseCoordinator", "Resources"),
    "domain.database": ("DatabaseExpectations", "DatabaseFacts", "Generation"),
    "domain.errors": (
        "CacheError",
        "ConfigurationError",
        "DeliveryError",
        "ForbiddenError",
        "InvalidCredentialsError",
        "SourceError",
        "TaskerHealthError",
    ),
    "domain.observing": ("Observation",),
    "domain.permissions": ("ANONYMOUS", "Credentials", "Permission", "Principal"),
    "domain.readiness": ("LivenessReport", "ReadinessReport"),
    "domain.reasons": ("Reason",),
    "domain.service": ("HealthService",),
    "domain.settings": ("AuthSettings", "HealthSettings", "Settings", "Thresholds"),
    "domain.status": (
        "Activity",
        "Finding",
        "PerformanceMetrics",
        "Snapshot",
        "StatusAnswer",
        "StatusReport",
        "SystemHealth",
        "Verdict",
        "Vitals",
    ),
    "entrypoints.environment": ("read_configuration",),
    "entrypoints.server": ("open_service",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

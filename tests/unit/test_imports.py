"""Importing the package is cheap, and what it offers is what it says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import tasker_health

PUBLIC = {
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
}
"""Part of the interface: a name that leaves this list breaks an embedder."""

VENDORS = {
    *("sqlalchemy", "asyncpg", "psycopg", "aiosqlite", "redis", "hiredis", "litestar", "uvicorn"),
    *("msgspec", "click", "structlog", "prometheus_client", "httpx", "anyio", "starlette"),
}


def loaded_by(statement: str) -> set[str]:
    """Run a statement in a fresh interpreter and tell which modules it loaded."""
    script = f"{statement}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return set(json.loads(ran.stdout))


def test_importing_the_package_loads_nothing() -> None:
    """``import tasker_health`` loads no vendor, no asyncio, and no module of its own."""
    loaded = loaded_by("import tasker_health")
    assert loaded.isdisjoint(VENDORS | {"asyncio", "attr", "attrs"})
    assert {name for name in loaded if name.startswith("tasker_health.")} == set()


def test_using_the_domain_loads_no_vendor_but_attrs() -> None:
    """Every name of the domain comes without SQLAlchemy, Litestar, redis or msgspec."""
    names = ", ".join(sorted(PUBLIC - {"open_service", "read_configuration"}))
    loaded = loaded_by(f"from tasker_health import {names}")
    assert loaded.isdisjoint(VENDORS)
    assert "attrs" in loaded
    assert "asyncio" in loaded


def test_the_public_names_are_pinned() -> None:
    """The façade offers exactly these names, in order."""
    assert set(tasker_health.__all__) == PUBLIC
    assert list(tasker_health.__all__) == sorted(PUBLIC)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_loads(name: str) -> None:
    """A public name gives the thing of that name from the domain, and the same each time."""
    value = getattr(tasker_health, name)
    assert value is getattr(tasker_health, name)
    if isinstance(value, type):
        assert value.__name__ == name
        assert value.__module__.startswith("tasker_health.domain.")


def test_dir_tells_the_names_before_they_are_loaded() -> None:
    """``dir()`` shows what can be had, so that a shell completes it."""
    script = "import tasker_health, json; print(json.dumps(dir(tasker_health)))"
    ran = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert set(json.loads(ran.stdout)) >= PUBLIC


def test_an_unknown_name_is_an_ordinary_error() -> None:
    """A name that is not offered raises AttributeError and is named in it."""
    with pytest.raises(AttributeError, match=r"'tasker_health' has no attribute 'HealthServices'"):
        _ = tasker_health.HealthServices

"""The options of the guide: defaults, bounds, and errors that name the field."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest

from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.settings import AuthSettings, HealthSettings, Settings, Thresholds


def test_defaults_are_the_guides_and_the_designs() -> None:
    """Nothing has to be set to get what the documents promise."""
    assert attrs.asdict(HealthSettings()) == {
        "status_requires_authentication": False,
        "cache_duration_seconds": 15.0,
        "readiness_timeout_seconds": 0.1,
        "readiness_reuse_seconds": 1.0,
        "readiness_retry_seconds": 0.25,
        "status_timeout_seconds": 2.0,
        "status_patience_seconds": 0.08,
        "status_keep_warm_seconds": 90.0,
        "measurement_timeout_seconds": 10.0,
        "measurement_rest_seconds": 0.5,
        "cache_timeout_seconds": 0.025,
        "max_stale_seconds": 300.0,
        "metrics_window_seconds": 3600.0,
    }
    assert attrs.asdict(AuthSettings()) == {
        "authorization_enabled": False,
        "authorization_coordinator_class": "",
        "authenticator_class": "",
        "access_timeout_seconds": 1.0,
    }
    assert attrs.asdict(Thresholds()) == {
        "degraded_failed_share": 0.05,
        "unhealthy_failed_share": 0.5,
        "failed_share_minimum_tasks": 20,
        "unhealthy_connections_ratio": 0.9,
        "degraded_blocked_seconds": 300.0,
        "unhealthy_stall_seconds": 300.0,
        "degraded_response_time_ms": 200.0,
    }


@pytest.mark.parametrize(
    ("field", "bad", "allowed"),
    [
        ("cache_duration_seconds", -0.1, "from 0 to 86400"),
        ("cache_duration_seconds", math.nan, "from 0 to 86400"),
        ("cache_duration_seconds", math.inf, "from 0 to 86400"),
        ("cache_duration_seconds", "15", "from 0 to 86400"),
        ("cache_duration_seconds", True, "from 0 to 86400"),
        ("cache_duration_seconds", None, "from 0 to 86400"),
        ("readiness_timeout_seconds", 0, "from 0.01 to 60"),
        ("readiness_reuse_seconds", 1.5, "from 0 to 1"),
        ("metrics_window_seconds", 0.5, "from 1 to"),
        ("status_requires_authentication", "yes", "true or false"),
        ("status_requires_authentication", 1, "true or false"),
    ],
)
def test_a_bad_health_setting_is_named(field: str, bad: object, allowed: str) -> None:
    """The error gives the field, what was given and what is allowed."""
    wrong: dict[str, Any] = {field: bad}
    with pytest.raises(ConfigurationError) as refused:
        HealthSettings(**wrong)
    told = str(refused.value)
    assert told.startswith(field)
    assert repr(bad) in told
    assert allowed in told


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("degraded_failed_share", 0),
        ("degraded_failed_share", 1.01),
        ("failed_share_minimum_tasks", 0),
        ("failed_share_minimum_tasks", 2.5),
        ("failed_share_minimum_tasks", True),
        ("degraded_response_time_ms", 0),
    ],
)
def test_a_bad_threshold_is_named(field: str, bad: object) -> None:
    """The error gives the threshold's name and what was given."""
    wrong: dict[str, Any] = {field: bad}
    with pytest.raises(ConfigurationError, match=field) as refused:
        Thresholds(**wrong)
    assert repr(bad) in str(refused.value)


@pytest.mark.parametrize("edge", [0, 86_400, 15])
def test_whole_numbers_and_the_edges_are_allowed(edge: int) -> None:
    """A bound belongs to what it bounds, and seconds may be whole."""
    assert HealthSettings(cache_duration_seconds=edge).cache_duration_seconds == edge


def test_thresholds_keep_their_order() -> None:
    """A degraded share above the unhealthy one is a contradiction that is named."""
    with pytest.raises(ConfigurationError, match="at most unhealthy_failed_share"):
        Thresholds(degraded_failed_share=0.6, unhealthy_failed_share=0.5)
    equal = Thresholds(degraded_failed_share=0.5, unhealthy_failed_share=0.5)
    assert equal.degraded_failed_share == 0.5


def test_settings_are_values() -> None:
    """Settings compare by what they say and cannot be changed."""
    assert Settings() == Settings()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Settings().health = HealthSettings()  # type: ignore[misc]  # the point of the test


def test_a_configuration_error_tells_its_source() -> None:
    """A line says where the value came from, when somebody knows."""
    error = ConfigurationError("X", "'y'", "a z", "the environment")
    assert str(error) == "X is 'y' (from the environment): allowed is a z"
    assert str(ConfigurationError("X", "", "a z")) == "X: allowed is a z"

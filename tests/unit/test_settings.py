"""The options of the guide: defaults, bounds, and errors that name the field."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest

from tasker_health.domain.bounds import whole
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


DAY = 86_400.0

RANGES: list[tuple[type, str, float, float]] = [
    (HealthSettings, "cache_duration_seconds", 0, DAY),
    (HealthSettings, "readiness_timeout_seconds", 0.01, 60),
    (HealthSettings, "readiness_reuse_seconds", 0, 1),
    (HealthSettings, "readiness_retry_seconds", 0, 1),
    (HealthSettings, "status_timeout_seconds", 0.01, 60),
    (HealthSettings, "status_patience_seconds", 0, 60),
    (HealthSettings, "status_keep_warm_seconds", 0, DAY),
    (HealthSettings, "measurement_timeout_seconds", 0.01, 600),
    (HealthSettings, "measurement_rest_seconds", 0, 60),
    (HealthSettings, "cache_timeout_seconds", 0.001, 10),
    (HealthSettings, "max_stale_seconds", 0, DAY),
    (HealthSettings, "metrics_window_seconds", 1, 30 * DAY),
    (AuthSettings, "access_timeout_seconds", 0.01, 60),
    (Thresholds, "degraded_blocked_seconds", 0, DAY),
    (Thresholds, "unhealthy_stall_seconds", 0, DAY),
]


@pytest.mark.parametrize(
    ("group", "field", "low", "high"), RANGES, ids=[name for _, name, _, _ in RANGES]
)
def test_a_range_holds_both_its_ends_and_nothing_beyond(
    group: type, field: str, low: float, high: float
) -> None:
    """A bound belongs to what it bounds, and the error tells both."""
    for allowed in (low, high):
        assert getattr(group(**{field: allowed}), field) == allowed
    for beyond in (math.nextafter(low, -math.inf), math.nextafter(high, math.inf)):
        with pytest.raises(ConfigurationError) as refused:
            group(**{field: beyond})
        assert refused.value.allowed == f"a number of seconds from {low:g} to {high:g}"


@pytest.mark.parametrize(
    ("field", "high", "unit"),
    [
        ("unhealthy_failed_share", 1, "parts of the whole"),
        ("unhealthy_connections_ratio", 1, "parts of the whole"),
        ("degraded_response_time_ms", 60_000, "milliseconds"),
    ],
)
def test_a_threshold_is_above_nothing(field: str, high: float, unit: str) -> None:
    """A threshold that everything is over, or nothing can be, would say nothing."""
    assert getattr(Thresholds(**{field: high}), field) == high  # type: ignore[arg-type]  # by name
    for beyond in (0, math.nextafter(high, math.inf)):
        with pytest.raises(ConfigurationError) as refused:
            Thresholds(**{field: beyond})  # type: ignore[arg-type]  # by name
        assert refused.value.allowed == f"a number of {unit} above 0 and up to {high:g}"


@attrs.frozen
class Counted:
    """Settings of a user's own, with the bounds that ours have."""

    some: int = attrs.field(default=1, validator=whole(1))
    few: int = attrs.field(default=1, validator=whole(1, 3))


def test_a_share_may_be_taken_of_one_task() -> None:
    """Whoever wants to know of every failure may."""
    assert Thresholds(failed_share_minimum_tasks=1).failed_share_minimum_tasks == 1


@pytest.mark.parametrize(
    ("field", "fit", "unfit", "allowed"),
    [
        ("some", [1, 10**9], [0, -1, 1.0, True, "1"], "a whole number, 1 or more"),
        ("few", [1, 3], [0, 4, 2.0], "a whole number from 1 to 3"),
    ],
)
def test_whole_numbers_have_ends_too(
    field: str, fit: list[Any], unfit: list[Any], allowed: str
) -> None:
    """What counts things is a whole number from its least up, and to its most if it has one."""
    for number in fit:
        assert getattr(Counted(**{field: number}), field) == number
    for number in unfit:
        with pytest.raises(ConfigurationError) as refused:
            Counted(**{field: number})
        assert refused.value.allowed == allowed


def test_thresholds_keep_their_order() -> None:
    """A degraded share above the unhealthy one is a contradiction that is named."""
    with pytest.raises(
        ConfigurationError, match=r"^degraded_failed_share is 0.6: .*at most unheal"
    ):
        Thresholds(degraded_failed_share=0.6, unhealthy_failed_share=0.5)
    equal = Thresholds(degraded_failed_share=0.5, unhealthy_failed_share=0.5)
    assert equal.degraded_failed_share == 0.5


def test_settings_are_values() -> None:
    """Settings compare by what they say and cannot be changed."""
    assert Settings() == Settings()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Settings().health = HealthSettings()  # type: ignore[misc]  # the point of the test

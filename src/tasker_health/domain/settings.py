"""The options of the guide with its defaults, and every threshold of a verdict.

Values only: reading an environment or a file is ``entrypoints/environment.py``. Each
field's name is the name of its setting; a bad value raises
:class:`~tasker_health.domain.errors.ConfigurationError`.

Source: guide, *Configuration Options* and *Security Configuration*.
"""

from __future__ import annotations

from typing import Final

import attrs

from tasker_health.domain.alerting import AlertSettings
from tasker_health.domain.bounds import number, ratio, seconds, switch, whole
from tasker_health.domain.database import DatabaseExpectations
from tasker_health.domain.errors import ConfigurationError

__all__ = ["AuthSettings", "HealthSettings", "Settings", "Thresholds"]

_DAY: Final = 86_400.0


@attrs.frozen(kw_only=True)
class HealthSettings:
    """How long things are kept, waited for and looked back upon.

    Args:
        status_requires_authentication: whether the status asks who is there.
        cache_duration_seconds: how long a status is served before it is measured again;
            0 means no reuse.
        readiness_timeout_seconds: bound of a whole readiness answer.
        readiness_reuse_seconds: how long a good readiness result is reused, at most 1.
        readiness_retry_seconds: how long a bad one is.
        status_timeout_seconds: how long a request without any report waits for one.
        status_patience_seconds: how long a request that has an old report waits for a new.
        status_keep_warm_seconds: how long after a request its report is renewed in the
            background, so that whoever polls finds a fresh one; 0 for never.
        measurement_timeout_seconds: bound of one measurement, in the background.
        measurement_rest_seconds: how long a failed measurement is not tried again.
        cache_timeout_seconds: bound of one use of the shared cache.
        max_stale_seconds: how long past its expiry a report may still be served.
        metrics_window_seconds: how far the performance metrics and the failure share look back.
    """

    status_requires_authentication: bool = attrs.field(default=False, validator=switch)
    cache_duration_seconds: float = attrs.field(default=15.0, validator=seconds(0, _DAY))
    readiness_timeout_seconds: float = attrs.field(default=0.1, validator=seconds(0.01, 60))
    readiness_reuse_seconds: float = attrs.field(default=1.0, validator=seconds(0, 1))
    readiness_retry_seconds: float = attrs.field(default=0.25, validator=seconds(0, 1))
    status_timeout_seconds: float = attrs.field(default=2.0, validator=seconds(0.01, 60))
    status_patience_seconds: float = attrs.field(default=0.08, validator=seconds(0, 60))
    status_keep_warm_seconds: float = attrs.field(default=90.0, validator=seconds(0, _DAY))
    measurement_timeout_seconds: float = attrs.field(default=10.0, validator=seconds(0.01, 600))
    measurement_rest_seconds: float = attrs.field(default=0.5, validator=seconds(0, 60))
    cache_timeout_seconds: float = attrs.field(default=0.025, validator=seconds(0.001, 10))
    max_stale_seconds: float = attrs.field(default=300.0, validator=seconds(0, _DAY))
    metrics_window_seconds: float = attrs.field(default=3600.0, validator=seconds(1, 30 * _DAY))


@attrs.frozen(kw_only=True)
class AuthSettings:
    """Who may see the status.

    Args:
        authorization_enabled: whether the permission is asked for.
        authorization_coordinator_class: ``package.module:Class``; empty for the shipped one.
        authenticator_class: ``package.module:Class``; empty for tokens, JWT or nobody at all.
        access_timeout_seconds: bound of authenticator and coordinator together.
    """

    authorization_enabled: bool = attrs.field(default=False, validator=switch)
    authorization_coordinator_class: str = ""
    authenticator_class: str = ""
    access_timeout_seconds: float = attrs.field(default=1.0, validator=seconds(0.01, 60))


@attrs.frozen(kw_only=True)
class Thresholds:
    """Where well ends. Durations in seconds, shares and ratios in 0..1, times in ms.

    Args:
        degraded_failed_share: failed share of the tasks that ended in the window.
        unhealthy_failed_share: the same, worse.
        failed_share_minimum_tasks: below so many ended tasks there is no share.
        unhealthy_connections_ratio: client connections of those that the server allows.
        degraded_blocked_seconds: how long a task may be blocked.
        unhealthy_stall_seconds: how long ready work may wait without any transition.
        degraded_response_time_ms: round trip to the database (guide, *Optimization Tips*).
    """

    degraded_failed_share: float = attrs.field(default=0.05, validator=ratio())
    unhealthy_failed_share: float = attrs.field(default=0.5, validator=ratio())
    failed_share_minimum_tasks: int = attrs.field(default=20, validator=whole(1))
    unhealthy_connections_ratio: float = attrs.field(default=0.9, validator=ratio())
    degraded_blocked_seconds: float = attrs.field(default=300.0, validator=seconds(0, _DAY))
    unhealthy_stall_seconds: float = attrs.field(default=300.0, validator=seconds(0, _DAY))
    degraded_response_time_ms: float = attrs.field(
        default=200.0, validator=number(0, 60_000, "milliseconds", above=True)
    )

    def __attrs_post_init__(self) -> None:
        if self.degraded_failed_share > self.unhealthy_failed_share:
            raise ConfigurationError(
                "degraded_failed_share",
                repr(self.degraded_failed_share),
                f"at most unhealthy_failed_share, which is {self.unhealthy_failed_share!r}",
            )


@attrs.frozen(kw_only=True)
class Settings:
    """All options that the use cases read."""

    health: HealthSettings = attrs.field(factory=HealthSettings)
    auth: AuthSettings = attrs.field(factory=AuthSettings)
    database: DatabaseExpectations = attrs.field(factory=DatabaseExpectations)
    thresholds: Thresholds = attrs.field(factory=Thresholds)
    alerts: AlertSettings = attrs.field(factory=AlertSettings)

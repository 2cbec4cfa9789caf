"""Every error of this package, as one tree.

::

    TaskerHealthError
    ├── ConfigurationError           a setting that cannot be had            start: exit 2
    ├── PermissionFormatError        a text that is no ``resource:action``
    ├── UnknownPermissionError       a pair that Tasker does not have
    ├── CheckSelectionError          checks that cannot be had together      400
    ├── AccessError                  who may not, and why
    │   ├── UnauthenticatedError     no credentials where they are required  401
    │   ├── InvalidCredentialsError  credentials that are not good           401
    │   ├── ForbiddenError           known, and not permitted                403
    │   └── AccessUnavailableError   nobody could tell who is asking         503
    ├── DeadlineError                no answer in the time that was given
    ├── SourceError                  Tasker's database did not answer        503, or stale
    ├── CacheError                   the shared cache did not answer         a miss
    ├── DeliveryError                a receiver did not take an alert        told again
    └── StatusUnavailableError       no report to be had, not even an old    503

The HTTP codes are told in one table, in ``entrypoints/http.py``; they stand here only to
help the reader. What a vendor wrote travels in ``__cause__``, for the log.
"""

from __future__ import annotations

import attrs

from tasker_health.domain.reasons import Reason

__all__ = [
    "AccessError",
    "AccessUnavailableError",
    "CacheError",
    "CheckSelectionError",
    "ConfigurationError",
    "DeadlineError",
    "DeliveryError",
    "ForbiddenError",
    "InvalidCredentialsError",
    "PermissionFormatError",
    "SourceError",
    "StatusUnavailableError",
    "TaskerHealthError",
    "UnauthenticatedError",
    "UnknownPermissionError",
]


class TaskerHealthError(Exception):
    """The root of the tree."""


@attrs.frozen
class ConfigurationError(TaskerHealthError):
    """A setting that cannot be had.

    Args:
        setting: its name, as the user writes it.
        given: what was given, or ``""`` where it must not be shown (secrets never are).
        allowed: what would be accepted, as a phrase.
        source: where the value came from, as a phrase; ``""`` when the code gave it.
    """

    setting: str
    given: str
    allowed: str
    source: str = ""

    def __str__(self) -> str:
        """One line: the setting, what was given and where, and what is allowed."""
        given = f" is {self.given}" if self.given else ""
        source = f" (from {self.source})" if self.source else ""
        return f"{self.setting}{given}{source}: allowed is {self.allowed}"


@attrs.frozen
class PermissionFormatError(TaskerHealthError):
    """A text that is no permission."""

    given: str

    def __str__(self) -> str:
        """Name what was given and the form that is allowed."""
        return f"{self.given!r} is no permission: allowed is 'resource:action'"


@attrs.frozen
class UnknownPermissionError(TaskerHealthError):
    """A well-formed permission that Tasker does not have."""

    given: str

    def __str__(self) -> str:
        """Name what was given."""
        return f"{self.given!r} is none of Tasker's permissions"


@attrs.frozen
class CheckSelectionError(TaskerHealthError):
    """A selection of checks that cannot be had.

    Args:
        given: the name that no check has, or all those after which none is left.
        names: what the checks are called.
    """

    given: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        """Name what was given and what is allowed."""
        return f"{self.given!r} cannot be selected: allowed is {self.allowed}"

    @property
    def allowed(self) -> str:
        """What would be accepted, as a phrase."""
        return f"{', '.join(self.names)}, but not all of them"


class AccessError(TaskerHealthError):
    """The caller does not get what they asked for."""


class UnauthenticatedError(AccessError):
    """Credentials are required and none were given."""


class InvalidCredentialsError(AccessError):
    """Credentials were given and they are not good."""


class ForbiddenError(AccessError):
    """The caller lacks the permission."""


class AccessUnavailableError(AccessError):
    """The authenticator failed or hung, so nobody can tell who is asking."""


class DeadlineError(TaskerHealthError):
    """No answer came in the time that was given."""


@attrs.frozen
class SourceError(TaskerHealthError):
    """Tasker's database did not give the facts; the vendor's error is the cause."""

    reason: Reason

    def __str__(self) -> str:
        """Give the public reason."""
        return self.reason.value


@attrs.frozen
class CacheError(TaskerHealthError):
    """The shared cache did not answer; the vendor's error is the cause."""

    reason: Reason

    def __str__(self) -> str:
        """Give the public reason."""
        return self.reason.value


@attrs.frozen
class DeliveryError(TaskerHealthError):
    """A receiver did not take what it was sent.

    Args:
        receiver: what it is called.
        told: what came back, as a phrase; nothing secret.
        again_in_seconds: when it makes sense to send the same again, ≥ 0; ``inf`` for never.
    """

    receiver: str
    told: str
    again_in_seconds: float = 0.0

    def __str__(self) -> str:
        """Name the receiver and what came back."""
        return f"{self.receiver} {self.told}"


@attrs.frozen
class StatusUnavailableError(TaskerHealthError):
    """There is no report, not even a stale one.

    Args:
        reason: why the measurement did not come.
        retry_after_seconds: when asking again makes sense, ≥ 1.
    """

    reason: Reason
    retry_after_seconds: int

    def __str__(self) -> str:
        """Give the public reason."""
        return self.reason.value

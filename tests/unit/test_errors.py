"""Errors: one tree, messages that help, and a way across processes."""

from __future__ import annotations

import pickle

import pytest

from tasker_health.domain import errors
from tasker_health.domain.errors import (
    CacheError,
    CheckSelectionError,
    ConfigurationError,
    SourceError,
    StatusUnavailableError,
    TaskerHealthError,
)
from tasker_health.domain.reasons import Reason

EXAMPLES = [
    ConfigurationError("CACHE_URL", "'x'", "redis://", "the environment"),
    CheckSelectionError("x", ("database", "cache")),
    SourceError(Reason.REFUSED),
    CacheError(Reason.TIMEOUT),
    StatusUnavailableError(Reason.TIMEOUT, 2),
    errors.UnauthenticatedError(),
    errors.DeadlineError(),
]


def test_every_error_is_in_the_tree() -> None:
    """One except clause catches all that this package raises."""
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), TaskerHealthError)


def test_the_tree_that_is_drawn_is_the_tree_that_is() -> None:
    """The module's drawing names every error, in its place."""
    drawn = errors.__doc__ or ""
    for name in errors.__all__:
        assert name in drawn
    for name in ("UnauthenticatedError", "InvalidCredentialsError", "ForbiddenError"):
        assert issubclass(getattr(errors, name), errors.AccessError)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling(error: TaskerHealthError) -> None:
    """An error from another process says the same."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes
    assert type(copy) is type(error)
    assert str(copy) == str(error)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            ConfigurationError("X", "'y'", "a z", "the file"),
            "X is 'y' (from the file): allowed is a z",
        ),
        (ConfigurationError("X", "", "a z"), "X: allowed is a z"),
        (errors.PermissionFormatError("a"), "'a' is no permission: allowed is 'resource:action'"),
        (errors.DeliveryError("pager", "answered 503"), "pager answered 503"),
        (errors.UnknownPermissionError("a:b"), "'a:b' is none of Tasker's permissions"),
        (
            CheckSelectionError("x", ("a", "b")),
            "'x' cannot be selected: allowed is a, b, but not all of them",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_was_wrong_is_told_in_a_line(error: TaskerHealthError, told: str) -> None:
    """The line names what was given, where that is known, and what is allowed."""
    assert str(error) == told


def test_what_was_not_delivered_may_be_sent_again_at_once() -> None:
    """A receiver that wants a pause has to say so."""
    assert errors.DeliveryError("pager", "answered 503").again_in_seconds == 0


def test_a_reason_is_all_that_a_source_error_says() -> None:
    """The public text is one word of the closed set; the vendor's is the cause."""
    assert str(SourceError(Reason.TLS)) == "tls"
    assert str(CacheError(Reason.AUTH)) == "auth"
    assert str(StatusUnavailableError(Reason.REFUSED, 1)) == "refused"

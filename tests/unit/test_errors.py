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


def test_a_reason_is_all_that_a_source_error_says() -> None:
    """The public text is one word of the closed set; the vendor's is the cause."""
    assert str(SourceError(Reason.TLS)) == "tls"
    assert str(CacheError(Reason.AUTH)) == "auth"
    assert str(StatusUnavailableError(Reason.REFUSED, 1)) == "refused"

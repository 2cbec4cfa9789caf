"""Settings that are read well and cannot be had, told as the user wrote them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasker_health.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasker_health.entrypoints.options import Configuration

__all__ = ["as_written", "refused"]


def refused(
    configuration: Configuration, setting: str, given: str, allowed: str
) -> ConfigurationError:
    """Make the error that names a setting as it was written, and where it stood."""
    origin = configuration.origin(setting)
    return ConfigurationError(origin.written, given, allowed, origin.place)


@contextmanager
def as_written(configuration: Configuration) -> Iterator[None]:
    """Have an adapter's refusal name the setting as the user wrote it."""
    try:
        yield
    except ConfigurationError as error:
        problem = refused(configuration, error.setting.lower(), error.given, error.allowed)
    else:
        return
    raise problem  # apart from the adapter's, whose traceback may hold the URL

"""Metrics as bytes, written as seldom as they may be.

Writing takes a few milliseconds, which a stranger could ask for again and again where
metrics are open to all. So the bytes are given once more within a second in which nothing
else became known and nothing was counted, by any process: no count goes back for it.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

from tasker_health.formats import openmetrics

if TYPE_CHECKING:
    from tasker_health.domain.observing import Observation

__all__ = ["WrittenMetrics", "version"]


@cache
def version(package: str = "tasker-health") -> str:
    """Tell which release is installed; a copy that is not installed does not know."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


class WrittenMetrics:
    """The last text in each form, and what it was written from."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[tuple[object, ...], bytes]] = {}

    def of(self, observation: Observation, form: str) -> bytes:
        """Give the text.

        Args:
            observation: what is known.
            form: one of ``openmetrics.FORMS``.
        """
        known = (
            int(observation.at.timestamp()),
            observation.status,
            observation.readiness,
            observation.counts,
        )
        before, written = self._last.get(form, ((), b""))
        if before != known:
            written = openmetrics.metrics(observation, form, version=version())
            self._last[form] = (known, written)
        return written

"""A status cache that looks right and is not: the contract finds what it forgets.

It holds what it is given and type-checks against the port. But it forgets what
``keep_seconds`` means, so that a report would be served for ever, and that nothing may
have been put yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasker_health.domain.ports import StatusCache
    from tasker_health.domain.status import StatusReport

__all__ = ["ForgetfulStatusCache"]


class ForgetfulStatusCache:
    """Keeps the last report."""

    def __init__(self) -> None:
        self._kept: dict[str, StatusReport] = {}

    async def get(self) -> StatusReport | None:
        """Give the report back."""
        return self._kept["report"]

    async def put(self, report: StatusReport, keep_seconds: float) -> None:
        """Keep the report."""
        del keep_seconds
        self._kept["report"] = report


if TYPE_CHECKING:
    _: type[StatusCache] = ForgetfulStatusCache

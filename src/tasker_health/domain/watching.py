"""Telling those who watch, again and again, apart from all requests.

Each watcher has a task of its own, so that a slow one keeps no other waiting; each look is
bounded by the watcher's own interval. One that fails is written down once, told again at
the next interval, and costs the endpoints nothing.

Source: guide, *Monitoring Integration*.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Final

from tasker_health.domain.deadline import end, within
from tasker_health.domain.errors import DeadlineError
from tasker_health.domain.events import Changed
from tasker_health.domain.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tasker_health.domain.observing import Observation
    from tasker_health.domain.ports import Journal, Watcher

__all__ = ["Watching"]


class Watching:
    """Shows every watcher what is known, each at its own pace.

    Args:
        watchers: who is told.
        observe: finds out what is known.
        journal: where a watcher that fails is written down.
    """

    def __init__(
        self,
        watchers: Sequence[Watcher],
        observe: Callable[[], Awaitable[Observation]],
        *,
        journal: Journal,
    ) -> None:
        self._watchers: Final = tuple(watchers)
        self._observe: Final = observe
        self._journal = journal
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, unless it has begun. The first look is at once."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [
                loop.create_task(self._keep_telling(watcher), context=Context())
                for watcher in self._watchers
            ]

    async def aclose(self) -> None:
        """Stop telling; a look that is under way is ended."""
        await end(self._tasks)

    async def _keep_telling(self, watcher: Watcher) -> None:
        failure: Reason | None = None
        while True:
            reason, detail = await self._tell(watcher)
            if reason is not failure:
                self._note(watcher.name, failure, reason, detail)
            failure = reason
            await asyncio.sleep(watcher.interval_seconds)

    async def _tell(self, watcher: Watcher) -> tuple[Reason | None, str]:
        try:
            observation = await self._observe()
            await within(watcher.interval_seconds, watcher.look(observation))
        except Exception as error:  # noqa: BLE001  a watcher's trouble is its own
            told = error.__cause__ or error
            late = isinstance(error, DeadlineError | TimeoutError)
            return Reason.TIMEOUT if late else Reason.FAILED, f"{type(told).__name__}: {told}"
        return None, ""

    def _note(self, name: str, before: Reason | None, after: Reason | None, detail: str) -> None:
        self._journal.record(
            Changed(
                subject=f"watcher:{name}",
                before="failing" if before else "working",
                after="failing" if after else "working",
                reason=after,
                detail=detail,
            )
        )

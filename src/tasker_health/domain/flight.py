"""One flight for many callers: a computation that runs once, however many wait for it.

The flight belongs to nobody who waits: a caller who gives up or is cancelled leaves it
flying. It runs in an empty context, so nothing of the caller who happened to start it
(a trace, a user) is seen by those who share it.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Generic, TypeVar

from tasker_health.domain.deadline import end
from tasker_health.domain.errors import DeadlineError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["Flight"]

T = TypeVar("T")


class Flight(Generic[T]):
    """At most one computation at a time; everyone who joins shares its end."""

    def __init__(self) -> None:
        self._task: asyncio.Task[T] | None = None

    @property
    def flying(self) -> bool:
        """Whether a computation is under way."""
        return self._task is not None and not self._task.done()

    def begin(self, start: Callable[[], Coroutine[object, object, T]]) -> asyncio.Task[T]:
        """Start the computation, or find the one under way. Waits for nothing."""
        task = self._task
        if task is None or task.done():
            task = asyncio.get_running_loop().create_task(start(), context=Context())
            task.add_done_callback(_retrieve)
            self._task = task
        return task

    async def join(
        self, start: Callable[[], Coroutine[object, object, T]], *, patience_seconds: float
    ) -> T:
        """Share the computation's end.

        Args:
            start: what to compute, when nothing is under way.
            patience_seconds: how long this caller waits, ≥ 0; the flight is not bounded by it.

        Raises:
            DeadlineError: the flight was still under way when patience ended.
            Exception: whatever the computation raised, the same for all.
        """
        task = self.begin(start)
        await asyncio.wait({task}, timeout=patience_seconds)
        if not task.done() or task.cancelled():
            raise DeadlineError
        return task.result()

    async def aclose(self) -> None:
        """End the computation under way, if any."""
        if self._task is not None:
            await end({self._task})


def _retrieve(task: asyncio.Task[T]) -> None:
    """Look at the end, so that a failure nobody waited for is not reported as forgotten."""
    if not task.cancelled():
        task.exception()

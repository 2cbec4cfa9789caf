"""Deadlines that hold: an answer in time, or none, whatever the work does about it.

``asyncio.timeout`` waits for the work to end after cancelling it, and a database driver
may take seconds over that, or for ever. Here the work is a task of its own that is
cancelled and left behind; a second cancellation a moment later aborts its clean-up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from tasker_health.domain.errors import DeadlineError

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine

__all__ = ["abandon", "end", "within"]

T = TypeVar("T")

_SECOND_CANCEL_SECONDS: Final = 0.25
_END_SECONDS: Final = 1.0


async def within(seconds: float, work: Coroutine[object, object, T]) -> T:
    """Give the work's result if it comes in time.

    Args:
        seconds: how long to wait, ≥ 0.
        work: what to run.

    Raises:
        DeadlineError: it did not come in time, or the work cancelled itself.
        Exception: what the work raised.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        abandon(task)
    if not task.done() or task.cancelled():
        raise DeadlineError
    return task.result()


def abandon(task: asyncio.Task[T]) -> None:
    """Cancel a task that is under way, twice if need be, and let nobody wait for it."""
    if task.done():
        return
    task.cancel()
    asyncio.get_running_loop().call_later(_SECOND_CANCEL_SECONDS, task.cancel)
    task.add_done_callback(_retrieve)


async def end(tasks: Collection[asyncio.Task[T]]) -> None:
    """Cancel tasks and wait until they are gone, but no longer than a second."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_END_SECONDS)


def _retrieve(task: asyncio.Task[T]) -> None:
    """Look at the end, so that a failure nobody waited for is not reported as forgotten."""
    if not task.cancelled():
        task.exception()

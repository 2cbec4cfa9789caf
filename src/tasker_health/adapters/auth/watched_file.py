"""A file that a setting names: read again when it changes, and trusted only while it is good.

A look at the file opens it and reads it only if it differs from what was read last. Looks
happen in a thread, one at a time, at most one a second, so that neither a slow disk nor
many callers are noticed by the event loop. While the file cannot be read or understood
nobody gets anything from it; the next good look heals that.
"""

from __future__ import annotations

import asyncio
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import attrs

from tasker_health.domain.errors import AccessUnavailableError
from tasker_health.domain.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasker_health.domain.ports import Clock

__all__ = ["WatchedFile"]

T = TypeVar("T")

_LOOK_SECONDS: Final = 1.0
_SETTLED_SECONDS: Final = 2.0
_LARGEST_BYTES: Final = 16 * 1024 * 1024


@attrs.frozen
class _Look(Generic[T]):
    """What one look found.

    Args:
        mark: what tells this version of the file from another; None to read it again.
        value: what was made of it; None when it was not good.
        error: why it was not good.
    """

    mark: tuple[int, ...] | None = None
    value: T | None = attrs.field(default=None, repr=False)
    error: Exception | None = attrs.field(default=None, repr=False)


class WatchedFile(Generic[T]):
    """What ``parse`` makes of the file's bytes, as of a second ago at most.

    Args:
        path: which file; symbolic links are followed anew at each look.
        parse: turns its bytes into a value, never None; ValueError when it cannot. It runs
            in a thread.
        clock: tells when to look again.
    """

    def __init__(self, path: str | Path, parse: Callable[[bytes], T], clock: Clock) -> None:
        self._path: Final = Path(path)
        self._parse: Final = parse
        self._clock: Final = clock
        self._last: _Look[T] = _Look()
        self._looked_at: float | None = None
        self._looking: asyncio.Future[_Look[T]] | None = None

    def load(self) -> T:
        """Look now, in this thread: for the start, before there is anybody to serve.

        Raises:
            OSError: the file cannot be read.
            ValueError: its content is not good; the text is ``parse``'s own.
        """
        self._take(self._look(_Look()))
        if self._last.error is not None:
            raise self._last.error
        return self._value()

    async def current(self) -> T:
        """Give the value, after a look if the last one is older than a second.

        Raises:
            AccessUnavailableError: the file cannot be read or is not good.
        """
        if self._due:
            await asyncio.shield(self._begin())
        return self._value()

    @property
    def problem(self) -> Reason | None:
        """Tell what the last look found wrong, without waiting for anything.

        Asking begins a new look in the background when the last is older than a second, so
        that a file is noticed and heals though nobody brings credentials.
        """
        if self._due:
            with suppress(RuntimeError):  # no event loop runs: what is known has to do
                self._begin()
        return None if self._last.error is None else Reason.UNREADABLE

    @property
    def _due(self) -> bool:
        now = self._clock.monotonic()
        return self._looked_at is None or now - self._looked_at >= _LOOK_SECONDS

    def _value(self) -> T:
        if self._last.value is None:
            raise AccessUnavailableError(self._told(self._last.error)) from self._last.error
        return self._last.value

    def _told(self, error: Exception | None) -> str:
        """Say for the log what is wrong, in words that hold nothing of the file."""
        own = isinstance(error, (OSError, ValueError))
        return f"{self._path}: {error if own else type(error).__name__}"

    def _begin(self) -> asyncio.Future[_Look[T]]:
        """Start a look, or find the one under way. It goes on whoever is cancelled."""
        loop = asyncio.get_running_loop()
        looking = self._looking
        if looking is None or looking.done() or looking.get_loop() is not loop:
            looking = loop.run_in_executor(None, self._look, self._last)
            looking.add_done_callback(self._ended)
            self._looking = looking
        return looking

    def _ended(self, looking: asyncio.Future[_Look[T]]) -> None:
        if not looking.cancelled():
            self._take(looking.result())

    def _take(self, look: _Look[T]) -> None:
        self._last, self._looked_at = look, self._clock.monotonic()

    def _look(self, last: _Look[T]) -> _Look[T]:
        """Read and parse the file unless it is still as it was. Runs in a thread."""
        try:
            mark, data = self._read(last.mark)
            return last if data is None else _Look(mark, self._parse(data))
        except Exception as error:  # noqa: BLE001  however it is bad, nobody gets anything from it
            return _Look(error=error)

    def _read(self, known: tuple[int, ...] | None) -> tuple[tuple[int, ...] | None, bytes | None]:
        """Read the file; no bytes where it is known already.

        Raises:
            OSError: it cannot be read, or is none that could be.
        """
        # Without O_NONBLOCK, opening a FIFO that nobody writes to would wait for ever.
        opened = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(opened, "rb") as file:
            found = os.fstat(opened)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(None, "not a regular file")
            mark = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if mark == known:
                return mark, None
            data = file.read(_LARGEST_BYTES + 1)
        if len(data) > _LARGEST_BYTES:
            raise OSError(None, "larger than 16 MiB")
        # Times on a disk are coarse: a file may change twice and bear one mark. A mark is
        # believed only once it is older than that.
        age = self._clock.now().timestamp() - found.st_ctime
        return (mark if age > _SETTLED_SECONDS else None), data

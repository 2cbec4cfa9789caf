"""A status cache in a directory: for processes that share a disk and nothing else.

It is written as a stranger to the package would write one: against the ``StatusCache``
port and the published codec. ``test_file_status_cache.py`` certifies it.

One file holds one report. Its first line says until when, on the wall clock, because that
is the clock which processes share; the rest are the codec's bytes.
"""

from __future__ import annotations

import asyncio
import errno
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from tasker_health import CacheError
from tasker_health.domain.reasons import Reason
from tasker_health.formats.snapshot import LARGEST_BYTES, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TypeVar

    from tasker_health.domain.ports import Clock, StatusCache
    from tasker_health.domain.status import StatusReport

    T = TypeVar("T")

__all__ = ["FileStatusCache"]

_REASONS: Final = {errno.ENOSPC: Reason.DISK_FULL, errno.EACCES: Reason.FORBIDDEN}
_LONGEST_LINE: Final = 64


class FileStatusCache:
    """Keeps one report in one file of a directory.

    Args:
        directory: where; it must exist, and every process that shares the cache may write.
        clock: its wall clock tells when a report has expired.
    """

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._file = directory / "tasker_health.status"
        self._clock = clock
        # One thread, so that the disk never blocks the loop and a put that was given up
        # cannot overtake the one after it.
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="status-cache")

    async def get(self) -> StatusReport | None:
        """Give the report back; None when there is none, or none that can be read."""
        return await self._on_disk(self._read)

    async def put(self, report: StatusReport, keep_seconds: float) -> None:
        """Keep the report in place of any other."""
        until = self._clock.now().timestamp() + keep_seconds
        try:
            data = f"{until!r}\n".encode() + encode(report)
        except ValueError as error:
            raise CacheError(Reason.FAILED) from error
        await self._on_disk(lambda: self._write(data))

    def close(self) -> None:
        """Let the thread end."""
        self._disk.shutdown(wait=True, cancel_futures=True)

    async def _on_disk(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._disk, work)
        except OSError as error:
            raise CacheError(_REASONS.get(error.errno or 0, Reason.FAILED)) from error

    def _read(self) -> StatusReport | None:
        try:
            with self._file.open("rb") as file:
                line = file.readline(_LONGEST_LINE)
                data = file.read(LARGEST_BYTES + 1)
        except FileNotFoundError:
            return None
        try:
            if self._clock.now().timestamp() < float(line):
                return decode(data)
        except ValueError:
            pass  # no number, or no report: as good as nothing, and removed like it
        self._file.unlink(missing_ok=True)
        return None

    def _write(self, data: bytes) -> None:
        # Readers see the old file or the new one: a rename replaces in one step.
        aside = self._file.with_suffix(f".{os.getpid()}.{id(self):x}")
        try:
            aside.write_bytes(data)
            aside.replace(self._file)
        finally:
            aside.unlink(missing_ok=True)


if TYPE_CHECKING:
    _: type[StatusCache] = FileStatusCache

"""Certifies the cache beside it: one subclass of the published contract, four fixtures.

Run it with ``python -m pytest examples``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from file_status_cache import (  # type: ignore[import-not-found]  # it stands beside, in no package
    FileStatusCache,
)

from tasker_health.testing.contracts import StoredStatusCacheContract
from tasker_health.testing.doubles import ManualClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from tasker_health.domain.ports import StatusCache


class TestFileStatusCache(StoredStatusCacheContract):
    """The cache in a directory keeps every promise of the port."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """Hold time still."""
        return ManualClock()

    @pytest.fixture
    def cache(self, tmp_path: Path, clock: ManualClock) -> Iterator[StatusCache]:
        """Open the cache of an empty directory."""
        cache = FileStatusCache(tmp_path, clock)
        yield cache
        cache.close()

    @pytest.fixture
    def other_cache(
        self, cache: StatusCache, tmp_path: Path, clock: ManualClock
    ) -> Iterator[StatusCache]:
        """Open the same directory once more, as another process would."""
        del cache
        other = FileStatusCache(tmp_path, clock)
        yield other
        other.close()

    @pytest.fixture
    def pass_time(self, clock: ManualClock) -> Callable[[float], Awaitable[None]]:
        """Move the clock by exactly so much."""

        async def advance(seconds: float) -> None:
            clock.advance(seconds)

        return advance

    @pytest.fixture
    def plant(self, tmp_path: Path) -> Callable[[bytes], Awaitable[None]]:
        """Write a file whose time is not over, whatever is in it."""

        async def write(data: bytes) -> None:
            (tmp_path / "tasker_health.status").write_bytes(b"1e12\n" + data)

        return write

    @pytest.fixture
    def stored(self, tmp_path: Path) -> Callable[[], Awaitable[bytes | None]]:
        """Read what follows the first line."""

        async def read() -> bytes | None:
            file = tmp_path / "tasker_health.status"
            return file.read_bytes().partition(b"\n")[2] if file.exists() else None

        return read

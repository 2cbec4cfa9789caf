"""Uses of a shared cache that fail, as every cache's tests look at them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tasker_health.domain.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tasker_health.domain.reasons import Reason

__all__ = ["fails", "until"]


async def fails(use: Awaitable[object], *, within_seconds: float) -> Reason:
    """Use the cache, which fails in time, and tell why."""
    began = time.monotonic()
    with pytest.raises(CacheError) as raised:
        await use
    assert time.monotonic() - began < within_seconds
    assert raised.value.__cause__ is not None
    return raised.value.reason


async def until(holds: Callable[[], Awaitable[object]], seconds: float = 2.0) -> None:
    """Wait until something holds, and no longer than it may take."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if await holds():
                return
        except CacheError:
            pass
        assert time.monotonic() < deadline, "it does not come to hold in time"
        await asyncio.sleep(0.01)

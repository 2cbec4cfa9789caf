"""One use of a client: tried once, bounded, and never at the price of connecting.

Opening a connection takes several round trips, TLS more, and finding a master among its
sentinels more again; so it goes on in the background, under a bound of its own, when the
caller's time is over, and no more than one attempt is under way.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions as vendor

from tasker_health.adapters.redis.failures import ELSEWHERE, reason_of
from tasker_health.domain.errors import CacheError, DeadlineError
from tasker_health.domain.flight import Flight

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

__all__ = ["CONNECT_SECONDS", "TIMEOUT_SECONDS", "BoundedUse"]

TIMEOUT_SECONDS: Final = 0.025
CONNECT_SECONDS: Final = 1.0


class BoundedUse:
    """Bounds the uses of an opened client; several may stand before the same one.

    Args:
        client: whoever opened it closes it, after :meth:`aclose`. Its own time-outs and
            retries apply within ``timeout_seconds``.
        timeout_seconds: what one use costs at most, > 0.
    """

    def __init__(self, client: Redis, timeout_seconds: float) -> None:
        self._client: Any = client
        self._timeout_seconds: Final = timeout_seconds
        self._reached = False
        self._reaching: Final = Flight[None]()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Any]:
        """Give the client for one use.

        Raises:
            CacheError: Redis did not answer in time, or would not.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._reach()
                yield self._client
        except vendor.ResponseError as error:
            if isinstance(error, ELSEWHERE):
                self._reached = False
            raise CacheError(reason_of(error)) from error
        except (vendor.RedisError, OSError, UnicodeError, DeadlineError) as error:
            self._reached = False
            raise CacheError(reason_of(error)) from error
        except asyncio.CancelledError:
            self._reached = False
            raise

    async def aclose(self) -> None:
        """End what is under way. The client stays open: it is its opener's."""
        await self._reaching.aclose()

    async def _reach(self) -> None:
        """Wait until there is an open connection; opening it goes on when a caller gives up."""
        if not self._reached:
            await self._reaching.join(self._ping, patience_seconds=CONNECT_SECONDS)

    async def _ping(self) -> None:
        """Leave an open connection in the pool."""
        async with asyncio.timeout(CONNECT_SECONDS):
            await self._client.ping()
        self._reached = True

"""Opening a cache by its URL.

redis-py's defaults (ten retries, 5 s each, 100 connections) suit a store that must answer.
A cache must not: here a command is tried once, under one bound for all that it takes; a
connection whose command was given up is closed, so that nobody reads its late reply.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from redis import exceptions as vendor
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from tasker_health.adapters.redis.cache import CONNECT_SECONDS, TIMEOUT_SECONDS, RedisStatusCache
from tasker_health.adapters.redis.url import connection_arguments

__all__ = ["open_redis_cache"]

_CONNECTIONS: Final = 8


class _OwnRedisStatusCache(RedisStatusCache):
    """A cache whose client was opened here, and so is closed here."""

    async def aclose(self) -> None:
        """End what is under way and close the client, within a second each."""
        await super().aclose()
        with suppress(vendor.RedisError, OSError):
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._client.aclose()


def open_redis_cache(
    url: str,
    *,
    key: str,
    source: str = "",
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> RedisStatusCache:
    """Make a cache of a URL. Connects when it is first used; ``aclose()`` closes all of it.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, as redis-py's users write it.
        key: which Tasker it is.
        source: where the URL came from, for the error.
        timeout_seconds: what one use costs at most, > 0.

    Raises:
        ConfigurationError: the URL is none of these; its secrets are not repeated.
    """
    pool = BlockingConnectionPool(
        max_connections=_CONNECTIONS,
        timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        # Every command is bounded where it is given. redis-py's own bound is made of
        # asyncio.wait_for, which swallows a cancellation now and then (Python 3.11).
        socket_timeout=None,
        socket_connect_timeout=CONNECT_SECONDS,
        # The rest of redis-py's greeting costs round trips and tells us nothing.
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **{"protocol": 2, **connection_arguments(url, source)},
    )
    return _OwnRedisStatusCache(Redis.from_pool(pool), key=key, timeout_seconds=timeout_seconds)

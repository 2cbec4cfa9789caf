"""Opening a client, and a cache, by a URL.

redis-py's defaults (ten retries, 5 s each, 100 connections) suit a store that must answer.
A cache must not: here a command is tried once, under one bound for all that it takes; a
connection whose command was given up is closed, so that nobody reads its late reply.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

import attrs
from redis import exceptions as vendor
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from tasker_health.adapters.redis.cache import NAMESPACE, RedisStatusCache
from tasker_health.adapters.redis.seeking import (
    CLUSTER_NAMESPACE,
    SeekingPool,
    cluster_node,
    sentinel_master,
)
from tasker_health.adapters.redis.url import RedisTarget, parse_redis_url
from tasker_health.adapters.redis.using import CONNECT_SECONDS, TIMEOUT_SECONDS

__all__ = ["OpenedRedis", "open_redis", "open_redis_cache"]

_CONNECTIONS: Final = 8


@attrs.frozen(kw_only=True)
class OpenedRedis:
    """A client that was opened here; any number of adapters may stand before it.

    Args:
        client: an ordinary one, wherever the server is. Nothing of it is connected yet.
        namespace: what every key must begin with. In a cluster it keeps all keys in one
            slot, so that the client need not look for each, and a script may touch several.
    """

    client: Redis
    namespace: str

    async def aclose(self) -> None:
        """Close the client, within a second; after everybody who stands before it."""
        with suppress(vendor.RedisError, OSError):
            async with asyncio.timeout(CONNECT_SECONDS):
                await self.client.aclose()


class _OwnRedisStatusCache(RedisStatusCache):
    """A cache whose client was opened here, and so is closed here."""

    def __init__(self, opened: OpenedRedis, *, key: str, timeout_seconds: float) -> None:
        super().__init__(
            opened.client, key=key, namespace=opened.namespace, timeout_seconds=timeout_seconds
        )
        self._opened: Final = opened

    async def aclose(self) -> None:
        """End what is under way and close the client, within a second each."""
        await super().aclose()
        await self._opened.aclose()


def open_redis(
    url: str, *, source: str = "", timeout_seconds: float = TIMEOUT_SECONDS
) -> OpenedRedis:
    """Make a client of a URL. It connects when it is first used.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, as redis-py's users write it;
            ``redis+sentinel://`` and ``redis+cluster://`` with several hosts, and
            ``rediss+…`` for TLS with all of them.
        source: where the URL came from, for the error.
        timeout_seconds: how long to wait for a connection of the pool, > 0.

    Raises:
        ConfigurationError: the URL is none of these; its secrets are not repeated.
    """
    target = parse_redis_url(url, source=source)
    arguments = {
        "max_connections": _CONNECTIONS,
        "timeout": timeout_seconds,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        **_frugal(target.arguments.reveal()),
    }
    namespace = CLUSTER_NAMESPACE if target.kind == "cluster" else NAMESPACE
    return OpenedRedis(client=Redis.from_pool(_pool(target, arguments)), namespace=namespace)


def open_redis_cache(
    url: str,
    *,
    key: str,
    source: str = "",
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> RedisStatusCache:
    """Make a cache of a URL. Connects when it is first used; ``aclose()`` closes all of it.

    Args:
        url: as :func:`open_redis` takes it.
        key: which Tasker it is.
        source: where the URL came from, for the error.
        timeout_seconds: what one use costs at most, > 0.

    Raises:
        ConfigurationError: the URL is none of these; its secrets are not repeated.
    """
    opened = open_redis(url, source=source, timeout_seconds=timeout_seconds)
    return _OwnRedisStatusCache(opened, key=key, timeout_seconds=timeout_seconds)


def _pool(target: RedisTarget, arguments: dict[str, Any]) -> BlockingConnectionPool:
    if target.kind == "server":
        return BlockingConnectionPool(**arguments)
    asking = _frugal(target.asking.reveal())
    find = (
        sentinel_master(target.seeds, target.master, asking, tls=target.tls)
        if target.kind == "sentinel"
        else cluster_node(target.seeds, asking, tls=target.tls)
    )
    return SeekingPool(find, tls=target.tls, **arguments)


def _frugal(arguments: dict[str, Any]) -> dict[str, Any]:
    """Add how every connection is to be: tried once, and without a long greeting."""
    return {
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        # Every command is bounded where it is given. redis-py's own bound is made of
        # asyncio.wait_for, which swallows a cancellation now and then (Python 3.11).
        "socket_timeout": None,
        "socket_connect_timeout": CONNECT_SECONDS,
        # The rest of redis-py's greeting costs round trips and tells us nothing.
        "driver_info": None,
        **arguments,
    }

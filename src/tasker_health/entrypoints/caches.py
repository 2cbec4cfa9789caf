"""The shared cache that the settings name: its URL's scheme decides which adapter it is.

Each adapter, and its vendor, is imported by those who use it: who shares nothing does without
the client, its memory and its time to import. A vendor that is an extra and not installed is
refused at the start, by the extra's name.

Source: guide, *Cache Configuration* and *Optimization Tips*.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from tasker_health.adapters.memory.cache import InMemoryStatusCache
from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.ports import StatusCache
from tasker_health.entrypoints.refusals import as_written, refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tasker_health.adapters.redis import OpenedRedis  # noqa: TC004  never evaluated
    from tasker_health.domain.ports import Clock
    from tasker_health.entrypoints.options import Configuration

__all__ = ["OpenedCache", "cache_scheme", "cache_secrets", "open_cache"]

_ALLOWED: Final = (
    "memory://, redis://, rediss://, unix://, redis+sentinel://, redis+cluster://, memcached://,"
    " postgresql:// or sqlite://"
)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,31}", re.ASCII)
_EXTRA: Final = "pip install 'tasker-health[memcached]'"
_MEMORY: Final = "memory"


@attrs.frozen(kw_only=True)
class OpenedCache:
    """A cache that was opened here. Nothing of it is connected yet.

    Args:
        cache: where the status is shared.
        aclose: closes all of it, the client too.
        redis: the client that it stands before, where that is Redis: what else is to be
            shared may stand before it as well, and ends before ``aclose``.
    """

    cache: StatusCache
    aclose: Callable[[], Awaitable[None]]
    redis: OpenedRedis | None = None


def open_cache(configuration: Configuration, fingerprint: str, clock: Clock) -> OpenedCache:
    """Open the cache that the settings name.

    Args:
        configuration: all settings.
        fingerprint: which Tasker it is.
        clock: of a cache in memory.

    Raises:
        ConfigurationError: it cannot be had; the setting is named as the user wrote it.
    """
    scheme = cache_scheme(configuration)
    if scheme == _MEMORY:
        return OpenedCache(cache=InMemoryStatusCache(clock), aclose=_nothing)
    with as_written(configuration):
        return _OPENERS[scheme](
            configuration,
            key=fingerprint,
            timeout_seconds=configuration.settings.health.cache_timeout_seconds,
        )


def cache_scheme(configuration: Configuration) -> str:
    """Tell the scheme of the cache's URL.

    Raises:
        ConfigurationError: there is no such cache.
    """
    scheme, written, _ = configuration.cache_url.reveal().lower().partition("://")
    if written and (scheme in _OPENERS or scheme == _MEMORY):
        return scheme
    given = f"of scheme {scheme!r}" if written and _SCHEME.fullmatch(scheme) else ""
    raise refused(configuration, "cache_url", given, _ALLOWED)


def cache_secrets(configuration: Configuration) -> Iterator[str]:
    """Tell what of the cache's URL must not be seen in any line of the log."""
    if cache_scheme(configuration) == _MEMORY:
        return
    url = configuration.cache_url.reveal()
    parts = urlsplit(url)
    yield url
    yield unquote(parts.password or "")
    yield from (text for name, text in parse_qsl(parts.query) if "password" in name)


async def _nothing() -> None:
    """Close what has nothing to be closed."""


def _redis(configuration: Configuration, *, key: str, timeout_seconds: float) -> OpenedCache:
    from tasker_health.adapters.redis import RedisStatusCache, open_redis  # noqa: PLC0415

    opened = open_redis(configuration.cache_url.reveal(), timeout_seconds=timeout_seconds)
    cache = RedisStatusCache(
        opened.client, key=key, namespace=opened.namespace, timeout_seconds=timeout_seconds
    )

    async def aclose() -> None:
        await cache.aclose()
        await opened.aclose()

    return OpenedCache(cache=cache, aclose=aclose, redis=opened)


def _memcached(configuration: Configuration, **given: Any) -> OpenedCache:
    try:
        from tasker_health.adapters.memcached import open_memcached_cache  # noqa: PLC0415
    except ModuleNotFoundError as error:
        allowed = f"{_ALLOWED}; for memcached:// an extra is to be installed: {_EXTRA}"
        raise ConfigurationError("CACHE_URL", "of scheme 'memcached'", allowed) from error
    cache = open_memcached_cache(configuration.cache_url.reveal(), **given)
    return OpenedCache(cache=cache, aclose=cache.aclose)


def _sql(configuration: Configuration, **given: Any) -> OpenedCache:
    from tasker_health.adapters.sql.cache_opening import open_sql_cache  # noqa: PLC0415

    cache = open_sql_cache(configuration.cache_url.reveal(), **given)
    return OpenedCache(cache=cache, aclose=cache.aclose)


_REDIS: Final = (
    *("redis", "rediss", "unix"),
    *("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"),
)
_SQL: Final = (
    *("postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg"),
    *("sqlite", "sqlite3", "sqlite+aiosqlite"),
)
_OPENERS: Final[Mapping[str, Callable[..., OpenedCache]]] = MappingProxyType(
    {**dict.fromkeys(_REDIS, _redis), "memcached": _memcached, **dict.fromkeys(_SQL, _sql)}
)

"""Opening a cache by its URL, which is read strictly and never repeated."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote, urlsplit

from tasker_health.adapters.memcached.cache import TIMEOUT_SECONDS, MemcachedStatusCache
from tasker_health.adapters.memcached.node import Node
from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.secret import Secret

__all__ = ["open_memcached_cache"]

_FORMS: Final = (
    "memcached://[user:password@]host[:port],… with special characters percent-encoded, and"
    " no parameters"
)
_HOST: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]\s]+))(?::(?P<port>\d{1,5}))?", re.ASCII
)
_PORT: Final = 11_211
_PORTS: Final = range(1, 65_536)


class _OwnMemcachedStatusCache(MemcachedStatusCache):
    """A cache whose nodes were made here, and so are closed here."""

    async def aclose(self) -> None:
        """End what is under way and close every client."""
        for node in self._nodes:
            await node.aclose()


def open_memcached_cache(
    url: str, *, key: str, source: str = "", timeout_seconds: float = TIMEOUT_SECONDS
) -> MemcachedStatusCache:
    """Make a cache of a URL. Connects when it is first used; ``aclose()`` closes all of it.

    Args:
        url: ``memcached://`` with one host or several.
        key: which Tasker it is.
        source: where the URL came from, for the error.
        timeout_seconds: what one use costs at most, > 0.

    Raises:
        ConfigurationError: the URL cannot be read; its secrets are not repeated.
    """
    try:
        nodes = _nodes(url)
    except ValueError:  # its text may hold the password
        nodes = []
    if not nodes:
        raise ConfigurationError("CACHE_URL", "", _FORMS, source)
    return _OwnMemcachedStatusCache(nodes, key=key, timeout_seconds=timeout_seconds)


def _nodes(url: str) -> list[Node]:
    parts = urlsplit(url)
    if parts.scheme != "memcached" or parts.query or parts.fragment or parts.path.strip("/"):
        raise ValueError("parts that there are not")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if bool(user) is not bool(password):
        raise ValueError("half of the credentials")
    secrets = {"user": Secret(user), "password": Secret(password)}
    places = [_place(host) for host in parts.netloc.rpartition("@")[2].split(",")]
    return [Node(host, port, **secrets) for host, port in places]


def _place(written: str) -> tuple[str, int]:
    match = _HOST.fullmatch(written)
    if match is None or int(match["port"] or _PORT) not in _PORTS:
        raise ValueError("a host")
    return unquote(match["v6"] or match["name"]), int(match["port"] or _PORT)

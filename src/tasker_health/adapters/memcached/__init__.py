"""The shared status in Memcached: the extra ``memcached``."""

from __future__ import annotations

from tasker_health.adapters.memcached.cache import MemcachedStatusCache
from tasker_health.adapters.memcached.opening import open_memcached_cache

__all__ = ["MemcachedStatusCache", "open_memcached_cache"]

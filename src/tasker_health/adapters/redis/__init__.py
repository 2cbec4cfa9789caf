"""The shared status in Redis or Valkey."""

from __future__ import annotations

from tasker_health.adapters.redis.cache import RedisStatusCache
from tasker_health.adapters.redis.opening import OpenedRedis, open_redis, open_redis_cache

__all__ = ["OpenedRedis", "RedisStatusCache", "open_redis", "open_redis_cache"]

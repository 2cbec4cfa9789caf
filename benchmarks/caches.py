"""What a warm report costs to get, by where it is shared: Redis, Memcached, a table, memory.

All servers run on loopback, each adapter as its URL opens it. One get of each is made in turn,
round after round, so that whatever else the machine does meets all alike. Beside the adapters
stand the floors: the same key read by the bare vendor's client, and a bare ``SELECT 1``.

The guide says that Redis or Memcached is five times faster than a database cache. The last
lines say what it is here.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import attrs
from redis.asyncio import Redis
from tests.integration.memcached_server import MemcachedServer
from tests.integration.postgres_programs import find_postgres
from tests.integration.postgres_server import OwnPostgresServer
from tests.integration.redis_server import RedisServer

from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.memcached import open_memcached_cache
from tasker_health.adapters.memory.cache import InMemoryStatusCache
from tasker_health.adapters.redis import open_redis_cache
from tasker_health.adapters.sql.cache_opening import open_sql_cache
from tasker_health.testing.reports import report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["CLAIMED", "Cost", "main", "measure"]

CLAIMED: Final = 5.0
ROUNDS: Final = 2000
WARM_UP: Final = 100
_BOUND_SECONDS: Final = 2.0
_KEPT_SECONDS: Final = 600


@attrs.frozen
class Cost:
    """What one get took, in microseconds.

    Args:
        median_us: of all rounds.
        p99_us: likewise.
    """

    median_us: float
    p99_us: float


async def measure() -> dict[str, Cost]:
    """Give the cost of a get from each."""
    async with AsyncExitStack() as stack:
        gets = await _opened(stack)
        taken: dict[str, list[float]] = {name: [] for name in gets}
        for _ in range(WARM_UP + ROUNDS):
            for name, get in gets.items():
                began = time.perf_counter()
                found = await get()
                taken[name].append(time.perf_counter() - began)
                assert found
    return {name: _cost(times[WARM_UP:]) for name, times in taken.items()}


def main() -> None:
    """Print one line a cache, and the guide's claim beside what was found."""
    costs = asyncio.run(measure())
    print(f"get of a warm report, {ROUNDS} interleaved rounds on loopback, microseconds")
    print(f"{'':<22}{'median':>9}{'p99':>9}{'x table':>9}")
    table = costs["table (PostgreSQL)"].median_us
    for name, cost in costs.items():
        print(f"{name:<22}{cost.median_us:>9.0f}{cost.p99_us:>9.0f}{table / cost.median_us:>9.1f}")
    found = " and ".join(
        f"{name} {table / costs[name].median_us:.1f} x" for name in ("Redis", "Memcached")
    )
    print(f"the guide: Redis or Memcached is {CLAIMED:.0f} x faster than a database cache")
    print(f"measured: {found} as fast as a table on PostgreSQL")


async def _opened(stack: AsyncExitStack) -> Mapping[str, Callable[[], Awaitable[object]]]:
    def run(server: Any) -> Any:
        stack.callback(server.close)
        return server

    redis, memcached = run(RedisServer({})), run(MemcachedServer())
    postgres = run(OwnPostgresServer(find_postgres()[0]))
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    url = postgres.create_database()
    given: Any = {"key": "bench", "timeout_seconds": _BOUND_SECONDS}
    caches: dict[str, Any] = {
        "memory": InMemoryStatusCache(SystemClock()),
        "Redis": open_redis_cache(redis.url, **given),
        "Memcached": open_memcached_cache(f"memcached://{memcached.host}", **given),
        "table (PostgreSQL)": open_sql_cache(url, **given),
        "table (SQLite)": open_sql_cache(f"sqlite:///{folder}/cache.db", **given),
    }
    for cache in caches.values():
        await cache.put(report(), _KEPT_SECONDS)
        if hasattr(cache, "aclose"):
            stack.push_async_callback(cache.aclose)
    bare_redis = await stack.enter_async_context(Redis.from_url(redis.url))
    bare_postgres = await asyncpg.connect(url)
    stack.push_async_callback(bare_postgres.close)
    return {
        **{name: cache.get for name, cache in caches.items()},
        "bare Redis GET": lambda: bare_redis.get("tasker_health:status:bench"),
        "bare SELECT 1": lambda: bare_postgres.fetchval("SELECT 1"),
    }


def _cost(times: list[float]) -> Cost:
    cuts = statistics.quantiles(times, n=100)
    return Cost(statistics.median(times) * 1e6, cuts[98] * 1e6)


if __name__ == "__main__":
    main()

"""What docs/caching.md promises is so: the rights are enough, the stores share, and may go."""

from __future__ import annotations

import asyncio
import re
import shlex
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from redis.asyncio import Redis
from tests.integration.memcached_server import MemcachedServer
from tests.integration.probing import name_of
from tests.integration.processes import free_port
from tests.integration.redis_groups import MASTER, Sentinel
from tests.integration.redis_server import RedisServer
from tests.integration.tasker_databases import make_sqlite

from tasker_health.adapters.redis import open_redis_cache
from tasker_health.adapters.sql.cache_opening import open_sql_cache
from tasker_health.domain.checks import CheckStatus
from tasker_health.domain.errors import CacheError
from tasker_health.entrypoints.environment import read_configuration
from tasker_health.entrypoints.server import open_service
from tasker_health.testing.reports import report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.integration.postgres_server import OwnPostgresServer

    from tasker_health.domain.service import HealthService

pytestmark = pytest.mark.anyio

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "caching.md"
REPORT: Final = report()
ROOMY_SECONDS: Final = 5.0

_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shown(language: str) -> list[str]:
    """List the blocks of a language."""
    return [
        found[2].strip() for found in _BLOCK.finditer(DOCUMENT.read_text()) if found[1] == language
    ]


async def set_user(url: str, line: str) -> None:
    """Give a server the user that a line of the document makes."""
    async with Redis.from_url(url) as admin:
        await admin.execute_command(*shlex.split(line))  # type: ignore[no-untyped-call]  # theirs


async def works(url: str) -> None:
    """See that all that a cache does is permitted, removing what cannot be read included."""
    cache = open_redis_cache(url, key="one", timeout_seconds=ROOMY_SECONDS)
    try:
        for _ in range(100):
            try:
                await cache.put(REPORT, 60)
                break
            except CacheError:  # a cluster takes a moment to come up
                await asyncio.sleep(0.05)
        assert await cache.get() == REPORT
        async with cache._use() as client:
            await client.set(cache._key, b"junk")
        assert await cache.get() is None
        assert cache.unreadable == 1
    finally:
        await cache.aclose()


async def test_the_rights_shown_for_redis_are_enough() -> None:
    """In Redis, in a cluster and in a sentinel, exactly the user that is shown gets on."""
    alone, clustered, asked = shown("redis")
    server = RedisServer({})
    try:
        await set_user(server.url, alone)
        await works(f"redis://health:password@127.0.0.1:{server.port}")
        sentinel = Sentinel(server.port, {}, quorum=1)
        try:
            await set_user(f"redis://127.0.0.1:{sentinel.port}", asked)
            url = f"redis+sentinel://health:password@127.0.0.1:{sentinel.port}/{MASTER}"
            await works(f"{url}?sentinel_username=asker&sentinel_password=password")
        finally:
            sentinel.close()
    finally:
        server.close()
    node = RedisServer({"cluster-enabled": "yes", "cluster-port": str(free_port())})
    try:
        await set_user(node.url, "CLUSTER ADDSLOTSRANGE 0 16383")
        await set_user(node.url, clustered)
        await works(f"redis+cluster://health:password@127.0.0.1:{node.port}")
    finally:
        node.close()


async def test_the_rights_shown_for_postgres_are_enough(postgres: OwnPostgresServer) -> None:
    """With the table and the grants that are shown, a role that may make nothing gets on."""
    url = postgres.create_database()
    (block,) = shown("sql")
    statements = [line.strip() for line in block.split(";") if line.strip()]
    revoked = "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    postgres.execute(revoked, *statements, database=name_of(url))
    mine = postgres.url(name_of(url), user="health", password="password")
    cache = open_sql_cache(mine, key="one", timeout_seconds=ROOMY_SECONDS)
    try:
        await cache.put(REPORT, 60)
        assert await cache.get() == REPORT
    finally:
        await cache.aclose()
        postgres.execute("DROP OWNED BY health", "DROP ROLE health", database=name_of(url))


@pytest.fixture(params=["redis", "memcached", "postgresql"])
def store(
    request: pytest.FixtureRequest, postgres: OwnPostgresServer
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Give the URL of a store, and what makes it fall silent."""
    server: Any
    if request.param == "postgresql":
        yield postgres.create_database(), postgres.freeze
        return
    if request.param == "redis":
        server = RedisServer({})
        url = server.url
    else:
        server = MemcachedServer()
        url = f"memcached://{server.host}"
    yield url, server.freeze
    server.close()


@asynccontextmanager
async def service(database_url: str, cache_url: str) -> AsyncIterator[HealthService]:
    """Open a service as its settings would have it."""
    settings = {"DATABASE_URL": database_url, "CACHE_URL": cache_url, "CACHE_TIMEOUT_SECONDS": "1"}
    configuration = read_configuration({f"TASKER_HEALTH_{n}": v for n, v in settings.items()})
    async with open_service(configuration) as opened:
        yield opened


async def test_what_one_service_measured_another_serves(
    store: tuple[str, Callable[[], None]], tmp_path: Path
) -> None:
    """A store shares a report among services; frozen, it is missed, and readiness says so."""
    cache_url, freeze = store
    database_url = await make_sqlite(tmp_path)
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(service(database_url, cache_url))
        measured = await one.status()
        assert not measured.cached
        await asyncio.gather(*one._reporter._shared._putting)  # type: ignore[union-attr]  # it is there
        two = await stack.enter_async_context(service(database_url, cache_url))
        shared = await two.status()
        assert shared.cached
        assert shared.report == measured.report
        freeze()
        late = await stack.enter_async_context(service(database_url, cache_url))
        assert not (await late.status()).cached
        ready = await late.ready()
        assert ready.ready
        (cache,) = (check for check in ready.checks if check.name == "cache")
        assert cache.status is CheckStatus.DEGRADED

"""Pool size, checkout time-out and prepared statements do what they say; so does pgbouncer."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
from sqlalchemy import text
from tests.integration.pgbouncer import PgBouncer
from tests.integration.probing import name_of
from tests.integration.tasker_databases import Facts, facts, fill, with_driver, writing

from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.memory.tasker import InMemoryTasker
from tasker_health.adapters.sql.cache_opening import open_sql_cache
from tasker_health.adapters.sql.drivers import Connector
from tasker_health.adapters.sql.opening import Database, DatabaseOptions, open_database
from tasker_health.adapters.sql.url import parse_database_url
from tasker_health.domain.database import DatabaseExpectations, Generation, judge
from tasker_health.domain.errors import CacheError, SourceError
from tasker_health.domain.reasons import ADVICE, Reason
from tasker_health.testing.reports import report
from tasker_health.testing.worlds import AT, random_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.integration.postgres_server import OwnPostgresServer

    from tasker_health.domain.ports import Tasker

pytestmark = pytest.mark.anyio

WORLD: Final = random_world(Generation.ENGINE, Random(7), AT, tasks=60)  # noqa: S311  data
OURS: Final = "the-pool"
DRIVERS: Final = ("asyncpg", "psycopg")


@asynccontextmanager
async def opened(url: str, **given: Any) -> AsyncIterator[Database]:
    """Open a database as the settings would have it."""
    options = DatabaseOptions(target=url, readiness_timeout_seconds=5.0, **given)
    database = open_database(options, DatabaseExpectations(), SystemClock())
    try:
        yield database
    finally:
        await database.aclose()


async def look(tasker: Tasker) -> Facts:
    """Read everything of one moment."""
    async with tasker.view(AT) as view:
        return await facts(view)


@pytest.fixture
async def url(postgres: OwnPostgresServer) -> str:
    """Give a database that holds the world."""
    url = postgres.create_database(Generation.ENGINE)
    async with writing(url) as engine:
        await fill(engine, WORLD)
    return url


@pytest.fixture
def pgbouncer(postgres: OwnPostgresServer) -> Iterator[PgBouncer]:
    """Give a pooler with two sessions for all."""
    pooler = PgBouncer(postgres)
    yield pooler
    pooler.close()


@pytest.mark.parametrize("given", [{"pool_size": 3}, {}])
async def test_the_pool_is_as_large_as_it_is_said_to_be(
    postgres: OwnPostgresServer, url: str, given: dict[str, int]
) -> None:
    """However many measure at once, so many sessions are opened, and all are answered."""
    size = given.get("pool_size", 2)
    async with opened(f"{url}?application_name={OURS}", **given) as database:
        await asyncio.gather(*(look(database.tasker) for _ in range(20)))
        assert len(postgres.sessions(OURS)) == size
        await database.probe.observe()
        assert len(postgres.sessions(OURS)) == size + 1  # the probe's own


async def test_rails_words_in_the_url_do_the_same(postgres: OwnPostgresServer, url: str) -> None:
    """``pool`` and ``checkout_timeout`` of the URL hold where nothing else is said."""
    words = f"application_name={OURS}&pool=1&checkout_timeout=0.2"
    async with opened(f"{url}?{words}") as database:
        await refused_after(database, 0.2)
        assert len(postgres.sessions(OURS)) == 1
    async with opened(f"{url}?{words}", checkout_timeout_seconds=0.6) as database:
        await refused_after(database, 0.6)


async def refused_after(database: Database, seconds: float) -> None:
    """Ask for a connection while there is none left, and see how long that is waited for."""
    async with database.tasker.view(AT):
        began = time.monotonic()
        with pytest.raises(SourceError) as raised:
            await look(database.tasker)
        assert seconds <= time.monotonic() - began < seconds + 2.0
        assert raised.value.reason is Reason.TIMEOUT


@pytest.mark.parametrize("prepared", [True, False])
async def test_statements_are_kept_on_the_server_or_not(url: str, prepared: bool) -> None:
    """With prepared statements the server keeps what we ask; without them it keeps none."""
    async with opened(url, pool_size=1, prepared_statements=prepared) as database:
        for _ in range(2):
            await look(database.tasker)
        async with database.engine.connect() as connection:
            kept = await connection.scalar(
                text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%tasker_%'")
            )
    assert (kept > 0) is prepared


@pytest.mark.parametrize("driver", DRIVERS)
async def test_pgbouncer_in_transaction_mode(pgbouncer: PgBouncer, url: str, driver: str) -> None:
    """Many probe and measure at once over two shared sessions, and every number is right."""
    through = with_driver(pgbouncer.url(name_of(url)), driver)
    async with opened(through, pool_size=8, prepared_statements=False) as database:
        expected = await look(InMemoryTasker(WORLD))
        for _ in range(3):
            looks = asyncio.gather(*(look(database.tasker) for _ in range(16)))
            observed = await asyncio.gather(*(database.probe.observe() for _ in range(8)))
            found = await looks
            assert all(one.counts == expected.counts for one in found)
            assert all(one.activity == expected.activity for one in found)
            for one in observed:
                assert not any(c.reason for c in judge(one, DatabaseExpectations()))


@pytest.mark.parametrize("driver", DRIVERS)
async def test_pgbouncer_keeps_our_zone(pgbouncer: PgBouncer, url: str, driver: str) -> None:
    """The sessions compare times in UTC, although the server's own zone is another."""
    through = with_driver(pgbouncer.url(name_of(url)), driver)
    async with opened(through, pool_size=4, prepared_statements=False) as database:

        async def zone() -> object:
            async with database.engine.connect() as connection:
                return await connection.scalar(text("SELECT current_setting('timezone')"))

        assert set(await asyncio.gather(*(zone() for _ in range(12)))) == {"UTC"}


async def test_a_zone_that_there_is_not_leaves_nothing_open(url: str) -> None:
    """Where telling the zone fails, the connection that was opened for it is closed."""
    connector = Connector(
        parse_database_url(with_driver(url, "psycopg")),
        settings={"timezone": "Nowhere"},
        connect_timeout_seconds=5.0,
        prepared_statements=False,
    )
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        await connector.arguments["async_creator_fn"]()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_pgbouncer_without_the_setting_says_what_to_do(
    pgbouncer: PgBouncer, url: str, driver: str
) -> None:
    """Where prepared statements are on, probe, status and cache name the pooler as the reason."""
    through = with_driver(pgbouncer.url(name_of(url)), driver)
    async with opened(through) as database:
        for asked in (database.probe.observe(), look(database.tasker)):
            with pytest.raises(SourceError) as raised:
                await asked
            assert raised.value.reason is Reason.POOLER
    cache = open_sql_cache(through, key="one", timeout_seconds=2.0)
    with pytest.raises(CacheError) as refused:
        await cache.get()
    await cache.aclose()
    assert refused.value.reason is Reason.POOLER
    assert "PREPARED_STATEMENTS=false" in ADVICE[Reason.POOLER]


async def test_pgbouncer_that_ignores_our_limits_is_told_by_the_statements(
    postgres: OwnPostgresServer, url: str
) -> None:
    """A pooler that takes our limits without keeping them is found out by its statements."""
    limits = "statement_timeout,lock_timeout,default_transaction_read_only"
    pooler = PgBouncer(postgres, ignore_startup_parameters=limits)
    try:
        through = pooler.url(name_of(url))
        async with opened(through, pool_size=8) as database:
            answers = await asyncio.gather(
                *(look(database.tasker) for _ in range(40)), return_exceptions=True
            )
    finally:
        pooler.close()
    reasons = {answer.reason for answer in answers if isinstance(answer, SourceError)}
    assert Reason.POOLER in reasons
    assert reasons <= {Reason.POOLER, Reason.FAILED}


@pytest.mark.parametrize("driver", DRIVERS)
async def test_the_cache_works_through_pgbouncer(
    pgbouncer: PgBouncer, url: str, driver: str
) -> None:
    """With ``prepared_statements=false`` in its URL the SQL-backed cache is kept as elsewhere."""
    through = with_driver(pgbouncer.url(name_of(url)), driver)
    cache = open_sql_cache(f"{through}?prepared_statements=false", key="one", timeout_seconds=5.0)
    try:
        await asyncio.gather(*(cache.put(report(), 60) for _ in range(12)))
        assert set(await asyncio.gather(*(cache.get() for _ in range(12)))) == {report()}
    finally:
        await cache.aclose()

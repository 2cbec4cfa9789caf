"""The shared status in a table, of a real PostgreSQL and of SQLite: contract, table, faults."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import asynccontextmanager, closing
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from tests.integration import failing_uses
from tests.integration.failing_uses import until
from tests.integration.probing import name_of

from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.sql.cache import TABLE, SqlStatusCache
from tasker_health.adapters.sql.cache_opening import open_sql_cache
from tasker_health.adapters.sql.opening import DatabaseOptions, open_database
from tasker_health.domain.database import DatabaseExpectations, Generation, judge
from tasker_health.domain.errors import CacheError, ConfigurationError
from tasker_health.domain.reasons import Reason
from tasker_health.testing.contracts import StoredStatusCacheContract
from tasker_health.testing.reports import report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.integration.postgres_server import OwnPostgresServer, PostgresServer

    from tasker_health.domain.ports import StatusCache

pytestmark = pytest.mark.anyio

KEY: Final = "tasker_health:status:one"
REPORT: Final = report()
ROOMY_SECONDS: Final = 5.0
"""For tests that are not about the bound."""
BOUND_SECONDS: Final = 0.5
GRACE_SECONDS: Final = 0.5
CANARY: Final = "s3cr3tcanary"
_PLANT: Final = "UPDATE tasker_health_status_cache SET value = %s"
_STORED: Final = "SELECT value FROM tasker_health_status_cache"


@asynccontextmanager
async def opened(url: str, **given: Any) -> AsyncIterator[SqlStatusCache]:
    """Open a cache and close it."""
    cache = open_sql_cache(url, **{"key": "one", "timeout_seconds": ROOMY_SECONDS, **given})
    try:
        yield cache
    finally:
        await cache.aclose()


class _Contract(StoredStatusCacheContract):
    """What is the same for both."""

    keep_seconds = 0.6

    @pytest.fixture
    def url(self) -> str:
        """Give a database of the test's own."""
        raise NotImplementedError

    @pytest.fixture
    async def cache(self, url: str) -> AsyncIterator[StatusCache]:
        """Open a cache."""
        async with opened(url) as cache:
            yield cache

    @pytest.fixture
    async def other_cache(self, url: str) -> AsyncIterator[StatusCache]:
        """Open it again, as another process would."""
        async with opened(url) as cache:
            yield cache


class TestOnPostgres(_Contract):
    """The promises of the port, kept by PostgreSQL."""

    @pytest.fixture
    def url(self, postgres: OwnPostgresServer) -> str:
        """Give an empty database."""
        return postgres.create_database()

    @pytest.fixture
    def plant(
        self, postgres: OwnPostgresServer, url: str, cache: StatusCache
    ) -> Callable[[bytes], Awaitable[None]]:
        """Give a way to put bytes under the key."""

        async def plant(data: bytes) -> None:
            await cache.put(REPORT, 600)
            with postgres.connect(name_of(url)) as connection:
                connection.execute(_PLANT.encode(), [data])

        return plant

    @pytest.fixture
    def stored(
        self, postgres: OwnPostgresServer, url: str
    ) -> Callable[[], Awaitable[bytes | None]]:
        """Give a way to read the bytes under the key."""

        async def stored() -> bytes | None:
            with postgres.connect(name_of(url)) as connection:
                row = connection.execute(_STORED.encode()).fetchone()
            return None if row is None else bytes(row[0])  # type: ignore[call-overload]  # bytea

        return stored


class TestOnSqlite(_Contract):
    """The promises of the port, kept by SQLite."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        """Name a file that is not there yet."""
        return f"sqlite:///{tmp_path}/cache.db"

    @pytest.fixture
    def plant(self, url: str, cache: StatusCache) -> Callable[[bytes], Awaitable[None]]:
        """Give a way to put bytes under the key."""

        async def plant(data: bytes) -> None:
            await cache.put(REPORT, 600)
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
                connection.execute(_PLANT.replace("%s", "?"), [data])

        return plant

    @pytest.fixture
    def stored(self, url: str) -> Callable[[], Awaitable[bytes | None]]:
        """Give a way to read the bytes under the key."""

        async def stored() -> bytes | None:
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
                row = connection.execute(_STORED).fetchone()
            return None if row is None else bytes(row[0])

        return stored


fails = partial(failing_uses.fails, within_seconds=BOUND_SECONDS + GRACE_SECONDS)


async def test_the_table_is_as_documented(any_postgres: PostgresServer) -> None:
    """One small table by a known name, unlogged, is made on every version; one row a Tasker."""
    url = any_postgres.create_database()
    async with opened(url) as cache, opened(url, key="two") as other:
        assert await cache.get() is None
        for number in range(3):
            await cache.put(report(took_ms=float(number)), 12.5)
        await other.put(REPORT, 12.5)
    with any_postgres.connect(name_of(url)) as connection:
        kinds = connection.execute(
            b"SELECT relname, relpersistence FROM pg_class"
            b" WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        rows = connection.execute(
            b"SELECT key, kept_until - now() BETWEEN '11 s' AND '12.6 s'"
            b" FROM tasker_health_status_cache"
        ).fetchall()
    assert kinds == [(TABLE, "u")]
    assert sorted(rows) == [(KEY, True), ("tasker_health:status:two", True)]
    assert TABLE == "tasker_health_status_cache"


async def test_either_driver_will_do(postgres: OwnPostgresServer) -> None:
    """What is put over one driver is read and replaced over the other."""
    url = postgres.create_database()
    async with opened(url) as one, opened(url.replace("postgresql", "postgresql+psycopg")) as two:
        await two.put(REPORT, 60)
        assert await one.get() == REPORT
        newer = report(took_ms=1.0)
        await one.put(newer, 60)
        assert await two.get() == newer


async def test_many_who_make_the_table_at_once_all_succeed(postgres: OwnPostgresServer) -> None:
    """Processes that start together on an empty database do not fail over its table."""
    url = postgres.create_database()
    caches = [open_sql_cache(url, key="one", timeout_seconds=ROOMY_SECONDS) for _ in range(8)]
    try:
        await asyncio.gather(*(cache.put(REPORT, 60) for cache in caches))
        assert set(await asyncio.gather(*(cache.get() for cache in caches))) == {REPORT}
    finally:
        for cache in caches:
            await cache.aclose()


async def test_a_table_that_somebody_else_makes_meanwhile_will_do(
    postgres: OwnPostgresServer,
) -> None:
    """Losing the race for the table, which PostgreSQL calls an error, is none."""
    url = postgres.create_database()
    async with opened(f"{url}?application_name=loser") as cache:
        with postgres.connect(name_of(url)) as winner, winner.transaction():
            winner.execute(
                f"CREATE TABLE {TABLE} (key text PRIMARY KEY, value bytea,"
                " kept_until timestamptz)".encode()
            )
            putting = asyncio.create_task(cache.put(REPORT, 60))
            waits = (
                b"SELECT count(*) FROM pg_stat_activity"
                b" WHERE application_name = 'loser' AND wait_event_type = 'Lock'"
            )
            with postgres.connect() as look:

                async def waiting() -> object:
                    row = look.execute(waits).fetchone()
                    return row and row[0]

                await until(waiting)
        await putting
        assert await cache.get() == REPORT


async def test_what_cannot_be_written_is_not_put(postgres: OwnPostgresServer) -> None:
    """A report that could not be read back is refused."""
    bad = attrs.evolve(REPORT, snapshot=attrs.evolve(REPORT.snapshot, took_ms=float("inf")))
    async with opened(postgres.create_database()) as cache:
        assert await fails(cache.put(bad, 10)) is Reason.FAILED
        assert await cache.get() is None


async def test_a_role_that_may_not_make_it_is_told(postgres: OwnPostgresServer) -> None:
    """Without the right to make the table the reason is told; one made for us suffices."""
    url = postgres.create_database()
    name = name_of(url)
    postgres.execute(
        f"CREATE ROLE {name}_few LOGIN PASSWORD 'few'",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        database=name,
    )
    mine = postgres.url(name, user=f"{name}_few", password="few")
    async with opened(mine) as cache:
        with pytest.raises(CacheError) as raised:
            await cache.get()
        assert raised.value.reason is Reason.FORBIDDEN
        async with opened(url) as owner:
            await owner.put(REPORT, 60)
        grant = f"GRANT SELECT, INSERT, UPDATE, DELETE ON {TABLE} TO {name}_few"
        postgres.execute(grant, database=name)
        assert await cache.get() == REPORT
        await cache.put(REPORT, 60)
    postgres.execute(f"DROP OWNED BY {name}_few", f"DROP ROLE {name}_few", database=name)


async def test_taskers_own_database_is_left_as_it_is(postgres: OwnPostgresServer) -> None:
    """Where the URL names Tasker's database, our table is all that is added, and probes agree."""
    url = postgres.create_database(Generation.ENGINE)
    with postgres.connect(name_of(url)) as connection:
        tables = b"SELECT relname FROM pg_class WHERE relkind = 'r' ORDER BY 1"
        before = connection.execute(tables).fetchall()
        async with opened(url) as cache:
            await cache.put(REPORT, 60)
            options = DatabaseOptions(target=url, readiness_timeout_seconds=5.0)
            database = open_database(options, DatabaseExpectations(), SystemClock())
            results = judge(await database.probe.observe(), DatabaseExpectations())
            await database.aclose()
        after = connection.execute(tables).fetchall()
    assert [result.reason for result in results] == [None] * 3
    assert [row for row in after if row not in before] == [(TABLE,)]


async def test_a_table_that_went_is_made_again(postgres: OwnPostgresServer) -> None:
    """Dropping the table costs one use."""
    url = postgres.create_database()
    async with opened(url) as cache:
        await cache.put(REPORT, 60)
        postgres.execute(f"DROP TABLE {TABLE}", database=name_of(url))
        assert await fails(cache.put(REPORT, 60)) is Reason.PENDING
        await cache.put(REPORT, 60)
        assert await cache.get() == REPORT


async def test_a_read_only_database(postgres: OwnPostgresServer) -> None:
    """A database that takes no writes gives the report and takes none."""
    url = postgres.create_database()
    async with opened(url) as cache:
        await cache.put(REPORT, 60)
        postgres.execute(f"ALTER DATABASE {name_of(url)} SET default_transaction_read_only = on")
        async with opened(url) as late:
            assert await late.get() == REPORT
            assert await fails(late.put(REPORT, 60)) is Reason.READ_ONLY


async def test_a_wrong_password(postgres: OwnPostgresServer) -> None:
    """The server turning us away is told as such, and the password is not in the words."""
    url = postgres.create_database()
    async with opened(postgres.url(name_of(url), password=CANARY)) as cache:
        with pytest.raises(CacheError) as raised:
            await cache.get()
        assert raised.value.reason is Reason.AUTH
        assert CANARY not in f"{raised.value}{raised.value.__cause__}"


async def test_nobody_listens() -> None:
    """A server that is not there is refused, each time and at once."""
    async with opened("postgresql://u:p@127.0.0.1:1/x", timeout_seconds=BOUND_SECONDS) as cache:
        assert {await fails(cache.get()) for _ in range(3)} == {Reason.REFUSED}


async def test_a_lock_costs_the_bound_and_no_connection(postgres: OwnPostgresServer) -> None:
    """Whoever locks the table makes each use a miss in time; the server gives up first."""
    url = postgres.create_database()
    async with opened(url, timeout_seconds=BOUND_SECONDS) as cache:
        await cache.put(REPORT, 60)
        with postgres.connect(name_of(url)) as culprit, culprit.transaction():
            culprit.execute(f"LOCK {TABLE} IN ACCESS EXCLUSIVE MODE".encode())
            assert await fails(cache.get()) is Reason.LOCKED
            assert await fails(cache.put(REPORT, 60)) in {Reason.LOCKED, Reason.TIMEOUT}
        await until(cache.get)
        assert await cache.get() == REPORT


async def test_sessions_that_the_server_ended_are_replaced(postgres: OwnPostgresServer) -> None:
    """A connection that was ended while it lay there costs no use."""
    url = postgres.create_database()
    async with opened(f"{url}?application_name=mine") as cache:
        await cache.put(REPORT, 60)
        for pid, _ in postgres.sessions("mine"):
            postgres.execute(f"SELECT pg_terminate_backend({pid})")
        await asyncio.sleep(0.05)
        assert await cache.get() == REPORT


@pytest.mark.faults
@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg"])
async def test_frozen_costs_the_bound_and_heals(postgres: OwnPostgresServer, driver: str) -> None:
    """A frozen server costs each use its bound; nothing piles up; the thaw heals."""
    url = postgres.create_database().replace("postgresql", driver, 1)
    async with opened(url, timeout_seconds=BOUND_SECONDS) as cache:
        await cache.put(REPORT, 600)
        descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  a count
        postgres.freeze()
        assert {await fails(cache.get()) for _ in range(2)} == {Reason.TIMEOUT}
        assert await fails(cache.put(REPORT, 600)) is Reason.TIMEOUT
        await asyncio.gather(*(fails(cache.get()) for _ in range(100)))
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 4  # noqa: PTH208  a count
        postgres.thaw()
        await until(cache.get)
        assert await cache.get() == REPORT
        await asyncio.sleep(1.0)
        assert len(asyncio.all_tasks()) <= 4


@pytest.mark.faults
async def test_closing_under_a_frozen_server_is_prompt(postgres: OwnPostgresServer) -> None:
    """Closing takes little more than a second, and leaves no descriptor behind."""
    url = postgres.create_database()
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  a count
    async with opened(url, timeout_seconds=BOUND_SECONDS) as cache:
        await cache.put(REPORT, 600)
        postgres.freeze()
        await fails(cache.get())
        began = time.monotonic()
    assert time.monotonic() - began < 3.0
    await asyncio.sleep(0.1)
    assert len(os.listdir("/proc/self/fd")) <= descriptors  # noqa: PTH208  a count


async def test_a_locked_file_is_told(tmp_path: Path) -> None:
    """A SQLite that somebody else writes to costs the bound."""
    file = tmp_path / "cache.db"
    async with opened(f"sqlite:///{file}", timeout_seconds=BOUND_SECONDS) as cache:
        await cache.put(REPORT, 60)
        with closing(sqlite3.connect(file, isolation_level=None)) as culprit:
            culprit.execute("BEGIN EXCLUSIVE")
            assert await fails(cache.get()) is Reason.LOCKED
            assert await fails(cache.put(REPORT, 60)) is Reason.LOCKED
            culprit.execute("ROLLBACK")
        assert await cache.get() == REPORT


async def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A folder that is not there is no cache."""
    async with opened(f"sqlite:///{tmp_path}/nowhere/cache.db") as cache:
        with pytest.raises(CacheError) as raised:
            await cache.get()
        assert raised.value.reason is Reason.REFUSED


async def test_closing_what_was_never_used_is_nothing() -> None:
    """Opening connects to nothing, and so closing has nothing to do."""
    async with opened("postgresql://nobody.invalid/x"):
        pass


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{CANARY}@host:port/db",
        f"postgresql://u:{CANARY}@host/db?sslmode={CANARY}",
        f"postgresql://u:{CANARY}@host/db?colour=red",
        "sqlite:///:memory:",
    ],
)
def test_a_url_that_cannot_be_had_says_so(url: str) -> None:
    """A bad URL names the cache's setting, and no secret."""
    with pytest.raises(ConfigurationError) as raised:
        open_sql_cache(url, key="one", source="the environment")
    assert raised.value.setting == "CACHE_URL"
    assert raised.value.source == "the environment"
    assert CANARY not in f"{raised.value!r}{raised.value}"

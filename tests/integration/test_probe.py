"""The SQL probe on real databases: what it finds there, and what asking costs."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from psycopg.errors import UndefinedTable

from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.sql.opening import Database, DatabaseOptions, open_database
from tasker_health.adapters.sql.probe import SqlDatabaseProbe
from tasker_health.domain.database import DatabaseExpectations, Generation, judge
from tasker_health.domain.errors import ConfigurationError, SourceError
from tasker_health.domain.reasons import Reason
from tasker_health.simulation.schema import CORE_MIGRATIONS, ENGINE_MIGRATIONS, ddl
from tasker_health.testing.doubles import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.postgres_server import PostgresServer

    from tasker_health.domain.checks import CheckResult
    from tasker_health.domain.ports import Clock

pytestmark = pytest.mark.anyio

NAME = "tasker-health"
MIGRATIONS = {
    Generation.ENGINE: frozenset(ENGINE_MIGRATIONS),
    Generation.CORE: frozenset(map(str, CORE_MIGRATIONS)),
}
TASKS = {Generation.ENGINE: "tasker_tasks", Generation.CORE: "tasker.tasks"}
DRIVERS = ("asyncpg", "psycopg")


@asynccontextmanager
async def opened(
    url: str,
    expectations: DatabaseExpectations | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Database]:
    """Open a database for a test, that a busy machine gets the time for."""
    database = open_database(
        DatabaseOptions(target=url, readiness_timeout_seconds=5.0),
        expectations or DatabaseExpectations(),
        clock or SystemClock(),
    )
    try:
        yield database
    finally:
        await database.aclose()


async def reasons(
    database: Database, expectations: DatabaseExpectations | None = None
) -> dict[str, Reason | None]:
    """Ask once and tell the reason of each check."""
    return told(judge(await database.probe.observe(), expectations or DatabaseExpectations()))


def told(results: object) -> dict[str, Reason | None]:
    """Tell the reason of each result."""
    checked: list[CheckResult] = list(results)  # type: ignore[call-overload]  # a sequence of them
    return {result.name: result.reason for result in checked}


WELL = {"database": None, "migrations": None, "configuration": None}


def name_of(url: str) -> str:
    """Tell the database that a URL names."""
    return url.rpartition("/")[2]


@pytest.mark.parametrize("generation", Generation)
@pytest.mark.parametrize("driver", DRIVERS)
async def test_each_generation_is_found_by_looking(
    any_postgres: PostgresServer, generation: Generation, driver: str
) -> None:
    """On every major version and driver, both generations are found, whole and readable."""
    url = any_postgres.create_database(generation)
    async with opened(url.replace("postgresql:", f"postgresql+{driver}:")) as database:
        facts = await database.probe.observe()
    assert facts.found == {generation}
    assert facts.generation is generation
    assert (facts.missing, facts.unreadable, facts.failed_migrations) == ((), (), ())
    assert facts.migrations == MIGRATIONS[generation]
    assert facts.writable


async def test_an_empty_database_is_pending_and_heals_at_once(postgres: PostgresServer) -> None:
    """Without tables the migrations are pending; the first question after they came is well."""
    url = postgres.create_database()
    async with opened(url) as database:
        assert await reasons(database) == {**WELL, "migrations": Reason.PENDING}
        postgres.execute(*ddl(Generation.ENGINE, "postgresql"), database=name_of(url))
        assert await reasons(database) == WELL


async def test_both_generations_are_ambiguous_until_told(postgres: PostgresServer) -> None:
    """Both in one database cannot be told apart by looking; the setting settles it."""
    url = postgres.create_database(Generation.ENGINE)
    postgres.execute(*ddl(Generation.CORE, "postgresql"), database=name_of(url))
    async with opened(url) as database:
        assert await reasons(database) == {
            **WELL,
            "migrations": Reason.UNKNOWN,
            "configuration": Reason.AMBIGUOUS,
        }
    for generation in Generation:
        expectations = DatabaseExpectations(tasker_schema=generation)
        async with opened(url, expectations) as database:
            assert (await database.probe.observe()).generation is generation
            assert await reasons(database, expectations) == WELL


async def test_the_other_generation_is_a_mismatch(postgres: PostgresServer) -> None:
    """Told of the core where the engine stands: mismatch, and all of the core is missing."""
    expectations = DatabaseExpectations(tasker_schema=Generation.CORE)
    async with opened(postgres.create_database(Generation.ENGINE), expectations) as database:
        assert await reasons(database, expectations) == {
            **WELL,
            "migrations": Reason.PENDING,
            "configuration": Reason.MISMATCH,
        }


@pytest.mark.parametrize("generation", Generation)
async def test_a_missing_column_is_named(postgres: PostgresServer, generation: Generation) -> None:
    """A column that we read and that is not there is named, and pending."""
    url = postgres.create_database(generation)
    steps = TASKS[generation].replace("tasks", "workflow_steps")
    postgres.execute(f"ALTER TABLE {steps} DROP COLUMN attempts CASCADE", database=name_of(url))
    async with opened(url) as database:
        facts = await database.probe.observe()
    assert facts.missing == (f"{steps.removeprefix('tasker.')}.attempts",)
    assert told(judge(facts, DatabaseExpectations()))["migrations"] is Reason.PENDING


@pytest.mark.parametrize("generation", Generation)
async def test_a_role_that_may_not_read_is_forbidden(
    postgres: PostgresServer, generation: Generation
) -> None:
    """A role without SELECT is forbidden; with SELECT alone it is enough, seen at once."""
    url = postgres.create_database(generation)
    role = f"reader_{name_of(url)}"
    schema = "tasker" if generation is Generation.CORE else "public"
    postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'canary'", database=name_of(url))
    async with opened(postgres.url(name_of(url), user=role, password="canary")) as database:
        facts = await database.probe.observe()
        assert facts.unreadable
        assert told(judge(facts, DatabaseExpectations()))["migrations"] is Reason.FORBIDDEN
        postgres.execute(
            f"GRANT USAGE ON SCHEMA {schema} TO {role}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
            database=name_of(url),
        )
        assert await reasons(database) == WELL


async def test_the_list_of_migrations_must_be_readable_where_it_matters(
    postgres: PostgresServer,
) -> None:
    """Who expects migrations and may not read the list is told which table it is."""
    url = postgres.create_database(Generation.ENGINE)
    role = f"reader_{name_of(url)}"
    postgres.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'canary'",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        f"REVOKE ALL ON schema_migrations FROM {role}",
        database=name_of(url),
    )
    url = postgres.url(name_of(url), user=role, password="canary")
    async with opened(url) as database:
        assert await reasons(database) == WELL
    expectations = DatabaseExpectations(expected_migrations=(ENGINE_MIGRATIONS[0],))
    async with opened(url, expectations) as database:
        facts = await database.probe.observe()
    assert facts.unreadable == ("schema_migrations",)
    assert told(judge(facts, expectations))["migrations"] is Reason.FORBIDDEN


@pytest.mark.parametrize("schema", ["public", "tasker"])
async def test_a_migration_that_stopped_half_way(postgres: PostgresServer, schema: str) -> None:
    """A failed row is found wherever the list stands, and gone as soon as it is repaired."""
    url = postgres.create_database(Generation.CORE)
    moved = f"ALTER TABLE {'public' if schema == 'tasker' else 'tasker'}._sqlx_migrations"
    with suppress(UndefinedTable):
        postgres.execute(f"{moved} SET SCHEMA {schema}", database=name_of(url))
    success = f"UPDATE {schema}._sqlx_migrations SET success"  # noqa: S608  names of ours
    broken = f"{success} = (version <> {CORE_MIGRATIONS[-1]})"
    postgres.execute(broken, database=name_of(url))
    async with opened(url) as database:
        facts = await database.probe.observe()
        assert facts.failed_migrations == (str(CORE_MIGRATIONS[-1]),)
        assert await reasons(database) == {**WELL, "migrations": Reason.FAILED_MIGRATION}
        postgres.execute(f"{success} = true", database=name_of(url))
        assert await reasons(database) == WELL


@pytest.mark.parametrize("generation", Generation)
async def test_behind_is_pending_and_ahead_is_fine(
    postgres: PostgresServer, generation: Generation
) -> None:
    """Expected versions must have been run; more may have been."""
    ahead = DatabaseExpectations(expected_migrations=sorted(MIGRATIONS[generation])[:1])
    behind = DatabaseExpectations(expected_migrations=["29990101000000"])
    url = postgres.create_database(generation)
    async with opened(url, ahead) as database:
        assert await reasons(database, ahead) == WELL
    async with opened(url, behind) as database:
        assert await reasons(database, behind) == {**WELL, "migrations": Reason.PENDING}


async def test_a_server_that_takes_no_writes(postgres: PostgresServer) -> None:
    """A read-only default of the database is told; the probe's own session changes nothing."""
    expectations = DatabaseExpectations(require_writable=True)
    url = postgres.create_database(Generation.ENGINE)
    async with opened(url, expectations) as database:
        assert await reasons(database, expectations) == WELL
    option = f"ALTER DATABASE {name_of(url)} SET default_transaction_read_only = on"
    postgres.execute(option)
    async with opened(url, expectations) as database:
        assert await reasons(database, expectations) == {**WELL, "database": Reason.READ_ONLY}
        assert await reasons(database) == WELL


async def test_a_role_of_ours_that_is_read_only(postgres: PostgresServer) -> None:
    """A read-only default of our role alone says nothing of what Tasker's may do."""
    expectations = DatabaseExpectations(require_writable=True)
    url = postgres.create_database(Generation.ENGINE)
    role = f"careful_{name_of(url)}"
    postgres.execute(
        f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'canary'",
        f"ALTER ROLE {role} SET default_transaction_read_only = on",
    )
    async with opened(postgres.url(name_of(url), user=role, password="canary")) as database:
        assert await reasons(database, expectations) == WELL


async def test_a_good_catalogue_is_kept_for_a_minute(postgres: PostgresServer) -> None:
    """What was good is not looked at again for 60 s, and then it is."""
    clock, url = ManualClock(), postgres.create_database(Generation.ENGINE)
    async with opened(url, clock=clock) as database:
        assert await reasons(database) == WELL
        postgres.execute("DROP TABLE tasker_workflow_step_edges", database=name_of(url))
        clock.advance(59)
        assert await reasons(database) == WELL
        clock.advance(1.5)
        assert await reasons(database) == {**WELL, "migrations": Reason.PENDING}


async def test_asking_is_one_round_trip(postgres: PostgresServer) -> None:
    """In the steady state a question is one message to the server, and one connection."""
    url = postgres.create_database(Generation.ENGINE)
    async with counting_proxy(postgres.host, postgres.port) as (port, seen):
        proxied = url.replace(f":{postgres.port}/", f":{port}/") + "?sslmode=disable"
        async with opened(proxied) as database:
            await database.probe.observe()
            before = list(seen)
            await database.probe.observe()
            after = list(seen)
    assert after[:-1] == before
    assert sum(1 for entry in after if entry == "connection") == 1


@asynccontextmanager
async def counting_proxy(host: str, port: int) -> AsyncIterator[tuple[int, list[str]]]:
    """Stand between client and server, and note each connection and each turn to speak."""
    seen: list[str] = []
    links: set[asyncio.StreamWriter] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: str) -> None:
        while data := await reader.read(65_536):
            if note:
                seen.append(note)
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append("connection")
        there, back = await asyncio.open_connection(host, port)
        links.update({writer, back})
        await asyncio.gather(pump(reader, back, "turn"), pump(there, writer, ""))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], seen
        for link in links:
            link.close()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_pooler_that_shares_sessions(postgres: PostgresServer, driver: str) -> None:
    """Without prepared statements nothing is kept on the server, and no limits are asked for."""
    url = postgres.create_database(Generation.ENGINE)
    proxied = url.replace("postgresql:", f"postgresql+{driver}:") + "?prepared_statements=false"
    async with opened(proxied) as database:
        for _ in range(7):
            assert await reasons(database) == WELL
        async with database.engine.connect() as connection:
            for name in ("statement_timeout", "default_transaction_read_only"):
                row = (await connection.exec_driver_sql(f"SHOW {name}")).one()
                assert tuple(row) in {("0",), ("off",)}
            kept = await connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements")
            assert kept.scalar_one() == 0


async def test_the_server_gives_up_before_we_do(postgres: PostgresServer) -> None:
    """Lock, then statement, then our own deadline; names and zone are as promised."""
    async with opened(postgres.create_database(Generation.ENGINE)) as database:
        await database.probe.observe()
        async with database.engine.connect() as connection:
            shown = {
                name: (await connection.exec_driver_sql(f"SHOW {name}")).scalar_one()
                for name in ("application_name", "timezone", "default_transaction_read_only")
            }
            limits = await connection.exec_driver_sql(
                "SELECT setting::int FROM pg_settings WHERE name = ANY("
                "ARRAY['lock_timeout', 'statement_timeout']) ORDER BY name"
            )
            lock, statement = limits.scalars().all()
    assert shown == {
        "application_name": NAME,
        "timezone": "UTC",
        "default_transaction_read_only": "on",
    }
    assert 0 < lock < statement < 10_000


async def test_nothing_connects_before_the_first_question(postgres: PostgresServer) -> None:
    """Opening touches nothing; asking holds one session; closing leaves none."""
    name = f"{NAME}-lazy"
    url = postgres.create_database(Generation.ENGINE) + f"?application_name={name}"
    async with opened(url) as database:
        assert postgres.sessions(name) == []
        await asyncio.gather(*(database.probe.observe() for _ in range(20)))
        assert [state for _, state in postgres.sessions(name)] == ["idle"]
    await asyncio.to_thread(until_gone, postgres, name)


def until_gone(postgres: PostgresServer, name: str) -> None:
    """Wait for the server to notice that its clients left."""
    with postgres.connect() as connection:
        connection.execute("SET statement_timeout = '5s'")
        connection.execute(
            f"DO $$ BEGIN WHILE EXISTS (SELECT FROM pg_stat_activity"
            f" WHERE application_name = '{name}') LOOP PERFORM pg_sleep(0.01),"
            f" pg_stat_clear_snapshot(); END LOOP; END $$".encode()
        )


async def test_a_server_that_hangs_up_on_every_question(postgres: PostgresServer) -> None:
    """A connection lost twice in one question is no stale one: the server is recovering."""
    url = postgres.create_database(Generation.ENGINE)
    async with hanging_up_proxy(postgres.host, postgres.port) as (port, lost):
        proxied = url.replace(f":{postgres.port}/", f":{port}/") + "?sslmode=disable"
        async with opened(proxied) as database:
            with pytest.raises(SourceError) as raised:
                await database.probe.observe()
    assert raised.value.reason is Reason.RECOVERING
    assert len(lost) == 2


@asynccontextmanager
async def hanging_up_proxy(host: str, port: int) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Stand between client and server, and hang up as soon as the probe's question comes."""
    lost: list[bytes] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (data := await reader.read(65_536)) and b"pg_is_in_recovery" not in data:
            writer.write(data)
        lost.extend([data] if data else [])
        writer.close()

    async def give_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, port)
        await asyncio.gather(forward(reader, back), give_back(there, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], lost


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[int, asyncio.Event]]:
    """Take connections and never say a word; tell when there is one."""
    called, over = asyncio.Event(), asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()
        await over.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], called
        over.set()


async def test_closing_ends_a_question_that_waits_to_connect() -> None:
    """Who asks while the database is closed is told so, and does not wait for a connection."""
    async with (
        silent_server() as (port, called),
        opened(f"postgresql://someone@127.0.0.1:{port}/some") as database,
    ):
        asking = asyncio.ensure_future(database.probe.observe())
        await called.wait()
        await database.aclose()
        with pytest.raises(SourceError) as raised:
            await asking
    assert raised.value.reason is Reason.FAILED


async def test_a_driver_that_counts_in_whole_seconds_is_not_waited_for() -> None:
    """An attempt ends when it was told to, though psycopg waits for two seconds at least."""
    async with silent_server() as (port, _):
        options = DatabaseOptions(
            target=f"postgresql+psycopg://someone@127.0.0.1:{port}/some",
            connect_timeout_seconds=0.1,
        )
        database = open_database(options, DatabaseExpectations(), SystemClock())
        with pytest.raises(SourceError) as raised:
            await database.probe.observe()
        assert str(raised.value.__cause__) == "no connection in time"
        await database.aclose()
    assert raised.value.reason is Reason.TIMEOUT


# SQLite, the embedded default.


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    """Make the engine's tables in a file."""
    file = tmp_path / "odd name?#%.sqlite3"
    with sqlite3.connect(file) as connection:
        for statement in ddl(Generation.ENGINE, "sqlite"):
            connection.execute(statement)
    connection.close()
    return file


def sqlite_url(file: Path) -> str:
    """Write the URL of a file."""
    return "sqlite:///" + str(file).replace("%", "%25").replace("?", "%3F").replace("#", "%23")


async def test_sqlite_is_found_by_looking(sqlite_file: Path) -> None:
    """The engine's tables in a file are found, whole; its migrations are listed."""
    async with opened(sqlite_url(sqlite_file)) as database:
        facts = await database.probe.observe()
        assert facts.generation is Generation.ENGINE
        assert facts.missing == ()
        assert facts.migrations == MIGRATIONS[Generation.ENGINE]
        assert facts.writable


async def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A missing file is refused, stays missing, and is found as soon as it is there."""
    file = tmp_path / "later.sqlite3"
    async with opened(sqlite_url(file)) as database:
        with pytest.raises(SourceError) as refused:
            await database.probe.observe()
        assert refused.value.reason is Reason.REFUSED
        assert not file.exists()
        sqlite3.connect(file).close()
        file.touch()
        await asyncio.sleep(0.26)  # the least time between two attempts
        assert await reasons(database) == {**WELL, "migrations": Reason.PENDING}


async def test_a_locked_file_is_locked(sqlite_file: Path) -> None:
    """While another holds the file for itself, the answer is `locked`, and well afterwards."""
    async with opened(sqlite_url(sqlite_file)) as database:
        assert await reasons(database) == WELL
        other = sqlite3.connect(sqlite_file, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SourceError) as locked:
            await database.probe.observe()
        assert locked.value.reason is Reason.LOCKED
        other.execute("COMMIT")
        other.close()
        assert await reasons(database) == WELL


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """A file of another kind is an error with a reason, not a crash."""
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but long enough to be looked at" * 50)
    async with opened(sqlite_url(file)) as database:
        with pytest.raises(SourceError) as failed:
            await database.probe.observe()
        assert failed.value.reason is Reason.FAILED


def test_sqlite_holds_no_core() -> None:
    """The core generation in SQLite is refused by name at opening."""
    with pytest.raises(ConfigurationError, match="TASKER_SCHEMA"):
        open_database(
            DatabaseOptions(target="sqlite:///x.sqlite3"),
            DatabaseExpectations(tasker_schema=Generation.CORE),
            SystemClock(),
        )


async def test_a_connection_that_came_too_late_is_hung_up(sqlite_file: Path) -> None:
    """A connection that is there when nobody waits for it any more is ended."""
    async with opened(sqlite_url(sqlite_file)) as database:
        probe = database.probe
        assert isinstance(probe, SqlDatabaseProbe)
        opening = asyncio.ensure_future(probe._open())
        probe._see_off(opening, (5.0, 6.0))
        line = await opening
        await asyncio.sleep(0)  # whoever was told to look at the end comes first
        assert line.closed

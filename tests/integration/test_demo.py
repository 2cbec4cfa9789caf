"""The demo on real databases: what it makes, what it writes, and what it leaves alone."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs
import psycopg
import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.memory.tasker import InMemoryTasker
from tasker_health.adapters.memory.world import World
from tasker_health.adapters.sql.opening import DatabaseOptions, open_database
from tasker_health.adapters.sql.tasker import SqlTasker
from tasker_health.domain.database import DatabaseExpectations, Generation, judge
from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.measuring import measure
from tasker_health.domain.settings import Thresholds
from tasker_health.domain.verdict import evaluate
from tasker_health.simulation.catalog import Recipe, StepPlan
from tasker_health.simulation.claiming import MARK
from tasker_health.simulation.demo import HISTORY, Demo, prepared_demo
from tasker_health.simulation.living import MoveWriter
from tasker_health.simulation.moves import TaskCreated, apply
from tasker_health.simulation.schema import ddl
from tasker_health.simulation.workload import moves
from tasker_health.testing.doubles import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine
    from tests.integration.postgres_server import OwnPostgresServer, PostgresServer

    from tasker_health.adapters.sql.opening import Database
    from tasker_health.domain.ports import Tasker
    from tasker_health.domain.status import Activity, PerformanceMetrics, SystemHealth
    from tasker_health.simulation.moves import Move

pytestmark = pytest.mark.anyio

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLOCK = SystemClock()
WINDOW_SECONDS = 3600.0


@asynccontextmanager
async def engine_on(url: str, generation: Generation) -> AsyncIterator[AsyncEngine]:
    """Open a database and make a generation's tables in it."""
    driver = {"postgresql": "postgresql+asyncpg", "sqlite": "sqlite+aiosqlite"}
    scheme, _, rest = url.partition(":")
    engine = create_async_engine(f"{driver[scheme]}:{rest}")
    try:
        async with engine.begin() as connection:
            for statement in ddl(generation, "sqlite" if scheme == "sqlite" else "postgresql"):
                await connection.exec_driver_sql(statement)
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def reader_of(url: str) -> AsyncIterator[Database]:
    """Open a database as the service does."""
    database = open_database(
        DatabaseOptions(target=url, readiness_timeout_seconds=5.0), DatabaseExpectations(), CLOCK
    )
    try:
        yield database
    finally:
        await database.aclose()


async def facts(tasker: Tasker, at: datetime) -> tuple[SystemHealth, PerformanceMetrics, Activity]:
    """Read all that a report says of Tasker, as of a moment; means to a millionth of a ms."""
    async with tasker.view(at) as view:
        counts = await view.counts()
        performance = await view.performance(WINDOW_SECONDS)
        activity = await view.activity(WINDOW_SECONDS)
    rounded = attrs.evolve(
        performance,
        avg_task_completion_time_ms=_rounded(performance.avg_task_completion_time_ms),
        avg_step_completion_time_ms=_rounded(performance.avg_step_completion_time_ms),
    )
    return counts, rounded, activity


def _rounded(mean: float | None) -> float | None:
    return None if mean is None else round(mean, 6)


async def total(database: Database) -> int:
    """Count all tasks."""
    async with database.tasker.view(CLOCK.now()) as view:
        return (await view.counts()).total_tasks


async def more_tasks_than(database: Database, before: int) -> int:
    """Wait until a task came in."""
    while (now := await total(database)) <= before:  # noqa: ASYNC110  a database sets no event
        await asyncio.sleep(0.1)
    return now


@attrs.frozen
class Contents:
    """All that stands in a database: tables and views as catalogued, rows, and schemas."""

    catalogue: list[tuple[object, ...]]
    rows: dict[str, list[tuple[object, ...]]]
    schemas: list[tuple[object, ...]]


def contents(server: PostgresServer, url: str) -> Contents:
    """Tell what stands in a database, down to who last wrote each row."""
    with server.connect(urlsplit(url).path.removeprefix("/")) as connection:
        catalogue = connection.execute(_CATALOGUE).fetchall()
        tables = [str(name) for name, kind, *_ in catalogue if kind == "r"]
        return Contents(
            catalogue,
            {
                name: connection.execute(f"SELECT xmin::text, * FROM {name}".encode()).fetchall()  # noqa: S608  quoted by the server
                for name in tables
            },
            connection.execute("SELECT nspname FROM pg_namespace ORDER BY 1").fetchall(),
        )


_CATALOGUE = """
    SELECT format('%I.%I', nspname, relname), relkind::text, class.oid, relfilenode,
           class.xmin::text, obj_description(class.oid, 'pg_class')
    FROM pg_class class JOIN pg_namespace namespace ON namespace.oid = relnamespace
    WHERE relkind IN ('r', 'v') AND left(nspname, 3) <> 'pg_' AND nspname <> 'information_schema'
    ORDER BY 1
"""

BUSY = (
    Recipe(
        "busy",
        4,
        (
            StepPlan("first", 1),
            StepPlan("left", 2, after=("first",), flaky=0.5),
            StepPlan("right", 1, after=("first",), flaky=0.2, retry_limit=None),
            StepPlan("last", 1, after=("left", "right")),
        ),
    ),
)


async def check_every_prefix(engine: AsyncEngine, generation: Generation) -> None:
    """Write moves one by one; now and then compare the database with the world."""
    world = World(generation=generation)
    model, real = InMemoryTasker(world), SqlTasker(engine, generation)
    writer = MoveWriter(engine, generation)
    work = moves(generation, seed=7, begin=BEGIN, recipes=BUSY)
    for number, move in enumerate(islice(work, 500)):
        apply(world, move)
        await writer.write(move)
        if number % 25 == 0:
            assert await facts(real, move.at) == await facts(model, move.at)
    assert len(world.tasks) > 10


async def test_sqlite_equals_the_world(tmp_path: Path) -> None:
    """After any prefix of moves SQLite tells the same as the world that they happened in."""
    async with engine_on(f"sqlite:///{tmp_path / 'tasker.sqlite3'}", Generation.ENGINE) as engine:
        await check_every_prefix(engine, Generation.ENGINE)


@pytest.mark.parametrize("generation", Generation)
async def test_postgres_equals_the_world(
    postgres: OwnPostgresServer, generation: Generation
) -> None:
    """After any prefix of moves PostgreSQL tells the same as the world they happened in."""
    async with engine_on(postgres.create_database(), generation) as engine:
        await check_every_prefix(engine, generation)


def dumped(path: Path) -> str:
    """Write down all that a SQLite file holds."""
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump())


async def test_a_move_is_all_or_nothing(tmp_path: Path) -> None:
    """A move that cannot be made leaves no flipped flag behind, and is known to stand there."""
    path = tmp_path / "tasker.sqlite3"
    async with engine_on(f"sqlite:///{path}", Generation.ENGINE) as engine:
        writer = MoveWriter(engine, Generation.ENGINE)
        happened: list[Move] = []
        for move in islice(moves(Generation.ENGINE, seed=1, begin=BEGIN, recipes=BUSY), 60):
            await writer.write(move)
            happened.append(move)
        before = dumped(path)
        for move in happened:
            with pytest.raises(IntegrityError):
                await writer.write(move)
        assert dumped(path) == before


async def test_embedded_demo_lives() -> None:
    """Without a URL there is a healthy Tasker with history, whose numbers move, in SQLite."""
    async with prepared_demo(clock=CLOCK) as demo, reader_of(demo.database_url) as database:
        first = await measure(database.tasker, CLOCK, WINDOW_SECONDS)
        verdict, findings = evaluate(first, Thresholds())
        assert (verdict.value, findings) == ("healthy", ())
        assert 500 < first.system_health.total_tasks < 5000
        assert first.system_health.failed_tasks > 0
        assert first.system_health.cancelled_tasks > 0
        assert first.performance.avg_task_completion_time_ms
        assert first.performance.avg_step_completion_time_ms
        assert first.performance.retry_success_rate
        checks = judge(await database.probe.observe(), DatabaseExpectations())
        assert [check.status.value for check in checks] == ["ok", "ok", "ok"]
        running = asyncio.ensure_future(demo.run())
        async with asyncio.timeout(60):
            await more_tasks_than(database, first.system_health.total_tasks)
        assert not running.done()
        running.cancel()
    folder = Path(urlsplit(demo.database_url).path).parent
    assert folder.name.startswith("tasker-health-demo-")
    assert not folder.exists()


async def test_reader_and_writer_do_not_wait() -> None:
    """On SQLite a reader that holds its view stops no write, and a writer stops no reader."""
    async with prepared_demo(clock=CLOCK) as demo, reader_of(demo.database_url) as database:
        path = urlsplit(demo.database_url).path.removeprefix("/")
        async with database.tasker.view(CLOCK.now()) as view:
            seen = await view.counts()
            with sqlite3.connect(path, timeout=0, isolation_level=None) as other:
                other.execute("BEGIN IMMEDIATE")
                other.execute("INSERT INTO schema_migrations VALUES ('1')")
                async with reader_of(demo.database_url) as another:
                    assert await total(another) == seen.total_tasks
                other.execute("COMMIT")
        other.close()


@pytest.mark.parametrize("generation", Generation)
async def test_postgres_demo_lives(postgres: OwnPostgresServer, generation: Generation) -> None:
    """In an empty PostgreSQL it makes either generation, marked, and works there."""
    url = postgres.create_database()
    async with (
        prepared_demo(url, generation=generation, clock=CLOCK) as demo,
        reader_of(demo.database_url) as database,
    ):
        assert demo.database_url == url
        assert {row[-1] for row in contents(postgres, url).catalogue} == {MARK}
        observed = await database.probe.observe()
        assert observed.generation is generation
        assert observed.missing == ()
        before = await total(database)
        running = asyncio.ensure_future(demo.run())
        async with asyncio.timeout(60):
            await more_tasks_than(database, before)
        running.cancel()
        await asyncio.wait({running})
    async with asyncio.timeout(10):
        while postgres.sessions("tasker-health-demo"):  # noqa: ASYNC110  the server tells no event
            await asyncio.sleep(0.02)


async def test_begins_anew_where_a_demo_was(postgres: OwnPostgresServer) -> None:
    """Its own database it takes again, of the other generation too, and drops what it made."""
    url = postgres.create_database()
    async with prepared_demo(url, generation=Generation.CORE, clock=CLOCK):
        pass
    async with prepared_demo(url, clock=CLOCK), reader_of(url) as database:
        assert (await database.probe.observe()).found == {Generation.ENGINE}


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE TABLE people (name text)", "INSERT INTO people VALUES ('Ada')"),
        ('CREATE SCHEMA "Own"', 'CREATE TABLE "Own"."t 1" (n int)'),
        ("CREATE VIEW a_view AS SELECT 1 AS one",),
        (*ddl(Generation.ENGINE),),
        ("CREATE TABLE tasker_tasks (n int)", "COMMENT ON TABLE tasker_tasks IS 'ours'"),
    ],
    ids=["table", "schema", "view", "tasker", "comment"],
)
@pytest.mark.parametrize("generation", Generation)
async def test_refuses_what_is_not_its_own(
    postgres: OwnPostgresServer, generation: Generation, statements: tuple[str, ...]
) -> None:
    """A database with anybody's table or view is refused by name, and nothing in it changes."""
    url = postgres.create_database()
    postgres.execute(*statements, database=urlsplit(url).path.removeprefix("/"))
    before = contents(postgres, url)
    with pytest.raises(ConfigurationError, match="--database-url is a database that holds"):
        async with prepared_demo(url, generation=generation, clock=CLOCK):
            pytest.fail("it was taken")
    assert contents(postgres, url) == before


async def test_refuses_its_own_that_somebody_added_to(postgres: OwnPostgresServer) -> None:
    """One foreign table beside the demo's is enough to leave everything as it is."""
    url = postgres.create_database()
    async with prepared_demo(url, clock=CLOCK):
        pass
    postgres.execute("CREATE TABLE mine (n int)", database=urlsplit(url).path.removeprefix("/"))
    before = contents(postgres, url)
    with pytest.raises(ConfigurationError, match=r"holds public\.mine"):
        async with prepared_demo(url, clock=CLOCK):
            pytest.fail("it was taken")
    assert contents(postgres, url) == before


async def test_one_demo_at_a_time(postgres: OwnPostgresServer) -> None:
    """A second demo on the same database is refused while the first is at work."""
    url = postgres.create_database()
    async with prepared_demo(url, clock=CLOCK), reader_of(url) as database:
        before = await total(database)
        with pytest.raises(ConfigurationError, match="another demo"):
            async with prepared_demo(url, clock=CLOCK):
                pytest.fail("it was taken")
        assert await total(database) == before


async def test_outlives_a_crash_of_the_database(postgres: OwnPostgresServer) -> None:
    """A database that goes away and comes back is waited for, and the work goes on."""
    url = postgres.create_database()
    async with prepared_demo(url, clock=CLOCK) as demo, reader_of(url) as database:
        before = await total(database)
        running = asyncio.ensure_future(demo.run())
        await asyncio.to_thread(postgres.restart)
        async with asyncio.timeout(60):
            await more_tasks_than(database, before)
        assert not running.done()
        running.cancel()


async def test_a_move_that_stands_there_is_not_made_twice() -> None:
    """When the answer to a write was lost, and not the write, the work goes on after it."""
    async with prepared_demo(clock=CLOCK) as demo, reader_of(demo.database_url) as database:
        before = await total(database)
        new = TaskCreated(at=CLOCK.now(), task_id=10_000_000, name="twice", steps=())
        work = iter([new, new, attrs.evolve(new, task_id=10_000_001)])
        await Demo(
            database_url=demo.database_url,
            generation=demo.generation,
            writer=demo._writer,
            work=work,
            clock=CLOCK,
        ).run()
        assert await total(database) == before + 2


async def test_ends_while_the_database_is_frozen(postgres: OwnPostgresServer) -> None:
    """A frozen database does not keep the demo from ending."""
    url = postgres.create_database()
    async with asyncio.timeout(60):
        async with prepared_demo(url, clock=CLOCK) as demo:
            running = asyncio.ensure_future(demo.run())
            postgres.freeze()
            await asyncio.sleep(0)
            running.cancel()
            frozen_at = CLOCK.monotonic()
        assert CLOCK.monotonic() - frozen_at < 10


async def test_works_off_what_it_slept_through() -> None:
    """After a jump of the clock all that is due meanwhile is made, with its own times."""
    clock = ManualClock(BEGIN + HISTORY)
    async with prepared_demo(clock=clock) as demo, reader_of(demo.database_url) as database:
        before = await total(database)
        clock.jump(300)
        running = asyncio.ensure_future(demo.run())
        async with asyncio.timeout(60):
            await more_tasks_than(database, before + 40)
        running.cancel()
        async with database.tasker.view(clock.now() + timedelta(days=1)) as view:
            activity = await view.activity(WINDOW_SECONDS)
        assert activity.last_transition_at is not None
        assert activity.last_transition_at <= clock.now()


@pytest.mark.parametrize(
    ("url", "generation", "told"),
    [
        (None, Generation.CORE, "--generation is core: allowed is engine"),
        ("sqlite:////tmp/x.sqlite3", Generation.ENGINE, "--database-url is a SQLite database"),
        ("mysql://root:canary@localhost/db", Generation.ENGINE, "from --database-url"),
        ("postgresql://tasker:canary@127.0.0.1:1/db", Generation.ENGINE, "refused"),
    ],
)
async def test_bad_input_is_told(url: str | None, generation: Generation, told: str) -> None:
    """What cannot be had is told in one line that names the option, and no secret."""
    with pytest.raises(ConfigurationError) as caught:
        async with prepared_demo(url, generation=generation, clock=CLOCK):
            pytest.fail("it was taken")
    assert told in str(caught.value)
    assert "canary" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_wrong_password_is_told(postgres: OwnPostgresServer) -> None:
    """A server that turns the demo away is told as such, without the password."""
    url = postgres.url(password="wrong-canary")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=5)
    with pytest.raises(ConfigurationError, match="auth") as caught:
        async with prepared_demo(url, clock=CLOCK):
            pytest.fail("it was taken")
    assert "canary" not in str(caught.value)

"""The SQL repository beyond its contract: snapshots, limits, privileges, what stands where."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

import attrs
import psycopg
import pytest
from sqlalchemy import text
from tests.integration.tasker_databases import (
    Facts,
    facts,
    fill,
    make_sqlite,
    reading,
    with_driver,
    writing,
)

from tasker_health.adapters.memory.tasker import InMemoryTasker
from tasker_health.adapters.memory.world import Step, Task, Transition, World
from tasker_health.adapters.sql.opening import APPLICATION_NAME
from tasker_health.adapters.sql.tasker import SqlTasker
from tasker_health.domain.database import Generation
from tasker_health.domain.deadline import within
from tasker_health.domain.errors import DeadlineError, SourceError
from tasker_health.domain.reasons import Reason
from tasker_health.simulation.layout import uuid_of
from tasker_health.simulation.schema import ddl
from tasker_health.testing.worlds import AT, random_world

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.postgres_server import OwnPostgresServer, PostgresServer

    from tasker_health.domain.ports import Tasker

pytestmark = pytest.mark.anyio

_ZONES = ("UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati", "Europe/London")
_GENERATIONS = tuple(Generation)


def _world(generation: Generation, seed: int = 1, tasks: int = 40) -> World:
    return random_world(generation, Random(seed), AT, tasks=tasks)  # noqa: S311  data, no secret


async def _look(tasker: Tasker) -> Facts:
    async with tasker.view(AT) as view:
        return await facts(view)


def _same(found: Facts, expected: Facts) -> bool:
    """Compare all but the last bits of the means, which the contract compares."""

    def whole(of: Facts) -> Facts:
        performance = attrs.evolve(
            of.performance, avg_task_completion_time_ms=None, avg_step_completion_time_ms=None
        )
        return attrs.evolve(of, performance=performance)

    return whole(found) == whole(expected)


async def _calm(server: PostgresServer) -> None:
    """Wait until our sessions are no more than the pool's, and none is at work."""
    calm = False
    while not calm:  # the server tells no one when it is done
        await asyncio.sleep(0.05)
        sessions = server.sessions(APPLICATION_NAME)
        calm = len(sessions) <= 2 and all(state == "idle" for _, state in sessions)


async def _reason(tasker: Tasker) -> Reason:
    with pytest.raises(SourceError) as caught:
        await _look(tasker)
    return caught.value.reason


@pytest.mark.parametrize("generation", _GENERATIONS)
async def test_every_major_version_gives_the_models_numbers(
    any_postgres: PostgresServer, generation: Generation
) -> None:
    """The statements mean the same to every PostgreSQL that people run."""
    url, world = any_postgres.create_database(generation), _world(generation)
    async with writing(url) as engine, reading(url) as database:
        await fill(engine, world)
        assert _same(await _look(database.tasker), await _look(InMemoryTasker(world)))


@pytest.mark.parametrize("generation", _GENERATIONS)
async def test_numbers_are_the_same_in_any_server_time_zone(
    postgres: PostgresServer, generation: Generation
) -> None:
    """Five zones, set for the database, change no number: times without zone are UTC."""
    url, world = postgres.create_database(generation), _world(generation)
    name = url.rsplit("/", 1)[1]
    found = []
    async with writing(url) as engine:
        await fill(engine, world)
        for zone in _ZONES:
            postgres.execute(f"ALTER DATABASE {name} SET timezone = '{zone}'")
            async with writing(url) as plain:  # an engine that says nothing of zones itself
                found.append(await _look(SqlTasker(plain)))
    assert found == [found[0]] * len(_ZONES)
    assert _same(found[0], await _look(InMemoryTasker(world)))


@pytest.mark.parametrize("generation", _GENERATIONS)
async def test_a_role_that_may_only_select_is_enough(
    postgres: PostgresServer, generation: Generation
) -> None:
    """SELECT on the tables and nothing else gives every number, vitals included."""
    url, world = postgres.create_database(generation), _world(generation)
    name = url.rsplit("/", 1)[1]
    schema = "tasker" if generation is Generation.CORE else "public"
    role = f"reader_{name}"
    postgres.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'r'",
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
        database=name,
    )
    async with (
        writing(url) as engine,
        reading(postgres.url(name, user=role, password="r")) as database,
    ):
        await fill(engine, world)
        with psycopg.connect(url), psycopg.connect(postgres.url()):
            async with database.tasker.view(AT) as view:
                assert _same(await facts(view), await _look(InMemoryTasker(world)))
                vitals = await view.vitals()
    assert vitals.client_connections is not None
    assert vitals.connections_allowed is not None
    # Ours, the two of another role in two databases, and perhaps those of other tests.
    assert 3 <= vitals.client_connections <= vitals.connections_allowed <= 50 - 3


async def test_other_roles_clients_are_counted_and_the_servers_own_workers_are_not(
    postgres: PostgresServer,
) -> None:
    """A plain role counts exactly what the owner counts, though it may see less of it."""
    url = postgres.create_database(Generation.ENGINE)
    name = url.rsplit("/", 1)[1]
    postgres.execute(
        f"CREATE ROLE plain_{name} LOGIN PASSWORD 'p'",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO plain_{name}",
        database=name,
    )
    counted = []
    for who in (url, postgres.url(name, user=f"plain_{name}", password="p")):
        async with reading(who) as database, database.tasker.view(AT) as view:
            counted.append((await view.vitals()).client_connections)
    assert counted[0] == counted[1]


@pytest.mark.parametrize("generation", [*_GENERATIONS, None])
async def test_a_view_does_not_see_what_is_written_after_it_opened(
    postgres: PostgresServer, generation: Generation | None, tmp_path: Path
) -> None:
    """While a writer goes on, one view stays one moment; the next one sees the new."""
    if generation is None:
        generation, url = Generation.ENGINE, await make_sqlite(tmp_path)
    else:
        url = postgres.create_database(generation)
    before, after = _world(generation, 1), _world(generation, 2)
    async with writing(url) as engine, reading(url) as database:
        await fill(engine, before)
        async with database.tasker.view(AT) as view:
            counts = await view.counts()
            await fill(engine, after)
            seen = Facts(counts, await view.performance(3600.0), await view.activity(3600.0))
        assert _same(seen, await _look(InMemoryTasker(before)))
        assert _same(await _look(database.tasker), await _look(InMemoryTasker(after)))


async def test_one_view_may_be_asked_many_things_at_once(postgres: PostgresServer) -> None:
    """Concurrent questions to one view queue up for its connection."""
    url, world = postgres.create_database(Generation.ENGINE), _world(Generation.ENGINE)
    async with writing(url) as engine, reading(url) as database:
        await fill(engine, world)
        async with database.tasker.view(AT) as view:
            *told, vitals = await asyncio.gather(facts(view), facts(view), view.vitals())
    assert told[0] == told[1]
    assert vitals.round_trip_ms > 0


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_view_cannot_write(postgres: PostgresServer, driver: str) -> None:
    """The transaction is read only, even for the owner."""
    url = postgres.create_database(Generation.ENGINE)
    async with writing(with_driver(url, driver)) as engine:
        with pytest.raises(SourceError) as caught:
            async with SqlTasker(engine).view(AT) as view:
                await view._connection.execute(text("DELETE FROM tasker_tasks"))
    assert caught.value.reason is Reason.READ_ONLY


def _failed_step(attempts: int | None, *, limit: int | None) -> World:
    """Make a task in progress with one step that failed an hour ago."""
    long_ago = AT - timedelta(hours=1)

    def moved(to_state: str) -> list[Transition]:
        return [Transition(to_state=to_state, sort_key=1, most_recent=True, created_at=long_ago)]

    task = Task(id=1, created_at=long_ago, transitions=moved("in_progress"))
    step = Step(
        id=1,
        task_id=1,
        attempts=attempts,
        retry_limit=limit,
        created_at=long_ago,
        transitions=moved("error"),
    )
    return World(generation=Generation.ENGINE, tasks={1: task}, steps={1: step})


async def test_sixty_attempts_do_not_overflow(postgres: PostgresServer, tmp_path: Path) -> None:
    """A step tried 60 times of 100 waits 30 s like any other, and the report stands."""
    for url in (postgres.create_database(Generation.ENGINE), await make_sqlite(tmp_path)):
        async with writing(url) as engine, reading(url) as database:
            await fill(engine, _failed_step(60, limit=100))
            found = await _look(database.tasker)
        assert found.activity.ready_steps == 1
        assert found.activity.ready_since == AT - timedelta(hours=1) + timedelta(seconds=30)


async def test_a_task_that_never_moved_is_pending(postgres: PostgresServer, tmp_path: Path) -> None:
    """Without a transition row a task is pending and its step is ready."""
    world = _failed_step(None, limit=None)
    world.tasks[1].transitions.clear()
    world.steps[1].transitions.clear()
    for url in (postgres.create_database(Generation.ENGINE), await make_sqlite(tmp_path)):
        async with writing(url) as engine, reading(url) as database:
            await fill(engine, world)
            found = await _look(database.tasker)
        assert found.counts.pending_tasks == found.counts.total_tasks == 1
        assert found.activity.ready_steps == 1
        assert found.activity.last_transition_at is None


async def test_a_state_that_tasker_does_not_have_is_told_as_a_failure(tmp_path: Path) -> None:
    """A task in an unknown state leaves no true count, and none is invented."""
    world = _failed_step(1, limit=3)
    world.tasks[1].transitions[0].to_state = "dreaming"
    url = await make_sqlite(tmp_path)
    async with writing(url) as engine, reading(url) as database:
        await fill(engine, world)
        assert await _reason(database.tasker) is Reason.FAILED


async def test_what_stands_there_is_found_and_held_against_what_was_told(
    postgres: PostgresServer,
) -> None:
    """Nothing is pending, another generation a mismatch, and both are ambiguous until told."""
    url = postgres.create_database()
    name = url.rsplit("/", 1)[1]
    engine_told, core_told = Generation.ENGINE, Generation.CORE
    async with AsyncExitStack() as stack:
        auto, engine, core = [
            (await stack.enter_async_context(reading(url, told))).tasker
            for told in (None, engine_told, core_told)
        ]
        assert [await _reason(tasker) for tasker in (auto, engine, core)] == [Reason.PENDING] * 3

        postgres.execute(*ddl(Generation.ENGINE), database=name)
        assert (await _look(auto)).counts == (await _look(engine)).counts
        assert await _reason(core) is Reason.MISMATCH

        postgres.execute(*ddl(Generation.CORE), database=name)
        await _look(auto)  # what was found is remembered
        await _look(engine)
        await _look(core)
        async with reading(url) as fresh:
            assert await _reason(fresh.tasker) is Reason.AMBIGUOUS

        postgres.execute("DROP TABLE tasker_tasks CASCADE", database=name)
        assert await _reason(auto) is Reason.PENDING
        await _look(auto)  # after a failure it is looked for again


async def test_a_lock_on_the_tables_is_named_and_bounded(postgres: PostgresServer) -> None:
    """Who locks Tasker's tables makes the measurement say so, before its time is up."""
    url = postgres.create_database(Generation.ENGINE)
    async with reading(url, measurement_timeout_seconds=1.0) as database:
        with psycopg.connect(url) as locking:
            locking.execute("LOCK TABLE tasker_tasks IN ACCESS EXCLUSIVE MODE")
            async with asyncio.timeout(5):
                assert await _reason(database.tasker) is Reason.LOCKED
        await _look(database.tasker)


async def test_a_view_of_sqlite_is_limited_in_time(tmp_path: Path) -> None:
    """SQLite gives up when the time of the view is over; the next view has time of its own."""
    url, world = await make_sqlite(tmp_path), _world(Generation.ENGINE, tasks=400)
    async with writing(url) as engine, reading(url) as database:
        await fill(engine, world)
        hurried = SqlTasker(database.engine, statement_timeout_seconds=1e-9)
        assert await _reason(hurried) is Reason.TIMEOUT
        assert _same(await _look(database.tasker), await _look(InMemoryTasker(world)))


async def test_a_statement_that_nobody_waits_for_ends(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """Cancelled in the middle of a statement, the view ends at once and the server stops."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    server = postgres.create_database(Generation.ENGINE)
    for url, statement in (
        (with_driver(server, "asyncpg"), "SELECT pg_sleep(60)"),
        (with_driver(server, "psycopg"), "SELECT pg_sleep(60)"),
        (await make_sqlite(tmp_path), endless),
    ):
        async with reading(url) as database:

            async def ask(tasker: SqlTasker = database.tasker, long: str = statement) -> None:
                async with tasker.view(AT) as view:
                    await view._connection.execute(text(long))

            with pytest.raises(DeadlineError):
                await within(0.3, ask())
            async with asyncio.timeout(5):
                await _look(database.tasker)
                await _calm(postgres)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_frozen_server_holds_nobody_and_leaks_nothing(
    postgres: OwnPostgresServer, driver: str
) -> None:
    """With every process of the server stopped a view ends in time; thawed, it is as before."""
    url = postgres.create_database(Generation.ENGINE)
    async with reading(with_driver(url, driver)) as database:
        await _look(database.tasker)
        tasks = asyncio.all_tasks()
        postgres.freeze()
        for _ in range(3):
            with pytest.raises(DeadlineError):
                await within(0.2, _look(database.tasker))
        async with asyncio.timeout(2):
            while asyncio.all_tasks() - tasks:
                await asyncio.wait(asyncio.all_tasks() - tasks)
        postgres.thaw()
        async with asyncio.timeout(5):
            await _look(database.tasker)
            await _calm(postgres)


async def test_an_error_of_ours_leaves_a_usable_connection(postgres: PostgresServer) -> None:
    """What goes wrong between two questions is the caller's, and the connection goes back."""
    url = postgres.create_database(Generation.ENGINE)
    async with reading(url) as database:
        with pytest.raises(KeyError):
            async with database.tasker.view(AT):
                raise KeyError
        await _look(database.tasker)
        assert len(postgres.sessions(APPLICATION_NAME)) == 1


def test_the_core_stands_in_postgresql_alone() -> None:
    """There are no tables of the core generation for SQLite."""
    with pytest.raises(ValueError, match="PostgreSQL alone"):
        ddl(Generation.CORE, "sqlite")


async def test_keys_go_on_after_those_of_a_loaded_world(postgres: PostgresServer) -> None:
    """Tables that hand out keys hand out new ones, and the core's keep the world's order."""
    url, world = postgres.create_database(Generation.ENGINE), _world(Generation.ENGINE)
    async with writing(url) as engine:
        await fill(engine, world)
        async with engine.connect() as connection:
            next_id = await connection.scalar(
                text("SELECT nextval(pg_get_serial_sequence('tasker_tasks', 'task_id'))")
            )
    assert next_id == max(world.tasks) + 1
    keys = [uuid_of(number) for number in range(300)]
    assert keys == sorted(set(keys))
    assert {key.version for key in keys} == {7}

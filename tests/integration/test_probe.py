"""The SQL probe on real PostgreSQL: what it finds there."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from psycopg.errors import UndefinedTable
from tests.integration.probing import (
    DRIVERS,
    MIGRATIONS,
    TASKS,
    WELL,
    name_of,
    opened,
    reasons,
    told,
)

from tasker_health.domain.database import DatabaseExpectations, Generation, judge
from tasker_health.domain.reasons import Reason
from tasker_health.simulation.schema import CORE_MIGRATIONS, ENGINE_MIGRATIONS, ddl
from tasker_health.testing.doubles import ManualClock

if TYPE_CHECKING:
    from tests.integration.postgres_server import PostgresServer


pytestmark = pytest.mark.anyio


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

"""The doctor on real servers: each fault is really there, is found, and has its remedy."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs
import pytest
from tests.integration.pgbouncer import PgBouncer
from tests.integration.postgres_server import PASSWORD
from tests.integration.probing import name_of
from tests.integration.tasker_databases import make_sqlite

from tasker_health.adapters.auth.token_file import TokenFile, TokenRecord
from tasker_health.adapters.auth.tokens import digest, new_token
from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.sql.diagnosis import SqlExamination
from tasker_health.adapters.sql.opening import DatabaseOptions, open_database
from tasker_health.domain.database import DatabaseExpectations, Generation
from tasker_health.domain.deadline import within
from tasker_health.domain.diagnosis import Area, Diagnosis, Finding, Grade
from tasker_health.domain.errors import DeadlineError
from tasker_health.domain.permissions import STATUS_INDEX
from tasker_health.domain.secret import Secret
from tasker_health.entrypoints.doctor import diagnose
from tasker_health.entrypoints.environment import read_configuration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from tests.integration.conftest import StartRedis
    from tests.integration.postgres_server import OwnPostgresServer, PostgresServer
    from tests.integration.redis_server import RedisServer

    from tasker_health.domain.ports import Clock

pytestmark = pytest.mark.anyio

READER = "doctor_reader"
NOT_WELL = frozenset({Grade.WARNING, Grade.PROBLEM})


async def diagnosed(
    url: str,
    *,
    clock: Clock | None = None,
    token: str | None = None,
    timeout_seconds: float = 5.0,
    **settings: object,
) -> Diagnosis:
    """Have the doctor look, with these settings beside the database's URL."""
    environ = {
        "TASKER_HEALTH_DATABASE_URL": url,
        "TASKER_HEALTH_READINESS_TIMEOUT_SECONDS": "5",  # the machine may be busy
        "TASKER_HEALTH_CACHE_TIMEOUT_SECONDS": "5",
        "TASKER_HEALTH_DEGRADED_RESPONSE_TIME_MS": "5000",
    }
    environ |= {f"TASKER_HEALTH_{name.upper()}": str(value) for name, value in settings.items()}
    return await diagnose(
        read_configuration(environ),
        clock=clock,
        token=Secret(token) if token else None,
        timeout_seconds=timeout_seconds,
    )


def of(diagnosis: Diagnosis, area: Area) -> Finding:
    """Give the one finding of an area."""
    (found,) = (finding for finding in diagnosis.findings if finding.area is area)
    return found


def unwell(diagnosis: Diagnosis) -> dict[Area, Grade]:
    """Tell what is not well."""
    return {f.area: f.grade for f in diagnosis.findings if f.grade in NOT_WELL}


def reading(server: PostgresServer, url: str, **limits: object) -> str:
    """Make a role that may only read the database, and give its URL."""
    database = name_of(url)
    role = f"{READER}_{database}"
    limit = f" CONNECTION LIMIT {limits['connections']}" if limits else ""
    server.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'reader'{limit}",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        database=database,
    )
    return server.url(database, user=role, password="reader")


@pytest.mark.parametrize("generation", Generation)
async def test_all_is_well_with_a_role_that_may_only_read(
    postgres: OwnPostgresServer, redis_server: RedisServer, generation: Generation
) -> None:
    """A good deployment has a finding for every area, and every one is ok."""
    url = postgres.create_database(generation)
    reader = reading(postgres, url)
    if generation is Generation.CORE:
        role = urlsplit(reader).username
        postgres.execute(
            f"GRANT USAGE ON SCHEMA tasker TO {role}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA tasker TO {role}",
            database=name_of(url),
        )
    found = await diagnosed(reader, cache_url=redis_server.url)
    assert unwell(found) == {}
    assert {finding.area for finding in found.findings} == {*Area} - {Area.TOKEN}
    assert "waiting 0" in of(found, Area.POOL).seen
    assert "PostgreSQL" in of(found, Area.DATABASE).seen
    clocks = [f.seen for f in found.findings if f.area is Area.CLOCK]
    assert [seen.split("'")[0] for seen in clocks] == ["the database", "the cache"]


async def test_a_role_that_may_write_is_a_warning(postgres: OwnPostgresServer) -> None:
    """Who could write to Tasker's tables is told, and it is no problem."""
    found = await diagnosed(postgres.create_database(Generation.ENGINE))
    assert unwell(found) == {Area.PRIVILEGES: Grade.WARNING}
    assert "tasker_tasks" in of(found, Area.PRIVILEGES).seen


async def test_a_missing_select_names_the_table(postgres: OwnPostgresServer) -> None:
    """A table that our role may not read is named, once, with the GRANT that helps."""
    url = postgres.create_database(Generation.ENGINE)
    reader = reading(postgres, url)
    role = urlsplit(reader).username
    revoke = f"REVOKE SELECT ON tasker_workflow_steps FROM {role}"  # noqa: S608  our own names
    postgres.execute(revoke, database=name_of(url))
    found = await diagnosed(reader)
    assert unwell(found) == {Area.PRIVILEGES: Grade.PROBLEM}
    finding = of(found, Area.PRIVILEGES)
    assert finding.seen == "SELECT is missing on tasker_workflow_steps"
    assert finding.remedy.startswith("GRANT SELECT ON tasker_workflow_steps")


async def test_a_missing_column_is_named(postgres: OwnPostgresServer) -> None:
    """A column that we read and that is not there is named; nothing is measured then."""
    url = postgres.create_database(Generation.ENGINE)
    postgres.execute("ALTER TABLE tasker_tasks DROP COLUMN complete", database=name_of(url))
    found = await diagnosed(reading(postgres, url))
    assert unwell(found) == {Area.MIGRATIONS: Grade.PROBLEM}
    assert "tasker_tasks.complete" in of(found, Area.MIGRATIONS).seen
    assert Area.STATEMENTS not in {finding.area for finding in found.findings}


async def test_migrations_that_were_not_run_are_named(postgres: OwnPostgresServer) -> None:
    """EXPECTED_MIGRATIONS are compared with the list in the database."""
    url = reading(postgres, postgres.create_database(Generation.ENGINE))
    found = await diagnosed(url, expected_migrations="20991231000000")
    assert unwell(found) == {Area.MIGRATIONS: Grade.PROBLEM}
    assert "20991231000000" in of(found, Area.MIGRATIONS).seen


async def test_a_frozen_database_gives_a_report_within_seconds(
    postgres: OwnPostgresServer,
) -> None:
    """A server that says nothing is told as such, and the rest is looked at all the same."""
    url = postgres.create_database(Generation.ENGINE)
    postgres.freeze()
    try:
        began = time.monotonic()
        found = await diagnosed(url, timeout_seconds=0.5)
        took = time.monotonic() - began
    finally:
        postgres.thaw()
    assert took < 5
    assert unwell(found) == {Area.DATABASE: Grade.PROBLEM}
    assert of(found, Area.DATABASE).seen == "timeout: no answer within 0.5 s"
    assert of(found, Area.CACHE).grade is Grade.OK


async def test_a_wrong_password_is_told_without_it(postgres: OwnPostgresServer) -> None:
    """The server's own words are shown, and no secret is among them."""
    database = name_of(postgres.create_database(Generation.ENGINE))
    found = await diagnosed(postgres.url(database, password="canary-wrong"))
    assert unwell(found) == {Area.DATABASE: Grade.PROBLEM}
    finding = of(found, Area.DATABASE)
    assert finding.seen.startswith("auth: ")
    assert "password authentication failed" in finding.seen
    told = repr(found)
    assert "canary-wrong" not in told
    assert PASSWORD not in told


async def test_a_database_that_is_not_there_is_refused() -> None:
    """Nothing listens on the port: that is said, with what to look at."""
    found = await diagnosed("postgresql://u:canary@127.0.0.1:1/tasker")
    assert unwell(found) == {Area.DATABASE: Grade.PROBLEM}
    assert of(found, Area.DATABASE).seen.startswith("refused")


@attrs.frozen
class _SkewedClock:
    """A clock that is off by so much."""

    seconds: float

    def now(self) -> datetime:
        return SystemClock().now() + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return SystemClock().monotonic()


@pytest.mark.parametrize(
    ("seconds", "grade", "side"),
    [(-60.0, Grade.PROBLEM, "ahead of"), (10.0, Grade.WARNING, "behind")],
)
async def test_a_skewed_clock_is_told_of_database_and_cache(
    postgres: OwnPostgresServer,
    redis_server: RedisServer,
    seconds: float,
    grade: Grade,
    side: str,
) -> None:
    """Both servers' clocks are held against ours: by how much, and on which side."""
    url = reading(postgres, postgres.create_database(Generation.ENGINE))
    found = await diagnosed(url, clock=_SkewedClock(seconds), cache_url=redis_server.url)
    clocks = [finding for finding in found.findings if finding.area is Area.CLOCK]
    assert [finding.grade for finding in clocks] == [grade, grade]
    assert all(f" {side} ours" in finding.seen for finding in clocks)


async def test_a_missing_index_is_written_out(postgres: OwnPostgresServer) -> None:
    """An index that our statements count on is told as it would be made."""
    url = postgres.create_database(Generation.ENGINE)
    postgres.execute(
        "DROP INDEX step_transitions_current_idx",
        "DROP INDEX step_transitions_most_recent_idx",
        "DROP INDEX step_transitions_current_state_idx",
        "DROP INDEX step_edges_to_idx",
        database=name_of(url),
    )
    found = await diagnosed(reading(postgres, url))
    assert unwell(found) == {Area.INDEXES: Grade.WARNING}
    assert of(found, Area.INDEXES).seen == (
        "missing: tasker_workflow_step_transitions (workflow_step_id) WHERE most_recent;"
        " tasker_workflow_step_edges (to_step_id)"
    )


async def test_a_pool_that_cannot_be_filled_is_a_problem(postgres: OwnPostgresServer) -> None:
    """A role with fewer connections than the pool has is told, with both numbers."""
    url = postgres.create_database(Generation.ENGINE)
    reader = reading(postgres, url, connections=2)  # the probe has one of them
    found = await diagnosed(reader, pool_size=4)
    assert unwell(found) == {Area.POOL: Grade.PROBLEM, Area.SERVER: Grade.PROBLEM}
    assert "only 1 of 4 could be opened: too_many_connections" in of(found, Area.POOL).seen
    assert "2 of our role's 2" in of(found, Area.SERVER).seen


async def test_slow_statements_name_what_is_read_from_end_to_end(
    postgres: OwnPostgresServer,
) -> None:
    """Beyond the guide's line the server's plan is looked at, and large tables are named."""
    url = postgres.create_database(Generation.ENGINE)
    postgres.execute(
        "UPDATE pg_class SET reltuples = 5000000 WHERE relname = 'tasker_task_transitions'",
        database=name_of(url),
    )
    found = await diagnosed(reading(postgres, url), degraded_response_time_ms=0.0001)
    finding = of(found, Area.STATEMENTS)
    assert finding.grade is Grade.WARNING
    assert "read from end to end: tasker_task_transitions" in finding.seen
    assert of(found, Area.DATABASE).grade is Grade.WARNING


async def test_a_redis_that_is_down_is_a_problem(
    postgres: OwnPostgresServer, start_redis: StartRedis
) -> None:
    """A cache that refuses, or says nothing, is told; the database is well meanwhile."""
    url = reading(postgres, postgres.create_database(Generation.ENGINE))
    redis = start_redis()
    redis.freeze()
    frozen = await diagnosed(url, cache_url=redis.url, timeout_seconds=1)
    redis.thaw()
    redis.stop()
    down = await diagnosed(url, cache_url=redis.url)
    assert unwell(frozen) == unwell(down) == {Area.CACHE: Grade.PROBLEM}
    assert of(frozen, Area.CACHE).seen == "timeout: redis"
    assert of(down, Area.CACHE).seen == "refused: redis"


async def test_the_cache_is_tried_beside_the_live_report(
    postgres: OwnPostgresServer, redis_server: RedisServer
) -> None:
    """One key of its own, for seconds; no other key is made or touched."""
    from redis import Redis  # noqa: PLC0415  to look, not to test

    url = reading(postgres, postgres.create_database(Generation.ENGINE))
    await diagnosed(url, cache_url=redis_server.url)
    with Redis.from_url(redis_server.url) as client:
        (key,) = client.keys("*")
        assert key.startswith(b"tasker_health:status:")
        assert key.endswith(b":doctor")
        assert 0 < client.pttl(key) <= 5000


async def test_a_redis_role_that_may_not_know_the_time_is_no_problem(
    postgres: OwnPostgresServer, redis_server: RedisServer
) -> None:
    """Where the cache does not tell its time, nothing is said of its clock."""
    from redis import Redis  # noqa: PLC0415  to arrange, not to test

    with Redis.from_url(redis_server.url) as client:
        commands = ("ping", "getrange", "exists", "set", "eval", "type", "unlink")
        client.execute_command(
            "ACL", "SETUSER", "small", "on", ">pw", "~tasker_health:*", "-@all",
            *(f"+{command}" for command in commands),
        )  # fmt: skip
    url = reading(postgres, postgres.create_database(Generation.ENGINE))
    place = redis_server.url.replace("redis://", "redis://small:pw@")
    found = await diagnosed(url, cache_url=place)
    assert unwell(found) == {}
    assert of(found, Area.CLOCK).seen.startswith("the database's")


async def test_sqlite_has_fewer_areas(tmp_path: Path) -> None:
    """A file has no server, no clock and no role of its own; what is left is looked at."""
    found = await diagnosed(await make_sqlite(tmp_path))
    assert unwell(found) == {}
    areas = {finding.area for finding in found.findings}
    assert areas == {*Area} - {Area.SERVER, Area.CLOCK, Area.TOKEN}
    assert of(found, Area.DATABASE).seen.startswith("SQLite 3.")


@pytest.mark.parametrize(
    ("may", "shown", "grade", "seen"),
    [
        (True, None, Grade.OK, "the token is good and may tasker.health_status:index"),
        (False, None, Grade.PROBLEM, "the token is good and may not tasker.health_status:index"),
        (True, "nonsense", Grade.PROBLEM, "the token is not good"),
    ],
)
async def test_a_token_is_tried_on_both_locks(
    tmp_path: Path, *, may: bool, shown: str | None, grade: Grade, seen: str
) -> None:
    """A token is shown to authenticator and coordinator, though neither switch is on."""
    token, file = new_token(), tmp_path / "tokens.toml"
    TokenFile(str(file), setting="", source="").add(
        TokenRecord(
            name="grafana",
            sha256=digest(token),
            permissions=frozenset({STATUS_INDEX} if may else ()),
            admin=False,
            created=SystemClock().now().replace(microsecond=0),
            expires=None,
        )
    )
    url = await make_sqlite(tmp_path)
    found = await diagnosed(url, tokens_file=file, token=shown or token)
    finding = of(found, Area.TOKEN)
    assert finding.grade is grade
    assert finding.seen.startswith(seen)
    assert token not in repr(found)


async def test_a_coordinator_that_cannot_be_loaded_is_a_problem(tmp_path: Path) -> None:
    """What the settings name and cannot be had is a finding beside the others."""
    url = await make_sqlite(tmp_path)
    found = await diagnosed(url, authorization_coordinator_class="json:JSONDecoder")
    assert unwell(found) == {Area.COORDINATOR: Grade.PROBLEM}
    assert "AUTHORIZATION_COORDINATOR_CLASS" in of(found, Area.COORDINATOR).remedy


async def test_authorization_without_anybody_to_recognise_is_a_warning(tmp_path: Path) -> None:
    """A status that is closed to everybody is told before anybody is turned away."""
    found = await diagnosed(await make_sqlite(tmp_path), authorization_enabled="true")
    assert unwell(found) == {Area.AUTHENTICATOR: Grade.WARNING}


@pytest.fixture
def pgbouncer(postgres: OwnPostgresServer) -> Iterator[PgBouncer]:
    """Give a pooler that shares sessions by transaction, and takes our settings silently."""
    ignored = "statement_timeout, lock_timeout, default_transaction_read_only"
    pooler = PgBouncer(postgres, ignore_startup_parameters=ignored)
    yield pooler
    pooler.close()


@pytest.mark.parametrize(
    ("prepared", "said", "grade"),
    [
        ("true", "statements are prepared", Grade.WARNING),
        ("false", "no statement is prepared", Grade.OK),
    ],
)
async def test_a_pooler_is_recognised(
    postgres: OwnPostgresServer, pgbouncer: PgBouncer, prepared: str, said: str, grade: Grade
) -> None:
    """That pgbouncer stands between is seen, and matters where statements are prepared."""
    database = name_of(postgres.create_database(Generation.ENGINE))
    found = await diagnosed(pgbouncer.url(database), prepared_statements=prepared)
    seen = {f.seen: f.grade for f in found.findings if f.area is Area.POOLER}
    assert seen[f"a pooler shares the sessions; {said}"] is grade


async def test_a_pooler_that_refuses_our_session_is_told_as_such(
    postgres: OwnPostgresServer,
) -> None:
    """What pgbouncer does not know it refuses: the remedy is a setting of ours."""
    database = name_of(postgres.create_database(Generation.ENGINE))
    pooler = PgBouncer(postgres)
    try:
        found = await diagnosed(pooler.url(database))
    finally:
        pooler.close()
    assert unwell(found) == {Area.POOLER: Grade.PROBLEM}
    assert "PREPARED_STATEMENTS=false" in of(found, Area.POOLER).remedy


async def test_an_empty_database_is_told_as_pending(postgres: OwnPostgresServer) -> None:
    """Where no Tasker stands, nothing is asked of its tables."""
    found = await diagnosed(postgres.create_database())
    assert unwell(found) == {Area.MIGRATIONS: Grade.PROBLEM}
    assert {Area.PRIVILEGES, Area.INDEXES}.isdisjoint(f.area for f in found.findings)


async def test_a_locked_table_is_a_finding_of_its_own(postgres: OwnPostgresServer) -> None:
    """A measurement that cannot be made is told with its reason; the rest is well."""
    url = postgres.create_database(Generation.ENGINE)
    with postgres.connect(name_of(url)) as holder, holder.transaction():
        holder.execute("LOCK tasker_tasks IN ACCESS EXCLUSIVE MODE")
        found = await diagnosed(url, measurement_timeout_seconds=1)
    assert unwell(found) == {Area.PRIVILEGES: Grade.WARNING, Area.STATEMENTS: Grade.PROBLEM}
    assert of(found, Area.STATEMENTS).seen.startswith("locked: ")


async def test_sqlite_is_not_asked_for_plans(tmp_path: Path) -> None:
    """Slow work on a file is told, without tables."""
    found = await diagnosed(await make_sqlite(tmp_path), degraded_response_time_ms=0.0001)
    assert of(found, Area.STATEMENTS).grade is Grade.WARNING
    assert "end to end" not in of(found, Area.STATEMENTS).seen


async def test_an_authenticator_that_breaks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that nobody can judge is a problem, and not the token's."""
    (tmp_path / "doctor_breaking.py").write_text(
        "class Breaking:\n"
        "    async def authenticate(self, credentials):\n"
        "        raise RuntimeError('canary')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = await diagnosed(
        await make_sqlite(tmp_path), authenticator_class="doctor_breaking:Breaking", token="any"
    )
    assert unwell(found) == {Area.TOKEN: Grade.PROBLEM}
    assert of(found, Area.TOKEN).seen == "nobody could tell whose the token is"


async def test_the_pool_tells_who_waits(postgres: OwnPostgresServer) -> None:
    """The guide's figures are the pool's own: full, with one who waits, and then not."""
    url = postgres.create_database(Generation.ENGINE)
    options = DatabaseOptions(target=url, pool_size=1)
    database = open_database(options, DatabaseExpectations(), SystemClock())
    examination = SqlExamination(database, SystemClock())
    try:
        async with database.engine.connect():
            filling = asyncio.create_task(examination.fill_pool())
            while not database.pool().waiting:  # noqa: ASYNC110  a fact that nobody announces
                await asyncio.sleep(0)
            full = database.pool()
            filling.cancel()
            await asyncio.wait({filling})
        idle = database.pool()
    finally:
        await database.aclose()
    assert (full.size, full.connections, full.checked_out, full.idle) == (1, 1, 1, 0)
    assert (full.waiting, idle.waiting, idle.idle) == (1, 0, 1)


async def test_a_question_that_is_given_up_leaves_no_connection(
    postgres: OwnPostgresServer,
) -> None:
    """A server that freezes between two questions costs the second its time, and no more."""
    url = postgres.create_database(Generation.ENGINE)
    database = open_database(DatabaseOptions(target=url), DatabaseExpectations(), SystemClock())
    examination = SqlExamination(database, SystemClock())
    try:
        await examination.server()
        postgres.freeze()
        with pytest.raises(DeadlineError):
            await within(0.3, examination.vitals())
    finally:
        postgres.thaw()
        await database.aclose()
    assert database.pool().checked_out == 0

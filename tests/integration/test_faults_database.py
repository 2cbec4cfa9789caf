"""The database, broken for real: what readiness answers meanwhile, and what is left behind.

A whole service asks, over the SQL probe; the other ports are held still. After each fault
the descriptors, the tasks and the server's sessions are back to where they were.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import pytest
from tests.integration.postgres_server import PASSWORD

from tasker_health.adapters.auth import AnonymousAuthenticator, PermissionCoordinator
from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.sql.opening import Database, DatabaseOptions, open_database
from tasker_health.domain.database import DatabaseExpectations, Generation
from tasker_health.domain.errors import SourceError
from tasker_health.domain.reasons import Reason
from tasker_health.domain.service import HealthService
from tasker_health.testing.doubles import RecordingJournal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.integration.postgres_server import OwnPostgresServer, PostgresServer

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

HERE: Final = Path(__file__).parent
BUDGET_SECONDS: Final = 0.1
PERIOD_SECONDS: Final = 0.02


@attrs.frozen
class Watched:
    """A service over a database that a test breaks."""

    service: HealthService
    database: Database
    journal: RecordingJournal
    name: str

    async def reason(self) -> Reason | None:
        """Ask whether it is ready, and tell why the database is not."""
        report = await self.service.ready()
        assert self.service.live().alive
        return next(check.reason for check in report.checks if check.name == "database")

    async def until(self, wanted: Reason | None, seconds: float) -> float:
        """Ask until the reason is the wanted one; tell how long that took."""
        began = time.monotonic()
        seen = set()
        while (reason := await self.reason()) is not wanted:
            seen.add(reason)
            assert time.monotonic() - began < seconds, f"still {seen} after {seconds} s"
            await asyncio.sleep(PERIOD_SECONDS)
        return time.monotonic() - began


@asynccontextmanager
async def watched(url: str) -> AsyncIterator[Watched]:
    """Open a service, and see that it leaves nothing behind when it is closed."""
    name = f"watched-{time.monotonic_ns()}"
    before = footprint()
    clock, journal = SystemClock(), RecordingJournal()
    separator = "&" if "?" in url else "?"
    database = open_database(
        DatabaseOptions(target=f"{url}{separator}application_name={name}"),
        DatabaseExpectations(),
        clock,
    )
    service = HealthService(
        tasker=database.tasker,
        probe=database.probe,
        clock=clock,
        journal=journal,
        authenticator=AnonymousAuthenticator(),
        coordinator=PermissionCoordinator,
    )
    try:
        yield Watched(service, database, journal, name)
    finally:
        began = time.monotonic()
        await service.aclose()
        await database.aclose()
        assert time.monotonic() - began < 4.0
    await back_to(before)


def footprint() -> tuple[int, int]:
    """Count this process's descriptors and tasks."""
    return len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())  # noqa: PTH208  a count


async def back_to(before: tuple[int, int]) -> None:
    """Wait for what was opened since to be closed."""
    deadline = time.monotonic() + 2.0
    while footprint() > before and time.monotonic() < deadline:  # noqa: ASYNC110  no event
        await asyncio.sleep(0.01)
    assert footprint() <= before


async def sessions_within(postgres: PostgresServer, name: str, most: int) -> None:
    """Wait for the server to have let go of all but ``most`` sessions, none of them busy."""
    deadline = time.monotonic() + 5.0
    while True:
        states = [state for _, state in postgres.sessions(name)]
        if len(states) <= most and set(states) <= {"idle"}:
            return
        assert time.monotonic() < deadline, states
        await asyncio.sleep(0.02)


@pytest.fixture
def url(postgres: OwnPostgresServer) -> str:
    """Make a database of the engine's on the primary server."""
    return postgres.create_database(Generation.ENGINE)


async def test_a_frozen_server(postgres: OwnPostgresServer, url: str) -> None:
    """From a reuse period after SIGSTOP every answer is `timeout`, in the budget; then it heals."""
    async with watched(url) as watching:
        await watching.until(None, 5.0)
        idle = footprint()
        postgres.freeze()
        await asyncio.sleep(1.0)
        took = []
        until = time.monotonic() + 3.0
        while time.monotonic() < until:
            began = time.monotonic()
            assert await watching.reason() is Reason.TIMEOUT
            took.append(time.monotonic() - began)
            await asyncio.sleep(PERIOD_SECONDS)
        assert sorted(took)[int(len(took) * 0.99) - 1] <= BUDGET_SECONDS
        # The attempt to connect that is under way holds one descriptor and at most three tasks.
        assert footprint()[0] <= idle[0] + 1
        assert footprint()[1] <= idle[1] + 3
        postgres.thaw()
        assert await watching.until(None, 1.0) <= 1.0
        await sessions_within(postgres, watching.name, 1)
        await back_to(idle)
        subjects = [(changed.subject, changed.after) for changed in watching.journal.changes]
        assert subjects.count(("readiness", "not ready")) == 1
        assert subjects.count(("check:database", "error")) == 1


async def test_many_callers_of_a_frozen_server(postgres: OwnPostgresServer, url: str) -> None:
    """Five hundred callers at once share one question, one attempt and one answer in time."""
    async with watched(url) as watching:
        await watching.until(None, 5.0)
        idle = footprint()
        postgres.freeze()
        await asyncio.sleep(1.0)
        began = time.monotonic()
        reports = await asyncio.gather(*(watching.service.ready() for _ in range(500)))
        assert time.monotonic() - began <= BUDGET_SECONDS * 2  # the loop has 500 to wake
        assert not any(report.ready for report in reports)
        assert footprint()[0] <= idle[0] + 1
        postgres.thaw()
        await watching.until(None, 1.0)


async def test_closing_while_the_server_is_frozen(postgres: OwnPostgresServer, url: str) -> None:
    """Closing ends in time though nobody says goodbye, with both ways into the database open."""
    async with watched(url) as watching:
        await watching.until(None, 5.0)
        async with watching.database.engine.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")
        postgres.freeze()
    postgres.thaw()
    await sessions_within(postgres, watching.name, 0)


async def test_frozen_backends(postgres: OwnPostgresServer, url: str) -> None:
    """When only our backend is frozen, the next question is answered on a fresh connection."""
    async with watched(url) as watching:
        await watching.until(None, 5.0)
        postgres.freeze([pid for pid, _ in postgres.sessions(watching.name)])
        await asyncio.sleep(1.0)
        assert await watching.reason() is Reason.TIMEOUT
        await watching.until(None, 1.0)
        postgres.thaw()
        await sessions_within(postgres, watching.name, 1)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_session_that_was_terminated(
    postgres: OwnPostgresServer, url: str, driver: str
) -> None:
    """A connection that the server ended is replaced within the question: no false alarm."""
    async with watched(url.replace("postgresql:", f"postgresql+{driver}:")) as watching:
        probe = watching.database.probe
        await probe.observe()
        for _ in range(3):
            ((before, _),) = postgres.sessions(watching.name)
            postgres.execute(f"SELECT pg_terminate_backend({before}, 5000)")
            assert (await probe.observe()).generation is Generation.ENGINE
            ((after, _),) = postgres.sessions(watching.name)
            assert after != before


async def test_a_crash_and_a_restart(postgres: OwnPostgresServer, url: str) -> None:
    """Stopped at once it is `refused`; back again it is well, with no stale connection left."""
    async with watched(url) as watching:
        await watching.until(None, 5.0)
        async with watching.database.engine.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")
        postgres.stop("immediate")
        try:
            await watching.until(Reason.REFUSED, 2.0)
        finally:
            postgres.start()
        await watching.until(None, 1.0)
        async with watching.database.engine.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")


async def test_a_killed_backend(postgres: OwnPostgresServer, url: str) -> None:
    """One killed backend takes all of them down; readiness is back once they are."""
    async with watched(url) as watching:
        await watching.until(None, 5.0)
        ((pid, _),) = postgres.sessions(watching.name)
        os.kill(pid, 9)
        await asyncio.sleep(1.0)
        await watching.until(None, 5.0)


async def test_a_server_that_is_starting_up() -> None:
    """What the server says of itself is told apart: starting, and mending itself."""
    for words, reason in (
        ("the database system is starting up", Reason.STARTING),
        ("the database system is in recovery mode", Reason.RECOVERING),
        ("the database system is shutting down", Reason.RECOVERING),
    ):
        async with speaking("57P03", words) as port, watched(plain(port)) as watching:
            await watching.until(reason, 2.0)


def plain(port: int) -> str:
    """Write a URL to a server that speaks no TLS."""
    return f"postgresql://someone:canary@127.0.0.1:{port}/some?sslmode=disable"


@asynccontextmanager
async def speaking(code: str, words: str) -> AsyncIterator[int]:
    """Stand in for a server that turns everybody away, in the protocol's own words."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        fields = f"SFATAL\0VFATAL\0C{code}\0M{words}\0\0".encode()
        writer.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize(
    ("user", "password", "database"),
    [
        ("postgres", "wrong", "postgres"),
        ("nobody_here", "wrong", "postgres"),
        ("", "", "no_such_database"),
    ],
)
async def test_who_is_turned_away(
    any_postgres: PostgresServer, driver: str, user: str, password: str, database: str
) -> None:
    """A wrong password, role or database is `auth`, on every driver and version."""
    given = any_postgres.url(database, user=user or None, password=password or None)
    async with watched(given.replace("postgresql:", f"postgresql+{driver}:")) as watching:
        await watching.until(Reason.AUTH, 3.0)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_name_that_does_not_resolve(driver: str) -> None:
    """An unknown host is `dns`."""
    async with watched(f"postgresql+{driver}://u:canary@no-such-host.invalid/d") as watching:
        await watching.until(Reason.DNS, 6.0)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_port_that_nobody_listens_on(driver: str, free_port: int) -> None:
    """A closed port is `refused`, by address and by a name with several addresses."""
    for host in ("127.0.0.1", "localhost"):
        async with watched(f"postgresql+{driver}://u:canary@{host}:{free_port}/d") as watching:
            await watching.until(Reason.REFUSED, 2.0)


@pytest.fixture
def free_port() -> Iterator[int]:
    """Hold a port that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_server_without_tls(postgres: OwnPostgresServer, url: str, driver: str) -> None:
    """Where TLS is required and the server has none, it is `tls`; nothing is sent in clear."""
    given = url.replace("postgresql:", f"postgresql+{driver}:") + "?sslmode=require"
    async with watched(given) as watching:
        await watching.until(Reason.TLS, 2.0)
    assert postgres.sessions(watching.name) == []


async def test_no_connection_is_left(postgres: OwnPostgresServer, url: str) -> None:
    """At the limit a warm connection still answers; a new one is `too_many_connections`."""
    role = f"limited_{url.rpartition('/')[2]}"
    postgres.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'canary' CONNECTION LIMIT 1",
        f"GRANT pg_read_all_data TO {role}",
    )
    limited = postgres.url(url.rpartition("/")[2], user=role, password="canary")
    async with watched(limited) as warm:
        await warm.until(None, 5.0)
        async with watched(limited) as cold:
            await cold.until(Reason.TOO_MANY_CONNECTIONS, 2.0)
            await asyncio.sleep(1.0)
            assert await warm.reason() is None


async def test_a_lock_on_the_tables(postgres: OwnPostgresServer, url: str) -> None:
    """Somebody's exclusive lock on Tasker's tables leaves readiness as it is."""
    with postgres.connect(url.rpartition("/")[2]) as other, other.transaction():
        other.execute("LOCK tasker_tasks IN ACCESS EXCLUSIVE MODE")
        async with watched(url) as watching:
            await watching.until(None, 1.0)


async def test_attempts_are_spaced() -> None:
    """A server that comes and goes costs at most one attempt in a quarter of a second."""
    attempts: list[float] = []

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        attempts.append(time.monotonic())
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server, watched(plain(server.sockets[0].getsockname()[1])) as watching:
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            assert await watching.reason() is not None
            await asyncio.sleep(PERIOD_SECONDS)
    between = [later - sooner for sooner, later in pairwise(attempts)]
    assert attempts
    assert min(between, default=1.0) >= 0.2


async def test_no_secret_in_what_is_told(postgres: OwnPostgresServer) -> None:
    """Neither the reports nor the errors carry the password; the log's details do not either."""
    async with watched(postgres.url("missing")) as watching:
        await watching.until(Reason.AUTH, 2.0)
        with pytest.raises(SourceError) as refused:
            await watching.database.probe.observe()
        told = [repr(refused.value.__cause__), str(refused.value.__cause__)]
        told += [repr(change) + change.detail for change in watching.journal.changes]
    assert not any(PASSWORD in text for text in told)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_certificate_of_nobody_we_trust(driver: str) -> None:
    """A server whose certificate our authority did not sign is `tls` under verify-full."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(HERE / "untrusted.pem")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)  # the request for TLS
        writer.write(b"S")
        with suppress(OSError):
            await writer.start_tls(context)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    where = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    trust = f"sslmode=verify-full&sslrootcert={HERE / 'authority.pem'}"
    async with server, watched(f"postgresql+{driver}://u:canary@{where}/d?{trust}") as watching:
        await watching.until(Reason.TLS, 3.0)

"""The SQL probe's connection: what a question costs, and what becomes of a lost one."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from tests.integration.probing import (
    DRIVERS,
    NAME,
    WELL,
    opened,
    reasons,
)

from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.sql.opening import DatabaseOptions, open_database
from tasker_health.domain.database import DatabaseExpectations, Generation
from tasker_health.domain.errors import SourceError
from tasker_health.domain.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.postgres_server import PostgresServer


pytestmark = pytest.mark.anyio


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


async def test_a_question_that_is_given_up_ends_its_connection(postgres: PostgresServer) -> None:
    """Who does not wait any longer leaves no connection behind, and the next question is new."""
    name = f"{NAME}-given-up"
    url = postgres.create_database(Generation.ENGINE) + f"?application_name={name}"
    async with opened(url) as database:
        await database.probe.observe()
        ((before, _),) = postgres.sessions(name)
        postgres.freeze([before])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await database.probe.observe()
        postgres.thaw()
        assert await reasons(database) == WELL
        ((after, _),) = [session for session in postgres.sessions(name) if session[0] != before]
        assert after != before


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

"""Real servers as fixtures: started by the first test that asks, stopped at the end.

Each worker of a parallel run has its own. A test has its own databases and its own Redis.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Protocol

import pytest
from tests.integration.postgres_programs import POSTGRES_URL, find_postgres
from tests.integration.postgres_server import OwnPostgresServer, PostgresServer
from tests.integration.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.postgres_programs import Installation


class StartRedis(Protocol):
    """Starts a Redis of the test's own, with options as its configuration file names them."""

    def __call__(self, **options: str) -> RedisServer:
        """Start one; words of an option's name are joined by ``_``."""
        ...


@cache
def _installations() -> dict[str, Installation]:
    found = {str(installation.major): installation for installation in find_postgres()}
    if len(found) < 2:
        raise RuntimeError(
            f"PostgreSQL {', '.join(found)} is the only major version found: tests need two"
        )
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run whoever asks for ``any_postgres`` on every major version, and the named server."""
    if "any_postgres" in metafunc.fixturenames:
        given = ("given",) if POSTGRES_URL in os.environ else ()
        metafunc.parametrize("any_postgres", (*given, *_installations()), indirect=True)


@pytest.fixture(scope="session")
def postgres_servers() -> Iterator[Callable[[str], PostgresServer]]:
    """Start servers by the name of their major version, each once."""
    with ExitStack() as running:

        @cache
        def start(name: str) -> PostgresServer:
            server = (
                PostgresServer.at(os.environ[POSTGRES_URL])
                if name == "given"
                else OwnPostgresServer(_installations()[name])
            )
            running.callback(server.close)
            return server

        yield start


@pytest.fixture
def postgres(postgres_servers: Callable[[str], PostgresServer]) -> Iterator[OwnPostgresServer]:
    """Give the primary server, that tests may break as long as they mend it."""
    server = postgres_servers(next(iter(_installations())))
    assert isinstance(server, OwnPostgresServer)
    yield server
    server.thaw()
    server.drop_databases()


@pytest.fixture
def any_postgres(
    postgres_servers: Callable[[str], PostgresServer], request: pytest.FixtureRequest
) -> Iterator[PostgresServer]:
    """Give each major version in turn."""
    server = postgres_servers(request.param)
    yield server
    server.drop_databases()


@pytest.fixture
def start_redis() -> Iterator[StartRedis]:
    """Start as many Redis servers as the test wants."""
    with ExitStack() as running:

        def start(**options: str) -> RedisServer:
            server = RedisServer({k.replace("_", "-"): v for k, v in options.items()})
            running.callback(server.close)
            return server

        yield start


@pytest.fixture
def redis_server(start_redis: StartRedis) -> RedisServer:
    """Give a Redis of the test's own, empty."""
    return start_redis()

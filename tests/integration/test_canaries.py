"""Secrets planted wherever one may stand: none comes out of a broken service.

Every fault is real and every byte is looked at: whole responses of each endpoint, method
and form, what the process writes, and how values that hold secrets show themselves.
"""

from __future__ import annotations

import re
import socket
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs
import pytest
import redis
from tests.integration.conftest import StartRedis
from tests.integration.postgres_server import OwnPostgresServer
from tests.integration.processes import free_port
from tests.integration.served import Served, environment, served

from tasker_health.adapters.redis.url import parse_redis_url
from tasker_health.adapters.sql.url import parse_database_url
from tasker_health.domain.database import Generation
from tasker_health.domain.errors import ConfigurationError
from tasker_health.entrypoints import cli
from tasker_health.entrypoints.environment import read_configuration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


CANARY: Final = "kanari"
"""Part of every secret, in letters that survive every encoding; nothing else says it."""

NAME: Final = "zeisig"
"""Part of what tables and columns are called: the log may tell it, and no answer."""

SECRET: Final = f"{CANARY}-Pa55%2Fw"
USER: Final = f"{CANARY}_user"
HOST: Final = f"{CANARY}-host.invalid"
TOKEN: Final = f"{CANARY}.token.shown"

_WHO: Final = f"""
class Broken:
    async def authenticate(self, credentials):
        raise RuntimeError("SELECT {CANARY} FROM t; password={SECRET} " + repr(credentials.headers))


class Known:
    tasker_admin = False

    def has_tasker_permission(self, permission):
        raise ValueError("{CANARY} " + permission)


class Everybody:
    async def authenticate(self, credentials):
        return Known()


class BrokenCoordinator:
    async def is_authorized(self, user, permission):
        raise LookupError("Bearer {TOKEN} for postgresql://{USER}:{SECRET}@{HOST}/db")
"""  # noqa: S608  an exception's text, and no query


@attrs.frozen
class Fault:
    """A service that is broken in one way.

    Args:
        settings: of the service.
        ready: the code of readiness.
        named: whether the log tells names of tables and columns, of which no answer has any.
    """

    settings: dict[str, object]
    ready: int = 503
    named: bool = False


@attrs.frozen
class Stage:
    """What faults are made of."""

    postgres: OwnPostgresServer
    start_redis: StartRedis

    def good(self) -> str:
        """Make a database, and a user whose name and password are secrets."""
        url = self.postgres.create_database(Generation.ENGINE)
        return self._of(url.rpartition("/")[2])

    def empty(self) -> str:
        """Make a database without Tasker's tables."""
        return self._of(self.postgres.create_database().rpartition("/")[2])

    def _of(self, database: str) -> str:
        password = f"{CANARY}-Pa55/w"
        self.postgres.execute(
            f"DO $$ BEGIN CREATE ROLE {USER} LOGIN SUPERUSER PASSWORD '{password}';"
            " EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        return f"postgresql://{USER}:{SECRET}@127.0.0.1:{self.postgres.port}/{database}"


def _refused(_: Stage) -> Fault:
    return Fault({"database_url": f"postgresql://{USER}:{SECRET}@127.0.0.1:{free_port()}/{CANARY}"})


def _no_such_host(_: Stage) -> Fault:
    return Fault({"database_url": f"postgresql://{USER}:{SECRET}@{HOST}/{CANARY}_db"})


def _wrong_password(stage: Stage) -> Fault:
    return Fault({"database_url": stage.good().replace(SECRET, f"{SECRET}-wrong")})


def _wrong_role(stage: Stage) -> Fault:
    return Fault({"database_url": stage.good().replace(USER, f"{CANARY}_nobody")})


def _wrong_database(stage: Stage) -> Fault:
    return Fault({"database_url": f"{stage.good().rpartition('/')[0]}/{CANARY}_db"})


def _no_tls(stage: Stage) -> Fault:
    return Fault({"database_url": f"{stage.good()}?sslmode=require&application_name={CANARY}_app"})


def _frozen(stage: Stage) -> Fault:
    url = stage.good()
    stage.postgres.freeze()
    return Fault({"database_url": url})


def _no_schema(stage: Stage) -> Fault:
    return Fault({"database_url": stage.empty()})


def _no_table_rights(stage: Stage) -> Fault:
    url = stage.good()
    name = url.rpartition("/")[2]
    stage.postgres.execute("ALTER TABLE tasker_tasks DROP COLUMN complete", database=name)
    return Fault({"database_url": url})


def _forbidden_table(stage: Stage) -> Fault:
    return _behind_a_view(
        stage,
        f"CREATE VIEW tasker_tasks AS TABLE {NAME}_tasks",
        f"DO $$ BEGIN CREATE ROLE {NAME}; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        f"ALTER VIEW tasker_tasks OWNER TO {NAME}",
    )


def _column_that_is_gone(stage: Stage) -> Fault:
    body = f"BEGIN PERFORM {NAME}_column FROM {NAME}_tasks; RETURN true; END"
    return _behind_a_view(
        stage,
        f"CREATE FUNCTION {NAME}() RETURNS boolean LANGUAGE plpgsql AS $${body}$$",
        f"ALTER TABLE {NAME}_tasks RENAME complete TO {NAME}_complete",
        f"CREATE VIEW tasker_tasks AS SELECT * FROM {NAME}() AS gone(complete)"  # noqa: S608  ours
        f" LEFT JOIN {NAME}_tasks ON true",
    )


def _behind_a_view(stage: Stage, *statements: str) -> Fault:
    """Put a view in the place of Tasker's table, which cannot be read because of a name."""
    url = stage.good()
    renamed = f"ALTER TABLE tasker_tasks RENAME TO {NAME}_tasks"
    stage.postgres.execute(renamed, *statements, database=url.rpartition("/")[2])
    return Fault({"database_url": url}, ready=200, named=True)


def _redis_password(stage: Stage) -> Fault:
    server = stage.start_redis(requirepass="good-enough")
    url = f"redis://:{SECRET}@127.0.0.1:{server.port}/0"
    return Fault({"database_url": stage.good(), "cache_url": url}, ready=200)


def _redis_refused(stage: Stage) -> Fault:
    url = f"redis://{USER}:{SECRET}@127.0.0.1:{free_port()}/0"
    return Fault({"database_url": stage.good(), "cache_url": url}, ready=200)


def _poisoned_cache(stage: Stage) -> Fault:
    server = stage.start_redis()
    url = stage.good()
    fault = Fault({"database_url": url, "cache_url": server.url}, ready=200)
    key = parse_database_url(url).fingerprint
    with redis.Redis.from_url(server.url) as client:
        client.set(f"tasker_health:status:{key}", f"{CANARY} is no report")
    return fault


def _broken_authenticator(stage: Stage) -> Fault:
    return Fault(
        {
            "database_url": stage.good(),
            "status_requires_authentication": "true",
            "authenticator_class": "canary_who:Broken",
        },
        ready=200,
    )


def _broken_coordinator(stage: Stage) -> Fault:
    return Fault(
        {
            "database_url": stage.good(),
            "authorization_enabled": "true",
            "authenticator_class": "canary_who:Everybody",
            "authorization_coordinator_class": "canary_who:BrokenCoordinator",
        },
        ready=200,
    )


def _broken_user(stage: Stage) -> Fault:
    return Fault(
        {
            "database_url": stage.good(),
            "authorization_enabled": "true",
            "authenticator_class": "canary_who:Everybody",
        },
        ready=200,
    )


FAULTS: Final[dict[str, Callable[[Stage], Fault]]] = {
    make.__name__.strip("_"): make
    for make in (
        *(_refused, _no_such_host, _wrong_password, _wrong_role, _wrong_database, _no_tls),
        *(_frozen, _no_schema, _no_table_rights, _redis_password, _redis_refused),
        *(_forbidden_table, _column_that_is_gone),
        *(_poisoned_cache, _broken_authenticator, _broken_coordinator, _broken_user),
    )
}

_PATHS: Final = (
    *("live", "ready", "status", "ready?verbose", "ready/database", "ready?exclude=cache"),
    *("status?fail_on=degraded", f"status?fail_on={'x' * 100}", "nothing", "status/"),
    *("/tasker/metrics", "/tasker/metrics/"),
)
_SHOWN: Final = re.compile(f"{CANARY}|{NAME}".encode(), re.IGNORECASE)
_METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST")
_ACCEPTED: Final = ("*/*", "application/health+json", "text/plain")


@pytest.fixture
def stage(postgres: OwnPostgresServer, start_redis: StartRedis) -> Stage:
    """Give what faults are made of."""
    return Stage(postgres, start_redis)


@contextmanager
def broken(folder: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Run the real service with a fault."""
    (folder / "canary_who.py").write_text(_WHO)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    with served(folder, status_timeout_seconds=0.5, **fault.settings) as service:
        yield service


@pytest.mark.parametrize("name", list(FAULTS))
def test_no_secret_comes_out_of_a_broken_service(
    name: str, tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In no byte of any response, and in no line that the process writes."""
    fault = FAULTS[name](stage)
    with broken(tmp_path, fault, monkeypatch) as service:
        service.wait_for("ready", fault.ready)
        for path in _PATHS:
            for method in _METHODS:
                for accepted in _ACCEPTED[: 3 if method == "GET" else 1]:
                    answer = exchange(service.port, method, path, accepted)
                    assert answer.startswith(b"HTTP/1.1 ")
                    assert not answer.startswith(b"HTTP/1.1 500")
                    assert not _SHOWN.search(answer), answer
        stage.postgres.thaw()
        service.stop()
        assert service.log, "a fault is worth a line"
        assert CANARY not in service.log.lower(), service.log
        assert (NAME in service.log) is fault.named, service.log


def exchange(port: int, method: str, path: str, accepted: str) -> bytes:
    """Ask, with a secret among the headers, and give every byte that comes back."""
    lines = (
        f"{method} {path if path.startswith('/') else f'/tasker/health/{path}'} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {TOKEN}",
        f"Cookie: session={CANARY}",
        f"Accept: {accepted}",
        "Connection: close",
    )
    received = b""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        while chunk := connection.recv(65536):
            received += chunk
    return received


def test_settings_do_not_show_their_secrets() -> None:
    """Neither repr nor str of the settings, nor of what is made of them, holds a secret."""
    url = f"postgresql://{USER}:{SECRET}@localhost/db?sslpassword={CANARY}"
    cache = f"redis://{USER}:{SECRET}@localhost/0"
    configuration = read_configuration(
        {"TASKER_HEALTH_DATABASE_URL": url, "TASKER_HEALTH_CACHE_URL": cache}
    )
    assert CANARY in configuration.database_url.reveal()
    target = parse_database_url(f"postgresql://{USER}:{SECRET}@localhost/db")
    for value in (configuration, target, *configuration.origins.items()):
        assert CANARY not in f"{value!r} {value!s}"


_WHERE: Final = f"{USER}:{SECRET}@{HOST}"
_QUERY: Final = f"application_name={CANARY}_app"
_HALVES: Final = [f"{half}@{HOST}" for half in (f"12/{CANARY}", f"pa?{CANARY}=1", f"pa#{CANARY}")]
"""What stands after the user's name when a password was not encoded."""

REFUSED_DATABASES: Final = [
    f"{CANARY}://{_WHERE}/db",
    f"{_WHERE}/db",
    f"postgresql:{_WHERE}/db",
    f"sqlite://{_WHERE}/db",
    f"postgresql://{_WHERE}:port/db?{_QUERY}",
    f"postgresql://{USER}:{SECRET}@[{HOST}/db?{_QUERY}",
    *(f"postgresql://{USER}:{half}/db?{_QUERY}" for half in _HALVES),
    *(
        f"postgresql://{_WHERE}/db?{_QUERY}&{name}={CANARY}"
        for name in (
            *("nonsense", "sslmode", "port", "options", "pool", "connect_timeout", "encoding"),
            *("prepared_statements", "target_session_attrs"),
        )
    ),
    f"postgresql://{_WHERE}/db?password={SECRET}&host={HOST}:{CANARY}",
]
REFUSED_CACHES: Final = [
    f"{CANARY}:{SECRET}@{HOST}:6379",
    f"{_WHERE}:6379",
    f"redis:{_WHERE}",
    f"redis://{_WHERE}:port/0?client_name={CANARY}",
    f"redis://{USER}:{SECRET}@[{HOST}/0",
    *(f"redis://{USER}:{half}/0" for half in _HALVES),
    f"redis://{_WHERE}/{CANARY}",
    *(
        f"rediss://{_WHERE}/0?client_name={CANARY}&{name}={CANARY}"
        for name in ("nonsense", "db", "protocol", "ssl_cert_reqs", "ssl_ca_certs")
    ),
    f"redis+sentinel://{_WHERE},{HOST}:port/{CANARY}/0",
    f"redis+sentinel://{_WHERE}/{CANARY}/{CANARY}?sentinel_password={SECRET}",
    f"redis+cluster://{_WHERE},{HOST}/{CANARY}",
]


@pytest.mark.parametrize("url", [*REFUSED_DATABASES, *REFUSED_CACHES])
def test_a_refused_url_does_not_show_its_secrets(url: str) -> None:
    """Nothing that was written in it, in the error, in its notes, or in any error behind it."""
    with pytest.raises(ConfigurationError) as raised:
        _ = parse_redis_url(url) if url in REFUSED_CACHES else parse_database_url(url)
    error: BaseException | None = raised.value
    while error is not None:
        notes = getattr(error, "__notes__", ())
        told = f"{error} {error!r} {error.args} {notes} {vars(error)}"
        assert CANARY not in told + "".join(traceback.format_exception(error))
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("url", [*REFUSED_DATABASES, *REFUSED_CACHES])
def test_a_command_that_refuses_a_url_does_not_show_its_secrets(
    url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its one line names the setting, and nothing that was written in the URL."""
    name = "cache_url" if url in REFUSED_CACHES else "database_url"
    settings = {"database_url": "postgresql://127.0.0.1:1/db", name: url}
    for variable, value in environment(**settings).items():
        monkeypatch.setenv(variable, value)
    assert cli.main(["serve", "--port", "0"]) == 2
    out, err = capfd.readouterr()
    assert f"TASKER_HEALTH_{name.upper()}" in err
    assert CANARY not in (out + err).lower()

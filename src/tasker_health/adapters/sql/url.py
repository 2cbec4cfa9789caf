"""``DATABASE_URL`` as Rails and psql users write it, read into a value that keeps its secrets.

Every parameter is understood, known to be of no consequence to a reader, or refused by
name. Nothing of the URL is repeated in an error, for a password may stand anywhere in it
when it is malformed. What the drivers make of the value is ``drivers.py``.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.secret import Secret, SecretMapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["DatabaseTarget", "parse_database_url"]

Driver = Literal["asyncpg", "psycopg", "aiosqlite"]

_SETTING: Final = "DATABASE_URL"
_ALLOWED: Final = (
    "postgresql://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:///PATH, with the special"
    " characters of user and password percent-encoded"
)
_SCHEMES: Final[Mapping[str, Driver]] = {
    "postgresql": "asyncpg",
    "postgres": "asyncpg",
    "postgresql+asyncpg": "asyncpg",
    "postgresql+psycopg": "psycopg",
    "sqlite": "aiosqlite",
    "sqlite3": "aiosqlite",
    "sqlite+aiosqlite": "aiosqlite",
}


_NOTHING: Final = Secret("")


@attrs.frozen(kw_only=True)
class DatabaseTarget:
    """Where Tasker's database is, and how the user wants it to be talked to.

    Args:
        driver: the library that talks to it.
        hosts: names, addresses or socket folders with their ports, in order of preference;
            empty for the driver's default, and for SQLite.
        database: its name; for SQLite the path of its file.
        user: who we are; empty for the driver's default.
        password: never shown.
        tls: libpq's parameters whose names begin with ``ssl``.
        settings: of the server's session, as the URL gives them.
        target_session_attrs: which of several hosts will do; empty for any.
        connect_timeout_seconds: how long connecting may take; None where it does not say.
        pool_size: likewise, at least 1.
        checkout_timeout_seconds: likewise.
        prepared_statements: likewise; false behind a pooler that knows none.
    """

    driver: Driver
    hosts: tuple[tuple[str, int], ...] = ()
    database: str = ""
    user: Secret[str] = _NOTHING
    password: Secret[str] = _NOTHING
    tls: Mapping[str, str] = attrs.field(factory=dict, converter=SecretMapping)
    settings: Mapping[str, str] = attrs.field(factory=dict, converter=SecretMapping)
    target_session_attrs: str = ""
    connect_timeout_seconds: float | None = None
    pool_size: int | None = None
    checkout_timeout_seconds: float | None = None
    prepared_statements: bool | None = None

    @property
    def dialect(self) -> Literal["postgresql", "sqlite"]:
        """Whose SQL it speaks."""
        return "sqlite" if self.driver == "aiosqlite" else "postgresql"

    @property
    def fingerprint(self) -> str:
        """A short name of the database, the same for all who watch it; no secret is in it."""
        place = (self.dialect, self.hosts, self.database)
        return hashlib.sha256(repr(place).encode()).hexdigest()[:16]


def parse_database_url(url: str, *, source: str = "") -> DatabaseTarget:
    """Read a URL.

    Args:
        url: what the user wrote.
        source: where it came from, as a phrase for the error.

    Raises:
        ConfigurationError: it cannot be read; names the parameter, never repeats the URL.
    """
    try:
        return _parse(url.strip())
    except ConfigurationError as error:
        problem = attrs.evolve(error, source=source)
    except ValueError:
        problem = ConfigurationError(_SETTING, "", _ALLOWED, source)
    raise problem


def _parse(url: str) -> DatabaseTarget:
    scheme, separator, rest = url.partition(":")
    driver = _SCHEMES.get(scheme.lower())
    if not separator or driver is None:
        _refuse("", f"a URL that begins with one of {_listed(f'{name}://' for name in _SCHEMES)}")
    parts = urlsplit(f"x:{rest}")
    if parts.fragment or "#" in rest:
        raise ValueError("a fragment")
    if "@" in parts.path and driver != "aiosqlite":
        raise ValueError("a password that was cut in two")
    fields = _Parameters(driver).read(parts.query)
    if driver == "aiosqlite":
        return DatabaseTarget(driver=driver, database=_file(parts.netloc, parts.path), **fields)
    user, password, hosts = _authority(parts.netloc)
    database = unquote(parts.path.removeprefix("/"), errors="strict")
    written = {"user": Secret(user), "password": Secret(password), "database": database}
    place: dict[str, Any] = {name: value for name, value in written.items() if value}
    if hosts:
        place["hosts"] = hosts
    return DatabaseTarget(driver=driver, **{**fields, **place})


def _file(netloc: str, path: str) -> str:
    """Read a path as SQLAlchemy does, three slashes before a relative one, or as Rails does."""
    name = unquote(path.removeprefix("/") if path.startswith("//") or netloc == "" else path)
    if path.startswith("//"):
        name = "/" + name.lstrip("/")
    if netloc or not name or name.lstrip("/") == ":memory:":
        _refuse("", "sqlite:///PATH of a file: a database in memory is seen by nobody else")
    return name


def _authority(netloc: str) -> tuple[str, str, tuple[tuple[str, int], ...]]:
    who, _, where = netloc.rpartition("@")
    user, _, password = who.partition(":")
    hosts = _hosts(where.split(",")) if where else ()
    return unquote(user, errors="strict"), unquote(password, errors="strict"), hosts


_HOST: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.%a-z]+)\]|(?P<name>[^:\[\]]*))(?::(?P<port>\d*))?"
)
_PORT: Final = 5432
_PORTS: Final = range(1, 65_536)


def _hosts(written: Iterable[str]) -> tuple[tuple[str, int], ...]:
    return tuple(_host(one) for one in written)


def _host(written: str) -> tuple[str, int]:
    match = _HOST.fullmatch(written)
    if match is None:
        raise ValueError("a host")
    name = unquote(match["v6"] or match["name"], errors="strict") or "localhost"
    return name, _port(match["port"] or str(_PORT))


def _port(written: str) -> int:
    if not re.fullmatch(r"\d{1,5}", written, re.ASCII) or int(written) not in _PORTS:
        _refuse("port", "a number from 1 to 65535")
    return int(written)


class _Parameters:
    """Reads the query of one URL into fields of :class:`DatabaseTarget`."""

    def __init__(self, driver: Driver) -> None:
        self._postgres = driver != "aiosqlite"
        self._known = {**_RAILS, **(_POSTGRES if self._postgres else {})}
        self._fields: dict[str, Any] = {}
        self._tls: dict[str, str] = {}
        self._settings: dict[str, str] = {}
        self._port = ""
        self._shown = True

    def read(self, query: str) -> dict[str, Any]:
        self._shown = "@" not in query  # else it may be the rest of a password
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), errors="strict"
        )
        for name, value in pairs:
            self._read_one(name, value)
        if self._port:
            hosts = self._fields.get("hosts") or (("localhost", _PORT),)
            self._fields["hosts"] = tuple((host, _port(self._port)) for host, _ in hosts)
        if self._postgres:
            self._fields |= {"tls": self._tls, "settings": self._settings}
        return self._fields

    def _read_one(self, name: str, value: str) -> None:
        if name in _OF_NO_CONSEQUENCE or (name.startswith("keepalives") and self._postgres):
            return
        if (read := self._known.get(name)) is not None:
            read(self, name, value)
        elif self._postgres and (setting := re.fullmatch(r"variables\[(\w+)\]", name)):
            self._settings[setting[1]] = value
        else:
            shown = self._shown and re.fullmatch(r"[A-Za-z_]\w{0,40}", name)
            _refuse(
                f"parameter {name}" if shown else "",
                f"one of the parameters {_listed(self._known)}",
            )

    def keep(self, name: str, value: object) -> None:
        self._fields[name] = value

    def keep_tls(self, name: str, value: str) -> None:
        self._tls[name] = value

    def keep_setting(self, name: str, value: str) -> None:
        self._settings[name] = value

    def keep_port(self, value: str) -> None:
        self._port = value


def _text(field: str) -> Callable[[_Parameters, str, str], None]:
    return lambda to, _, value: to.keep(field, value)


def _secret(field: str) -> Callable[[_Parameters, str, str], None]:
    return lambda to, _, value: to.keep(field, Secret(value))


def _tls(to: _Parameters, name: str, value: str) -> None:
    to.keep_tls(name, value)


def _setting(field: str) -> Callable[[_Parameters, str, str], None]:
    return lambda to, _, value: to.keep_setting(field, value)


def _choice(
    allowed: tuple[str, ...], then: Callable[[_Parameters, str, str], None]
) -> Callable[[_Parameters, str, str], None]:
    def read(to: _Parameters, name: str, value: str) -> None:
        if value not in allowed:
            _refuse(f"parameter {name}", f"one of {', '.join(allowed)}")
        then(to, name, value)

    return read


def _seconds(field: str) -> Callable[[_Parameters, str, str], None]:
    def read(to: _Parameters, name: str, value: str) -> None:
        if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", value, re.ASCII):
            _refuse(f"parameter {name}", "a number of seconds, 0 or more")
        to.keep(field, float(value) or None)

    return read


def _size(to: _Parameters, name: str, value: str) -> None:
    if not re.fullmatch(r"[1-9]\d{0,3}", value, re.ASCII):
        _refuse(f"parameter {name}", "a whole number from 1 to 9999")
    to.keep("pool_size", int(value))


def _switch(to: _Parameters, name: str, value: str) -> None:
    if value not in {"true", "false"}:
        _refuse(f"parameter {name}", "true or false")
    to.keep(name, value == "true")


def _query_hosts(to: _Parameters, _: str, value: str) -> None:
    to.keep("hosts", tuple((h, _PORT) if h.startswith("/") else _host(h) for h in value.split(",")))


def _query_port(to: _Parameters, _: str, value: str) -> None:
    _port(value)
    to.keep_port(value)


def _options(to: _Parameters, name: str, value: str) -> None:
    """Read ``-c name=value`` and ``--name=value``, as libpq's ``options`` writes them."""
    words = " ".join(shlex.split(value)).replace("-c ", "--").replace("-c", "--").split("--")
    for word in filter(None, map(str.strip, words)):
        setting, equals, of = word.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][\w.]*", setting):
            _refuse(f"parameter {name}", "-c NAME=VALUE, any number of times")
        to.keep_setting(setting, of)


_RAILS: Final[Mapping[str, Callable[[_Parameters, str, str], None]]] = {
    "pool": _size,
    "max_connections": _size,
    "checkout_timeout": _seconds("checkout_timeout_seconds"),
    "prepared_statements": _switch,
}
_POSTGRES: Final[Mapping[str, Callable[[_Parameters, str, str], None]]] = {
    "host": _query_hosts,
    "port": _query_port,
    "user": _secret("user"),
    "username": _secret("user"),
    "password": _secret("password"),
    "dbname": _text("database"),
    "database": _text("database"),
    "sslmode": _choice(("disable", "allow", "prefer", "require", "verify-ca", "verify-full"), _tls),
    "sslrootcert": _tls,
    "sslcert": _tls,
    "sslkey": _tls,
    "sslpassword": _tls,
    "sslcrl": _tls,
    "application_name": _setting("application_name"),
    "connect_timeout": _seconds("connect_timeout_seconds"),
    "options": _options,
    "target_session_attrs": _choice(
        ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
        _text("target_session_attrs"),
    ),
    "schema_search_path": _setting("search_path"),
    "encoding": _choice(("utf8", "UTF8", "unicode"), lambda *_: None),
    "client_encoding": _choice(("utf8", "UTF8", "unicode", "auto"), lambda *_: None),
}
_OF_NO_CONSEQUENCE: Final = frozenset(
    {
        *("statement_limit", "advisory_locks", "reaping_frequency", "idle_timeout", "timeout"),
        *("min_messages", "insert_returning", "fallback_application_name", "gssencmode"),
        *("channel_binding", "tcp_user_timeout", "retries", "pragmas", "keepalive", "max_age"),
    }
)
"""Rails' and libpq's own housekeeping: harmless to leave out for somebody who only reads."""


def _refuse(part: str, allowed: str) -> NoReturn:
    """Refuse a part by its name; what was given for it may be a secret."""
    given = f"a URL whose {part} cannot be had" if part else ""
    raise ConfigurationError(_SETTING, given, allowed)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))

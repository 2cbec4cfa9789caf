"""The cache's URL, as redis-py's users write it, read strictly and never repeated.

Sentinels and clusters have schemes of their own, with as many hosts as the user knows.

Source: the URL schemes that redis-py registers (``redis``, ``rediss``, ``unix``).
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import attrs
from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection

from tasker_health.adapters.redis.using import CONNECT_SECONDS
from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    _Read = Callable[[SplitResult], "RedisTarget"]

__all__ = ["RedisTarget", "TLSConnection", "parse_redis_url"]

_FORMS: Final = (
    "redis://[[user]:password@]host[:port][/db], rediss:// for TLS, unix:///path?db=0,"
    " redis+sentinel://[[user]:password@]host[:port],…/master[/db] or"
    " redis+cluster://[[user]:password@]host[:port],…, with special characters percent-encoded"
)
_HOST: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>\d{1,5}))?", re.ASCII
)
_LAST_PORT: Final = 65_535
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]{0,31})://", re.ASCII | re.IGNORECASE)

_OURS: Final = frozenset(
    {
        "decode_responses",
        "encoding",
        "health_check_interval",
        "max_connections",
        "retry_on_timeout",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_timeout",
        "timeout",
    }
)
"""What a URL shared with other programs may say, and what is ours to choose."""


class TLSConnection(SSLConnection):
    """A TLS connection that does not wait half a minute for a frozen peer's goodbye."""

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "ssl_shutdown_timeout": CONNECT_SECONDS}


class _RefusedError(ValueError):
    """Which part of a URL is bad and what is allowed there; never what the part holds."""

    def __init__(self, given: str, allowed: str) -> None:
        super().__init__(given, allowed)
        self.given, self.allowed = given, allowed


Address = tuple[str, int]


@attrs.frozen(kw_only=True)
class RedisTarget:
    """Where the cache is, and how to talk to it.

    Args:
        kind: a server that stays where it is, one that sentinels know, or a cluster's node.
        arguments: of a connection to it.
        tls: whether everybody speaks it.
        seeds: whom to ask where it is.
        master: what the sentinels call it.
        asking: arguments of a connection to a sentinel.
    """

    kind: Literal["server", "sentinel", "cluster"]
    arguments: Secret[dict[str, Any]]
    tls: bool
    seeds: tuple[Address, ...] = ()
    master: str = ""
    asking: Secret[dict[str, Any]] = attrs.field(factory=lambda: Secret({}))


def parse_redis_url(url: str, *, source: str = "") -> RedisTarget:
    """Read a URL.

    Raises:
        ConfigurationError: the URL is none that is allowed; its secrets are not repeated.
    """
    try:
        return _parse(url)
    except _RefusedError as refused:
        error = ConfigurationError("CACHE_URL", refused.given, refused.allowed, source)
    except ValueError:  # its text may hold the password
        error = ConfigurationError("CACHE_URL", "", _FORMS, source)
    raise error


def _parse(url: str) -> RedisTarget:
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        scheme = _SCHEME.match(url)
        raise _RefusedError(f"of scheme {scheme[1]!r}" if scheme else "", _FORMS)
    if parts.fragment or "@" in parts.path or "@" in parts.query:
        # A password that was not encoded; what follows would be parts of it.
        raise _RefusedError("", _FORMS)
    return _SCHEMES[parts.scheme](parts)


def _server(made_by: type, place: Callable[[SplitResult], dict[str, Any]]) -> _Read:
    tls = made_by is TLSConnection

    def read(parts: SplitResult) -> RedisTarget:
        arguments = {"connection_class": made_by, **place(parts), **_credentials(parts)}
        arguments |= _options(parts, _TLS_OPTIONS if tls else _OPTIONS)
        return RedisTarget(kind="server", arguments=Secret(arguments), tls=tls)

    return read


def _sentinel(*, tls: bool) -> _Read:
    def read(parts: SplitResult) -> RedisTarget:
        master, _, db = unquote(parts.path).strip("/").partition("/")
        if not master:
            raise _bad("master", "redis+sentinel://host[:port],…/master, as the sentinels call it")
        options = _options(parts, {**(_TLS_OPTIONS if tls else _OPTIONS), **_SENTINEL_OPTIONS})
        asking = {name: options.pop(f"sentinel_{name}", None) for name in _CREDENTIALS}
        asking |= {name: value for name, value in options.items() if name.startswith("ssl_")}
        arguments = {"db": _number("db", db or "0"), **_credentials(parts), **options}
        return RedisTarget(
            kind="sentinel",
            arguments=Secret(arguments),
            tls=tls,
            seeds=_addresses(parts, 26379),
            master=master,
            asking=Secret({name: value for name, value in asking.items() if value is not None}),
        )

    return read


def _cluster(*, tls: bool) -> _Read:
    def read(parts: SplitResult) -> RedisTarget:
        options = _options(parts, _TLS_OPTIONS if tls else _OPTIONS)
        if unquote(parts.path).strip("/") not in {"", "0"} or options.pop("db", 0):
            raise _bad("db", "no db: a cluster has none but 0")
        arguments = {**_credentials(parts), **options}
        return RedisTarget(
            kind="cluster",
            arguments=Secret(arguments),
            tls=tls,
            seeds=_addresses(parts, 6379),
            asking=Secret(arguments),
        )

    return read


def _addresses(parts: SplitResult, port: int) -> tuple[Address, ...]:
    """Read the hosts; as many as there are, in no order that means anything."""
    hosts = [_HOST.fullmatch(host) for host in parts.netloc.rpartition("@")[2].split(",")]
    found = tuple(
        (unquote(host["v6"] or host["name"]), int(host["port"] or port)) for host in hosts if host
    )
    if len(found) < len(hosts) or any(not 0 < port <= _LAST_PORT for _, port in found):
        raise _RefusedError("", _FORMS)
    return found


def _options(
    parts: SplitResult, known: Mapping[str, Callable[[str, str], object]]
) -> dict[str, Any]:
    return {
        name: _option(known, name, text)
        for name, text in parse_qsl(parts.query, keep_blank_values=True)
        if name not in _OURS
    }


def _option(known: Mapping[str, Callable[[str, str], object]], name: str, text: str) -> object:
    if name not in known:
        shown = repr(name) if re.fullmatch(r"\w{1,40}", name, re.ASCII) else ""
        given = f"with parameter {shown}" if shown else ""
        raise _RefusedError(given, f"the parameters {', '.join(sorted(known))}")
    return known[name](name, text)


def _network(parts: SplitResult) -> dict[str, Any]:
    path = unquote(parts.path).strip("/")
    return {
        "host": unquote(parts.hostname or "localhost"),
        "port": parts.port or 6379,
        "db": _number("db", path or "0"),
    }


def _unix(parts: SplitResult) -> dict[str, Any]:
    if not parts.path or parts.hostname:  # two slashes where there should be three
        raise _RefusedError("", _FORMS)
    return {"path": unquote(parts.path)}


_CREDENTIALS: Final = ("username", "password")


def _credentials(parts: SplitResult) -> dict[str, str]:
    return {
        name: unquote(text)
        for name, text in zip(_CREDENTIALS, (parts.username, parts.password), strict=True)
        if text
    }


def _bad(name: str, allowed: str) -> _RefusedError:
    return _RefusedError(f"a URL whose {name} cannot be had", allowed)


def _number(name: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise _bad(name, f"a whole number as {name}")
    return int(text)


def _words(allowed: Mapping[str, object]) -> Callable[[str, str], object]:
    def read(name: str, text: str) -> object:
        if text.lower() not in allowed:
            raise _bad(name, f"{name} of {', '.join(allowed)}")
        return allowed[text.lower()]

    return read


def _text(_: str, text: str) -> str:
    return text


def _file(name: str, text: str) -> str:
    if not os.access(text, os.R_OK):
        raise _bad(name, f"a file that can be read as {name}")
    return text


_OPTIONS: Final[Mapping[str, Callable[[str, str], object]]] = {
    "client_name": _text,
    "db": _number,
    "password": _text,
    "protocol": _words({"2": 2, "3": 3}),
    "username": _text,
}
_TLS_OPTIONS: Final[Mapping[str, Callable[[str, str], object]]] = {
    **_OPTIONS,
    "ssl_ca_certs": _file,
    "ssl_cert_reqs": _words(
        {
            "required": "required",
            "optional": "optional",
            "none": "none",
            "cert_required": "required",
            "cert_optional": "optional",
            "cert_none": "none",
        }
    ),
    "ssl_certfile": _file,
    "ssl_check_hostname": _words({"true": True, "1": True, "false": False, "0": False}),
    "ssl_keyfile": _file,
}
_SENTINEL_OPTIONS: Final[Mapping[str, Callable[[str, str], object]]] = {
    f"sentinel_{name}": _text for name in _CREDENTIALS
}
_SCHEMES: Final[Mapping[str, _Read]] = {
    "redis": _server(Connection, _network),
    "rediss": _server(TLSConnection, _network),
    "unix": _server(UnixDomainSocketConnection, _unix),
    "redis+sentinel": _sentinel(tls=False),
    "rediss+sentinel": _sentinel(tls=True),
    "redis+cluster": _cluster(tls=False),
    "rediss+cluster": _cluster(tls=True),
}

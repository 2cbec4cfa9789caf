"""The cache's URL, as redis-py's users write it, read strictly and never repeated.

Source: the URL schemes that redis-py registers (``redis``, ``rediss``, ``unix``).
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection

from tasker_health.adapters.redis.cache import CONNECT_SECONDS
from tasker_health.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["TLSConnection", "connection_arguments"]

_FORMS: Final = (
    "redis://[[user]:password@]host[:port][/db], rediss:// for TLS, or unix:///path?db=0,"
    " with special characters percent-encoded"
)
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]{0,31}):", re.ASCII | re.IGNORECASE)

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
    """What a URL gives and what is allowed there; never holds more of the URL than that."""

    def __init__(self, given: str, allowed: str) -> None:
        super().__init__(given, allowed)
        self.given, self.allowed = given, allowed


def connection_arguments(url: str, source: str) -> dict[str, Any]:
    """Turn a URL into the arguments of a connection.

    Raises:
        ConfigurationError: the URL is none that is allowed; its secrets are not repeated.
    """
    try:
        return _arguments(url)
    except _RefusedError as refused:
        error = ConfigurationError("CACHE_URL", refused.given, refused.allowed, source)
    except ValueError:  # its text may hold the password
        error = ConfigurationError("CACHE_URL", "", _FORMS, source)
    raise error


def _arguments(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        scheme = _SCHEME.match(url)
        raise _RefusedError(f"of scheme {scheme[1]!r}" if scheme else "", _FORMS)
    if parts.fragment or "@" in parts.path or "@" in parts.query:
        # A password that was not encoded; what follows would be parts of it.
        raise _RefusedError("", _FORMS)
    connection_class, place = _SCHEMES[parts.scheme]
    arguments = {"connection_class": connection_class, **place(parts), **_credentials(parts)}
    known = _TLS_OPTIONS if connection_class is TLSConnection else _OPTIONS
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _OURS:
            arguments[name] = _option(known, name, text)
    return arguments


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


def _credentials(parts: SplitResult) -> dict[str, str]:
    return {
        name: unquote(text)
        for name, text in (("username", parts.username), ("password", parts.password))
        if text
    }


def _number(name: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise _RefusedError(f"with {name} {text!r}", f"a whole number as {name}")
    return int(text)


def _words(allowed: Mapping[str, object]) -> Callable[[str, str], object]:
    def read(name: str, text: str) -> object:
        if text.lower() not in allowed:
            raise _RefusedError(f"with {name} {text!r}", f"{name} of {', '.join(allowed)}")
        return allowed[text.lower()]

    return read


def _text(_: str, text: str) -> str:
    return text


def _file(name: str, text: str) -> str:
    if not os.access(text, os.R_OK):
        raise _RefusedError(f"with {name} {text!r}", f"a file that can be read as {name}")
    return text


_SCHEMES: Final[Mapping[str, tuple[type, Callable[[SplitResult], dict[str, Any]]]]] = {
    "redis": (Connection, _network),
    "rediss": (TLSConnection, _network),
    "unix": (UnixDomainSocketConnection, _unix),
}
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

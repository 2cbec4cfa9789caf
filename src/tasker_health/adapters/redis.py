"""The shared status in Redis (or Valkey): one key, one attempt, no waiting for a dead server.

The value is a fingerprint of the key it was written for, and the report's bytes. Whatever
else stands there, of whatever type and size, is a miss; it is removed in one step on the
server, and only while it is still what was read.

redis-py's defaults (ten retries, 5 s each, 100 connections) suit a store that must answer.
A cache must not: here a command is tried once, under one bound for all that it takes; a
connection whose command was given up is closed, so that nobody reads its late reply.
Opening a connection takes several round trips, TLS more; so it goes on in the background,
under a bound of its own, when the caller's time is over.

A role needs ``+ping +getrange +exists +set +eval +type +unlink`` on ``~tasker_health:*``.

What is left out on purpose: Sentinel and Cluster, which need clients of their own. Both
can be opened by the caller and given to :class:`RedisStatusCache`.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import math
import os
import re
import socket
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis import exceptions as vendor
from redis.asyncio import (
    BlockingConnectionPool,
    Connection,
    Redis,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.client import NEVER_DECODE
from redis.maint_notifications import MaintNotificationsConfig

from tasker_health.domain.errors import CacheError, ConfigurationError, DeadlineError
from tasker_health.domain.flight import Flight
from tasker_health.domain.reasons import Reason
from tasker_health.formats import snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from tasker_health.domain.ports import StatusCache
    from tasker_health.domain.status import StatusReport

__all__ = ["RedisStatusCache", "open_redis_cache"]

_TIMEOUT_SECONDS: Final = 0.025
_CONNECT_SECONDS: Final = 1.0
_CONNECTIONS: Final = 8
_FINGERPRINT_BYTES: Final = 16
_LAST_BYTE: Final = _FINGERPRINT_BYTES + snapshot.LARGEST_BYTES
"""One more than a good value has, so that a larger one is seen to be larger. No more than
this is ever sent to us, however much is stored."""

_DISCARD: Final = """
local is_string = redis.call('TYPE', KEYS[1]).ok == 'string'
local seen = is_string and redis.call('GETRANGE', KEYS[1], 0, ARGV[2]) or ''
return seen == ARGV[1] and redis.call('UNLINK', KEYS[1]) or 0
"""


class RedisStatusCache:
    """One report under one key of an opened client.

    Args:
        client: whoever opened it closes it, after :meth:`aclose`. Its own time-outs and
            retries apply within ``timeout_seconds``.
        key: which Tasker it is; the same in every process that watches it.
        namespace: what the key begins with.
        timeout_seconds: what one use costs at most, > 0.
    """

    def __init__(
        self,
        client: Redis,
        *,
        key: str,
        namespace: str = "tasker_health",
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self._client: Any = client
        self._key: Final = f"{namespace}:status:{key}"
        digest = hashlib.sha256(self._key.encode()).hexdigest()
        self._fingerprint: Final = digest[:_FINGERPRINT_BYTES].encode()
        self._timeout_seconds: Final = timeout_seconds
        self._reached = False
        self._reaching: Final = Flight[None]()
        self._unreadable = 0

    @property
    def unreadable(self) -> int:
        """How many values were found that could not be read."""
        return self._unreadable

    async def get(self) -> StatusReport | None:
        """Give back what was put; None when there is nothing, or nothing readable.

        Raises:
            CacheError: Redis did not answer, or would not.
        """
        async with self._use():
            found = await self._stored()
            if found is None:
                return None
            try:
                return self._read(found)
            except ValueError:
                await self._discard(found)
                return None

    async def put(self, report: StatusReport, keep_seconds: float) -> None:
        """Keep the report for ``keep_seconds``, > 0, in place of any other.

        Raises:
            CacheError: Redis did not take it, or could not give it back as it is.
        """
        try:
            value = self._fingerprint + snapshot.encode(report)
        except ValueError as error:
            raise CacheError(Reason.FAILED) from error
        keep_ms = max(1, math.ceil(keep_seconds * 1000))
        async with self._use():
            await self._client.set(self._key, value, px=keep_ms)

    async def aclose(self) -> None:
        """End what is under way. The client stays open: it is its opener's."""
        await self._reaching.aclose()

    async def _stored(self) -> bytes | None:
        """Read what stands under the key; None for nothing, empty for what is no string.

        Redis reads an empty string where there is nothing, so it is asked for both at once.
        """
        async with self._client.pipeline(transaction=False) as both:
            # The client may be one that decodes; these bytes are nobody's text yet.
            both.execute_command("GETRANGE", self._key, 0, _LAST_BYTE, **{NEVER_DECODE: True})
            both.exists(self._key)
            found, exists = await both.execute(raise_on_error=False)
        for answer in (found, exists):
            if isinstance(answer, Exception) and not str(answer).startswith("WRONGTYPE"):
                raise answer
        if not exists:
            return None
        return found if isinstance(found, bytes) else b""

    def _read(self, found: bytes) -> StatusReport:
        if not found.startswith(self._fingerprint):
            raise ValueError("what stands under the key was not put there for it")
        return snapshot.decode(found[_FINGERPRINT_BYTES:])

    async def _discard(self, found: bytes) -> None:
        """Remove what could not be read, unless somebody has replaced it since."""
        self._unreadable += 1
        with suppress(vendor.ResponseError):  # a replica, say; it stays a miss
            await self._client.eval(_DISCARD, 1, self._key, found, _LAST_BYTE)

    @asynccontextmanager
    async def _use(self) -> AsyncIterator[None]:
        """Bound one use of the client, and say what went wrong in our words."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._reach()
                yield
        except vendor.ResponseError as error:
            raise CacheError(_reason(error)) from error
        except (vendor.RedisError, OSError, UnicodeError, DeadlineError) as error:
            self._reached = False
            raise CacheError(_reason(error)) from error
        except asyncio.CancelledError:
            self._reached = False
            raise

    async def _reach(self) -> None:
        """Wait until there is an open connection; opening it goes on when a caller gives up."""
        if not self._reached:
            await self._reaching.join(self._ping, patience_seconds=_CONNECT_SECONDS)

    async def _ping(self) -> None:
        """Leave an open connection in the pool."""
        async with asyncio.timeout(_CONNECT_SECONDS):
            await self._client.ping()
        self._reached = True


class _OwnRedisStatusCache(RedisStatusCache):
    """A cache whose client was opened here, and so is closed here."""

    async def aclose(self) -> None:
        """End what is under way and close the client, within a second each."""
        await super().aclose()
        with suppress(vendor.RedisError, OSError):
            async with asyncio.timeout(_CONNECT_SECONDS):
                await self._client.aclose()


class _TLSConnection(SSLConnection):
    """A TLS connection that does not wait half a minute for a frozen peer's goodbye."""

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "ssl_shutdown_timeout": _CONNECT_SECONDS}


def open_redis_cache(
    url: str,
    *,
    key: str,
    source: str = "",
    timeout_seconds: float = _TIMEOUT_SECONDS,
) -> RedisStatusCache:
    """Make a cache of a URL. Connects when it is first used; ``aclose()`` closes all of it.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, as redis-py's users write it.
        key: which Tasker it is.
        source: where the URL came from, for the error.
        timeout_seconds: what one use costs at most, > 0.

    Raises:
        ConfigurationError: the URL is none of these; its secrets are not repeated.
    """
    pool = BlockingConnectionPool(
        max_connections=_CONNECTIONS,
        timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        # Every command is bounded where it is given. redis-py's own bound is made of
        # asyncio.wait_for, which swallows a cancellation now and then (Python 3.11).
        socket_timeout=None,
        socket_connect_timeout=_CONNECT_SECONDS,
        # The rest of redis-py's greeting costs round trips and tells us nothing.
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **{"protocol": 2, **_connection(url, source)},
    )
    return _OwnRedisStatusCache(Redis.from_pool(pool), key=key, timeout_seconds=timeout_seconds)


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


class _RefusedError(ValueError):
    """What a URL gives and what is allowed there; never holds more of the URL than that."""

    def __init__(self, given: str, allowed: str) -> None:
        super().__init__(given, allowed)
        self.given, self.allowed = given, allowed


def _connection(url: str, source: str) -> dict[str, Any]:
    """Turn a URL into the arguments of a connection."""
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
    known = _TLS_OPTIONS if connection_class is _TLSConnection else _OPTIONS
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
    "rediss": (_TLSConnection, _network),
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

_KINDS: Final[tuple[tuple[type[BaseException], Reason], ...]] = (
    (vendor.BusyLoadingError, Reason.STARTING),
    (vendor.AuthenticationError, Reason.AUTH),
    (vendor.AuthorizationError, Reason.AUTH),
    (vendor.NoPermissionError, Reason.AUTH),
    (vendor.MaxConnectionsError, Reason.TOO_MANY_CONNECTIONS),
    (vendor.ReadOnlyError, Reason.READ_ONLY),
    (vendor.ClusterDownError, Reason.RECOVERING),
    (vendor.MasterDownError, Reason.RECOVERING),
    (vendor.TryAgainError, Reason.RECOVERING),
    (vendor.TimeoutError, Reason.TIMEOUT),
    (TimeoutError, Reason.TIMEOUT),
    (DeadlineError, Reason.TIMEOUT),
    (socket.gaierror, Reason.DNS),
    (UnicodeError, Reason.DNS),
    (ssl.SSLError, Reason.TLS),
    (ConnectionRefusedError, Reason.REFUSED),
    (FileNotFoundError, Reason.REFUSED),
    (ConnectionError, Reason.RECOVERING),
)
_WORDS: Final[tuple[tuple[re.Pattern[str], Reason], ...]] = (
    (re.compile(r"^BUSY "), Reason.LOCKED),
    (re.compile(r"^MISCONF "), Reason.DISK_FULL),
    (re.compile(r"max number of clients"), Reason.TOO_MANY_CONNECTIONS),
    # redis-py and asyncio may leave of the system's error no more than these words.
    (re.compile(rf"(?:\[Errno|Error) {errno.ECONNREFUSED}\b"), Reason.REFUSED),
    (
        re.compile(rf"(?:\[Errno|Error) (?:{errno.ENETUNREACH}|{errno.EHOSTUNREACH})\b"),
        Reason.UNREACHABLE,
    ),
    (re.compile(r"Error -\d+ connecting"), Reason.DNS),
    (re.compile(r"\[SSL\b"), Reason.TLS),
)


def _reason(error: BaseException) -> Reason:
    """Find the most telling error of the chain: redis-py wraps what it meets."""
    for met in _chain(error):
        for kind, reason in _KINDS:
            if isinstance(met, kind):
                return reason
        for words, reason in _WORDS:
            if words.search(str(met)):
                return reason
    return Reason.RECOVERING if isinstance(error, vendor.ConnectionError) else Reason.FAILED


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


_: type[StatusCache] = RedisStatusCache

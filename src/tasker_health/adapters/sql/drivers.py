"""What differs between the drivers: how each is opened, and how each is cut off at once.

SQLAlchemy talks to all of them alike as long as they answer. When a server is frozen its
own clean-up waits for words that do not come, so every connection that a driver opens is
remembered here, weakly, and can be ended without asking the server.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode
from weakref import WeakSet

import aiosqlite
import asyncpg  # type: ignore[import-untyped]  # it ships no types

if TYPE_CHECKING:
    from collections.abc import Mapping
    from threading import Thread

    from tasker_health.adapters.sql.url import DatabaseTarget

__all__ = ["Connector", "is_closed", "terminate"]

_FAREWELL_SECONDS: Final = 0.5
_HANDSHAKE_SECONDS: Final = 0.25


class _PromptConnection(asyncpg.Connection):  # type: ignore[misc]  # as above
    """A connection that does not wait long for a farewell."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  theirs
        with suppress(TimeoutError):  # it is cut off by then
            await super().close(timeout=min(timeout or _FAREWELL_SECONDS, _FAREWELL_SECONDS))


class Connector:
    """Opens a driver's connections to one target, and remembers those that are open.

    Args:
        target: where to.
        settings: of the server's session, in place of the target's where both speak.
        connect_timeout_seconds: how long an attempt may take; for SQLite, a lock be waited for.
        prepared_statements: whether statements may be kept on the server.
        writes: whether SQLite's file may be written, and made where it is missing.
    """

    def __init__(
        self,
        target: DatabaseTarget,
        *,
        settings: Mapping[str, str],
        connect_timeout_seconds: float,
        prepared_statements: bool,
        writes: bool = False,
    ) -> None:
        self._target = target
        self._settings: Final = {**target.settings, **settings}
        self._timeout: Final = connect_timeout_seconds
        self._prepared: Final = prepared_statements
        self._writes: Final = writes
        self._numbers: Final = count(1)
        self._open: Final[WeakSet[Any]] = WeakSet()
        self._threads: Final[WeakSet[Thread]] = WeakSet()

    @property
    def url(self) -> str:
        """What SQLAlchemy needs to know: the driver, and nothing that is secret."""
        return f"{self._target.dialect}+{self._target.driver}://"

    @property
    def arguments(self) -> dict[str, Any]:
        """What SQLAlchemy hands on when it connects."""
        arguments: dict[str, Any] = {"async_creator_fn": self._connect}
        if self._target.driver == "asyncpg" and self._prepared:
            # Only a statement with a name stays on the server: others are read anew each time.
            arguments["prepared_statement_name_func"] = self._next_name
        elif self._target.driver == "asyncpg":
            arguments |= {
                "prepared_statement_cache_size": 0,
                "prepared_statement_name_func": str,  # the unnamed statement
            }
        return arguments

    def _next_name(self) -> str:
        return f"tasker_health_{next(self._numbers)}"

    def terminate(self) -> None:
        """End every connection that is still open, without a word to the server."""
        for raw in tuple(self._open):
            terminate(raw)

    async def settle(self) -> None:
        """Wait, a little, for SQLite's threads to end: a loop must not close under them."""
        for thread in tuple(self._threads):
            if thread.is_alive():
                await asyncio.to_thread(thread.join, _FAREWELL_SECONDS)

    async def _connect(self, *_: object, **__: object) -> Any:
        """Connect. When cancelled, let the attempt finish on its own for a moment, and drop it.

        A driver that is cancelled half-way through a handshake leaves loose ends behind.
        """
        attempt = asyncio.get_running_loop().create_task(self._attempt())
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            late = asyncio.get_running_loop().call_later(_HANDSHAKE_SECONDS, attempt.cancel)
            attempt.add_done_callback(lambda _: late.cancel())
            attempt.add_done_callback(_drop)
            raise

    async def _attempt(self) -> Any:
        match self._target.driver:
            case "asyncpg":
                raw = await asyncpg.connect(**self._asyncpg())
            case "psycopg":
                raw = await _psycopg_connect(self._psycopg(), self._zone)
            case _:
                raw = await self._sqlite()
        self._open.add(raw)
        return raw

    def _asyncpg(self) -> dict[str, Any]:
        target = self._target
        return {
            "dsn": f"postgresql://?{urlencode(target.tls)}" if target.tls else None,
            "host": [host for host, _ in target.hosts] or None,
            "port": [port for _, port in target.hosts] or None,
            "user": target.user.reveal() or None,
            "password": target.password.reveal() or None,
            "database": target.database or None,
            "timeout": self._timeout,
            "target_session_attrs": target.target_session_attrs or None,
            "server_settings": self._settings,
            "statement_cache_size": 0,  # SQLAlchemy keeps its own
            "connection_class": _PromptConnection,
        }

    def _psycopg(self) -> dict[str, Any]:
        target = self._target
        settings = {**self._settings}
        if self._zone:
            del settings["timezone"]
        arguments = {
            **target.tls,
            "host": ",".join(host for host, _ in target.hosts),
            "port": ",".join(str(port) for _, port in target.hosts),
            "user": target.user.reveal(),
            "password": target.password.reveal(),
            "dbname": target.database,
            "application_name": settings.pop("application_name", ""),
            "target_session_attrs": target.target_session_attrs,
            "connect_timeout": str(max(2, round(self._timeout))),
            "options": " ".join(f"-c {name}={_escaped(of)}" for name, of in settings.items()),
        }
        given = {name: value for name, value in arguments.items() if value}
        return given if self._prepared else {**given, "prepare_threshold": None}

    @property
    def _zone(self) -> str:
        """The zone that is told after connecting: a pooler takes no options from libpq.

        It keeps the zone for each client, as it does an application's name.
        """
        return "" if self._prepared else self._settings.get("timezone", "")

    async def _sqlite(self) -> aiosqlite.Connection:
        # Tasker's is never made anew, and never written: a missing file is an error to be told.
        place = f"file:{quote(self._target.database)}?mode={'rwc' if self._writes else 'rw'}"
        raw = aiosqlite.connect(place, uri=True, timeout=self._timeout)
        raw._thread.daemon = True  # noqa: SLF001  as SQLAlchemy does it; no other way
        self._open.add(raw)  # before anything can be cancelled
        self._threads.add(raw._thread)  # noqa: SLF001  as above
        await raw
        if not self._writes:
            await raw.execute("PRAGMA query_only = ON")
        return raw


def _drop(attempt: asyncio.Task[Any]) -> None:
    """End a connection that nobody waits for any more, if it came about."""
    if not attempt.cancelled() and attempt.exception() is None:
        terminate(attempt.result())


def is_closed(raw: Any) -> bool:
    """Tell whether a driver's connection is known to be over, without asking the server."""
    match raw:
        case asyncpg.Connection():
            return bool(raw.is_closed())
        case aiosqlite.Connection():
            return not raw._running  # noqa: SLF001  it has no word for it
        case _:
            return bool(raw.closed)


def terminate(raw: Any) -> None:
    """End a driver's connection at once, without a word to the server. Raises nothing."""
    match raw:
        case asyncpg.Connection():
            if not raw.is_closed():
                raw.terminate()
        case aiosqlite.Connection():
            if raw._running:  # noqa: SLF001  as above
                raw.stop()
        case _:
            raw.pgconn.finish()


async def _psycopg_connect(arguments: Mapping[str, Any], zone: str) -> Any:
    from psycopg import AsyncConnection  # noqa: PLC0415  an extra, loaded where it is chosen

    raw = await AsyncConnection.connect(**arguments)
    if zone:
        try:
            await raw.set_autocommit(True)
            await raw.execute("SELECT set_config('timezone', %s, false)", [zone])
            await raw.set_autocommit(False)
        except BaseException:
            terminate(raw)
            raise
    return raw


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")

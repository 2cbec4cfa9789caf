"""The readiness probe's own way to the database: one warm connection, one round trip.

Three things make the difference between a probe and a query:

- A driver's own clean-up waits for a server that does not speak. So each question runs in a
  task of its own; a caller who gives up ends the connection under it and goes.
- Connecting takes as long as it takes. It goes on in the background, one attempt at a time
  and never two within a quarter of a second, and whoever asks next finds it done.
- A connection that the server ended while it lay idle says nothing about the server. It is
  replaced, and the question is asked again in the same call.

Source: the project's fault table.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import attrs
from sqlalchemy.ext.asyncio import AsyncConnection

from tasker_health.adapters.sql.drivers import is_closed, terminate
from tasker_health.adapters.sql.failures import reason_of
from tasker_health.adapters.sql.reading import read_catalogue, read_writable
from tasker_health.domain.checks import CheckStatus
from tasker_health.domain.database import judge
from tasker_health.domain.errors import SourceError
from tasker_health.domain.flight import Flight
from tasker_health.domain.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tasker_health.domain.database import DatabaseExpectations, DatabaseFacts
    from tasker_health.domain.ports import Clock, DatabaseProbe

__all__ = ["SqlDatabaseProbe"]

_CATALOGUE_SECONDS: Final = 60.0
_ATTEMPT_INTERVAL_SECONDS: Final = 0.25
_LEAVE_SECONDS: Final = (0.05, 0.1)
_FAREWELL_SECONDS: Final = (0.6, 0.7)
_CLOSE_SECONDS: Final = 1.0


class _ClosedError(Exception):
    """The connection was over before the answer came; the driver's error is the cause."""


@attrs.frozen(eq=False)
class _Line:
    """The warm connection: as SQLAlchemy has it, and as the driver does."""

    connection: AsyncConnection
    raw: Any

    @property
    def closed(self) -> bool:
        return self.connection.closed or self.connection.invalidated or is_closed(self.raw)


class SqlDatabaseProbe:
    """Asks PostgreSQL or SQLite how it is.

    Args:
        engine: without a pool, in autocommit; closed by whoever opened it.
        cut_off: ends every connection of the engine at once, without a word to the server.
        clock: tells how long things took and how old they are.
        expectations: which generation we were told of, and which migrations.
        connect_timeout_seconds: how long one attempt to connect may take.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        cut_off: Callable[[], None],
        clock: Clock,
        expectations: DatabaseExpectations,
        connect_timeout_seconds: float = 5.0,
    ) -> None:
        self._engine = engine
        self._cut_off = cut_off
        self._clock = clock
        self._expectations = expectations
        self._timeout_seconds: Final = connect_timeout_seconds
        self._turn: Final = asyncio.Lock()
        self._connecting: Final = Flight[_Line]()
        self._next_attempt_at = float("-inf")
        self._line: _Line | None = None
        self._failure: SourceError | None = None
        self._known: DatabaseFacts | None = None
        self._known_until = float("-inf")
        self._leaving: Final[set[asyncio.Task[Any]]] = set()

    async def observe(self) -> DatabaseFacts:
        """Ask the database how it is.

        Raises:
            SourceError: it did not answer, and why.
        """
        async with self._turn:
            try:
                return await self._ask(await self._warm_line())
            except _ClosedError:
                pass  # it says nothing of the server yet
            try:
                return await self._ask(await self._warm_line())
            except _ClosedError as closed:
                raise SourceError(Reason.RECOVERING) from closed.__cause__

    async def aclose(self) -> None:
        """End the connection and all that is under way; bounded, whatever the server does."""
        await self._connecting.aclose()
        line, self._line = self._line, None
        if line is not None:
            self._see_off(asyncio.ensure_future(_close(line)), _FAREWELL_SECONDS)
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=_CLOSE_SECONDS)
        self._cut_off()

    async def _warm_line(self) -> _Line:
        line = self._line
        if line is not None and not line.closed:
            return line
        if line is not None:
            self._hang_up(line)
        connecting = self._connecting.begin(self._connect)
        if self._failure is not None and self._clock.monotonic() < self._next_attempt_at:
            # Nothing newer will be known soon; the next caller finds the next attempt made.
            raise SourceError(self._failure.reason) from self._failure.__cause__
        await asyncio.wait({connecting})
        if connecting.cancelled():
            raise SourceError(Reason.FAILED)
        return connecting.result()

    async def _connect(self) -> _Line:
        """Make one attempt, as soon as one may be made."""
        await asyncio.sleep(self._next_attempt_at - self._clock.monotonic())
        self._next_attempt_at = self._clock.monotonic() + _ATTEMPT_INTERVAL_SECONDS
        opening = asyncio.ensure_future(self._open())
        try:
            await asyncio.wait({opening}, timeout=self._timeout_seconds)
            if not opening.done():
                raise TimeoutError("no connection in time")  # noqa: TRY301  one place for all
            self._line = opening.result()
        except Exception as error:
            self._failure = SourceError(reason_of(error))
            raise self._failure from error
        finally:
            self._see_off(opening, _LEAVE_SECONDS)
        self._failure = None
        return self._line

    async def _open(self) -> _Line:
        try:
            connection = await self._engine.connect()
            pooled = await connection.get_raw_connection()
        except BaseException:
            self._cut_off()  # what was opened, and then not finished
            raise
        return _Line(connection, pooled.driver_connection)

    async def _ask(self, line: _Line) -> DatabaseFacts:
        """Ask on this connection; whoever gives up ends it, and does not wait for that.

        Raises:
            _ClosedError: the connection is over.
            SourceError: the server answered with an error.
        """
        asking = asyncio.ensure_future(self._read(line.connection))
        try:
            await asyncio.wait({asking})
        finally:
            if not asking.done():
                self._hang_up(line, asking)
                self._connecting.begin(self._connect)
        try:
            return asking.result()
        except Exception as error:
            self._known_until = float("-inf")
            if line.closed:
                raise _ClosedError from error
            raise SourceError(reason_of(error)) from error

    async def _read(self, connection: AsyncConnection) -> DatabaseFacts:
        """Make the one round trip; more of them when the catalogue must be looked at anew."""
        began = self._clock.monotonic()
        writable = await read_writable(connection)
        took_ms = max(0.0, self._clock.monotonic() - began) * 1000
        known = self._known
        if known is None or began >= self._known_until:
            catalogue = await read_catalogue(connection)
            known = self._known = catalogue.facts(self._expectations)
            results = judge(known, self._expectations)
            good = all(result.status is CheckStatus.OK for result in results)
            self._known_until = began + _CATALOGUE_SECONDS if good else float("-inf")
        return attrs.evolve(known, round_trip_ms=took_ms, writable=writable)

    def _hang_up(self, line: _Line, asking: asyncio.Task[Any] | None = None) -> None:
        """End a connection at once; what is left to do is done in the background."""
        self._line = None
        if asking is not None:
            self._see_off(asking, _LEAVE_SECONDS)
        terminate(line.raw)
        self._see_off(asyncio.ensure_future(_close(line, asking)), _FAREWELL_SECONDS)

    def _see_off(self, task: asyncio.Task[Any], seconds: tuple[float, ...]) -> None:
        """Let a task end by itself, or cancel it: twice, for the second one aborts clean-up."""
        if task.done():
            return
        loop = asyncio.get_running_loop()
        cancelling = [loop.call_later(delay, task.cancel) for delay in seconds]

        def left(task: asyncio.Task[Any]) -> None:
            self._leaving.discard(task)
            for handle in cancelling:
                handle.cancel()
            if not task.cancelled() and task.exception() is None:
                result = task.result()
                if isinstance(result, _Line):  # it came, and nobody was waiting any more
                    self._hang_up(result)

        self._leaving.add(task)
        task.add_done_callback(left)


async def _close(line: _Line, asking: asyncio.Task[Any] | None = None) -> None:
    """Close SQLAlchemy's side of a connection once nobody uses it."""
    if asking is not None:
        await asyncio.wait({asking})
    try:
        with suppress(Exception):  # it is over either way
            await line.connection.close()
    finally:
        terminate(line.raw)


if TYPE_CHECKING:
    _: type[DatabaseProbe] = SqlDatabaseProbe

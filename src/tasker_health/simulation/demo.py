"""A living Tasker to look at: a database that is made ready, and a workload that runs on it.

Without a URL it is a SQLite file in a folder of its own that is removed at the end, in WAL
mode, so that the one who writes and those who read never wait for each other. With a URL
it is an empty PostgreSQL database, or one that an earlier demo made: each run begins anew
and drops the tables of the one before, which carry its mark. Any other it refuses.

It begins with :data:`HISTORY` already worked. What then goes on, and wrong, is told in
``workload.py``.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sqlalchemy import event
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from tasker_health.adapters.memory.world import World
from tasker_health.adapters.sql.drivers import Connector
from tasker_health.adapters.sql.failures import reason_of
from tasker_health.adapters.sql.url import parse_database_url
from tasker_health.domain.database import Generation
from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.reasons import ADVICE
from tasker_health.simulation.claiming import SETTING, claim, reserve
from tasker_health.simulation.living import MoveWriter
from tasker_health.simulation.loading import load
from tasker_health.simulation.moves import apply
from tasker_health.simulation.schema import ddl
from tasker_health.simulation.workload import moves

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from tasker_health.domain.ports import Clock
    from tasker_health.simulation.moves import Move

__all__ = ["HISTORY", "Demo", "prepared_demo"]

HISTORY: Final = timedelta(minutes=100)
"""How much work lies behind when the demo begins: more than a report looks back upon.

With the default seed the first task that nobody looks at then comes after ten minutes.
"""

_LONGEST_NAP_SECONDS: Final = 1.0
_WRITE_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 1.0
_CONNECT_SECONDS: Final = 5.0
_PREPARE_SECONDS: Final = 60.0
_CLOSE_SECONDS: Final = 1.0


class Demo:
    """A prepared database and the work that is still to come.

    Attributes:
        database_url: where it is, as a setting takes it.
        generation: whose tables stand there.
    """

    def __init__(
        self,
        *,
        database_url: str,
        generation: Generation,
        writer: MoveWriter,
        work: Iterator[Move],
        clock: Clock,
    ) -> None:
        self.database_url: Final = database_url
        self.generation: Final = generation
        self._writer = writer
        self._work = work
        self._clock = clock

    async def run(self) -> None:
        """Make each move when it is due, until cancelled. A failing database is waited for."""
        for move in self._work:
            await self._until_due(move)
            await self._write(move)

    async def _until_due(self, move: Move) -> None:
        """Sleep in naps: the wall clock may be set meanwhile."""
        while (wait := (move.at - self._clock.now()).total_seconds()) > 0:  # noqa: ASYNC110  a clock sets no event
            await asyncio.sleep(min(wait, _LONGEST_NAP_SECONDS))

    async def _write(self, move: Move) -> None:
        while True:
            try:
                async with asyncio.timeout(_WRITE_SECONDS):
                    return await self._writer.write(move)
            except IntegrityError:
                return None  # it stands there: the last answer was lost, not the move
            except (SQLAlchemyError, OSError, TimeoutError):
                await asyncio.sleep(_PAUSE_SECONDS)


@asynccontextmanager
async def prepared_demo(
    database_url: str | None = None,
    *,
    generation: Generation = Generation.ENGINE,
    seed: int = 1,
    clock: Clock,
) -> AsyncIterator[Demo]:
    """Make a database ready: tables, and the work of :data:`HISTORY`.

    Args:
        database_url: an empty PostgreSQL database, or an earlier demo's; None for a SQLite
            file that lasts as long as the context.
        generation: whose tables; SQLite knows the engine's alone.
        seed: the same seed works in the same way.
        clock: tells when now is.

    Raises:
        ConfigurationError: the database cannot be had; one that is refused is untouched.
    """
    opened = _embedded(generation) if database_url is None else _given(database_url, generation)
    async with opened as (engine, url):
        work = moves(generation, seed=seed, begin=clock.now() - HISTORY)
        with _told():
            work = await _worked_off(engine, World(generation=generation), work, clock)
        yield Demo(
            database_url=url,
            generation=generation,
            writer=MoveWriter(engine, generation),
            work=work,
            clock=clock,
        )


async def _worked_off(
    engine: AsyncEngine, world: World, work: Iterator[Move], clock: Clock
) -> Iterator[Move]:
    """Put what is past into the database at once; give back what is still to come."""
    now = clock.now()
    while (move := next(work)).at <= now:  # work never ends
        apply(world, move)
    await load(engine, world)
    return itertools.chain([move], work)


@asynccontextmanager
async def _embedded(generation: Generation) -> AsyncIterator[tuple[AsyncEngine, str]]:
    if generation is not Generation.ENGINE:
        raise ConfigurationError(
            "--generation", generation.value, f"engine, unless {SETTING} names a PostgreSQL"
        )
    with tempfile.TemporaryDirectory(
        prefix="tasker-health-demo-", ignore_cleanup_errors=True
    ) as folder:
        path = quote(str(Path(folder) / "tasker.sqlite3"))
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}", hide_parameters=True)
        event.listen(engine.sync_engine, "connect", _make_quick)
        try:
            async with engine.begin() as connection:
                for statement in ddl(generation, "sqlite"):
                    await connection.exec_driver_sql(statement)
            yield engine, f"sqlite:///{path}"
        finally:
            await engine.dispose()


def _make_quick(connection: Any, *_: object) -> None:
    """Let readers read while we write; a file that lasts no longer than we need not be safe."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = OFF")
    cursor.close()


@asynccontextmanager
async def _given(url: str, generation: Generation) -> AsyncIterator[tuple[AsyncEngine, str]]:
    target = parse_database_url(url, source=SETTING)
    if target.dialect != "postgresql":
        raise ConfigurationError(
            SETTING, "a SQLite database", f"postgresql://…; without {SETTING} SQLite is used"
        )
    connector = Connector(
        target,
        settings={"application_name": "tasker-health-demo", "timezone": "UTC"},
        connect_timeout_seconds=target.connect_timeout_seconds or _CONNECT_SECONDS,
        prepared_statements=target.prepared_statements is not False,
    )
    engine = create_async_engine(
        connector.url,
        connect_args=connector.arguments,
        pool_size=2,  # one writes, one keeps other demos away
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,
    )
    keeper = engine.connect()  # its connection holds the lock that keeps other demos away
    try:
        with _told():
            async with asyncio.timeout(_PREPARE_SECONDS):
                await keeper.start()
                await reserve(keeper)
                await keeper.commit()
                async with engine.begin() as connection:
                    await claim(connection, generation)
        yield engine, url
    finally:
        await _close(engine, keeper, connector)


@contextmanager
def _told() -> Iterator[None]:
    """Turn what a database says while it is prepared into one line for the user."""
    try:
        yield
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        reason = reason_of(error)
        raise ConfigurationError(
            SETTING,
            "",
            "a PostgreSQL database that answers and in which we may make tables;"
            f" this one did not take them ({reason}: {ADVICE[reason]})",
        ) from error


async def _close(engine: AsyncEngine, keeper: AsyncConnection, connector: Connector) -> None:
    """Say farewell if the server listens, and hang up if it does not."""
    farewell = asyncio.ensure_future(_farewell(engine, keeper))
    try:
        await asyncio.wait({farewell}, timeout=_CLOSE_SECONDS)
    finally:
        connector.terminate()
        farewell.cancel()
    await asyncio.wait({farewell}, timeout=_CLOSE_SECONDS)


async def _farewell(engine: AsyncEngine, keeper: AsyncConnection) -> None:
    # A connection that never began, or that the server ended, has nothing to close.
    with suppress(SQLAlchemyError, OSError):
        await keeper.close()
    await engine.dispose()

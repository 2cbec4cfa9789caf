"""The guide's table of response times, measured: ``ab -n 1000 -c 10`` on each endpoint.

The real ``tasker-health serve`` stands before a real PostgreSQL that holds a Tasker of
:data:`TASKS` tasks, and a real Redis. Beside the guide's figures stand the floors of the
same run: an ASGI callable on the same server that does nothing, or asks PostgreSQL for
``SELECT 1``, or Redis for one key. All are asked in turn, round after round; each figure is
the median of the rounds. Client, service, PostgreSQL and Redis share the machine.

*Uncached* is with readiness reused for no time and the status cached for none: whoever
asks while a measurement is under way still shares it.

Source: guide, *Performance Benchmarks*, *Load Testing* and *Optimization Tips*.
"""

from __future__ import annotations

import asyncio
import csv
import os
import re
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg  # type: ignore[import-untyped]  # it has no types
import attrs
import uvicorn
from benchmarks.endpoints import await_answer, bare, free_port
from redis.asyncio import Redis
from tests.integration.postgres_programs import find_postgres
from tests.integration.postgres_server import OwnPostgresServer
from tests.integration.redis_server import RedisServer
from tests.integration.served import served
from tests.integration.tasker_databases import fill, writing
from tests.programs import program

from tasker_health.adapters.memory.world import Step, Task, Transition, World
from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from tasker_health.entrypoints.asgi import Receive, Scope, Send

__all__ = ["main"]

TASKS: Final = 5_000
ROUNDS: Final = 5
REQUESTS: Final = 1_000
CONNECTIONS: Final = 10

_FIGURES: Final = {
    "requests": r"Complete requests:\s+(\d+)",
    "failed": r"Non-2xx responses:\s+(\d+)",
    "rate": r"Requests per second:\s+([\d.]+)",
}


@attrs.frozen
class Row:
    """One line of the table.

    Args:
        name: what is asked.
        url: where.
        claim: what the guide says of it, milliseconds; empty where it says nothing.
    """

    name: str
    url: str
    claim: str = ""


@attrs.frozen
class Times:
    """How one round came out; times in milliseconds."""

    p50: float
    p99: float
    rate: float


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        rows = _rows(stack, Path(folder))
        rounds: dict[str, list[Times]] = {row.name: [] for row in rows}
        for number in range(-1, ROUNDS):
            for row in rows:
                times = _asked(row.url, Path(folder))
                if number >= 0:  # the first round only warms up
                    rounds[row.name].append(times)
    print(
        f"guide's table: ab -n {REQUESTS} -c {CONNECTIONS}, PostgreSQL with {TASKS} tasks,"
        f" medians of {ROUNDS} interleaved rounds"
    )
    print(f"{'':<32}{'p50 ms':>8}{'p99 ms':>8}{'requests/s':>12}{'guide says ms':>16}")
    for row in rows:
        p50, p99, rate = (
            statistics.median(getattr(times, name) for times in rounds[row.name])
            for name in ("p50", "p99", "rate")
        )
        print(f"{row.name:<32}{p50:>8.1f}{p99:>8.1f}{rate:>12.0f}{row.claim:>16}")


def _rows(stack: ExitStack, folder: Path) -> Sequence[Row]:
    """Start everything that is asked, and tell where it stands."""
    postgres = OwnPostgresServer(find_postgres()[0])
    stack.callback(postgres.close)
    redis = RedisServer({})
    stack.callback(redis.close)
    database = postgres.create_database(Generation.ENGINE)
    asyncio.run(_fill(database))
    urls = {"database_url": database, "cache_url": redis.url}
    usual = stack.enter_context(served(folder, **urls))
    uncached = stack.enter_context(
        served(
            folder,
            **urls,
            readiness_reuse_seconds=0,
            readiness_retry_seconds=0,
            cache_duration_seconds=0,
        )
    )
    floors = stack.enter_context(_floors(database, redis.url))
    health = f"http://127.0.0.1:{usual.port}/tasker/health"
    fresh = f"http://127.0.0.1:{uncached.port}/tasker/health"
    return (
        Row("/live", f"{health}/live", "5-10"),
        Row("/ready, reused for its second", f"{health}/ready"),
        Row("/ready, asked anew", f"{fresh}/ready", "50-80"),
        Row("/status, cached", f"{health}/status", "10-15"),
        Row("/status, uncached", f"{fresh}/status", "80-120"),
        Row("floor: bare ASGI", f"{floors}/bare"),
        Row("floor: bare ASGI + SELECT 1", f"{floors}/postgres"),
        Row("floor: bare ASGI + Redis GET", f"{floors}/redis"),
    )


async def _fill(url: str) -> None:
    async with writing(url) as engine:
        await fill(engine, _world(datetime.now(UTC)))


def _world(now: datetime) -> World:
    """Make a Tasker that did a little of everything, most of it long ago."""
    ways = (
        ("pending", "in_progress", "complete"),
        ("pending", "in_progress", "complete"),
        ("pending", "in_progress", "complete"),
        ("pending", "in_progress", "error"),
        ("pending", "in_progress"),
        ("pending",),
    )
    world = World(generation=Generation.ENGINE)
    for number in range(1, TASKS + 1):
        way = ways[number % len(ways)] if number % 20 == 0 else ways[0]
        began = now - timedelta(minutes=number)
        moves = _moves(way, began)
        done = way[-1] == "complete"
        world.tasks[number] = Task(id=number, created_at=began, transitions=moves, complete=done)
        for step in range(3):
            identity = 3 * number + step
            world.steps[identity] = Step(
                id=identity, task_id=number, created_at=began, attempts=1, transitions=list(moves)
            )
    return world


def _moves(way: Sequence[str], began: datetime) -> list[Transition]:
    return [
        Transition(
            to_state=state,
            from_state=way[number - 1] if number else None,
            sort_key=10 * (number + 1),
            most_recent=state is way[-1],
            created_at=began + timedelta(seconds=number),
        )
        for number, state in enumerate(way)
    ]


def _asked(url: str, folder: Path) -> Times:
    """Ask once with the guide's own command."""
    table = folder / "percentiles.csv"
    command = [
        *(str(program("ab")), "-q", "-l", "-n", str(REQUESTS), "-c", str(CONNECTIONS)),
        *("-e", str(table), url),
    ]
    output = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout  # noqa: S603  the guide's own tool, a URL of ours
    found = {name: re.search(form, output) for name, form in _FIGURES.items()}
    assert found["failed"] is None, output
    assert found["rate"] is not None, output
    with table.open(newline="") as lines:
        served_within = {int(row[0]): float(row[1]) for row in list(csv.reader(lines))[1:]}
    return Times(served_within[50], served_within[99], float(found["rate"][1]))


class _Floors:
    """An ASGI application that does one bare thing a path."""

    def __init__(self, database: str, cache: str) -> None:
        self._database: Final = database
        self._cache: Final = cache
        self._pool: asyncpg.Pool | None = None
        self._redis: Redis | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do the bare thing, then answer."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["path"] == "/postgres":
            assert self._pool is not None
            await self._pool.fetchval("SELECT 1")
        elif scope["path"] == "/redis":
            assert self._redis is not None
            await self._redis.get("floor")
        await bare(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self._opened():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        async with asyncpg.create_pool(self._database, min_size=1, max_size=CONNECTIONS) as pool:
            self._pool, self._redis = pool, Redis.from_url(self._cache)
            try:
                yield
            finally:
                await self._redis.aclose()


@contextmanager
def _floors(database: str, cache: str) -> Iterator[str]:
    """Serve the floors by a process of their own; give its URL."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.guide_table", str(port)]
    told = {**os.environ, "FLOOR_DATABASE": database, "FLOOR_CACHE": cache}
    server = subprocess.Popen(command, env=told)  # noqa: S603  ourselves
    try:
        await_answer(f"http://127.0.0.1:{port}/bare")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=10)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        uvicorn.run(
            _Floors(os.environ["FLOOR_DATABASE"], os.environ["FLOOR_CACHE"]),
            host="127.0.0.1",
            port=int(sys.argv[1]),
            log_level="error",
            access_log=False,
        )
    else:
        main()

"""``tasker-health demo``: the service over a simulated Tasker that works beside it.

Both live in one process and one event loop, and are ended together. The database is made
by ``simulation/demo.py``; the one that the environment names is never looked at.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs

from tasker_health.adapters.clock import SystemClock
from tasker_health.domain.database import Generation
from tasker_health.entrypoints.environment import read_configuration
from tasker_health.entrypoints.serving import bind, run_in_loop, serve
from tasker_health.simulation.demo import prepared_demo

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from tasker_health.entrypoints.options import Configuration
    from tasker_health.entrypoints.serving import Announce
    from tasker_health.simulation.demo import Demo

__all__ = ["run_demo"]


def run_demo(
    environ: Mapping[str, str],
    *,
    host: str,
    port: int,
    database_url: str | None,
    generation: str,
    seed: int,
    started: Announce,
) -> int:
    """Serve a demo until told to stop.

    Args:
        environ: where all settings but the database are read.
        host: where to listen.
        port: the same; 0 for any that is free.
        database_url: an empty PostgreSQL database; None for a SQLite file of its own.
        generation: whose tables to make.
        seed: the same seed works in the same way.
        started: called with host, port and prefix, once connections are answered.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: a setting cannot be had, the port is taken, or the database is
            not one to write in.
    """
    read_configuration(environ)  # refused before anything is made

    async def run(listener: socket.socket) -> None:
        prepared = prepared_demo(
            database_url, generation=Generation(generation), seed=seed, clock=SystemClock()
        )
        async with prepared as demo, asyncio.TaskGroup() as group:
            configuration = _configuration(environ, demo)
            work = group.create_task(demo.run())
            bound = listener.getsockname()[1]
            await serve(
                configuration,
                listener,
                started=lambda: started(host, bound, configuration.prefix),
            )
            work.cancel()

    with bind(host, port) as listener:
        run_in_loop(run(listener))
    return 0


def _configuration(environ: Mapping[str, str], demo: Demo) -> Configuration:
    """Take the settings as they are, over the demo's database; the log is for people."""
    read = read_configuration(
        environ,
        overrides={"database_url": demo.database_url, "tasker_schema": demo.generation.value},
    )
    return read if "log_format" in read.origins else attrs.evolve(read, log_format="console")

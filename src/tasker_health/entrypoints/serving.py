"""A socket, uvicorn upon it, and an end that callers can see coming.

On SIGTERM readiness says ``draining`` while everything is answered as before, for the
drain delay; then no new connection is taken, what is under way is finished, and the
process ends. SIGINT, and any second signal, skip the delay. What is served is made in
``server.py``; several processes are ``workers.py``.

Source: guide, *Kubernetes Configuration*; PROBE_SEMANTICS, *Drain*.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import uvicorn
from uvicorn.loops.auto import auto_loop_factory

from tasker_health.adapters.meter import CountingMeter
from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.service import CHECKS
from tasker_health.entrypoints.server import check, create_app
from tasker_health.entrypoints.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import FrameType

    from tasker_health.domain.ports import Meter
    from tasker_health.entrypoints.options import Configuration

__all__ = ["Announce", "DrainingServer", "bind", "run_in_loop", "run_server", "serve"]

Announce = Callable[[str, int, str], None]
"""Takes host, port and prefix when connections are answered there."""

_BACKLOG: Final = 2048


class DrainingServer(uvicorn.Server):
    """uvicorn, with a window between being told to stop and refusing connections.

    Args:
        config: uvicorn's own.
        drain: makes readiness say so; called in the event loop.
        drain_delay_seconds: how long the window is, ≥ 0.
        started: called once, when connections are answered.
        parent: the process to end with; None when there is none.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        drain: Callable[[], None],
        drain_delay_seconds: float,
        started: Callable[[], None],
        parent: int | None = None,
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._delay_seconds = drain_delay_seconds
        self._when_started = started
        self._stop_at = math.inf
        self._parent = parent
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._when_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal. It is not raised again at the end: a drained server ends with 0."""
        del frame
        told_before = self._stop_at < math.inf
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        if sig == signal.SIGTERM and self.started and self._loop and not told_before:
            self._stop_at = time.monotonic() + self._delay_seconds
            self._loop.call_soon_threadsafe(self._drain)
        else:
            self._stop_at = time.monotonic()
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Look, ten times a second, whether the window is over or the parent is gone."""
        orphaned = self._parent is not None and os.getppid() != self._parent
        if orphaned or time.monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)


def bind(host: str, port: int) -> socket.socket:
    """Listen there.

    Raises:
        ConfigurationError: the host is none of this machine's, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise _not_bound(error, host, port) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _not_bound(error, host, port) from error
    return listener


def _not_bound(error: OSError, host: str, port: int) -> ConfigurationError:
    words = " ".join(str(error.strerror).lower().split())
    if error.errno in {errno.EADDRINUSE, errno.EACCES}:
        return ConfigurationError("--port", str(port), f"a port that is free for us ({words})")
    return ConfigurationError("--host", repr(host), f"an address of this machine ({words})")


async def serve(
    configuration: Configuration,
    listener: socket.socket,
    *,
    started: Callable[[], None],
    parent: int | None = None,
    meter: Meter | None = None,
) -> None:
    """Serve until told to stop.

    Args:
        configuration: all settings.
        listener: where; it is closed at the end.
        started: called once, when connections are answered.
        parent: the process to end with; None when there is none.
        meter: counts how answers come about; None for one of this process's own.
    """
    app = create_app(configuration, meter=meter)
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="error",  # a stranger's bad request is worth no line
        access_log=False,
        lifespan="on",
        ws="none",
        server_header=False,
        proxy_headers=False,  # nothing here reads where a caller says to come from
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_grace_seconds(configuration),
    )
    server = DrainingServer(
        config,
        drain=app.drain,
        drain_delay_seconds=configuration.drain_delay_seconds,
        started=started,
        parent=parent,
    )
    await server.serve(sockets=[listener])


def run_in_loop(main: Coroutine[object, object, None]) -> None:
    """Run on the fastest event loop there is."""
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(main)


def _grace_seconds(configuration: Configuration) -> int:
    """Give the slowest request that was let in the time to be answered."""
    return math.ceil(configuration.settings.health.status_timeout_seconds) + 1


def run_server(
    configuration: Configuration,
    *,
    host: str,
    port: int,
    workers: int = 1,
    started: Announce,
) -> int:
    """Serve in this process, or in so many others.

    Args:
        configuration: all settings; what they name is looked at before anything starts.
        host: where to listen.
        port: the same; 0 for any that is free.
        workers: how many processes, ≥ 1.
        started: called with host, port and prefix, once the first process answers.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: a setting cannot be had, or the port is taken.
    """
    check(configuration)
    parent = os.getpid() if workers > 1 else None
    meter = CountingMeter(CHECKS, processes=workers)

    def work(listener: socket.socket, number: int, place: int) -> int:
        def say() -> None:
            if number == 0:  # the others answer on the same socket
                started(host, listener.getsockname()[1], configuration.prefix)

        meter.take(place)
        run_in_loop(serve(configuration, listener, started=say, parent=parent, meter=meter))
        return 0

    with bind(host, port) as listener:
        return work(listener, 0, 0) if workers == 1 else WorkerPool(work, workers).run(listener)

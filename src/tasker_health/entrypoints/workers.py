"""Several worker processes over one listening socket.

The parent opens nothing but the socket: no event loop, no thread, no pool, so that a fork
carries nothing that must not be shared, and workers share the memory of what was imported
before. A worker that ends is replaced; one that cannot start ends them all. A signal to
the parent is a signal to every worker. Serving itself is ``serving.py``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    import socket

__all__ = ["Work", "WorkerPool"]

_HANDLED: Final = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
_RESPAWN_SECONDS: Final = 1.0

Work = Callable[["socket.socket", int, int], int]
"""Takes the socket, the worker's number and its place, and gives the exit code. No two
workers ever have one number, 0 is the first's; one that replaces another has its place,
below the count."""


class WorkerPool:
    """Keeps so many workers alive until it is told to stop.

    Args:
        work: what a worker does with the socket, in a process of its own, as :data:`Work`.
        count: how many workers, ≥ 1.
    """

    def __init__(self, work: Work, count: int) -> None:
        self._work = work
        self._count = count
        self._alive: dict[int, float] = {}
        self._places: dict[int, int] = {}
        self._lost: list[float] = []
        self._started = 0
        self._stopping = False
        self._code = 0

    def run(self, listener: socket.socket) -> int:
        """Run until a signal, or until a worker cannot start; returns the exit code."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            while True:
                self._fill(listener)
                if not self._alive:
                    return self._code
                self._wait(listener)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _fill(self, listener: socket.socket) -> None:
        now = time.monotonic()
        self._lost = [due for due in self._lost if due > now]
        while not self._stopping and len(self._alive) + len(self._lost) < self._count:
            self._alive[self._start(listener)] = now

    def _start(self, listener: socket.socket) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        place = min(set(range(self._count)) - set(self._places.values()))
        pid = os.fork() or self._become_worker(listener, place)
        self._started += 1
        self._places[pid] = place
        return pid

    def _become_worker(self, listener: socket.socket, place: int) -> NoReturn:
        """Work, and leave without cleaning up what is the parent's."""
        code = 1
        try:
            # A terminal's Ctrl-C goes to the parent alone, which passes it on once.
            os.setpgid(0, 0)
            # A shell has what it runs in the background ignore SIGINT; before the server
            # listens to it, one that the parent passes on would be lost for good.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
            code = self._work(listener, self._started, place)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except Exception:  # noqa: BLE001  the process ends here; this is its last word
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _wait(self, listener: socket.socket) -> None:
        """Wait for what comes next: a signal, the end of a worker, or time to replace one."""
        patience = min(self._lost, default=time.monotonic() + 60) - time.monotonic()
        heard = signal.sigtimedwait(_HANDLED, max(patience, 0))
        if heard is not None and heard.si_signo != signal.SIGCHLD:
            self._stop(listener, heard.si_signo)
        self._reap(listener)

    def _stop(self, listener: socket.socket, signal_number: int) -> None:
        """Pass a signal on. A second one goes on as SIGINT, which nobody drains for.

        The same signal twice could reach a busy worker as one.
        """
        passed_on = signal.SIGINT if self._stopping else signal_number
        self._stopping = True
        listener.close()  # the workers hold it while they drain; nothing may queue behind them
        for pid in self._alive:
            os.kill(pid, passed_on)

    def _reap(self, listener: socket.socket) -> None:
        while self._alive:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            started = self._alive.pop(pid, None)
            self._places.pop(pid, None)
            code = os.waitstatus_to_exitcode(status)
            if started is None or self._stopping:
                continue
            if code > 1:
                self._code = code
                self._stop(listener, signal.SIGTERM)
            else:
                self._lost.append(started + _RESPAWN_SECONDS)

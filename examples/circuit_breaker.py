"""A circuit breaker for calls to one instance, that asks liveness before it lets one through.

After some failures in a row, calls fail at once instead of each waiting for its timeout.
After a rest the breaker asks ``/tasker/health/live``, which costs nothing and needs nothing
but the process; only when that answers is one call let through, and only when that one
succeeds are all.

Readiness is the wrong question here: it fails, too, for what the instance depends on, which
the call itself may not need. That one is for load balancers.

Run it with ``python examples/circuit_breaker.py http://127.0.0.1:8000``: it reads the status
once a second and says what the breaker does.
"""

from __future__ import annotations

import sys
import time
from http.client import HTTPConnection, HTTPException
from threading import Lock
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["CircuitBreaker", "CircuitOpenError", "ask", "liveness"]

LIVE: Final = "/tasker/health/live"
STATUS: Final = "/tasker/health/status"
FAILURES: Final = (OSError, HTTPException)
"""No connection, no answer in time, half an answer: any answer at all is a success."""


class CircuitOpenError(Exception):
    """The call was not made."""


class CircuitBreaker:
    """Makes calls, or refuses to.

    Args:
        alive: asks whether the instance is alive; it must not take long.
        failures: how many in a row open the circuit.
        rest_seconds: how long it stays open before liveness is asked.
        now: a clock that only goes forward.
    """

    def __init__(
        self,
        alive: Callable[[], bool],
        *,
        failures: int = 3,
        rest_seconds: float = 5.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._alive = alive
        self._failures = failures
        self._rest_seconds = rest_seconds
        self._now = now
        self._lock = Lock()
        self._failed = 0
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        """Tell whether calls are refused, or one is being tried."""
        return self._failed >= self._failures

    def call(self, work: Callable[[], T]) -> T:
        """Do the work, which raises one of ``FAILURES`` when it fails.

        Raises:
            CircuitOpenError: it was not done.
        """
        if self.is_open:
            self._try_again()
        try:
            result = work()
        except FAILURES:
            with self._lock:
                self._failed += 1
                self._open_until = self._now() + self._rest_seconds
            raise
        self._failed = 0
        return result

    def _try_again(self) -> None:
        """Let one call through when the rest is over and the instance is alive."""
        with self._lock:
            if self._now() < self._open_until:
                raise CircuitOpenError
            self._open_until = self._now() + self._rest_seconds  # nobody else tries meanwhile
        if not self._alive():
            raise CircuitOpenError


def ask(url: str, path: str, timeout_seconds: float = 1.0) -> tuple[int, bytes]:
    """Ask a service at ``http://host:port`` for a path; gives its code and body."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=timeout_seconds)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def liveness(url: str) -> Callable[[], bool]:
    """Make the question for a service at ``http://host:port``."""

    def alive() -> bool:
        try:
            return ask(url, LIVE)[0] == 200
        except FAILURES:
            return False

    return alive


def main(url: str) -> None:
    """Read the status once a second."""
    breaker = CircuitBreaker(liveness(url))
    while True:
        try:
            code, _ = breaker.call(lambda: ask(url, STATUS))
        except CircuitOpenError:
            print("open: not asked", flush=True)
        except FAILURES as error:
            print(f"failed: {error}", flush=True)
        else:
            print(f"answered: {code}", flush=True)
        time.sleep(1)


if __name__ == "__main__":
    main(sys.argv[1])

"""Requests per second on the endpoints, against a bare ASGI callable on the same server.

One uvicorn process serves all of them on loopback; ``wrk`` (or ``ab``) asks each for a
moment in turn, round after round, so that whatever else the machine does meets all alike.
Printed are the medians of the rounds: requests per second, and the processor time that the
server spent on one request (Linux tells it), which a busy machine disturbs far less. The
ratios are of the bare callable's figure to ours, so that 1.00 is as fast as bare.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.request import urlopen

import attrs
import uvicorn

from tasker_health.adapters.auth import AnonymousAuthenticator, PermissionCoordinator
from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.memory.probe import InMemoryDatabaseProbe
from tasker_health.adapters.memory.tasker import InMemoryTasker
from tasker_health.adapters.memory.world import World
from tasker_health.domain.database import Generation
from tasker_health.domain.service import HealthService
from tasker_health.entrypoints.asgi import HealthApp
from tasker_health.testing.doubles import RecordingJournal

if TYPE_CHECKING:
    from tasker_health.entrypoints.asgi import Receive, Scope, Send

__all__ = ["await_answer", "bare", "free_port", "main", "measure"]

PATHS: Final = {
    "bare": "/bare",
    "live": "/tasker/health/live",
    "ready": "/tasker/health/ready",
    "status": "/tasker/health/status",
}
BUDGETS: Final = {"live": 0.85, "status": 0.6}
ROUNDS: Final = 7
SECONDS: Final = 1
CONNECTIONS: Final = 10

_BODY: Final = b'{"alive":true,"timestamp":"2025-06-18T15:30:00Z"}'
_HEADERS: Final = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_BODY)).encode()),
]


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once: the least that an ASGI application can do."""
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})


def serve(port: int) -> None:
    """Serve both applications until the process is ended."""
    service = HealthService(
        tasker=InMemoryTasker(World(generation=Generation.ENGINE)),
        probe=InMemoryDatabaseProbe(),
        clock=SystemClock(),
        journal=RecordingJournal(),
        authenticator=AnonymousAuthenticator(),
        coordinator=PermissionCoordinator,
    )
    health = HealthApp(service)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (bare if scope.get("path") == "/bare" else health)(scope, receive, send)

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


@attrs.frozen
class Speed:
    """How fast one path was.

    Args:
        requests_per_second: as the client saw it.
        cpu_us: processor time of the server on one request, microseconds.
    """

    requests_per_second: float
    cpu_us: float


def measure() -> dict[str, Speed]:
    """Give the median speed of each path."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.endpoints", str(port)]
    server = subprocess.Popen(command)  # noqa: S603  ourselves
    try:
        await_answer(f"http://127.0.0.1:{port}{PATHS['status']}")
        rounds = [
            {name: _speed(server.pid, port, path) for name, path in PATHS.items()}
            for _ in range(ROUNDS)
        ]
    finally:
        server.terminate()
        server.wait(timeout=10)
    return {
        name: Speed(
            statistics.median(taken[name].requests_per_second for taken in rounds),
            statistics.median(taken[name].cpu_us for taken in rounds),
        )
        for name in PATHS
    }


def main() -> None:
    """Print one line a path."""
    speeds = measure()
    bare_speed = speeds["bare"]
    print(f"endpoints, medians of {ROUNDS} interleaved rounds, {CONNECTIONS} connections")
    print(f"{'':<8}{'requests/s':>11}{'x bare':>8}{'cpu us':>8}{'x bare':>8}{'budget':>8}")
    for name, speed in speeds.items():
        by_rate = speed.requests_per_second / bare_speed.requests_per_second
        by_cpu = bare_speed.cpu_us / speed.cpu_us
        budget = f"{BUDGETS[name]:.2f}" if name in BUDGETS else ""
        print(
            f"{name:<8}{speed.requests_per_second:>11.0f}{by_rate:>8.2f}"
            f"{speed.cpu_us:>8.1f}{by_cpu:>8.2f}{budget:>8}"
        )


def _speed(pid: int, port: int, path: str) -> Speed:
    before = _cpu_seconds(pid)
    rate, requests = _load(f"http://127.0.0.1:{port}{path}")
    return Speed(rate, (_cpu_seconds(pid) - before) / requests * 1e6)


def _cpu_seconds(pid: int) -> float:
    """Read what a process has used so far: fields 14 and 15 of proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _load(url: str) -> tuple[float, int]:
    connections, seconds = str(CONNECTIONS), str(SECONDS)
    if wrk := shutil.which("wrk"):
        command = [wrk, "-t1", "-c", connections, "-d", seconds, url]
        figure = r"Requests/sec:\s+([\d.]+)"
        done = r"(\d+) requests in"
    elif ab := shutil.which("ab"):
        command = [ab, "-q", "-k", "-c", connections, "-t", seconds, "-n", "1000000", url]
        figure = r"Requests per second:\s+([\d.]+)"
        done = r"Complete requests:\s+(\d+)"
    else:
        raise SystemExit("this benchmark needs wrk or ab on the PATH")
    output = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout  # noqa: S603  a tool of the PATH, a URL of ours
    if "Non-2xx" in output:
        raise SystemExit(f"{url} did not always answer 2xx:\n{output}")
    rate, requests = re.search(figure, output), re.search(done, output)
    assert rate is not None, output
    assert requests is not None, output
    return float(rate[1]), int(requests[1])


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def await_answer(url: str) -> None:
    """Ask until somebody answers."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with urlopen(url, timeout=1):  # noqa: S310  of our own server
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(int(sys.argv[1]))
    else:
        main()

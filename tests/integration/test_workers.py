"""Several processes over one socket: what the pool makes of how a worker ends."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

_POOL: Final = """
import os, signal, socket, sys
from tasker_health.entrypoints.workers import WorkerPool

def work(listener, number, place):
    {work}

with socket.create_server(("127.0.0.1", 0)) as listener:
    sys.exit(WorkerPool(work, {count}).run(listener))
"""


def ran(work: str, count: int = 1) -> subprocess.CompletedProcess[str]:
    """Run a pool whose workers do this, in a process of its own: it takes over its signals."""
    return subprocess.run(  # noqa: S603  this very interpreter
        [sys.executable, "-c", _POOL.format(work=work.replace("\n", "\n    "), count=count)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("end", "code"),
    [("sys.exit(3)", 3), ("return 4", 4)],
)
def test_a_worker_that_cannot_start_ends_them_all(end: str, code: int) -> None:
    """An exit code above 1 is the pool's own, and the other workers are told to stop."""
    ended = ran(f"if number == 0: {end}\nsignal.pause()", count=2)
    assert ended.returncode == code


@pytest.mark.parametrize(
    ("failing", "told"),
    [
        ("raise RuntimeError('worker 0 broke')", "RuntimeError: worker 0 broke"),
        ("sys.exit('x')", ""),
    ],
)
def test_a_worker_that_fails_is_replaced(failing: str, told: str) -> None:
    """The last word of a worker that broke is on standard error, and another takes its place."""
    ended = ran(f"if number == 0: {failing}\nos.kill(os.getppid(), signal.SIGTERM)\nreturn 0")
    assert ended.returncode == 0
    assert told in ended.stderr

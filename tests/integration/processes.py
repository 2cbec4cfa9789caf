"""What real servers of every kind need: a port, a program's version, a signal by process id.

The servers are found, started, broken and stopped in ``postgres_server.py`` and
``redis_server.py``, without containers. What is not found is an error that says where was
looked: a test that quietly did not run has proved nothing.

Each server belongs to the process that started it and is stopped by its own process id.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import signal

__all__ = ["START_SECONDS", "STOP_SECONDS", "family", "free_port", "major_of", "send_signal"]

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 15.0


def free_port() -> int:
    """Find a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def major_of(program: Path) -> int | None:
    """Ask a program for its major version; None where it cannot be run."""
    try:
        told = subprocess.run(  # noqa: S603  a program that we found
            [program, "--version"], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    number = re.search(r"\d+", told.stdout)
    return int(number[0]) if number else None


def family(pid: int) -> tuple[int, ...]:
    """Tell a process and its children, itself first."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return ()
    return (pid, *map(int, children))


def send_signal(pid: int, number: signal.Signals) -> None:
    """Send a signal, if there still is somebody to take it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)

"""What ``serve`` asks of the kernel is what the systemd unit lets it ask."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.integration.served import COMMAND, Served, environment
from tests.programs import program

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.postgres_server import OwnPostgresServer

pytestmark = pytest.mark.faults

UNIT: Final = Path(__file__).parents[2] / "deploy" / "systemd" / "tasker-health.service"


def members(group: str) -> set[str]:
    """List the system calls of one of systemd's groups."""
    told = subprocess.run(  # noqa: S603  the program that was found
        [program("systemd-analyze"), "syscall-filter", group],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    words = {line.strip() for line in told.stdout.splitlines()[1:] if "#" not in line}
    groups = {word for word in words if word.startswith("@")}
    return (words - groups - {""}).union(*map(members, groups))


def allowed() -> set[str]:
    """Work out what the unit's filters leave, in their order."""
    left = members("@default")
    for line in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.MULTILINE):
        named = set().union(*map(members, line.removeprefix("~").split()))
        left = left - named if line.startswith("~") else left | named
    return left


@contextmanager
def traced(trace: Path, url: str) -> Iterator[Served]:
    """Run ``serve`` with two workers, every system call of theirs written down."""
    words = ["-f", "-qq", "-o", str(trace), COMMAND, "serve", "--port", "0", "--workers", "2"]
    process = subprocess.Popen(  # noqa: S603  the program that was found
        [program("strace"), *words],
        env=environment(database_url=url, drain_delay_seconds=0.1),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = next(line for line in process.stdout if line.startswith("Try:"))
        yield Served(process, int(said.split("127.0.0.1:")[1].split("/")[0]), trace)
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def test_no_system_call_is_refused(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """From its start to its end nothing that it asks of the kernel lies outside the filter.

    Nor is memory ever writable and executable at once, which the unit forbids, too.
    """
    trace = tmp_path / "trace"
    with traced(trace, postgres.create_database(Generation.ENGINE)) as service:
        service.wait_for("ready", 200)
        assert service.ask("status").status == 200
        (parent,) = service.workers  # of the tracer
        os.kill(parent, signal.SIGTERM)
        assert service.process.wait(20) == 0
    text = trace.read_text()
    used = set(re.findall(r"^\d+ +([a-z0-9_]+)\(", text, re.MULTILINE))
    assert {"fork", "clone", "clone3", "vfork"} & used
    assert {"socket", "connect", "bind", "exit_group"} <= used
    assert used - allowed() == set()
    assert "PROT_WRITE|PROT_EXEC" not in text

"""The real ``tasker-health serve``, as a process of a test's own."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["COMMAND", "Answer", "Served", "environment", "served"]

COMMAND: Final = str(Path(sys.executable).with_name("tasker-health"))
START_SECONDS: Final = 30.0


@attrs.frozen
class Answer:
    """One answer over a connection of its own."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """Read the body as JSON."""
        return msgspec.json.decode(self.body)


def environment(**settings: object) -> dict[str, str]:
    """Give this process's environment, with these settings of ours and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TASKER_")}
    return kept | {f"TASKER_HEALTH_{name.upper()}": str(v) for name, v in settings.items()}


class Served:
    """A running service."""

    def __init__(self, process: subprocess.Popen[str], port: int, log: Path) -> None:
        self.process: Final = process
        self.port: Final = port
        self._log: Final = log

    @property
    def log(self) -> str:
        """Give what it wrote on standard error so far."""
        return self._log.read_text()

    @property
    def workers(self) -> list[int]:
        """Tell the process ids of its workers."""
        pid = self.process.pid
        return [int(w) for w in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def ask(self, endpoint: str, method: str = "GET", **headers: str) -> Answer:
        """Ask one of the endpoints, as a probe does: on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            path = endpoint if endpoint.startswith("/") else f"/tasker/health/{endpoint}"
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, told, response.read())
        finally:
            connection.close()

    def wait_for(
        self, endpoint: str, status: int, *, within_seconds: float = 10.0, **headers: str
    ) -> Answer:
        """Ask as a probe does, again and again, until it answers so."""
        deadline = time.monotonic() + within_seconds
        while (answer := self.ask(endpoint, **headers)).status != status:
            assert time.monotonic() < deadline, f"{endpoint} stays {answer.status}: {answer.body!r}"
            time.sleep(0.05)
        return answer

    def wait_until_draining(self, *, within_seconds: float = 10.0) -> None:
        """Ask until it says so: on a busy machine readiness may be 503 for another reason first."""
        deadline = time.monotonic() + within_seconds
        while (document := self.ask("ready").document).get("reason") != "draining":
            assert time.monotonic() < deadline, document
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGTERM, *, within_seconds: float = 15) -> int:
        """Send a signal and wait for the end; gives the exit code."""
        self.process.send_signal(number)
        return self.process.wait(within_seconds)


@contextmanager
def served(folder: Path, *words: str, **settings: object) -> Iterator[Served]:
    """Start a command on a free port, wait until it says that it answers, end it at last.

    Args:
        folder: where its log goes.
        words: the command, ``serve`` unless told, and its arguments.
        settings: in lower case, for its environment.
    """
    command, *arguments = words or ("serve",)
    log = folder / f"served-{time.monotonic_ns()}.log"
    with log.open("w") as errors:
        process = subprocess.Popen(  # noqa: S603  our own command
            [COMMAND, command, "--port", "0", *arguments],
            env=environment(**{"drain_delay_seconds": 0, **settings}),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        yield Served(process, _announced_port(process, log), log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _announced_port(process: subprocess.Popen[str], log: Path) -> int:
    """Wait for the last line of the announcement; it ends when the process does."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Try: curl"):
            return int(line.split("127.0.0.1:")[1].split("/")[0])
    raise AssertionError(f"it ended with {process.wait()}: {log.read_text()}")

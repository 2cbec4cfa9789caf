"""Real Memcached for tests, started, broken and stopped here."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.integration.processes import START_SECONDS, STOP_SECONDS, free_port, send_signal
from tests.programs import program

__all__ = ["MemcachedServer"]


class MemcachedServer:
    """A Memcached that we started, empty.

    Args:
        user: whom it knows, with ``password``; empty for everybody.
        password: see there.
        options: further words of its command line.
    """

    def __init__(self, *options: str, user: str = "", password: str = "") -> None:
        self._folder: Final = Path(tempfile.mkdtemp(prefix="tasker-health-memcached-"))
        self._folder.chmod(0o755)
        self._options: Final = [*options, *(self._users(user, password) if user else ())]
        self.port: Final = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def host(self) -> str:
        """Write where it is, as a URL does."""
        return f"127.0.0.1:{self.port}"

    def _users(self, user: str, password: str) -> tuple[str, str]:
        secrets = self._folder / "users"
        secrets.write_text(f"{user}:{password}\n")
        secrets.chmod(0o644)
        return "-Y", str(secrets)

    def start(self) -> None:
        """Start it, empty, on the port it had."""
        as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  the program that was found
                [
                    program("memcached"),
                    *("-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-t", "1"),
                    *as_user,
                    *self._options,
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1.0),
            ):
                return
            time.sleep(0.01)
        raise RuntimeError(f"Memcached did not start:\n{(self._folder / 'log').read_text()}")

    def stop(self) -> None:
        """Stop it at once, frozen or not."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(STOP_SECONDS)

    def freeze(self) -> None:
        """Stop it in its tracks."""
        assert self._process is not None
        send_signal(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        send_signal(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop it and remove what it wrote."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

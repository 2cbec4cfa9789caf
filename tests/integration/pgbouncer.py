"""A real pgbouncer before a PostgreSQL of ours, sharing few sessions among many clients."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from tests.integration.processes import START_SECONDS, STOP_SECONDS, free_port
from tests.programs import program

if TYPE_CHECKING:
    from tests.integration.postgres_server import PostgresServer

__all__ = ["PgBouncer"]

_KEEPS_STATEMENTS: Final = (1, 21)
"""Since then it can keep prepared statements for its clients; here it is told not to."""


class PgBouncer:
    """Pools by transaction: whoever begins one may get any of the sessions.

    Args:
        server: what stands behind it.
        sessions: how many it opens there for each database.
        options: further lines of its configuration.
    """

    def __init__(self, server: PostgresServer, *, sessions: int = 2, **options: str) -> None:
        self._folder: Final = Path(tempfile.mkdtemp(prefix="tasker-health-pgbouncer-"))
        self.port: Final = free_port()
        lines = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": str(sessions),
            "server_round_robin": "1",
            **({} if _version() < _KEEPS_STATEMENTS else {"max_prepared_statements": "0"}),
            **options,
        }
        configuration = self._folder / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\n* = host={server.host} port={server.port} user={server.user}"
            f" password='{server.password}'\n[pgbouncer]\n"
            + "".join(f"{name} = {value}\n" for name, value in lines.items())
        )
        self._folder.chmod(0o755)
        with (self._folder / "log").open("ab") as log:
            self._process: Final = subprocess.Popen(  # noqa: S603  the program that was found
                [program("pgbouncer"), configuration],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **_as_somebody(),
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def url(self, database: str) -> str:
        """Write the URL of a database, through it."""
        return f"postgresql://{quote('somebody')}:x@127.0.0.1:{self.port}/{database}"

    def close(self) -> None:
        """Stop it and remove what it wrote."""
        self._process.kill()
        self._process.wait(STOP_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1.0),
            ):
                return
            time.sleep(0.01)
        raise RuntimeError(f"pgbouncer did not start:\n{(self._folder / 'log').read_text()}")


def _version() -> tuple[int, ...]:
    told = subprocess.run(  # noqa: S603  the program that was found
        [program("pgbouncer"), "--version"], capture_output=True, text=True, check=True
    )
    found = re.search(r"(\d+)\.(\d+)", told.stdout)
    assert found is not None, told.stdout
    return int(found[1]), int(found[2])


def _as_somebody() -> dict[str, Any]:
    """Tell who runs it: it refuses root."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

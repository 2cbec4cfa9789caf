"""Real PostgreSQL for tests: one server a major version, started, broken and stopped here.

PostgreSQL refuses to run as root, so that root starts it as another user, from a copy of
the programs where that user may not read them.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import psycopg
from tests.integration.postgres_programs import POSTGRES_URL
from tests.integration.processes import (
    START_SECONDS,
    STOP_SECONDS,
    family,
    free_port,
    send_signal,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.integration.postgres_programs import Installation

    from tasker_health.domain.database import Generation

__all__ = ["PASSWORD", "OwnPostgresServer", "PostgresServer"]

PASSWORD: Final = "canary-Pa55%word"  # it must never turn up in any output
_OWNER: Final = "postgres"
_CONFIGURATION: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "50",
    "shared_buffers": "16MB",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "log_min_messages": "warning",
    "timezone": "America/St_Johns",  # nothing may depend on the server's own zone
}

_ENVIRONMENT: Final = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))},
    "LC_ALL": "C",
}
"""Without what the user has set for their own PostgreSQL."""


class PostgresServer:
    """A PostgreSQL server: one that we started, or a running one that we were told of."""

    def __init__(self, major: int, host: str, port: int, user: str, password: str) -> None:
        self.major: Final = major
        self.host: Final = host
        self.port = port
        self.user: Final = user
        self.password: Final = password
        self._numbers: Final = count()
        self._templates: Final[set[str]] = set()
        self._shared: Final[set[str]] = set()

    def url(
        self, database: str = "postgres", *, user: str | None = None, password: str | None = None
    ) -> str:
        """Write a URL to a database of this server; its owner's unless told."""
        who = quote(user or self.user, safe="")
        secret = quote(password or self.password, safe="")
        return f"postgresql://{who}:{secret}@{self.host}:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """Connect as the owner, in autocommit: to arrange and to look, not to test."""
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=10)

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements, each on its own."""
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def create_database(self, template: Generation | None = None) -> str:
        """Make a database of its own, empty or with a generation's tables; give its URL."""
        name = f"t{os.getpid()}_{next(self._numbers)}"
        source = "template0" if template is None else self._template(template)
        self.execute(f"CREATE DATABASE {name} TEMPLATE {source}")
        return self.url(name)

    def shared_database(self, generation: Generation) -> str:
        """Give the one database of a generation that tests fill anew; it lasts to the end."""
        name = f"shared_{os.getpid()}_{generation.value}"
        if generation.value not in self._shared:
            self.execute(f"CREATE DATABASE {name} TEMPLATE {self._template(generation)}")
            self._shared.add(generation.value)
        return self.url(name)

    def _template(self, generation: Generation) -> str:
        name = f"template_{os.getpid()}_{generation.value}"
        if generation.value not in self._templates:
            from tasker_health.simulation.schema import ddl  # noqa: PLC0415  only those who ask

            self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
            self.execute(*ddl(generation, "postgresql"), database=name)
            self._templates.add(generation.value)
        return name

    def sessions(self, application_name: str) -> Sequence[tuple[int, str]]:
        """Tell process id and state of the sessions that call themselves so."""
        with self.connect() as connection:
            rows = connection.execute(
                "SELECT pid, coalesce(state, '') FROM pg_stat_activity"
                " WHERE application_name = %s ORDER BY pid",
                [application_name],
            ).fetchall()
        return [(int(str(pid)), str(state)) for pid, state in rows]

    def pids(self) -> tuple[int, ...]:
        """Tell the process ids of the server, the postmaster's first."""
        raise RuntimeError(f"the server of {POSTGRES_URL} is not ours to break")

    def freeze(self, pids: Sequence[int] | None = None) -> None:
        """Stop its processes in their tracks, all of them unless told: it falls silent."""
        for pid in self.pids() if pids is None else pids:
            send_signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let all its processes go on."""
        for pid in self.pids():
            send_signal(pid, signal.SIGCONT)

    def drop_databases(self) -> None:
        """Drop those of the test that is over: hundreds of them take long to remove at the end."""
        self._drop(f"t{os.getpid()}\\_%")

    def close(self) -> None:
        """Leave nothing behind."""
        self.drop_databases()
        self._drop(f"shared\\_{os.getpid()}\\_%")
        self._drop(f"template\\_{os.getpid()}\\_%")

    def _drop(self, names: str) -> None:
        with self.connect() as connection:
            found = connection.execute(
                "SELECT datname FROM pg_database WHERE datname LIKE %s", [names]
            ).fetchall()
            for (name,) in found:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    @classmethod
    def at(cls, url: str) -> Self:
        """Take a running server, by a superuser's URL."""
        with psycopg.connect(url, connect_timeout=10) as connection:
            info = connection.info
            return cls(
                info.server_version // 10_000, info.host, info.port, info.user, info.password
            )


class OwnPostgresServer(PostgresServer):
    """A PostgreSQL server that we started, and so may break."""

    def __init__(self, installation: Installation) -> None:
        super().__init__(installation.major, "127.0.0.1", 0, _OWNER, PASSWORD)
        self._account: Final = _account()
        self._folder: Final = _folder(self._account)
        self._installation: Final = installation
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._initialise()
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self, *, wait: bool = True) -> None:
        """Start it, on the port it had; the first time, on a free one."""
        for _ in range(5):
            port = self.port or free_port()
            self._process = self._run_server(port)
            if not wait or self._wait_until_ready():
                self.port = port
                return
            self.stop("immediate")
        raise RuntimeError(f"PostgreSQL {self.major} did not start:\n{self._log()}")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast`` as an operator does, ``immediate`` as a crash does."""
        process, self._process = self._process, None
        if process is None:
            return
        pids = family(process.pid)
        process.send_signal(signal.SIGQUIT if mode == "immediate" else signal.SIGINT)
        for pid in pids:
            send_signal(pid, signal.SIGCONT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for pid in pids:
                send_signal(pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)

    def restart(self, mode: str = "fast") -> None:
        """Stop it and start it again on the same port."""
        self.stop(mode)
        self.start()

    def pids(self) -> tuple[int, ...]:
        """Tell the process ids of the server, the postmaster's first."""
        return family(self._process.pid) if self._process else ()

    def close(self) -> None:
        """Stop it, frozen or not, and remove what it wrote."""
        self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    @cached_property
    def _programs(self) -> Path:
        """Where the programs can be run by the server's user: a copy of them if need be."""
        programs, root = self._installation.programs, self._installation.root
        if root is None or self._may_run(programs / "postgres"):
            return programs
        copy = self._folder / "programs"
        for part in (root, root.with_name(f"{root.name}.libs")):
            if part.exists():
                shutil.copytree(part, copy / part.name, symlinks=True)
        for path in (copy, *copy.rglob("*")):
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
        return copy / programs.relative_to(root.parent)

    def _may_run(self, program: Path) -> bool:
        try:
            return self._run([str(program), "--version"]).returncode == 0
        except PermissionError:
            return False

    def _initialise(self) -> None:
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        made = self._run(
            [
                *(str(self._programs / "initdb"), "--pgdata", str(self._data)),
                *("--username", _OWNER, "--pwfile", str(secret), "--auth", "scram-sha-256"),
                *("--no-locale", "--encoding", "UTF8", "--no-sync"),
            ]
        )
        if made.returncode != 0:
            raise RuntimeError(f"initdb of PostgreSQL {self.major} failed:\n{made.stdout}")

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603  as above
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=120,
            check=False,
            cwd=self._folder,
            env=_ENVIRONMENT,
            **_as(self._account),
        )

    def _run_server(self, port: int) -> subprocess.Popen[bytes]:
        options = {**_CONFIGURATION, "port": str(port)}
        if self.major >= 18:
            options["io_method"] = "sync"  # no workers besides
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603  as above
                [
                    *(str(self._programs / "postgres"), "-D", str(self._data)),
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self._folder,
                env=_ENVIRONMENT,
                start_new_session=True,
                **_as(self._account),
            )

    def _wait_until_ready(self) -> bool:
        """Wait for the word that the postmaster writes into its own file, as pg_ctl does."""
        process, words = self._process, self._data / "postmaster.pid"
        deadline = time.monotonic() + START_SECONDS
        while process is not None and process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError):
                lines = words.read_text().splitlines()
                if lines[7:] and lines[7].strip() == "ready" and int(lines[0]) == process.pid:
                    return True
            time.sleep(0.02)
        return False

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2000:]


def _account() -> pwd.struct_passwd | None:
    """Tell who runs PostgreSQL: another user when we are root, for it refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("as root, PostgreSQL needs a user postgres or nobody to run as")


def _as(account: pwd.struct_passwd | None) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _folder(account: pwd.struct_passwd | None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tasker-health-postgres-"))
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
    return folder

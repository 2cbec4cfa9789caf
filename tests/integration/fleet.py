"""Two instances of the service to stand behind a proxy, each with a database of its own.

The first one's is PostgreSQL, which a test may freeze; the second one's is SQLite. Their
settings are those that users have, the drain delay included.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

import anyio
from tests.integration.processes import family, free_port, send_signal
from tests.integration.served import Served, served
from tests.integration.tasker_databases import make_sqlite

from tasker_health.domain.database import Generation
from tasker_health.entrypoints.options import Configuration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.integration.postgres_server import PostgresServer

__all__ = ["Fleet", "two_instances"]


class Fleet:
    """Instances by name: app1 and app2.

    Args:
        folder: where their logs go.
        urls: the database of each.
        arguments: of ``serve``, besides the port.
    """

    def __init__(self, folder: Path, urls: Mapping[str, str], arguments: tuple[str, ...]) -> None:
        self.ports: Final = {name: free_port() for name in urls}
        self._folder: Final = folder
        self._urls: Final = urls
        self._arguments: Final = arguments
        self._running: Final[dict[str, Served]] = {}
        self._stack: Final = ExitStack()

    def __getitem__(self, name: str) -> Served:
        return self._running[name]

    def start(self, name: str) -> None:
        """Start one, on the port it always has, and wait until it is ready."""
        service = self._stack.enter_context(
            served(
                self._folder,
                *("serve", "--port", str(self.ports[name]), *self._arguments),
                database_url=self._urls[name],
                drain_delay_seconds=Configuration().drain_delay_seconds,
                readiness_timeout_seconds=1,  # a busy machine makes nobody unready
            )
        )
        self._running[name] = service
        service.wait_for("ready", 200)

    def kill(self, name: str) -> None:
        """End one without a word."""
        self[name].process.kill()
        self[name].process.wait()

    def freeze(self, name: str) -> None:
        """Stop one in its tracks: the system goes on taking its connections."""
        for pid in family(self[name].process.pid):
            send_signal(pid, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let one go on."""
        for pid in family(self[name].process.pid):
            send_signal(pid, signal.SIGCONT)

    def close(self) -> None:
        """End them all, without their drain."""
        for name, service in self._running.items():
            self.thaw(name)
            if service.process.poll() is None:
                service.stop(signal.SIGINT)
        self._stack.close()


@contextmanager
def two_instances(folder: Path, postgres: PostgresServer, *arguments: str) -> Iterator[Fleet]:
    """Run two instances until the end of the block."""
    urls = {
        "app1": postgres.shared_database(Generation.ENGINE),
        "app2": anyio.run(make_sqlite, folder),
    }
    fleet = Fleet(folder, urls, arguments)
    try:
        for name in urls:
            fleet.start(name)
        yield fleet
    finally:
        fleet.close()

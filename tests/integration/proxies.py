"""Real NGINX and HAProxy, with configurations of their own or the files of ``deploy/``.

Of a shipped file nothing is changed but addresses: its hosts become ports of this machine,
and it listens on a port of the test's own. What the main file of a distribution says stands
around it. Who is behind a proxy is ``fleet.py``.
"""

from __future__ import annotations

import csv
import http.client
import re
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import attrs
from tests.integration.processes import free_port
from tests.integration.served import Answer
from tests.programs import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "HEALTH",
    "LIVE",
    "Haproxy",
    "Line",
    "Nginx",
    "Proxy",
    "Server",
    "Traffic",
    "fetch",
    "haproxy",
    "nginx",
    "shipped",
]

HEALTH: Final = "/health"
LIVE: Final = "/tasker/health/live"

_DEPLOY: Final = Path(__file__).parents[2] / "deploy"
_START_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 10.0
_HOST: Final = re.compile(r"\b(app[12]):\d+")
_LISTENS: Final = re.compile(r"\b(listen|bind) \S*?8080\b")


def shipped(name: str, port: int, hosts: Mapping[str, int]) -> str:
    """Read a file of ``deploy/`` with addresses of this machine.

    Args:
        name: its path there.
        port: where it is to listen.
        hosts: the ports of app1 and app2.
    """
    text = (_DEPLOY / name).read_text()
    assert {found[1] for found in _HOST.finditer(text)} == hosts.keys()
    assert len(_LISTENS.findall(text)) == 1
    text = _HOST.sub(lambda found: f"127.0.0.1:{hosts[found[1]]}", text)
    return _LISTENS.sub(rf"\g<1> 127.0.0.1:{port}", text)


def fetch(port: int, path: str, method: str = "GET", **headers: str) -> Answer:
    """Ask a server on this machine, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, told, response.read())
    finally:
        connection.close()


class Proxy:
    """A proxy that runs.

    Args:
        port: where it listens.
        hosts: the names of who is behind it, by their ports.
    """

    def __init__(self, port: int, hosts: Mapping[str, int]) -> None:
        self.port: Final = port
        self.hosts: Final = dict(hosts)

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask through it."""
        return fetch(self.port, path, method, **headers)

    def answered(self, path: str = LIVE) -> Counter[str]:
        """Count the good answers of each host so far, to this path where that can be told."""
        raise NotImplementedError

    def wait_until_away(
        self, name: str, traffic: Traffic, *, within_seconds: float, path: str = LIVE
    ) -> None:
        """Wait until many answers in a row come from the others alone."""
        deadline = time.monotonic() + within_seconds
        while True:
            before = self.answered(path)
            traffic.wait_for_more(20)
            new = self.answered(path) - before
            if new and not new[name]:
                return
            assert time.monotonic() < deadline, f"{name} goes on being asked: {new}"

    def wait_until_back(
        self, name: str, traffic: Traffic, *, within_seconds: float, path: str = LIVE
    ) -> None:
        """Wait until it answers again."""
        deadline = time.monotonic() + within_seconds
        before = self.answered(path)
        while not (self.answered(path) - before)[name]:
            assert time.monotonic() < deadline, f"{name} is not asked again"
            traffic.wait_for_more(5)


@attrs.frozen
class Line:
    """A request as NGINX logs it, those that it makes by itself included."""

    path: str
    status: str
    hosts: str
    host_status: str
    cache_status: str


class Nginx(Proxy):
    """NGINX that runs."""

    def __init__(self, port: int, hosts: Mapping[str, int], log: Path) -> None:
        super().__init__(port, hosts)
        self._log: Final = log

    def log(self) -> list[Line]:
        """Read what it logged so far."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [Line(*line.split("|")) for line in lines]

    def answered(self, path: str = LIVE) -> Counter[str]:
        """Count the good answers of each host so far."""
        names = {str(port): name for name, port in self.hosts.items()}
        return Counter(
            names[line.hosts.rpartition(":")[2]]
            for line in self.log()
            if line.path == path and line.status == "200"
        )


@contextmanager
def nginx(
    folder: Path,
    configuration: str,
    port: int,
    hosts: Mapping[str, int] | None = None,
) -> Iterator[Nginx]:
    """Run NGINX.

    Args:
        folder: where it may write.
        configuration: what stands in its http context.
        port: where that listens.
        hosts: who is behind it.
    """
    log = folder / "access.log"
    places = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
        "events {} http {\n"
        "log_format seen '$request_uri|$status|$upstream_addr|$upstream_status"
        "|$upstream_cache_status';\n"
        f"access_log {log} seen; log_subrequest on;\n{places}{configuration}\n}}\n"
    )
    command = [program("nginx"), "-p", folder, "-e", folder / "error.log", "-c", "nginx.conf"]
    with _running([str(word) for word in command], port, folder / "error.log"):
        yield Nginx(port, hosts or {}, log)


@attrs.frozen
class Server:
    """What HAProxy thinks of a server.

    Args:
        status: as ``UP``, ``UP 1/3`` or ``DOWN``.
        check: how its last check ended, as ``L7OK``.
        code: and with which status.
        good: how many good answers it gave.
    """

    status: str
    check: str
    code: str
    good: int


class Haproxy(Proxy):
    """HAProxy that runs."""

    def __init__(self, port: int, hosts: Mapping[str, int], control: int) -> None:
        super().__init__(port, hosts)
        self._control: Final = control

    def servers(self, backend: str) -> Mapping[str, Server]:
        """Ask what it thinks of a backend's servers."""
        return {
            row["svname"]: Server(
                status=row["status"],
                check=row["check_status"].removeprefix("* "),
                code=row["check_code"],
                good=int(row["hrsp_2xx"] or 0),
            )
            for row in self._stat()
            if row["# pxname"] == backend and row["svname"] not in {"FRONTEND", "BACKEND"}
        }

    def answered(self, path: str = LIVE) -> Counter[str]:
        """Count the good answers of each host so far, to any path."""
        del path
        good: Counter[str] = Counter()
        for row in self._stat():
            if row["svname"] in self.hosts:
                good[row["svname"]] += int(row["hrsp_2xx"] or 0)
        return good

    def wait_for(
        self, backend: str, *, within_seconds: float, **expected: Callable[[Server], bool]
    ) -> None:
        """Wait until it thinks so of each server named."""
        deadline = time.monotonic() + within_seconds
        while True:
            servers = self.servers(backend)
            if all(holds(servers[name]) for name, holds in expected.items()):
                return
            assert time.monotonic() < deadline, servers
            time.sleep(0.1)

    def _stat(self) -> list[dict[str, str]]:
        with socket.create_connection(("127.0.0.1", self._control), 5) as connection:
            connection.sendall(b"show stat\n")
            with connection.makefile(newline="") as answer:
                return list(csv.DictReader(line for line in answer if line.strip()))


@contextmanager
def haproxy(
    folder: Path, configuration: str, port: int, hosts: Mapping[str, int]
) -> Iterator[Haproxy]:
    """Run HAProxy.

    Args:
        folder: where its configuration and log go.
        configuration: the whole of it; its runtime interface is added.
        port: where that listens.
        hosts: who is behind it.
    """
    control = free_port()
    (folder / "haproxy.cfg").write_text(configuration)
    (folder / "control.cfg").write_text(
        f"global\n    stats socket ipv4@127.0.0.1:{control} level user\n"
    )
    command = [str(program("haproxy")), "-db"]
    for name in ("haproxy.cfg", "control.cfg"):
        command += ["-f", str(folder / name)]
    with _running(command, port, folder / "haproxy.log"):
        yield Haproxy(port, hosts, control)


@contextmanager
def _running(command: list[str], port: int, log: Path) -> Iterator[None]:
    """Run a proxy until the end of the block; its log is shown where it does not start."""
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  a program that was found
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _accepts(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"it does not listen: {log.read_text()}"
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Traffic:
    """Asks through a proxy, one request after another, as long as the block lasts.

    Args:
        port: where the proxy listens.
        paths: what to ask for, in turn.
        pause_seconds: between an answer and the next request.
    """

    def __init__(self, port: int, *paths: str, pause_seconds: float = 0.04) -> None:
        self._port: Final = port
        self._paths: Final = paths
        self._pause: Final = pause_seconds
        self._over: Final = threading.Event()
        self._one_more: Final = threading.Condition()
        self._seen: list[tuple[str, str]] = []
        self._thread: Final = threading.Thread(target=self._go_on)

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._over.set()
        self._thread.join()

    @property
    def count(self) -> int:
        """Tell how many were answered or failed."""
        return len(self._seen)

    @property
    def errors(self) -> Counter[tuple[str, str]]:
        """Count what went wrong, by path: codes other than 200, broken connections."""
        return Counter(seen for seen in self._seen if seen[1] != "200")

    def wait_for_more(self, number: int) -> None:
        """Wait until so many more were answered or failed."""
        with self._one_more:
            wanted = len(self._seen) + number
            assert self._one_more.wait_for(lambda: len(self._seen) >= wanted, 60)

    def _go_on(self) -> None:
        paths = cycle(self._paths)
        while not self._over.wait(self._pause):
            path = next(paths)
            try:
                told = str(fetch(self._port, path).status)
            except (OSError, http.client.HTTPException) as error:
                told = repr(error)
            with self._one_more:
                self._seen.append((path, told))
                self._one_more.notify_all()

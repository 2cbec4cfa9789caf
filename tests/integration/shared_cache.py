"""Shared caches to stand before the service: a strict one of our own, and NGINX.

Our own keeps whatever RFC 9111 lets a shared cache keep, and for as long. It is there on
every machine, so that what must not be kept is proved everywhere.
"""

from __future__ import annotations

import http.client
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

import attrs
from tests.integration.processes import free_port
from tests.integration.served import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["NGINX", "Cache", "SharedCache", "nginx"]

NGINX: Final = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
_CACHEABLE: Final = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
"""What may be kept without being told for how long (RFC 9110, 15.1)."""
_START_SECONDS: Final = 10.0


class Cache(Protocol):
    """Asks through a cache; ``x-cache`` among the answer's headers tells whether it kept it."""

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask for a path."""
        ...


def fetch(port: int, path: str, method: str = "GET", **headers: str) -> Answer:
    """Ask a server on this machine, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, told, response.read())
    finally:
        connection.close()


@attrs.frozen
class _Kept:
    answer: Answer
    varying: Mapping[str, str]
    until: float


class SharedCache:
    """Keeps all that a shared cache may keep (RFC 9111, 3, 4 and 4.3).

    Args:
        port: where the service is.
        heuristic_seconds: how long to keep what does not say for how long.
    """

    def __init__(self, port: int, heuristic_seconds: float = 60.0) -> None:
        self._port = port
        self._heuristic = heuristic_seconds
        self._kept: dict[tuple[str, str], list[_Kept]] = {}

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Answer from what was kept, revalidate it, or ask the service."""
        asked = {name.lower(): value for name, value in headers.items()}
        held = [kept for kept in self._kept.get((method, path), ()) if _varies_as(kept, asked)]
        if held and held[-1].until > time.monotonic():
            hit = attrs.evolve(held[-1].answer, headers=_marked(held[-1].answer, "HIT"))
            same = asked.get("if-none-match", "") == hit.headers.get("etag")
            return attrs.evolve(hit, status=304, body=b"") if same else hit
        if held and "etag" in held[-1].answer.headers:
            headers["If-None-Match"] = held[-1].answer.headers["etag"]
        answer, mark = fetch(self._port, path, method, **headers), "MISS"
        if answer.status == 304 and held:
            merged = {**held[-1].answer.headers, **answer.headers}
            answer = attrs.evolve(held[-1].answer, headers=merged)
            mark = "REVALIDATED"
        self._keep(method, path, asked, answer)
        return attrs.evolve(answer, headers=_marked(answer, mark))

    def _keep(self, method: str, path: str, asked: Mapping[str, str], answer: Answer) -> None:
        told = _directives(answer.headers.get("cache-control", ""))
        for_all = told.keys() & {"public", "s-maxage", "must-revalidate"}
        if method not in ("GET", "HEAD") or told.keys() & {"no-store", "private", "no-cache"}:
            return
        if ("authorization" in asked and not for_all) or answer.headers.get("vary") == "*":
            return
        lifetime = told.get("s-maxage", told.get("max-age"))
        if lifetime is None and answer.status not in _CACHEABLE:
            return
        seconds = self._heuristic if lifetime is None else float(lifetime)
        names = [name.strip().lower() for name in answer.headers.get("vary", "").split(",")]
        varying = {name: asked.get(name, "") for name in names if name}
        kept = _Kept(answer, varying, time.monotonic() + seconds)
        self._kept.setdefault((method, path), []).append(kept)


def _marked(answer: Answer, mark: str) -> Mapping[str, str]:
    return {**answer.headers, "x-cache": mark}


def _varies_as(kept: _Kept, asked: Mapping[str, str]) -> bool:
    return all(asked.get(name, "") == value for name, value in kept.varying.items())


def _directives(header: str) -> dict[str, str]:
    told = (part.strip().lower().partition("=") for part in header.split(","))
    return {name: value.strip('"') for name, _, value in told if name}


@attrs.frozen
class _Nginx:
    port: int

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask through NGINX."""
        return fetch(self.port, path, method, **headers)


@contextmanager
def nginx(program: str, service_port: int, folder: Path) -> Iterator[_Nginx]:
    """Run NGINX with its cache before the service.

    Its configuration keeps whatever the service's own headers do not forbid, for a caller's
    credentials are no part of its key.
    """
    port = free_port()
    places = "".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;"
        "events {} http { access_log off;"
        f"{places} proxy_cache_path {folder}/kept keys_zone=kept:1m;"
        f"server {{ listen 127.0.0.1:{port}; location / {{"
        f"proxy_pass http://127.0.0.1:{service_port}; proxy_cache kept;"
        "proxy_cache_revalidate on; proxy_cache_methods GET HEAD;"
        "proxy_cache_key $request_method$request_uri;"
        "add_header X-Cache $upstream_cache_status always; } } }"
    )
    process = subprocess.Popen(  # noqa: S603  the program that was found
        [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", "nginx.conf"]
    )
    try:
        _wait_for(port, process, folder)
        yield _Nginx(port)
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            fetch(port, "/tasker/health/live")
        except OSError:
            log = folder / "error.log"
            assert process.poll() is None, log.read_text() if log.exists() else "it ended"
            assert time.monotonic() < deadline, "it does not answer"
            time.sleep(0.02)
        else:
            return

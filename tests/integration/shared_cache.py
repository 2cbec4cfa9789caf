"""Shared caches to stand before the service: a strict one of our own, and NGINX twice.

Our own keeps whatever RFC 9111 lets a shared cache keep, and for as long. NGINX runs with a
configuration that takes no care at all, and with the one of ``deploy/cdn``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

import attrs
from tests.integration.processes import free_port
from tests.integration.proxies import Nginx, fetch, nginx, shipped
from tests.integration.served import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Cache", "SharedCache", "careless_nginx", "edge"]

_CACHEABLE: Final = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
"""What may be kept without being told for how long (RFC 9110, 15.1)."""


class Cache(Protocol):
    """Asks through a cache; ``x-cache`` among the answer's headers tells whether it kept it."""

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask for a path."""
        ...


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


@contextmanager
def careless_nginx(service_port: int, folder: Path) -> Iterator[Nginx]:
    """Run NGINX with a cache before the service.

    Its configuration keeps whatever the service's own headers do not forbid, for a caller's
    credentials are no part of its key.
    """
    port = free_port()
    configuration = (
        f"proxy_cache_path {folder}/kept keys_zone=kept:1m;"
        f"server {{ listen 127.0.0.1:{port}; location / {{"
        f"proxy_pass http://127.0.0.1:{service_port}; proxy_cache kept;"
        "proxy_cache_revalidate on; proxy_cache_methods GET HEAD;"
        "proxy_cache_key $request_method$request_uri;"
        "add_header X-Cache $upstream_cache_status always; } }"
    )
    with nginx(folder, configuration, port) as proxy:
        yield proxy


@contextmanager
def edge(service_port: int, folder: Path) -> Iterator[Nginx]:
    """Run NGINX with the edge cache of ``deploy/`` before the service."""
    port = free_port()
    hosts = {"app1": service_port, "app2": service_port}
    configuration = shipped("cdn/edge.conf", port, hosts)
    there = "/var/cache/nginx/tasker"
    assert there in configuration
    with nginx(folder, configuration.replace(there, f"{folder}/kept"), port) as proxy:
        yield proxy

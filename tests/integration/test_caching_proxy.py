"""A caching proxy before the real service: it never gives to one what another may see.

Each proof runs before a strict shared cache of our own, before NGINX without any care, and
before NGINX with the file of ``deploy/cdn``.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
from tests.integration.served import served
from tests.integration.shared_cache import SharedCache, careless_nginx, edge

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.postgres_server import OwnPostgresServer
    from tests.integration.shared_cache import Cache

STATUS: Final = "/tasker/health/status"
CACHES: Final = ("ours", "nginx", "edge")
NUMBERS: Final = b'"total_tasks"'

_WHO: Final = """
from tasker_health.domain.errors import InvalidCredentialsError
from tasker_health.domain.permissions import STATUS_INDEX, Principal

PEOPLE = {
    "Bearer alice": Principal(name="alice", permissions=frozenset({STATUS_INDEX})),
    "Bearer bob": Principal(name="bob"),
}


class People:
    async def authenticate(self, credentials):
        shown = credentials.headers.get("authorization")
        if shown is None:
            return None
        if shown not in PEOPLE:
            raise InvalidCredentialsError
        return PEOPLE[shown]
"""


@contextmanager
def behind(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: object
) -> Iterator[Cache]:
    """Run the real service, and a cache before it."""
    (folder / "cached_people.py").write_text(_WHO)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    with served(folder, **settings) as service:
        service.wait_for("ready", 200)
        if kind == "ours":
            yield SharedCache(service.port)
            return
        with (edge if kind == "edge" else careless_nginx)(service.port, folder) as cache:
            yield cache


@pytest.fixture
def url(postgres: OwnPostgresServer) -> str:
    """Make a database of the engine's."""
    return postgres.create_database(Generation.ENGINE)


@pytest.mark.parametrize("kind", CACHES)
@pytest.mark.parametrize(("required", "anonymous"), [("true", 401), ("false", 403)])
def test_what_a_permitted_caller_saw_is_given_to_nobody_else(
    kind: str,
    required: str,
    anonymous: int,
    tmp_path: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Alice gets the status through the cache; after her nobody gets her copy."""
    closed = {
        "status_requires_authentication": required,
        "authorization_enabled": "true",
        "authenticator_class": "cached_people:People",
    }
    with behind(kind, tmp_path, monkeypatch, database_url=url, **closed) as cache:
        for method in ("GET", "HEAD"):
            for _ in range(2):
                alice = cache.ask(STATUS, method, Authorization="Bearer alice")
                assert (alice.status, NUMBERS in alice.body) == (200, method == "GET")
                assert alice.headers["x-cache"] != "HIT"
                nobody = cache.ask(STATUS, method)
                assert (nobody.status, NUMBERS in nobody.body) == (anonymous, False)
                bob = cache.ask(STATUS, method, Authorization="Bearer bob")
                assert (bob.status, NUMBERS in bob.body) == (403, False)
                mallory = cache.ask(STATUS, method, Authorization="Bearer mallory")
                assert (mallory.status, NUMBERS in mallory.body) == (401, False)


@pytest.mark.parametrize("kind", CACHES)
def test_an_open_status_is_kept_while_it_is_fresh(
    kind: str, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache answers until the report expires, and those who have it already get 304."""
    settings = {"database_url": url, "cache_duration_seconds": 3, "status_keep_warm_seconds": 0}
    with behind(kind, tmp_path, monkeypatch, **settings) as cache:
        first = cache.ask(STATUS)
        began = time.monotonic()
        assert (first.status, first.headers["x-cache"]) == (200, "MISS")
        assert first.headers["cache-control"].startswith("public")
        again = cache.ask(STATUS)
        assert (again.headers["x-cache"], again.body) == ("HIT", first.body)
        held = {"If-None-Match": first.headers["etag"]}
        assert cache.ask(STATUS, **held).status == 304
        while (renewed := cache.ask(STATUS)).headers["etag"] == first.headers["etag"]:
            assert time.monotonic() - began < 10, "an expired report is given on and on"
            time.sleep(0.05)
        assert renewed.status == 200
        assert renewed.body != first.body


@pytest.mark.parametrize("kind", CACHES)
def test_probes_are_never_kept(
    kind: str, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each probe reaches the service, in any form and by any method that may be kept."""
    with behind(kind, tmp_path, monkeypatch, database_url=url) as cache:
        for endpoint in ("live", "ready", "ready/database", "ready?verbose"):
            for method in ("GET", "GET", "HEAD", "HEAD"):
                answer = cache.ask(f"/tasker/health/{endpoint}", method)
                assert answer.status == 200
                assert answer.headers["x-cache"] in {"MISS", "BYPASS"}
                assert "no-store" in answer.headers["cache-control"]


def test_the_cache_of_ours_keeps_what_it_may(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does keep an open report, and what says nothing about it, so that its word counts."""
    with behind("ours", tmp_path, monkeypatch, database_url=url) as cache:
        assert cache.ask(STATUS).headers["x-cache"] == "MISS"
        assert cache.ask(STATUS).headers["x-cache"] == "HIT"
        assert cache.ask("/tasker/openapi.json").headers["x-cache"] == "MISS"
        assert cache.ask("/tasker/openapi.json").headers["x-cache"] == "HIT"

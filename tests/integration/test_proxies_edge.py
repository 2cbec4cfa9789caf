"""The shipped edge cache before an open status: how old what it gives may be.

That it keeps no probe, and nothing for a caller who is known, is in
``test_caching_proxy.py``.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import anyio
import pytest
from tests.integration.served import served
from tests.integration.shared_cache import edge
from tests.integration.tasker_databases import make_sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.proxies import Nginx
    from tests.integration.served import Answer, Served

STATUS: Final = "/tasker/health/status"
ROUNDING: Final = timedelta(seconds=1.5)
"""The proxy counts whole seconds, and an answer takes its time to arrive."""


@contextmanager
def behind_edge(folder: Path, period_seconds: float) -> Iterator[tuple[Served, Nginx]]:
    """Run the service, which measures when it is asked alone, and the edge before it."""
    settings = {"cache_duration_seconds": period_seconds, "status_keep_warm_seconds": 0}
    url = anyio.run(make_sqlite, folder)
    with served(folder, database_url=url, **settings) as service:
        service.wait_for("ready", 200)
        with edge(service.port, folder) as proxy:
            yield service, proxy


def past_expiry(answer: Answer) -> timedelta:
    """Tell for how long the report of an answer has expired; negative while it has not."""
    told = answer.document["cache_info"]["cache_expires_at"]
    return datetime.now(UTC) - datetime.fromisoformat(told)


def test_a_report_is_given_within_its_age(tmp_path: Path) -> None:
    """A kept report has not expired, or is given for one period more while it is renewed."""
    period = 4.0
    with behind_edge(tmp_path, period) as (_, proxy):
        began, seen = time.monotonic(), list[tuple[str, timedelta, str]]()
        while time.monotonic() - began < 3 * period:
            answer = proxy.ask(STATUS)
            assert answer.status == 200
            assert answer.headers["cache-control"] == "public, no-cache"
            assert "age" not in answer.headers
            how, tag = answer.headers["x-cache"], answer.headers["etag"]
            seen.append((how, past_expiry(answer), tag))
            time.sleep(0.05)
        held = {"If-None-Match": tag}
        assert proxy.ask(STATUS, **held).status == 304, "a caller who has it gets it no more"
        asked = [line for line in proxy.log() if line.host_status in {"200", "304"}]
    kept = [past for how, past, _ in seen if how == "HIT"]
    assert len(kept) > len(seen) / 2
    assert max(kept) < ROUNDING
    assert max(past for _, past, _ in seen) < timedelta(seconds=period) + ROUNDING
    assert {how for how, *_ in seen} & {"STALE", "UPDATING"}, "nobody waits for a renewal"
    assert len({tag for *_, tag in seen}) >= 2
    assert len(asked) < len(seen) / 3


def test_an_edge_does_not_speak_for_the_dead(tmp_path: Path) -> None:
    """With the service gone its last report ends with the time that it allowed."""
    period = 1.0
    with behind_edge(tmp_path, period) as (service, proxy):
        last = proxy.ask(STATUS)
        assert last.status == 200
        service.process.kill()
        deadline = time.monotonic() + 15
        while (answer := proxy.ask(STATUS)).status == 200:
            assert past_expiry(answer) < timedelta(seconds=period) + ROUNDING
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert answer.status == 502


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (STATUS, {"Authorization": "Bearer x"}),
        (STATUS, {"Cookie": "session=x"}),
        (f"{STATUS}?fail_on=unhealthy", {}),
        (f"{STATUS}/", {}),
    ],
)
def test_who_asks_for_more_is_answered_by_the_service(
    path: str, headers: dict[str, str], tmp_path: Path
) -> None:
    """Credentials, a query and another path go past what is kept, and leave nothing there."""
    with behind_edge(tmp_path, 60) as (_, proxy):
        for _ in range(2):
            assert proxy.ask(path, **headers).headers["x-cache"] == "BYPASS"
        assert proxy.ask(STATUS).headers["x-cache"] == "MISS"
        assert proxy.ask(path, **headers).headers["x-cache"] == "BYPASS"
        assert proxy.ask(STATUS).headers["x-cache"] == "HIT"

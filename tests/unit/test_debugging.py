"""The debug hook: one line for each health request, and nothing at all while it is off."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tasker_health.adapters.log import StructlogJournal
from tasker_health.domain.diagnosis import PoolState
from tasker_health.entrypoints.debugging import RequestLog
from tasker_health.entrypoints.environment import read_configuration
from tasker_health.entrypoints.server import create_app
from tasker_health.testing.services import InMemoryHealth

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from tasker_health.entrypoints.asgi import ASGIApp

pytestmark = pytest.mark.anyio

POOL = PoolState(size=5, connections=3, checked_out=2, waiting=1, checkout_timeout_seconds=5.0)
READY = "/tasker/health/ready"
CANARY = "canary-s3cret"


async def call(app: ASGIApp, path: str, *, kind: str = "http", **more: Any) -> list[Any]:
    """Make one request of an application, with a secret wherever one may stand."""
    sent: list[MutableMapping[str, Any]] = []
    scope: dict[str, Any] = {
        "type": kind,
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": f"token={CANARY}".encode(),
        "headers": [
            (b"authorization", f"Bearer {CANARY}".encode()),
            (b"x-forwarded-for", b"203.0.113.9"),
            (b"forwarded", b"for=203.0.113.9"),
        ],
        "client": ("192.0.2.7", 4711),
        **more,
    }

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


class Debugged:
    """A service in memory behind the hook, and the lines that it wrote."""

    def __init__(self, app: ASGIApp | None = None, prefix: str = "/tasker") -> None:
        self.lines: list[str] = []
        self.journal = StructlogJournal(write=self.lines.append)
        self.app = RequestLog(app or InMemoryHealth().app, prefix)
        self.app.attach(self.journal, lambda: POOL, "redis")

    async def ask(self, path: str, **more: Any) -> list[dict[str, Any]]:
        """Ask once; gives the lines."""
        await call(self.app, path, **more)
        self.journal.close()
        return [json.loads(line) for line in self.lines]


async def test_a_request_is_a_line_with_the_guides_facts() -> None:
    """Who asked, what, the answer, how long, the pool and the kind of the cache."""
    (line,) = await Debugged().ask(READY)
    assert line.pop("timestamp")
    assert line.pop("took_ms") >= 0
    assert line == {
        "event": "health_requested",
        "level": "info",
        "remote_address": "192.0.2.7",
        "path": READY,
        "code": 200,
        "pool_size": 5,
        "pool_checked_out": 2,
        "pool_waiting": 1,
        "cache": "redis",
    }


async def test_neither_headers_nor_the_query_are_told() -> None:
    """No credential, no value of the query, and no address that a header claims."""
    debugged = Debugged()
    await debugged.ask("/tasker/health/status")
    told = "".join(debugged.lines)
    assert "health_requested" in told
    assert CANARY not in told
    assert "203.0.113.9" not in told


async def test_a_path_cannot_break_the_line() -> None:
    """What is no path of ours is told on one line, cut, without what looks like a secret."""
    (line,) = await Debugged().ask(f"/tasker/health/\x1b[2J\n{'x' * 5000}?password={CANARY}")
    assert line["code"] == 404
    assert line["path"].isprintable()
    assert len(line["path"]) <= 500
    assert CANARY not in line["path"]


async def test_a_peer_without_an_address() -> None:
    """On a unix socket there is nobody to name."""
    (line,) = await Debugged().ask(READY, client=None)
    assert line["remote_address"] is None


@pytest.mark.parametrize("path", ["/", "/tasker/healthy", "/tasker/tasks", "/health/ready"])
async def test_other_requests_pass_unseen(path: str) -> None:
    """The hook is about health requests alone."""
    assert await Debugged().ask(path) == []


@pytest.mark.parametrize("path", ["/health", "/health/live", "/metrics"])
async def test_the_prefix_is_the_endpoints_own(path: str) -> None:
    """Without a prefix the paths begin at the root."""
    (line,) = await Debugged(prefix="").ask(path)
    assert line["path"] == path


async def test_an_application_that_breaks_is_told_without_an_answer() -> None:
    """A request that nobody answered has the code 0, and the error goes its way."""

    async def broken(*_: object) -> None:
        raise OSError(CANARY)

    debugged = Debugged(broken)
    with pytest.raises(OSError, match=CANARY):
        await debugged.ask(READY)
    debugged.journal.close()
    (line,) = map(json.loads, debugged.lines)
    assert line["code"] == 0
    assert CANARY not in str(line)


async def test_before_it_is_attached_everything_passes() -> None:
    """While the application starts there is nowhere to write to yet."""
    app = RequestLog(InMemoryHealth().app)
    sent = await call(app, READY)
    assert sent[0]["status"] == 200


async def test_a_journal_that_breaks_costs_a_line() -> None:
    """A line that cannot be made is counted, and the answer is given."""
    debugged = Debugged()
    debugged.app.attach(debugged.journal, lambda: None, "redis")  # type: ignore[arg-type,return-value]  # broken on purpose
    sent = await call(debugged.app, READY)
    assert sent[0]["status"] == 200
    assert debugged.journal.dropped == 1


def test_it_costs_nothing_while_it_is_off() -> None:
    """Only the setting puts the hook before the application."""
    environ = {"TASKER_HEALTH_DATABASE_URL": "postgresql://localhost/tasker"}
    off = create_app(read_configuration(environ))
    on = create_app(read_configuration({**environ, "TASKER_HEALTH_DEBUG_REQUESTS": "true"}))
    assert not isinstance(off._app, RequestLog)
    assert isinstance(on._app, RequestLog)

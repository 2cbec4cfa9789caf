"""Each threat has tests that are there and defences that are where they are said to be."""

from __future__ import annotations

import ast
import random
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.threats import PACKAGE, ROOT, THREATS

from tasker_health.adapters.auth import AnonymousAuthenticator, PermissionCoordinator
from tasker_health.domain.errors import SourceError
from tasker_health.domain.reasons import Reason
from tasker_health.domain.service import HealthService
from tasker_health.entrypoints.asgi import HealthApp
from tasker_health.testing.services import InMemoryHealth

if TYPE_CHECKING:
    from tests.threats import Threat

    from tasker_health.entrypoints.asgi import ASGIApp

CANARY: Final = "canary-of-a-vendor"


@pytest.mark.parametrize("threat", THREATS.values(), ids=THREATS)
def test_the_tests_of_a_threat_are_there(threat: Threat) -> None:
    """No threat is left without tests when one of them is renamed or removed."""
    assert threat.tests
    for named in threat.tests:
        file, _, function = named.partition("::")
        tree = ast.parse((ROOT / "tests" / file).read_text())
        defined = {
            n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert function in defined, named


@pytest.mark.parametrize("threat", THREATS.values(), ids=THREATS)
def test_the_defences_against_a_threat_are_there(threat: Threat) -> None:
    """Each stands where it is said to, once, so that its removal can be tried."""
    for defence in threat.defences:
        text = (ROOT / PACKAGE / defence.file).read_text()
        assert text.count(defence.present) == 1, defence
        assert defence.gone != defence.present


async def ask(app: ASGIApp, path: str, query: str = "") -> tuple[int, bytes]:
    """Ask the application, and give code and body."""
    told: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [],
    }
    await app(scope, receive, send)
    return told[0]["status"], told[1]["body"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "path", ["/tasker/health/", "/tasker/health/admin", "/tasker/health/ready/x"]
)
async def test_a_hosts_route_below_the_prefix_stays_the_hosts(path: str) -> None:
    """What the host has below our prefix is answered, and so protected, by the host alone."""

    async def host(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b"the host's"})

    app = HealthApp(InMemoryHealth().service, fallback=host)
    assert await ask(app, path) == (401, b"the host's")


@pytest.mark.anyio
async def test_query_strings_cause_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand query strings that nobody has sent before cost one look at Tasker."""
    health = InMemoryHealth()
    looks, view = [], health.tasker.view

    def counted(at: Any) -> Any:
        looks.append(at)
        return view(at)

    monkeypatch.setattr(health.tasker, "view", counted)
    service = HealthService(
        tasker=health.tasker,
        probe=health.probe,
        clock=health.clock,
        journal=health.journal,
        authenticator=AnonymousAuthenticator(),
        coordinator=PermissionCoordinator,
    )
    app, rng = HealthApp(service), random.Random(7)  # noqa: S311  no secret
    for number in range(10_000):
        query = f"{rng.choice(('', 'nocache', 'refresh', 'fail_on', 'verbose'))}={number}"
        code, _ = await ask(app, "/tasker/health/status", query)
        assert code in (200, 400)
    assert len(looks) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("endpoint", ["ready", "status", "live", "ready/database"])
@pytest.mark.parametrize("kind", [RuntimeError, OSError, ValueError, SourceError])
async def test_no_vendors_words_reach_a_body(endpoint: str, kind: type[Exception]) -> None:
    """Whatever broke, and however it words that, the words stay in the log."""
    health = InMemoryHealth()
    error = SourceError(Reason.AUTH) if kind is SourceError else kind(CANARY)
    error.__cause__ = RuntimeError(CANARY)
    broken: Any = error  # a port promises its own kind alone
    health.tasker.failure = health.probe.failure = broken
    code, body = await ask(HealthApp(health.service), f"/tasker/health/{endpoint}")
    assert code in (200, 503)
    assert CANARY.encode() not in body

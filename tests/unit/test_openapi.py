"""The description in OpenAPI says what is really sent."""

from __future__ import annotations

from itertools import product
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from litestar import Litestar
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok

from tasker_health.domain.errors import SourceError
from tasker_health.domain.permissions import STATUS_INDEX, Principal
from tasker_health.domain.reasons import Reason
from tasker_health.domain.settings import AuthSettings, HealthSettings, Settings
from tasker_health.domain.status import Vitals
from tasker_health.entrypoints.asgi import HealthApp
from tasker_health.entrypoints.litestar import TaskerHealthPlugin, documented
from tasker_health.entrypoints.openapi import DOCUMENTED
from tasker_health.testing.services import InMemoryHealth

pytestmark = pytest.mark.anyio


async def described(app: Any) -> dict[str, Any]:
    """Fetch the description."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://health"
    ) as client:
        response = await client.get("/tasker/openapi.json")
    assert response.status_code == 200
    document: dict[str, Any] = response.json()
    return document


async def test_every_endpoint_and_method_is_described() -> None:
    """The description has the endpoints with their three methods, and nothing else."""
    document = await described(documented(InMemoryHealth().service))

    assert {path: sorted(methods) for path, methods in document["paths"].items()} == {
        f"/tasker/{name}": ["get", "head", "options"] for name in DOCUMENTED
    }


async def test_it_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may ask for it as often as they like: after the first time it costs nothing."""
    app = documented(InMemoryHealth().service)
    first = await described(app)
    monkeypatch.delattr("tasker_health.entrypoints.litestar.description")
    assert await described(app) == first


async def test_nothing_is_loaded_from_elsewhere() -> None:
    """The description names no other server."""
    document = await described(documented(InMemoryHealth().service))

    assert "http" not in str(document).replace("https://json-schema.org", "")


async def test_codes_forms_and_headers_are_described() -> None:
    """Each code is there with the forms of its body, its headers and an example of each."""
    document = await described(documented(InMemoryHealth().service))

    for name, endpoint in DOCUMENTED.items():
        get = document["paths"][f"/tasker/{name}"]["get"]
        assert set(get["responses"]) == {str(code) for code in endpoint.outcomes}
        for code, outcome in endpoint.outcomes.items():
            told = get["responses"][str(code)]
            assert set(told.get("content", {})) == set(outcome.content)
            assert set(told["headers"]) == set(outcome.headers)
            for media_type, content in outcome.content.items():
                (example,) = told["content"][media_type]["examples"].values()
                assert example["value"] == content.example


async def test_the_query_is_described() -> None:
    """The one field of the query is there with its values, on the status alone."""
    document = await described(documented(InMemoryHealth().service))
    status = document["paths"]["/tasker/health/status"]["get"]

    assert [(field["name"], field["in"]) for field in status["parameters"]] == [
        ("fail_on", "query"),
        ("If-None-Match", "header"),
    ]
    assert status["parameters"][0]["schema"]["enum"] == ["unhealthy", "degraded"]
    assert "parameters" not in document["paths"]["/tasker/health/live"]["get"]


async def test_what_a_caller_may_pick_is_described() -> None:
    """Readiness has its two fields, and each check its part of the path."""
    document = await described(documented(InMemoryHealth().service))
    ready = document["paths"]["/tasker/health/ready"]["get"]["parameters"]
    one = document["paths"]["/tasker/health/ready/{check}"]["head"]["parameters"]

    assert [(field["name"], field["in"], field["schema"]["type"]) for field in ready] == [
        ("verbose", "query", "string"),
        ("exclude", "query", "array"),
    ]
    assert one[0]["in"] == "path"
    assert one[0]["required"] is True
    assert one[0]["example"] == "database"
    assert [field["name"] for field in one] == ["check", "verbose", "exclude"]


async def test_other_methods_are_described() -> None:
    """Every endpoint tells that it refuses other methods, and how it says which there are."""
    document = await described(documented(InMemoryHealth().service))

    for methods in document["paths"].values():
        for operation in methods.values():
            assert "Allow" in operation["responses"]["405"]["headers"]


async def test_a_hosts_own_description_has_the_endpoints() -> None:
    """In an existing application the endpoints stand in its description among its own."""
    app = Litestar(plugins=[TaskerHealthPlugin(InMemoryHealth().service)], logging_config=None)
    paths = app.openapi_schema.to_schema()["paths"]

    assert set(paths) == {f"/tasker/{name}" for name in DOCUMENTED}


class Everybody:
    """Knows everybody who says a name; alice may."""

    async def authenticate(self, credentials: Any) -> Principal | None:
        """Look at the header."""
        name = credentials.headers.get("x-name")
        held = frozenset({STATUS_INDEX}) if name == "alice" else frozenset()
        return Principal(name=name, permissions=held) if name else None


def _broken() -> InMemoryHealth:
    health = InMemoryHealth()
    health.probe.failure = health.tasker.failure = SourceError(Reason.REFUSED)
    return health


def _degraded() -> InMemoryHealth:
    health = InMemoryHealth()
    health.tasker.vitals = Vitals(round_trip_ms=900.0)
    return health


def _closed() -> InMemoryHealth:
    protected = Settings(
        health=HealthSettings(status_requires_authentication=True),
        auth=AuthSettings(authorization_enabled=True),
    )
    return InMemoryHealth(settings=protected, authenticator=Everybody())


@pytest.mark.parametrize("make", [InMemoryHealth, _broken, _degraded, _closed])
@pytest.mark.parametrize(
    ("sent", "query"),
    [
        ({}, {}),
        ({"accept": "image/png"}, {}),
        ({"x-name": "alice"}, {"fail_on": "degraded"}),
        ({"x-name": "bob"}, {"fail_on": "nonsense"}),
        ({"if-none-match": "*", "x-name": "bob"}, {}),
        ({"accept": "text/plain", "x-name": "alice"}, {"verbose": ""}),
        ({"accept": "application/health+json"}, {"exclude": "nonsense"}),
        ({"accept": "application/health+json", "x-name": "alice"}, {"exclude": "cache"}),
    ],
)
async def test_what_is_sent_is_as_described(
    make: Any, sent: dict[str, str], query: dict[str, str]
) -> None:
    """Each answer has a code, a media type, headers and a body that the description has."""
    app = documented(make().service)
    schema = schemathesis.openapi.from_dict(await described(app))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://health"
    ) as client:
        for name in DOCUMENTED:
            path = f"/tasker/{name}"
            for check, method in product(("database", "nonsense"), ("GET", "HEAD", "OPTIONS")):
                url = path.format(check=check)
                answer = await client.request(method, url, headers=sent, params=query)
                operation: Any = schema[path][method]
                operation.validate_response(answer)
                assert str(answer.status_code) in operation.definition.raw["responses"]


@pytest.mark.parametrize("name", DOCUMENTED)
async def test_another_method_is_refused_as_described(name: str) -> None:
    """What other methods get is the 405 that GET's description has."""
    app = documented(InMemoryHealth().service)
    schema = schemathesis.openapi.from_dict(await described(app))
    path = f"/tasker/{name}"
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://health"
    ) as client:
        answer = await client.post(path.format(check="database"))

    assert answer.status_code == 405
    operation: Any = schema[path]["GET"]
    operation.validate_response(answer)


def test_what_schemathesis_sends_is_answered_as_described() -> None:
    """Generated requests get answers that conform to the description."""
    load_all_checks()
    app = documented(_degraded().service)
    assert isinstance(app, HealthApp)
    schema = schemathesis.openapi.from_asgi("/tasker/openapi.json", app)
    chosen = [
        CHECKS.get_one(name)
        for name in (
            "status_code_conformance",
            "content_type_conformance",
            "response_headers_conformance",
            "response_schema_conformance",
        )
    ]
    answered = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        for case in _cases(result.ok()):
            case.call_and_validate(checks=chosen)
            answered += 1
    assert answered >= 12 * 2


def _cases(operation: Any) -> list[Any]:
    drawn: list[Any] = []

    @settings(max_examples=8, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def collect(case: Any) -> None:
        drawn.append(case)

    collect()
    return drawn

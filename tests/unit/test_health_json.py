"""Readiness as ``application/health+json``, and the documents' shapes as JSON Schema."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.domain.checks import CheckResult, CheckStatus
from tasker_health.domain.errors import SourceError
from tasker_health.domain.readiness import ReadinessReport
from tasker_health.domain.reasons import Reason
from tasker_health.domain.settings import HealthSettings, Settings
from tasker_health.entrypoints.http import HealthEndpoints
from tasker_health.entrypoints.messages import Request
from tasker_health.formats import documents, health_json
from tasker_health.formats.schemas import json_schema
from tasker_health.testing.services import InMemoryHealth

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

AT = datetime(2025, 6, 18, 15, 30, 0, 987_654, tzinfo=UTC)
TIME = "2025-06-18T15:30:00Z"


def check_results() -> st.SearchStrategy[CheckResult]:
    """Generate any result of the guide's checks and of an embedder's."""
    bad = st.sampled_from([CheckStatus.DEGRADED, CheckStatus.ERROR])
    name = st.sampled_from(["database", "migrations", "configuration", "cache", "payments"])
    spent = st.none() | st.integers(0, 10**6)
    good = st.builds(CheckResult, name=name, response_time_ms=spent)
    return good | st.builds(
        CheckResult,
        name=name,
        status=bad,
        reason=st.sampled_from(Reason),
        response_time_ms=spent,
        detail=st.just("hunter2"),
    )


def report_of(checks: tuple[CheckResult, ...], reason: Reason | None = None) -> ReadinessReport:
    """Make the report of some checks."""
    ready = reason is None and all(check.status is not CheckStatus.ERROR for check in checks)
    return ReadinessReport(ready=ready, checks=checks, at=AT, reason=reason)


def read(report: ReadinessReport) -> dict[str, Any]:
    """Write and read a report."""
    document: dict[str, Any] = json.loads(health_json.ready(report))
    return document


def test_health_document() -> None:
    """The format's keys and words, with the public reason as the output."""
    told = report_of(
        (
            CheckResult(name="database", response_time_ms=12),
            CheckResult.error("configuration", Reason.MISMATCH, detail="hunter2"),
            CheckResult(name="cache", status=CheckStatus.DEGRADED, reason=Reason.TIMEOUT),
        )
    )

    assert health_json.ready(told) == (
        b'{"status":"fail","checks":{'
        b'"database:responseTime":[{"componentType":"datastore","observedValue":12,'
        b'"observedUnit":"ms","status":"pass","time":"2025-06-18T15:30:00Z"}],'
        b'"configuration":[{"componentType":"component","status":"fail",'
        b'"time":"2025-06-18T15:30:00Z","output":"mismatch"}],'
        b'"cache":[{"componentType":"datastore","status":"warn",'
        b'"time":"2025-06-18T15:30:00Z","output":"timeout"}]}}'
    )


def test_health_document_of_a_draining_process() -> None:
    """A reason that no check tells is the output of the whole."""
    assert read(report_of((), Reason.DRAINING)) == {
        "status": "fail",
        "checks": {},
        "output": "draining",
    }


@pytest.mark.parametrize(
    ("status", "word"),
    [(CheckStatus.OK, "pass"), (CheckStatus.DEGRADED, "warn"), (CheckStatus.ERROR, "fail")],
)
def test_the_whole_is_as_its_worst_check(status: CheckStatus, word: str) -> None:
    """Ready passes, ready with a degraded check warns, not ready fails."""
    reason = None if status is CheckStatus.OK else Reason.FAILED
    bad = CheckResult(name="payments", status=status, reason=reason)

    assert read(report_of((CheckResult(name="database"), bad)))["status"] == word


@given(
    st.lists(check_results(), unique_by=lambda result: result.name),
    st.none() | st.just(Reason.DRAINING),
)
def test_every_report_keeps_the_formats_rules(
    checks: list[CheckResult], reason: Reason | None
) -> None:
    """It has the described shape, fails exactly when not ready, and outputs what does not pass."""
    report = report_of(tuple(checks), reason)
    body = health_json.ready(report)
    msgspec.json.decode(body, type=health_json.HealthDocument)
    told = json.loads(body)

    assert b"hunter2" not in body
    assert (told["status"] == "fail") is not report.ready
    assert len(told["checks"]) == len(checks)
    for result, (key, observations) in zip(checks, told["checks"].items(), strict=True):
        (observed,) = observations
        assert key in {result.name, f"{result.name}:responseTime"}
        assert ("output" in observed) is (observed["status"] != "pass")
        assert ("observedValue" in observed) is (result.response_time_ms is not None)
        assert ("observedUnit" in observed) is ("observedValue" in observed)
        assert observed["time"] == TIME


@given(check_results(), check_results())
def test_a_check_keeps_its_key(one: CheckResult, other: CheckResult) -> None:
    """A check stands under the same key however it came out."""
    if one.name == other.name:
        assert [*read(report_of((one,)))["checks"]] == [*read(report_of((other,)))["checks"]]


@pytest.mark.parametrize("bad", [False, True])
async def test_over_http(bad: bool) -> None:
    """Who prefers the format gets it, with readiness' own codes and headers."""
    patient = Settings(health=HealthSettings(readiness_timeout_seconds=30))
    health = InMemoryHealth(settings=patient)
    if bad:
        health.probe.failure = SourceError(Reason.REFUSED)
    endpoints = HealthEndpoints(health.service)
    accept = {"accept": "application/health+json"}
    plain = await endpoints.answer(Request("GET", "/tasker/health/ready"))
    told = await endpoints.answer(Request("GET", "/tasker/health/ready", headers=accept))
    named = dict(told.headers)

    assert told.status == plain.status == (503 if bad else 200)
    assert named[b"content-type"] == b"application/health+json"
    assert {name: value for name, value in named.items() if not name.startswith(b"content-")} == {
        name: value for name, value in plain.headers if not name.startswith(b"content-")
    }
    assert json.loads(told.body)["status"] == ("fail" if bad else "pass")


async def test_one_check_over_http() -> None:
    """One check alone has the same form."""
    endpoints = HealthEndpoints(InMemoryHealth().service)
    accept = {"accept": "application/health+json"}
    told = await endpoints.answer(Request("GET", "/tasker/health/ready/cache", headers=accept))

    assert list(json.loads(told.body)["checks"]) == ["cache"]


def keys(node: object) -> Iterator[str]:
    """List every key in a schema."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from keys(value)
    elif isinstance(node, list):
        for member in node:
            yield from keys(member)


@pytest.mark.parametrize(
    "shape", [health_json.HealthDocument, documents.StatusDocument, documents.ReadyDocument]
)
def test_a_schema_is_whole_in_itself(shape: type[msgspec.Struct]) -> None:
    """A schema refers to nothing, and has every field of the shape."""
    schema = json_schema(shape)

    assert not {"$ref", "$defs"} & {*keys(schema)}
    assert [*schema["properties"]] == [field.encode_name for field in msgspec.structs.fields(shape)]


def test_the_schema_of_health_json_has_the_formats_keys() -> None:
    """What is described are the format's own names."""
    schema = json_schema(health_json.HealthDocument)
    observation = schema["properties"]["checks"]["additionalProperties"]["items"]

    assert set(schema["properties"]) == {"status", "checks", "output"}
    assert set(observation["properties"]) == {
        *("componentType", "observedValue", "observedUnit", "status", "time", "output"),
    }
    assert observation["properties"]["status"]["enum"] == ["fail", "pass", "warn"]

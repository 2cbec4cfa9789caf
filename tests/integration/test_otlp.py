"""OpenTelemetry metrics, from a running service to a collector that reads the protobuf."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from tests.integration.failing_tasks import ended
from tests.integration.processes import free_port
from tests.integration.receivers import HANG, Post, answer, receiver, wait_until
from tests.integration.served import served

from tasker_health.adapters.sinks.otlp import OtlpWatcher
from tasker_health.adapters.sinks.posting import Poster
from tasker_health.domain.checks import CheckResult
from tasker_health.domain.database import Generation
from tasker_health.domain.errors import DeliveryError
from tasker_health.domain.observing import Observation
from tasker_health.domain.readiness import ReadinessReport
from tasker_health.domain.reasons import Reason
from tasker_health.domain.secret import SecretMapping
from tasker_health.domain.status import PerformanceMetrics, StatusAnswer
from tasker_health.testing.reports import report

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.postgres_server import OwnPostgresServer

OK: Final = answer(200, b"", Content_Type="application/x-protobuf")
TOKEN: Final = "canary-otlp-token"

Points = dict[frozenset[tuple[str, str]], float]


def metrics(post: Post) -> dict[str, tuple[str, Points]]:
    """Decode an export: unit and points by name; only gauges are let through."""
    request = ExportMetricsServiceRequest.FromString(post.body)
    ((scope,),) = (one.scope_metrics for one in request.resource_metrics)
    found = {}
    for metric in scope.metrics:
        assert metric.WhichOneof("data") == "gauge", metric.name
        assert metric.name not in found
        points = {}
        for point in metric.gauge.data_points:
            assert point.time_unix_nano > 0
            attributes = frozenset((one.key, one.value.string_value) for one in point.attributes)
            points[attributes] = getattr(point, point.WhichOneof("value") or "")
        found[metric.name] = (metric.unit, points)
    return found


def resource(post: Post) -> dict[str, str]:
    """Decode what the metrics are of."""
    request = ExportMetricsServiceRequest.FromString(post.body)
    (one,) = request.resource_metrics
    return {pair.key: pair.value.string_value for pair in one.resource.attributes}


def state(name: str) -> frozenset[tuple[str, str]]:
    """Name a state of tasks as its attribute does."""
    return frozenset({("tasker.task.state", name)})


def test_a_running_service_exports(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """A collector reads the counts by state; a dead one costs nothing, and is told once."""
    url = postgres.create_database(Generation.ENGINE)
    ended(url, failed=3, completed=7)
    with (
        receiver(OK) as collector,
        served(
            tmp_path,
            database_url=url,
            otlp_url=f"{collector.url}/v1/metrics",
            otlp_interval_seconds=0.2,
            otlp_headers=f"api-key={TOKEN}",
            otlp_resource_attributes="deployment.environment.name=test",
        ) as service,
    ):
        wait_until(lambda: len(collector.posts) > 1)
        collector.usual = answer(503)
        wait_until(lambda: "watcher:otlp" in service.log)
        count = len(collector.posts)
        wait_until(lambda: len(collector.posts) > count + 3)
        assert service.log.count("watcher:otlp") == 1
        collector.usual = OK
        wait_until(lambda: service.log.count("watcher:otlp") == 2)
        assert service.ask("live").status == 200
        collector.usual = HANG
        count = len(collector.posts)
        wait_until(lambda: len(collector.posts) > count)
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < 5
        assert TOKEN not in service.log
    post = collector.posts[0]
    assert (post.path, post.headers["api-key"]) == ("/v1/metrics", TOKEN)
    assert post.headers["content-type"] == "application/x-protobuf"
    unit, points = metrics(post)["tasker.task.count"]
    assert unit == "{task}"
    assert points[state("failed")] == 3
    assert points[state("completed")] == 7
    assert sum(points.values()) == 10
    of = resource(post)
    assert (of["service.name"], of["deployment.environment.name"]) == ("tasker-health", "test")
    assert of["service.instance.id"]


def watcher(url: str, **given: Any) -> OtlpWatcher:
    """Export to a collector."""
    return OtlpWatcher(
        Poster("otlp", f"{url}/v1/metrics", **given),
        interval_seconds=30,
        resource={"service.name": "tasker-health"},
        headers=SecretMapping({}),
    )


def observed(*, stale: bool = False, with_readiness: bool = False) -> Observation:
    """Observe something."""
    told = report(performance=PerformanceMetrics(window_seconds=60, retry_success_rate=0.75))
    at = told.snapshot.at
    checks = (CheckResult(name="database"), CheckResult.error("migrations", Reason.PENDING))
    readiness = ReadinessReport(ready=False, checks=checks, at=at) if with_readiness else None
    answered = StatusAnswer(report=told, cached=True, stale=stale)
    return Observation(at=at, status=answered, readiness=readiness)


@pytest.mark.anyio
async def test_names_units_and_attributes() -> None:
    """Base units, states as attributes, and no point for what is not known."""
    with receiver(OK) as collector:
        sink = watcher(collector.url)
        await sink.look(observed(with_readiness=True))
    told = metrics(collector.posts[0])
    assert {name: unit for name, (unit, _) in told.items()} == {
        "tasker.task.count": "{task}",
        "tasker.step.retry_queue.size": "{step}",
        "tasker.step.ready.count": "{step}",
        "tasker.task.ended_in_window": "{task}",
        "tasker.step.retry.success_ratio": "1",
        "tasker.health.status": "1",
        "tasker.health.measurement.duration": "s",
        "tasker.health.ready": "1",
        "tasker.health.check.ok": "1",
    }
    verdicts = {
        dict(key)["tasker.health.verdict"]: on
        for key, on in told["tasker.health.status"][1].items()
    }
    assert verdicts == {"healthy": 1, "degraded": 0, "unhealthy": 0}
    checks = {
        dict(key)["tasker.health.check"]: ok
        for key, ok in told["tasker.health.check.ok"][1].items()
    }
    assert checks == {"database": 1, "migrations": 0}
    assert told["tasker.health.ready"][1] == {frozenset(): 0}
    assert told["tasker.step.retry.success_ratio"][1] == {frozenset(): 0.75}
    assert told["tasker.health.measurement.duration"][1] == {frozenset(): 0.0125}


@pytest.mark.anyio
async def test_a_point_has_the_time_of_its_report() -> None:
    """The same report sent twice is the same point twice, to the nanosecond."""
    with receiver(OK) as collector:
        sink = watcher(collector.url)
        one = observed()
        await sink.look(one)
        await sink.look(Observation(at=one.at + timedelta(seconds=9), status=one.status))
    first, second = (post.body for post in collector.posts)
    assert first == second
    request = ExportMetricsServiceRequest.FromString(first)
    point = request.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0]
    assert point.time_unix_nano == 1_750_260_600_000_000_000


@pytest.mark.anyio
async def test_what_is_old_is_not_passed_off_as_new() -> None:
    """A stale report gives no point; nor does a readiness that nobody asked for lately."""
    late = observed(stale=True, with_readiness=True)
    with receiver(OK) as collector:
        sink = watcher(collector.url)
        await sink.look(Observation(at=late.at))
        await sink.look(observed(stale=True))
        await sink.look(Observation(at=late.at + timedelta(seconds=61), readiness=late.readiness))
        assert collector.posts == []
        await sink.look(late)
    assert set(metrics(collector.posts[0])) == {"tasker.health.ready", "tasker.health.check.ok"}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("said", "told"),
    [
        (answer(202), "answered 202"),
        (answer(429), "answered 429"),
        (answer(302, b"", Location="http://127.0.0.1:1/"), "answered 302"),
        (
            answer(
                200,
                ExportMetricsServiceResponse(
                    partial_success=ExportMetricsPartialSuccess(rejected_data_points=4)
                ).SerializeToString(),
            ),
            "rejected 4 points",
        ),
    ],
)
async def test_what_was_not_taken_fails_the_look(said: bytes, told: str) -> None:
    """Only 200 is taken, and only if every point was; nothing is sent twice, none redirected."""
    with receiver(said) as collector:
        with pytest.raises(DeliveryError, match=told):
            await watcher(collector.url).look(observed())
        assert len(collector.posts) == 1


@pytest.mark.anyio
async def test_an_answer_that_is_no_protobuf_is_taken() -> None:
    """A collector that answers 200 in words has taken it."""
    with receiver(answer(200, b"\xffthank you")) as collector:
        await watcher(collector.url).look(observed())
        assert len(collector.posts) == 1


@pytest.mark.anyio
async def test_nobody_there_fails_the_look() -> None:
    """A collector that is away is an error of ours, without its URL."""
    with pytest.raises(DeliveryError, match="otlp gave no answer") as error:
        await watcher(f"http://127.0.0.1:{free_port()}").look(observed())
    assert "127.0.0.1" not in str(error.value)

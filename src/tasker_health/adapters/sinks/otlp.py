"""What is known, as OpenTelemetry metrics, to a collector: OTLP over HTTP, in protobuf.

Every metric is a gauge with the time of the report that it was read off, so that the same
report sent twice is one point, and a stale one is no point at all. The names follow the
semantic conventions: base units, states as attributes, ``_ratio`` for parts of a whole.

The SDK's exporter is not used on purpose: it sends on a thread that nothing can cancel,
and tries again for as long as it likes. Here a look that fails is over, and the next one is
the next attempt.

Source: OpenTelemetry, *OTLP/HTTP* and *Metrics semantic conventions*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Gauge,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from tasker_health.domain.checks import CheckStatus
from tasker_health.domain.errors import DeliveryError
from tasker_health.domain.status import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tasker_health.adapters.sinks.posting import Poster
    from tasker_health.domain.observing import Observation
    from tasker_health.domain.ports import Watcher
    from tasker_health.domain.secret import SecretMapping
    from tasker_health.domain.status import StatusReport

__all__ = ["OtlpWatcher"]

_PROTOBUF: Final = "application/x-protobuf"
_TAKEN: Final = 200
_CURRENT_SECONDS: Final = 60.0
"""How old a readiness may be that nobody asked for since; an older one is left out."""

_STATES: Final = ("pending", "running", "completed", "failed", "blocked", "cancelled")


class OtlpWatcher:
    """Exports to one collector.

    Args:
        poster: to its metrics endpoint; whoever opened it closes it.
        interval_seconds: how often.
        resource: what the metrics are of, as attributes.
        headers: sent with each export.
    """

    name: Final = "otlp"

    def __init__(
        self,
        poster: Poster,
        *,
        interval_seconds: float,
        resource: Mapping[str, str],
        headers: SecretMapping,
    ) -> None:
        self._poster = poster
        self._interval_seconds: Final = interval_seconds
        self._resource: Final = Resource(attributes=_attributes(resource))
        self._headers = headers

    @property
    def interval_seconds(self) -> float:
        """How long from the end of one look to the next."""
        return self._interval_seconds

    async def look(self, observation: Observation) -> None:
        """Export what is known, if anything is.

        Raises:
            DeliveryError: the collector did not take it, or not all of it.
        """
        metrics = list(_metrics(observation))
        if not metrics:
            return
        scope = ScopeMetrics(scope=InstrumentationScope(name="tasker_health"), metrics=metrics)
        request = ExportMetricsServiceRequest(
            resource_metrics=[ResourceMetrics(resource=self._resource, scope_metrics=[scope])]
        )
        headers = {**self._headers, "Content-Type": _PROTOBUF}
        answer = await self._poster.post(request.SerializeToString(), headers)
        if answer.status != _TAKEN:
            raise DeliveryError(self.name, f"answered {answer.status}")
        if rejected := _rejected(answer.body):
            raise DeliveryError(self.name, f"rejected {rejected} points")


@attrs.frozen
class _Point:
    value: float
    attributes: Mapping[str, str] = attrs.field(factory=dict)


def _metrics(observation: Observation) -> Iterator[Metric]:
    answer, readiness = observation.status, observation.readiness
    if answer is not None and not answer.stale:
        yield from _of_report(answer.report)
    if (
        readiness is not None
        and (observation.at - readiness.at).total_seconds() <= _CURRENT_SECONDS
    ):
        at = readiness.at
        yield _gauge("tasker.health.ready", "1", at, _Point(int(readiness.ready)))
        points = (
            _Point(
                int(result.status is not CheckStatus.ERROR), {"tasker.health.check": result.name}
            )
            for result in readiness.checks
        )
        yield _gauge("tasker.health.check.ok", "1", at, *points)


def _of_report(report: StatusReport) -> Iterator[Metric]:
    snapshot, at = report.snapshot, report.snapshot.at
    counts, performance, activity = snapshot.system_health, snapshot.performance, snapshot.activity
    states = (
        _Point(getattr(counts, f"{state}_tasks"), {"tasker.task.state": state}) for state in _STATES
    )
    yield _gauge("tasker.task.count", "{task}", at, *states)
    yield _gauge("tasker.step.retry_queue.size", "{step}", at, _Point(counts.retry_queue_size))
    yield _gauge("tasker.step.ready.count", "{step}", at, _Point(activity.ready_steps))
    ended = {"failed": activity.tasks_failed, "completed": activity.tasks_completed}
    yield _gauge(
        "tasker.task.ended_in_window",
        "{task}",
        at,
        *(_Point(number, {"tasker.task.state": state}) for state, number in ended.items()),
    )
    for name, average_ms in (
        ("tasker.task.mean_duration", performance.avg_task_completion_time_ms),
        ("tasker.step.mean_duration", performance.avg_step_completion_time_ms),
    ):
        if average_ms is not None:
            yield _gauge(name, "s", at, _Point(average_ms / 1000))
    if performance.retry_success_rate is not None:
        rate = _Point(performance.retry_success_rate)
        yield _gauge("tasker.step.retry.success_ratio", "1", at, rate)
    verdicts = (
        _Point(int(verdict is report.verdict), {"tasker.health.verdict": verdict.value})
        for verdict in Verdict
    )
    yield _gauge("tasker.health.status", "1", at, *verdicts)
    seconds = _Point(snapshot.took_ms / 1000)
    yield _gauge("tasker.health.measurement.duration", "s", at, seconds)


def _gauge(name: str, unit: str, at: datetime, *points: _Point) -> Metric:
    nanoseconds = int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1000
    return Metric(
        name=name,
        unit=unit,
        gauge=Gauge(
            data_points=[
                NumberDataPoint(
                    time_unix_nano=nanoseconds,
                    attributes=_attributes(point.attributes),
                    **(
                        {"as_int": point.value}
                        if isinstance(point.value, int)
                        else {"as_double": point.value}
                    ),
                )
                for point in points
            ]
        ),
    )


def _attributes(pairs: Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in pairs.items()]


def _rejected(body: bytes) -> int:
    """Tell how many points the collector did not take; an answer that is none rejects none."""
    try:
        told = ExportMetricsServiceResponse.FromString(body)
    except DecodeError:
        return 0
    return told.partial_success.rejected_data_points


if TYPE_CHECKING:
    _: type[Watcher] = OtlpWatcher

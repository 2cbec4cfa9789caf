"""The second half of the guide's promises: production, monitoring, tuning and testing.

As ``test_guide.py``, which has the endpoints and their security; ``docs/guide.md`` restates
both, and the last test here holds the list against the suite.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.unit import test_guide

from tasker_health import (
    Activity,
    AlertSettings,
    AuthSettings,
    ConfigurationError,
    Observation,
    Settings,
    StatusAnswer,
    read_configuration,
)
from tasker_health.adapters.memory.incidents import InMemoryIncidentStore
from tasker_health.domain.alerting import FailureBasis, Phase
from tasker_health.domain.paging import Paging
from tasker_health.testing import (
    InMemoryHealth,
    ManualClock,
    RecordingJournal,
    TestAuthenticator,
    auth_headers,
    user_with_permission,
)
from tasker_health.testing.reports import report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasker_health import Incident, StatusReport

pytestmark = pytest.mark.anyio

PROJECT: Final = Path(__file__).parents[2]
READY, LIVE, STATUS = (f"/tasker/health/{name}" for name in ("ready", "live", "status"))
AT: Final = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)


async def test_kubernetes_configuration_probes() -> None:
    """A kubelet's request gets a plain 200 of a few bytes."""
    health = InMemoryHealth()
    for path in (READY, LIVE):
        kubelet = {"user-agent": "kube-probe/1.31", "accept": "*/*", "host": "10.0.0.7:3000"}
        response = await health.get(path, kubelet)
        assert response.status_code == 200
        assert len(response.content) < 10 * 1024


async def test_load_balancer_configuration_no_cache_keeps_a_probe() -> None:
    """Whatever proxy stands in between asks every time."""
    health = InMemoryHealth()
    for path in (READY, LIVE):
        response = await health.get(path)
        assert response.headers["cache-control"] == "no-store"
        assert "etag" not in response.headers


async def test_prometheus_metrics_names() -> None:
    """The guide's four names have the values of the status document."""
    health = InMemoryHealth()
    status = (await health.get(STATUS)).json()
    exposed = (await health.get("/tasker/metrics")).content.decode()
    told = {
        sample.name: sample.value
        for family in text_string_to_metric_families(exposed)
        for sample in family.samples
    }
    counts = status["system_health"]
    assert told["tasker_total_tasks"] == counts["total_tasks"]
    assert told["tasker_pending_tasks"] == counts["pending_tasks"]
    assert told["tasker_failed_tasks"] == counts["failed_tasks"]
    average = status["performance_metrics"]["avg_task_completion_time_ms"]
    assert told.get("tasker_avg_completion_time") == average


def test_datadog_integration_every_30_seconds() -> None:
    """An agent's address is all it takes; the pace is the guide's."""
    url = "udp://127.0.0.1:8125"
    configuration = read_configuration({"TASKER_HEALTH_DOGSTATSD_URL": url})
    assert configuration.dogstatsd_url == url
    assert configuration.dogstatsd_interval_seconds == 30


@attrs.define
class Pager:
    """Takes down what it is told."""

    name: str = "pager"
    phases: list[Phase] = attrs.field(factory=list)

    async def notify(self, incident: Incident) -> None:
        """Take it down."""
        self.phases.append(incident.phase)


async def paged(basis: FailureBasis, *failed_of_100: int) -> Sequence[Phase]:
    """Show an alert reports in which so many of 100 tasks failed; none where it says 0 of 0."""
    pager, clock = Pager(), ManualClock(AT)
    settings = AlertSettings(alert_failure_basis=basis)
    alerts = Paging(
        [pager],
        InMemoryIncidentStore(clock),
        fingerprint="tasker",
        holder="this",
        clock=clock,
        journal=RecordingJournal(),
        settings=settings,
    )
    at = AT
    for failed in failed_of_100:
        for _ in range(max(settings.alert_trigger_reports, settings.alert_clear_reports)):
            at += timedelta(minutes=1)
            seen = _report(basis, failed, at)
            await alerts.look(Observation(at=at, status=StatusAnswer(report=seen, cached=True)))
    return pager.phases


def _report(basis: FailureBasis, failed: int, at: datetime) -> StatusReport:
    activity, counts = Activity(), report().snapshot.system_health
    if basis is FailureBasis.WINDOW:
        activity = Activity(tasks_failed=failed, tasks_completed=100 - failed)
    else:
        counts = attrs.evolve(
            report().snapshot.system_health,
            **dict.fromkeys(("pending_tasks", "running_tasks", "blocked_tasks"), 0),
            cancelled_tasks=0,
            failed_tasks=failed,
            completed_tasks=100 - failed,
            total_tasks=100,
        )
    return report(at=at, activity=activity, system_health=counts)


@pytest.mark.parametrize("basis", FailureBasis)
async def test_alerting_examples_failure_rate(basis: FailureBasis) -> None:
    """At 5 % nobody is woken, above it somebody is, once; and told when it is over."""
    assert await paged(basis, 5) == []
    assert await paged(basis, 6, 7, 1) == [Phase.TRIGGERED, Phase.RESOLVED]


def test_optimization_tips_alert_over_200_ms() -> None:
    """The shipped rules speak of answers and of statements that take over 200 ms."""
    file = PROJECT / "deploy" / "prometheus" / "tasker-health.rules.yml"
    rules = [
        rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]
    ]
    slow = [rule["expr"] for rule in rules if rule["expr"].rstrip().endswith("> 0.2")]
    assert len(slow) == 2


def test_health_configuration_defaults() -> None:
    """The guide's defaults, from nothing."""
    health = read_configuration({}).settings.health
    assert health.status_requires_authentication is False
    assert health.cache_duration_seconds == 15


def test_health_configuration_from_environment_and_file(tmp_path: Path) -> None:
    """The file is read, and the environment has the last word."""
    file = tmp_path / "tasker.toml"
    file.write_text(
        "[health]\nstatus_requires_authentication = true\ncache_duration_seconds = 30\n"
    )
    environment = {
        "TASKER_HEALTH_CONFIG": str(file),
        "TASKER_HEALTH_CACHE_DURATION_SECONDS": "5",
    }
    health = read_configuration(environment).settings.health
    assert health.status_requires_authentication is True
    assert health.cache_duration_seconds == 5


def test_health_configuration_bad_values_are_named() -> None:
    """One line names the option, the value and what is allowed."""
    with pytest.raises(ConfigurationError) as refused:
        read_configuration({"TASKER_HEALTH_CACHE_DURATION_SECONDS": "soon"})
    told = str(refused.value)
    assert "CACHE_DURATION_SECONDS" in told
    assert "'soon'" in told
    assert "seconds" in told
    assert "\n" not in told


def test_performance_tuning_pool() -> None:
    """What the guide tunes about connections is here to be tuned."""
    configuration = read_configuration(
        {
            "TASKER_HEALTH_POOL_SIZE": "7",
            "TASKER_HEALTH_CHECKOUT_TIMEOUT_SECONDS": "3",
            "TASKER_HEALTH_PREPARED_STATEMENTS": "false",
        }
    )
    assert configuration.pool_size == 7
    assert configuration.checkout_timeout_seconds == 3
    assert configuration.prepared_statements is False


async def test_performance_tuning_redis_cache() -> None:
    """A Redis URL is all it takes; keys stand under the guide's namespace."""
    from tasker_health.adapters.redis import open_redis_cache  # noqa: PLC0415  a vendor's module

    url = "redis://127.0.0.1:6379/0"
    assert read_configuration({"TASKER_HEALTH_CACHE_URL": url}).cache_url.reveal() == url
    cache = open_redis_cache(url, key="abc")
    assert "tasker_health:status:abc" in str(cache._key)
    await cache.aclose()


async def test_rspec_testing_ready() -> None:
    """Ready: 200, true, and checks present."""
    response = await InMemoryHealth().get("/tasker/health/ready")
    assert response.status_code == 200
    assert response.json()["ready"] is True
    assert response.json()["checks"]


async def test_rspec_testing_live() -> None:
    """Live: 200 and true."""
    response = await InMemoryHealth().get("/tasker/health/live")
    assert response.status_code == 200
    assert response.json()["alive"] is True


async def test_rspec_testing_status_open() -> None:
    """Status with authorization disabled: 200, with a status and numbers."""
    response = await InMemoryHealth().get("/tasker/health/status")
    assert response.status_code == 200
    assert response.json()["status"]
    assert response.json()["system_health"]


ENABLED = Settings(auth=AuthSettings(authorization_enabled=True))


async def test_rspec_testing_requires_permission() -> None:
    """Status with authorization enabled and nobody known: forbidden."""
    response = await InMemoryHealth(settings=ENABLED).get("/tasker/health/status")
    assert response.status_code == 403


async def test_rspec_testing_allows_with_permission() -> None:
    """Status with authorization enabled, for a user who holds the permission: 200."""
    user = user_with_permission("tasker.health_status:index")
    health = InMemoryHealth(settings=ENABLED, authenticator=TestAuthenticator(user))
    response = await health.get("/tasker/health/status", headers=auth_headers(user))
    assert response.status_code == 200


def test_every_promise_has_its_test() -> None:
    """The list of promises names the tests of both files, and others that there are."""
    text = (PROJECT / "docs" / "guide.md").read_text()
    told = set(re.findall(r"^- (`[^:]*`):", text, re.MULTILINE | re.DOTALL))
    promised = {name for line in told for name in re.findall(r"`(\w+)`", line)}
    tested = {
        name.removeprefix("test_")
        for name in (*vars(test_guide), *globals())
        if name.startswith("test_")
        and name not in {"test_guide", "test_every_promise_has_its_test"}
    }
    assert promised == tested
    elsewhere = re.findall(r"`(\w+\.py)::(\w+)`", text)
    assert len(elsewhere) >= 12
    for file, name in elsewhere:
        (place,) = (PROJECT / "tests").rglob(file)
        assert f"def {name}(" in place.read_text()

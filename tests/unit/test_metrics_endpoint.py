"""``/tasker/metrics``: who gets it, in which form, and that a scraper never loses it to us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from tasker_health.adapters.meter import CountingMeter
from tasker_health.domain.errors import InvalidCredentialsError, SourceError
from tasker_health.domain.metering import StatusSource
from tasker_health.domain.permissions import METRICS_INDEX, STATUS_INDEX, Principal
from tasker_health.domain.reasons import Reason
from tasker_health.domain.service import CHECKS
from tasker_health.domain.settings import AuthSettings, HealthSettings, Settings
from tasker_health.entrypoints.exposing import version
from tasker_health.entrypoints.http import HealthEndpoints
from tasker_health.entrypoints.lifespan import Entrance
from tasker_health.entrypoints.messages import Request
from tasker_health.testing.services import InMemoryHealth

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from tasker_health.domain.permissions import Credentials
    from tasker_health.domain.ports import User
    from tasker_health.domain.service import HealthService
    from tasker_health.entrypoints.messages import Response

pytestmark = pytest.mark.anyio

PATH: Final = "/tasker/metrics"
PROMETHEUS: Final = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
"""What Prometheus 3 sends."""
PEOPLE: Final = {
    "scraper": Principal(name="scraper", permissions=frozenset({METRICS_INDEX})),
    "viewer": Principal(name="viewer", permissions=frozenset({STATUS_INDEX})),
    "admin": Principal(name="admin", tasker_admin=True),
}
CLOSED: Final = Settings(
    health=HealthSettings(status_requires_authentication=True),
    auth=AuthSettings(authorization_enabled=True),
)


class ByName:
    """Knows people by name, and breaks on demand."""

    async def authenticate(self, credentials: Credentials) -> User | None:
        """Look at the header."""
        name = credentials.headers.get("authorization", "")
        if name == "broken":
            raise RuntimeError("postgresql://root:hunter2@db.internal")
        if name and name not in PEOPLE:
            raise InvalidCredentialsError
        return PEOPLE.get(name)


def guarded() -> InMemoryHealth:
    """Make a service that asks who is there."""
    return InMemoryHealth(settings=CLOSED, authenticator=ByName())


async def ask(
    asked: InMemoryHealth | HealthEndpoints | Entrance,
    path: str = PATH,
    method: str = "GET",
    query: str = "",
    **headers: str,
) -> Response:
    """Ask once."""
    answering = HealthEndpoints(asked.service) if isinstance(asked, InMemoryHealth) else asked
    return await answering.answer(Request(method, path, query, headers))


def values(response: Response) -> dict[str, float]:
    """Read the text form; values by name and labels as written."""
    return {
        f"{sample.name}{sorted(sample.labels.values())}": sample.value
        for family in read_text(response.body.decode())
        for sample in family.samples
    }


async def test_metrics_are_there_without_any_configuration() -> None:
    """The guide's numbers, the verdict and the release, open to all like the status."""
    response = await ask(InMemoryHealth())

    assert response.status == 200
    told = values(response)
    assert told["tasker_total_tasks[]"] == 0
    assert told["tasker_health_up[]"] == 1
    assert told["tasker_health_verdict['healthy']"] == 1
    assert told[f"tasker_health_build_info['{version()}']"] == 1


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8"),
        (PROMETHEUS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0;"),
    ],
)
async def test_the_form_is_what_the_scraper_prefers(accept: str, form: str) -> None:
    """Prometheus gets OpenMetrics, a person who just looks gets text."""
    response = await ask(InMemoryHealth(), accept=accept)

    told = dict(response.headers)
    assert told[b"content-type"].decode().startswith(form)
    assert int(told[b"content-length"]) == len(response.body)
    reader = read_openmetrics if form.startswith("application") else read_text
    assert any(family.name == "tasker_tasks" for family in reader(response.body.decode()))


@pytest.mark.parametrize("accept", ["application/json", "image/png", "text/html"])
async def test_another_form_is_406(accept: str) -> None:
    """The answer says which there are, and nobody is asked for anything."""
    health = InMemoryHealth()
    response = await ask(health, accept=accept)

    assert response.status == 406
    assert b"text/plain and application/openmetrics-text" in response.body
    assert health.tasker.views == 0


async def test_a_slash_at_the_end_changes_nothing() -> None:
    """Both paths are the endpoint, and no other spelling is."""
    endpoints = HealthEndpoints(InMemoryHealth().service)
    assert (await ask(endpoints, PATH)).body == (await ask(endpoints, f"{PATH}/")).body
    for path in ("/tasker/health/metrics", "/tasker//metrics", "/tasker/Metrics", "/metrics"):
        assert (await ask(endpoints, path)).status == 404


async def test_other_methods() -> None:
    """HEAD and OPTIONS agree with GET; nothing else is a method of it."""
    endpoints = HealthEndpoints(InMemoryHealth().service)
    get, head, options, post = [
        await ask(endpoints, method=method) for method in ("GET", "HEAD", "OPTIONS", "POST")
    ]
    assert head == attrs.evolve(get, body=b"")
    assert (options.status, options.body) == (200, b"")
    assert (b"allow", b"GET, HEAD, OPTIONS") in options.headers
    assert post.status == 405


async def test_nobody_keeps_metrics() -> None:
    """Neither an open answer nor a guarded one may be stored."""
    assert (b"cache-control", b"no-store") in (await ask(InMemoryHealth())).headers
    closed = await ask(guarded(), authorization="scraper")
    assert (b"cache-control", b"private, no-store") in closed.headers
    assert (b"vary", b"Authorization, Cookie") in closed.headers


@pytest.mark.parametrize(
    ("name", "code"),
    [("scraper", 200), ("admin", 200), ("viewer", 403), ("", 401), ("stranger", 401)],
)
async def test_metrics_have_a_permission_of_their_own(name: str, code: int) -> None:
    """``tasker.metrics:index`` opens them; the status' own permission does not."""
    headers = {"authorization": name} if name else {}
    response = await ask(guarded(), **headers)

    assert response.status == code
    assert (b"tasker_" in response.body) is (code == 200)
    assert (b"www-authenticate" in dict(response.headers)) is (code == 401)


async def test_an_authenticator_that_fails_closes_without_a_5xx() -> None:
    """It cannot be told who asks, so it is 403, and the words say so."""
    response = await ask(guarded(), authorization="broken")

    assert response.status == 403
    assert b"It cannot be told who is asking" in response.body
    assert b"hunter2" not in response.body


async def test_a_scrape_runs_no_check() -> None:
    """Readiness is told as it was found when somebody asked for it, and absent before."""
    health = InMemoryHealth()
    endpoints = HealthEndpoints(health.service)
    found_out = ("tasker_health_ready", "tasker_health_readiness", "tasker_health_check")
    assert not any(name.startswith(found_out) for name in values(await ask(endpoints)))
    assert health.probe.observations == 0

    await ask(endpoints, "/tasker/health/ready")
    health.clock.advance(30)
    told = values(await ask(endpoints))
    assert told["tasker_health_ready[]"] == 1
    assert told["tasker_health_readiness_age_seconds[]"] == 30
    assert told["tasker_health_check_status['database', 'ok']"] == 1
    assert health.probe.observations == 1


async def test_a_scrape_uses_the_report_that_all_share() -> None:
    """Ten scrapes and a status within the cache's time are one measurement."""
    health = InMemoryHealth()
    endpoints = HealthEndpoints(health.service)
    for _ in range(10):
        await ask(endpoints)
    await ask(endpoints, "/tasker/health/status")
    assert health.tasker.views == 1


async def test_a_database_that_is_down_is_a_200() -> None:
    """An old report is told as stale; without any, Tasker's numbers are absent."""
    health = InMemoryHealth()
    endpoints = HealthEndpoints(health.service)
    health.tasker.failure = SourceError(Reason.REFUSED)
    none = await ask(endpoints)
    assert none.status == 200
    assert values(none)["tasker_health_up[]"] == 0
    assert b"tasker_total_tasks" not in none.body

    health.tasker.failure = None
    health.clock.advance(1)
    await ask(endpoints)
    health.tasker.failure = SourceError(Reason.REFUSED)
    health.clock.advance(60)
    told = values(await ask(endpoints))
    assert (told["tasker_health_up[]"], told["tasker_health_status_stale[]"]) == (1, 1)
    assert told["tasker_health_snapshot_age_seconds[]"] == 60


async def test_what_breaks_unexpectedly_is_a_200_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is nothing to tell, and the journal has the reason, once."""
    health = guarded()
    endpoints = HealthEndpoints(health.service)

    async def broken(*_: object) -> None:
        raise ZeroDivisionError("postgresql://root:hunter2@db.internal")

    monkeypatch.setattr(health.service, "metrics", broken)
    for _ in range(2):
        response = await ask(endpoints)
        assert response.status == 200
        assert values(response) == {"tasker_health_up[]": 0}
        assert (b"cache-control", b"private, no-store") in response.headers
    assert len(health.journal.about("endpoint:metrics")) == 1


async def test_a_service_that_is_not_open_is_a_200_that_says_so() -> None:
    """Probes get 503 of an application that does not run; a scraper is told that nothing is up."""

    def opener() -> AbstractAsyncContextManager[HealthService]:
        raise AssertionError("nobody opens it")

    entrance = Entrance(opener)
    get, head, post = [await ask(entrance, method=method) for method in ("GET", "HEAD", "POST")]
    assert get.status == 200
    assert values(get) == {"tasker_health_up[]": 0}
    assert head == attrs.evolve(get, body=b"")
    assert post.status == 404
    assert (await ask(entrance, "/tasker/health/status")).status == 503


async def test_what_was_counted_is_told() -> None:
    """Answers to the status by their source; scrapes are none."""
    health = InMemoryHealth(meter=CountingMeter(CHECKS))
    endpoints = HealthEndpoints(health.service)
    for _ in range(3):
        await ask(endpoints, "/tasker/health/status")
        await ask(endpoints, "/tasker/health/ready")
    told = values(await ask(endpoints))
    answers = {
        source: told[f"tasker_health_status_answers_total['{source}']"] for source in StatusSource
    }
    expected = dict.fromkeys(StatusSource, 0.0)
    expected.update({StatusSource.MEASURED: 1, StatusSource.HELD: 2})
    assert answers == expected
    assert told["tasker_health_measurement_duration_seconds_count['ok']"] == 1
    assert told["tasker_health_readiness_duration_seconds_count['ready']"] == 1
    assert told["tasker_health_check_duration_seconds_count['database']"] == 1


async def test_metrics_are_written_once_while_nothing_changes() -> None:
    """The very bytes again within a second; another second, count or answer is told at once."""
    health = InMemoryHealth(meter=CountingMeter(CHECKS))
    endpoints = HealthEndpoints(health.service)
    await ask(endpoints)
    first, again = await ask(endpoints), await ask(endpoints)
    assert again.body is first.body
    assert (await ask(endpoints, accept=PROMETHEUS)).body.endswith(b"# EOF\n")
    assert (await ask(endpoints)).body is first.body

    await ask(endpoints, "/tasker/health/status")
    counted = await ask(endpoints)
    assert values(counted)["tasker_health_status_answers_total['held']"] == 1
    health.clock.advance(1)
    aged = await ask(endpoints)
    assert values(aged)["tasker_health_snapshot_age_seconds[]"] == 1
    await ask(endpoints, "/tasker/health/ready")
    assert values(await ask(endpoints))["tasker_health_ready[]"] == 1


async def test_a_meter_that_keeps_nothing_has_nothing_told() -> None:
    """Without counts there is no counter, rather than one that stands at 0."""
    response = await ask(InMemoryHealth())
    assert b"_total{" not in response.body
    assert b"_bucket{" not in response.body


@pytest.mark.parametrize("query", ["name[]=tasker_tasks", "x=%ff", "fail_on=never", "verbose"])
async def test_the_query_is_passed_over(query: str) -> None:
    """Nothing of a request changes what is told."""
    endpoints = HealthEndpoints(InMemoryHealth().service)
    assert (await ask(endpoints, query=query)).body == (await ask(endpoints)).body


def test_a_copy_that_is_not_installed_has_no_release() -> None:
    """It says that it does not know."""
    assert version("tasker-health-of-nobody") == "unknown"
    assert version().count(".") == 2


def test_metrics_stand_beside_health() -> None:
    """Any prefix stands before both."""
    endpoints = HealthEndpoints(InMemoryHealth().service, "/a/b")
    assert endpoints.has("/a/b/metrics")
    assert not endpoints.has("/tasker/metrics")

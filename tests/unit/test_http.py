"""The table of codes and headers, over a service out of memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.domain.errors import (
    AccessError,
    ConfigurationError,
    InvalidCredentialsError,
    SourceError,
)
from tasker_health.domain.permissions import STATUS_INDEX, Credentials, Principal
from tasker_health.domain.reasons import Reason
from tasker_health.domain.settings import AuthSettings, HealthSettings, Settings
from tasker_health.domain.status import Vitals
from tasker_health.entrypoints.http import ENDPOINTS, HealthEndpoints, paths
from tasker_health.entrypoints.messages import Request, Response
from tasker_health.testing.services import InMemoryHealth

if TYPE_CHECKING:
    from datetime import datetime

    from tasker_health.domain.ports import User

pytestmark = pytest.mark.anyio

PROTECTED = Settings(
    health=HealthSettings(status_requires_authentication=True),
    auth=AuthSettings(authorization_enabled=True),
)
KNOWN = {
    "Bearer alice": Principal(name="alice", permissions=frozenset({STATUS_INDEX})),
    "Bearer bob": Principal(name="bob"),
}


class Doorkeeper:
    """Knows alice, who may, and bob, who may not; breaks and refuses on demand."""

    async def authenticate(self, credentials: Credentials) -> User | None:
        """Look at the header, or at whom the host found."""
        given = credentials.headers.get("authorization", "")
        if given == "Bearer broken":
            raise RuntimeError("postgresql://root:hunter2@db.internal")
        if given == "Bearer odd":
            raise OddCredentialsError
        if given and given not in KNOWN:
            raise InvalidCredentialsError
        host = credentials.user
        return host if isinstance(host, Principal) else KNOWN.get(given)


class OddCredentialsError(InvalidCredentialsError):
    """What an embedder's own authenticator may raise."""


def body(response: Response) -> dict[str, Any]:
    """Read a JSON body."""
    document: dict[str, Any] = json.loads(response.body)
    return document


def headers(response: Response) -> dict[str, str]:
    """Read the headers; none is sent twice."""
    told = {name.decode(): value.decode() for name, value in response.headers}
    assert len(told) == len(response.headers)
    return told


async def ask(
    health: InMemoryHealth | HealthEndpoints,
    name: str,
    query: str = "",
    *,
    method: str = "GET",
    user: object | None = None,
    **sent: str,
) -> Response:
    """Ask one endpoint."""
    endpoints = health if isinstance(health, HealthEndpoints) else HealthEndpoints(health.service)
    named = {key.replace("_", "-"): value for key, value in sent.items()}
    return await endpoints.answer(Request(method, f"/tasker/health/{name}", query, named, user))


def stalled() -> InMemoryHealth:
    """A service whose verdict is degraded."""
    health = InMemoryHealth()
    health.tasker.vitals = Vitals(round_trip_ms=500.0)
    return health


async def test_live_is_200_and_never_kept() -> None:
    """Liveness answers 200 with the guide's document, which no cache may keep."""
    response = await ask(InMemoryHealth(), "live")

    assert response.status == 200
    assert body(response) == {"alive": True, "timestamp": "2025-06-18T15:30:00Z"}
    assert headers(response) == {
        "content-type": "application/json",
        "content-length": str(len(response.body)),
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }


async def test_live_tells_the_time() -> None:
    """Liveness tells the present second, however often it was asked in the one before."""
    health = InMemoryHealth()
    endpoints = HealthEndpoints(health.service)
    first = await ask(endpoints, "live")
    again = await ask(endpoints, "live")
    health.clock.advance(1)
    later = await ask(endpoints, "live")

    assert again is first
    assert body(later)["timestamp"] == "2025-06-18T15:30:01Z"


async def test_ready_is_200_when_it_is() -> None:
    """Readiness answers 200 with the guide's checks, and the same bytes while it is reused."""
    health = InMemoryHealth()
    endpoints = HealthEndpoints(health.service)
    response = await ask(endpoints, "ready")

    assert response.status == 200
    assert list(body(response)["checks"]) == ["database", "migrations", "configuration", "cache"]
    assert headers(response)["cache-control"] == "no-store"
    assert "retry-after" not in headers(response)
    assert await ask(endpoints, "ready") is response


async def test_ready_is_503_when_it_is_not() -> None:
    """Readiness answers 503 with the public reason and when to ask again."""
    health = InMemoryHealth()
    health.probe.failure = SourceError(Reason.REFUSED)
    response = await ask(health, "ready")

    assert response.status == 503
    assert body(response)["ready"] is False
    assert body(response)["checks"]["database"]["reason"] == "refused"
    assert headers(response)["retry-after"] == "1"
    assert headers(response)["cache-control"] == "no-store"


async def test_draining() -> None:
    """A process that drains is alive and not ready."""
    health = InMemoryHealth()
    health.service.drain()

    assert (await ask(health, "live")).status == 200
    response = await ask(health, "ready")
    assert response.status == 503
    assert body(response)["reason"] == "draining"


async def test_status_is_200_whatever_the_verdict() -> None:
    """A report is 200, with the verdict in the body."""
    response = await ask(stalled(), "status")

    assert response.status == 200
    assert body(response)["status"] == "degraded"


async def test_status_tells_shared_caches_what_is_left() -> None:
    """An open report may be kept until it expires, and tells how old it is."""
    health = InMemoryHealth()
    endpoints = HealthEndpoints(health.service)
    await ask(endpoints, "status")
    health.clock.advance(4)
    told = headers(await ask(endpoints, "status"))

    assert told["cache-control"] == ("public, max-age=11, s-maxage=11, stale-while-revalidate=15")
    assert told["age"] == "4"


async def test_a_clock_that_jumped_keeps_nothing_longer() -> None:
    """However the wall clock jumps, no cache is told more than one period, nor less than none."""
    health = InMemoryHealth()
    endpoints = HealthEndpoints(health.service)
    await ask(endpoints, "status")
    health.clock.jump(-3600)
    back = headers(await ask(endpoints, "status"))
    health.clock.jump(7200)
    ahead = headers(await ask(endpoints, "status"))

    assert "max-age=15," in back["cache-control"]
    assert back["age"] == "0"
    assert "max-age=0," in ahead["cache-control"]


async def test_cached_answers_are_the_same_bytes() -> None:
    """Every cached answer of one report has the same bytes, whatever the time."""
    health = InMemoryHealth()
    endpoints = HealthEndpoints(health.service)
    first = await ask(endpoints, "status")
    second = await ask(endpoints, "status")
    health.clock.advance(3)
    third = await ask(endpoints, "status")

    assert body(first)["cache_info"]["cached"] is False
    assert body(second)["cache_info"]["cached"] is True
    assert third.body is second.body


async def test_a_caller_that_has_the_report_gets_304() -> None:
    """A report that the caller already has is not sent again, to those who waited included."""
    health = InMemoryHealth()
    endpoints = HealthEndpoints(health.service)
    first = headers(await ask(endpoints, "status"))["etag"]

    assert first.startswith('W/"')
    for known in (first, f'"x", {first}', first.removeprefix("W/"), "*"):
        response = await ask(endpoints, "status", if_none_match=known)
        assert response.status == 304
        assert response.body == b""
        assert headers(response)["etag"] == first
        assert "content-length" not in headers(response)
    assert (await ask(endpoints, "status", if_none_match='"x"')).status == 200


async def test_in_its_last_second_a_report_is_sent_whole() -> None:
    """A 304 that may be kept for no time makes some caches keep the old one for as long again."""
    health = InMemoryHealth()
    endpoints = HealthEndpoints(health.service)
    tag = headers(await ask(endpoints, "status"))["etag"]
    health.clock.advance(13.5)
    assert (await ask(endpoints, "status", if_none_match=tag)).status == 304
    health.clock.advance(1)
    last = await ask(endpoints, "status", if_none_match=tag)

    assert (last.status, headers(last)["etag"]) == (200, tag)
    assert "max-age=0," in headers(last)["cache-control"]


async def test_a_new_report_has_a_new_tag() -> None:
    """What the caller has is sent anew once it was measured anew."""
    health = InMemoryHealth()
    endpoints = HealthEndpoints(health.service)
    old = headers(await ask(endpoints, "status"))["etag"]
    health.clock.advance(60)

    assert (await ask(endpoints, "status", if_none_match=old)).status == 200


@pytest.mark.parametrize("name", ["live", "ready"])
async def test_probes_are_never_304(name: str) -> None:
    """Probes look at no condition and bear no tag."""
    response = await ask(InMemoryHealth(), name, if_none_match="*")

    assert response.status == 200
    assert "etag" not in headers(response)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("fail_on=degraded", 503),
        ("fail_on=unhealthy", 200),
        ("fail%5Fon=degraded", 503),
        ("other=degraded", 200),
    ],
)
async def test_fail_on_asks_for_503_by_verdict(query: str, status: int) -> None:
    """Who asks for it gets 503 from that verdict on, with the report and never kept."""
    response = await ask(stalled(), "status", query)

    assert response.status == status
    assert body(response)["status"] == "degraded"
    if status == 503:
        assert headers(response)["cache-control"] == "no-store"
        assert headers(response)["retry-after"] == "1"


async def test_fail_on_lets_a_healthy_system_pass() -> None:
    """A healthy system is 200 whichever verdict should fail."""
    assert (await ask(InMemoryHealth(), "status", "fail_on=degraded")).status == 200


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("fail_on=healthy", "fail_on is 'healthy': allowed is unhealthy or degraded"),
        ("fail_on=", "fail_on is '': allowed is unhealthy or degraded"),
        (
            "fail_on=degraded&fail_on=unhealthy",
            "fail_on is 'degraded and unhealthy': allowed is unhealthy or degraded",
        ),
        (
            "fail_on=%1b%E2%80%A8%3Cb%3E",
            r"fail_on is '\x1b\u2028<b>': allowed is unhealthy or degraded",
        ),
        (
            f"fail_on={'x' * 100}",
            f"fail_on is '{'x' * 64}'...: allowed is unhealthy or degraded",
        ),
        ("&".join(["a=1"] * 101), "query is more: allowed is at most 100 fields"),
    ],
)
async def test_a_bad_field_is_named(query: str, detail: str) -> None:
    """A bad value is 400 and told with its field, escaped and capped, and what is allowed."""
    health = InMemoryHealth()
    response = await ask(health, "status", query)

    assert response.status == 400
    assert body(response)["detail"] == detail
    assert health.tasker.views == 0


async def test_probes_look_at_no_query() -> None:
    """Nothing in the query changes what a probe gets."""
    health = InMemoryHealth()

    assert (await ask(health, "ready", "fail_on=nonsense")).status == 200
    assert (await ask(health, "live", "fail_on=nonsense")).status == 200


async def test_accept_that_cannot_be_met() -> None:
    """An Accept that cannot be met is 406 on the status and passed over by the probes."""
    health = InMemoryHealth()

    assert (await ask(health, "status", accept="image/png")).status == 406
    assert (await ask(health, "ready", accept="image/png")).status == 200
    assert (await ask(health, "live", accept="image/png")).status == 200
    assert (await ask(health, "status", accept="text/html, */*;q=0.1")).status == 200


async def test_no_report_is_503() -> None:
    """Without any report the status says why in a public word, and when to ask again."""
    health = InMemoryHealth()
    health.tasker.failure = SourceError(Reason.AUTH)
    response = await ask(health, "status")

    assert response.status == 503
    assert headers(response)["content-type"] == "application/problem+json"
    assert int(headers(response)["retry-after"]) >= 1
    assert body(response)["reason"] == "auth"


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("", 401),
        ("Bearer mallory", 401),
        ("Bearer odd", 401),
        ("Bearer bob", 403),
        ("Bearer broken", 503),
        ("Bearer alice", 200),
    ],
)
async def test_who_may_see_the_status(authorization: str, status: int) -> None:
    """The status tells its numbers to those who may, and to nobody else."""
    health = InMemoryHealth(settings=PROTECTED, authenticator=Doorkeeper())
    sent = {"authorization": authorization} if authorization else {}
    response = await ask(health, "status", **sent)

    assert response.status == status
    assert headers(response)["vary"] == "Authorization, Cookie"
    assert "no-store" in headers(response)["cache-control"]
    assert ("www-authenticate" in headers(response)) is (status == 401)
    assert ("retry-after" in headers(response)) is (status == 503)
    assert ("system_health" in body(response)) is (status == 200)
    assert b"hunter2" not in response.body


async def test_a_protected_report_is_private() -> None:
    """A report that not everybody may see has no tag, and no cache keeps it."""
    health = InMemoryHealth(settings=PROTECTED, authenticator=Doorkeeper())
    response = await ask(health, "status", authorization="Bearer alice", if_none_match="*")

    assert response.status == 200
    assert headers(response)["cache-control"] == "private, no-store"
    assert "etag" not in headers(response)


async def test_a_protected_status_without_report_is_never_kept() -> None:
    """Failures behind authentication vary by who asks as well."""
    health = InMemoryHealth(settings=PROTECTED, authenticator=Doorkeeper())
    health.tasker.failure = SourceError(Reason.TIMEOUT)
    response = await ask(health, "status", authorization="Bearer alice")

    assert response.status == 503
    assert headers(response)["vary"] == "Authorization, Cookie"


async def test_the_hosts_user_counts() -> None:
    """Whom the host application found is whom the authenticator gets to see."""
    health = InMemoryHealth(settings=PROTECTED, authenticator=Doorkeeper())

    assert (await ask(health, "status", user=KNOWN["Bearer alice"])).status == 200
    assert (await ask(health, "status", user=KNOWN["Bearer bob"])).status == 403


async def test_probes_never_ask_who_is_there() -> None:
    """Readiness and liveness answer everybody, whatever the settings."""
    health = InMemoryHealth(settings=PROTECTED, authenticator=Doorkeeper())

    assert (await ask(health, "ready", authorization="Bearer broken")).status == 200
    assert (await ask(health, "live", authorization="Bearer broken")).status == 200


async def test_an_unknown_refusal_denies(monkeypatch: pytest.MonkeyPatch) -> None:
    """An access error of a kind that the table does not know is 403."""

    class NewError(AccessError):
        pass

    async def refuse(*_: object) -> None:
        raise NewError

    health = InMemoryHealth(settings=PROTECTED)
    monkeypatch.setattr(health.service, "status", refuse)

    assert (await ask(health, "status")).status == 403


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("bad", [False, True])
async def test_head_and_options_agree_with_get(name: str, bad: bool) -> None:
    """HEAD is GET without its body; OPTIONS has its code and headers, and says what is allowed."""
    health = InMemoryHealth()
    if bad:
        health.probe.failure = health.tasker.failure = SourceError(Reason.REFUSED)
    endpoints = HealthEndpoints(health.service)
    await ask(endpoints, name)
    get = await ask(endpoints, name)
    head = await ask(endpoints, name, method="HEAD")
    options = await ask(endpoints, name, method="OPTIONS")

    assert head == attrs.evolve(get, body=b"")
    assert headers(head)["content-length"] == str(len(get.body))
    assert options.status == get.status
    assert options.body == b""
    assert headers(options) == {
        **headers(get),
        "content-length": "0",
        "allow": "GET, HEAD, OPTIONS",
    }


async def test_options_asks_nothing_conditionally() -> None:
    """A condition on OPTIONS is passed over, one on HEAD is not."""
    health = InMemoryHealth()

    assert (await ask(health, "status", method="OPTIONS", if_none_match="*")).status == 200
    assert (await ask(health, "status", method="HEAD", if_none_match="*")).status == 304


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW", "get"])
async def test_other_methods_are_405(name: str, method: str) -> None:
    """Other methods are told which there are, and change and measure nothing."""
    health = InMemoryHealth()
    response = await ask(health, name, method=method)

    assert response.status == 405
    assert headers(response)["allow"] == "GET, HEAD, OPTIONS"
    assert health.tasker.views == health.probe.observations == 0


@pytest.mark.parametrize("header", ["x_http_method_override", "x_http_method", "x_method_override"])
async def test_no_header_overrides_the_method(header: str) -> None:
    """A header that would override the method is not looked at."""
    health = InMemoryHealth()

    assert (await ask(health, "live", method="POST", **{header: "GET"})).status == 405
    assert (await ask(health, "live", **{header: "DELETE"})).status == 200


async def test_a_trailing_slash_gives_the_same_answer() -> None:
    """With or without a slash at the end it is the same endpoint."""
    health = InMemoryHealth()
    endpoints = HealthEndpoints(health.service)
    await ask(endpoints, "status")

    for name in ENDPOINTS:
        assert await ask(endpoints, f"{name}/") == await ask(endpoints, name)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/tasker/health",
        "/tasker/health/",
        "/health/live",
        "//tasker/health/live",
        "/tasker//health/live",
        "/tasker/health//live",
        "/tasker/health/live//",
        "/tasker%2Fhealth/live",
        "/tasker/health%2flive",
        "/tasker/health/./live",
        "/tasker/health/x/../live",
        "/tasker/health/liv%65",
        "/TASKER/health/live",
        "/tasker/health/Live",
        "/tasker/health/live;x=1",
        "/tasker/health/live.json",
        "/tasker/health/live\x00",
    ],
)
async def test_any_other_path_is_404(path: str) -> None:
    """What is not exactly a path of ours, as it was sent, is not there."""
    endpoints = HealthEndpoints(InMemoryHealth().service)
    response = await endpoints.answer(Request("GET", path))
    head = await endpoints.answer(Request("HEAD", path))

    assert response.status == head.status == 404
    assert headers(response)["content-type"] == "application/problem+json"
    assert head.body == b""


@given(st.text(max_size=40), st.text(max_size=10), st.text(max_size=40))
async def test_whatever_is_sent_is_answered(path: str, method: str, query: str) -> None:
    """No path, method or query gets anything but an answer, and none a 500."""
    endpoints = HealthEndpoints(InMemoryHealth().service)

    assert (await endpoints.answer(Request(method, path, query))).status == 404
    status = await endpoints.answer(
        Request("GET", "/tasker/health/status", query, {"accept": path, "if-none-match": method})
    )
    assert status.status in {200, 304, 400, 406}


@pytest.mark.parametrize("prefix", ["", "/tasker", "/a/b-c_d.e~f", "/_/9"])
def test_a_prefix_stands_before_every_path(prefix: str) -> None:
    """Each endpoint stands at its path under the prefix, with and without a slash."""
    assert paths(prefix) == {
        **{f"{prefix}/health/{name}{slash}": name for name in ENDPOINTS for slash in ("", "/")},
        f"{prefix}/metrics": "metrics",
        f"{prefix}/metrics/": "metrics",
    }


@pytest.mark.parametrize(
    "prefix", ["/", "tasker", "/tasker/", "/a//b", "/..", "/a/./b", "/ä", "/%41"]
)
def test_a_prefix_that_is_no_path_is_refused(prefix: str) -> None:
    """A prefix that no request could match exactly is named and refused."""
    with pytest.raises(ConfigurationError) as caught:
        HealthEndpoints(InMemoryHealth().service, prefix)

    assert caught.value.setting == "prefix"
    assert caught.value.given == repr(prefix)


class BrokenClock:
    """A wall clock that does not work."""

    def now(self) -> datetime:
        """Fail as a vendor would."""
        raise OSError("clock at db.internal: password hunter2")

    def monotonic(self) -> float:
        """Work."""
        return 0.0


async def test_what_nobody_thought_of_is_no_500() -> None:
    """An unexpected failure is told in a public word, and its words go to the journal, once."""
    health = InMemoryHealth()
    health.service._clock = BrokenClock()
    health.service._readiness._clock = BrokenClock()
    endpoints = HealthEndpoints(health.service)
    live, ready, status, again = [
        await ask(endpoints, name) for name in ("live", "ready", "status", "ready")
    ]

    assert (live.status, body(live)["alive"]) == (200, True)
    assert (ready.status, body(ready)["reason"]) == (503, "failed")
    assert (status.status, body(status)["reason"]) == (503, "failed")
    assert again.status == 503
    assert b"hunter2" not in live.body + ready.body + status.body
    assert [
        changed.subject for changed in health.journal.changes if "endpoint" in changed.subject
    ] == [
        "endpoint:live",
        "endpoint:ready",
        "endpoint:status",
    ]
    assert "hunter2" in health.journal.about("endpoint:ready")[0].detail


async def test_a_failure_that_comes_back_is_noted_again() -> None:
    """An endpoint that worked in between is noted anew when it fails again."""
    health = InMemoryHealth()
    endpoints = HealthEndpoints(health.service)
    clock = health.service._clock
    for current in (BrokenClock(), clock, BrokenClock()):
        health.service._clock = current
        await ask(endpoints, "live")

    assert len(health.journal.about("endpoint:live")) == 2

"""Readiness in detail: as text, of the checks that a caller picks, and for whom."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.domain.checks import CheckResult, CheckStatus, HealthCheck
from tasker_health.domain.errors import InvalidCredentialsError, SourceError
from tasker_health.domain.permissions import STATUS_INDEX, Credentials, Principal
from tasker_health.domain.readiness import ReadinessReport
from tasker_health.domain.reasons import Reason
from tasker_health.domain.settings import AuthSettings, HealthSettings, Settings
from tasker_health.entrypoints.http import HealthEndpoints
from tasker_health.entrypoints.messages import Request, Response
from tasker_health.entrypoints.queries import detail, fail_on, shown
from tasker_health.formats import text
from tasker_health.testing.doubles import ManualClock
from tasker_health.testing.services import InMemoryHealth

if TYPE_CHECKING:
    from tasker_health.domain.ports import User

pytestmark = pytest.mark.anyio

NAMES = ("database", "migrations", "configuration", "cache")
TEXT = {"accept": "text/plain"}
READY = "/tasker/health/ready"
AT = ManualClock().now()
OPEN = Settings(
    # Patient, so that nothing but what a test does decides how it ends.
    health=HealthSettings(readiness_timeout_seconds=30),
    auth=AuthSettings(access_timeout_seconds=30),
)
ONLY_AUTHENTICATION = attrs.evolve(
    OPEN, health=attrs.evolve(OPEN.health, status_requires_authentication=True)
)
ONLY_AUTHORIZATION = attrs.evolve(OPEN, auth=attrs.evolve(OPEN.auth, authorization_enabled=True))
BOTH = Settings(health=ONLY_AUTHENTICATION.health, auth=ONLY_AUTHORIZATION.auth)
KNOWN = {
    "alice": Principal(name="alice", permissions=frozenset({STATUS_INDEX})),
    "bob": Principal(name="bob"),
    "root": Principal(name="root", tasker_admin=True),
}
WAYS = ("?verbose", "?exclude=cache", "?exclude=nonsense", "/database", "/cache?verbose")


class Doorkeeper:
    """Knows alice, who may, root, who may all, and bob, who may not; counts its questions."""

    def __init__(self) -> None:
        self.asked = 0

    async def authenticate(self, credentials: Credentials) -> User | None:
        """Look at the header."""
        self.asked += 1
        name = credentials.headers.get("x-name", "")
        if name == "broken":
            raise RuntimeError("postgresql://root:hunter2@db.internal")
        if name and name not in KNOWN:
            raise InvalidCredentialsError
        return KNOWN.get(name)


class Door:
    """The endpoints over a service in memory."""

    def __init__(self, settings: Settings = OPEN, *checks: HealthCheck) -> None:
        self.keeper = Doorkeeper()
        self.health = InMemoryHealth(settings=settings, authenticator=self.keeper, checks=checks)
        self.endpoints = HealthEndpoints(self.health.service)

    async def ask(self, rest: str = "", *, method: str = "GET", **headers: str) -> Response:
        """Ask readiness: what follows its path, and headers."""
        path, _, query = f"{READY}{rest}".partition("?")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.endpoints.answer(Request(method, path, query, named))

    async def lines(self, rest: str = "") -> list[str]:
        """Ask for a text."""
        return (await self.ask(rest, **TEXT)).body.decode().splitlines()


def told(response: Response) -> dict[str, Any]:
    """Read a JSON body."""
    document: dict[str, Any] = json.loads(response.body)
    return document


def headers(response: Response) -> dict[str, str]:
    """Read the headers."""
    return {name.decode(): value.decode() for name, value in response.headers}


def test_text_of_every_outcome() -> None:
    """A plus for what lets traffic in, a minus for what does not, the verdict last."""
    report = ReadinessReport(
        ready=False,
        checks=(
            CheckResult(name="database", response_time_ms=3),
            CheckResult.error("migrations", Reason.PENDING, detail="hunter2"),
            CheckResult(name="cache", status=CheckStatus.DEGRADED, reason=Reason.TIMEOUT),
        ),
        at=AT,
    )

    assert text.ready(report) == (
        b"[+]database ok\n[-]migrations failed: pending\n[+]cache degraded: timeout\nnot ready\n"
    )


def test_text_of_a_process_that_drains() -> None:
    """What no check tells has a line of its own."""
    report = ReadinessReport(ready=False, checks=(), at=AT, reason=Reason.DRAINING)

    assert text.ready(report) == b"[-]process failed: draining\nnot ready\n"


async def test_a_good_text_is_one_word_unless_every_check_is_asked_for() -> None:
    """As in Kubernetes, a good verdict stands alone; ``?verbose`` tells every check."""
    door = Door()

    assert await door.lines() == ["ready"]
    assert await door.lines("?verbose") == [*(f"[+]{name} ok" for name in NAMES), "ready"]
    assert headers(await door.ask(**TEXT))["content-type"] == "text/plain"


@pytest.mark.parametrize("rest", ["/database", "?exclude=cache"])
async def test_a_good_text_of_picked_checks_is_one_word_too(rest: str) -> None:
    """Picking checks makes nobody's text longer."""
    assert await Door().lines(rest) == ["ready"]


async def test_a_bad_text_says_why() -> None:
    """A bad verdict has its lines whether they are asked for or not, in public words."""
    door = Door()
    door.health.probe.failure = SourceError(Reason.TIMEOUT)
    expected = [
        "[-]database failed: timeout",
        "[-]migrations failed: unknown",
        "[-]configuration failed: unknown",
        "[+]cache ok",
        "not ready",
    ]

    assert await door.lines() == await door.lines("?verbose") == expected
    assert (await door.ask(**TEXT)).status == 503


@pytest.mark.parametrize("query", ["?verbose", "?verbose=", "?verbose=1", "?verbose=no&x=1"])
async def test_verbose_is_on_when_it_is_there(query: str) -> None:
    """Whatever its value, as in Kubernetes."""
    assert len(await Door().lines(query)) == 5


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/*", "application/json"),
        ("image/png", "application/json"),
        ("nonsense", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("text/plain", "text/plain"),
        ("text/*", "text/plain"),
        ("text/plain;q=0.5, application/health+json", "application/health+json"),
        ("text/plain;q=0", "application/json"),
    ],
)
@pytest.mark.parametrize("rest", ["", "?verbose", "/database"])
async def test_accept_chooses_the_form(accept: str, form: str, rest: str) -> None:
    """``Accept`` alone decides, and what cannot be met is passed over."""
    response = await Door().ask(rest, accept=accept)

    assert response.status == 200
    assert headers(response)["content-type"] == form


async def test_each_form_of_the_shared_report_is_written_once() -> None:
    """Callers of one form get the same answer while the report is reused, and then a new one."""
    door = Door()
    first = {form: await door.ask(accept=form) for form in ("*/*", "text/plain")}

    assert first["*/*"] is await door.ask(accept="application/json")
    assert first["text/plain"] is await door.ask(**TEXT)
    door.health.probe.failure = SourceError(Reason.REFUSED)
    door.health.clock.advance(1)
    assert (await door.ask(**TEXT)).status == (await door.ask()).status == 503


async def test_an_excluded_check_counts_no_more() -> None:
    """What is excluded is neither in the verdict nor in the answer."""
    door = Door()
    door.health.probe.failure = SourceError(Reason.REFUSED)
    gone = "?exclude=database&exclude=migrations&exclude=configuration"

    assert (await door.ask("?exclude=database")).status == 503
    response = await door.ask(gone)
    assert response.status == 200
    assert list(told(response)["checks"]) == ["cache"]
    assert await door.lines(f"{gone}&verbose") == ["[+]cache ok", "ready"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("slash", ["", "/"])
async def test_one_check_alone(name: str, slash: str) -> None:
    """Each check stands at its own path, with and without a slash at the end."""
    response = await Door().ask(f"/{name}{slash}")

    assert response.status == 200
    assert list(told(response)) == ["ready", "checks", "timestamp"]
    assert list(told(response)["checks"]) == [name]
    assert headers(response)["cache-control"] == "no-store"


async def test_one_check_has_its_own_verdict() -> None:
    """A check that fails is 503 at its path, and no other is for its sake."""
    door = Door()
    door.health.probe.failure = SourceError(Reason.REFUSED)
    response = await door.ask("/database")

    assert response.status == 503
    assert headers(response)["retry-after"] == "1"
    assert told(response)["checks"]["database"]["reason"] == "refused"
    assert (await door.ask("/cache")).status == 200


async def test_an_embedders_check_alone() -> None:
    """A check of the embedder's own has its path; one that is not critical is never 503."""

    async def fail() -> None:
        raise SourceError(Reason.AUTH)

    door = Door(
        OPEN,
        HealthCheck.single("payments", fail),
        HealthCheck.single("mail", fail, critical=False),
    )

    assert (await door.ask("/payments")).status == 503
    mail = await door.ask("/mail")
    assert (mail.status, told(mail)["checks"]["mail"]["reason"]) == (200, "auth")


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("exclude=nonsense", "exclude is 'nonsense'"),
        ("exclude=", "exclude is ''"),
        ("exclude=Database", "exclude is 'Database'"),
        ("exclude=cache&exclude=cache,database", "exclude is 'cache,database'"),
        ("exclude=%1b%E2%80%A8%3Cb%3E", r"exclude is '\x1b\u2028<b>'"),
        (f"exclude={'x' * 100}", f"exclude is '{'x' * 64}'..."),
        (
            "&".join(f"exclude={name}" for name in NAMES),
            "exclude is 'database and migrations and configuration and cache'",
        ),
    ],
)
async def test_what_cannot_be_excluded_is_named(query: str, detail: str) -> None:
    """An unknown name, and all names, are 400 with the field, what was given, what is allowed."""
    door = Door()
    response = await door.ask(f"?{query}")
    allowed = "database, migrations, configuration, cache, but not all of them"

    assert response.status == 400
    assert told(response)["detail"] == f"{detail}: allowed is {allowed}"
    assert headers(response)["cache-control"] == "no-store"
    assert door.health.probe.observations == 0


async def test_a_check_that_excludes_itself_is_refused() -> None:
    """Nothing is left of one check without it; without another it is as it was."""
    door = Door()

    assert (await door.ask("/database?exclude=database")).status == 400
    assert (await door.ask("/database?exclude=cache")).status == 200


async def test_too_many_fields_are_refused() -> None:
    """A query of over a hundred fields is not read."""
    response = await Door().ask("?" + "&".join(["verbose"] * 101))

    assert response.status == 400
    assert told(response)["detail"] == "query is more: allowed is at most 100 fields"


@pytest.mark.parametrize("rest", ["/nonsense", "/database/x", "/Database", "/databas%65", "//x"])
@pytest.mark.parametrize("name", ["", "bob", "alice"])
async def test_a_check_that_is_not_there_is_any_unknown_path(rest: str, name: str) -> None:
    """No caller can tell an unknown check from any other unknown path, and none is asked who."""
    door = Door(BOTH)
    response = await door.ask(rest, x_name=name)
    other = await door.endpoints.answer(Request("GET", "/nowhere", headers={"x-name": name}))

    assert response.status == 404
    assert response == other
    assert door.keeper.asked == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("settings", "codes"),
    [
        (OPEN, {"": 200, "bob": 200, "alice": 200, "root": 200, "mallory": 200, "broken": 200}),
        (
            ONLY_AUTHENTICATION,
            {"": 401, "bob": 200, "alice": 200, "root": 200, "mallory": 401, "broken": 503},
        ),
        (
            ONLY_AUTHORIZATION,
            {"": 403, "bob": 403, "alice": 200, "root": 200, "mallory": 401, "broken": 503},
        ),
        (BOTH, {"": 401, "bob": 403, "alice": 200, "root": 200, "mallory": 401, "broken": 503}),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_who_may_have_details(
    way: str, settings: Settings, codes: dict[str, int], method: str
) -> None:
    """Details follow the status' permission; who may not learns nothing and measures nothing."""
    for name, code in codes.items():
        door = Door(settings)
        response = await door.ask(way, method=method, x_name=name)
        named = headers(response)
        if code != 200:
            assert response.status == code
            assert named["content-type"] == "application/problem+json"
            assert not any(check.encode() in response.body for check in (*NAMES, "hunter2"))
            assert door.health.probe.observations == 0
        else:
            assert response.status == (400 if "nonsense" in way else 200)
        assert ("www-authenticate" in named) is (code == 401)
        assert ("vary" in named) is (settings is not OPEN)
        assert "no-store" in named["cache-control"]
        assert (door.keeper.asked == 0) is (settings is OPEN)


async def test_details_behind_authentication_are_private() -> None:
    """No cache keeps for others what one caller was allowed to see."""
    named = headers(await Door(BOTH).ask("/database", x_name="alice"))

    assert named["cache-control"] == "private, no-store"
    assert named["vary"] == "Authorization, Cookie"


@pytest.mark.parametrize("rest", ["", "/", "?", "?x=1", "?fail_on=x", "?Verbose", "?xexclude=a"])
@pytest.mark.parametrize("accept", ["*/*", "text/plain", "application/health+json"])
async def test_plain_readiness_never_asks_who(rest: str, accept: str) -> None:
    """Without the two fields nobody is asked who they are, in whatever form."""
    door = Door(BOTH)
    response = await door.ask(rest, accept=accept, x_name="broken")

    assert response.status == 200
    assert headers(response)["cache-control"] == "no-store"
    assert door.keeper.asked == 0


@pytest.mark.parametrize("way", ["?verbose", "?exclude=database", "/cache", "/database"])
@pytest.mark.parametrize("asked_before", [False, True])
async def test_draining_beats_everything(way: str, asked_before: bool) -> None:
    """A process that drains is not ready, whichever of its checks one looks at."""
    door = Door()
    if asked_before:
        await door.ask()
    door.health.service.drain()
    response = await door.ask(way)

    assert response.status == 503
    assert told(response)["reason"] == "draining"
    assert (await door.lines(way))[-2:] == ["[-]process failed: draining", "not ready"]


@pytest.mark.parametrize("rest", ["?verbose", "?exclude=cache", "/database", "/cache/?verbose"])
@pytest.mark.parametrize("accept", ["*/*", "text/plain", "application/health+json"])
@pytest.mark.parametrize("bad", [False, True])
async def test_head_and_options_agree_with_get(rest: str, accept: str, bad: bool) -> None:
    """HEAD is GET without its body; OPTIONS has GET's code and headers."""
    door = Door()
    if bad:
        door.health.probe.failure = SourceError(Reason.REFUSED)
    get = await door.ask(rest, accept=accept)
    head = await door.ask(rest, accept=accept, method="HEAD")
    options = await door.ask(rest, accept=accept, method="OPTIONS")

    assert head == attrs.evolve(get, body=b"")
    assert (options.status, options.body) == (get.status, b"")
    assert headers(options) == {
        **headers(get),
        "content-length": "0",
        "allow": "GET, HEAD, OPTIONS",
    }


async def test_other_methods_of_one_check_are_405() -> None:
    """Other methods are refused before anybody is asked who they are."""
    door = Door(BOTH)
    response = await door.ask("/database", method="POST")

    assert (response.status, headers(response)["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert door.keeper.asked == door.health.probe.observations == 0


def queries(count: int) -> list[str]:
    """Draw queries that look as if they mattered."""
    draw = random.Random(20250618)  # noqa: S311  the same queries every time
    words = ("verbose", "exclude", "exclude=", "fail_on", "x", "", "%", "exclude=%64atabase")
    values = ("", "=", "=1", *(f"={name}" for name in NAMES), "=\xff", "&", "=nonsense")

    def field() -> str:
        whole = f"{draw.choice(words)}{draw.choice(values)}{quote(str(draw.random()))}"
        return whole[: draw.choice((9, 40))]

    return ["&".join(field() for _ in range(draw.randint(0, 6))) for _ in range(count)]


@pytest.mark.parametrize("settings", [OPEN, BOTH])
async def test_no_query_makes_the_checks_run_again(settings: Settings) -> None:
    """Ten thousand queries of callers of all kinds are one run of the checks a reuse period."""
    door = Door(settings)
    paths = ("", *(f"/{name}" for name in NAMES))
    callers = ("", "bob", "alice")
    seen = set()
    for number, query in enumerate(queries(10_000)):
        if number % 2_500 == 0:
            door.health.clock.advance(1)
        response = await door.ask(
            f"{paths[number % 5]}?{query}", x_name=callers[number % 3], accept="text/plain"
        )
        seen.add(response.status)

    assert door.health.probe.observations == 4
    assert seen == ({200, 400} if settings is OPEN else {200, 400, 401, 403})


async def test_a_failure_that_nobody_thought_of_is_told_as_readiness() -> None:
    """What breaks under one check is a 503 without a word of whatever broke."""
    door = Door()

    class Broken(ManualClock):
        def monotonic(self) -> float:
            raise OSError("hunter2")

    door.health.service._readiness._clock = Broken()
    response = await door.ask("/database")

    assert (response.status, told(response)["reason"]) == (503, "failed")
    assert b"hunter2" not in response.body


@given(st.text())
def test_any_query_is_read_or_refused(query: str) -> None:
    """Reading a query ends in what was asked for or in an error that names the field."""
    for read in (detail, fail_on):
        try:
            read(query)
        except ValueError as error:
            assert str(error).startswith(("fail_on is ", "query is more"))  # noqa: PT017  either end is good


@given(st.text())
def test_what_is_shown_is_short_and_printable(given: str) -> None:
    """What a caller sent is given back on one line of ASCII, cut."""
    assert shown(given).isascii()
    assert shown(given).isprintable()
    assert len(shown(given)) <= 64 * len("\\U0010ffff") + len("''...")

"""Who gets what over HTTP: a model of its own, and any number of cases to hold against it.

The model is written from the guide's security section and from what the callers of health
endpoints do. It shares no code with the access use case or with the endpoints: it knows
the table of who may, and that a path is one of ours exactly as it is spelt.

``python -m tests.access_model 1000000 [SEED] [PROCESSES]`` runs so many cases against the
lean application and tells how many were wrong; it ends with 1 when any was.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

import attrs

from tasker_health.adapters.auth import PermissionCoordinator
from tasker_health.domain.errors import InvalidCredentialsError
from tasker_health.domain.permissions import Permission, Principal
from tasker_health.domain.settings import AuthSettings, HealthSettings, Settings
from tasker_health.entrypoints.asgi import HealthApp
from tasker_health.testing.services import InMemoryHealth

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tasker_health.domain.coordination import BaseCoordinator
    from tasker_health.domain.permissions import Credentials
    from tasker_health.domain.ports import Coordinator

__all__ = [
    "DESK",
    "Case",
    "Deployment",
    "Expected",
    "Seen",
    "Tally",
    "cases",
    "deployments",
    "expected",
    "health",
    "run",
    "wrong",
]

STATUS_FIELD: Final = b'"total_tasks"'
"""Stands in every status report and in nothing else."""
METRICS_FIELD: Final = b"\ntasker_total_tasks "
"""Stands in all metrics of a Tasker that was measured, and in nothing else."""

TIMEOUT_SECONDS: Final = 0.01
_LONG_SECONDS: Final = 60.0
_BATCH: Final = 500
_SHOWN: Final = 5


# --- Who asks ---------------------------------------------------------------------------


class _Odd:
    """A user whose answers are not what a careful class would give.

    Args:
        admin: what ``tasker_admin`` is.
        permission: what ``has_tasker_permission`` answers, raises, or waits for.
        waits: whether the answer must be awaited.
    """

    def __init__(
        self, *, admin: object = None, permission: object = None, waits: bool = False
    ) -> None:
        self._admin, self._permission, self._waits = admin, permission, waits

    @property
    def tasker_admin(self) -> object:
        """Answer or fail."""
        if isinstance(self._admin, Exception):
            raise self._admin
        return self._admin

    def has_tasker_permission(self, _: str) -> object:
        """Answer, fail, or answer later."""
        return self._later() if self._waits else self._now()

    def _now(self) -> object:
        if isinstance(self._permission, Exception):
            raise self._permission
        return self._permission

    async def _later(self) -> object:
        if self._permission == "hang":
            await asyncio.Event().wait()
        return self._now()


class _AdminWithoutPermissions:
    """Somebody who cannot be asked for permissions; the guide's coordinator denies."""

    tasker_admin = True


class _EqualToAll:
    """Equal to ``True``, and to everything else."""

    def __eq__(self, _: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


def _holder(*permissions: str) -> Principal:
    return Principal(name="x", permissions=frozenset(map(Permission.parse, permissions)))


_NEITHER: Final = frozenset[str]()
_BOTH: Final = frozenset({"status", "metrics"})

DESK: Final[Mapping[str, tuple[object, frozenset[str]]]] = {
    "known": (_holder(), _NEITHER),
    "permitted": (_holder("tasker.health_status:index"), frozenset({"status"})),
    "scraper": (_holder("tasker.metrics:index"), frozenset({"metrics"})),
    "both": (_holder("tasker.metrics:index", "tasker.health_status:index"), _BOTH),
    "admin": (Principal(name="x", tasker_admin=True), _BOTH),
    "other": (_holder("tasker.analytics:index", "tasker.task:index"), _NEITHER),
    "near": (_holder("tasker.health_status:show", "tasker.health_statuses:index"), _NEITHER),
    "near-metrics": (_holder("tasker.metrics:show", "tasker.metric:index"), _NEITHER),
    "asynchronous": (_Odd(permission=True, waits=True), _BOTH),
    "asynchronous-no": (_Odd(permission=False, waits=True), _NEITHER),
    "one": (_Odd(admin=1, permission=1), _NEITHER),
    "yes": (_Odd(admin="yes", permission="yes"), _NEITHER),
    "none": (_Odd(admin=None, permission=None), _NEITHER),
    "equal": (_Odd(admin=_EqualToAll(), permission=_EqualToAll()), _NEITHER),
    "raises": (_Odd(permission=RuntimeError("no")), _NEITHER),
    "raises-admin": (_Odd(admin=RuntimeError("no"), permission=True), _NEITHER),
    "hangs": (_Odd(permission="hang", waits=True), _NEITHER),
    "bare-admin": (_AdminWithoutPermissions(), _NEITHER),
}
"""Whom the desk knows, by token, and to what the shipped coordinator lets them pass."""

_SLOW_USERS: Final = {"hangs"}


class _Desk:
    """Knows people by ``Bearer TOKEN``; whatever else is shown is not good."""

    async def authenticate(self, credentials: Credentials) -> Any:
        """Look the token up."""
        shown = credentials.headers.get("authorization")
        if shown is None:
            return None
        kind, _, token = shown.partition(" ")
        if kind != "Bearer" or token not in DESK:
            raise InvalidCredentialsError
        return DESK[token][0]


class _Told:
    """An authenticator or a coordinator that does always the same."""

    def __init__(self, does: object) -> None:
        self._does = does

    async def authenticate(self, _: object) -> Any:
        """Do it."""
        return await self._do()

    async def is_authorized(self, *_: object) -> object:
        """Do it."""
        return await self._do()

    async def _do(self) -> object:
        if isinstance(self._does, BaseException):
            raise self._does
        if isinstance(self._does, str) and self._does == "hang":
            await asyncio.Event().wait()
        return self._does


class _Hurried:
    """Answers at once where an awaitable is asked for."""

    def authenticate(self, _: object) -> Any:
        """Give a user, not awaitable."""
        return DESK["admin"][0]

    def is_authorized(self, *_: object) -> Any:
        """Give True, not awaitable."""
        return True


_AUTHENTICATORS: Final[Mapping[str, Callable[[], Any]]] = {
    "desk": _Desk,
    "nobody": lambda: _Told(None),
    "somebody": lambda: _Told(DESK["permitted"][0]),
    "refuses": lambda: _Told(InvalidCredentialsError()),
    "raises": lambda: _Told(RuntimeError("broken")),
    "times-out": lambda: _Told(TimeoutError()),
    "cancels": lambda: _Told(asyncio.CancelledError()),
    "false": lambda: _Told(False),  # noqa: FBT003  what it returns
    "true": lambda: _Told(True),  # noqa: FBT003  what it returns
    "empty": lambda: _Told(""),
    "hurried": _Hurried,
    "hangs": lambda: _Told("hang"),
}
_COORDINATORS: Final[Mapping[str, Callable[[], Any]]] = {
    "shipped": lambda: PermissionCoordinator,
    "true": lambda: _Told(True),  # noqa: FBT003  what it returns
    "false": lambda: _Told(False),  # noqa: FBT003  what it returns
    "none": lambda: _Told(None),
    "one": lambda: _Told(1),
    "yes": lambda: _Told("yes"),
    "list": lambda: _Told([True]),
    "equal": lambda: _Told(_EqualToAll()),
    "raises": lambda: _Told(RuntimeError("broken")),
    "times-out": lambda: _Told(TimeoutError()),
    "cancels": lambda: _Told(asyncio.CancelledError()),
    "hurried": _Hurried,
    "hangs": lambda: _Told("hang"),
}


# --- What is asked ----------------------------------------------------------------------


@attrs.frozen
class Deployment:
    """How a service is set up.

    Args:
        required: ``status_requires_authentication``.
        enabled: ``authorization_enabled``.
        prefix: what stands before ``/health``.
        mount: what a framework took off before.
        authenticator: how it behaves, by name.
        coordinator: likewise.
    """

    required: bool
    enabled: bool
    prefix: str = "/tasker"
    mount: str = ""
    authenticator: str = "desk"
    coordinator: str = "shipped"


@attrs.frozen
class Case:
    """One request to one deployment.

    Args:
        deployment: to whom.
        method: as sent.
        target: the path as sent.
        query: as sent.
        headers: as sent, credentials included.
        raw: whether the server tells how the path was sent, and not only what it means.
    """

    deployment: Deployment
    method: str
    target: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    raw: bool = True

    def every(self, name: str) -> list[str]:
        """Give all values of a header."""
        return [value for key, value in self.headers if key.lower() == name]


@attrs.frozen
class Expected:
    """What the model says.

    Args:
        code: the status code.
        granted: whether the caller may have what was asked for.
        numbers: whether Tasker's numbers stand in the body.
    """

    code: int
    granted: bool = False
    numbers: bool = False


@attrs.frozen
class Seen:
    """What came back."""

    code: int
    headers: Mapping[str, str]
    body: bytes


_METHODS: Final = (
    *("GET",) * 12,
    *("HEAD", "OPTIONS") * 3,
    *("POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "get", "GETS", "BREW", ""),
)
_CHECKS: Final = ("database", "migrations", "configuration", "cache")
_PLACES: Final = (
    *("health/status",) * 8,
    *("metrics",) * 5,
    *("health/ready", "health/ready", "health/live"),
    *("health/ready/database", "health/ready/nothing", "health/metrics"),
)
_TOKENS: Final = (
    *("known", "permitted", "scraper", "admin") * 4,
    *(token for token in DESK if token not in _SLOW_USERS),
)
_FORGED: Final = (
    ("X-HTTP-Method-Override", "GET"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Method-Override", "HEAD"),
    ("X-HTTP-Method", "GET"),
    ("X-Forwarded-For", "127.0.0.1"),
    ("X-Forwarded-User", "admin"),
    ("X-Forwarded-Host", "localhost"),
    ("X-Forwarded-Prefix", "/tasker"),
    ("X-Forwarded-Proto", "https"),
    ("X-Real-IP", "127.0.0.1"),
    ("Forwarded", "for=127.0.0.1;host=localhost"),
    ("X-Original-URL", "/tasker/health/live"),
    ("X-Rewrite-URL", "/tasker/health/live"),
    ("X-Remote-User", "admin"),
    ("Remote-User", "admin"),
    ("X-Authorization", "Bearer admin"),
    ("Proxy-Authorization", "Bearer admin"),
    ("X-Api-Key", "admin"),
    ("X-Tasker-Admin", "true"),
    ("Cookie", "session=admin; authorization=Bearer admin"),
    ("User-Agent", "kube-probe/1.31"),
    ("Host", "localhost"),
    ("Host", "status.internal:80"),
    ("Range", "bytes=0-10"),
    ("If-None-Match", "*"),
    ("If-None-Match", 'W/"0"'),
    ("If-Modified-Since", "Wed, 18 Jun 2025 15:30:00 GMT"),
    ("Cache-Control", "only-if-cached"),
    ("Accept", "*/*"),
    ("Accept", "application/json"),
    ("Accept", "text/plain"),
    ("Accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1"),
    ("Accept", "image/png"),
)
_UNMEETABLE: Final = {
    "status": {"image/png", "text/plain"},
    "metrics": {"image/png", "application/json"},
}
_QUERIES: Final = (
    *("",) * 8,
    "_method=DELETE",
    "_method=GET",
    "verbosity=9",
    "token=admin&authorization=Bearer%20admin",
    "access_token=admin",
    "fail_on=unhealthy",
    "fail_on=degraded",
    "fail_on=never",
    "fail_on=degraded&fail_on=unhealthy",
    "verbose",
    "exclude=cache",
    "exclude=nothing",
    "verbose&exclude=database",
)
_DETAIL_QUERIES: Final = ("verbose", "exclude=cache", "exclude=nothing", "verbose&exclude=database")
_BAD_QUERIES: Final = {"fail_on=never", "fail_on=degraded&fail_on=unhealthy"}
_BAD_CREDENTIALS: Final = (
    "Bearer nobody",
    "Bearer ",
    "Bearer",
    "bearer admin",
    "Bearer  admin",
    "Bearer admin,",
    "Bearer ADMIN",
    "Bearer admin\x00",
    "Basic YWRtaW46YWRtaW4=",
    "Negotiate admin",
    "admin",
    "",
    "Bearer " + "a" * 5000,
)


def _encode(text: str, at: int) -> str:
    return f"{text[:at]}%{ord(text[at]):02x}{text[at + 1 :]}"


def _mutations(rng: random.Random, path: str) -> str:
    """Spell a path in another way, which servers and frameworks may take for the same."""
    slashes = [i for i, c in enumerate(path) if c == "/"]
    letters = [i for i, c in enumerate(path) if c.isalpha()]
    slash, letter = rng.choice(slashes), rng.choice(letters)
    head, tail = path[:slash], path[slash + 1 :]
    return rng.choice(
        (
            f"{path}/",
            f"{path}//",
            f"/{path}",
            f"{head}//{tail}",
            f"{head}%2F{tail}",
            f"{head}%2f{tail}",
            f"{head}%5C{tail}",
            f"{head}\\{tail}",
            f"{head}%252F{tail}",
            f"{head}/./{tail}",
            f"{head}/%2e/{tail}",
            f"{head}/x/../{tail}",
            f"{head}/x/%2e%2e/{tail}",
            f"{head}/..;/{tail}",
            f"{head};x/{tail}",
            f"{path}/.",
            f"{path}/..",
            f"{path}/../status",
            f"{path}%00",
            f"{path}%00.json",
            f"{path}%20",
            f"{path}%0a",
            f"{path}%3F",
            f"{path}.json",
            f"{path};a=b",
            f"{path}/x",
            f"{path}x",
            path[:-1],
            path.upper(),
            f"{path[:letter]}{path[letter].upper()}{path[letter + 1 :]}",
            _encode(path, letter),
            _encode(_encode(path, letter), path.find("%") if "%" in path else letter),
            f"/mnt{path}",
            f"/tasker{path}",
            f"{path}{path}",
            path.replace("/", "/../", 1),
            path.replace("status", "\u017ftatus").replace("metrics", "metric\u017f"),
            path.replace("s", "%c5%bf"),
            f"http://localhost{path}",
            "",
            "*",
            "/",
        )
    )


def _target(rng: random.Random, deployment: Deployment) -> str:
    path = f"{deployment.prefix}/{rng.choice(_PLACES)}"
    if deployment.mount and rng.random() < 0.9:
        path = f"{deployment.mount}{path}"
    return path if rng.random() < 0.6 else _mutations(rng, path)


def _credentials(rng: random.Random, *, slow: bool) -> Iterator[tuple[str, str]]:
    chance = rng.random()
    name = rng.choice(("authorization", "Authorization"))
    if chance < 0.2:
        return
    if slow:
        yield name, "Bearer hangs"
    elif chance < 0.35:
        yield name, rng.choice(_BAD_CREDENTIALS)
    else:
        yield name, f"Bearer {rng.choice(_TOKENS)}"
    if rng.random() < 0.06:
        yield "authorization", f"Bearer {rng.choice(_TOKENS)}"


def cases(
    number: int, seed: int, among: Iterable[Deployment], *, slow_share: float = 0.004
) -> Iterator[Case]:
    """Generate cases; the same for the same seed.

    Args:
        number: how many.
        seed: which.
        among: the deployments to ask; those that wait are asked seldom.
        slow_share: how many of the cases wait for somebody who never answers.
    """
    rng = random.Random(seed)  # noqa: S311  no secret
    told = list(among)
    quick = [deployment for deployment in told if not _slow_deployment(deployment)] or told
    slow = [deployment for deployment in told if _slow_deployment(deployment)] or told
    for _ in range(number):
        waits = rng.random() < slow_share
        deployment = rng.choice(slow if waits and rng.random() < 0.5 else quick)
        forged = rng.sample(_FORGED, rng.choice((0, 0, 0, 1, 2, 4)))
        headers = [*_credentials(rng, slow=waits), *dict(forged).items()]
        rng.shuffle(headers)
        yield Case(
            deployment,
            rng.choice(_METHODS),
            _target(rng, deployment),
            rng.choice(_QUERIES),
            tuple(headers),
            rng.random() < 0.97,
        )


def deployments() -> list[Deployment]:
    """Every combination of settings with every behaviour, each behaviour in turn."""
    switches = tuple(itertools.product((False, True), repeat=2))
    places = tuple(itertools.product(("/tasker", "", "/a/b.c"), ("", "/mnt", "/tasker")))
    people = [
        *((name, "shipped") for name in _AUTHENTICATORS),
        *(("desk", name) for name in _COORDINATORS),
        *(("somebody", name) for name in _COORDINATORS),
        ("nobody", "true"),
        ("raises", "true"),
        ("false", "true"),
        ("refuses", "true"),
    ]
    return [
        Deployment(required, enabled, prefix, mount, who, may)
        for required, enabled in switches
        for prefix, mount in places
        for who, may in dict.fromkeys(people)
    ]


def _slow_deployment(deployment: Deployment) -> bool:
    return "hangs" in (deployment.authenticator, deployment.coordinator)


def _slow(case: Case) -> bool:
    return _slow_deployment(case.deployment) or "Bearer hangs" in case.every("authorization")


# --- What must come back ----------------------------------------------------------------


def expected(case: Case) -> Expected:  # noqa: PLR0911  the table, row by row
    """Say what a request must get."""
    endpoint = _endpoint(case)
    if endpoint is None:
        return Expected(404)
    if case.method not in ("GET", "HEAD", "OPTIONS"):
        return Expected(405)
    if endpoint == "live" or (endpoint == "ready" and case.query not in _DETAIL_QUERIES):
        return Expected(200)
    if endpoint not in ("status", "metrics"):
        return _expected_detail(case)
    if _UNMEETABLE[endpoint].intersection(case.every("accept")):
        return Expected(406)
    if endpoint == "metrics":
        return _expected_metrics(case)
    if case.query in _BAD_QUERIES:
        return Expected(400)
    refusal = _refusal(case)
    if refusal is not None:
        return Expected(refusal)
    everybody = not case.deployment.required and not case.deployment.enabled
    if everybody and "*" in case.every("if-none-match") and case.method != "OPTIONS":
        return Expected(304, granted=True)
    return Expected(200, granted=True, numbers=case.method == "GET")


def _expected_metrics(case: Case) -> Expected:
    """Say what a scraper must get: never a 5xx, which it would take for a dead target."""
    refusal = _refusal(case, "metrics")
    if refusal is not None:
        return Expected(403 if refusal == 503 else refusal)
    return Expected(200, granted=True, numbers=case.method == "GET")


def _expected_detail(case: Case) -> Expected:
    """Say what a closer look at readiness must get: it follows the status' permission."""
    refusal = _refusal(case)
    if refusal is not None:
        return Expected(refusal)
    excluded = case.query.rpartition("exclude=")[2] if "exclude=" in case.query else ""
    alone = (_endpoint(case) or "").partition("/")[2]
    if excluded and (excluded not in _CHECKS or excluded == alone):
        return Expected(400)
    return Expected(200, granted=True)


def _guarded(case: Case) -> bool:
    """Tell whether only those may see the answer who may see the status."""
    endpoint = _endpoint(case)
    open_to_all = endpoint in (None, "live") or (
        endpoint == "ready" and case.query not in _DETAIL_QUERIES
    )
    return not open_to_all


def _endpoint(case: Case) -> str | None:
    """Tell which endpoint's path this is, segment by segment."""
    segments = (case.target if case.raw else _decoded(case.target)).split("/")
    mount = case.deployment.mount.split("/")
    if len(mount) > 1 and segments[: len(mount)] == mount and len(segments) > len(mount):
        segments = ["", *segments[len(mount) :]]
    before = case.deployment.prefix.split("/")
    if segments[: len(before)] != before:
        return None
    rest = segments[len(before) :]
    if rest in (["metrics"], ["metrics", ""]):
        return "metrics"
    if len(rest) > 2 and rest[-1] == "":
        rest = rest[:-1]
    if rest[:2] == ["health", "ready"] and len(rest) == 3 and rest[2] in _CHECKS:
        return f"ready/{rest[2]}"
    known = len(rest) == 2 and rest[0] == "health" and rest[1] in ("ready", "live", "status")
    return rest[1] if known else None


def _decoded(target: str) -> str:
    return unquote_to_bytes(target).decode("utf-8", "replace")


def _refusal(case: Case, what: str = "status") -> int | None:
    """Give the code that denies, by the table; None for whoever may see it."""
    deployment = case.deployment
    if not deployment.required and not deployment.enabled:
        return None
    identity = _identity(case)
    if identity == "cannot be told":
        return 503
    if identity == "not good":
        return 401
    if identity == "anonymous":
        return 401 if deployment.required else 403
    if not deployment.enabled:
        return None
    may = (
        what in DESK[identity][1]
        if deployment.coordinator == "shipped"
        else deployment.coordinator == "true"
    )
    return None if may else 403


def _identity(case: Case) -> str:
    shown = case.every("authorization")
    behaviour = case.deployment.authenticator
    if behaviour == "desk":
        if not shown:
            return "anonymous"
        words = shown[0].split(" ")
        good = len(shown) == 1 and len(words) == 2 and words[0] == "Bearer" and words[1] in DESK
        return words[1] if good else "not good"
    always = {"nobody": "anonymous", "somebody": "permitted", "refuses": "not good"}
    return always.get(behaviour, "cannot be told")


def wrong(case: Case, told: Expected, seen: Seen) -> str:
    """Compare; the empty string where all is right, else what is wrong."""
    numbers = STATUS_FIELD in seen.body or METRICS_FIELD in seen.body
    shown = numbers or "etag" in seen.headers
    if (shown or (_guarded(case) and seen.code in range(200, 400))) and not told.granted:
        return "wrong grant"
    if seen.code != told.code:
        return "wrong denial" if told.granted else "wrong code"
    if numbers is not told.numbers:
        return "wrong denial" if told.numbers else "wrong grant"
    return _wrong_headers(case, told, seen)


def _wrong_headers(case: Case, told: Expected, seen: Seen) -> str:
    """See that no shared cache keeps what is not for all, and that 401 says how to ask."""
    keeping = seen.headers.get("cache-control", "")
    everybody = not case.deployment.required and not case.deployment.enabled
    if (seen.code == 401) is not ("www-authenticate" in seen.headers):
        return "wrong challenge"
    if "public" in keeping and not (everybody and _endpoint(case) == "status"):
        return "wrong caching"
    if told.granted and not everybody:
        vary = seen.headers.get("vary", "").lower()
        if keeping != "private, no-store" or "authorization" not in vary:
            return "wrong caching"
    return ""


# --- Holding one against the other ------------------------------------------------------


@attrs.define
class Tally:
    """How many cases there were, and which were wrong."""

    cases: int = 0
    granted: int = 0
    denied: int = 0
    wrong: dict[str, int] = attrs.field(factory=dict)
    examples: list[str] = attrs.field(factory=list)

    def note(self, case: Case, told: Expected, seen: Seen) -> None:
        """Count one."""
        self.cases += 1
        self.granted += told.granted
        self.denied += told.code in (401, 403, 503)
        what = wrong(case, told, seen)
        if what:
            self.wrong[what] = self.wrong.get(what, 0) + 1
            if len(self.examples) < _SHOWN:
                self.examples.append(f"{what}: {told} but {seen} for {case}")

    def add(self, other: Tally) -> None:
        """Count another's as well."""
        self.cases += other.cases
        self.granted += other.granted
        self.denied += other.denied
        for what, number in other.wrong.items():
            self.wrong[what] = self.wrong.get(what, 0) + number
        self.examples = [*self.examples, *other.examples][:_SHOWN]

    def __str__(self) -> str:
        counts = {"wrong grant": 0, "wrong denial": 0, **self.wrong}
        lines = [f"{self.cases} cases, {self.granted} granted, {self.denied} denied; {counts}"]
        return "\n".join((*lines, *self.examples))


def health(deployment: Deployment, *, timeout_seconds: float | None = None) -> InMemoryHealth:
    """Make the service of a deployment.

    Args:
        deployment: how it is set up.
        timeout_seconds: how long it waits for who decides; unless told, short where
            somebody never answers, and else so long that a busy machine changes nothing.
    """
    coordinator: Coordinator | type[BaseCoordinator] = _COORDINATORS[deployment.coordinator]()
    return InMemoryHealth(
        settings=Settings(
            health=HealthSettings(
                status_requires_authentication=deployment.required,
                readiness_timeout_seconds=_LONG_SECONDS,
                status_timeout_seconds=_LONG_SECONDS,
                status_patience_seconds=_LONG_SECONDS,
            ),
            auth=AuthSettings(
                authorization_enabled=deployment.enabled,
                access_timeout_seconds=timeout_seconds or _LONG_SECONDS,
            ),
        ),
        authenticator=_AUTHENTICATORS[deployment.authenticator](),
        coordinator=coordinator,
    )


@cache
def _app(deployment: Deployment, timeout_seconds: float) -> HealthApp:
    service = health(deployment, timeout_seconds=timeout_seconds).service
    return HealthApp(service, deployment.prefix)


def _scope(case: Case) -> dict[str, Any]:
    scope: dict[str, Any] = {
        "type": "http",
        "method": case.method,
        "path": _decoded(case.target),
        "query_string": case.query.encode(),
        "root_path": case.deployment.mount,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in case.headers],
    }
    if case.raw:
        scope["raw_path"] = case.target.encode()
    return scope


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"_method=DELETE", "more_body": False}


async def _ask(case: Case, tally: Tally) -> None:
    told: list[Any] = []

    async def send(message: Any) -> None:
        told.append(message)

    app = _app(case.deployment, TIMEOUT_SECONDS if _slow(case) else _LONG_SECONDS)
    await app(_scope(case), _receive, send)
    start, body = told
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    tally.note(case, expected(case), Seen(start["status"], headers, body["body"]))


async def _ask_all(number: int, seed: int) -> Tally:
    tally, waiting = Tally(), list[Case]()
    for case in cases(number, seed, deployments()):
        if _slow(case):
            waiting.append(case)
        else:
            await _ask(case, tally)
    for first in range(0, len(waiting), _BATCH):
        await asyncio.gather(*(_ask(case, tally) for case in waiting[first : first + _BATCH]))
    return tally


def run(number: int, seed: int) -> Tally:
    """Run so many cases against the lean application, in this process."""
    return asyncio.run(_ask_all(number, seed))


def _part(job: tuple[int, int]) -> Tally:
    return run(*job)


def main(arguments: list[str]) -> int:
    """Run the number of cases that the command line names, on several processes."""
    given = dict(enumerate(map(int, arguments)))
    number, seed, processes = given.get(0, 1_000_000), given.get(1, 3), given.get(2, 2)
    part = 10_000
    jobs = [
        (min(part, number - first), seed * 1_000_003 + first) for first in range(0, number, part)
    ]
    began, tally = time.perf_counter(), Tally()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for one in pool.imap_unordered(_part, jobs):
            tally.add(one)
    seconds = time.perf_counter() - began
    print(f"{tally}\nseed {seed}, {seconds:.0f} s, {number / seconds:.0f} cases a second")  # noqa: T201  a command
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

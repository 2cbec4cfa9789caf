"""Request in, response out: every code and header of the three endpoints, in one place.

========  =====================================  ==========================================
endpoint  code                                   when
========  =====================================  ==========================================
live      200                                    always
ready     200 | 503                              ready | not, or draining
status    200                                    there is a report
          503                                    there is none, or ``?fail_on=`` says so
          304                                    an open report that the caller has already
          400 | 406                              bad ``fail_on`` | only other media types
          401 | 403 | 503                        who asks is not known, may not, cannot be told
all       405                                    a method other than GET, HEAD and OPTIONS
any else  404                                    the path is not exactly one of ours
========  =====================================  ==========================================

HEAD is GET without the body. OPTIONS has GET's code and headers and says which methods
there are: a load balancer may probe with either and must get GET's verdict. Paths are
compared as they were sent, so that ``//``, ``%2F``, dot segments and other cases are no
paths of ours. No header that would override the method is looked at.

Whatever goes wrong unexpectedly becomes a 503 here, never a 500, and a line in the
journal. Sockets, frameworks and ASGI are left out on purpose.

Source: guide, *Health Endpoints*; RFC 9110 and 9111; RFC 9457.
"""

from __future__ import annotations

import hashlib
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import attrs

from tasker_health.domain.errors import (
    AccessError,
    AccessUnavailableError,
    ConfigurationError,
    ForbiddenError,
    InvalidCredentialsError,
    StatusUnavailableError,
    UnauthenticatedError,
)
from tasker_health.domain.events import Changed
from tasker_health.domain.permissions import ANONYMOUS, Credentials
from tasker_health.domain.readiness import LivenessReport, ReadinessReport
from tasker_health.domain.reasons import Reason
from tasker_health.domain.status import StatusAnswer, StatusReport, Verdict
from tasker_health.entrypoints.messages import (
    ALLOW,
    METHODS,
    NO_SNIFF,
    NO_STORE,
    RETRY,
    Headers,
    Request,
    Response,
    for_method,
    json,
    not_found,
    problem,
    unavailable,
)
from tasker_health.formats import documents
from tasker_health.formats.negotiation import choose

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tasker_health.domain.service import HealthService

__all__ = ["ENDPOINTS", "HealthEndpoints", "paths"]

ENDPOINTS: Final = ("ready", "live", "status")

_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", re.ASCII)
_PRIVATE: Final = (b"cache-control", b"private, no-store")
_VARY: Final = (b"vary", b"Authorization, Cookie")
_SHOWN: Final = 64
"""So many characters of a bad value are given back."""
_MOST_FIELDS: Final = 100


@attrs.frozen
class _BadFieldError(ValueError):
    """A query field that cannot be had."""

    field: str
    given: str
    allowed: str


_ACCESS: Final[Mapping[type[AccessError], tuple[int, str, Headers]]] = {
    UnauthenticatedError: (
        401,
        "Credentials are required.",
        ((b"www-authenticate", b'Bearer realm="tasker"'),),
    ),
    InvalidCredentialsError: (
        401,
        "The credentials are not good.",
        ((b"www-authenticate", b'Bearer realm="tasker", error="invalid_token"'),),
    ),
    ForbiddenError: (403, "The permission to see this is lacking.", ()),
    AccessUnavailableError: (503, "It cannot be told who is asking; try again.", (RETRY,)),
}


def paths(prefix: str) -> Mapping[str, str]:
    """Tell which endpoint stands at which path; a trailing slash makes no difference.

    Raises:
        ConfigurationError: the prefix is no path.
    """
    if _PREFIX.fullmatch(prefix) is None:
        raise ConfigurationError(
            "prefix", repr(prefix), "'' or segments like '/tasker', none ending in a slash"
        )
    return {f"{prefix}/health/{name}{slash}": name for name in ENDPOINTS for slash in ("", "/")}


class HealthEndpoints:
    """The three endpoints over a service.

    Args:
        service: what answers.
        prefix: what stands before ``/health`` in every path.
    """

    def __init__(self, service: HealthService, prefix: str = "/tasker") -> None:
        self._service: Final = service
        answers: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "ready": self._ready,
            "live": self._live,
            "status": self._status,
        }
        self._routes: Final = {path: (name, answers[name]) for path, name in paths(prefix).items()}
        self._live_second = -1
        self._live_response = unavailable()
        self._ready_report: ReadinessReport | None = None
        self._ready_response = unavailable()
        self._written = _WrittenStatus()
        self._period: Final = math.ceil(service.settings.health.cache_duration_seconds)
        self._open_body = b""
        self._open_age_and_left = (0, 0)
        self._open_response = unavailable()
        self._failing: set[str] = set()

    async def answer(self, request: Request) -> Response:
        """Answer a request. Raises nothing but cancellation."""
        route = self._routes.get(request.path)
        if route is None:
            return not_found(request.method)
        if request.method not in METHODS:
            return problem(405, "The methods of this path are GET, HEAD, OPTIONS.", (ALLOW,))
        name, answer = route
        try:
            response = await answer(request)
        except Exception as error:  # noqa: BLE001  a probe never gets a 500
            response = self._failed(name, error)
        else:
            self._failing.discard(name)
        return for_method(request.method, response)

    def live(self) -> Response:
        """Answer GET on the liveness endpoint; written once a second."""
        report = self._service.live()
        second = int(report.at.timestamp())
        if second != self._live_second:
            self._live_response = json(200, documents.live(report), NO_STORE)
            self._live_second = second
        return self._live_response

    async def _live(self, _: Request) -> Response:
        return self.live()

    async def _ready(self, _: Request) -> Response:
        report = await self._service.ready()
        if report is not self._ready_report:
            self._ready_response = _readiness(report)
            self._ready_report = report
        return self._ready_response

    async def _status(self, request: Request) -> Response:
        if choose(request.headers.get("accept", ""), (documents.JSON,)) is None:
            return problem(406, f"The media type of this path is {documents.JSON}.")
        try:
            fail_on = _fail_on(request.query)
            answer = await self._service.status(self._credentials(request))
        except _BadFieldError as error:
            return _bad_field(error)
        except AccessError as error:
            return _denied(error)
        except StatusUnavailableError as error:
            retry = (b"retry-after", str(error.retry_after_seconds).encode())
            return problem(
                503, "There is no report yet; try again.", (*self._vary, retry), error.reason
            )
        return self._told(request, answer, fail_on)

    def _credentials(self, request: Request) -> Credentials:
        if self._service.status_is_open:
            return ANONYMOUS
        return Credentials(headers=request.headers, user=request.user)

    def _told(self, request: Request, answer: StatusAnswer, fail_on: Verdict | None) -> Response:
        body, etag = self._written.of(answer)
        if fail_on is not None and answer.report.verdict.severity >= fail_on.severity:
            return json(503, body, NO_STORE, RETRY, *self._vary)
        if not self._service.status_is_open:
            return json(200, body, _PRIVATE, _VARY)
        age, left = self._age_and_left(answer.report)
        if _has_it(request, etag):
            return Response(
                304, (*_caching(age, left, self._period), (b"etag", etag), NO_SNIFF), b""
            )
        if self._open_body is not body or self._open_age_and_left != (age, left):
            caching = _caching(age, left, self._period)
            self._open_response = json(200, body, *caching, (b"etag", etag))
            self._open_body, self._open_age_and_left = body, (age, left)
        return self._open_response

    def _age_and_left(self, report: StatusReport) -> tuple[int, int]:
        """Tell how old a report is and how long it is fresh, in whole seconds."""
        now = self._service.live().at
        left = math.floor((report.expires_at - now).total_seconds())
        age = math.floor((now - report.snapshot.at).total_seconds())
        return max(0, age), min(max(0, left), self._period)

    @property
    def _vary(self) -> Headers:
        return () if self._service.status_is_open else (_VARY,)

    def _failed(self, name: str, error: Exception) -> Response:
        """Answer although something broke that nobody thought of."""
        if name not in self._failing:
            self._failing.add(name)
            self._service.journal.record(
                Changed(
                    subject=f"endpoint:{name}",
                    before="answering",
                    after="failing",
                    reason=Reason.FAILED,
                    detail=f"{type(error).__name__}: {error}",
                )
            )
        at = datetime.now(UTC)
        if name == "live":
            return json(200, documents.live(LivenessReport(at=at)), NO_STORE)
        if name == "ready":
            return _readiness(ReadinessReport(ready=False, checks=(), at=at, reason=Reason.FAILED))
        return problem(503, "The report failed.", (RETRY, *self._vary), Reason.FAILED)


class _WrittenStatus:
    """The last report's bytes, one text for each pair of flags: the same bytes for all."""

    def __init__(self) -> None:
        self._report: StatusReport | None = None
        self._texts: dict[tuple[bool, bool], tuple[bytes, bytes]] = {}

    def of(self, answer: StatusAnswer) -> tuple[bytes, bytes]:
        """Give the body and its weak entity tag.

        Whether the first callers waited for it does not change what a report says, so
        both texts of a report bear one tag.
        """
        if answer.report is not self._report:
            self._report, self._texts = answer.report, {}
        flags = (answer.cached, answer.stale)
        text = self._texts.get(flags)
        if text is None:
            body = documents.status(answer)
            told = documents.status(attrs.evolve(answer, cached=True))
            digest = hashlib.blake2b(told, digest_size=12).hexdigest()
            text = self._texts[flags] = (body, f'W/"{digest}"'.encode())
        return text


def _caching(age: int, left: int, period: int) -> Headers:
    """Tell a shared cache how long to keep an open report.

    ``max-age`` is what is left, so that a cache that passes over ``Age`` (NGINX does) never
    keeps a report beyond its expiry. One that subtracts ``Age`` asks again sooner than it
    had to, and its question is answered 304.
    """
    directives = f"public, max-age={left}, s-maxage={left}, stale-while-revalidate={period}"
    return ((b"cache-control", directives.encode()), (b"age", str(age).encode()))


def _readiness(report: ReadinessReport) -> Response:
    body = documents.ready(report)
    return json(200, body, NO_STORE) if report.ready else json(503, body, NO_STORE, RETRY)


def _denied(error: AccessError) -> Response:
    """Say why not; an error of a kind that nobody knows denies like any other."""
    status, detail, extra = next(
        (told for kind, told in _ACCESS.items() if isinstance(error, kind)), _ACCESS[ForbiddenError]
    )
    return problem(status, detail, (*extra, _VARY))


def _fail_on(query: str) -> Verdict | None:
    """Read the one field of the query that means something here.

    Raises:
        _BadFieldError: it was given twice, or is none of the verdicts that can fail.
    """
    if not query:
        return None
    allowed = (Verdict.UNHEALTHY, Verdict.DEGRADED)
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise _BadFieldError("query", "more", f"at most {_MOST_FIELDS} fields") from error
    given = [value for name, value in fields if name == "fail_on"]
    if not given:
        return None
    if len(given) > 1 or given[0] not in allowed:
        raise _BadFieldError("fail_on", _shown(" and ".join(given)), " or ".join(allowed))
    return Verdict(given[0])


def _bad_field(error: _BadFieldError) -> Response:
    return problem(400, f"{error.field} is {error.given}: allowed is {error.allowed}")


def _shown(given: str) -> str:
    return ascii(given[:_SHOWN]) + ("..." if len(given) > _SHOWN else "")


def _has_it(request: Request, etag: bytes) -> bool:
    """Tell whether the caller already has this report; GET and HEAD may ask so."""
    known = request.headers.get("if-none-match")
    if known is None or request.method == "OPTIONS":
        return False
    tag = etag.decode().removeprefix("W/")
    return any(
        held == "*" or held.removeprefix("W/") == tag
        for held in (member.strip() for member in known.split(","))
    )

"""Request in, response out: every code and header of the endpoints, in one place.

========  =====================================  ==========================================
endpoint  code                                   when
========  =====================================  ==========================================
live      200                                    always
ready     200 | 503                              ready | not, or draining
          400                                    bad ``exclude``
          401 | 403 | 503                        who asks for details, as for status
status    200                                    there is a report
          503                                    there is none, or ``?fail_on=`` says so
          304                                    an open report that the caller has already
          400 | 406                              bad ``fail_on`` | only other media types
          401 | 403 | 503                        who asks is not known, may not, cannot be told
metrics   200                                    always to who may: what is not known is absent
          406                                    only other media types
          401 | 403                              who asks is not known | may not, or cannot be told
all       405                                    a method other than GET, HEAD and OPTIONS
any else  404                                    the path is not exactly one of ours
========  =====================================  ==========================================

HEAD is GET without the body. OPTIONS has GET's code and headers and says which methods
there are: a load balancer may probe with either and must get GET's verdict.

Readiness is told in the form that ``Accept`` prefers, JSON where that cannot be met. With
``?verbose`` or ``?exclude=NAME``, or of one check alone at ``ready/NAME``, it is told to
those who may see the status, from the report that everybody shares.

Metrics are never a 5xx, which would say that the target is gone: whatever breaks, they tell
that there is nothing to tell. They are never kept, and a scrape never runs a check.

Paths are compared as they were sent, so that ``//``, ``%2F``, dot segments and other cases
are no paths of ours. No header that would override the method is looked at.

Whatever else goes wrong unexpectedly becomes a 503 here, never a 500, and a line in the
journal. Sockets, frameworks and ASGI are left out on purpose.

Source: guide, *Health Endpoints* and *Prometheus Metrics*; RFC 9110 and 9111; RFC 9457.
"""

from __future__ import annotations

import hashlib
import math
import re
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.domain.errors import (
    AccessError,
    AccessUnavailableError,
    CheckSelectionError,
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
from tasker_health.entrypoints.exposing import WrittenMetrics
from tasker_health.entrypoints.messages import (
    ALLOW,
    METHODS,
    NO_SNIFF,
    NO_STORE,
    RETRY,
    Headers,
    Request,
    Response,
    document,
    for_method,
    json,
    no_metrics,
    not_found,
    problem,
    unavailable,
)
from tasker_health.entrypoints.queries import BadFieldError, detail, fail_on, shown
from tasker_health.formats import documents, health_json, openmetrics, text
from tasker_health.formats.negotiation import choose

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tasker_health.domain.service import HealthService
    from tasker_health.domain.status import StatusAnswer, StatusReport, Verdict

    _Answer = Callable[[Request], Awaitable[Response]]

__all__ = ["ENDPOINTS", "HealthEndpoints", "paths"]

ENDPOINTS: Final = ("ready", "live", "status")
"""Those under ``/health``."""

_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", re.ASCII)
_PRIVATE: Final = (b"cache-control", b"private, no-store")
_VARY: Final = (b"vary", b"Authorization, Cookie")
_FORMS: Final = (documents.JSON, health_json.HEALTH_JSON, text.TEXT)
"""In which readiness can be told, the favourite first."""

_ACCESS: Final[Mapping[type[AccessError], tuple[int, str, Headers]]] = {
    UnauthenticatedError: (401, "Credentials are required.", ()),
    InvalidCredentialsError: (401, "The credentials are not good.", ()),
    ForbiddenError: (403, "The permission to see this is lacking.", ()),
    AccessUnavailableError: (503, "It cannot be told who is asking; try again.", (RETRY,)),
}


def paths(prefix: str) -> Mapping[str, str]:
    """Tell which endpoint stands at which path; a trailing slash makes no difference.

    Args:
        prefix: what stands before ``/health`` and ``/metrics``.

    Raises:
        ConfigurationError: the prefix is no path.
    """
    if _PREFIX.fullmatch(prefix) is None:
        raise ConfigurationError(
            "prefix", repr(prefix), "'' or segments like '/tasker', none ending in a slash"
        )
    places = {**{f"health/{name}": name for name in ENDPOINTS}, "metrics": "metrics"}
    return {
        f"{prefix}/{place}{slash}": name for place, name in places.items() for slash in ("", "/")
    }


class HealthEndpoints:
    """The endpoints over a service.

    Args:
        service: what answers.
        prefix: what stands before ``/health`` and ``/metrics`` in every path.
    """

    def __init__(self, service: HealthService, prefix: str = "/tasker") -> None:
        self._service: Final = service
        answers: dict[str, _Answer] = {
            "ready": self._ready,
            "live": self._live,
            "status": self._status,
            "metrics": self._metrics,
        }
        self._routes: Final[Mapping[str, tuple[str, _Answer]]] = {
            **{path: (name, answers[name]) for path, name in paths(prefix).items()},
            **{
                f"{prefix}/health/ready/{check}{slash}": ("ready", partial(self._ready, only=check))
                for check in service.checks
                for slash in ("", "/")
            },
        }
        self._live_second = -1
        self._live_response = unavailable()
        self._ready_report: ReadinessReport | None = None
        self._ready_responses: dict[str, Response] = {}
        self._written = _WrittenStatus()
        self._written_metrics = WrittenMetrics()
        self._period: Final = math.ceil(service.settings.health.cache_duration_seconds)
        self._open_body = b""
        self._open_age_and_left = (0, 0)
        self._open_response = unavailable()
        self._failing: set[str] = set()

    def has(self, path: str) -> bool:
        """Tell whether exactly this path is one of ours."""
        return path in self._routes

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

    async def _ready(self, request: Request, only: str | None = None) -> Response:
        form = _form(request)
        try:
            asked = detail(request.query)
            if only is None and asked.plain:
                return self._shared(await self._service.ready(), form)
            report = await self._service.ready_in_detail(
                self._credentials(request), only=only, exclude=asked.exclude
            )
        except BadFieldError as error:
            return problem(400, str(error))
        except CheckSelectionError as error:
            bad = BadFieldError("exclude", shown(error.given), error.allowed)
            return problem(400, str(bad), self._vary)
        except AccessError as error:
            return _denied(error, self._service.challenges)
        return _readiness(report, form, self._kept, verbose=asked.verbose)

    def _shared(self, report: ReadinessReport, form: str) -> Response:
        """Write the report that everybody gets, once in each form."""
        if report is not self._ready_report:
            self._ready_report, self._ready_responses = report, {}
        response = self._ready_responses.get(form)
        if response is None:
            response = self._ready_responses[form] = _readiness(report, form)
        return response

    async def _status(self, request: Request) -> Response:
        if choose(request.headers.get("accept", ""), (documents.JSON,)) is None:
            return problem(406, f"The media type of this path is {documents.JSON}.")
        try:
            failing = fail_on(request.query)
            answer = await self._service.status(self._credentials(request))
        except BadFieldError as error:
            return problem(400, str(error))
        except AccessError as error:
            return _denied(error, self._service.challenges)
        except StatusUnavailableError as error:
            retry = (b"retry-after", str(error.retry_after_seconds).encode())
            return problem(
                503, "There is no report yet; try again.", (*self._vary, retry), error.reason
            )
        return self._told(request, answer, failing)

    async def _metrics(self, request: Request) -> Response:
        form = choose(request.headers.get("accept", ""), openmetrics.FORMS)
        if form is None:
            types = " and ".join(openmetrics.FORMS)
            return problem(406, f"The media types of this path are {types}.")
        try:
            observation = await self._service.metrics(self._credentials(request))
        except AccessUnavailableError as error:
            return problem(403, _ACCESS[type(error)][1], (_VARY,))
        except AccessError as error:
            return _denied(error, self._service.challenges)
        body = self._written_metrics.of(observation, form)
        return document(200, openmetrics.content_type(form), body, *self._kept)

    @property
    def _kept(self) -> Headers:
        """Who may keep what is for those who may see it: nobody, in either case."""
        return (NO_STORE,) if self._service.status_is_open else (_PRIVATE, _VARY)

    def _credentials(self, request: Request) -> Credentials:
        if self._service.status_is_open:
            return ANONYMOUS
        return Credentials(headers=request.headers, user=request.user)

    def _told(self, request: Request, answer: StatusAnswer, failing: Verdict | None) -> Response:
        body, etag = self._written.of(answer)
        if failing is not None and answer.report.verdict.severity >= failing.severity:
            return json(503, body, NO_STORE, RETRY, *self._vary)
        if not self._service.status_is_open:
            return json(200, body, _PRIVATE, _VARY)
        age, left = self._age_and_left(answer.report)
        # NGINX that is told "the same, for 0 s" keeps it for as long as it was told first.
        if left > 0 and _has_it(request, etag):
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
        if name == "metrics":
            return no_metrics(self._kept)
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


def _form(request: Request) -> str:
    """Choose how to tell readiness; a probe is answered whatever it accepts."""
    return choose(request.headers.get("accept", ""), _FORMS) or documents.JSON


def _readiness(
    report: ReadinessReport,
    form: str = documents.JSON,
    kept: Headers = (NO_STORE,),
    *,
    verbose: bool = False,
) -> Response:
    if form == text.TEXT:
        body = text.ready(report, verbose=verbose)
    elif form == health_json.HEALTH_JSON:
        body = health_json.ready(report)
    else:
        body = documents.ready(report)
    retry = () if report.ready else (RETRY,)
    return document(200 if report.ready else 503, form, body, *kept, *retry)


def _denied(error: AccessError, challenges: Sequence[str]) -> Response:
    """Say why not; an error of a kind that nobody knows denies like any other."""
    status, detail, extra = next(
        (told for kind, told in _ACCESS.items() if isinstance(error, kind)), _ACCESS[ForbiddenError]
    )
    return problem(status, detail, (*_offers(error, challenges), *extra, _VARY))


def _offers(error: AccessError, challenges: Sequence[str]) -> Headers:
    """Say with a 401 what credentials are understood, each in a header of its own.

    Source: RFC 6750, *Error Codes*; Basic has no word for bad ones.
    """
    if isinstance(error, InvalidCredentialsError):
        challenges = [
            f'{one}, error="invalid_token"' if one.startswith("Bearer ") else one
            for one in challenges
        ]
    elif not isinstance(error, UnauthenticatedError):
        return ()
    return tuple((b"www-authenticate", one.encode()) for one in challenges)


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

"""What comes in and what goes back, without any framework: requests, responses, their making."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.formats import documents, openmetrics

if TYPE_CHECKING:
    from tasker_health.domain.reasons import Reason

__all__ = [
    "ALLOW",
    "METHODS",
    "NO_SNIFF",
    "NO_STORE",
    "RETRY",
    "Headers",
    "Request",
    "Response",
    "document",
    "for_method",
    "json",
    "no_metrics",
    "not_found",
    "problem",
    "unavailable",
]

METHODS: Final = ("GET", "HEAD", "OPTIONS")

Headers = tuple[tuple[bytes, bytes], ...]

ALLOW: Final = (b"allow", ", ".join(METHODS).encode())
NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")
NO_STORE: Final = (b"cache-control", b"no-store")
RETRY: Final = (b"retry-after", b"1")


@attrs.frozen
class Request:
    """What the endpoints look at.

    Args:
        method: as sent.
        path: as sent, still encoded, without the part that a server or framework mounts us at.
        query: as sent, without the question mark.
        headers: names in lower case; a header sent more than once is joined by commas.
        user: whom the host application's own middleware already found, if anybody.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    user: object | None = None


@attrs.frozen
class Response:
    """What goes back.

    Args:
        status: the code.
        headers: names in lower case; the content length is among them where it applies.
        body: what to send.
    """

    status: int
    headers: Headers
    body: bytes


def json(status: int, body: bytes, *extra: tuple[bytes, bytes]) -> Response:
    """Make a response out of one of the guide's documents."""
    return document(status, documents.JSON, body, *extra)


def document(status: int, media_type: str, body: bytes, *extra: tuple[bytes, bytes]) -> Response:
    """Make a response out of what some format wrote."""
    return Response(
        status,
        (
            (b"content-type", media_type.encode()),
            (b"content-length", str(len(body)).encode()),
            NO_SNIFF,
            *extra,
        ),
        body,
    )


def problem(
    status: int, detail: str, extra: Headers = (), reason: Reason | None = None
) -> Response:
    """Make a response that says why there is no such document for this caller."""
    body = documents.problem(status, HTTPStatus(status).phrase, detail, reason)
    return document(status, documents.PROBLEM_JSON, body, NO_STORE, *extra)


def not_found(method: str) -> Response:
    """Say that there is nothing at this path."""
    response = problem(404, "There is nothing at this path.")
    return attrs.evolve(response, body=b"") if method == "HEAD" else response


def no_metrics(kept: Headers = (NO_STORE,)) -> Response:
    """Tell a scraper that there is nothing to tell; a 5xx would say that nobody is there."""
    form = openmetrics.PROMETHEUS_TEXT
    return document(200, openmetrics.content_type(form), openmetrics.nothing(form), *kept)


def unavailable() -> Response:
    """Say that this process does not answer yet, or no longer."""
    return problem(503, "The service is starting or stopping.", (RETRY,))


def for_method(method: str, response: Response) -> Response:
    """Turn GET's response into that of HEAD or OPTIONS, as the method asks."""
    if method == "HEAD":
        return attrs.evolve(response, body=b"")
    if method != "OPTIONS":
        return response
    told = (header for header in response.headers if header[0] != b"content-length")
    return Response(response.status, (*told, (b"content-length", b"0"), ALLOW), b"")

"""One POST to a receiver: no redirect followed, no retry, no cookie, bounded, and not logged.

httpx's transport is used without its client: the client writes each URL to a log of its
own, where it may hold a receiver's token. Certificates are verified against the
environment's authorities (``SSL_CERT_FILE``), and a proxy that the environment names is
used.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.request import getproxies, proxy_bypass

import attrs
import httpx

from tasker_health.domain.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Answer", "Poster"]

_TIMEOUT_SECONDS: Final = 5.0
_LONGEST_ANSWER: Final = 8192


@attrs.frozen(kw_only=True)
class Answer:
    """What a receiver said.

    Args:
        status: the HTTP code.
        retry_after_seconds: when it wants to be asked again, ≥ 0; None when it does not say.
        body: the beginning of it.
    """

    status: int
    retry_after_seconds: float | None
    body: bytes


class Poster:
    """Posts to one URL. Connects when it is first used.

    Args:
        receiver: what it is called, for errors; these never hold the URL.
        url: where to.
        timeout_seconds: bound of connecting, and of each wait for a part of the answer.
    """

    def __init__(
        self, receiver: str, url: str, *, timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> None:
        self.receiver: Final = receiver
        self._url: Final = httpx.URL(url)
        self._timeout: Final = httpx.Timeout(timeout_seconds).as_dict()
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send it once.

        Raises:
            DeliveryError: no whole answer came.
        """
        request = httpx.Request(
            "POST",
            self._url,
            headers={"User-Agent": "tasker-health", **headers},
            content=body,
            extensions={"timeout": self._timeout},
        )
        if self._transport is None:
            self._transport = await _transport(self._url)
        try:
            response = await self._transport.handle_async_request(request)
            try:
                return await _answer(response)
            finally:
                await response.aclose()
        except (httpx.HTTPError, OSError) as error:
            # The vendor's words may hold what the URL does.
            raise DeliveryError(self.receiver, f"gave no answer: {_told(error)}") from None

    async def aclose(self) -> None:
        """Close what is open."""
        if self._transport is not None:
            await self._transport.aclose()


async def _transport(url: httpx.URL) -> httpx.AsyncHTTPTransport:
    proxy = None if proxy_bypass(url.host) else getproxies().get(url.scheme)
    if url.scheme == "https":
        # A tenth of a second, which the event loop has no time for.
        context = await asyncio.to_thread(httpx.create_ssl_context)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody, should it come to that
    # A receiver is told of something now and then: a connection kept would be found closed.
    limits = httpx.Limits(max_connections=2, max_keepalive_connections=0)
    return httpx.AsyncHTTPTransport(verify=context, proxy=proxy, limits=limits)


async def _answer(response: httpx.Response) -> Answer:
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= _LONGEST_ANSWER:
            break
    return Answer(
        status=response.status_code,
        retry_after_seconds=_retry_after(response.headers.get("retry-after", "")),
        body=body[:_LONGEST_ANSWER],
    )


def _retry_after(text: str) -> float | None:
    """Read seconds, or a date (RFC 9110, 10.2.3); None for anything else."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        left = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return max(0.0, left) if math.isfinite(left) else None


def _told(error: Exception) -> str:
    """Name the kind of failure, and the system's own word for it."""
    met: BaseException | None = error
    while met is not None and not isinstance(met, OSError):
        met = met.__cause__ or met.__context__
    word = met.strerror if isinstance(met, OSError) and met.strerror else ""
    return f"{type(error).__name__} {word}".strip()

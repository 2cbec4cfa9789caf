"""Where the status in the terminal comes from: a running server, or the database itself.

Both give the bytes of the status document, or raise :class:`UntoldError` with a line for
people. A server is asked in a thread that nobody waits for longer than the timeout, so
that a resolver or a server that drips cannot hold the command; no redirect is followed,
for the token is for one server alone.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import ssl
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.domain.errors import ConfigurationError, StatusUnavailableError
from tasker_health.domain.reasons import ADVICE
from tasker_health.domain.secret import Secret
from tasker_health.entrypoints.check import UsageError, target_of
from tasker_health.formats import documents
from tasker_health.formats.terminal import read_problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tasker_health.domain.events import Changed
    from tasker_health.entrypoints.check import Target
    from tasker_health.entrypoints.options import Configuration

__all__ = ["Ask", "SilentJournal", "UntoldError", "own_status", "read_token", "served_status"]

Ask = Callable[[], Awaitable[bytes]]
"""Gives the document's bytes.

Raises:
    UntoldError: there is none.
"""

_BODY_LIMIT: Final = 1_048_576
_OK: Final = 200
_LONGEST_TOKEN: Final = 16_384


@attrs.frozen
class UntoldError(Exception):
    """There is no document; says why."""

    words: str

    def __str__(self) -> str:
        """Give the words."""
        return self.words


def read_token(file: str | None, variable: str | None) -> Secret[str] | None:
    """Read the token that a file holds, or a variable of the environment; None for neither.

    Args:
        file: its path; ``-`` for standard input.
        variable: its name.

    Raises:
        ConfigurationError: both are named, or nothing good is there.
    """
    if file is not None and variable is not None:
        raise ConfigurationError("--token-env", repr(variable), "none beside --token-file")
    if file is not None:
        return _token("--token-file", repr(file), _contents(file))
    if variable is not None:
        return _token("--token-env", repr(variable), os.environ.get(variable, ""))
    return None


def _contents(file: str) -> str:
    try:
        if file == "-":
            return sys.stdin.readline(_LONGEST_TOKEN)
        with Path(file).open(encoding="ascii") as opened:
            return opened.readline(_LONGEST_TOKEN)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no text in ASCII"
        raise ConfigurationError(
            "--token-file", repr(file), f"a file with a token ({why})"
        ) from None


def _token(option: str, given: str, text: str) -> Secret[str]:
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable():
        raise ConfigurationError(option, given, "the name of what holds one token, on one line")
    return Secret(token)


@asynccontextmanager
async def served_status(
    base: str, *, prefix: str, token: Secret[str] | None, timeout_seconds: float
) -> AsyncIterator[Ask]:
    """Ask a running server.

    Args:
        base: scheme, host and port.
        prefix: what stands before ``/health``.
        token: shown as a bearer token; None to show nothing.
        timeout_seconds: bound of one answer, whatever it waits for.

    Raises:
        ConfigurationError: the base or the prefix is not good.
    """
    try:
        target = target_of("status", base, str(timeout_seconds), prefix)
    except UsageError as error:
        option, _, allowed = str(error).partition(": allowed is ")
        raise ConfigurationError(option, "", allowed) from None

    async def ask() -> bytes:
        code, body = await _in_time(target, token)
        if code != _OK:
            told = read_problem(body)
            raise UntoldError(f"the server answers {code}{f': {told}' if told else ''}")
        return body

    yield ask


async def _in_time(target: Target, token: Secret[str] | None) -> tuple[int, bytes]:
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[tuple[int, bytes]] = loop.create_future()

    def settle(outcome: tuple[int, bytes] | UntoldError) -> None:
        if answered.done():
            return
        if isinstance(outcome, UntoldError):
            answered.set_exception(outcome)
        else:
            answered.set_result(outcome)

    def work() -> None:
        outcome = _exchange(target, token)
        try:
            loop.call_soon_threadsafe(settle, outcome)
        except RuntimeError:  # nobody waits any more: the loop is closed
            return

    threading.Thread(target=work, name="tasker-health-fetch", daemon=True).start()
    done, _ = await asyncio.wait({answered}, timeout=target.timeout_seconds)
    if not done:
        answered.cancel()
        raise UntoldError(f"no answer within {target.timeout_seconds:g} s")
    return answered.result()


def _exchange(target: Target, token: Secret[str] | None) -> tuple[int, bytes] | UntoldError:
    """Send one GET; gives what came back, or why nothing did."""
    headers = {"Accept": documents.JSON, "User-Agent": "tasker-health", "Connection": "close"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token.reveal()}"
    place = (target.host, target.port)
    connection = (
        http.client.HTTPSConnection(
            *place, timeout=target.timeout_seconds, context=ssl.create_default_context()
        )
        if target.secure
        else http.client.HTTPConnection(*place, timeout=target.timeout_seconds)
    )
    try:
        connection.request("GET", target.path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(_BODY_LIMIT)
    except TimeoutError:
        return UntoldError(f"no answer within {target.timeout_seconds:g} s")
    except OSError as error:
        return UntoldError(f"no answer: {error.strerror or type(error).__name__}")
    except http.client.HTTPException:
        return UntoldError("what answered does not speak HTTP")
    except ValueError:  # what the codec for host names raises
        return UntoldError(f"no answer: {target.host!r} is no host name")
    finally:
        connection.close()


class SilentJournal:
    """Writes nothing: what a log would tell, the terminal tells itself."""

    def record(self, changed: Changed) -> None:
        """Let it pass."""


@asynccontextmanager
async def own_status(configuration: Configuration, *, timeout_seconds: float) -> AsyncIterator[Ask]:
    """Measure here, or take what the fleet shares.

    Nobody is asked who they are: whoever has the database's URL may read the database.

    Args:
        configuration: all settings.
        timeout_seconds: how long a first report is waited for.

    Raises:
        ConfigurationError: on entering, as in :func:`~tasker_health.entrypoints.server.check`.
    """
    # A second's import, which who asks a server does without.
    from tasker_health.adapters.auth import (  # noqa: PLC0415
        AnonymousAuthenticator,
        PermissionCoordinator,
    )
    from tasker_health.domain.service import HealthService  # noqa: PLC0415
    from tasker_health.domain.settings import AuthSettings  # noqa: PLC0415
    from tasker_health.entrypoints.sources import open_sources  # noqa: PLC0415

    health = attrs.evolve(
        configuration.settings.health,
        status_requires_authentication=False,
        status_timeout_seconds=timeout_seconds,
    )
    settings = attrs.evolve(configuration.settings, health=health, auth=AuthSettings())
    async with (
        open_sources(configuration) as sources,
        HealthService(
            tasker=sources.database.tasker,
            probe=sources.database.probe,
            clock=sources.clock,
            journal=SilentJournal(),
            authenticator=AnonymousAuthenticator(),
            coordinator=PermissionCoordinator,
            cache=sources.cache,
            settings=settings,
        ) as service,
    ):

        async def ask() -> bytes:
            try:
                return documents.status(await service.status())
            except StatusUnavailableError as error:
                raise UntoldError(f"{error.reason}: {ADVICE[error.reason]}") from error

        yield ask

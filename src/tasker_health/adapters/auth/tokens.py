"""API tokens: who brings one that stands in the token file is who that entry says.

A token is 256 random bits, so that a plain SHA-256 of it is as safe at rest as anything
slower would be. Every token that is brought costs the same: its digest is compared with
every entry's in constant time, the whole list through, and one that nobody has is treated
as one that expired long ago.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.adapters.auth.schemes import BASIC_CHALLENGE, BEARER_CHALLENGE, presented
from tasker_health.adapters.auth.token_file import PREFIX, TokenFile, TokenRecord, parse
from tasker_health.adapters.auth.watched_file import WatchedFile
from tasker_health.domain.errors import InvalidCredentialsError
from tasker_health.domain.permissions import Principal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasker_health.domain.permissions import Credentials
    from tasker_health.domain.ports import Authenticator, Clock
    from tasker_health.domain.reasons import Reason

__all__ = ["TokenAuthenticator", "digest", "new_token", "open_tokens"]

_NEVER: Final = datetime.max.replace(tzinfo=UTC)


@attrs.frozen
class _Held:
    """What is compared, and what follows from it."""

    sha256: bytes = attrs.field(repr=False)
    expires: datetime
    principal: Principal


_NOBODY: Final = _Held(b"", datetime.min.replace(tzinfo=UTC), Principal(name="nobody"))


def new_token() -> str:
    """Make a token that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """Tell what is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


class TokenAuthenticator:
    """Recognises who brings a token, as Bearer or as the password of Basic.

    Args:
        path: the token file; read again when it changes.
        clock: tells when to look at it, and what has expired.

    Attributes:
        challenges: what a 401 offers.
    """

    challenges: Final = (BEARER_CHALLENGE, BASIC_CHALLENGE)

    def __init__(self, path: str, clock: Clock) -> None:
        self._file: Final = WatchedFile(path, _held, clock)
        self._clock: Final = clock

    @property
    def problem(self) -> Reason | None:
        """Why nobody can be recognised at present: the file is gone, or not good."""
        return self._file.problem

    def load(self) -> None:
        """Read the file now.

        Raises:
            OSError: it cannot be read.
            ValueError: an entry is not good; the text names it.
        """
        self._file.load()

    def recognises(self, credentials: Credentials) -> bool:
        """Tell whether these are of a kind that is ours to judge: a token, or Basic at all.

        Raises:
            InvalidCredentialsError: the header has no form that anybody here knows.
        """
        brought = presented(credentials)
        return brought is not None and (
            brought.scheme == "basic" or brought.secret.reveal().startswith(PREFIX)
        )

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Recognise the caller; None when there is no ``Authorization`` header.

        Raises:
            InvalidCredentialsError: the header is malformed, of another scheme, or its token
                is unknown or has expired.
            AccessUnavailableError: the file cannot be read at present.
        """
        brought = presented(credentials)
        if brought is None:
            return None
        held = _whose(digest(brought.secret.reveal()), await self._file.current())
        if held.expires <= self._clock.now():
            raise InvalidCredentialsError
        return held.principal


def open_tokens(path: str, clock: Clock, *, setting: str, source: str = "") -> TokenAuthenticator:
    """Make an authenticator over a file that is good now.

    Args:
        path: the token file.
        clock: as for :class:`TokenAuthenticator`.
        setting: what the user calls the setting that named the file.
        source: where that stood.

    Raises:
        ConfigurationError: the file cannot be read, or an entry is not good.
    """
    authenticator = TokenAuthenticator(path, clock)
    with TokenFile(path, setting=setting, source=source).refusing():
        authenticator.load()
    return authenticator


def _held(data: bytes) -> tuple[_Held, ...]:
    return tuple(
        _Held(record.sha256, record.expires or _NEVER, _principal(record)) for record in parse(data)
    )


def _principal(record: TokenRecord) -> Principal:
    return Principal(name=record.name, permissions=record.permissions, tasker_admin=record.admin)


def _whose(brought: bytes, entries: Sequence[_Held]) -> _Held:
    """Find the entry of a digest. Looks at all of them, wherever it stands."""
    found = _NOBODY
    for entry in entries:
        found = entry if hmac.compare_digest(entry.sha256, brought) else found
    return found


_: type[Authenticator] = TokenAuthenticator

"""Reading the ``Authorization`` header: a Bearer token, or HTTP Basic with one as the password.

Strict on purpose: what is not exactly one of the two is refused, never guessed at. A header
that was sent twice arrives joined by a comma, which neither form has. Whether the secret is
anybody's is left to who knows secrets.

Source: RFC 6750, *Authorization Request Header Field*; RFC 7617, *The 'Basic' Authentication
Scheme*; RFC 9110, *Credentials*.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final, Literal

import attrs

from tasker_health.domain.errors import InvalidCredentialsError
from tasker_health.domain.secret import Secret

if TYPE_CHECKING:
    from tasker_health.domain.permissions import Credentials

__all__ = ["BASIC_CHALLENGE", "BEARER_CHALLENGE", "Presented", "presented"]

BEARER_CHALLENGE: Final = 'Bearer realm="tasker"'
BASIC_CHALLENGE: Final = 'Basic realm="tasker", charset="UTF-8"'
"""What a 401 offers; browsers ask for a password only when Basic is among it."""

_LONGEST: Final = 16_384
_FORM: Final = re.compile(r"(bearer|basic) +([A-Za-z0-9._~+/-]+={0,2})", re.ASCII | re.IGNORECASE)
_SECRET: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)


@attrs.frozen
class Presented:
    """What a caller presented.

    Args:
        scheme: how.
        secret: the token, visible ASCII characters; the password of Basic.
    """

    scheme: Literal["bearer", "basic"]
    secret: Secret[str]


def presented(credentials: Credentials) -> Presented | None:
    """Read what the caller presented; None when there is no such header.

    Raises:
        InvalidCredentialsError: the header has another scheme or another form, is longer
            than 16,384 characters, or holds what is not ASCII. It says nothing of the header.
    """
    header = credentials.headers.get("authorization")
    if header is None:
        return None
    match = _FORM.fullmatch(header) if len(header) <= _LONGEST else None
    if match is None:
        raise InvalidCredentialsError
    if match[1].lower() == "bearer":
        return Presented("bearer", Secret(match[2]))
    return Presented("basic", Secret(_password(match[2])))


def _password(encoded: str) -> str:
    """Take the password out of ``user:password``; whatever the user is called.

    Raises:
        InvalidCredentialsError: it is not base64 of such a pair in UTF-8.
    """
    user, _, password = _decoded(encoded).partition(":")
    if not (user.isprintable() and _SECRET.fullmatch(password)):
        raise InvalidCredentialsError
    return password


def _decoded(encoded: str) -> str:
    """Decode base64 in the one way it may be written; empty when it cannot be.

    What the decoders raise would repeat a part of the secret, and goes no further.
    """
    try:
        raw = base64.b64decode(encoded)
        return raw.decode() if base64.b64encode(raw).decode() == encoded else ""
    except (binascii.Error, UnicodeDecodeError):
        return ""

"""Who bears a JSON Web Token that one of the issuer's keys has signed.

The header of a token only picks among the keys that there are, by comparing. It never says
how to verify, and never names a file, an address or a key of its own. Where the keys come
from is ``jwt_keys.py``, what the claims mean is ``claims.py``.

Source: RFC 7515, 7519; RFC 8725, *JSON Web Token Best Current Practices*.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from joserfc import jws
from joserfc.util import urlsafe_b64decode

from tasker_health.adapters.auth.claims import principal
from tasker_health.adapters.auth.jwt_keys import json_object
from tasker_health.adapters.auth.schemes import BEARER_CHALLENGE, presented
from tasker_health.domain.errors import InvalidCredentialsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasker_health.adapters.auth.chain import Link
    from tasker_health.adapters.auth.claims import ClaimRules
    from tasker_health.adapters.auth.jwt_keys import KeyRing
    from tasker_health.adapters.auth.schemes import Presented
    from tasker_health.adapters.auth.watched_file import WatchedFile
    from tasker_health.domain.permissions import Credentials, Principal
    from tasker_health.domain.ports import Clock
    from tasker_health.domain.reasons import Reason

__all__ = ["JwtAuthenticator"]

_TYPES: Final = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
_REFUSED: Final = frozenset({"crit", "b64", "cty", "jku", "jwk", "x5u", "x5c", "enc", "zip"})
"""Header parameters of tokens that are not ours to read: extensions that must be understood,
payloads that are no claims, and keys that a token brings for itself."""

_DOTS: Final = 2


class JwtAuthenticator:
    """Recognises who bears a token that a key of the ring has signed.

    Args:
        keys: where the ring comes from.
        rules: what is asked of the claims.
        clock: tells what has expired.
    """

    challenges: Final = (BEARER_CHALLENGE,)

    def __init__(self, keys: WatchedFile[KeyRing], rules: ClaimRules, clock: Clock) -> None:
        self._keys: Final = keys
        self._rules: Final = rules
        self._clock: Final = clock

    @property
    def problem(self) -> Reason | None:
        """Why it can recognise nobody at present; None when all is well."""
        return self._keys.problem

    def recognises(self, credentials: Credentials) -> bool:
        """Tell a JWT by its two dots.

        Raises:
            InvalidCredentialsError: the header has no form that anybody here knows.
        """
        return _token(presented(credentials)) is not None

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Recognise the caller; None when no ``Authorization`` was sent.

        Raises:
            InvalidCredentialsError: it is no token of ours, or no longer. It tells nothing.
            AccessUnavailableError: the keys cannot be read.
        """
        brought = presented(credentials)
        if brought is None:
            return None
        token = _token(brought)
        if token is None:
            raise InvalidCredentialsError
        ring = await self._keys.current()
        # Whatever a stranger's bytes do to a parser, they grant nothing and break nothing,
        # and no exception takes a part of them along.
        with suppress(Exception):
            return principal(_verified(token, ring), self._rules, self._clock.now())
        raise InvalidCredentialsError


def _token(brought: Presented | None) -> str | None:
    """Pick what has the shape of a JWT: three parts, borne as it is."""
    if brought is None or brought.scheme != "bearer":
        return None
    token = brought.secret.reveal()
    return token if token.count(".") == _DOTS else None


class _Registry(jws.JWSRegistry):
    """Says nothing of an algorithm's merits: the keys have decided on it.

    joserfc warns at each use of the name ``EdDSA``, which most issuers still write.
    """

    max_signature_length = 2048  # RSA up to 12,288 bits

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


_REGISTRY: Final = _Registry(strict_check_header=False)
"""Ignores parameters that nobody knows, as it must; those above are refused before."""


def _verified(token: str, ring: KeyRing) -> dict[str, Any]:
    """Give the claims of a token whose signature is good.

    Raises:
        Exception: it is not; anything that a parser may raise.
    """
    header = json_object(urlsafe_b64decode(token.partition(".")[0].encode()))
    key = ring.find(header.get("alg"), header.get("kid"))
    if key is None or not _is_sane(header):
        raise InvalidCredentialsError
    return json_object(jws.deserialize_compact(token, key, registry=_REGISTRY).payload)


def _is_sane(header: Mapping[str, object]) -> bool:
    """Tell whether a header is that of a JWT of ours; it is not verified yet."""
    kind = header.get("typ", "JWT")
    return isinstance(kind, str) and kind.lower() in _TYPES and not _REFUSED & header.keys()


_: type[Link] = JwtAuthenticator

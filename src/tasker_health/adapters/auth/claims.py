"""What the claims of a verified JWT say: whether it holds here and now, and for whom.

Pure rules over a decoded object; whether its signature is good is ``jwt.py``. A claim that
is missing, of another type or out of range is never made to fit: the token is invalid.

Source: RFC 7519, *Registered Claim Names*; RFC 8725, *JSON Web Token Best Current
Practices*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.domain.errors import (
    InvalidCredentialsError,
    PermissionFormatError,
    UnknownPermissionError,
)
from tasker_health.domain.permissions import Permission, Principal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

__all__ = ["ClaimRules", "principal"]

_LATEST: Final = 253_402_300_799  # the last second of the year 9999
_LONGEST_NAME: Final = 255


@attrs.frozen(kw_only=True)
class ClaimRules:
    """What is asked of the claims, and where they tell what somebody may.

    Args:
        issuer: what ``iss`` must be, exactly.
        audience: what ``aud`` must be, or hold, exactly.
        leeway_seconds: by how much clocks may differ, 0 to 60.
        permissions_claim: where the permissions stand; dots lead into objects.
        admin_claim: where ``true`` makes an admin; with ``=value``, where that text does,
            alone or in a list. Empty for nowhere.
    """

    issuer: str
    audience: str
    leeway_seconds: float = 30.0
    permissions_claim: str = "permissions"
    admin_claim: str = ""


def principal(claims: Mapping[str, object], rules: ClaimRules, at: datetime) -> Principal:
    """Tell whom the claims are about.

    Raises:
        InvalidCredentialsError: they are not good for us at that moment.
    """
    name = claims.get("sub")
    good = (
        claims.get("iss") == rules.issuer
        and rules.audience in _audiences(claims.get("aud"))
        and _holds(claims, at.timestamp(), rules.leeway_seconds)
    )
    if not good or not isinstance(name, str) or not _is_name(name):
        raise InvalidCredentialsError
    return Principal(
        name=name,
        permissions=frozenset(_permissions(_find(claims, rules.permissions_claim))),
        tasker_admin=_is_admin(claims, rules.admin_claim),
    )


def _is_name(text: str) -> bool:
    """Tell whether a text can name somebody in a log: short, and nothing invisible in it."""
    return 0 < len(text) <= _LONGEST_NAME and text.isprintable() and not text.isspace()


def _audiences(value: object) -> list[str]:
    """Read ``aud``: one text, or a list of nothing but texts."""
    values: list[object] = value if isinstance(value, list) else [value]
    texts = [one for one in values if isinstance(one, str)]
    return texts if len(texts) == len(values) else []


def _holds(claims: Mapping[str, object], now: float, leeway: float) -> bool:
    """Tell whether now is before ``exp``, and not before ``nbf`` and ``iat`` where they are."""
    begins = [_seconds(claims[name]) for name in ("nbf", "iat") if name in claims]
    return now - leeway < _seconds(claims.get("exp")) and all(
        begin <= now + leeway for begin in begins
    )


def _seconds(value: object) -> float:
    """Read a moment in seconds since 1970.

    Raises:
        InvalidCredentialsError: it is none, or none before the year 10000.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LATEST:
        return value
    raise InvalidCredentialsError


def _find(claims: Mapping[str, object], path: str) -> object:
    """Find a claim by its whole name or, object by object, by the parts between its dots."""
    if path in claims:
        return claims[path]
    found: object = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _permissions(value: object) -> Iterator[Permission]:
    """Read the permissions of Tasker's among a list of texts, or words of one text."""
    words = value.split(" ") if isinstance(value, str) else value
    for word in words if isinstance(words, list) else ():
        try:
            yield Permission.known(word)
        except (PermissionFormatError, UnknownPermissionError, TypeError):
            continue  # an issuer serves others too, whose words mean nothing here


def _is_admin(claims: Mapping[str, object], rule: str) -> bool:
    name, equals, wanted = rule.partition("=")
    if not name:
        return False
    found = _find(claims, name)
    if not equals:
        return found is True
    return wanted in (found if isinstance(found, list) else [found])

"""What the claims of a token say: when they hold, and what their bearer may."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.jwt_tokens import CLOCK, ISSUER, NOW, RULES, claims, known, opening, signed

from tasker_health.adapters.auth.claims import ClaimRules, principal
from tasker_health.domain.errors import InvalidCredentialsError
from tasker_health.domain.permissions import METRICS_INDEX, STATUS_INDEX
from tasker_health.testing.doubles import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasker_health.adapters.auth.jwt import JwtAuthenticator


pytestmark = pytest.mark.anyio


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., JwtAuthenticator]:
    """Make authenticators over a file of keys."""
    return opening(tmp_path / "keys")


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "exp"])
async def test_a_missing_claim(opened: Callable[..., JwtAuthenticator], name: str) -> None:
    """A token without issuer, audience, subject or expiry is refused."""
    authenticator = opened()
    left_out = {key: value for key, value in claims().items() if key != name}
    assert await known(authenticator, signed(left_out)) is None
    assert await known(authenticator, signed(left_out | {name: None})) is None
    assert await known(authenticator, signed()) is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", "https://issuer.example/"),
        ("iss", "HTTPS://ISSUER.EXAMPLE"),
        ("iss", [ISSUER]),
        ("iss", ""),
        ("aud", "Tasker"),
        ("aud", "tasker "),
        ("aud", "tasker other"),
        ("aud", []),
        ("aud", ["other"]),
        ("aud", ["tasker", 7]),
        ("aud", [["tasker"]]),
        ("aud", {"tasker": True}),
        ("sub", ""),
        ("sub", "  "),
        ("sub", 7),
        ("sub", ["alice"]),
        ("sub", "a\nb"),
        ("sub", "a\u2028b"),
        ("sub", "a\x1b[31m"),
        ("sub", "a\u202eb"),
        ("sub", "\ud800"),
        ("sub", "a" * 256),
        ("exp", True),
        ("exp", str(NOW + 300)),
        ("exp", [NOW + 300]),
        ("exp", -1),
        ("exp", 253_402_300_800),
        ("exp", 10**12),
        ("exp", 10**400),
        ("exp", NOW - 30),
        ("exp", NOW - 86_400),
        ("exp", 0),
        ("nbf", NOW + 31),
        ("nbf", "0"),
        ("nbf", True),
        ("nbf", -1),
        ("iat", NOW + 31),
        ("iat", False),
        ("iat", [1]),
    ],
)
async def test_a_claim_that_does_not_hold(
    opened: Callable[..., JwtAuthenticator], name: str, value: object
) -> None:
    """A claim of another value, type or moment refuses the token."""
    assert await known(opened(), signed(claims(**{name: value}))) is None
    with pytest.raises(InvalidCredentialsError):
        principal(claims(**{name: value}), RULES, CLOCK.now())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("aud", ["other", "tasker"]),
        ("aud", ["tasker"]),
        ("sub", "Ålice Ünïcode | auth0"),
        ("sub", "a"),
        ("sub", "a" * 255),
        ("exp", NOW - 29),
        ("exp", NOW + 0.5),
        ("exp", 253_402_300_799),
        ("nbf", NOW + 30),
        ("nbf", 0),
        ("iat", NOW + 30),
        ("jti", 7),
    ],
)
async def test_a_claim_that_holds(
    opened: Callable[..., JwtAuthenticator], name: str, value: object
) -> None:
    """Audiences may be listed, clocks may differ by the leeway, and other claims are ignored."""
    assert await known(opened(), signed(claims(**{name: value}))) is not None


async def test_null_times_are_no_times(opened: Callable[..., JwtAuthenticator]) -> None:
    """A time that is null is there and is no time."""
    for name in ("nbf", "iat"):
        assert await known(opened(), signed(claims() | {name: None})) is None


@pytest.mark.parametrize("leeway", [0, 60])
async def test_the_leeway_is_as_configured(
    opened: Callable[..., JwtAuthenticator], leeway: int
) -> None:
    """A token ends exactly with its expiry and the leeway, and begins as much early."""
    rules = ClaimRules(issuer=ISSUER, audience="tasker", leeway_seconds=leeway)
    authenticator = opened(rules=rules)
    assert await known(authenticator, signed(claims(exp=NOW - leeway))) is None
    assert await known(authenticator, signed(claims(exp=NOW - leeway + 1))) is not None
    assert await known(authenticator, signed(claims(nbf=NOW + leeway))) is not None
    assert await known(authenticator, signed(claims(nbf=NOW + leeway + 1))) is None


async def test_time_passes(opened: Callable[..., JwtAuthenticator]) -> None:
    """A token that was good has ended when the clock says so."""
    clock = ManualClock()
    authenticator = opened(clock=clock)
    token = signed(claims(exp=NOW + 60))
    assert await known(authenticator, token) is not None
    clock.advance(89)
    assert await known(authenticator, token) is not None
    clock.advance(1)
    assert await known(authenticator, token) is None


@pytest.mark.parametrize(
    ("path", "value", "held"),
    [
        ("permissions", ["tasker.health_status:index", "tasker.metrics:index"], {1, 2}),
        ("scope", "openid tasker.health_status:index email", {1}),
        ("realm.roles", {"roles": ["tasker.metrics:index"]}, {2}),
        ("https://example.com/permissions", ["tasker.health_status:index"], {1}),
        ("permissions", ["tasker.health_status:INDEX", "tasker.health_status:index "], set()),
        ("permissions", ["tasker.health_status:*", "*", "tasker.health_status"], set()),
        ("permissions", ["tasker.health_status:show", 7, None, ["tasker.metrics:index"]], set()),
        ("permissions", ["tasker.health_status:index tasker.metrics:index"], set()),
        ("permissions", {"tasker.health_status:index": True}, set()),
        ("permissions", "tasker.health_status:index,tasker.metrics:index", set()),
        ("permissions", True, set()),
        ("permissions", None, set()),
    ],
)
async def test_permissions_from_a_claim(
    opened: Callable[..., JwtAuthenticator], path: str, value: object, held: set[int]
) -> None:
    """Exactly Tasker's permissions are taken, from a list or from the words of one text."""
    rules = ClaimRules(issuer=ISSUER, audience="tasker", permissions_claim=path)
    name = path.partition(".")[0] if isinstance(value, dict) else path
    token = signed(claims(permissions=None) | {name: value})
    user = await known(opened(rules=rules), token)
    assert user is not None
    names = {STATUS_INDEX: 1, METRICS_INDEX: 2}
    assert {names[permission] for permission in user.permissions} == held
    assert user.tasker_admin is False


@pytest.mark.parametrize(
    ("rule", "given_claims", "admin"),
    [
        ("", {"": True, "admin": True}, False),
        ("admin", {"admin": True}, True),
        ("admin", {"admin": "true"}, False),
        ("admin", {"admin": 1}, False),
        ("admin", {"admin": ["admin"]}, False),
        ("admin", {}, False),
        ("ext.admin", {"ext": {"admin": True}}, True),
        ("ext.admin", {"ext": [True]}, False),
        ("role=admin", {"role": "admin"}, True),
        ("role=admin", {"role": ["user", "admin"]}, True),
        ("role=admin", {"role": "user admin"}, False),
        ("role=admin", {"role": "administrator"}, False),
        ("role=admin", {"role": {"admin": True}}, False),
        ("role=admin", {"role": True}, False),
        ("role=admin", {}, False),
        ("role=", {"role": ""}, True),
        ("role=", {}, False),
        ("=admin", {"": "admin"}, False),
    ],
)
async def test_admins_from_a_claim(
    opened: Callable[..., JwtAuthenticator],
    rule: str,
    given_claims: dict[str, object],
    admin: bool,
) -> None:
    """Only the very value that the rule names makes an admin; without a rule, none does."""
    rules = ClaimRules(issuer=ISSUER, audience="tasker", admin_claim=rule)
    user = await known(opened(rules=rules), signed(claims() | given_claims))
    assert user is not None
    assert user.tasker_admin is admin


def test_where_claims_stand_unless_told() -> None:
    """Permissions are those of ``permissions``, and nobody is an admin."""
    rules = ClaimRules(issuer=ISSUER, audience="tasker")
    found = principal(claims(admin=True, tasker_admin=True), rules, CLOCK.now())
    assert found.permissions == {STATUS_INDEX}
    assert found.tasker_admin is False

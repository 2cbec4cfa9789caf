"""The doctor's look at access: who tells who asks, who tells whether they may, and a token.

A token is shown as a caller would show it, to both locks, whether or not they are turned.

Source: guide, *Troubleshooting*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import attrs

from tasker_health.domain.access import Access
from tasker_health.domain.coordination import coordinator_of
from tasker_health.domain.diagnosis import Area, Finding, Grade
from tasker_health.domain.errors import (
    AccessError,
    AccessUnavailableError,
    ConfigurationError,
    ForbiddenError,
)
from tasker_health.domain.permissions import Credentials
from tasker_health.entrypoints.authentication import (
    build_authenticator,
    knows_nobody,
    named_coordinator,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasker_health.domain.coordination import BaseCoordinator
    from tasker_health.domain.permissions import Permission
    from tasker_health.domain.ports import Authenticator, Coordinator
    from tasker_health.domain.secret import Secret
    from tasker_health.domain.settings import Settings
    from tasker_health.entrypoints.options import Configuration
    from tasker_health.entrypoints.sources import Sources

__all__ = ["look_at_access"]

T = TypeVar("T")


async def look_at_access(
    configuration: Configuration,
    sources: Sources,
    token: Secret[str] | None,
    permission: Permission,
) -> tuple[Finding, ...]:
    """Load the authenticator and the coordinator, and try a token on both.

    Args:
        configuration: all settings.
        sources: our clock and the journal.
        token: an API token or JWT to try; None to try none.
        permission: what it should permit.
    """
    settings = configuration.settings
    findings: list[Finding] = []
    authenticator = _loaded(
        Area.AUTHENTICATOR, lambda: build_authenticator(configuration, sources.clock), findings
    )
    coordinator = _loaded(Area.COORDINATOR, lambda: named_coordinator(configuration), findings)
    if authenticator is not None:
        findings.append(_recognising(authenticator, settings))
    if coordinator is not None:
        findings.append(_ok(Area.COORDINATOR, f"{_class_of(coordinator).__name__} is loaded"))
    if token is not None and authenticator is not None and coordinator is not None:
        access = Access(
            authenticator,
            coordinator_of(coordinator),
            journal=sources.journal,
            settings=_locked(settings),
        )
        findings.append(await _shown(token, permission, access))
    return tuple(findings)


def _loaded(area: Area, load: Callable[[], T], findings: list[Finding]) -> T | None:
    try:
        return load()
    except ConfigurationError as error:
        remedy = f"Correct {error.setting}: allowed is {error.allowed}."
        findings.append(_problem(area, "it cannot be had", remedy))
        return None


def _recognising(authenticator: Authenticator, settings: Settings) -> Finding:
    if not knows_nobody(authenticator):
        return _ok(Area.AUTHENTICATOR, f"{type(authenticator).__name__} is loaded")
    if not settings.auth.authorization_enabled:
        return _ok(Area.AUTHENTICATOR, "none is named, and none is asked for")
    remedy = "Set TOKENS_FILE, JWT_KEY_FILE, JWT_JWKS_FILE or AUTHENTICATOR_CLASS."
    seen = "authorization is enabled and nobody can be recognised: the status is closed to all"
    return Finding(area=Area.AUTHENTICATOR, grade=Grade.WARNING, seen=seen, remedy=remedy)


async def _shown(token: Secret[str], permission: Permission, access: Access) -> Finding:
    credentials = Credentials(headers={"authorization": f"Bearer {token.reveal()}"})
    try:
        await access.require(permission, credentials)
    except ForbiddenError:
        remedy = f"Give whoever bears it {permission}, or ask the coordinator why it denies."
        return _problem(Area.TOKEN, f"the token is good and may not {permission}", remedy)
    except AccessUnavailableError:
        remedy = "See the log: the authenticator itself fails or hangs."
        return _problem(Area.TOKEN, "nobody could tell whose the token is", remedy)
    except AccessError:
        remedy = "Make a new token, or see that the authenticator knows who issued this one."
        return _problem(Area.TOKEN, "the token is not good: unknown, expired or malformed", remedy)
    return _ok(Area.TOKEN, f"the token is good and may {permission}")


def _locked(settings: Settings) -> Settings:
    """Turn both locks: who asks has to be known, and has to have the permission."""
    return attrs.evolve(
        settings,
        health=attrs.evolve(settings.health, status_requires_authentication=True),
        auth=attrs.evolve(settings.auth, authorization_enabled=True),
    )


def _class_of(coordinator: Coordinator | type[BaseCoordinator]) -> type:
    return coordinator if isinstance(coordinator, type) else type(coordinator)


def _ok(area: Area, seen: str) -> Finding:
    return Finding(area=area, grade=Grade.OK, seen=seen)


def _problem(area: Area, seen: str, remedy: str) -> Finding:
    return Finding(area=area, grade=Grade.PROBLEM, seen=seen, remedy=remedy)

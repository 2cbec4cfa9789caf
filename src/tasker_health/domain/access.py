"""Who may see the numbers: authenticate, authorize, and fail closed.

====================  ====================  =========  =====================  ================
authentication        authorization         anonymous  known, not permitted   permitted, admin
====================  ====================  =========  =====================  ================
off                   off                   granted    granted                granted
required              off                   401        granted                granted
off                   enabled               403        403                    granted
required              enabled               401        403                    granted
====================  ====================  =========  =====================  ================

Credentials are looked at when either is on; bad ones are then 401. An authenticator that
fails or hangs leaves nobody known (503); a coordinator that fails, hangs or answers
anything but ``True`` denies (403). The decision reads settings, credentials and
permission: no path, no method, no header of a proxy.

Source: guide, *Security Configuration*.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from tasker_health.domain.errors import (
    AccessUnavailableError,
    ForbiddenError,
    InvalidCredentialsError,
    UnauthenticatedError,
)
from tasker_health.domain.events import Changed
from tasker_health.domain.reasons import Reason

if TYPE_CHECKING:
    from tasker_health.domain.permissions import Credentials, Permission
    from tasker_health.domain.ports import Authenticator, Coordinator, Journal, User
    from tasker_health.domain.settings import Settings

__all__ = ["Access"]


class Access:
    """The access use case."""

    def __init__(
        self,
        authenticator: Authenticator,
        coordinator: Coordinator,
        *,
        journal: Journal,
        settings: Settings,
    ) -> None:
        self._authenticator = authenticator
        self._coordinator = coordinator
        self._journal = journal
        self._required: Final = settings.health.status_requires_authentication
        self._enabled: Final = settings.auth.authorization_enabled
        self._timeout_seconds: Final = settings.auth.access_timeout_seconds
        self._working = True

    @property
    def open(self) -> bool:
        """Whether everybody may see everything, without a look at who they are."""
        return not (self._required or self._enabled)

    async def require(self, permission: Permission, credentials: Credentials) -> User | None:
        """Let the caller pass, or say why not.

        Returns:
            Who they are; None for the anonymous, and whenever nobody was asked.

        Raises:
            UnauthenticatedError: nobody, where somebody is required.
            InvalidCredentialsError: the credentials are not good.
            ForbiddenError: the permission is lacking.
            AccessUnavailableError: the authenticator failed or hung.
        """
        if self.open:
            return None
        user = await self._identify(credentials)
        if user is None and self._required:
            raise UnauthenticatedError
        if self._enabled and not await self._permitted(user, permission):
            raise ForbiddenError
        return user

    async def _identify(self, credentials: Credentials) -> User | None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                user = await self._authenticator.authenticate(credentials)
        except InvalidCredentialsError:
            raise
        except Exception as error:
            self._note(f"authenticator: {type(error).__name__}: {error}")
            raise AccessUnavailableError from error
        return user

    async def _permitted(self, user: User | None, permission: Permission) -> bool:
        if user is None:
            return False
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer = await self._coordinator.is_authorized(user, permission)
        except Exception as error:  # noqa: BLE001  whatever went wrong, it does not grant
            self._note(f"coordinator: {type(error).__name__}: {error}")
            return False
        self._note("")
        return answer is True

    def _note(self, problem: str) -> None:
        """Write down that access broke, or works again; once each."""
        if self._working is bool(problem):
            self._working = not problem
            self._journal.record(
                Changed(
                    subject="access",
                    before="failing" if self._working else "working",
                    after="working" if self._working else "failing",
                    reason=Reason.FAILED if problem else None,
                    detail=problem,
                )
            )

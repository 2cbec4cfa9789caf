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
fails, hangs or answers with what is no user leaves nobody known (503); a coordinator that
fails, hangs or answers anything but ``True`` denies (403). The decision reads settings,
credentials and permission: no path, no method, no header of a proxy.

Source: guide, *Security Configuration*.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

from tasker_health.domain.deadline import within
from tasker_health.domain.errors import (
    AccessUnavailableError,
    DeadlineError,
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

_DEFAULT_CHALLENGES: Final = ('Bearer realm="tasker"',)
_CHALLENGE: Final = re.compile(r"[!-~][ -~]*", re.ASCII)


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
        self._failing: Final = set[str]()

    @property
    def open(self) -> bool:
        """Whether everybody may see everything, without a look at who they are."""
        return not (self._required or self._enabled)

    @property
    def challenges(self) -> tuple[str, ...]:
        """What credentials the authenticator understands, each a ``WWW-Authenticate``.

        The authenticator may tell by an attribute of this name; what could not be sent as
        a header is passed over.
        """
        told = getattr(self._authenticator, "challenges", ())
        given = told if isinstance(told, tuple) else ()
        fit = tuple(one for one in given if isinstance(one, str) and _CHALLENGE.fullmatch(one))
        return fit or _DEFAULT_CHALLENGES

    @property
    def problem(self) -> Reason | None:
        """Why the authenticator can recognise nobody at present, where it tells.

        It may by an attribute of this name, which must do no I/O of its own.
        """
        told = getattr(self._authenticator, "problem", None)
        return told if isinstance(told, Reason) else None

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
            user = _somebody(
                await within(self._timeout_seconds, self._authenticator.authenticate(credentials))
            )
        except InvalidCredentialsError:
            self._note("authenticator", None)
            raise
        except Exception as error:
            self._note("authenticator", error)
            raise AccessUnavailableError from error
        self._note("authenticator", None)
        return user

    async def _permitted(self, user: User | None, permission: Permission) -> bool:
        if user is None:
            return False
        try:
            answer: object = await within(
                self._timeout_seconds, self._coordinator.is_authorized(user, permission)
            )
        except Exception as error:  # noqa: BLE001  whatever went wrong, it does not grant
            self._note("coordinator", error)
            return False
        self._note("coordinator", None)
        return answer is True

    def _note(self, who: str, error: Exception | None) -> None:
        """Write down that one of the two broke, or works again; once each."""
        if (who in self._failing) is (error is not None):
            return
        (self._failing.discard if error is None else self._failing.add)(who)
        self._journal.record(
            Changed(
                subject=who,
                before="working" if error else "failing",
                after="failing" if error else "working",
                reason=_reason(error),
                detail=_described(error) if error else "",
            )
        )


def _somebody(told: object) -> User | None:
    """Take an authenticator's answer; only None says nobody, so that no false name passes.

    Raises:
        TypeError: it answered with what is no user, such as False or an empty text.
    """
    if told is None:
        return None
    if isinstance(told, bool) or not told:
        raise TypeError(f"authenticate must answer with a user or None, not {type(told).__name__}")
    return cast("User", told)


def _described(error: Exception) -> str:
    """Tell what broke and where; the text of such an error may be the token that was shown.

    The text of our own error is for the log: who raises it knows what it says.
    """
    if isinstance(error, AccessUnavailableError):
        return str(error)
    name, trace = type(error).__name__, error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return name
    return f"{name} in {trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}"


def _reason(error: Exception | None) -> Reason | None:
    if error is None:
        return None
    return Reason.TIMEOUT if isinstance(error, DeadlineError) else Reason.FAILED

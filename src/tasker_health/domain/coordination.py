"""Coordinators written as a class with the user in it, and how they become the port.

The port, :class:`~tasker_health.domain.ports.Coordinator`, is one object that is asked
about every user. Tasker's own coordinators are made anew for each user instead. Both are
taken; a class is called where the port is asked.

Source: guide, *Authorization Coordinator Implementation* and *Common Issues*.
"""

from __future__ import annotations

import inspect
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast, final

from tasker_health.domain.errors import ConfigurationError, ForbiddenError
from tasker_health.domain.permissions import Permission

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasker_health.domain.ports import Coordinator, User

__all__ = ["BaseCoordinator", "Resources", "coordinator_of", "is_true", "takes"]

_NO_CONTEXT: Final[Mapping[str, object]] = MappingProxyType({})
_ALLOWED: Final = (
    "a subclass of BaseCoordinator that is made of a user alone, or a coordinator"
    " with 'async def is_authorized(self, user, permission)'"
)


class Resources:
    """Tasker's resources by name, so that a coordinator need not spell them."""

    TASK: Final = "tasker.task"
    WORKFLOW_STEP: Final = "tasker.workflow_step"
    HEALTH_STATUS: Final = "tasker.health_status"
    HANDLER: Final = "tasker.handler"
    METRICS: Final = "tasker.metrics"
    ANALYTICS: Final = "tasker.analytics"


class BaseCoordinator:
    """Decides about one user. Subclass it and override :meth:`is_authorized`.

    Args:
        user: who asks; whatever the authenticator recognised.

    Attributes:
        user: the same.
    """

    def __init__(self, user: User) -> None:
        self.user: Final = user

    def __init_subclass__(cls) -> None:
        """Refuse a subclass that overrides more than the hook, which nobody would ask."""
        super().__init_subclass__()
        for name in ("authorize", "can"):
            if getattr(cls, name) is not getattr(BaseCoordinator, name):
                raise TypeError(f"{cls.__name__} overrides {name}: what decides is is_authorized")

    @final
    async def authorize(
        self, resource: str, action: str, context: Mapping[str, object] | None = None
    ) -> None:
        """Return if the user may; the rest is as in :meth:`can`.

        Raises:
            ForbiddenError: they may not.
        """
        if not await self.can(resource, action, context):
            raise ForbiddenError

    @final
    async def can(
        self, resource: str, action: str, context: Mapping[str, object] | None = None
    ) -> bool:
        """Tell whether the user may: only ``True`` from the hook grants.

        Args:
            resource: one of :class:`Resources`.
            action: what is to be done with it, such as ``index``.
            context: whatever else the hook is to know.

        Raises:
            PermissionFormatError: resource and action are not written as Tasker's are.
            UnknownPermissionError: Tasker has no such pair.
            Exception: what the hook raised.
        """
        asked = Permission.known(f"{resource}:{action}")
        context = _NO_CONTEXT if context is None else context
        return await is_true(self.is_authorized(asked.resource, asked.action, context))

    def is_authorized(self, resource: str, action: str, context: Mapping[str, object]) -> object:
        """Answer ``True`` to grant. Override it, with ``def`` or ``async def``."""
        del resource, action, context
        return False


async def is_true(answer: object) -> bool:
    """Wait for the answer if need be; only ``True`` itself grants."""
    return (await answer if inspect.isawaitable(answer) else answer) is True


def coordinator_of(
    given: Coordinator | type[BaseCoordinator],
    *,
    setting: str = "coordinator",
    shown: str = "",
    source: str = "",
) -> Coordinator:
    """Give the port: a coordinator as it is, and a subclass as one that is made per user.

    Args:
        given: what decides.
        setting: what the user calls the place where they gave it.
        shown: how they wrote it.
        source: where that stood.

    Raises:
        ConfigurationError: it is neither.
    """
    if isinstance(given, type) and issubclass(given, BaseCoordinator):
        fits = takes(given, 1) and takes(given.is_authorized, 4)  # self and the three
        port: object = _PerUser(given)
    else:
        decide = getattr(given, "is_authorized", None)
        fits = not isinstance(given, type | BaseCoordinator) and takes(decide, 2)
        port = given
    if not fits:
        named = given.__name__ if isinstance(given, type) else type(given).__name__
        raise ConfigurationError(setting, shown or named, _ALLOWED, source)
    return cast("Coordinator", port)


def takes(called: object, arguments: int) -> bool:
    """Tell whether something can be called with just so many positional arguments."""
    if not callable(called):
        return False
    try:
        inspect.signature(called).bind(*range(arguments))
    except (TypeError, ValueError):
        return False
    return True


class _PerUser:
    """Makes the coordinator anew for every question, so that no user meets another's."""

    def __init__(self, made_by: type[BaseCoordinator]) -> None:
        self._made_by: Final = made_by

    async def is_authorized(self, user: User, permission: Permission) -> bool:
        return await self._made_by(user).can(permission.resource, permission.action)


_: type[Coordinator] = _PerUser

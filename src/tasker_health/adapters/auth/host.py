"""The user whom the host application's own middleware already found.

It is for a service that is embedded: in Litestar by the plugin, in any other ASGI
framework by mounting. What the host puts into the connection's ``user`` is whom the
status is asked by; headers and cookies are the host's to read, and are not read here.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, cast

from tasker_health.domain.coordination import is_true

if TYPE_CHECKING:
    from tasker_health.domain.permissions import Credentials
    from tasker_health.domain.ports import Authenticator, User

__all__ = ["HostUserAuthenticator"]


class HostUserAuthenticator:
    """Takes the host's word for who is asking.

    Nobody is whoever the host left empty, and whoever has an ``is_authenticated`` that is
    anything but true: frameworks put such a user there for the anonymous. Everybody else
    is known, and what they may is for the coordinator to ask them.
    """

    async def authenticate(self, credentials: Credentials) -> User | None:
        """Give the host's user.

        Raises:
            Exception: what the user raised when asked whether they are anybody.
        """
        user = credentials.user
        if not user:
            return None
        known = _says_who_it_is(user)
        if not await is_true(known() if callable(known) else known):
            return None
        return cast("User", user)


def _says_who_it_is(user: object) -> object:
    """Give the user's ``is_authenticated``; who does not have it is somebody.

    A property that fails with an AttributeError of its own is there, and fails.
    """
    try:
        known: object = user.is_authenticated  # type: ignore[attr-defined]  # that is the question
    except AttributeError:
        if inspect.getattr_static(user, "is_authenticated", None) is not None:
            raise
        return True
    return known


_: type[Authenticator] = HostUserAuthenticator

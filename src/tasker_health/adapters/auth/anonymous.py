"""The authenticator that knows nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasker_health.domain.permissions import Credentials
    from tasker_health.domain.ports import Authenticator, User

__all__ = ["AnonymousAuthenticator"]


class AnonymousAuthenticator:
    """Recognises nobody: the default, for a status that is open to all."""

    async def authenticate(self, credentials: Credentials) -> User | None:
        """Answer None, whatever was brought."""
        del credentials
        return None


_: type[Authenticator] = AnonymousAuthenticator

"""Several authenticators as one: the first that recognises its own kind of credentials decides.

Nobody is asked twice. What one has refused is not offered to the next, so that a second
authenticator never makes the first one weaker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from tasker_health.adapters.auth.schemes import presented
from tasker_health.domain.errors import InvalidCredentialsError

if TYPE_CHECKING:
    from tasker_health.domain.permissions import Credentials
    from tasker_health.domain.ports import Authenticator, User
    from tasker_health.domain.reasons import Reason

__all__ = ["ChainedAuthenticator", "Link"]


class Link(Protocol):
    """An authenticator that tells its own kind of credentials from others by their shape."""

    @property
    def challenges(self) -> tuple[str, ...]:
        """What a 401 offers, each a value of ``WWW-Authenticate``."""
        ...

    @property
    def problem(self) -> Reason | None:
        """Why it can recognise nobody at present; None when all is well."""
        ...

    def recognises(self, credentials: Credentials) -> bool:
        """Tell by their shape whether these are of its kind, be they good or not.

        Raises:
            InvalidCredentialsError: they have no shape that anybody knows.
        """
        ...

    async def authenticate(self, credentials: Credentials) -> User | None:
        """Keep the promise of the port."""
        ...


class ChainedAuthenticator:
    """Asks the link that the shape of the credentials belongs to, and no other.

    Args:
        links: in the order in which they are tried.
    """

    def __init__(self, *links: Link) -> None:
        self._links: Final = links

    @property
    def challenges(self) -> tuple[str, ...]:
        """What the links offer, each once."""
        return tuple(dict.fromkeys(offer for link in self._links for offer in link.challenges))

    @property
    def problem(self) -> Reason | None:
        """The first problem that a link has; every link is asked, so that each looks again."""
        return next(filter(None, [link.problem for link in self._links]), None)

    async def authenticate(self, credentials: Credentials) -> User | None:
        """Recognise the caller; nobody only where no ``Authorization`` was sent.

        Raises:
            InvalidCredentialsError: the link refused them, or they are nobody's kind.
            AccessUnavailableError: the link could not tell.
        """
        if presented(credentials) is None:
            return None
        for link in self._links:
            if link.recognises(credentials):
                return await link.authenticate(credentials)
        raise InvalidCredentialsError


_: type[Authenticator] = ChainedAuthenticator

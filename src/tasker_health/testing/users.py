"""Users of every kind, and an authenticator that knows them: for tests of who may see what.

Source: guide, *RSpec Testing*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tasker_health.domain.errors import InvalidCredentialsError
from tasker_health.domain.permissions import Permission, Principal

if TYPE_CHECKING:
    from tasker_health.domain.permissions import Credentials
    from tasker_health.domain.ports import Authenticator, User

__all__ = [
    "TestAuthenticator",
    "admin_user",
    "auth_headers",
    "user_with_permission",
    "user_without_permissions",
]


def user_with_permission(*permissions: str) -> Principal:
    """Make a user who holds these permissions, and is no admin.

    Raises:
        PermissionFormatError: one is no ``resource:action``.
        UnknownPermissionError: Tasker does not have one of them.
    """
    return Principal(name="holder", permissions=frozenset(map(Permission.known, permissions)))


def user_without_permissions() -> Principal:
    """Make a user who is known, and may nothing."""
    return Principal(name="stranger")


def admin_user() -> Principal:
    """Make a user who may everything and holds no permission."""
    return Principal(name="admin", tasker_admin=True)


def auth_headers(user: User) -> dict[str, str]:
    """Give the request headers by which :class:`TestAuthenticator` knows this very user."""
    return {"authorization": f"Bearer {_token(user)}"}


class TestAuthenticator:
    """Knows the users that a test gives it, and refuses all others.

    Args:
        users: whom it knows, of any class; :func:`auth_headers` makes one of them ask.

    Attributes:
        failure: what is raised for everybody, to see what happens then.
    """

    __test__ = False

    def __init__(self, *users: User) -> None:
        self._users: Final = {f"Bearer {_token(user)}": user for user in users}
        self.failure: Exception | None = None

    async def authenticate(self, credentials: Credentials) -> User | None:
        """Look the user up; nobody is who shows nothing.

        Raises:
            InvalidCredentialsError: it is none of the users.
        """
        if self.failure is not None:
            raise self.failure
        shown = credentials.headers.get("authorization")
        if shown is None:
            return None
        if shown not in self._users:
            raise InvalidCredentialsError
        return self._users[shown]


def _token(user: object) -> str:
    return f"test-{id(user):x}"


_: type[Authenticator] = TestAuthenticator

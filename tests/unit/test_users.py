"""The published authenticator that tests use keeps the port's promise itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasker_health.domain.permissions import ANONYMOUS, Credentials
from tasker_health.testing.contracts import RecognisingAuthenticatorContract
from tasker_health.testing.users import (
    TestAuthenticator,
    admin_user,
    auth_headers,
    user_without_permissions,
)

if TYPE_CHECKING:
    from tasker_health.domain.ports import Authenticator

KNOWN = admin_user()


class TestKnownUsers(RecognisingAuthenticatorContract):
    """An authenticator that knows one user."""

    @pytest.fixture
    def authenticator(self) -> Authenticator:
        """Make one."""
        return TestAuthenticator(KNOWN)

    @pytest.fixture
    def good_credentials(self) -> Credentials:
        """Come as the user."""
        return Credentials(headers=auth_headers(KNOWN))

    @pytest.fixture
    def bad_credentials(self) -> Credentials:
        """Come as another."""
        return Credentials(headers=auth_headers(user_without_permissions()))


@pytest.mark.anyio
async def test_an_authenticator_that_was_broken_fails_for_everybody() -> None:
    """While it is told to fail, nobody is told who they are, not even nobody."""
    authenticator = TestAuthenticator(KNOWN)
    authenticator.failure = RuntimeError("down")
    with pytest.raises(RuntimeError, match="down"):
        await authenticator.authenticate(ANONYMOUS)

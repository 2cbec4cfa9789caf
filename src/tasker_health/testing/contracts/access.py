"""The promises of :class:`~tasker_health.domain.ports.Authenticator` and ``Coordinator``."""

# ruff: noqa: S101  assert is how a contract speaks

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

import attrs
import pytest

from tasker_health.domain.coordination import coordinator_of
from tasker_health.domain.errors import (
    ForbiddenError,
    InvalidCredentialsError,
    UnknownPermissionError,
)
from tasker_health.domain.permissions import (
    ANONYMOUS,
    METRICS_INDEX,
    STATUS_INDEX,
    Permission,
    Principal,
)
from tasker_health.testing.contracts.base import Contract, cancelled_after, to_override

if TYPE_CHECKING:
    from collections.abc import Generator

    from tasker_health.domain.coordination import BaseCoordinator
    from tasker_health.domain.permissions import Credentials
    from tasker_health.domain.ports import Authenticator, Coordinator, User

__all__ = [
    "AuthenticatorContract",
    "CoordinatorClassContract",
    "CoordinatorContract",
    "RecognisingAuthenticatorContract",
]


class AuthenticatorContract(Contract):
    """What every authenticator promises. Override ``authenticator``."""

    @pytest.fixture
    def authenticator(self) -> Authenticator:
        """Give an authenticator."""
        to_override(self, "authenticator")

    async def test_no_credentials_are_nobody(self, authenticator: Authenticator) -> None:
        """Who brings nothing is nobody, and that is no error."""
        assert await authenticator.authenticate(ANONYMOUS) is None


class RecognisingAuthenticatorContract(AuthenticatorContract):
    """What an authenticator promises besides that knows somebody.

    Override ``good_credentials`` and ``bad_credentials`` too.
    """

    @pytest.fixture
    def good_credentials(self) -> Credentials:
        """Give what somebody brings whom the authenticator knows."""
        to_override(self, "good_credentials")

    @pytest.fixture
    def bad_credentials(self) -> Credentials:
        """Give credentials of the right kind that are not good."""
        to_override(self, "bad_credentials")

    async def test_good_credentials_are_somebody(
        self, authenticator: Authenticator, good_credentials: Credentials
    ) -> None:
        """Who is recognised can be asked for permissions, and again with the same result."""
        user = await authenticator.authenticate(good_credentials)
        assert user is not None
        assert callable(user.has_tasker_permission)
        assert hasattr(user, "tasker_admin")
        assert await authenticator.authenticate(good_credentials) is not None

    async def test_bad_credentials_are_refused(
        self, authenticator: Authenticator, bad_credentials: Credentials
    ) -> None:
        """Credentials that are not good are refused: they are not taken for none."""
        with pytest.raises(InvalidCredentialsError):
            await authenticator.authenticate(bad_credentials)

    async def test_concurrent_callers_are_told_apart(
        self,
        authenticator: Authenticator,
        good_credentials: Credentials,
        bad_credentials: Credentials,
    ) -> None:
        """Nobody is taken for somebody else who asks at the same time."""
        kinds = [good_credentials, bad_credentials, ANONYMOUS] * 5
        answers = await asyncio.gather(
            *map(authenticator.authenticate, kinds), return_exceptions=True
        )
        for brought, answer in zip(kinds, answers, strict=True):
            if brought is bad_credentials:
                assert isinstance(answer, InvalidCredentialsError)
            elif brought is ANONYMOUS:
                assert answer is None
            else:
                assert answer is not None
                assert not isinstance(answer, BaseException)

    @pytest.mark.parametrize("steps", range(3))
    async def test_a_cancelled_call_harms_nobody(
        self, authenticator: Authenticator, good_credentials: Credentials, steps: int
    ) -> None:
        """Whenever a call is cancelled, the next one recognises the caller."""
        await cancelled_after(steps, lambda: authenticator.authenticate(good_credentials))
        assert await authenticator.authenticate(good_credentials) is not None


@attrs.frozen
class _Later:
    """An answer that must be waited for; true as an object, whatever it says."""

    answer: object

    def __await__(self) -> Generator[None, None, object]:
        yield
        return self.answer


@attrs.frozen
class _Odd:
    """A user who gives the same odd answer to both questions."""

    tasker_admin: object

    def has_tasker_permission(self, permission: str) -> object:
        del permission
        return self.tasker_admin


class _Raising:
    """A user who cannot be asked."""

    @property
    def tasker_admin(self) -> object:
        raise RuntimeError("no answer")

    def has_tasker_permission(self, permission: str) -> object:
        raise RuntimeError(permission)


_NEAR_MISSES: Final = (
    METRICS_INDEX,
    Permission("tasker.health_status", "show"),
    Permission("tasker.health", "index"),
    Permission("health_status", "index"),
    Permission("tasker.health_status.x", "index"),
)

_NO_GRANTS: Final = (None, False, 0, 1, "yes", "true", [True], _Later(answer=False), _Later("yes"))


class CoordinatorContract(Contract):
    """What every coordinator promises. Override ``coordinator``.

    It may give an instance, or a subclass of BaseCoordinator itself. Override ``permitted``
    and ``stranger`` too where the coordinator asks for other users than principals.

    Attributes:
        admits_admins: whether an admin may everything.
    """

    admits_admins: ClassVar[bool] = True

    @pytest.fixture
    def coordinator(self) -> Coordinator | type[BaseCoordinator]:
        """Give a coordinator."""
        to_override(self, "coordinator")

    @pytest.fixture
    def deciding(self, coordinator: Coordinator | type[BaseCoordinator]) -> Coordinator:
        """Give what a service would ask."""
        return coordinator_of(coordinator)

    @pytest.fixture
    def permitted(self) -> User:
        """Give a user who may see the status, and nothing else."""
        return Principal(name="alice", permissions=frozenset({STATUS_INDEX}))

    @pytest.fixture
    def stranger(self) -> User:
        """Give a user who may nothing."""
        return Principal(name="mallory")

    async def test_who_may_is_granted(self, deciding: Coordinator, permitted: User) -> None:
        """Who holds the permission gets ``True`` itself, nothing that is merely truthy."""
        assert await deciding.is_authorized(permitted, STATUS_INDEX) is True

    async def test_who_may_nothing_is_denied(self, deciding: Coordinator, stranger: User) -> None:
        """Who holds no permission is not granted it."""
        assert not await _grants(deciding, stranger, STATUS_INDEX)

    @pytest.mark.parametrize("other", _NEAR_MISSES, ids=str)
    async def test_a_permission_is_exactly_itself(
        self, deciding: Coordinator, permitted: User, other: Permission
    ) -> None:
        """Holding one permission grants no other, however alike."""
        assert not await _grants(deciding, permitted, other)

    async def test_admins(self, deciding: Coordinator) -> None:
        """An admin without the permission is granted it exactly where admins are admitted."""
        admin = Principal(name="root", tasker_admin=True)
        assert await _grants(deciding, admin, STATUS_INDEX) is self.admits_admins

    @pytest.mark.parametrize("answer", _NO_GRANTS, ids=repr)
    async def test_only_true_grants(self, deciding: Coordinator, answer: object) -> None:
        """A user whose own answers are anything but ``True`` is not granted anything."""
        assert not await _grants(deciding, _Odd(answer), STATUS_INDEX)

    async def test_a_user_that_fails_is_denied(self, deciding: Coordinator) -> None:
        """A user who cannot be asked is not granted anything."""
        assert not await _grants(deciding, _Raising(), STATUS_INDEX)

    async def test_concurrent_callers_are_told_apart(
        self, deciding: Coordinator, permitted: User, stranger: User
    ) -> None:
        """Nobody is granted what somebody else holds who asks at the same time."""
        granted = await asyncio.gather(
            *(_grants(deciding, user, STATUS_INDEX) for user in [permitted, stranger] * 5)
        )
        assert granted == [True, False] * 5


class CoordinatorClassContract(CoordinatorContract):
    """What a subclass of BaseCoordinator promises besides. Override ``coordinator_class``."""

    @pytest.fixture
    def coordinator_class(self) -> type[BaseCoordinator]:
        """Give the class."""
        to_override(self, "coordinator_class")

    @pytest.fixture
    def coordinator(
        self, coordinator_class: type[BaseCoordinator]
    ) -> Coordinator | type[BaseCoordinator]:
        """Give the class as it would be configured."""
        return coordinator_class

    async def test_who_may_is_told_so(
        self, coordinator_class: type[BaseCoordinator], permitted: User
    ) -> None:
        """Asked by hand, it says yes to whom a service would let in, and raises nothing."""
        made = coordinator_class(permitted)
        assert await made.can(STATUS_INDEX.resource, STATUS_INDEX.action) is True
        await made.authorize(STATUS_INDEX.resource, STATUS_INDEX.action)

    async def test_who_may_not_is_told_so(
        self, coordinator_class: type[BaseCoordinator], stranger: User
    ) -> None:
        """Asked by hand, it says no to the others, and authorize raises."""
        made = coordinator_class(stranger)
        assert await made.can(STATUS_INDEX.resource, STATUS_INDEX.action) is False
        with pytest.raises(ForbiddenError):
            await made.authorize(STATUS_INDEX.resource, STATUS_INDEX.action)

    async def test_an_unknown_permission_is_an_error(
        self, coordinator_class: type[BaseCoordinator], permitted: User
    ) -> None:
        """A pair that Tasker does not have is a mistake of whoever asks, not a denial."""
        with pytest.raises(UnknownPermissionError):
            await coordinator_class(permitted).can(STATUS_INDEX.resource, "destroy")


async def _grants(coordinator: Coordinator, user: User, permission: Permission) -> bool:
    """Tell whether access would be granted: an exception denies like any other answer."""
    try:
        return await coordinator.is_authorized(user, permission) is True
    except Exception:  # noqa: BLE001  the port says that any exception denies
        return False

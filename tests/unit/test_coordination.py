"""Coordinators written as a class: what grants, what raises, and what is refused at start."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health import (
    AuthSettings,
    BaseCoordinator,
    ConfigurationError,
    ForbiddenError,
    Permission,
    Principal,
    Resources,
    Settings,
)
from tasker_health.adapters.auth import PermissionCoordinator, load_coordinator
from tasker_health.domain.coordination import coordinator_of
from tasker_health.domain.errors import PermissionFormatError, UnknownPermissionError
from tasker_health.domain.permissions import REGISTRY, STATUS_INDEX
from tasker_health.testing import (
    InMemoryHealth,
    TestAuthenticator,
    admin_user,
    auth_headers,
    user_with_permission,
    user_without_permissions,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.anyio

MODULE = "a_module_with_coordinators"
STATUS = "/tasker/health/status"
ENABLED = Settings(auth=AuthSettings(authorization_enabled=True))
ALICE = user_without_permissions()


def answering(answer: object) -> type[BaseCoordinator]:
    """Make a coordinator whose hook gives one answer."""

    class Answering(BaseCoordinator):
        def is_authorized(self, resource: str, action: str, context: object) -> object:
            del resource, action, context
            return answer

    return Answering


def status_code(**parts: Any) -> Any:
    """Ask for the status as alice, with authorization on, and give the code."""

    async def ask() -> int:
        health = InMemoryHealth(settings=ENABLED, authenticator=TestAuthenticator(ALICE), **parts)
        return (await health.get(STATUS, auth_headers(ALICE))).status_code

    return ask()


def test_the_resources_are_taskers() -> None:
    """Each constant is a resource of the registry, and none is forgotten."""
    named = {value for name, value in vars(Resources).items() if name.isupper()}
    assert named == set(REGISTRY)


async def test_nobody_may_unless_the_hook_says_so() -> None:
    """The base class itself denies everybody, admins included."""
    assert await BaseCoordinator(admin_user()).can("tasker.task", "retry") is False


async def test_only_true_grants() -> None:
    """Whatever else a hook returns, truthy or not, is no grant."""
    assert await answering(True)(ALICE).can("tasker.task", "show") is True  # noqa: FBT003  the answer
    for answer in (None, False, 0, 1, 1.0, "yes", [True], object()):
        assert await answering(answer)(ALICE).can("tasker.task", "show") is False


async def test_the_hook_may_be_a_coroutine() -> None:
    """An answer that must be awaited is, and then only True grants."""

    class Later(BaseCoordinator):
        async def is_authorized(
            self, resource: str, action: str, context: Mapping[str, object]
        ) -> object:
            del resource, action
            return context["answer"]

    for answer, granted in ((True, True), (1, False), ("yes", False)):
        assert await Later(ALICE).can("tasker.task", "show", {"answer": answer}) is granted


async def test_authorize_raises_and_can_tells() -> None:
    """The two ways of asking agree."""
    for answer in (True, False):
        coordinator = answering(answer)(ALICE)
        if await coordinator.can("tasker.task", "show"):
            await coordinator.authorize("tasker.task", "show")
        else:
            with pytest.raises(ForbiddenError):
                await coordinator.authorize("tasker.task", "show")


async def test_the_hook_is_told_everything() -> None:
    """Resource, action and context arrive as given, the user is at hand, no context is empty."""
    seen: list[object] = []

    class Listening(BaseCoordinator):
        def is_authorized(self, resource: str, action: str, context: object) -> bool:
            seen.append((self.user, resource, action, context))
            return False

    await Listening(ALICE).can(Resources.HANDLER, "show", {"handler": 7})
    await Listening(ALICE).can(Resources.HANDLER, "show")
    assert seen == [
        (ALICE, "tasker.handler", "show", {"handler": 7}),
        (ALICE, "tasker.handler", "show", {}),
    ]


@given(
    resource=st.sampled_from(sorted(REGISTRY)),
    action=st.sampled_from(sorted({action for held in REGISTRY.values() for action in held})),
)
async def test_an_unknown_pair_is_an_error(resource: str, action: str) -> None:
    """What Tasker does not have is refused before the hook is asked; what it has is asked."""
    coordinator = answering(answer=True)(ALICE)
    if action in REGISTRY[resource]:
        assert await coordinator.can(resource, action)
    else:
        with pytest.raises(UnknownPermissionError):
            await coordinator.can(resource, action)


async def test_a_malformed_pair_is_an_error() -> None:
    """A resource in capitals is no resource."""
    with pytest.raises(PermissionFormatError):
        await answering(answer=True)(ALICE).can("Tasker.Task", "show")


@pytest.mark.parametrize("name", ["can", "authorize"])
def test_only_the_hook_is_overridden(name: str) -> None:
    """A subclass that decides elsewhere would be passed over, and so cannot be made."""
    with pytest.raises(TypeError, match=f"Mine overrides {name}: what decides is is_authorized"):
        type("Mine", (BaseCoordinator,), {name: lambda *_: None})


def test_a_subclass_may_have_other_bases_that_look_at_it() -> None:
    """A mix-in that registers its subclasses is told of coordinators too."""
    registered: list[type] = []

    class Registering:
        def __init_subclass__(cls) -> None:
            super().__init_subclass__()
            registered.append(cls)

    class Mine(BaseCoordinator, Registering):
        pass

    assert registered == [Mine]


async def test_the_shipped_one_accepts_every_way_of_being_admin() -> None:
    """``tasker_admin`` may be a value, a method or a coroutine; only True from it admits."""

    class ByMethod:
        def __init__(self, answer: object) -> None:
            self.answer = answer

        def tasker_admin(self) -> object:
            return self.answer

        def has_tasker_permission(self, permission: str) -> bool:
            del permission
            return False

    class ByCoroutine(ByMethod):
        async def tasker_admin(self) -> object:
            return self.answer

    for made_by in (ByMethod, ByCoroutine):
        for answer, granted in ((True, True), (1, False), (None, False)):
            coordinator = PermissionCoordinator(made_by(answer))
            assert await coordinator.can("tasker.task", "show") is granted


async def test_a_service_takes_the_class_and_makes_it_for_each_user() -> None:
    """No user is asked about with another's coordinator."""
    made: list[object] = []

    class Counting(PermissionCoordinator):
        def __init__(self, user: Any) -> None:
            super().__init__(user)
            made.append(user)

    holder = user_with_permission("tasker.health_status:index")
    health = InMemoryHealth(
        settings=ENABLED, authenticator=TestAuthenticator(ALICE, holder), coordinator=Counting
    )
    codes = [(await health.get(STATUS, auth_headers(user))).status_code for user in (ALICE, holder)]
    assert codes == [403, 200]
    assert made == [ALICE, holder]


async def test_a_service_takes_an_instance() -> None:
    """Whatever keeps the port's promise is asked as it is."""

    class Named:
        async def is_authorized(self, user: Any, permission: Permission) -> bool:
            return user is ALICE and permission == STATUS_INDEX

    assert await status_code(coordinator=Named()) == 200


async def test_a_constructor_that_fails_denies() -> None:
    """Who cannot be made a coordinator for is denied, and the log hears of it."""

    class Failing(BaseCoordinator):
        def __init__(self, user: Any) -> None:
            raise RuntimeError(user)

        def is_authorized(self, resource: str, action: str, context: object) -> bool:
            del resource, action, context
            return True

    health = InMemoryHealth(
        settings=ENABLED, authenticator=TestAuthenticator(ALICE), coordinator=Failing
    )
    assert (await health.get(STATUS, auth_headers(ALICE))).status_code == 403
    assert ("coordinator", "failing") in [
        (changed.subject, changed.after) for changed in health.journal.changes
    ]


class _NoHook:
    pass


class _WantsMore(BaseCoordinator):
    def __init__(self, user: Any, database: object) -> None:
        super().__init__(user)
        self.database = database


class _ShortHook(BaseCoordinator):
    def is_authorized(self, resource: str, action: str) -> bool:  # type: ignore[override]  # on purpose
        return bool(resource and action)


class _ContextIsOptional(BaseCoordinator):
    def is_authorized(self, resource: str, action: str, context: object = None) -> bool:
        return bool(resource and action and context)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (_NoHook, "_NoHook"),
        (_NoHook(), "_NoHook"),
        (None, "NoneType"),
        (_WantsMore, "_WantsMore"),
        (_ShortHook, "_ShortHook"),
        (BaseCoordinator(ALICE), "BaseCoordinator"),
        (_ContextIsOptional(ALICE), "_ContextIsOptional"),
        (Principal, "Principal"),
    ],
)
def test_what_could_never_decide_is_refused_at_start(given: Any, shown: str) -> None:
    """It is told what was given and what would be taken, before anybody asks."""
    with pytest.raises(ConfigurationError) as refused:
        coordinator_of(given)
    assert str(refused.value).startswith(f"coordinator is {shown}: allowed is a subclass of Base")


@pytest.fixture
def module() -> Iterator[ModuleType]:
    """Put this file's classes where the configuration can name them."""
    made = sys.modules[MODULE] = ModuleType(MODULE)
    yield made
    del sys.modules[MODULE]


async def test_a_subclass_is_configured_by_its_path(module: ModuleType) -> None:
    """``package.module:Class`` names the class, which is made for each user."""
    vars(module)["Mine"] = PermissionCoordinator
    loaded = load_coordinator(f"{MODULE}:Mine", setting="AUTHORIZATION_COORDINATOR_CLASS")
    assert await loaded.is_authorized(admin_user(), STATUS_INDEX) is True
    assert await loaded.is_authorized(ALICE, STATUS_INDEX) is False


@pytest.mark.parametrize("given", [_NoHook, _WantsMore, _ShortHook])
def test_a_class_that_does_not_fit_is_refused_by_its_path(
    module: ModuleType, given: type[object]
) -> None:
    """The line names the setting, the path and both things that would be taken."""
    vars(module)["Mine"] = given
    with pytest.raises(ConfigurationError) as refused:
        load_coordinator(f"{MODULE}:Mine", setting="COORDINATOR", source="the environment")
    told = str(refused.value)
    assert told.startswith(f"COORDINATOR is '{MODULE}:Mine' (from the environment): allowed is a")
    assert "BaseCoordinator" in told
    assert "async def is_authorized(self, user, permission)" in told

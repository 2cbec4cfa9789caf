"""The shipped authenticator and coordinator, and the user's own classes by name."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.adapters.auth import (
    AnonymousAuthenticator,
    PermissionCoordinator,
    load_authenticator,
    load_class,
    load_coordinator,
)
from tasker_health.domain.coordination import coordinator_of
from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.permissions import (
    METRICS_INDEX,
    STATUS_INDEX,
    Credentials,
    Permission,
    Principal,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tasker_health.domain.ports import User

pytestmark = pytest.mark.anyio

SHIPPED = coordinator_of(PermissionCoordinator)

MODULE = "a_module_of_the_users"


@attrs.frozen
class Answering:
    """A user who answers both questions with whatever a test says."""

    tasker_admin: object
    permission: object

    def has_tasker_permission(self, permission: str) -> object:
        """Answer for the status' permission alone."""
        return self.permission if permission == "tasker.health_status:index" else False


async def _later(answer: object) -> object:
    return answer


async def test_the_anonymous_authenticator_recognises_nobody() -> None:
    """Whatever is brought, nobody is known."""
    credentials = Credentials(headers={"authorization": "Bearer x"}, user=Principal(name="a"))
    assert await AnonymousAuthenticator().authenticate(credentials) is None


@pytest.mark.parametrize(
    ("user", "granted"),
    [
        (Principal(name="nobody"), False),
        (Principal(name="other", permissions=frozenset({METRICS_INDEX})), False),
        (Principal(name="permitted", permissions=frozenset({STATUS_INDEX})), True),
        (Principal(name="admin", tasker_admin=True), True),
    ],
)
async def test_admins_and_the_permitted_are_granted(user: User, *, granted: bool) -> None:
    """The guide's example: an admin, or who holds the explicit permission."""
    assert await SHIPPED.is_authorized(user, STATUS_INDEX) is granted


@given(
    answer=st.one_of(
        st.none(),
        st.integers(),
        st.text(),
        st.lists(st.integers()),
        st.just(object()),
        st.just(False),  # noqa: FBT003  one of the answers
    )
)
async def test_nothing_but_true_grants(answer: object) -> None:
    """Whatever a user answers, truthy or not, grants nothing unless it is True itself."""
    assert await SHIPPED.is_authorized(Answering(answer, answer), STATUS_INDEX) is False


async def test_a_user_may_answer_later() -> None:
    """Answers that must be awaited are awaited."""
    for admin, permission in ((True, False), (False, True)):
        user = Answering(_later(admin), _later(permission))
        granted = await SHIPPED.is_authorized(user, STATUS_INDEX)
        assert granted is True
        if admin:
            await user.permission  # type: ignore[misc]  # it is a coroutine that nobody needed


async def test_who_cannot_be_asked_has_no_permission() -> None:
    """A user without has_tasker_permission is denied, an admin too (guide)."""

    @attrs.frozen
    class Stranger:
        tasker_admin: bool = True

    user: User = Stranger()  # type: ignore[assignment]  # on purpose
    assert await SHIPPED.is_authorized(user, STATUS_INDEX) is False


async def test_the_permission_is_asked_for_by_its_name() -> None:
    """The user is asked for the very pair that the endpoint needs."""
    user = Answering(tasker_admin=False, permission=True)
    assert await SHIPPED.is_authorized(user, METRICS_INDEX) is False


@pytest.fixture
def module() -> Iterator[Callable[[str], None]]:
    """Make a module of the user's own, from its text."""

    def make(text: str) -> None:
        made = ModuleType(MODULE)
        exec(text, made.__dict__)  # noqa: S102  the text is the test's own
        sys.modules[MODULE] = made

    yield make
    sys.modules.pop(MODULE, None)


async def test_a_class_of_the_users_is_loaded(module: Callable[[str], None]) -> None:
    """A class that fits its port is made and asked."""
    module("""
class Mine:
    async def authenticate(self, credentials):
        return credentials.user
    async def is_authorized(self, user, permission):
        return user == "me"
""")
    authenticator = load_authenticator(f"{MODULE}:Mine", setting="AUTHENTICATOR_CLASS")
    assert await authenticator.authenticate(Credentials(user="me")) == "me"  # type: ignore[comparison-overlap]
    coordinator = load_coordinator(f"{MODULE}:Mine", setting="AUTHORIZATION_COORDINATOR_CLASS")
    me: User = "me"  # type: ignore[assignment]  # the test's coordinator knows texts
    assert await coordinator.is_authorized(me, Permission("tasker.task", "index")) is True


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("", ": allowed is 'package.module:Class'"),
        ("Class", ": allowed is 'package.module:Class'"),
        ("os.path", ": allowed is 'package.module:Class'"),
        ("os:", ": allowed is 'package.module:Class'"),
        (":Class", ": allowed is 'package.module:Class'"),
        ("..os:Class", ": allowed is 'package.module:Class'"),
        ("os:path.join", ": allowed is 'package.module:Class'"),
        ("os:system", "system is no class"),
        ("os:Sistem", "os has no Sistem"),
        (
            "there_is.none_such:Class",
            "that can be imported (ModuleNotFoundError: No module named 'there_is')",
        ),
    ],
)
def test_what_names_no_class_is_refused(path: str, told: str) -> None:
    """The error names the setting, what was given, where, and what is wrong with it."""
    with pytest.raises(ConfigurationError) as caught:
        load_class(path, setting="AUTHENTICATOR_CLASS", source="the environment")
    line = str(caught.value)
    assert line.startswith(f"AUTHENTICATOR_CLASS is {path!r} (from the environment): allowed is '")
    assert line.endswith(told)


@pytest.mark.parametrize(
    "text",
    [
        "class Mine: pass",
        "class Mine:\n    def authenticate(self, credentials): return None",
        "class Mine:\n    async def authenticate(self): return None",
        "class Mine:\n    async def authenticate(self, a, b): return None",
        "class Mine:\n    authenticate = True",
    ],
)
def test_a_class_that_does_not_fit_the_port_is_refused(
    module: Callable[[str], None], text: str
) -> None:
    """A missing, synchronous or differently shaped method is an error at start."""
    module(text)
    with pytest.raises(ConfigurationError, match=r"async def authenticate\(self, credentials\)"):
        load_authenticator(f"{MODULE}:Mine", setting="AUTHENTICATOR_CLASS")


def test_a_class_that_cannot_be_made_is_refused(module: Callable[[str], None]) -> None:
    """A constructor that asks for more than nothing, or fails, is an error at start."""
    module("class Mine:\n    def __init__(self, user): pass")
    with pytest.raises(ConfigurationError, match=r"without arguments \(TypeError\)$"):
        load_coordinator(f"{MODULE}:Mine", setting="AUTHORIZATION_COORDINATOR_CLASS")


def test_a_module_that_fails_is_refused_without_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that raises on import is named; what it raised may hold a secret."""
    (tmp_path / "fails_on_import.py").write_text("raise RuntimeError('canary-s3cret')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        load_class("fails_on_import:Mine", setting="AUTHENTICATOR_CLASS")
    assert "RuntimeError" in str(caught.value)
    assert "canary" not in str(caught.value)

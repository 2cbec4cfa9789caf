"""Permissions: exact text, known pairs, and who holds them."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.domain.errors import PermissionFormatError, UnknownPermissionError
from tasker_health.domain.permissions import (
    METRICS_INDEX,
    REGISTRY,
    STATUS_INDEX,
    Credentials,
    Permission,
    Principal,
)

words = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
permissions = st.builds(Permission, st.lists(words, min_size=1, max_size=3).map(".".join), words)


@given(permissions)
def test_printing_and_parsing_are_inverse(permission: Permission) -> None:
    """What a permission prints is what it is parsed from."""
    assert Permission.parse(str(permission)) == permission


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "tasker.task",
        "tasker.task:",
        ":index",
        "tasker.task:index:more",
        "Tasker.task:index",
        "tasker.task:Index",
        "tasker..task:index",
        ".task:index",
        "tasker.task:*",
        "tasker.*:index",
        " tasker.task:index",
        "tasker.task:index\n",
        "tasker.täsk:index",
        "tasker.task\uff1aindex",
        "1task:index",
    ],
)
def test_other_forms_are_refused_by_name(text: str) -> None:
    """A text that is not exactly resource:action is an error that shows it."""
    with pytest.raises(PermissionFormatError) as refused:
        Permission.parse(text)
    assert repr(text) in str(refused.value)
    assert "resource:action" in str(refused.value)


@pytest.mark.parametrize(("resource", "action"), [("Tasker", "index"), ("a:b", "c"), ("a", "")])
def test_a_permission_cannot_be_built_in_another_form(resource: str, action: str) -> None:
    """The invariant holds for the constructor as it does for parsing."""
    with pytest.raises(PermissionFormatError):
        Permission(resource, action)


def test_the_guides_permission_is_the_one_asked_for() -> None:
    """The status asks for tasker.health_status:index, the metrics for their own."""
    assert str(STATUS_INDEX) == "tasker.health_status:index"
    assert str(METRICS_INDEX) == "tasker.metrics:index"


def test_the_registry_holds_taskers_resources() -> None:
    """Each of Tasker's resources has its actions, and no other."""
    crud = {"index", "show", "create", "update", "destroy"}
    assert {resource: set(actions) for resource, actions in REGISTRY.items()} == {
        "tasker.task": crud | {"retry", "cancel"},
        "tasker.workflow_step": crud | {"retry", "cancel"},
        "tasker.health_status": {"index"},
        "tasker.handler": crud,
        "tasker.metrics": {"index"},
        "tasker.analytics": {"index"},
    }


def test_every_registered_pair_is_known() -> None:
    """A pair of the registry can be asked for."""
    for resource, actions in REGISTRY.items():
        for action in actions:
            assert str(Permission.known(f"{resource}:{action}")) == f"{resource}:{action}"


@pytest.mark.parametrize("text", ["tasker.health_status:destroy", "tasker.nothing:index"])
def test_an_unknown_pair_is_an_error_not_a_denial(text: str) -> None:
    """Asking for what Tasker does not have is a mistake of the caller, told by name."""
    with pytest.raises(UnknownPermissionError, match=text):
        Permission.known(text)


@given(st.frozensets(permissions, max_size=5), permissions)
def test_a_principal_holds_exactly_what_it_was_given(
    held: frozenset[Permission], asked: Permission
) -> None:
    """Holding is membership: no prefix, no wildcard, no folding."""
    principal = Principal(name="alice", permissions=held)
    assert principal.has_tasker_permission(str(asked)) is (asked in held)


def test_an_admin_is_not_a_permission() -> None:
    """The admin flag stands beside the permissions and does not invent any."""
    admin = Principal(name="root", tasker_admin=True)
    assert admin.tasker_admin is True
    assert admin.has_tasker_permission("tasker.task:index") is False


def test_credentials_do_not_print() -> None:
    """What a caller shows to be recognised by never stands in a repr."""
    shown = Credentials(headers={"authorization": "Bearer canary-secret"}, user="canary-user")
    assert "canary" not in repr(shown)


def test_credentials_cannot_be_changed_by_who_reads_them() -> None:
    """The headers are read-only and apart from the mapping they were made of."""
    source = {"cookie": "a"}
    credentials = Credentials(headers=source)
    source["cookie"] = "c"
    assert credentials.headers == {"cookie": "a"}
    with pytest.raises(TypeError):
        credentials.headers["cookie"] = "b"  # type: ignore[index]  # the point of the test


def test_permission_errors_survive_pickling() -> None:
    """An error crosses a process boundary with its message."""
    for error in (PermissionFormatError("x"), UnknownPermissionError("a:b")):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301  our own bytes


@pytest.mark.parametrize("asked", ["TASKER.HEALTH_STATUS:INDEX", "tasker.health_status:Index"])
def test_another_case_is_another_permission(asked: str) -> None:
    """Who holds a permission does not hold it in other letters."""
    holder = Principal(name="x", permissions=frozenset({STATUS_INDEX}))
    assert holder.has_tasker_permission(str(STATUS_INDEX)) is True
    assert holder.has_tasker_permission(asked) is False


def test_permissions_are_sorted_as_they_are_written() -> None:
    """Lists of them are told in one order."""
    shown = ["tasker.task:cancel", "tasker.task:show", "tasker.workflow_step:index"]
    held = {Permission.parse(text) for text in shown}
    assert [str(permission) for permission in sorted(held)] == shown

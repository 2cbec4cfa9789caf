"""Who may: the guide's two switches, and everything that can go wrong with who decides."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tasker_health.domain.access import Access, _described
from tasker_health.domain.errors import (
    AccessError,
    AccessUnavailableError,
    ForbiddenError,
    InvalidCredentialsError,
    UnauthenticatedError,
)
from tasker_health.domain.permissions import ANONYMOUS, STATUS_INDEX, Credentials, Principal
from tasker_health.domain.reasons import Reason
from tasker_health.domain.settings import AuthSettings, HealthSettings, Settings
from tasker_health.testing.doubles import RecordingJournal

pytestmark = pytest.mark.anyio

KNOWN = Principal(name="known")
PERMITTED = Principal(name="permitted", permissions=frozenset({STATUS_INDEX}))
ADMIN = Principal(name="admin", tasker_admin=True)
BAD = InvalidCredentialsError()
GRANTED = None


class Door:
    """An authenticator and a coordinator that do as they are told, behind one access rule."""

    def __init__(self, *, required: bool, enabled: bool) -> None:
        self.who: object = None
        self.may: object = None
        self.looked = 0
        self.journal = RecordingJournal()
        self.access = Access(
            self,
            self,
            journal=self.journal,
            settings=Settings(
                health=HealthSettings(status_requires_authentication=required),
                auth=AuthSettings(authorization_enabled=enabled, access_timeout_seconds=0.02),
            ),
        )

    async def authenticate(self, _: Credentials) -> Any:
        """Recognise whom the test says."""
        self.looked += 1
        return await self._do(self.who)

    async def is_authorized(self, user: Any, permission: Any) -> Any:
        """Answer what the test says; by default as the guide's coordinator does."""
        if self.may is None:
            return user.tasker_admin or user.has_tasker_permission(str(permission))
        return await self._do(self.may)

    @staticmethod
    async def _do(told: object) -> object:
        if isinstance(told, BaseException):
            raise told
        if told == "hang":
            await asyncio.Event().wait()
        return told

    async def outcome(self) -> type[AccessError] | None:
        """Try to pass; give the error's type, or None when granted."""
        try:
            await self.access.require(STATUS_INDEX, ANONYMOUS)
        except AccessError as error:
            return type(error)
        return None


@pytest.mark.parametrize(
    ("required", "enabled", "who", "outcome"),
    [
        (False, False, None, GRANTED),
        (False, False, KNOWN, GRANTED),
        (False, False, PERMITTED, GRANTED),
        (False, False, ADMIN, GRANTED),
        (False, False, BAD, GRANTED),
        (True, False, None, UnauthenticatedError),
        (True, False, KNOWN, GRANTED),
        (True, False, PERMITTED, GRANTED),
        (True, False, ADMIN, GRANTED),
        (True, False, BAD, InvalidCredentialsError),
        (False, True, None, ForbiddenError),
        (False, True, KNOWN, ForbiddenError),
        (False, True, PERMITTED, GRANTED),
        (False, True, ADMIN, GRANTED),
        (False, True, BAD, InvalidCredentialsError),
        (True, True, None, UnauthenticatedError),
        (True, True, KNOWN, ForbiddenError),
        (True, True, PERMITTED, GRANTED),
        (True, True, ADMIN, GRANTED),
        (True, True, BAD, InvalidCredentialsError),
    ],
)
async def test_the_table(
    required: bool, enabled: bool, who: object, outcome: type[AccessError] | None
) -> None:
    """Every combination of the two switches and the five kinds of caller."""
    door = Door(required=required, enabled=enabled)
    door.who = who
    assert await door.outcome() is outcome


async def test_an_open_door_looks_at_nobody() -> None:
    """With both switches off no credential is read, so none can be wrong."""
    door = Door(required=False, enabled=False)
    door.who = RuntimeError("never asked")
    assert door.access.open
    assert await door.outcome() is GRANTED
    assert door.looked == 0


@pytest.mark.parametrize("switches", [(True, False), (False, True), (True, True)])
async def test_a_closed_door_is_not_open(switches: tuple[bool, bool]) -> None:
    """Either switch closes it."""
    assert not Door(required=switches[0], enabled=switches[1]).access.open


@pytest.mark.parametrize("broken", ["hang", RuntimeError("x"), TimeoutError(), OSError()])
@pytest.mark.parametrize("switches", [(True, False), (False, True), (True, True)])
async def test_an_authenticator_that_breaks_or_hangs_lets_nobody_in(
    broken: object, switches: tuple[bool, bool]
) -> None:
    """Nobody can tell who is asking, and that is not the caller's fault."""
    door = Door(required=switches[0], enabled=switches[1])
    door.who, door.may = broken, True
    assert await door.outcome() is AccessUnavailableError


@pytest.mark.parametrize(
    "answer",
    [
        False,
        0,
        1,
        "yes",
        "True",
        [True],
        (True,),
        object(),
        1.0,
        PERMITTED,
        "hang",
        RuntimeError("x"),
        TimeoutError(),
        ForbiddenError(),
    ],
)
async def test_only_true_grants(answer: object) -> None:
    """A truthy answer, an exception or silence denies."""
    door = Door(required=True, enabled=True)
    door.who, door.may = ADMIN, answer
    assert await door.outcome() is ForbiddenError


async def test_an_authenticator_that_was_cancelled_is_not_a_denial() -> None:
    """The caller's own cancellation passes through and nothing is decided."""
    door = Door(required=True, enabled=False)
    door.who = "hang"
    caller = asyncio.create_task(door.access.require(STATUS_INDEX, ANONYMOUS))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_who_passes_is_told() -> None:
    """The one who was recognised comes back; behind an open door nobody is."""
    door = Door(required=True, enabled=False)
    door.who = KNOWN
    assert await door.access.require(STATUS_INDEX, ANONYMOUS) is KNOWN
    open_door = Door(required=False, enabled=False)
    assert await open_door.access.require(STATUS_INDEX, ANONYMOUS) is None


async def test_breaking_and_mending_are_noted_once() -> None:
    """The log has a line when who decides breaks, and one when it works again."""
    door = Door(required=True, enabled=True)
    for who, may in [
        (ADMIN, True),
        (RuntimeError("auth down"), True),
        (RuntimeError("auth down"), True),
        (ADMIN, "hang"),
        (ADMIN, "hang"),
        (ADMIN, True),
        (BAD, True),
    ]:
        door.who, door.may = who, may
        await door.outcome()
    told = [(c.subject, c.before, c.after, c.reason) for c in door.journal.changes]
    assert told == [
        ("authenticator", "working", "failing", Reason.FAILED),
        ("authenticator", "failing", "working", None),
        ("coordinator", "working", "failing", Reason.TIMEOUT),
        ("coordinator", "failing", "working", None),
    ]
    assert [bool(c.detail) for c in door.journal.changes] == [True, False, True, False]
    detail = door.journal.changes[0].detail
    assert detail.startswith("RuntimeError in Door._do, line ")
    assert "auth down" not in detail
    assert "auth down" not in repr(door.journal.changes[0])


async def test_bad_credentials_show_that_the_authenticator_works() -> None:
    """An authenticator that can tell bad credentials is not failing any more."""
    door = Door(required=True, enabled=False)
    door.who = RuntimeError("down")
    await door.outcome()
    door.who = BAD
    assert await door.outcome() is InvalidCredentialsError
    assert [c.after for c in door.journal.changes] == ["failing", "working"]


@pytest.mark.parametrize("told", [False, True, "", {}, 0])
async def test_what_is_no_user_is_nobody_known(told: object) -> None:
    """An authenticator that answers False or an empty text broke; it let nobody in."""
    door = Door(required=True, enabled=False)
    door.who = told
    assert await door.outcome() is AccessUnavailableError
    assert "TypeError" in door.journal.changes[0].detail


async def test_the_log_gets_our_own_words_and_no_others() -> None:
    """Our error says what is wrong; a vendor's text may be the token, so only its kind is told."""
    door = Door(required=True, enabled=False)
    door.who = AccessUnavailableError("tokens.toml: no such file")
    await door.outcome()
    assert door.journal.changes[-1].detail == "tokens.toml: no such file"
    other = Door(required=True, enabled=False)
    other.who = RuntimeError("Bearer canary")
    await other.outcome()
    assert "canary" not in other.journal.changes[-1].detail
    assert other.journal.changes[-1].detail.startswith("RuntimeError in ")


def test_an_authenticator_may_tell_what_it_understands() -> None:
    """Its challenges are offered; what could not be sent as a header is passed over."""
    door = Door(required=True, enabled=False)
    assert door.access.challenges == ('Bearer realm="tasker"',)
    for told, offered in [
        (("Basic", "Negotiate"), ("Basic", "Negotiate")),
        (("Basic", "", "Two\nlines", "Zoë", 7), ("Basic",)),
        (("Two\nlines",), ('Bearer realm="tasker"',)),
        (["Basic"], ('Bearer realm="tasker"',)),
        ("Basic", ('Bearer realm="tasker"',)),
    ]:
        vars(door)["challenges"] = told
        assert door.access.challenges == offered


def test_an_authenticator_may_tell_what_is_wrong_with_it() -> None:
    """A reason of the closed set is passed on; anything else might be a vendor's words."""
    door = Door(required=True, enabled=False)
    assert door.access.problem is None
    for told, passed_on in [(Reason.UNREADABLE, Reason.UNREADABLE), ("it broke", None)]:
        vars(door)["problem"] = told
        assert door.access.problem is passed_on


def test_an_error_that_was_never_raised_has_a_name_alone() -> None:
    """Where an error comes with no traceback, nothing but its kind is told."""
    assert _described(ValueError("canary")) == "ValueError"

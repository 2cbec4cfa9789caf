"""API tokens: who is recognised, who is not, and what a file that changes does to it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from tasker_health.adapters.auth.token_file import TokenFile, TokenRecord
from tasker_health.adapters.auth.tokens import TokenAuthenticator, digest, new_token, open_tokens
from tasker_health.domain.errors import (
    AccessUnavailableError,
    ConfigurationError,
    InvalidCredentialsError,
)
from tasker_health.domain.permissions import ANONYMOUS, STATUS_INDEX, Credentials
from tasker_health.domain.reasons import Reason
from tasker_health.domain.settings import AuthSettings, HealthSettings, Settings
from tasker_health.entrypoints.http import HealthEndpoints
from tasker_health.entrypoints.messages import Request
from tasker_health.testing.contracts import RecognisingAuthenticatorContract
from tasker_health.testing.doubles import ManualClock
from tasker_health.testing.services import InMemoryHealth

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasker_health.domain.ports import Authenticator

pytestmark = pytest.mark.anyio

SETTING: Final = "TASKER_HEALTH_TOKENS_FILE"


def bearer(token: str) -> Credentials:
    """Bring a token as a program does."""
    return Credentials(headers={"authorization": f"Bearer {token}"})


def basic(token: str, user: str = "anybody") -> Credentials:
    """Bring a token as a browser does."""
    pair = base64.b64encode(f"{user}:{token}".encode()).decode()
    return Credentials(headers={"authorization": f"Basic {pair}"})


class Desk:
    """A token file, who reads it, and the time that passes there."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self.clock: Final = ManualClock()
        self.file: Final = TokenFile(str(path), setting=SETTING)
        self.token: Final = self.give("alice", permissions=frozenset({STATUS_INDEX}))
        self.authenticator: Final = open_tokens(str(path), self.clock, setting=SETTING)

    def give(self, name: str, **other: Any) -> str:
        """Make a token and put it into the file."""
        token = new_token()
        made = TokenRecord(name=name, sha256=digest(token), created=self.clock.now())
        self.file.add(attrs.evolve(made, **other))
        return token

    async def name(self, credentials: Credentials) -> str | None:
        """Tell who is recognised."""
        user = await self.authenticator.authenticate(credentials)
        return user.name if user else None


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Give a file with one token, alice's."""
    return Desk(tmp_path / "tokens.toml")


class TestTheContract(RecognisingAuthenticatorContract):
    """API tokens, certified."""

    @pytest.fixture
    def authenticator(self, desk: Desk) -> Authenticator:
        """Give the authenticator over the file."""
        return desk.authenticator

    @pytest.fixture(params=[bearer, basic])
    def good_credentials(self, desk: Desk, request: pytest.FixtureRequest) -> Credentials:
        """Give alice's token, either way."""
        bring: Callable[[str], Credentials] = request.param
        return bring(desk.token)

    @pytest.fixture(params=[bearer, basic])
    def bad_credentials(self, request: pytest.FixtureRequest) -> Credentials:
        """Give a token that nobody has, either way."""
        bring: Callable[[str], Credentials] = request.param
        return bring(new_token())


async def test_a_token_is_who_its_entry_says(desk: Desk) -> None:
    """Name, permissions and admin are the entry's own."""
    user = await desk.authenticator.authenticate(bearer(desk.token))
    assert user is not None
    assert (user.name, user.permissions, user.tasker_admin) == (
        "alice",
        frozenset({STATUS_INDEX}),
        False,
    )
    root = desk.give("root", admin=True)
    desk.clock.advance(1)
    user = await desk.authenticator.authenticate(basic(root, user=""))
    assert user is not None
    assert (user.name, user.permissions, user.tasker_admin) == ("root", frozenset(), True)


async def test_every_entry_of_many_is_found(desk: Desk) -> None:
    """Wherever an entry stands, its token is its own and nobody else's."""
    given = {desk.give(f"user-{number}"): f"user-{number}" for number in range(20)}
    desk.clock.advance(1)
    for token, name in given.items():
        assert await desk.name(bearer(token)) == name


def near(token: str) -> list[str]:
    """Give tokens that are almost this one."""
    swapped = token[:-1] + ("A" if token[-1] != "A" else "B")
    return [
        swapped,
        token[:-1],
        token + "A",
        token.swapcase(),
        token.removeprefix("tht_"),
        "tht_",
        digest(token).hex(),
        hashlib.sha256(digest(token)).hexdigest(),
    ]


async def test_nothing_but_the_token_itself_will_do(desk: Desk) -> None:
    """Not what is almost it, and not what the file keeps of it."""
    for other in near(desk.token):
        for bring in (bearer, basic):
            with pytest.raises(InvalidCredentialsError):
                await desk.name(bring(other))
    assert desk.token not in desk.path.read_text()


@pytest.mark.parametrize("header", ["", "Bearer", "Digest x", "Basic x", "Bearer a, Bearer b"])
async def test_what_has_no_form_is_bad_and_not_absent(desk: Desk, header: str) -> None:
    """A header that nobody understands is never taken for no header."""
    with pytest.raises(InvalidCredentialsError):
        await desk.name(Credentials(headers={"authorization": header}))


async def test_a_token_ends_when_its_entry_says(desk: Desk) -> None:
    """It is good until its moment, and then like one that nobody has."""
    token = desk.give("brief", expires=desk.clock.now() + timedelta(hours=1))
    desk.clock.advance(3599)
    assert await desk.name(bearer(token)) == "brief"
    desk.clock.advance(1)
    with pytest.raises(InvalidCredentialsError):
        await desk.name(bearer(token))


async def test_unknown_wrong_expired_and_right_take_the_same_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is compared with every entry, in constant time, and the refused look alike."""
    expired = desk.give("old", expires=desk.clock.now())
    last = desk.give("last")
    desk.clock.advance(1)
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    told = set()
    for token in (desk.token, last, expired, near(desk.token)[0], new_token()):
        compared.clear()
        try:
            assert await desk.name(bearer(token)) in {"alice", "last"}
        except InvalidCredentialsError as error:
            told.add((type(error), error.args, repr(error.__cause__)))
        assert compared == [(digest(t), digest(token)) for t in (desk.token, expired, last)]
    assert told == {(InvalidCredentialsError, (), "None")}


async def test_a_new_token_is_good_within_a_second(desk: Desk) -> None:
    """The file is looked at again a second later, not before."""
    assert await desk.name(bearer(desk.token)) == "alice"
    token = desk.give("bob")
    desk.clock.advance(0.9)
    with pytest.raises(InvalidCredentialsError):
        await desk.name(bearer(token))
    desk.clock.advance(0.1)
    assert await desk.name(bearer(token)) == "bob"


async def test_a_removed_token_is_bad_within_a_second(desk: Desk) -> None:
    """However long nobody asked, the first who does gets what the file says now."""
    desk.file.remove("alice")
    desk.clock.advance(1)
    with pytest.raises(InvalidCredentialsError):
        await desk.name(bearer(desk.token))


async def test_an_edit_in_place_is_noticed(desk: Desk) -> None:
    """A file of the same size and age that is another file is read anew."""
    old = desk.path.stat()
    text = desk.path.read_text().replace("admin = false", "admin = true ")
    replacement = desk.path.with_suffix(".new")
    replacement.write_text(text)
    os.utime(replacement, ns=(old.st_atime_ns, old.st_mtime_ns))
    replacement.replace(desk.path)
    desk.clock.advance(1)
    user = await desk.authenticator.authenticate(bearer(desk.token))
    assert user is not None
    assert user.tasker_admin is True


@pytest.mark.parametrize("harm", ["gone", "malformed", "a folder", "not text"])
async def test_a_file_that_is_not_good_any_more_recognises_nobody(desk: Desk, harm: str) -> None:
    """While it lasts every token is a failure, not a refusal, and it heals by itself."""
    text = desk.path.read_bytes()
    desk.path.unlink()
    if harm == "a folder":
        desk.path.mkdir()
    elif harm != "gone":
        desk.path.write_bytes(b"[canary" if harm == "malformed" else b"\xff")
    desk.clock.advance(1)
    for token in (desk.token, new_token()):
        with pytest.raises(AccessUnavailableError) as caught:
            await desk.name(bearer(token))
        assert token not in repr(caught.value)
        assert str(desk.path) in str(caught.value)
        assert "canary" not in str(caught.value)
    assert await desk.name(ANONYMOUS) is None
    assert desk.authenticator.problem is Reason.UNREADABLE

    if harm == "a folder":
        desk.path.rmdir()
    desk.path.write_bytes(text)
    desk.clock.advance(1)
    assert await desk.name(bearer(desk.token)) == "alice"
    assert desk.authenticator.problem is None


@pytest.mark.parametrize("text", [None, "[alice]", "alice = 1"])
def test_a_file_that_is_not_good_is_refused_at_the_start(tmp_path: Path, text: str | None) -> None:
    """The error names the setting and the file, and the entry where there is one."""
    path = tmp_path / "tokens.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        open_tokens(str(path), ManualClock(), setting=SETTING, source="the environment")
    line = str(caught.value)
    assert line.startswith(f"{SETTING} is {str(path)!r} (from the environment): allowed is a file")
    assert ("alice" if text else "No such file or directory") in line


@pytest.mark.parametrize(
    ("header", "ours"),
    [
        ("Bearer tht_x", True),
        ("Bearer tht", False),
        ("Bearer a.b.c", False),
        ("Basic YTpi", True),
        (None, False),
    ],
)
def test_its_own_kind_of_credentials(desk: Desk, header: str | None, ours: bool) -> None:
    """A token by its first letters, and any password; good or not."""
    headers = {"authorization": header} if header is not None else {}
    assert desk.authenticator.recognises(Credentials(headers=headers)) is ours


def test_tokens_are_random_and_never_shown(desk: Desk) -> None:
    """Each is its prefix and 256 bits, and no value of ours prints one."""
    some = {new_token() for _ in range(100)}
    assert len(some) == 100
    assert all(token.startswith("tht_") and len(token) == 4 + 43 for token in some)
    desk.authenticator.load()
    shown = repr(desk.authenticator._file.load()) + repr(vars(desk.authenticator))
    assert "alice" in shown
    for secret in (desk.token, digest(desk.token).hex(), repr(digest(desk.token))):
        assert secret not in shown


PROTECTED: Final = Settings(
    health=HealthSettings(status_requires_authentication=True, readiness_retry_seconds=0),
    auth=AuthSettings(authorization_enabled=True),
)


async def ask(health: InMemoryHealth, endpoint: str, **headers: str) -> tuple[int, list[bytes]]:
    """Ask an endpoint; give the code and what a 401 offers."""
    path = f"/tasker/health/{endpoint}"
    response = await HealthEndpoints(health.service).answer(Request("GET", path, headers=headers))
    return response.status, [v for name, v in response.headers if name == b"www-authenticate"]


async def test_a_401_offers_what_tokens_may_be_brought_by(desk: Desk) -> None:
    """Bearer and Basic, each in a header of its own; only Bearer says what was wrong."""
    health = InMemoryHealth(settings=PROTECTED, authenticator=desk.authenticator)
    offers = [b'Bearer realm="tasker"', b'Basic realm="tasker", charset="UTF-8"']
    assert await ask(health, "status") == (401, offers)
    bad = bearer(new_token()).headers
    offers[0] += b', error="invalid_token"'
    assert await ask(health, "status", **bad) == (401, offers)
    assert await ask(health, "status", **bearer(desk.token).headers) == (200, [])
    assert await ask(health, "status", **basic(desk.token).headers) == (200, [])


async def test_readiness_tells_that_the_file_is_gone(desk: Desk) -> None:
    """Though nobody brings a token, it is noticed, told by its reason, and heals."""
    health = InMemoryHealth(settings=PROTECTED, authenticator=desk.authenticator)

    async def reason_is(reason: Reason | None) -> None:
        async with asyncio.timeout(5):
            while True:
                health.clock.advance(1)
                desk.clock.advance(1)
                report = await health.service.ready()
                told = {check.name: check.reason for check in report.checks}
                if told["configuration"] is reason and report.ready is (reason is None):
                    assert told["database"] is None
                    return

    await reason_is(None)
    text = desk.path.read_bytes()
    desk.path.unlink()
    await reason_is(Reason.UNREADABLE)
    desk.path.write_bytes(text)
    await reason_is(None)


class Odd:
    """An authenticator with odd attributes."""

    def __init__(self, challenges: object, problem: object) -> None:
        self.challenges = challenges
        self.problem = problem

    async def authenticate(self, credentials: Credentials) -> None:
        """Recognise nobody."""


@pytest.mark.parametrize(
    ("challenges", "told"),
    [
        (('Custom realm="x"',), ('Custom realm="x"',)),
        (('Custom realm="x"', "Other\r\nX-Evil: 1"), ('Custom realm="x"',)),
        (("Bearer\n",), ('Bearer realm="tasker"',)),
        (("B\u00e9arer",), ('Bearer realm="tasker"',)),
        ((" ", ""), ('Bearer realm="tasker"',)),
        ((1,), ('Bearer realm="tasker"',)),
        ((), ('Bearer realm="tasker"',)),
        ("Bearer", ('Bearer realm="tasker"',)),
        (None, ('Bearer realm="tasker"',)),
    ],
)
async def test_only_what_can_be_a_header_is_offered(challenges: object, told: object) -> None:
    """What an authenticator of the user's offers cannot break the answer."""
    health = InMemoryHealth(settings=PROTECTED, authenticator=Odd(challenges, None))
    assert health.service.challenges == told


@pytest.mark.parametrize("problem", [None, "unreadable", True, 1])
async def test_only_a_reason_is_a_problem(problem: object) -> None:
    """An attribute of that name that means something else is no problem of ours."""
    health = InMemoryHealth(settings=PROTECTED, authenticator=Odd((), problem))
    assert (await health.service.ready()).ready is True


async def test_the_reason_of_a_problem_is_told() -> None:
    """Whatever reason an authenticator gives is that of the configuration check."""
    health = InMemoryHealth(settings=PROTECTED, authenticator=Odd((), Reason.FAILED))
    report = await health.service.ready()
    assert [c.reason for c in report.checks if c.name == "configuration"] == [Reason.FAILED]


def test_an_authenticator_is_made_without_reading() -> None:
    """Only loading reads, so that whoever embeds it says when."""
    authenticator = TokenAuthenticator("/none/such", ManualClock())
    with pytest.raises(FileNotFoundError):
        authenticator.load()

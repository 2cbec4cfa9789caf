"""Several authenticators as one: who decides, and that nobody else does."""

from __future__ import annotations

import base64
from typing import Final

import attrs
import pytest

from tasker_health.adapters.auth.chain import ChainedAuthenticator
from tasker_health.adapters.auth.schemes import presented
from tasker_health.domain.errors import AccessUnavailableError, InvalidCredentialsError
from tasker_health.domain.permissions import ANONYMOUS, Credentials, Principal
from tasker_health.domain.reasons import Reason
from tasker_health.testing.contracts import RecognisingAuthenticatorContract

pytestmark = pytest.mark.anyio

BEARER: Final = "Bearer realm"
BASIC: Final = "Basic realm"


@attrs.define
class Door:
    """An authenticator for secrets that begin with its letter, and good if they end so."""

    letter: str
    challenges: tuple[str, ...] = (BEARER,)
    problem: Reason | None = None
    lenient: bool = False
    asked: int = 0

    def recognises(self, credentials: Credentials) -> bool:
        """Go by the first letter."""
        brought = presented(credentials)
        return brought is not None and brought.secret.reveal().startswith(self.letter)

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Go by the last letter."""
        self.asked += 1
        brought = presented(credentials)
        if self.problem:
            raise AccessUnavailableError
        if brought is None:
            return None
        if not self.lenient and not brought.secret.reveal().endswith(self.letter):
            raise InvalidCredentialsError
        return Principal(name=self.letter)


def authorization(value: str) -> Credentials:
    """Bring a header."""
    return Credentials(headers={"authorization": value})


class TestContract(RecognisingAuthenticatorContract):
    """A chain keeps the promises of the port."""

    @pytest.fixture
    def authenticator(self) -> ChainedAuthenticator:
        """Chain two."""
        return ChainedAuthenticator(Door("a"), Door("b"))

    @pytest.fixture
    def good_credentials(self) -> Credentials:
        """Bring what the second knows."""
        return authorization("Bearer b.b")

    @pytest.fixture
    def bad_credentials(self) -> Credentials:
        """Bring what the first refuses."""
        return authorization("Bearer a.b")


@pytest.mark.parametrize("letter", ["a", "b"])
async def test_the_kind_decides(letter: str) -> None:
    """Credentials go to the link whose kind they are, and no other is asked."""
    links = {name: Door(name) for name in "ab"}
    user = await ChainedAuthenticator(*links.values()).authenticate(
        authorization(f"Bearer {letter}-{letter}")
    )
    assert user == Principal(name=letter)
    assert {name: link.asked for name, link in links.items()} == {"a": 0, "b": 0} | {letter: 1}


async def test_what_one_refused_is_refused() -> None:
    """What its own link refuses is not offered to a later one that would take it."""
    chain = ChainedAuthenticator(Door("a"), Door("a", lenient=True))
    with pytest.raises(InvalidCredentialsError):
        await chain.authenticate(authorization("Bearer a.b"))


async def test_a_link_that_cannot_tell_does_not_pass_on() -> None:
    """When the right link cannot tell, nobody else does in its place."""
    chain = ChainedAuthenticator(Door("a", problem=Reason.UNREADABLE), Door("a"))
    with pytest.raises(AccessUnavailableError):
        await chain.authenticate(authorization("Bearer a-a"))


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer c", "Digest a-a", "Bearer a-a, Bearer a-a", "a-a"]
)
async def test_nobodys_kind_is_refused(value: str) -> None:
    """An ``Authorization`` that is no link's kind is refused: it is not taken for none."""
    links = Door("a"), Door("b")
    with pytest.raises(InvalidCredentialsError):
        await ChainedAuthenticator(*links).authenticate(authorization(value))
    assert [link.asked for link in links] == [0, 0]


async def test_only_no_header_is_anonymous() -> None:
    """Without an ``Authorization`` header nobody is asked, whatever else was sent."""
    links = Door("a"), Door("b")
    chain = ChainedAuthenticator(*links)
    assert await chain.authenticate(ANONYMOUS) is None
    assert await chain.authenticate(Credentials(headers={"cookie": "a-a"}, user="a")) is None
    assert [link.asked for link in links] == [0, 0]


async def test_basic_goes_by_its_password() -> None:
    """Basic is a kind like any other."""
    basic = base64.b64encode(b"me:b-b").decode()
    user = await ChainedAuthenticator(Door("a"), Door("b")).authenticate(
        authorization(f"Basic {basic}")
    )
    assert user == Principal(name="b")


def test_challenges_are_merged() -> None:
    """A 401 offers what every link understands, in their order and each once."""
    chain = ChainedAuthenticator(Door("a", challenges=(BEARER, BASIC)), Door("b"))
    assert chain.challenges == (BEARER, BASIC)
    chain = ChainedAuthenticator(Door("a"), Door("b", challenges=(BEARER, BASIC)))
    assert chain.challenges == (BEARER, BASIC)


def test_the_problem_of_any_link_is_the_chains() -> None:
    """The chain is well exactly when every link is."""
    well, ill = Door("a"), Door("b", problem=Reason.UNREADABLE)
    assert ChainedAuthenticator(well, Door("c")).problem is None
    assert ChainedAuthenticator(well, ill).problem is Reason.UNREADABLE
    assert ChainedAuthenticator(ill, well).problem is Reason.UNREADABLE

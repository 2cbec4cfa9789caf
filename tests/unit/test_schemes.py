"""The Authorization header: exactly Bearer or Basic, and no word about anything else."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.adapters.auth.schemes import Presented, presented
from tasker_health.domain.errors import InvalidCredentialsError
from tasker_health.domain.permissions import ANONYMOUS, Credentials
from tasker_health.domain.secret import Secret

SECRET = "canary-s3cret"


def read(header: str) -> Presented | None:
    """Read one header."""
    return presented(Credentials(headers={"authorization": header}))


def basic(text: str | bytes) -> str:
    """Encode a pair as the password form of a browser."""
    raw = text if isinstance(text, bytes) else text.encode()
    return f"Basic {base64.b64encode(raw).decode()}"


def test_without_the_header_nothing_was_presented() -> None:
    """Other headers present nothing, whatever they are called."""
    assert presented(ANONYMOUS) is None
    assert presented(Credentials(headers={"x-authorization": "Bearer x"})) is None
    assert presented(Credentials(headers={"proxy-authorization": "Bearer x"})) is None


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_bearer_gives_the_token(scheme: str) -> None:
    """The scheme's case and the number of spaces after it make no difference."""
    assert read(f"{scheme} a.b-c_d~e+f/g==") == Presented("bearer", Secret("a.b-c_d~e+f/g=="))
    assert read(f"{scheme}   {SECRET}") == Presented("bearer", Secret(SECRET))


@pytest.mark.parametrize("user", ["", "alice", "zoë", "two words", "tht_user"])
def test_basic_gives_the_password_whatever_the_user(user: str) -> None:
    """The user's name is looked at only to see that it is text."""
    assert read(basic(f"{user}:{SECRET}")) == Presented("basic", Secret(SECRET))
    assert read(basic(f"{user}:{SECRET}").replace("Basic", "bASIC")) == Presented(
        "basic", Secret(SECRET)
    )


def test_a_password_may_hold_colons() -> None:
    """The first colon ends the user's name."""
    assert read(basic("alice:a:b")) == Presented("basic", Secret("a:b"))


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "Bearer",
        "Bearer ",
        SECRET,
        f" Bearer {SECRET}",
        f"Bearer {SECRET} ",
        f"Bearer {SECRET}\n",
        f"Bearer\t{SECRET}",
        f"Bearer {SECRET} {SECRET}",
        f"Bearer {SECRET}, Bearer {SECRET}",
        f"Bearer {SECRET},Basic {SECRET}",
        f"Bearer {SECRET};",
        f'Bearer token="{SECRET}"',
        f"Bearer={SECRET}",
        f"Bearer {SECRET}===",
        f"Bearer ={SECRET}",
        f"Bearer {SECRET}\u00e9",
        "Bearer \uff21\uff22",
        f"\u212aearer {SECRET}",
        f"Digest {SECRET}",
        f"Negotiate {SECRET}",
        f"Token {SECRET}",
        f"BearerX {SECRET}",
        f"Bearer {'a' * 16_384}",
        "Basic",
        f"Basic {SECRET}",
        "Basic YTpi=",
        "Basic YTp",
        "Basic YTpjb==",
        "Basic YT pi",
        "Basic YTp-",
        basic("alice"),
        basic("alice:"),
        basic(f"ali\x00ce:{SECRET}"),
        basic(f"ali\nce:{SECRET}"),
        basic(f"alice:{SECRET}\n"),
        basic(f"alice:{SECRET}\x00"),
        basic(f"alice:{SECRET} "),
        basic("alice:s\u00e9cret"),
        basic(b"alice:\xff\xfe"),
        basic(b"\xff:" + SECRET.encode()),
        basic(f"alice:{'a' * 16_384}"),
    ],
)
def test_what_is_not_exactly_one_of_the_two_is_refused(header: str) -> None:
    """A header of any other form or scheme is bad credentials, and the error repeats none of it."""
    with pytest.raises(InvalidCredentialsError) as caught:
        read(header)
    error = caught.value
    assert error.args == ()
    assert error.__cause__ is None
    assert error.__context__ is None


def test_the_longest_header_is_read_and_a_longer_one_is_not() -> None:
    """The cap is 16,384 characters, the scheme included."""
    assert read(f"Bearer {'a' * 16_377}") is not None
    with pytest.raises(InvalidCredentialsError):
        read(f"Bearer {'a' * 16_378}")


def test_a_secret_does_not_show() -> None:
    """What was presented prints how, not what."""
    assert SECRET not in repr(read(f"Bearer {SECRET}"))
    assert SECRET not in repr(Credentials(headers={"authorization": f"Bearer {SECRET}"}))


@given(st.text())
def test_any_header_is_read_or_refused(header: str) -> None:
    """No text makes anything but visible ASCII come out, or any other error."""
    try:
        found = read(header)
    except InvalidCredentialsError:
        return
    assert found is not None
    secret = found.secret.reveal()
    assert secret.isascii()
    assert secret.isprintable()
    assert " " not in secret


@given(st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters=":")), st.binary())
def test_any_password_is_read_or_refused(user: str, password: bytes) -> None:
    """Basic gives back exactly the password, or refuses."""
    try:
        found = read(basic(user.encode() + b":" + password))
    except InvalidCredentialsError:
        return
    assert found is not None
    assert found.secret.reveal().encode() == password

"""JSON Web Tokens: who gets in by one, and the many who must not."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey
from tests.unit.jwt_tokens import (
    P256,
    PRIVATE,
    RSA,
    SECRET,
    b64,
    bearer,
    claims,
    known,
    mac,
    opening,
    pem,
    signed,
)

from tasker_health.adapters.auth.jwt_keys import (
    ALGORITHMS,
    parse_key,
)
from tasker_health.domain.errors import InvalidCredentialsError
from tasker_health.domain.permissions import STATUS_INDEX, Credentials
from tasker_health.testing.contracts import RecognisingAuthenticatorContract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasker_health.adapters.auth.jwt import JwtAuthenticator


pytestmark = pytest.mark.anyio


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., JwtAuthenticator]:
    """Make authenticators over a file of keys."""
    return opening(tmp_path / "keys")


class TestContract(RecognisingAuthenticatorContract):
    """The authenticator keeps the promises of the port."""

    @pytest.fixture
    def authenticator(self, opened: Callable[..., JwtAuthenticator]) -> JwtAuthenticator:
        """Give one over a public key."""
        return opened()

    @pytest.fixture
    def good_credentials(self) -> Credentials:
        """Bring a good token."""
        return bearer(signed())

    @pytest.fixture
    def bad_credentials(self) -> Credentials:
        """Bring one that somebody else signed."""
        return bearer(signed(key=ECKey.generate_key("P-256")))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_each_algorithm_recognises_its_own(
    opened: Callable[..., JwtAuthenticator], algorithm: str
) -> None:
    """A token that the issuer's key signed is its subject's, by any algorithm there is."""
    authenticator = opened(pem(PRIVATE[algorithm]), algorithm)
    user = await known(authenticator, signed(algorithm=algorithm))
    assert user is not None
    assert user.name == "alice"
    assert user.permissions == {STATUS_INDEX}
    assert user.tasker_admin is False


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("other", ALGORITHMS)
async def test_the_key_decides_the_algorithm(
    opened: Callable[..., JwtAuthenticator], algorithm: str, other: str
) -> None:
    """A token by another algorithm is refused, though the key itself might have made it."""
    authenticator = opened(pem(PRIVATE[algorithm]), algorithm)
    user = await known(authenticator, signed(algorithm=other))
    assert (user is not None) is (algorithm == other)


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", None, 0])
@pytest.mark.parametrize("ending", ["", b64(b"x")])
async def test_alg_none_in_any_spelling(
    opened: Callable[..., JwtAuthenticator], name: object, ending: str
) -> None:
    """No token is taken unsigned, however it spells that, nor by an algorithm nearly named."""
    token = f"{b64(json.dumps({'alg': name}).encode())}.{b64(json.dumps(claims()).encode())}"
    for authenticator in (opened(), opened(SECRET, "HS256")):
        assert await known(authenticator, f"{token}.{ending}") is None


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["alg"]},
        {"crit": []},
        {"crit": ["b64"], "b64": False},
        {"b64": True},
        {"cty": "JWT"},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/cert"},
        {"x5c": ["MIIB"]},
        {"jwk": P256.as_dict(private=False)},
        {"enc": "A256GCM"},
        {"zip": "DEF"},
        {"typ": "JWE"},
        {"typ": "logout+jwt"},
        {"typ": None},
        {"typ": ["JWT"]},
        {"kid": 7},
        {"kid": ["a"]},
        {"alg": ["ES256"]},
        {"alg": {"ES256": 1}},
        {"alg": True},
    ],
    ids="+".join,
)
async def test_a_header_that_asks_for_more_is_refused(
    opened: Callable[..., JwtAuthenticator], header: dict[str, Any]
) -> None:
    """Extensions, nested payloads, keys that a token brings along and odd types are refused."""
    assert await known(opened(), signed(**header)) is None


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/jwt", "application/at+jwt"])
async def test_what_else_a_header_may_say(
    opened: Callable[..., JwtAuthenticator], kind: str
) -> None:
    """The usual types pass in any case, and parameters that nobody knows are ignored."""
    assert await known(opened(), signed(typ=kind, kid="any", nonce="n", ver=2)) is not None


async def test_the_key_that_a_token_brings_is_not_used(
    opened: Callable[..., JwtAuthenticator],
) -> None:
    """A token that is signed by the key in its own header is nobody's."""
    own = ECKey.generate_key("P-256")
    token = signed(key=own, jwk=own.as_dict(private=False))
    assert await known(opened(), token) is None


def written(**raw: str) -> bytes:
    """Write claims with some values in JSON of a test's own."""
    rest = {name: json.dumps(value) for name, value in claims().items()}
    return ("{" + ",".join(f'"{n}":{v}' for n, v in (rest | raw).items()) + "}").encode()


@pytest.mark.parametrize(
    "payload",
    [
        written(exp="NaN"),
        written(exp="Infinity"),
        written(exp="1e999"),
        written(exp="-Infinity"),
        written(exp="9" * 5000),
        written()[:-1] + b',"sub":"mallory"}',
        written()[:-1] + b',"exp":99999999999}',
        written(deep='{"a":1,"a":2}'),
        b"\xef\xbb\xbf" + written(),
        written().decode().encode("utf-16"),
        written() + b"{}",
        written() + b"\x00",
        b"[]",
        b"null",
        b'"text"',
        b"{",
        b"\xff\xfe",
        b"{}",
    ],
)
async def test_a_payload_that_no_two_parsers_read_alike(
    opened: Callable[..., JwtAuthenticator], payload: bytes
) -> None:
    """Names that stand twice, numbers that are none and what is no object are refused."""
    assert await known(opened(), signed(payload)) is None


@pytest.mark.parametrize("deep", ["[" * 3000 + "]" * 3000, '{"a":' * 3000 + "1" + "}" * 3000])
async def test_a_deep_payload_breaks_nothing(
    opened: Callable[..., JwtAuthenticator], deep: str
) -> None:
    """Whether a Python's parser goes so deep or not, it ends as a user or as bad credentials."""
    found = await known(opened(), signed(written(deep=deep)))
    assert found is None or found.tasker_admin is False


async def test_a_header_in_which_a_name_stands_twice(
    opened: Callable[..., JwtAuthenticator],
) -> None:
    """A header that says two things is refused, though one of them is true."""
    twice = b'{"alg":"none","alg":"HS256"}'
    authenticator = opened(SECRET, "HS256")
    assert await known(authenticator, mac(twice, SECRET)) is None
    assert await known(authenticator, mac(b'{"alg":"HS256"}', SECRET)) is not None


@pytest.mark.parametrize(
    "break_it",
    [
        lambda t: t.rpartition(".")[0] + ".",
        lambda t: t[:-1] + ("A" if t[-1] != "A" else "B"),
        lambda t: t[:-4],
        lambda t: t + "A",
        lambda t: t + "=",
        lambda t: t + "AAAA",
        lambda t: t + ".",
        lambda t: t + ".AAAA",
        lambda t: t + " AAAA",
        lambda t: t + "\n",
        lambda t: "." + t,
        lambda t: t.replace(".", "..", 1),
        lambda t: ".".join(t.split(".")[:2]),
        lambda t: (
            t.split(".")[0]
            + "."
            + b64(json.dumps(claims(sub="eve")).encode())
            + "."
            + t.split(".")[2]
        ),
        lambda t: t.split(".")[0] + "=." + ".".join(t.split(".")[1:]),
        lambda t: t.split(".")[0] + ".." + t.split(".")[2],
        lambda t: t[:0] + "..",
        lambda t: f"{t},{t}",
        lambda t: f"{t} {t}",
        lambda t: t.replace("e", "\u0435", 1),
    ],
)
async def test_a_token_that_is_not_whole(
    opened: Callable[..., JwtAuthenticator], break_it: Callable[[str], str]
) -> None:
    """A token that was cut, grown, spliced or respelt is refused."""
    for algorithm, data in (("ES256", pem(P256)), ("HS256", SECRET), ("RS256", pem(RSA))):
        token = signed(algorithm=algorithm)
        authenticator = opened(data, algorithm)
        assert await known(authenticator, break_it(token)) is None
        assert await known(authenticator, token) is not None


async def test_the_zero_signature(opened: Callable[..., JwtAuthenticator]) -> None:
    """The signature of two zeros, which careless verifiers of curves accept, is refused."""
    token = signed()
    assert await known(opened(), f"{token.rpartition('.')[0]}.{b64(bytes(64))}") is None


@pytest.mark.parametrize("size", [16_385, 1_000_000])
async def test_a_huge_token(opened: Callable[..., JwtAuthenticator], size: int) -> None:
    """A token that is larger than any is refused before it is parsed, though well signed."""
    assert await known(opened(), signed(claims(pad="x" * size))) is None
    assert await known(opened(), signed(claims(pad="x" * 8_000))) is not None


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YTpi", "Digest x", "Bearer a.b", "Bearer a.b.c.d"]
)
async def test_what_is_no_jwt_at_all(opened: Callable[..., JwtAuthenticator], header: str) -> None:
    """An ``Authorization`` of another form is refused, and is not taken for none."""
    with pytest.raises(InvalidCredentialsError):
        await opened().authenticate(Credentials(headers={"authorization": header}))


async def test_a_jwt_is_recognised_by_its_shape(opened: Callable[..., JwtAuthenticator]) -> None:
    """Whatever has two dots is taken for a JWT, good or not, and nothing else is."""
    authenticator = opened()
    assert authenticator.recognises(bearer("a.b.c"))
    assert not authenticator.recognises(bearer("a.b"))
    assert not authenticator.recognises(
        Credentials(headers={"authorization": "Basic YTpiLmMuZA=="})
    )
    assert not authenticator.recognises(Credentials())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(token=st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
@example("..")
async def test_random_bytes_are_nobody(opened: Callable[..., JwtAuthenticator], token: str) -> None:
    """Whatever bytes are brought, they are refused and nothing else happens."""
    assert await known(opened(), token) is None


_part = st.one_of(
    st.binary(max_size=60).map(b64),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["ES256"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["alg", "kid", "crit", "typ", "exp"]), inner, max_size=4
            )
        ),
    ).map(lambda value: b64(json.dumps(value).encode())),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(parts=st.tuples(_part, _part, _part))
async def test_random_tokens_are_nobody(
    opened: Callable[..., JwtAuthenticator], parts: tuple[str, str, str]
) -> None:
    """Whatever JSON the three parts hold, nobody is recognised without the key."""
    assert await known(opened(), ".".join(parts)) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(where=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
async def test_one_changed_bit(
    opened: Callable[..., JwtAuthenticator], where: int, bit: int
) -> None:
    """A token in which one bit differs is refused, wherever that is."""
    token = bytearray(signed(algorithm="HS256").encode())
    token[where % len(token)] ^= 1 << bit
    assert await known(opened(SECRET, "HS256"), token.decode("latin-1")) is None


async def test_a_refusal_takes_nothing_along(opened: Callable[..., JwtAuthenticator]) -> None:
    """The error of a refused token holds no text, and no other error that might."""
    with pytest.raises(InvalidCredentialsError) as refused:
        await opened().authenticate(bearer(signed(b"{canary")))
    assert str(refused.value) == ""
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


async def test_nothing_of_a_token_is_told(
    opened: Callable[..., JwtAuthenticator], caplog: pytest.LogCaptureFixture
) -> None:
    """Refusing or accepting writes no log line, and no repr shows a key."""
    caplog.set_level(logging.DEBUG)
    authenticator = opened(SECRET, "HS256")
    assert await known(authenticator, signed(algorithm="HS256")) is not None
    assert await known(authenticator, signed(algorithm="HS256") + "x") is None
    ring = parse_key(SECRET, {"HS256"})
    assert caplog.records == []
    for thing in (authenticator, ring, ring.keys[0]):
        assert "canary" not in repr(thing)
        assert b64(SECRET) not in repr(thing)

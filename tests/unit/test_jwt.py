"""JSON Web Tokens: who gets in by one, and the many who must not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from tasker_health.adapters.auth.claims import ClaimRules
from tasker_health.adapters.auth.jwt import JwtAuthenticator
from tasker_health.adapters.auth.jwt_keys import (
    ALGORITHMS,
    AlgorithmsError,
    KeyRing,
    parse_jwks,
    parse_key,
)
from tasker_health.adapters.auth.watched_file import WatchedFile
from tasker_health.domain.errors import AccessUnavailableError, InvalidCredentialsError
from tasker_health.domain.permissions import METRICS_INDEX, STATUS_INDEX, Credentials
from tasker_health.domain.reasons import Reason
from tasker_health.testing.contracts import RecognisingAuthenticatorContract
from tasker_health.testing.doubles import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tasker_health.domain.permissions import Principal

pytestmark = pytest.mark.anyio

SHORT_KEYS: Final = pytest.mark.filterwarnings("ignore:Key size:joserfc.errors.SecurityWarning")
"""joserfc warns of keys that are refused a line later."""

CLOCK: Final = ManualClock()
NOW: Final = int(CLOCK.now().timestamp())
ISSUER: Final = "https://issuer.example"
RULES: Final = ClaimRules(issuer=ISSUER, audience="tasker", admin_claim="tasker_admin")

SECRET: Final = b"canary-" + b"s" * 57
RSA: Final = RSAKey.generate_key(2048)
P256: Final = ECKey.generate_key("P-256")
P384: Final = ECKey.generate_key("P-384")
P521: Final = ECKey.generate_key("P-521")
ED25519: Final = OKPKey.generate_key("Ed25519")
PRIVATE: Final[dict[str, Key]] = {
    **dict.fromkeys(("HS256", "HS384", "HS512"), OctKey.import_key(SECRET)),
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSA),
    "ES256": P256,
    "ES384": P384,
    "ES512": P521,
    "EdDSA": ED25519,
    "Ed25519": ED25519,
}


class Quiet(jws.JWSRegistry):
    """Signs with whatever algorithm a test asks for, and writes any header."""

    def get_alg(self, name: str) -> Any:
        """Pick the algorithm without a word on its merits."""
        return self.algorithms[name]

    def check_header(self, header: dict[str, Any]) -> None:
        """Let a test write what it likes."""


def b64(data: bytes) -> str:
    """Encode as the parts of a token are."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changed: object) -> dict[str, object]:
    """Give good claims, with changes; None leaves one out."""
    good: dict[str, object] = {
        "iss": ISSUER,
        "aud": "tasker",
        "sub": "alice",
        "exp": NOW + 300,
        "permissions": ["tasker.health_status:index"],
    }
    return {name: value for name, value in (good | changed).items() if value is not None}


def signed(
    payload: dict[str, object] | bytes | None = None,
    algorithm: str = "ES256",
    key: Key | None = None,
    **header: Any,
) -> str:
    """Sign claims, well, with any header."""
    data = payload if isinstance(payload, bytes) else json.dumps(payload or claims()).encode()
    signer = jws.JWSRegistry.algorithms[algorithm]
    parts = b64(json.dumps({"alg": algorithm, "typ": "JWT"} | header).encode()) + "." + b64(data)
    return f"{parts}.{b64(signer.sign(parts.encode(), key or PRIVATE[algorithm]))}"


def mac(header: dict[str, object] | bytes, secret: bytes, payload: bytes = b"") -> str:
    """Sign by HMAC-SHA-256, whatever the header says."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    parts = f"{b64(raw)}.{b64(payload or json.dumps(claims()).encode())}"
    return f"{parts}.{b64(hmac.digest(secret, parts.encode(), hashlib.sha256))}"


def pem(key: Key) -> bytes:
    """Give a public key in PEM; a secret as it is."""
    return key.raw_value if isinstance(key, OctKey) else key.as_pem(private=False)


def jwk(key: Key, **more: object) -> dict[str, object]:
    """Give a public key, or a secret, as a JWK."""
    return {**key.as_dict(private=isinstance(key, OctKey)), **more}


def jwks(*keys: Mapping[str, object]) -> bytes:
    """Give a JWK Set."""
    return json.dumps({"keys": keys}).encode()


def bearer(token: str) -> Credentials:
    """Bring a token."""
    return Credentials(headers={"authorization": f"Bearer {token}"})


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., JwtAuthenticator]:
    """Make an authenticator over a file of keys."""

    def make(
        data: bytes | None = None,
        *algorithms: str,
        rules: ClaimRules = RULES,
        parse: Callable[..., KeyRing] = parse_key,
        clock: ManualClock = CLOCK,
    ) -> JwtAuthenticator:
        path = tmp_path / "keys"
        path.write_bytes(pem(P256) if data is None else data)
        allowed = algorithms or ("ES256",)
        keys = WatchedFile(path, lambda content: parse(content, allowed), clock)
        keys.load()
        return JwtAuthenticator(keys, rules, clock)

    return make


async def known(authenticator: JwtAuthenticator, token: str) -> Principal | None:
    """Give who is recognised by a token; None when it is refused."""
    try:
        return await authenticator.authenticate(bearer(token))
    except InvalidCredentialsError:
        return None


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


@pytest.mark.parametrize("key", [RSA, P256, ED25519], ids=["RSA", "EC", "OKP"])
async def test_a_public_key_is_no_secret(opened: Callable[..., JwtAuthenticator], key: Key) -> None:
    """Who signs by HMAC with the public key, which everybody has, is refused."""
    algorithm = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}[key.key_type]
    for authenticator in (
        opened(pem(key), algorithm),
        opened(jwks(jwk(key, kid="a")), "HS256", algorithm, parse=parse_jwks),
    ):
        for secret in (pem(key), pem(key).strip(), json.dumps(jwk(key)).encode()):
            for name in ("HS256", algorithm):
                assert await known(authenticator, mac({"alg": name}, secret)) is None


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


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "exp"])
async def test_a_missing_claim(opened: Callable[..., JwtAuthenticator], name: str) -> None:
    """A token without issuer, audience, subject or expiry is refused."""
    authenticator = opened()
    left_out = {key: value for key, value in claims().items() if key != name}
    assert await known(authenticator, signed(left_out)) is None
    assert await known(authenticator, signed(left_out | {name: None})) is None
    assert await known(authenticator, signed()) is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", "https://issuer.example/"),
        ("iss", "HTTPS://ISSUER.EXAMPLE"),
        ("iss", [ISSUER]),
        ("iss", ""),
        ("aud", "Tasker"),
        ("aud", "tasker "),
        ("aud", "tasker other"),
        ("aud", []),
        ("aud", ["other"]),
        ("aud", ["tasker", 7]),
        ("aud", [["tasker"]]),
        ("aud", {"tasker": True}),
        ("sub", ""),
        ("sub", "  "),
        ("sub", 7),
        ("sub", ["alice"]),
        ("sub", "a\nb"),
        ("sub", "a\u2028b"),
        ("sub", "a\x1b[31m"),
        ("sub", "a\u202eb"),
        ("sub", "\ud800"),
        ("sub", "a" * 256),
        ("exp", True),
        ("exp", str(NOW + 300)),
        ("exp", [NOW + 300]),
        ("exp", -1),
        ("exp", 253_402_300_800),
        ("exp", 10**12),
        ("exp", 10**400),
        ("exp", NOW - 30),
        ("exp", NOW - 86_400),
        ("exp", 0),
        ("nbf", NOW + 31),
        ("nbf", "0"),
        ("nbf", True),
        ("nbf", -1),
        ("iat", NOW + 31),
        ("iat", False),
        ("iat", [1]),
    ],
)
async def test_a_claim_that_does_not_hold(
    opened: Callable[..., JwtAuthenticator], name: str, value: object
) -> None:
    """A claim of another value, type or moment refuses the token."""
    assert await known(opened(), signed(claims(**{name: value}))) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("aud", ["other", "tasker"]),
        ("aud", ["tasker"]),
        ("sub", "Ålice Ünïcode | auth0"),
        ("sub", "a"),
        ("sub", "a" * 255),
        ("exp", NOW - 29),
        ("exp", NOW + 0.5),
        ("exp", 253_402_300_799),
        ("nbf", NOW + 30),
        ("nbf", 0),
        ("iat", NOW + 30),
        ("jti", 7),
    ],
)
async def test_a_claim_that_holds(
    opened: Callable[..., JwtAuthenticator], name: str, value: object
) -> None:
    """Audiences may be listed, clocks may differ by the leeway, and other claims are ignored."""
    assert await known(opened(), signed(claims(**{name: value}))) is not None


async def test_null_times_are_no_times(opened: Callable[..., JwtAuthenticator]) -> None:
    """A time that is null is there and is no time."""
    for name in ("nbf", "iat"):
        assert await known(opened(), signed(claims() | {name: None})) is None


@pytest.mark.parametrize("leeway", [0, 60])
async def test_the_leeway_is_as_configured(
    opened: Callable[..., JwtAuthenticator], leeway: int
) -> None:
    """A token ends exactly with its expiry and the leeway, and begins as much early."""
    rules = ClaimRules(issuer=ISSUER, audience="tasker", leeway_seconds=leeway)
    authenticator = opened(rules=rules)
    assert await known(authenticator, signed(claims(exp=NOW - leeway))) is None
    assert await known(authenticator, signed(claims(exp=NOW - leeway + 1))) is not None
    assert await known(authenticator, signed(claims(nbf=NOW + leeway))) is not None
    assert await known(authenticator, signed(claims(nbf=NOW + leeway + 1))) is None


async def test_time_passes(opened: Callable[..., JwtAuthenticator]) -> None:
    """A token that was good has ended when the clock says so."""
    clock = ManualClock()
    authenticator = opened(clock=clock)
    token = signed(claims(exp=NOW + 60))
    assert await known(authenticator, token) is not None
    clock.advance(89)
    assert await known(authenticator, token) is not None
    clock.advance(1)
    assert await known(authenticator, token) is None


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


# Several keys.


async def test_the_kid_picks_the_key(opened: Callable[..., JwtAuthenticator]) -> None:
    """Each key of a set verifies its own tokens by its name, and no others."""
    other = ECKey.generate_key("P-256")
    data = jwks(jwk(P256, kid="old"), jwk(other, kid="new"), jwk(RSA, kid="old"))
    authenticator = opened(data, "ES256", "RS256", parse=parse_jwks)
    assert await known(authenticator, signed(kid="old")) is not None
    assert await known(authenticator, signed(key=other, kid="new")) is not None
    assert await known(authenticator, signed(algorithm="RS256", kid="old")) is not None
    for kid in ("new", "OLD", "", "old ", "../old", "/etc/passwd", "old\x00", "' or 1=1 --"):
        assert await known(authenticator, signed(kid=kid)) is None
    assert await known(authenticator, signed()) is None
    assert await known(authenticator, signed(algorithm="RS256")) is not None


async def test_a_kid_is_never_a_path(
    opened: Callable[..., JwtAuthenticator], tmp_path: Path
) -> None:
    """A token that names a file as its key, and is signed with that file, is nobody's."""
    (tmp_path / "empty").touch()
    (tmp_path / "known").write_bytes(b"k" * 64)
    authenticator = opened(jwks(jwk(OctKey.import_key(SECRET), kid="a")), "HS256", parse=parse_jwks)
    for kid, secret in (
        ("/dev/null", b""),
        (str(tmp_path / "empty"), b""),
        (str(tmp_path / "known"), b"k" * 64),
        ("../../../../../../../dev/null", b""),
    ):
        assert await known(authenticator, mac({"alg": "HS256", "kid": kid}, secret)) is None
    assert await known(authenticator, mac({"alg": "HS256", "kid": "a"}, SECRET)) is not None


async def test_a_key_without_a_name_is_not_found_by_one(
    opened: Callable[..., JwtAuthenticator],
) -> None:
    """In a set, a key without a name verifies only tokens that name none."""
    authenticator = opened(jwks(jwk(P256)), parse=parse_jwks)
    assert await known(authenticator, signed()) is not None
    assert await known(authenticator, signed(kid="a")) is None


async def test_a_key_keeps_to_its_algorithm(opened: Callable[..., JwtAuthenticator]) -> None:
    """A key that says which algorithm it is for is used with no other."""
    data = jwks(jwk(RSA, kid="a", alg="RS256"))
    authenticator = opened(data, "RS256", "PS256", parse=parse_jwks)
    assert await known(authenticator, signed(algorithm="RS256", kid="a")) is not None
    assert await known(authenticator, signed(algorithm="PS256", kid="a")) is None


@pytest.mark.parametrize(
    "passed_over",
    [
        {"kty": "future", "x": "y"},
        {"kty": "EC", "crv": "P-9999", "x": "y", "y": "z"},
        {"kty": "OKP", "crv": "X25519", "x": "y"},
        jwk(RSA, use="enc", kid="b"),
        jwk(P384, kid="b"),
        jwk(P256, kid="b", use="enc"),
        jwk(P256, kid="b", key_ops=["deriveKey"]),
        jwk(P256, kid="b", alg="ES384"),
        {"kty": "oct", "k": "short"},
    ],
)
def test_keys_for_something_else_are_passed_over(passed_over: dict[str, object]) -> None:
    """A key for another purpose harms nothing, and verifies nothing."""
    ring = parse_jwks(jwks(passed_over, jwk(P256, kid="a")), {"ES256"})
    assert [one.kid for one in ring.keys] == ["a"]
    with pytest.raises(AlgorithmsError):
        parse_jwks(jwks(passed_over), {"ES256"})


# What a file may hold.


@pytest.mark.parametrize("text", [SECRET, SECRET + b"\n", SECRET + b"\r\n"])
async def test_a_line_end_is_no_part_of_a_secret(
    opened: Callable[..., JwtAuthenticator], text: bytes
) -> None:
    """A secret that was written with an editor is the same secret."""
    assert await known(opened(text, "HS256"), signed(algorithm="HS256")) is not None


async def test_a_binary_secret_is_taken_as_it_is(
    opened: Callable[..., JwtAuthenticator],
) -> None:
    """Of random bytes none is cut off, though the last looks like a line end."""
    secret = b"\xff" * 31 + b"\n"
    token = mac({"alg": "HS256"}, secret)
    assert await known(opened(secret, "HS256"), token) is not None


BRAINPOOL: Final = b"""-----BEGIN PUBLIC KEY-----
MFowFAYHKoZIzj0CAQYJKyQDAwIIAQEHA0IABJKUlNJpI5WmoSZU7LslYayBGqU1
Qm9MynIcuui41wCagrxkHkbnhy97twplaKesUu+Xd2vazKibNfmPHZLJHg0=
-----END PUBLIC KEY-----
"""
"""A good public key in PEM, of a curve that JOSE does not have."""

RSA_1024: Final = b"""-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC8EHIYUSWVmoazQjQIoSGPqr5W
/X1Add4dlrnvEGa6vjnW6ZPT2ZR+CunTsq4KBjWZQemgOvTKlCy2EpemyjxdThcn
3/YbDqXA4AmZ8239nuvvWhq1dKKm95+SFdh3cvRR6aKrnteq4DcaMepRJAJsq079
MxsQQtYJg2Y0vW87GQIDAQAB
-----END PUBLIC KEY-----
"""


def certificate_like(key: Key) -> bytes:
    """Give what begins as a certificate does."""
    return pem(key).replace(b"PUBLIC KEY", b"CERTIFICATE")


@SHORT_KEYS
@pytest.mark.parametrize(
    ("data", "algorithms"),
    [
        (b"", {"ES256"}),
        (b"no key", {"ES256"}),
        (P256.as_pem(private=True), {"ES256"}),
        (certificate_like(P256), {"ES256"}),
        (pem(P256) + pem(P256), {"ES256"}),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", {"ES256"}),
        (RSA_1024, {"RS256"}),
        (b"", {"HS256"}),
        (b"s" * 31, {"HS256"}),
        (b"s" * 31 + b"\n", {"HS256"}),
        (b"s" * 47, {"HS384"}),
        (b"s" * 63, {"HS512"}),
        (b"s" * 63, {"HS256", "HS512"}),
        (pem(RSA), {"HS256"}),
        (RSA.as_der(), {"HS256"}),
        (b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBwWsqVGEEbjLJmfSjLL4BO6sZ4Y", {"HS256"}),
    ],
)
def test_a_key_file_that_is_not_good(data: bytes, algorithms: set[str]) -> None:
    """What is no key, too short a key, or a key for another use is refused, not shown."""
    with pytest.raises(ValueError, match=r"^(exactly one public|a secret|a key of)") as told:
        parse_key(data, algorithms)
    assert not isinstance(told.value, AlgorithmsError)
    assert "AAAA" not in str(told.value)


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (P256, {"RS256"}),
        (P256, {"ES384"}),
        (P256, {"ES256", "ES384"}),
        (P384, {"ES256"}),
        (RSA, {"ES256"}),
        (RSA, {"RS256", "HS256"}),
        (ED25519, {"ES256"}),
        (OKPKey.generate_key("Ed448"), {"EdDSA"}),
        (OKPKey.generate_key("X25519"), {"EdDSA"}),
        (P256, {"none"}),
        (P256, {"ES256", "none"}),
        (P256, {"es256"}),
        (P256, set()),
        (ECKey.generate_key("secp256k1"), {"ES256"}),
    ],
)
def test_algorithms_that_are_not_the_keys(key: Key, algorithms: set[str]) -> None:
    """Algorithms of another kind of key, another curve, or none at all are refused."""
    with pytest.raises(AlgorithmsError):
        parse_key(pem(key), algorithms)
    with pytest.raises(AlgorithmsError):
        parse_jwks(jwks(jwk(key)), algorithms - {"ES256", "RS256"})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"keys": 7}',
        b'{"keys": [7]}',
        b'{"keys": ["EC"]}',
        b'{"keys": [{}]}',
        b'{"keys": [{"kty": ["EC"]}]}',
        b'{"keys": [], "keys": []}',
        b"[" * 100_000,
        jwks({"kty": "EC", "crv": "P-256"}),
        jwks(jwk(P256, x=7)),
        jwks(jwk(P256, x="AAAA")),
        jwks(jwk(P256, key_ops=7)),
        jwks(P256.as_dict(private=True)),
        jwks({"kty": "oct", "k": b64(b"s" * 31)}),
        jwks({"kty": "oct"}),
        jwks({"kty": "oct", "k": b64(pem(RSA))}),
        jwks(jwk(P256, kid="a"), jwk(ECKey.generate_key("P-256"), kid="a")),
    ],
)
def test_a_set_that_is_not_good(data: bytes) -> None:
    """What is no JWK Set, or holds a key that is not good, is refused, not shown."""
    with pytest.raises(ValueError, match=r"^(a JWK Set|a key of)") as told:
        parse_jwks(data, {"ES256", "HS256", "RS256"})
    assert not isinstance(told.value, AlgorithmsError)
    assert told.value.__context__ is None


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_secret_in_a_set_is_as_long_as_its_algorithm_needs(algorithm: str) -> None:
    """One byte less than the digest has is refused, and exactly that many will do."""
    least = int(algorithm[2:]) // 8
    good = {"kty": "oct", "k": b64(bytes(range(least)))}
    assert parse_jwks(jwks(good), {algorithm}).find(algorithm, None) is not None
    with pytest.raises(ValueError, match=r"bytes or more|bits or more"):
        parse_jwks(jwks(good | {"k": b64(bytes(range(least - 1)))}), {algorithm})


@SHORT_KEYS
def test_a_short_key_in_a_set() -> None:
    """A key that is too short is refused in a set as it is alone."""
    with pytest.raises(ValueError, match="a key of 2048 bits or more for RS256, and this has 1024"):
        parse_jwks(jwks(jwk(RSAKey.import_key(RSA_1024))), {"RS256"})


def test_a_curve_that_jose_does_not_have() -> None:
    """A key of a curve that no algorithm is for is refused by name of the algorithms."""
    with pytest.raises(AlgorithmsError):
        parse_key(BRAINPOOL, {"ES256"})


def test_an_empty_set_fits_no_algorithm() -> None:
    """A set without keys is refused: nobody could ever be recognised."""
    with pytest.raises(AlgorithmsError):
        parse_jwks(jwks(), {"ES256"})


# What somebody may.


@pytest.mark.parametrize(
    ("path", "value", "held"),
    [
        ("permissions", ["tasker.health_status:index", "tasker.metrics:index"], {1, 2}),
        ("scope", "openid tasker.health_status:index email", {1}),
        ("realm.roles", {"roles": ["tasker.metrics:index"]}, {2}),
        ("https://example.com/permissions", ["tasker.health_status:index"], {1}),
        ("permissions", ["tasker.health_status:INDEX", "tasker.health_status:index "], set()),
        ("permissions", ["tasker.health_status:*", "*", "tasker.health_status"], set()),
        ("permissions", ["tasker.health_status:show", 7, None, ["tasker.metrics:index"]], set()),
        ("permissions", ["tasker.health_status:index tasker.metrics:index"], set()),
        ("permissions", {"tasker.health_status:index": True}, set()),
        ("permissions", "tasker.health_status:index,tasker.metrics:index", set()),
        ("permissions", True, set()),
        ("permissions", None, set()),
    ],
)
async def test_permissions_from_a_claim(
    opened: Callable[..., JwtAuthenticator], path: str, value: object, held: set[int]
) -> None:
    """Exactly Tasker's permissions are taken, from a list or from the words of one text."""
    rules = ClaimRules(issuer=ISSUER, audience="tasker", permissions_claim=path)
    name = path.partition(".")[0] if isinstance(value, dict) else path
    token = signed(claims(permissions=None) | {name: value})
    user = await known(opened(rules=rules), token)
    assert user is not None
    names = {STATUS_INDEX: 1, METRICS_INDEX: 2}
    assert {names[permission] for permission in user.permissions} == held
    assert user.tasker_admin is False


@pytest.mark.parametrize(
    ("rule", "given_claims", "admin"),
    [
        ("", {"": True, "admin": True}, False),
        ("admin", {"admin": True}, True),
        ("admin", {"admin": "true"}, False),
        ("admin", {"admin": 1}, False),
        ("admin", {"admin": ["admin"]}, False),
        ("admin", {}, False),
        ("ext.admin", {"ext": {"admin": True}}, True),
        ("ext.admin", {"ext": [True]}, False),
        ("role=admin", {"role": "admin"}, True),
        ("role=admin", {"role": ["user", "admin"]}, True),
        ("role=admin", {"role": "user admin"}, False),
        ("role=admin", {"role": "administrator"}, False),
        ("role=admin", {"role": {"admin": True}}, False),
        ("role=admin", {"role": True}, False),
        ("role=admin", {}, False),
        ("role=", {"role": ""}, True),
        ("role=", {}, False),
        ("=admin", {"": "admin"}, False),
    ],
)
async def test_admins_from_a_claim(
    opened: Callable[..., JwtAuthenticator],
    rule: str,
    given_claims: dict[str, object],
    admin: bool,
) -> None:
    """Only the very value that the rule names makes an admin; without a rule, none does."""
    rules = ClaimRules(issuer=ISSUER, audience="tasker", admin_claim=rule)
    user = await known(opened(rules=rules), signed(claims() | given_claims))
    assert user is not None
    assert user.tasker_admin is admin


# The file changes.


async def test_a_rotated_key(opened: Callable[..., JwtAuthenticator], tmp_path: Path) -> None:
    """After the key was replaced, its tokens are good and the old key's are not."""
    clock, new = ManualClock(), ECKey.generate_key("P-256")
    authenticator = opened(clock=clock)
    (tmp_path / "keys").write_bytes(pem(new))
    clock.advance(1)
    assert await known(authenticator, signed(key=new)) is not None
    assert await known(authenticator, signed()) is None


@pytest.mark.parametrize("content", [None, b"", b"garbage", pem(RSA)])
async def test_a_key_that_was_lost(
    opened: Callable[..., JwtAuthenticator], tmp_path: Path, content: bytes | None
) -> None:
    """While the file is gone, bad or of another kind nobody gets in; then it heals."""
    clock, path = ManualClock(), tmp_path / "keys"
    authenticator = opened(clock=clock)
    assert [authenticator.problem] == [None]
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    clock.advance(1)
    with pytest.raises(AccessUnavailableError):
        await authenticator.authenticate(bearer(signed()))
    assert authenticator.problem is Reason.UNREADABLE
    path.write_bytes(pem(P256))
    clock.advance(1)
    assert await known(authenticator, signed()) is not None
    assert authenticator.problem is None

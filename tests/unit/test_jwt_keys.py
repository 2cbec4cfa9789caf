"""The keys of tokens: which one verifies, and what a file of them may hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from tests.unit.jwt_tokens import (
    ED25519,
    P256,
    P384,
    RSA,
    SECRET,
    b64,
    bearer,
    jwk,
    jwks,
    known,
    mac,
    opening,
    pem,
    signed,
)

from tasker_health.adapters.auth.jwt_keys import (
    ALGORITHMS,
    AlgorithmsError,
    parse_jwks,
    parse_key,
)
from tasker_health.domain.errors import AccessUnavailableError
from tasker_health.domain.reasons import Reason
from tasker_health.testing.doubles import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasker_health.adapters.auth.jwt import JwtAuthenticator


pytestmark = pytest.mark.anyio


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., JwtAuthenticator]:
    """Make authenticators over a file of keys."""
    return opening(tmp_path / "keys")


SHORT_KEYS: Final = pytest.mark.filterwarnings("ignore:Key size:joserfc.errors.SecurityWarning")
"""joserfc warns of keys that are refused a line later."""


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
        {"kty": "oct", "k": b64(b"k" * 16), "alg": "A128KW"},
    ],
)
def test_keys_for_something_else_are_passed_over(passed_over: dict[str, object]) -> None:
    """A key for another purpose harms nothing, and verifies nothing."""
    ring = parse_jwks(jwks(passed_over, jwk(P256, kid="a")), {"ES256", "HS256"})
    assert [one.kid for one in ring.keys] == ["a"]
    with pytest.raises(AlgorithmsError):
        parse_jwks(jwks(passed_over), {"ES256"})


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
        (b"# the issuer's\n" + pem(RSA), {"HS256"}),
        (certificate_like(RSA), {"HS256"}),
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


@SHORT_KEYS
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
        b'{"keys": [], "other": NaN}',
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
    with pytest.raises(ValueError, match=f"a key of {least * 8} bits or more for"):
        parse_jwks(jwks(good | {"k": b64(bytes(range(least - 1)))}), {algorithm})


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_short_secret_is_told_how_long_it_must_be(algorithm: str) -> None:
    """A file with one byte less than the digest has is refused, and exactly that many will do."""
    least = int(algorithm[2:]) // 8
    assert parse_key(b"s" * least, {algorithm}).find(algorithm, None) is not None
    with pytest.raises(ValueError, match=f"^a secret of {least} bytes or more$"):
        parse_key(b"s" * (least - 1), {algorithm})


@SHORT_KEYS
def test_a_short_key_in_a_set() -> None:
    """A key that is too short is refused in a set as it is alone."""
    with pytest.raises(ValueError, match="a key of 2048 bits or more for RS256, and this has 1024"):
        parse_jwks(jwks(jwk(RSAKey.import_key(RSA_1024))), {"RS256"})


def test_a_curve_that_jose_does_not_have() -> None:
    """A key of a curve that no algorithm is for is refused by name of the algorithms."""
    with pytest.raises(AlgorithmsError, match=r"^algorithms for the EC \? key of the file"):
        parse_key(BRAINPOOL, {"ES256"})


def test_a_key_that_does_not_fit_is_named_by_its_kind() -> None:
    """The refusal tells what the key is, and an algorithm that is not for it."""
    with pytest.raises(AlgorithmsError) as told:
        parse_key(pem(P256), {"ES256", "RS256"})
    assert str(told.value) == "algorithms for the EC P-256 key of the file, unlike RS256"


def test_all_algorithms_at_once() -> None:
    """For a set of keys, every algorithm there is may be configured."""
    ring = parse_jwks(jwks(jwk(P256, kid="a")), set(ALGORITHMS))
    assert ring.keys[0].algorithms == {"ES256"}


def test_an_empty_set_fits_no_algorithm() -> None:
    """A set without keys is refused: nobody could ever be recognised."""
    with pytest.raises(AlgorithmsError):
        parse_jwks(jwks(), {"ES256"})


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

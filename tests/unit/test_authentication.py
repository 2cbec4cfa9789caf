"""Which authenticator the settings make, and what they are refused for at the start."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from tasker_health.adapters.auth import AnonymousAuthenticator
from tasker_health.adapters.auth.chain import ChainedAuthenticator
from tasker_health.adapters.auth.jwt import JwtAuthenticator
from tasker_health.adapters.auth.tokens import TokenAuthenticator, digest, new_token
from tasker_health.domain.errors import ConfigurationError, InvalidCredentialsError
from tasker_health.domain.permissions import ANONYMOUS, STATUS_INDEX, Credentials, Principal
from tasker_health.entrypoints.authentication import build_authenticator, knows_nobody
from tasker_health.entrypoints.environment import read_configuration
from tasker_health.entrypoints.server import check
from tasker_health.testing.doubles import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

    from tasker_health.domain.ports import Authenticator
    from tasker_health.entrypoints.options import Configuration

pytestmark = pytest.mark.anyio

CLOCK: Final = ManualClock()
KEY: Final = ECKey.generate_key("P-256")
TOKEN: Final = new_token()
ISSUED: Final = {"jwt_algorithms": "ES256", "jwt_issuer": "us", "jwt_audience": "tasker"}


class OwnAuthenticator:
    """A class of the user's own."""

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Recognise everybody."""
        del credentials
        return Principal(name="somebody")


OWN: Final = f"{__name__}:{OwnAuthenticator.__name__}"


def configured(**given: object) -> Configuration:
    """Read settings as the environment gives them."""
    environ = {f"TASKER_HEALTH_{name.upper()}": str(value) for name, value in given.items()}
    return read_configuration({"TASKER_HEALTH_DATABASE_URL": "sqlite:///x.db"} | environ)


def build(**given: object) -> Authenticator:
    """Make an authenticator of settings that the start accepts."""
    check(configured(**given))
    return build_authenticator(configured(**given), CLOCK)


def refused(**given: object) -> str:
    """Give the one line that the start refuses settings with."""
    with pytest.raises(ConfigurationError) as problem:
        check(configured(**given))
    assert "\n" not in str(problem.value)
    return str(problem.value)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Write a public key."""
    path = tmp_path / "key.pem"
    path.write_bytes(KEY.as_pem(private=False))
    return path


@pytest.fixture
def jwks_file(tmp_path: Path) -> Path:
    """Write a JWK Set."""
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [KEY.as_dict(private=False, kid="a")]}))
    return path


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    """Write a token file."""
    path = tmp_path / "tokens.toml"
    path.write_text(
        f'[grafana]\nsha256 = "{digest(TOKEN).hex()}"\n'
        'permissions = ["tasker.health_status:index"]\ncreated = 2025-01-01T00:00:00Z\n'
    )
    path.chmod(0o600)
    return path


def signed(**more: object) -> str:
    """Sign a good token."""
    claims: dict[str, Any] = {
        "iss": "us",
        "aud": "tasker",
        "sub": "alice",
        "exp": int(CLOCK.now().timestamp()) + 60,
    }
    return jwt.encode({"alg": "ES256", "kid": "a"}, claims | more, KEY)


def authorization(value: str) -> Credentials:
    """Bring a header."""
    return Credentials(headers={"authorization": value})


def bearer(token: str) -> Credentials:
    """Bring a token."""
    return authorization(f"Bearer {token}")


def test_nothing_named_knows_nobody() -> None:
    """Without any setting nobody is recognised; a class of the user's own is what it is."""
    made = build()
    assert isinstance(made, AnonymousAuthenticator)
    assert knows_nobody(made)
    own = build(authenticator_class=OWN)
    assert type(own).__name__ == "OwnAuthenticator"
    assert not knows_nobody(own)


def test_a_host_may_give_a_default() -> None:
    """Where the settings name nobody, whoever embeds the service says who tells."""
    own = OwnAuthenticator()
    configuration = read_configuration({"TASKER_HEALTH_STATUS_REQUIRES_AUTHENTICATION": "true"})
    assert build_authenticator(configuration, CLOCK, default=own) is own


async def test_a_key_file(key_file: Path) -> None:
    """A key with its three companions recognises who bears a token."""
    made = build(jwt_key_file=key_file, **ISSUED)
    assert isinstance(made, JwtAuthenticator)
    assert not knows_nobody(made)
    user = await made.authenticate(bearer(signed(permissions="tasker.health_status:index")))
    assert user == Principal(name="alice", permissions=frozenset({STATUS_INDEX}))
    assert made.problem is None


async def test_a_set_of_keys(jwks_file: Path) -> None:
    """So does a JWK Set."""
    made = build(jwt_jwks_file=jwks_file, **ISSUED)
    assert await made.authenticate(bearer(signed())) == Principal(name="alice")


async def test_what_claims_mean_is_as_configured(key_file: Path) -> None:
    """Leeway and the claims of permissions and admins come from the settings."""
    made = build(
        jwt_key_file=key_file,
        jwt_leeway_seconds=5,
        jwt_permissions_claim="scope",
        jwt_admin_claim="role=boss",
        **ISSUED,
    )
    now = int(CLOCK.now().timestamp())
    token = signed(scope="tasker.health_status:index", role="boss", exp=now - 4)
    assert await made.authenticate(bearer(token)) == Principal(
        name="alice", permissions=frozenset({STATUS_INDEX}), tasker_admin=True
    )
    with pytest.raises(InvalidCredentialsError):
        await made.authenticate(bearer(signed(exp=now - 5)))


async def test_both_kinds_together(key_file: Path, tokens_file: Path) -> None:
    """With tokens and keys, the credentials' own shape decides which of the two answers."""
    made = build(jwt_key_file=key_file, tokens_file=tokens_file, **ISSUED)
    assert isinstance(made, ChainedAuthenticator)
    granted = Principal(name="grafana", permissions=frozenset({STATUS_INDEX}))
    basic = base64.b64encode(f"any:{TOKEN}".encode()).decode()
    assert await made.authenticate(bearer(TOKEN)) == granted
    assert await made.authenticate(authorization(f"Basic {basic}")) == granted
    assert await made.authenticate(bearer(signed())) == Principal(name="alice")
    assert await made.authenticate(ANONYMOUS) is None
    jwt_as_password = base64.b64encode(f"any:{signed()}".encode()).decode()
    for value in (
        "Bearer neither",
        "Bearer a.b",
        f"Bearer {TOKEN}x",
        f"Bearer {signed()}x",
        f"Bearer {TOKEN}..",
        f"Bearer {TOKEN}, Bearer {signed()}",
        f"Basic {jwt_as_password}",
        "Negotiate abc",
    ):
        with pytest.raises(InvalidCredentialsError):
            await made.authenticate(authorization(value))
    assert [one.split()[0] for one in made.challenges] == ["Bearer", "Basic"]
    assert made.problem is None


def test_tokens_alone(tokens_file: Path) -> None:
    """A token file alone needs nothing of JWT."""
    assert isinstance(build(tokens_file=tokens_file), TokenAuthenticator)


# What is refused.


def test_authentication_that_nobody_can_pass() -> None:
    """A status that requires authentication needs somebody who can be recognised."""
    text = refused(status_requires_authentication="true")
    assert text.startswith("TASKER_HEALTH_STATUS_REQUIRES_AUTHENTICATION is true")
    for setting in ("AUTHENTICATOR_CLASS", "TOKENS_FILE", "JWT_KEY_FILE", "JWT_JWKS_FILE"):
        assert f"TASKER_HEALTH_{setting}" in text


def test_authentication_that_somebody_can_pass(key_file: Path, tokens_file: Path) -> None:
    """Each way of recognising somebody satisfies it."""
    for way in (
        {"authenticator_class": OWN},
        {"tokens_file": tokens_file},
        {"jwt_key_file": key_file, **ISSUED},
    ):
        build(status_requires_authentication="true", **way)


@pytest.mark.parametrize("files", [{"tokens_file": "x"}, {"jwt_key_file": "x", **ISSUED}])
def test_an_own_class_beside_files(files: dict[str, str]) -> None:
    """A class of the user's own is not combined with files, silently ignoring one of them."""
    text = refused(authenticator_class=OWN, **files)
    assert text.startswith("TASKER_HEALTH_AUTHENTICATOR_CLASS is ")
    assert f"none beside TASKER_HEALTH_{next(iter(files)).upper()}" in text


@pytest.mark.parametrize(
    "path", ["nonsense", "no.such.module:Class", "json:NoSuch", "json:JSONDecoder", "json:dumps"]
)
def test_an_own_class_that_cannot_be_had(path: str) -> None:
    """A class that is not there, or is no authenticator, is refused by name."""
    assert refused(authenticator_class=path).startswith("TASKER_HEALTH_AUTHENTICATOR_CLASS is ")


def test_two_sources_of_keys(key_file: Path, jwks_file: Path) -> None:
    """A key file and a JWK Set together are refused."""
    text = refused(jwt_key_file=key_file, jwt_jwks_file=jwks_file, **ISSUED)
    assert text.startswith("TASKER_HEALTH_JWT_KEY_FILE")
    assert "TASKER_HEALTH_JWT_JWKS_FILE" in text


@pytest.mark.parametrize("missing", list(ISSUED))
def test_a_key_without_its_companions(key_file: Path, missing: str) -> None:
    """Algorithms, issuer and audience must be said: nothing is assumed of them."""
    given = {name: value for name, value in ISSUED.items() if name != missing}
    text = refused(jwt_key_file=key_file, **given)
    assert text.startswith(f"TASKER_HEALTH_{missing.upper()} is missing")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *ISSUED.items(),
        ("jwt_leeway_seconds", "30"),
        ("jwt_permissions_claim", "scope"),
        ("jwt_admin_claim", "admin"),
    ],
)
def test_companions_without_a_key(setting: str, value: str) -> None:
    """A setting for tokens that nothing could verify is a mistake, and said to be one."""
    text = refused(**{setting: value})
    assert text.startswith(f"TASKER_HEALTH_{setting.upper()} is ")
    assert "TASKER_HEALTH_JWT_KEY_FILE" in text


@pytest.mark.parametrize("leeway", ["61", "-1", "nan", "inf", "soon"])
def test_a_leeway_out_of_range(key_file: Path, leeway: str) -> None:
    """A leeway above a minute is refused."""
    text = refused(jwt_key_file=key_file, jwt_leeway_seconds=leeway, **ISSUED)
    assert text.startswith("TASKER_HEALTH_JWT_LEEWAY_SECONDS is ")
    assert "0 to 60" in text


@pytest.mark.parametrize(
    "algorithms", ["none", "ES256,none", "es256", "RS256", "ES384", "ES256,ES384", "HS256,ES256"]
)
@pytest.mark.parametrize("setting", ["jwt_key_file"])
def test_algorithms_that_do_not_fit(key_file: Path, setting: str, algorithms: str) -> None:
    """Algorithms that are not the key's are refused as such."""
    text = refused(**{setting: key_file, **ISSUED, "jwt_algorithms": algorithms})
    assert text.startswith("TASKER_HEALTH_JWT_ALGORITHMS is ")


def test_algorithms_that_no_key_of_a_set_is_for(jwks_file: Path) -> None:
    """A set without a key for any of the algorithms is refused; one that has some is not."""
    text = refused(jwt_jwks_file=jwks_file, **ISSUED | {"jwt_algorithms": "RS256,HS256"})
    assert text.startswith("TASKER_HEALTH_JWT_ALGORITHMS is HS256, RS256")
    build(jwt_jwks_file=jwks_file, **ISSUED | {"jwt_algorithms": "RS256,ES256"})


@pytest.mark.parametrize(
    ("setting", "content"),
    [
        ("jwt_key_file", b""),
        ("jwt_key_file", b"canary"),
        ("jwt_key_file", KEY.as_pem(private=True)),
        ("jwt_jwks_file", b""),
        ("jwt_jwks_file", b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "canary"}]}'),
        ("jwt_jwks_file", json.dumps({"keys": [KEY.as_dict(private=True)]}).encode()),
        ("tokens_file", b"canary"),
        ("tokens_file", b'[a]\nsha256 = "canary"'),
    ],
)
def test_a_file_that_is_not_good(tmp_path: Path, setting: str, content: bytes) -> None:
    """A malformed file is refused by its setting's name and path, and not quoted."""
    path = tmp_path / "given"
    path.write_bytes(content)
    path.chmod(0o600)
    companions = {} if setting == "tokens_file" else ISSUED
    text = refused(**{setting: path, **companions})
    assert text.startswith(f"TASKER_HEALTH_{setting.upper()} is {str(path)!r}")
    assert "canary" not in text
    assert str(KEY.as_dict(private=True)["d"]) not in text


@pytest.mark.parametrize("setting", ["jwt_key_file", "jwt_jwks_file"])
@pytest.mark.parametrize(
    "path", ["canary-secret-put-in-place-of-a-path", "/", "/no/canary", "x" * 5000]
)
def test_a_file_that_cannot_be_read(setting: str, path: str) -> None:
    """A file that cannot be read is refused by name; what might be the key is not shown."""
    text = refused(**{setting: path, **ISSUED})
    assert text.startswith(f"TASKER_HEALTH_{setting.upper()} (from the environment)")
    assert "a file that can be read" in text
    assert "canary" not in text
    assert "xxx" not in text


def test_a_secret_that_is_too_short(tmp_path: Path) -> None:
    """A secret shorter than its hash is refused."""
    path = tmp_path / "secret"
    path.write_bytes(b"s" * 31 + b"\n")
    text = refused(jwt_key_file=path, **ISSUED | {"jwt_algorithms": "HS256"})
    assert "a secret of 32 bytes or more" in text
    path.write_bytes(b"s" * 32)
    build(jwt_key_file=path, **ISSUED | {"jwt_algorithms": "HS256"})


def test_a_public_key_is_no_secret(tmp_path: Path) -> None:
    """Who names a public key for an algorithm that shares a secret is stopped."""
    path = tmp_path / "key"
    path.write_bytes(RSAKey.generate_key(2048).as_pem(private=False))
    text = refused(jwt_key_file=path, **ISSUED | {"jwt_algorithms": "HS256"})
    assert "allowed is a file with a secret, which a key in PEM" in text


@pytest.mark.parametrize("setting", ["jwt_key_file", "jwt_jwks_file"])
def test_a_missing_extra(monkeypatch: pytest.MonkeyPatch, key_file: Path, setting: str) -> None:
    """Without joserfc the setting is refused, and what to install is said."""
    monkeypatch.setitem(sys.modules, "joserfc", None)
    for name in ("jwt", "jwt_keys"):
        monkeypatch.delitem(sys.modules, f"tasker_health.adapters.auth.{name}", raising=False)
        monkeypatch.delattr(f"tasker_health.adapters.auth.{name}", raising=False)
    text = refused(**{setting: key_file, **ISSUED})
    assert text.startswith(f"TASKER_HEALTH_{setting.upper()} (from the environment)")
    assert "pip install 'tasker-health[jwt]'" in text


def test_who_does_not_use_jwt_does_not_import_it() -> None:
    """An open status, or one behind tokens alone, never loads joserfc."""
    code = (
        "import sys, tasker_health.entrypoints.server, tasker_health.adapters.auth.tokens\n"
        "assert not {'joserfc', 'cryptography'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603  our own code


def test_settings_show_no_key(tmp_path: Path) -> None:
    """Neither the settings nor what they make show what the file holds."""
    path = tmp_path / "secret"
    path.write_bytes(b"canary" * 8)
    assert "canary" not in repr(build(jwt_key_file=path, **ISSUED | {"jwt_algorithms": "HS256"}))

"""JSON Web Tokens for tests: keys, claims, and whatever somebody may sign."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any, Final

from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from tasker_health.adapters.auth.claims import ClaimRules
from tasker_health.adapters.auth.jwt import JwtAuthenticator
from tasker_health.adapters.auth.jwt_keys import (
    KeyRing,
    parse_key,
)
from tasker_health.adapters.auth.watched_file import WatchedFile
from tasker_health.domain.errors import InvalidCredentialsError
from tasker_health.domain.permissions import Credentials
from tasker_health.testing.doubles import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tasker_health.domain.permissions import Principal

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


def opening(path: Path) -> Callable[..., JwtAuthenticator]:
    """Give what makes authenticators over a file of keys."""

    def make(
        data: bytes | None = None,
        *algorithms: str,
        rules: ClaimRules = RULES,
        parse: Callable[..., KeyRing] = parse_key,
        clock: ManualClock = CLOCK,
    ) -> JwtAuthenticator:
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

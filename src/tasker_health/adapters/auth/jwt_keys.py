"""The keys that JSON Web Tokens are verified with, as a file gives them.

A key is kept with the algorithms that both its kind and the configuration allow, so that
the key decides the algorithm and never a token. All that a file holds is read into memory
and picked by comparing: nothing is opened or fetched because of what somebody wrote.

Source: RFC 7517, 7518, 8037; RFC 8725, *JSON Web Token Best Current Practices*.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

import attrs
from joserfc.jwk import ECKey, JWKRegistry, Key, OctKey, OKPKey, RSAKey

from tasker_health.domain.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

__all__ = [
    "ALGORITHMS",
    "AlgorithmsError",
    "KeyRing",
    "MalformedError",
    "VerificationKey",
    "json_object",
    "parse_jwks",
    "parse_key",
]


@attrs.frozen
class _Kind:
    """The keys that an algorithm is for.

    Args:
        key_type: as in ``kty``.
        least_bits: how long a key must be; 0 where its curve says so.
        curve: as in ``crv``; empty where there is none.
    """

    key_type: str
    least_bits: int = 0
    curve: str = ""


ALGORITHMS: Final[Mapping[str, _Kind]] = {
    "HS256": _Kind("oct", 256),
    "HS384": _Kind("oct", 384),
    "HS512": _Kind("oct", 512),
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), _Kind("RSA", 2048)),
    "ES256": _Kind("EC", curve="P-256"),
    "ES384": _Kind("EC", curve="P-384"),
    "ES512": _Kind("EC", curve="P-521"),
    "EdDSA": _Kind("OKP", curve="Ed25519"),
    "Ed25519": _Kind("OKP", curve="Ed25519"),
}
"""All that may be configured; ``none`` is not among them."""

_SSH: Final = (b"ssh-", b"ecdsa-")


class AlgorithmsError(ValueError):
    """The algorithms that are configured are not those of the key."""


class MalformedError(Exception):
    """Something in a file is not what it should be, and must not be quoted."""


@attrs.frozen(kw_only=True)
class VerificationKey:
    """A key, and what it may verify.

    Args:
        key: the key itself.
        kid: its name; None where it has none.
        algorithms: the algorithms that it is used with, and no others.
    """

    key: Secret[Key]
    kid: str | None
    algorithms: frozenset[str]


@attrs.frozen(kw_only=True)
class KeyRing:
    """The keys that tokens may be signed with.

    Args:
        keys: at least one.
        named: whether a ``kid`` picks among them; a lone key file gives its key no name.
    """

    keys: tuple[VerificationKey, ...]
    named: bool

    def find(self, algorithm: object, kid: object) -> Key | None:
        """Find the one key for it; None when there is none, or more than one."""
        fitting = [
            one.key.reveal()
            for one in self.keys
            if algorithm in one.algorithms and (not self.named or kid in (None, one.kid))
        ]
        return fitting[0] if len(fitting) == 1 else None


def parse_key(data: bytes, algorithms: Collection[str]) -> KeyRing:
    """Read a key file: the secret itself for HS…, else one public key in PEM.

    Args:
        data: the file's content. A line end after a secret in plain text is no part of it.
        algorithms: what the key is to be used with: all must fit it.

    Raises:
        AlgorithmsError: they do not.
        ValueError: it is no such key; says what would be one.
    """
    allowed = _known(algorithms)
    shared = all(ALGORITHMS[name].key_type == "oct" for name in allowed)
    key = _secret(data, allowed) if shared else _public_key(data)
    unfit = sorted(name for name in allowed if not _fits(key, name))
    if unfit:
        raise AlgorithmsError(
            f"algorithms for the {_described(key)} of the file, unlike {unfit[0]}"
        )
    return KeyRing(keys=(_strong(key, allowed),), named=False)


def parse_jwks(data: bytes, algorithms: Collection[str]) -> KeyRing:
    """Read a JWK Set.

    Keys for other purposes or algorithms are left out: a set may serve many.

    Raises:
        AlgorithmsError: no key is for any of the algorithms.
        ValueError: it is no such set; says what would be one.
    """
    allowed = _known(algorithms)
    keys: tuple[VerificationKey, ...] | None = None
    # Where a file goes wrong is not told: what a parser says may hold a part of a key.
    with suppress(KeyError, TypeError, AttributeError, RecursionError, MalformedError):
        keys = tuple(_verification_keys(json_object(data)["keys"], allowed))
    if keys is None:
        raise ValueError("a JWK Set: a JSON object with a list of well-formed 'keys'")
    if not keys:
        raise AlgorithmsError("algorithms that a key of the set is for")
    pairs = [(one.kid, name) for one in keys for name in one.algorithms]
    if len(set(pairs)) != len(pairs):
        raise ValueError("a JWK Set in which each key has a 'kid' of its own")
    return KeyRing(keys=keys, named=True)


def _known(algorithms: Collection[str]) -> frozenset[str]:
    if not algorithms or not ALGORITHMS.keys() >= set(algorithms):
        raise AlgorithmsError(f"one or more of {', '.join(ALGORITHMS)}")
    return frozenset(algorithms)


def _secret(data: bytes, algorithms: frozenset[str]) -> Key:
    secret = data.rstrip(b"\r\n") if data.isascii() else data
    least = max(ALGORITHMS[name].least_bits for name in algorithms) // 8
    if len(secret) < least:
        raise ValueError(f"a secret of {least} bytes or more")
    # Who knows a public key must not be able to sign with it.
    if b"-----BEGIN" not in data and not data.startswith(_SSH):
        with suppress(ValueError):  # joserfc knows a public key in DER
            return OctKey.import_key(secret)
    raise ValueError("a secret, which a key in PEM, DER or SSH's form is not")


def _public_key(data: bytes) -> Key:
    if data.count(b"-----BEGIN") == 1 and b"PUBLIC KEY-----" in data:
        for kind in (RSAKey, ECKey, OKPKey):
            with suppress(Exception):  # nobody lists what all the parsers beneath may raise
                return kind.import_key(data)
    raise ValueError("exactly one public key in PEM, neither a private key nor a certificate")


def _verification_keys(
    written: Iterable[dict[str, Any]], allowed: frozenset[str]
) -> Iterator[VerificationKey]:
    kinds = {(ALGORITHMS[name].key_type, ALGORITHMS[name].curve) for name in allowed}
    for one in written:
        if (one["kty"], one.get("crv", "")) not in kinds:
            continue
        if one.get("use", "sig") != "sig" or "verify" not in one.get("key_ops", ("verify",)):
            continue
        key = _imported(one)
        fitting = frozenset(name for name in allowed if _fits(key, name))
        if fitting:
            yield _strong(key, fitting)


def _imported(written: dict[str, Any]) -> Key:
    if "d" in written:
        raise ValueError("a JWK Set of public keys, and this one holds a private key")
    with suppress(Exception):  # as above; the text might hold a part of the key
        return JWKRegistry.import_key(written)
    raise MalformedError


def _fits(key: Key, name: str) -> bool:
    kind = ALGORITHMS[name]
    return key.key_type == kind.key_type and _curve(key) == kind.curve and key.alg in (None, name)


def _strong(key: Key, algorithms: frozenset[str]) -> VerificationKey:
    """Keep a key with its algorithms; insist that it is as long as they ask for."""
    least = max(ALGORITHMS[name].least_bits for name in algorithms)
    bits = _bits(key)
    if bits < least:
        names = ", ".join(sorted(algorithms))
        raise ValueError(f"a key of {least} bits or more for {names}, and this has {bits}")
    return VerificationKey(key=Secret(key), kid=key.kid, algorithms=algorithms)


def _bits(key: Key) -> int:
    if isinstance(key, OctKey):
        return len(key.raw_value) * 8
    return key.public_key.key_size if isinstance(key, RSAKey) else 0


def _curve(key: Key) -> str:
    """Name the key's curve; empty where there is none, ``?`` for one that JOSE does not have."""
    try:
        return str(getattr(key, "curve_name", ""))
    except KeyError:
        return "?"


def _described(key: Key) -> str:
    return " ".join(filter(None, (key.key_type, _curve(key), "key")))


def json_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object in which no name stands twice and each number is one.

    Raises:
        MalformedError: it is none.
        RecursionError: it is nested too deeply.
    """
    found: object = None
    with suppress(ValueError):
        found = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_number)
    if not isinstance(found, dict):
        raise MalformedError
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedError
    return found


def _no_number(_: str) -> NoReturn:
    raise MalformedError

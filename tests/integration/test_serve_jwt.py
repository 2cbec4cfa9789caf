"""The service behind JSON Web Tokens, as its users run it: a real process, keys in files."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING, Any, Final

from joserfc import jwt
from joserfc.jwk import ECKey
from tests.integration.served import COMMAND, environment, served

from tasker_health.adapters.auth.tokens import digest, new_token
from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.postgres_server import OwnPostgresServer

OLD: Final = ECKey.generate_key("P-256")
NEW: Final = ECKey.generate_key("P-256")
ISSUER: Final = "https://issuer.example"
SETTINGS: Final = {
    "jwt_algorithms": "ES256",
    "jwt_issuer": ISSUER,
    "jwt_audience": "tasker",
    "status_requires_authentication": "true",
    "authorization_enabled": "true",
}
PERMITTED: Final = {"permissions": ["tasker.health_status:index"]}


def keys(**named: ECKey) -> str:
    """Give a JWK Set."""
    return json.dumps({"keys": [key.as_dict(private=False, kid=kid) for kid, key in named.items()]})


def bearer(key: ECKey, kid: str, **more: object) -> dict[str, str]:
    """Give the header of who bears a token, good for a minute."""
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": "tasker",
        "sub": "alice",
        "exp": int(time.time()) + 60,
    }
    token = jwt.encode({"alg": "ES256", "kid": kid}, claims | more, key)
    return {"Authorization": f"Bearer {token}"}


def test_tokens_over_http(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """The guide's rule holds over a socket, and nothing of a token is logged."""
    path = tmp_path / "jwks.json"
    path.write_text(keys(old=OLD))
    url = postgres.create_database(Generation.ENGINE)
    with served(tmp_path, database_url=url, jwt_jwks_file=path, **SETTINGS) as service:
        service.wait_for("ready", 200)
        assert service.ask("live").status == 200
        anonymous = service.ask("status")
        assert anonymous.status == 401
        assert anonymous.headers["www-authenticate"].startswith("Bearer")
        permitted = bearer(OLD, "old", **PERMITTED)
        answer = service.ask("status", **permitted)
        assert answer.status == 200
        assert answer.headers["cache-control"] == "private, no-store"
        assert service.ask("status", **bearer(OLD, "old")).status == 403
        for bad in (
            bearer(NEW, "old", **PERMITTED),
            bearer(OLD, "new", **PERMITTED),
            bearer(OLD, "old", aud="other", **PERMITTED),
            bearer(OLD, "old", exp=int(time.time()) - 31, **PERMITTED),
            {"Authorization": permitted["Authorization"] + "A"},
        ):
            refused = service.ask("status", **bad)
            assert refused.status == 401
            assert b"total_tasks" not in refused.body
        assert service.stop() == 0
        assert permitted["Authorization"].split(".")[1] not in service.log


def test_a_million_bytes_of_token(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """A huge header is refused at once and harms nobody who comes after."""
    path = tmp_path / "jwks.json"
    path.write_text(keys(old=OLD))
    url = postgres.create_database(Generation.ENGINE)
    with served(tmp_path, database_url=url, jwt_jwks_file=path, **SETTINGS) as service:
        service.wait_for("ready", 200)
        for size in (20_000, 1_000_000):
            try:
                status = service.ask("status", Authorization="Bearer a.b." + "c" * size).status
            except OSError:
                status = 400  # the server hung up on the rest of the header
            assert 400 <= status < 500
        assert service.ask("status", **bearer(OLD, "old", **PERMITTED)).status == 200


def test_keys_rotate_and_heal(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """A new set serves within moments; while it is bad nobody gets in and readiness says so."""
    path = tmp_path / "jwks.json"
    path.write_text(keys(old=OLD))
    url = postgres.create_database(Generation.ENGINE)
    with served(tmp_path, database_url=url, jwt_jwks_file=path, **SETTINGS) as service:
        service.wait_for("ready", 200)

        def eventually(key: ECKey, kid: str, status: int) -> None:
            deadline = time.monotonic() + 10
            while service.ask("status", **bearer(key, kid, **PERMITTED)).status != status:
                assert time.monotonic() < deadline
                time.sleep(0.05)

        eventually(OLD, "old", 200)
        path.write_text(keys(new=NEW))
        eventually(NEW, "new", 200)
        eventually(OLD, "old", 401)
        path.write_text("{")
        eventually(NEW, "new", 503)
        check = service.wait_for("ready", 503).document["checks"]["configuration"]
        assert (check["status"], check["reason"]) == ("error", "unreadable")
        path.write_text(keys(new=NEW))
        service.wait_for("ready", 200)  # though nobody brings a token meanwhile
        eventually(NEW, "new", 200)


def test_tokens_of_both_kinds(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """An API token and a JWT are told apart by their shape, and both are offered."""
    path, tokens, token = tmp_path / "jwks.json", tmp_path / "tokens.toml", new_token()
    path.write_text(keys(old=OLD))
    tokens.write_text(
        f'[grafana]\nsha256 = "{digest(token).hex()}"\ncreated = 2025-01-01T00:00:00Z\n'
        'permissions = ["tasker.health_status:index"]\n'
    )
    tokens.chmod(0o600)
    url = postgres.create_database(Generation.ENGINE)
    with served(
        tmp_path, database_url=url, jwt_jwks_file=path, tokens_file=tokens, **SETTINGS
    ) as service:
        service.wait_for("ready", 200)
        assert service.ask("status", Authorization=f"Bearer {token}").status == 200
        assert service.ask("status", **bearer(OLD, "old", **PERMITTED)).status == 200
        assert service.ask("status", Authorization="Bearer neither").status == 401
        assert service.ask("status").headers["www-authenticate"].startswith("Basic")  # the last


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    """The service does not start without the keys that it was told to trust."""
    told = environment(
        database_url="postgresql://127.0.0.1:1/x", jwt_jwks_file=tmp_path / "none", **SETTINGS
    )
    ended = subprocess.run(  # noqa: S603  our own command
        [COMMAND, "serve", "--port", "0"],
        env=told,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "TASKER_HEALTH_JWT_JWKS_FILE" in ended.stderr
    assert "Traceback" not in ended.stderr

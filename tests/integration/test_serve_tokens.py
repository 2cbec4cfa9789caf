"""API tokens as their users know them: the real command, the real service, a real file."""

from __future__ import annotations

import base64
import subprocess
from typing import TYPE_CHECKING

from tests.integration.served import COMMAND, Served, environment, served

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.postgres_server import OwnPostgresServer

PERMISSION = "tasker.health_status:index"


def token(path: Path, *words: str) -> str:
    """Run ``tasker-health token`` over a file; give what it printed."""
    ended = subprocess.run(  # noqa: S603  our own command
        [COMMAND, "token", *words],
        env=environment(tokens_file=path),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def bearer(secret: str) -> dict[str, str]:
    """Bring a token as curl does with ``-H``."""
    return {"Authorization": f"Bearer {secret}"}


def basic(secret: str) -> dict[str, str]:
    """Bring it as curl does with ``-u``, and a browser."""
    return {"Authorization": f"Basic {base64.b64encode(f'me:{secret}'.encode()).decode()}"}


def becomes(service: Served, secret: str, status: int) -> None:
    """See that the status answers so to a token within two seconds."""
    service.wait_for("status", status, within_seconds=2, **bearer(secret))


def test_a_token_opens_the_status_until_it_is_revoked(
    tmp_path: Path, postgres: OwnPostgresServer
) -> None:
    """Made, used either way, revoked; the file lost and found: all without a restart."""
    path = tmp_path / "tokens.toml"
    secret = token(path, "create", "grafana", "--permission", PERMISSION)
    settings = {
        "database_url": postgres.create_database(Generation.ENGINE),
        "tokens_file": path,
        "status_requires_authentication": True,
        "authorization_enabled": True,
    }
    with served(tmp_path, **settings) as service:
        service.wait_for("ready", 200)
        assert service.ask("status").status == 401
        assert service.ask("status", **bearer("tht_guessed")).status == 401
        for brought in (bearer(secret), basic(secret)):
            answer = service.ask("status", **brought)
            assert answer.status == 200
            assert answer.headers["cache-control"] == "private, no-store"

        poor = token(path, "create", "poor", "--expires", "1d")
        becomes(service, poor, 403)

        kept = path.read_bytes()
        path.unlink()
        lost = service.wait_for("ready", 503)
        assert lost.document["checks"]["configuration"]["reason"] == "unreadable"
        assert lost.document["checks"]["database"]["status"] == "ok"
        assert service.ask("live").status == 200
        assert service.ask("status", **bearer(secret)).status == 503
        path.write_bytes(kept)
        service.wait_for("ready", 200)
        becomes(service, secret, 200)

        token(path, "revoke", "grafana")
        becomes(service, secret, 401)
        assert service.ask("status", **basic(secret)).status == 401
        assert "grafana" not in token(path, "list")
        assert service.stop() == 0
        assert "tht_" not in service.log
        assert f"No such file or directory: '{path}'" in service.log

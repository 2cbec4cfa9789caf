"""The guide's load test, by its own command, on the real service over a real database."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Final

import pytest
from tests.integration.served import served
from tests.programs import program

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.postgres_server import OwnPostgresServer

REQUESTS: Final = 1000


@pytest.mark.parametrize("generation", Generation)
def test_a_load_test_fails_nothing(
    generation: Generation, tmp_path: Path, postgres: OwnPostgresServer
) -> None:
    """A thousand requests, ten at a time, on each endpoint: all answered, all 2xx."""
    url = postgres.create_database(generation)
    with served(tmp_path, database_url=url) as service:
        service.wait_for("ready", 200)
        for endpoint in ("ready", "live", "status"):
            told = _load(f"http://127.0.0.1:{service.port}/tasker/health/{endpoint}")
            assert _figure("Complete requests", told) == REQUESTS
            assert "Non-2xx" not in told
            assert _figure("Failed requests", told) == _figure(", Length", told), told


def _load(url: str) -> str:
    command = [str(program("ab")), "-q", "-n", str(REQUESTS), "-c", "10", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout  # noqa: S603  the guide's own tool, a URL of ours


def _figure(name: str, told: str) -> int:
    """Read a figure; ab has none where nothing failed, and counts other lengths as failures."""
    found = re.search(rf"{name}:\s+(\d+)", told)
    return int(found[1]) if found else 0

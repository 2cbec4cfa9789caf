"""``tasker-health doctor`` as a user runs it, and the debug hook of a running service."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import anyio
import pytest
from tests.integration.served import COMMAND, environment, served
from tests.integration.tasker_databases import make_sqlite

from tasker_health.entrypoints import cli

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.redis_server import RedisServer

AWAY = "postgresql://canary-user:canary-s3cret@127.0.0.1:1/tasker"


@pytest.fixture
def tasker(tmp_path: Path) -> str:
    """Make a Tasker's database, empty, in a file."""
    return anyio.run(make_sqlite, tmp_path)


def doctor(*words: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(  # noqa: S603  our own command
        [COMMAND, "doctor", *words],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_no_problem_is_code_0(tasker: str) -> None:
    """Every line fits 80 columns and has no colour where nobody looks."""
    ran = doctor(database_url=tasker, readiness_timeout_seconds=5)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("ok       database       SQLite 3.")
    assert max(map(len, ran.stdout.splitlines())) <= 80
    assert "\x1b" not in ran.stdout


def test_a_problem_is_code_1_and_json_one_line() -> None:
    """The worst comes first, with its remedy, and no secret is told."""
    ran = doctor("--json", database_url=AWAY)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout.count("\n") == 1
    told = json.loads(ran.stdout)
    assert told["grade"] == "problem"
    assert told["findings"][0]["area"] == "database"
    assert told["findings"][0]["remedy"].startswith("Nothing listens there")
    assert "canary" not in ran.stdout


@pytest.mark.parametrize(
    ("words", "settings", "told"),
    [
        ([], {}, "TASKER_HEALTH_DATABASE_URL is missing"),
        ([], {"database_url": AWAY, "cache_url": "ftp://h"}, "TASKER_HEALTH_CACHE_URL is of"),
        (["--permission", "x"], {"database_url": AWAY}, "--permission is 'x'"),
        (["--token-file", "/none"], {"database_url": AWAY}, "--token-file is '/none'"),
        (["--timeout", "0"], {"database_url": AWAY}, "not in the range"),
    ],
)
def test_a_wrong_call_is_one_line_and_code_2(
    words: list[str],
    settings: dict[str, str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is asked of anybody."""
    for name, value in settings.items():
        monkeypatch.setenv(f"TASKER_HEALTH_{name.upper()}", value)
    assert cli.main(["doctor", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert err.count("\n") == 1


def test_every_request_has_its_line_while_somebody_debugs(
    tasker: str, tmp_path: Path, redis_server: RedisServer
) -> None:
    """Who asked, what, and how pool and cache were; what a header claims is not believed."""
    settings = {"database_url": tasker, "cache_url": redis_server.url, "debug_requests": "true"}
    with served(tmp_path, **settings) as service:
        headers = {"X-Forwarded-For": "203.0.113.9", "Authorization": "Bearer canary-s3cret"}
        for path in ("ready", "live", "status?canary=canary-s3cret", "none"):
            service.ask(path, **headers)
        service.stop()
        lines = [json.loads(line) for line in service.log.splitlines()]
    seen = [line for line in lines if line["event"] == "health_requested"]
    assert [(line["path"].rpartition("/")[2], line["code"]) for line in seen] == [
        ("ready", 200),
        ("live", 200),
        ("status", 200),
        ("none", 404),
    ]
    assert {(line["remote_address"], line["pool_size"], line["cache"]) for line in seen} == {
        ("127.0.0.1", 2, "redis")
    }
    assert {"pool_checked_out", "pool_waiting", "took_ms"} <= seen[2].keys()
    assert "canary" not in str(lines)
    assert "203.0.113.9" not in str(lines)

"""The circuit breaker of ``examples``, before the real service."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest
from tests.integration.processes import free_port
from tests.integration.served import served
from tests.integration.tasker_databases import make_sqlite

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from tests.integration.postgres_server import OwnPostgresServer

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "circuit_breaker.py"


def example() -> Any:
    """Import the example."""
    spec = importlib.util.spec_from_file_location("circuit_breaker", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_opens_when_the_instance_is_gone_and_closes_when_it_lives(tmp_path: Path) -> None:
    """Three failures stop the calls; liveness, asked once a rest, lets them through again."""
    breaker_of, now, asked = example(), [0.0], list[bool]()
    url, port = anyio.run(make_sqlite, tmp_path), free_port()
    place = f"http://127.0.0.1:{port}"
    lives = breaker_of.liveness(place)

    def alive() -> bool:
        asked.append(lives())
        return asked[-1]

    breaker = breaker_of.CircuitBreaker(alive, rest_seconds=5, now=lambda: now[0])

    def status() -> int:
        code, _ = breaker.call(lambda: breaker_of.ask(place, breaker_of.STATUS, 5))
        return int(code)

    with served(tmp_path, "serve", "--port", str(port), database_url=url) as service:
        assert status() == 200
        service.process.kill()
        service.process.wait()
    for _ in range(3):
        assert not breaker.is_open
        with pytest.raises(OSError, match="refused"):
            status()
    for now[0] in (1.0, 5.0, 6.0, 10.0):  # the rests end at 5 and 10
        with pytest.raises(breaker_of.CircuitOpenError):
            status()
    assert asked == [False, False]
    with served(tmp_path, "serve", "--port", str(port), database_url=url):
        now[0] = 15.0
        assert status() == 200
        assert asked == [False, False, True]
        assert not breaker.is_open


def test_a_lost_database_opens_nothing(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """Liveness needs the process alone: a breaker that asked readiness would stay open."""
    breaker_of, now = example(), [0.0]
    url = postgres.create_database(Generation.ENGINE)
    with served(tmp_path, database_url=url) as service:
        service.wait_for("ready", 200)
        place = f"http://127.0.0.1:{service.port}"
        breaker = breaker_of.CircuitBreaker(breaker_of.liveness(place), now=lambda: now[0])

        def fails() -> None:
            raise TimeoutError

        for _ in range(3):
            with pytest.raises(TimeoutError):
                breaker.call(fails)
        assert breaker.is_open
        postgres.freeze()
        service.wait_for("ready", 503)
        now[0] = 60.0
        assert breaker.call(lambda: breaker_of.ask(place, breaker_of.LIVE, 5))[0] == 200
        assert not breaker.is_open


def test_it_runs_as_a_command() -> None:
    """Before an instance that is not there it says three failures, and then that it is open."""
    place = f"http://127.0.0.1:{free_port()}"
    process = subprocess.Popen(  # noqa: S603  our own example
        [sys.executable, EXAMPLE, place], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        said = [process.stdout.readline().partition(":")[0] for _ in range(4)]
    finally:
        process.kill()
        process.communicate()
    assert said == ["failed", "failed", "failed", "open"]

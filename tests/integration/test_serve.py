"""The service as its users run it: a real process over real PostgreSQL and Redis."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from tests.integration.postgres_server import PASSWORD
from tests.integration.served import COMMAND, Served, environment, served

from tasker_health.domain.database import Generation
from tasker_health.simulation.schema import ddl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.postgres_server import OwnPostgresServer
    from tests.integration.redis_server import RedisServer

GUIDE_CHECKS = ["database", "migrations", "configuration"]


@pytest.mark.parametrize("generation", list(Generation))
def test_the_three_endpoints_answer(
    tmp_path: Path, postgres: OwnPostgresServer, redis_server: RedisServer, generation: Generation
) -> None:
    """Over either generation, with Redis, each endpoint gives the guide's document."""
    url = postgres.create_database(generation)
    with served(tmp_path, database_url=url, cache_url=redis_server.url) as service:
        ready = service.wait_for("ready", 200)  # a busy machine may connect late
        live, status = service.ask("live"), service.ask("status")
        assert (live.status, status.status) == (200, 200)
        assert ready.document["ready"] is True
        assert list(ready.document["checks"])[:3] == GUIDE_CHECKS
        assert live.document["alive"] is True
        assert status.document["status"] == "healthy"
        assert status.document["system_health"]["total_tasks"] == 0
        assert status.document["cache_info"]["cached"] is False
        assert service.ask("status").document["cache_info"]["cached"] is True
        assert service.ask("/tasker/openapi.json").document["openapi"].startswith("3.")
        assert service.stop() == 0
        assert PASSWORD not in service.log


@pytest.mark.parametrize("endpoint", ["ready", "live", "status"])
def test_head_and_options_agree_with_get(
    tmp_path: Path, postgres: OwnPostgresServer, endpoint: str
) -> None:
    """Whichever method a load balancer probes with, the verdict is the same."""
    url = postgres.create_database(Generation.ENGINE)
    with served(tmp_path, database_url=url) as service:
        service.wait_for(endpoint, 200)
        answers = [service.ask(endpoint, method) for method in ("GET", "HEAD", "OPTIONS")]
        assert [answer.status for answer in answers] == [200, 200, 200]
        assert [answer.body == b"" for answer in answers] == [False, True, True]
        assert service.ask(endpoint, "POST").status == 405


def test_a_database_that_is_down_is_no_start_error(
    tmp_path: Path, postgres: OwnPostgresServer
) -> None:
    """It starts, says what is wrong without a secret, and heals when the database comes up."""
    url = postgres.create_database(Generation.ENGINE)
    postgres.stop()
    try:
        with served(tmp_path, database_url=url) as service:
            ready = service.ask("ready")
            assert service.ask("live").status == 200
            assert ready.status == 503
            assert ready.document["checks"]["database"]["reason"] == "refused"
            assert service.ask("status").status == 503
            postgres.start()
            service.wait_for("ready", 200)
            service.wait_for("status", 200)
            assert PASSWORD not in service.log
    finally:
        postgres.restart()


def test_a_database_without_tables_is_no_start_error(
    tmp_path: Path, postgres: OwnPostgresServer
) -> None:
    """Until Tasker's migrations have run it is not ready, and then it is."""
    url = postgres.create_database()
    with served(tmp_path, database_url=url) as service:
        ready = service.ask("ready")
        assert ready.status == 503
        assert ready.document["checks"]["migrations"]["reason"] == "pending"
        postgres.execute(*ddl(Generation.CORE, "postgresql"), database=url.rsplit("/", 1)[1])
        service.wait_for("ready", 200)


def test_processes_share_one_report_through_redis(
    tmp_path: Path, postgres: OwnPostgresServer, redis_server: RedisServer
) -> None:
    """What one process measured, another serves as cached."""
    url = postgres.create_database(Generation.ENGINE)
    settings = {"database_url": url, "cache_url": redis_server.url, "cache_timeout_seconds": 1}
    with served(tmp_path, **settings) as one, served(tmp_path, **settings) as other:
        measured = one.ask("status").document
        deadline = time.monotonic() + 5  # the report is shared without the caller's waiting
        while not redis_server_holds_a_report(redis_server):
            assert time.monotonic() < deadline
        taken = other.ask("status").document
        assert taken["cache_info"]["cached"] is True
        assert taken["timestamp"] == measured["timestamp"]


def redis_server_holds_a_report(redis_server: RedisServer) -> bool:
    """Ask Redis itself whether there is a key of ours."""
    from redis import Redis  # noqa: PLC0415  this test's alone

    with Redis.from_url(redis_server.url) as client:
        return bool(client.keys("tasker_health:*"))


def test_500_simultaneous_cold_requests_are_one_measurement(
    tmp_path: Path, postgres: OwnPostgresServer
) -> None:
    """All get the same report, and PostgreSQL's own log shows that one view was opened."""
    url = postgres.create_database(Generation.ENGINE)
    name = url.rsplit("/", 1)[1]
    postgres.execute(f"ALTER DATABASE {name} SET log_statement = 'all'")
    with served(tmp_path, database_url=url) as service:
        answers = asyncio.run(_at_once(service.port, 500))
    assert {answer.split(b"\r\n", 1)[0] for answer in answers} == {b"HTTP/1.1 200 OK"}
    bodies = {answer.split(b"\r\n\r\n", 1)[1] for answer in answers}
    # Who came when the report was there already is told so; nothing else differs.
    assert len({body.replace(b'"cached":true', b'"cached":false') for body in bodies}) == 1
    log = (postgres._folder / "log").read_text(errors="replace")
    assert log.count("BEGIN ISOLATION LEVEL REPEATABLE READ") == 1


async def _at_once(port: int, callers: int) -> list[bytes]:
    """Connect them all first, then let them all ask."""
    request = b"GET /tasker/health/status HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(callers)]
    for _, writer in streams:
        writer.write(request)
    try:
        async with asyncio.timeout(20):
            return await asyncio.gather(*(reader.read() for reader, _ in streams))
    finally:
        for _, writer in streams:
            writer.close()


def test_a_lost_worker_is_replaced(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """With two workers the service outlives either, and ends as a whole."""
    url = postgres.create_database(Generation.ENGINE)
    with served(tmp_path, "serve", "--workers", "2", database_url=url) as service:
        before = service.workers
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        deadline = time.monotonic() + 10
        while len(service.workers) < 2 or before[0] in service.workers:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        service.wait_for("ready", 200)
        last = service.workers
        assert service.stop() == 0
        assert not [pid for pid in last if _alive(pid)]


def test_workers_end_with_their_parent(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """When the parent is killed outright, no worker goes on."""
    url = postgres.create_database(Generation.ENGINE)
    with served(tmp_path, "serve", "--workers", "2", database_url=url) as service:
        workers = service.workers
        service.stop(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while any(map(_alive, workers)):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123  no path but a process
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_drains(tmp_path: Path, postgres: OwnPostgresServer, workers: str) -> None:
    """After SIGTERM readiness says so on new connections, all else is answered, and it ends."""
    url = postgres.create_database(Generation.ENGINE)
    settings = {"database_url": url, "drain_delay_seconds": 3}
    with served(tmp_path, "serve", "--workers", workers, **settings) as service:
        service.wait_for("ready", 200)
        service.process.send_signal(signal.SIGTERM)
        service.wait_until_draining(within_seconds=2)
        assert service.ask("ready").status == 503
        assert service.ask("live").status == 200
        assert service.ask("status").status == 200
        assert service.process.wait(3 + 10) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_signal_cuts_the_delay(
    tmp_path: Path, postgres: OwnPostgresServer, workers: str
) -> None:
    """Who sends SIGTERM twice does not wait for the delay; SIGINT never does."""
    url = postgres.create_database(Generation.ENGINE)
    settings = {"database_url": url, "drain_delay_seconds": 60}
    with served(tmp_path, "serve", "--workers", workers, **settings) as service:
        service.process.send_signal(signal.SIGTERM)
        service.wait_until_draining()
        assert service.stop(signal.SIGTERM) == 0
    with served(tmp_path, "serve", "--workers", workers, **settings) as service:
        assert service.stop(signal.SIGINT) == 0
        assert "Traceback" not in service.log


def test_a_second_ctrl_c_waits_for_nobody(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """What is under way is waited for after one SIGINT, and dropped after another."""
    url = postgres.create_database(Generation.ENGINE)
    settings = {"status_timeout_seconds": 60, "measurement_timeout_seconds": 50}
    with served(tmp_path, database_url=url, **settings) as service:
        service.wait_for("ready", 200)
        postgres.freeze()
        try:
            with socket.create_connection(("127.0.0.1", service.port), 30) as connection:
                connection.sendall(b"GET /tasker/health/status HTTP/1.1\r\nHost: h\r\n\r\n")
                service.ask("live")  # the request before it was taken as well
                service.process.send_signal(signal.SIGINT)
                with pytest.raises(subprocess.TimeoutExpired):
                    service.process.wait(1.0)
                assert service.stop(signal.SIGINT) == 0
        finally:
            postgres.thaw()


def test_a_port_in_use_is_one_line(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """The second service on a port ends with 2 and names the port."""
    url = postgres.create_database(Generation.ENGINE)
    with served(tmp_path, database_url=url) as service:
        for workers in ("1", "2"):
            ended = subprocess.run(  # noqa: S603  our own command
                [COMMAND, "serve", "--port", str(service.port), "--workers", workers],
                env=environment(database_url=url),
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert ended.returncode == 2
            assert ended.stdout == ""
            assert ended.stderr == (
                f"tasker-health: --port is {service.port}:"
                " allowed is a port that is free for us (address already in use)\n"
            )


def test_authorization_without_anybody_to_recognise_is_closed(
    tmp_path: Path, postgres: OwnPostgresServer
) -> None:
    """It starts, warns once, answers 403 on the status, and the probes stay open."""
    url = postgres.create_database(Generation.ENGINE)
    with served(tmp_path, database_url=url, authorization_enabled=True) as service:
        assert service.ask("status").status == 403
        service.wait_for("ready", 200)
        assert service.stop() == 0
        assert service.log.count("nobody can be recognised") == 1


def test_classes_of_the_users_decide(
    tmp_path: Path, postgres: OwnPostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An authenticator and a coordinator given by name are the ones who are asked."""
    (tmp_path / "who_may.py").write_text(
        "class Names:\n"
        "    async def authenticate(self, credentials):\n"
        "        return credentials.headers.get('x-name')\n"
        "class OnlyAlice:\n"
        "    async def is_authorized(self, user, permission):\n"
        "        return user == 'alice' and str(permission) == 'tasker.health_status:index'\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings = {
        "database_url": postgres.create_database(Generation.ENGINE),
        "status_requires_authentication": True,
        "authorization_enabled": True,
        "authenticator_class": "who_may:Names",
        "authorization_coordinator_class": "who_may:OnlyAlice",
    }
    with served(tmp_path, **settings) as service:
        assert service.ask("status").status == 401
        assert service.ask("status", **{"X-Name": "bob"}).status == 403
        assert service.ask("status", **{"X-Name": "alice"}).status == 200


def test_check_asks_the_running_service(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """The health check of a container gives 0 and one line, and 1 when it is not ready."""

    def check(service: Served, endpoint: str) -> tuple[int, str]:
        ended = subprocess.run(  # noqa: S603  our own command
            [COMMAND, "check", endpoint, "--url", f"http://127.0.0.1:{service.port}"],
            env=environment(prefix="/t"),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert ended.stderr == ""
        return ended.returncode, ended.stdout

    settings = {"database_url": postgres.create_database(), "prefix": "/t"}
    with served(tmp_path, **settings) as service:
        assert check(service, "live") == (0, "live: 200\n")
        assert check(service, "ready") == (1, "ready: 503 not ready: migrations pending\n")
        assert check(service, "status")[0] == 1


def test_the_demo_is_served_and_ends_quietly(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """It shows a Tasker at work, leaves the database of the environment alone, ends on Ctrl-C."""
    url = postgres.create_database()
    with served(tmp_path, "demo", database_url=url) as service:
        health = service.wait_for("status", 200).document["system_health"]
        assert health["completed_tasks"] > 0
        assert service.wait_for("ready", 200).document["ready"] is True
        assert service.stop(signal.SIGINT) == 0
        assert "Traceback" not in service.log
    name = url.rsplit("/", 1)[1]
    with postgres.connect(name) as connection:
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        assert connection.execute(tables).fetchone() == (0,)
    assert postgres.sessions("tasker-health") == []

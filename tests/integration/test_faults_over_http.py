"""Real faults under a real, probed service: what Kubernetes and a load balancer would see.

A prober asks ready and live twenty times a second on connections of their own, while the
database is frozen, killed, stopped, refused or locked, or the cache is. For every fault:
live is 200 always; ready is 503 from one reuse period after it, in time, with a reason; the
service is ready again within a second of the fault's end; nothing leaks; the log has lines
for transitions alone and no secret.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs
import pytest
from tests.integration.served import Served, served

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.postgres_server import OwnPostgresServer
    from tests.integration.redis_server import RedisServer

pytestmark = pytest.mark.faults

REUSE_SECONDS: Final = 1.0
BUDGET_SECONDS: Final = 0.1
FAULT_SECONDS: Final = 5.0
PERIOD_SECONDS: Final = 0.05
HEALED_SECONDS: Final = 1.0


@attrs.frozen
class Probe:
    """One probe: when it began, what came, how long it took."""

    began: float
    status: int
    body: bytes
    took: float


class Prober(threading.Thread):
    """Asks one endpoint again and again, until it is told to stop."""

    def __init__(self, service: Served, endpoint: str) -> None:
        super().__init__(daemon=True)
        self._service = service
        self._endpoint = endpoint
        self._over = threading.Event()
        self.probes: list[Probe] = []

    def run(self) -> None:
        """Probe at a steady pace."""
        while not self._over.wait(PERIOD_SECONDS):
            began = time.monotonic()
            answer = self._service.ask(self._endpoint)
            self.probes.append(Probe(began, answer.status, answer.body, time.monotonic() - began))

    def stop(self) -> None:
        """Stop and wait for the last answer."""
        self._over.set()
        self.join(20)

    def between(self, since: float, until: float) -> list[Probe]:
        """Pick the probes that began in a span of time."""
        return [probe for probe in self.probes if since <= probe.began < until]


class Watch:
    """What both probers saw around one fault."""

    def __init__(self, service: Served) -> None:
        self.service = service
        self.ready, self.live = Prober(service, "ready"), Prober(service, "live")
        self.broken_at = self.mended_at = 0.0

    def assert_kept(self, *reasons: str) -> None:
        """Hold what was seen against what is promised."""
        assert {probe.status for probe in self.live.probes} == {200}
        assert self.slow(self.live) < BUDGET_SECONDS
        down = self.ready.between(self.broken_at + REUSE_SECONDS, self.mended_at)
        assert len(down) > FAULT_SECONDS
        assert {probe.status for probe in down} == {503}
        told = {json.loads(probe.body)["checks"]["database"]["reason"] for probe in down}
        assert told <= set(reasons), told
        assert statistics.quantiles([probe.took for probe in down], n=100)[98] < BUDGET_SECONDS
        healed = self.ready.between(self.mended_at + HEALED_SECONDS, float("inf"))
        assert healed
        assert {probe.status for probe in healed} == {200}

    @staticmethod
    def slow(prober: Prober) -> float:
        """Tell how long the 99th of a hundred probes took."""
        return statistics.quantiles([probe.took for probe in prober.probes], n=100)[98]


@contextmanager
def watched(service: Served) -> Iterator[Watch]:
    """Probe before, during and after."""
    watch = Watch(service)
    watch.ready.start()
    watch.live.start()
    try:
        yield watch
        time.sleep(HEALED_SECONDS + 1.5)
    finally:
        watch.ready.stop()
        watch.live.stop()


def descriptors(service: Served) -> int:
    """Count what the service's process holds open."""
    return len(os.listdir(f"/proc/{service.process.pid}/fd"))  # noqa: PTH208  a count


def settled(service: Served, baseline: int) -> None:
    """Wait until no more is open than before, and a connection of slack for a late close."""
    deadline = time.monotonic() + 10
    while descriptors(service) > baseline + 1:
        assert time.monotonic() < deadline, "descriptors leak"
        time.sleep(0.1)


def lines(service: Served, subject: str) -> list[dict[str, str]]:
    """Pick the log's lines about one subject."""
    found = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    return [line for line in found if line.get("subject") == subject]


def frozen(postgres: OwnPostgresServer) -> tuple[Callable[[], None], Callable[[], None]]:
    """Freeze the server and all its children, and thaw them."""
    return postgres.freeze, postgres.thaw


def stopped(postgres: OwnPostgresServer) -> tuple[Callable[[], None], Callable[[], None]]:
    """Stop the server at once, as a crash does, and start it again."""
    return (lambda: postgres.stop("immediate")), postgres.start


@pytest.mark.parametrize(
    ("fault", "reasons"),
    [
        (frozen, ("timeout",)),
        (stopped, ("refused", "recovering", "starting", "timeout")),
    ],
    ids=["frozen", "stopped"],
)
def test_the_database_goes_away_and_comes_back(
    tmp_path: Path,
    postgres: OwnPostgresServer,
    fault: Callable[[OwnPostgresServer], tuple[Callable[[], None], Callable[[], None]]],
    reasons: tuple[str, ...],
) -> None:
    """Every probe is answered in time and with the truth, before, during and after."""
    url = postgres.create_database(Generation.ENGINE)
    break_it, mend_it = fault(postgres)
    with served(tmp_path, database_url=url, cache_duration_seconds=1) as service:
        service.wait_for("ready", 200)
        service.wait_for("status", 200)
        baseline = descriptors(service)
        with watched(service) as watch:
            time.sleep(1)
            break_it()
            watch.broken_at = time.monotonic()
            time.sleep(FAULT_SECONDS)
            during = service.ask("status")
            mend_it()
            watch.mended_at = time.monotonic()
        watch.assert_kept(*reasons)
        assert during.status == 200
        assert during.document["cache_info"]["stale"] is True
        settled(service, baseline)
        assert len(postgres.sessions("tasker-health")) <= 1 + 5
        assert [line["after"] for line in lines(service, "readiness")] == [
            "ready",
            "not ready",
            "ready",
        ]
        assert "Traceback" not in service.log


def test_killed_backends_do_not_make_it_unready(
    tmp_path: Path, postgres: OwnPostgresServer
) -> None:
    """A connection that the server ended is replaced within the probe: no false 503."""
    url = postgres.create_database(Generation.ENGINE)
    with served(tmp_path, database_url=url) as service:
        service.wait_for("ready", 200)
        with watched(service) as watch:
            for _ in range(5):
                time.sleep(0.5)
                postgres.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'tasker-health'"
                )
        assert {probe.status for probe in watch.ready.probes} == {200}


def test_locked_tables_leave_it_ready(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """Somebody holds Tasker's tables: ready stays 200, the status is stale and in time."""
    url = postgres.create_database(Generation.ENGINE)
    name = url.rsplit("/", 1)[1]
    settings = {"cache_duration_seconds": 1, "measurement_timeout_seconds": 2}
    with served(tmp_path, database_url=url, **settings) as service:
        service.wait_for("ready", 200)
        service.wait_for("status", 200)
        with postgres.connect(name) as holder, watched(service) as watch:
            holder.execute("BEGIN; LOCK tasker_tasks IN ACCESS EXCLUSIVE MODE")
            time.sleep(FAULT_SECONDS)
            began = time.monotonic()
            during = service.ask("status")
            took = time.monotonic() - began
            holder.rollback()
        assert {probe.status for probe in watch.ready.probes} == {200}
        assert during.document["cache_info"]["stale"] is True
        assert took < 2 * BUDGET_SECONDS
        deadline = time.monotonic() + 5
        while service.ask("status").document["cache_info"]["stale"]:
            assert time.monotonic() < deadline


def test_a_frozen_cache_costs_a_moment(
    tmp_path: Path, postgres: OwnPostgresServer, redis_server: RedisServer
) -> None:
    """With Redis frozen the status comes from the source; readiness only tells."""
    url = postgres.create_database(Generation.ENGINE)
    settings = {"cache_url": redis_server.url, "cache_duration_seconds": 0.5}
    with served(tmp_path, database_url=url, **settings) as service:
        service.wait_for("status", 200)
        with watched(service) as watch:
            redis_server.freeze()
            for _ in range(10):
                time.sleep(0.5)
                answer = service.ask("status")
                assert answer.status == 200
            told = service.ask("ready").document["checks"]["cache"]
            redis_server.thaw()
        assert {probe.status for probe in watch.ready.probes} == {200}
        assert told == {"status": "degraded", "reason": "timeout"}


def test_asked_to_stop_while_the_database_is_frozen(
    tmp_path: Path, postgres: OwnPostgresServer
) -> None:
    """It drains, says so, and is gone no later than a second after the delay."""
    url = postgres.create_database(Generation.ENGINE)
    with served(tmp_path, database_url=url, drain_delay_seconds=2) as service:
        service.wait_for("ready", 200)
        postgres.freeze()
        service.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        service.wait_until_draining()
        assert service.ask("live").status == 200
        assert service.process.wait(15) == 0
        assert time.monotonic() - began < 2 + 1 + 1
        postgres.thaw()

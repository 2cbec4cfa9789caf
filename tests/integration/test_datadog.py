"""The guide's gauges, from a running service to real datagram sockets, and with nobody there."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs
import pytest
from tests.integration.failing_tasks import ended
from tests.integration.receivers import agent, gauges
from tests.integration.served import served

from tasker_health.adapters.sinks.dogstatsd import DogStatsdWatcher
from tasker_health.adapters.sinks.places import AgentAddress, agent_address
from tasker_health.domain.database import Generation
from tasker_health.domain.errors import DeliveryError
from tasker_health.domain.observing import Observation
from tasker_health.domain.status import PerformanceMetrics, StatusAnswer
from tasker_health.testing.reports import report

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.postgres_server import OwnPostgresServer

GUIDES: Final = {
    "tasker.tasks.total",
    "tasker.tasks.pending",
    "tasker.tasks.failed",
    "tasker.performance.avg_completion_time",
}
TAGS: Final = {"team:billing", "env:test"}


@pytest.mark.parametrize("kind", ["udp", "unix"])
def test_a_running_service_sends_the_guides_gauges(
    tmp_path: Path, postgres: OwnPostgresServer, kind: str
) -> None:
    """Four gauges in one datagram, again and again, with tags; the agent may go and come back."""
    url = postgres.create_database(Generation.ENGINE)
    ended(url, failed=3, completed=7)
    path = tmp_path / "dsd.socket" if kind == "unix" else None
    with agent(path) as first:
        address = first.url
        port = 0 if path else agent_address(address).port
        with served(
            tmp_path,
            database_url=url,
            dogstatsd_url=address,
            dogstatsd_interval_seconds=0.2,
            dogstatsd_tags="env:test, team:billing",
        ) as service:
            told = gauges(first.take())
            assert set(told) == GUIDES
            assert told["tasker.tasks.total"] == (10.0, TAGS)
            assert told["tasker.tasks.failed"] == (3.0, TAGS)
            assert told["tasker.performance.avg_completion_time"] == (2000.0, TAGS)
            assert set(gauges(first.take())) == GUIDES
            first.close()
            for _ in range(5):
                assert service.ask("live").status == 200
                time.sleep(0.1)  # some intervals in which nobody listens
            with agent(path, port) as second:
                assert set(gauges(second.take())) == GUIDES
            service.wait_for("ready", 200)
            assert service.stop() == 0
            lines = [line for line in service.log.splitlines() if "watcher:dogstatsd" in line]
            # Over UDP nobody can tell; of a socket it is told once that it went and that it came.
            told_of = [json.loads(line)["after"] for line in lines]
            assert told_of == ([] if kind == "udp" else ["failing", "working"])


def observed(*, stale: bool = False, average_ms: float | None = 2340.4) -> Observation:
    """Observe something."""
    told = report(
        performance=PerformanceMetrics(window_seconds=60, avg_task_completion_time_ms=average_ms)
    )
    answer = StatusAnswer(report=told, cached=True, stale=stale)
    return Observation(at=told.snapshot.at, status=answer)


def watcher(address: AgentAddress) -> DogStatsdWatcher:
    """Watch for an agent."""
    return DogStatsdWatcher(address, interval_seconds=30, tags=["team:billing"])


@pytest.mark.anyio
async def test_what_is_not_known_is_not_sent() -> None:
    """A number that is None is left out; without a fresh report nothing is sent at all."""
    with agent() as listening:
        sink = watcher(agent_address(listening.url))
        await sink.look(Observation(at=observed().at))
        await sink.look(observed(stale=True))
        await sink.look(observed(average_ms=None))
        await sink.look(observed())
        first, second = listening.take(), listening.take()
        with pytest.raises(TimeoutError):
            listening.take(within_seconds=0.05)
        await sink.aclose()
    assert set(gauges(first)) == GUIDES - {"tasker.performance.avg_completion_time"}
    assert gauges(second)["tasker.performance.avg_completion_time"] == (2340, {"team:billing"})


@pytest.mark.anyio
async def test_there_is_no_thread_and_no_telemetry() -> None:
    """However often it sends, only the gauges arrive, and no thread is left behind."""
    before = set(threading.enumerate())
    with agent() as listening:
        sink = watcher(agent_address(listening.url))
        for _ in range(20):
            await sink.look(observed())
        for _ in range(20):
            assert set(gauges(listening.take())) == GUIDES
        with pytest.raises(TimeoutError):
            listening.take(within_seconds=0.05)
        await sink.aclose()
    assert set(threading.enumerate()) == before


@pytest.mark.anyio
async def test_a_full_agent_blocks_nobody(tmp_path: Path) -> None:
    """An agent that reads nothing fails a look at once; when it reads again, all is well."""
    with agent(tmp_path / "dsd.socket") as listening:
        sink = watcher(agent_address(listening.url))
        longest, failures = 0.0, 0
        for _ in range(2000):
            began = time.monotonic()
            try:
                await sink.look(observed())
            except DeliveryError:
                failures += 1
            longest = max(longest, time.monotonic() - began)
            if failures > 3:
                break
        assert failures > 3
        assert longest < 1.0
        with suppress(TimeoutError):
            while listening.take(within_seconds=0.05):
                pass
        await sink.look(observed())
        assert set(gauges(listening.take())) == GUIDES
        await sink.aclose()


@pytest.mark.anyio
async def test_a_missing_socket_fails_each_look_without_a_word_of_its_own(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It is the look that says so; nothing is written where nobody asked for a log."""
    sink = watcher(AgentAddress(path=str(tmp_path / "nobody")))
    logging.getLogger("datadog").setLevel(logging.CRITICAL)
    for _ in range(3):
        with pytest.raises(DeliveryError, match="dogstatsd is not there"):
            await sink.look(observed())
    await sink.aclose()
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


@pytest.mark.anyio
async def test_a_dead_udp_agent_costs_nothing() -> None:
    """Nobody can tell whether it listens: no look fails."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    sink = watcher(AgentAddress(host="127.0.0.1", port=port))
    for _ in range(10):
        await sink.look(observed())
    await sink.aclose()


@pytest.mark.anyio
async def test_a_host_name_is_looked_up_away_from_the_loop() -> None:
    """A name that resolves is found; one that does not fails the look alone."""
    with agent() as listening:
        port = agent_address(listening.url).port
        sink = watcher(AgentAddress(host="localhost", port=port))
        await sink.look(observed())
        assert set(gauges(listening.take())) == GUIDES
        await sink.aclose()
    nowhere = watcher(AgentAddress(host="nobody.invalid", port=port))
    with pytest.raises(DeliveryError, match="does not resolve"):
        await nowhere.look(observed())
    await nowhere.aclose()


@pytest.mark.anyio
async def test_a_resolver_that_hangs_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look is given up; the next one waits for the same question; an old address will do."""
    asked = 0

    async def hang(*_: object, **__: object) -> list[object]:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr("tasker_health.adapters.sinks.dogstatsd._RESOLVE_SECONDS", 0.05)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", hang)
    sink = watcher(AgentAddress(host="slow.invalid", port=8125))
    for _ in range(2):
        with pytest.raises(DeliveryError, match="does not resolve"):
            await sink.look(observed())
    assert asked == 1
    with agent() as listening:
        sink._client.host = "127.0.0.1"
        sink._client.port = agent_address(listening.url).port
        await sink.look(observed())
        assert set(gauges(listening.take())) == GUIDES
    await sink.aclose()


@pytest.mark.anyio
async def test_datadogs_own_tags_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """What unified service tagging puts into the environment goes with each gauge."""
    for name, value in (("DD_ENV", "prod"), ("DD_SERVICE", "tasker"), ("DD_VERSION", "7")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DD_AGENT_HOST", "elsewhere.invalid")
    monkeypatch.setenv("DD_DOGSTATSD_URL", "udp://elsewhere.invalid:1")
    with agent() as listening:
        sink = watcher(attrs.evolve(agent_address(listening.url)))
        await sink.look(observed())
        told = gauges(listening.take())["tasker.tasks.total"]
        await sink.aclose()
    assert told == (100, {"team:billing", "env:prod", "service:tasker", "version:7"})

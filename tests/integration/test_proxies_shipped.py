"""The shipped files of HAProxy and NGINX: traffic leaves an instance in trouble, and returns.

A client asks all the while and may not see one error, whether an instance is killed, frozen
or drained, or its database is frozen.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
from tests.integration.fleet import two_instances
from tests.integration.processes import free_port
from tests.integration.proxies import HEALTH, LIVE, Traffic, haproxy, nginx, shipped

from tasker_health.entrypoints.options import Configuration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.fleet import Fleet
    from tests.integration.postgres_server import OwnPostgresServer
    from tests.integration.proxies import Haproxy, Nginx, Server

pytestmark = pytest.mark.faults

PATHS: Final = (*[LIVE] * 8, HEALTH)
"""What the client asks for: mostly anything at all, now and then whether all is well.

An odd number, so that with two instances taking turns each is asked everything.
"""

SOON: Final = 25.0
DRAIN_SECONDS: Final = Configuration().drain_delay_seconds


@contextmanager
def behind_haproxy(folder: Path, fleet: Fleet) -> Iterator[tuple[Haproxy, Traffic]]:
    """Run HAProxy with the shipped file, and a client that asks through it."""
    port = free_port()
    configuration = shipped("haproxy/haproxy.cfg", port, fleet.ports)
    with haproxy(folder, configuration, port, fleet.ports) as proxy:
        proxy.wait_for("tasker_servers", within_seconds=SOON, app1=_up, app2=_up)
        with Traffic(port, *PATHS) as traffic:
            yield proxy, traffic


@contextmanager
def behind_nginx(folder: Path, fleet: Fleet) -> Iterator[tuple[Nginx, Traffic]]:
    """Run NGINX with the shipped file, and a client that asks through it."""
    port = free_port()
    configuration = shipped("nginx/tasker.conf", port, fleet.ports)
    with (
        nginx(folder, configuration, port, fleet.ports) as proxy,
        Traffic(port, *PATHS) as traffic,
    ):
        yield proxy, traffic


BEHIND: Final = {"haproxy": behind_haproxy, "nginx": behind_nginx}


def _up(server: Server) -> bool:
    return server.status == "UP"


@pytest.mark.parametrize("kind", BEHIND)
def test_trouble_moves_traffic_away_and_back(
    kind: str, tmp_path: Path, postgres: OwnPostgresServer
) -> None:
    """A killed instance, then a frozen one, is left alone until it is back; nobody notices."""
    with (
        two_instances(tmp_path, postgres) as fleet,
        BEHIND[kind](tmp_path, fleet) as (proxy, traffic),
    ):
        proxy.wait_until_back("app1", traffic, within_seconds=SOON)
        proxy.wait_until_back("app2", traffic, within_seconds=SOON)

        fleet.kill("app1")
        proxy.wait_until_away("app1", traffic, within_seconds=SOON)
        fleet.start("app1")
        proxy.wait_until_back("app1", traffic, within_seconds=SOON)
        assert not traffic.errors

        fleet.freeze("app1")
        proxy.wait_until_away("app1", traffic, within_seconds=SOON)
        fleet.thaw("app1")
        proxy.wait_until_back("app1", traffic, within_seconds=SOON)
        assert not traffic.errors


@pytest.mark.parametrize("kind", BEHIND)
def test_a_frozen_database_moves_traffic_away_and_back(
    kind: str, tmp_path: Path, postgres: OwnPostgresServer
) -> None:
    """An instance that lives and is not ready is left alone; both at once are asked anyhow."""
    with (
        two_instances(tmp_path, postgres) as fleet,
        BEHIND[kind](tmp_path, fleet) as (proxy, traffic),
    ):
        postgres.freeze()
        fleet["app1"].wait_for("ready", 503)
        proxy.wait_until_away("app1", traffic, within_seconds=SOON)
        assert fleet["app1"].ask("live").status == 200
        assert not traffic.errors

        fleet.kill("app2")
        proxy.wait_until_away("app2", traffic, within_seconds=SOON)
        assert {proxy.ask(LIVE).status for _ in range(10)} == {200}
        assert proxy.ask(HEALTH).status in {502, 503}, "no instance is ready"
        broken = traffic.errors
        traffic.wait_for_more(30)
        assert {path for path, _ in traffic.errors - broken} == {HEALTH}

        fleet.start("app2")
        postgres.thaw()
        proxy.wait_until_back("app2", traffic, within_seconds=SOON)
        proxy.wait_until_back("app1", traffic, within_seconds=SOON)
        proxy.ask(HEALTH)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [("haproxy", ()), ("haproxy", ("--workers", "2")), ("nginx", ("--workers", "2"))],
)
def test_nobody_notices_a_drain(
    kind: str, arguments: tuple[str, ...], tmp_path: Path, postgres: OwnPostgresServer
) -> None:
    """SIGTERM moves traffic away before the instance ends, and its successor gets it back."""
    with (
        two_instances(tmp_path, postgres, *arguments) as fleet,
        BEHIND[kind](tmp_path, fleet) as (proxy, traffic),
    ):
        proxy.wait_until_back("app1", traffic, within_seconds=SOON)
        process = fleet["app1"].process
        process.send_signal(signal.SIGTERM)
        proxy.wait_until_away("app1", traffic, within_seconds=DRAIN_SECONDS)
        assert process.poll() is None, "it was gone before anybody could leave"
        assert process.wait(DRAIN_SECONDS + SOON) == 0
        traffic.wait_for_more(50)
        fleet.start("app1")
        proxy.wait_until_back("app1", traffic, within_seconds=SOON)
        assert not traffic.errors
        assert traffic.count > 100

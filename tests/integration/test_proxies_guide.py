"""Load balancers as the guide sets them up, with nothing but what it shows and defaults.

The directives are the guide's; hosts are those of the test, and what a configuration must
have besides stands around them.

Source: guide, *Load Balancer Configuration*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from tests.integration.fleet import two_instances
from tests.integration.processes import free_port
from tests.integration.proxies import HEALTH, LIVE, Traffic, haproxy, nginx

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.integration.postgres_server import OwnPostgresServer
    from tests.integration.proxies import Server

pytestmark = pytest.mark.faults

READY: Final = "/tasker/health/ready"
SOON: Final = 25.0
CHECKS: Final[Mapping[str, str]] = {
    "guide": f"option httpchk GET {READY}",
    "get": f"option httpchk GET {READY} HTTP/1.1\\r\\nHost:\\ tasker",
    "head": f"option httpchk HEAD {READY}",
    "options": f"option httpchk {READY}",
    "modern_get": f"option httpchk\nhttp-check send meth GET uri {READY} ver HTTP/1.1 hdr Host t",
    "modern_head": f"option httpchk\nhttp-check send meth HEAD uri {READY} ver HTTP/1.1 hdr Host t",
    "modern_options": f"option httpchk\nhttp-check send meth OPTIONS uri {READY} ver HTTP/1.1"
    " hdr Host t",
}
"""Ways to have HAProxy check: all of its methods, HTTP/1.0 without a Host and 1.1 with one."""


def _defaults(port: int, backend: str) -> str:
    return (
        "defaults\nmode http\ntimeout connect 1s\ntimeout client 10s\ntimeout server 10s\n"
        f"frontend all\nbind 127.0.0.1:{port}\ndefault_backend {backend}\n"
    )


def _backend(name: str, check: str, hosts: Mapping[str, int]) -> str:
    servers = "".join(f"server {host} 127.0.0.1:{at} check\n" for host, at in hosts.items())
    return f"backend {name}\nbalance roundrobin\n{check}\n{servers}"


def _answers(check: str, code: str) -> Callable[[Server], bool]:
    return lambda server: (server.check, server.code) == (check, code)


def test_nginx_as_the_guide_has_it(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """Of two instances one is killed: the health path goes on answering, by the other."""
    port = free_port()
    with two_instances(tmp_path, postgres) as fleet:
        servers = "".join(f"server 127.0.0.1:{at};" for at in fleet.ports.values())
        configuration = (
            f"upstream tasker_app {{ {servers} }}\n"
            f"server {{ listen 127.0.0.1:{port};\n"
            f"location {HEALTH} {{ access_log off;"
            f" proxy_pass http://tasker_app{READY}; proxy_set_header Host $host; }} }}\n"
        )
        with nginx(tmp_path, configuration, port, fleet.ports) as proxy:
            answers = [proxy.ask(HEALTH) for _ in range(4)]
            assert {answer.status for answer in answers} == {200}
            assert all(answer.document["ready"] for answer in answers)
            assert proxy.ask(HEALTH, "HEAD").status == 200
            assert not proxy.log(), "a probe is not logged"
            fleet.kill("app1")
            assert {proxy.ask(HEALTH).status for _ in range(10)} == {200}
            fleet.kill("app2")
            assert proxy.ask(HEALTH).status == 502


def test_haproxy_as_the_guide_has_it(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """Of two instances one is killed: it goes down, the other answers, and both do later."""
    port = free_port()
    with two_instances(tmp_path, postgres) as fleet:
        configuration = _defaults(port, "tasker_servers") + _backend(
            "tasker_servers", CHECKS["guide"], fleet.ports
        )
        with (
            haproxy(tmp_path, configuration, port, fleet.ports) as proxy,
            Traffic(port, LIVE) as traffic,
        ):
            proxy.wait_until_back("app1", traffic, within_seconds=SOON)
            fleet.kill("app1")
            proxy.wait_for(
                "tasker_servers", within_seconds=SOON, app1=lambda it: it.status == "DOWN"
            )
            proxy.wait_until_away("app1", traffic, within_seconds=SOON)
            broken = traffic.errors
            traffic.wait_for_more(30)
            assert traffic.errors == broken
            fleet.start("app1")
            proxy.wait_until_back("app1", traffic, within_seconds=SOON)


def test_all_ways_to_check_agree(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """GET, HEAD and OPTIONS, by HTTP/1.0 and 1.1, tell the same of what is ready and is not."""
    port = free_port()
    with two_instances(tmp_path, postgres) as fleet:
        configuration = _defaults(port, "guide") + "".join(
            _backend(name, check, fleet.ports) for name, check in CHECKS.items()
        )
        with haproxy(tmp_path, configuration, port, fleet.ports) as proxy:
            good, bad = _answers("L7OK", "200"), _answers("L7STS", "503")
            for name in CHECKS:
                proxy.wait_for(name, within_seconds=SOON, app1=good, app2=good)
            postgres.freeze()
            for name in CHECKS:
                proxy.wait_for(name, within_seconds=SOON, app1=bad, app2=good)
            postgres.thaw()
            for name in CHECKS:
                proxy.wait_for(name, within_seconds=SOON, app1=good, app2=good)

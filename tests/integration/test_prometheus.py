"""The real Prometheus and its tool over what we ship, and over what we tell.

Source: guide, *Prometheus Metrics* and *Optimization Tips* (alerts over 200 ms).
"""

from __future__ import annotations

import json
import math
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
from tests.integration.prometheus_server import SHIPPED, Prometheus, prometheus, shipped
from tests.integration.served import COMMAND, Served, environment, served
from tests.programs import program

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.postgres_server import OwnPostgresServer

DASHBOARD: Final = SHIPPED.parent / "grafana" / "tasker-health.json"
MINUTE: Final = 60.0
FORMS: Final = ("text/plain", "application/openmetrics-text")


def promtool(*words: str | Path, given: bytes = b"") -> str:
    """Run the tool; it must be content."""
    ran = subprocess.run(  # noqa: S603  a real program
        [program("promtool"), *words], input=given, capture_output=True, timeout=60, check=False
    )
    told = (ran.stdout + ran.stderr).decode()
    assert ran.returncode == 0, told
    return told


def test_the_tool_finds_nothing_in_what_we_ship(tmp_path: Path) -> None:
    """Both configurations and the rules are good; every alert fires and resolves."""
    folder = tmp_path / "etc"
    for name in ("prometheus.yml", "prometheus.authorized.yml"):
        file = shipped(folder, name, 8001)
        (folder / "tasker-health.token").write_text("x")
        assert "FAILED" not in promtool("check", "config", file)
    assert "SUCCESS" in promtool("check", "rules", SHIPPED / "tasker-health.rules.yml")
    assert "SUCCESS" in promtool("test", "rules", SHIPPED / "tasker-health.rules.test.yml")


def test_the_tool_finds_nothing_in_what_we_tell(
    tmp_path: Path, postgres: OwnPostgresServer
) -> None:
    """``promtool check metrics`` has no complaint about a living service's metrics."""
    url = postgres.create_database(Generation.ENGINE)
    with served(tmp_path, database_url=url) as service:
        service.wait_for("ready", 200)
        service.wait_for("status", 200)
        answer = service.ask("/tasker/metrics")
        assert b"tasker_health_readiness_duration_seconds_bucket" in answer.body
        assert promtool("check", "metrics", given=answer.body) == ""


@contextmanager
def probed(service: Served) -> Iterator[None]:
    """Ask as a kubelet and a dashboard do, until the end."""
    done = threading.Event()

    def ask() -> None:
        while not done.wait(1.0):
            service.ask("ready")
            service.ask("status")

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        done.set()
        asking.join(15)


def questions() -> list[tuple[str, str]]:
    """List what the dashboard asks, its variables filled in as Grafana does."""
    return [
        (panel["title"], expression["expr"].replace("$job", "tasker-health"))
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for expression in panel.get("targets", ())
    ]


@pytest.mark.faults
def test_a_minute_of_prometheus(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """With the shipped configuration every panel has data and every rule can be evaluated."""
    url = postgres.create_database()
    with (
        served(tmp_path, "demo", "--database-url", url) as service,
        probed(service),
        prometheus(shipped(tmp_path / "etc", "prometheus.yml", service.port)) as server,
    ):
        time.sleep(MINUTE)
        assert server.values('min_over_time(up{job="tasker-health"}[1m])') == [1]
        assert server.values('count_over_time(up{job="tasker-health"}[1m])') >= [3]
        for title, question in questions():
            found = server.values(question.replace("$__rate_interval", "1m"))
            assert found, f"{title}: no data for {question}"
            assert all(map(math.isfinite, found)), f"{title}: {found} for {question}"
        rules_are_evaluated(server)


def rules_are_evaluated(server: Prometheus) -> None:
    """See that no rule fails, and that none of them speaks of a healthy target."""
    rules = [rule for group in server.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 10
    for rule in rules:
        assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule
    firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
    assert not {name for name in firing if name.startswith("TaskerHealth")}


def test_prometheus_shows_a_token(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """With the shipped authorization it scrapes what nobody else may see."""
    url, tokens = postgres.create_database(Generation.ENGINE), tmp_path / "tokens.toml"
    settings = {"tokens_file": tokens, "authorization_enabled": "true"}
    made = subprocess.run(  # noqa: S603  our own command, as the configuration's comment has it
        [COMMAND, "token", "create", "prometheus", "--permission", "tasker.metrics:index"],
        env=environment(**settings),
        capture_output=True,
        check=True,
    )
    with served(tmp_path, database_url=url, **settings) as service:
        assert service.ask("/tasker/metrics").status == 403
        configuration = shipped(
            tmp_path / "etc", "prometheus.authorized.yml", service.port, every="1s"
        )
        (configuration.parent / "tasker-health.token").write_bytes(made.stdout)
        with prometheus(configuration) as server:
            scraped = 'tasker_health_build_info{job="tasker-health"} and on () (up == 1)'
            assert server.wait_for(scraped, within_seconds=15) == [1]

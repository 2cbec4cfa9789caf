"""Metrics of several worker processes: whichever a scrape reaches, it tells of all."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families
from tests.integration.served import served

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.postgres_server import OwnPostgresServer
    from tests.integration.served import Served

METRICS = "/tasker/metrics"
ANSWERS = "tasker_health_status_answers_total"


def counters(service: Served) -> dict[str, float]:
    """Scrape once, on a connection of its own, and give all that may never go back."""
    answer = service.ask(METRICS)
    assert answer.status == 200
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
        if sample.name.endswith(("_total", "_bucket", "_sum", "_count"))
    }


def answers(told: dict[str, float]) -> float:
    """Add up the answers to the status."""
    return sum(value for name, value in told.items() if name.startswith(ANSWERS))


def test_counters_never_go_back(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """Over 200 scrapes of two workers, one of them killed and replaced half-way."""
    url = postgres.create_database(Generation.ENGINE)
    with served(tmp_path, "serve", "--workers", "2", database_url=url) as service:
        before = counters(service)
        first = set(service.workers)
        for number in range(1, 201):
            assert service.ask("status").status == 200
            assert service.ask("ready").status == 200
            after = counters(service)
            assert answers(after) == number
            backwards = {n: (v, after.get(n)) for n, v in before.items() if after.get(n, -1) < v}
            assert backwards == {}
            before = after
            if number == 100:
                os.kill(min(first), signal.SIGKILL)
                replaced(service, first)
        assert len(set(service.workers) - first) == 1
        assert service.stop() == 0


def replaced(service: Served, first: set[int]) -> None:
    """Wait until another worker has taken the place of the one that was killed."""
    deadline = time.monotonic() + 15
    while len(alive := set(service.workers)) < 2 or alive == first:
        assert time.monotonic() < deadline
        time.sleep(0.05)

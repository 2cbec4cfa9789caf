"""``tasker-health metrics``: one measurement, written for the textfile collector."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.processes import free_port
from tests.integration.served import COMMAND, environment

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.postgres_server import OwnPostgresServer


def ran(*words: str | Path, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(  # noqa: S603  our own command
        [COMMAND, "metrics", *words],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def values(written: str) -> dict[str, float]:
    """Read the samples without labels."""
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(written)
        for sample in family.samples
        if not sample.labels
    }


@pytest.fixture
def down() -> str:
    """Name a database where nobody listens."""
    return f"postgresql://tasker:canary-s3cret@127.0.0.1:{free_port()}/tasker"


def test_one_measurement_goes_to_standard_output(postgres: OwnPostgresServer) -> None:
    """Tasker's numbers and the readiness are there; counters of a new process are not."""
    url = postgres.create_database(Generation.ENGINE)
    done = ran(database_url=url, authorization_enabled="true")
    assert (done.returncode, done.stderr) == (0, "")
    told = values(done.stdout)
    assert told["tasker_total_tasks"] == 0
    assert told["tasker_health_up"] == told["tasker_health_ready"] == 1
    assert told["tasker_health_status_stale"] == 0
    assert 'tasker_health_check_status{check="database",status="ok"} 1.0' in done.stdout
    assert "_total{" not in done.stdout
    assert "_bucket" not in done.stdout


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """What was there before is gone, the collector may read it, and nothing else is left."""
    url, file = postgres.create_database(Generation.ENGINE), tmp_path / "tasker.prom"
    file.write_text("old")
    before = os.open(file, os.O_RDONLY)
    done = ran("--output", file, database_url=url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert values(file.read_text())["tasker_health_up"] == 1
    assert os.read(before, 10) == b"old"  # whoever was reading still reads the old one
    os.close(before)
    assert stat.S_IMODE(file.stat().st_mode) & stat.S_IROTH
    assert list(tmp_path.iterdir()) == [file]


def test_no_report_is_written_as_such(tmp_path: Path, down: str) -> None:
    """Exit code 1 and a reason for people; the file says that nothing is up."""
    file = tmp_path / "tasker.prom"
    done = ran("--output", file, database_url=down)
    assert done.returncode == 1
    assert done.stderr.startswith("tasker-health: there is no report: refused: ")
    assert len(done.stderr.splitlines()) == 1
    assert "canary-s3cret" not in done.stderr
    told = values(file.read_text())
    assert told["tasker_health_up"] == told["tasker_health_ready"] == 0
    assert "tasker_total_tasks" not in told


@pytest.mark.parametrize("place", ["none/tasker.prom", "", "."])
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, place: str, down: str) -> None:
    """One line names the option, exit code 2, and nothing is left behind."""
    done = ran("--output", tmp_path / place if place != "." else ".", database_url=down)
    assert done.returncode == 2
    assert done.stderr.startswith("tasker-health: --output is '")
    assert "allowed is a file that can be written (" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_hangs_is_waited_for_so_long(
    tmp_path: Path, postgres: OwnPostgresServer
) -> None:
    """``--timeout`` bounds the wait, and the file says that nothing is up."""
    url, file = postgres.create_database(Generation.ENGINE), tmp_path / "tasker.prom"
    postgres.freeze()
    done = ran("--timeout", "0.5", "--output", file, database_url=url)
    assert done.returncode == 1
    assert values(file.read_text())["tasker_health_up"] == 0

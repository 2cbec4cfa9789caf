"""The image: its Dockerfile's steps are carried out, and what they make is run for real.

It runs as it does in a container: as nobody of this machine, on a read-only file system, as
the first process of its world, without curl.

Source: guide, *Docker Health Checks*.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.integration.image import ImageBuilder, children
from tests.integration.processes import free_port

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.integration.image import Image
    from tests.integration.postgres_server import OwnPostgresServer

pytestmark = pytest.mark.faults

PROJECT: Final = Path(__file__).parents[2]
DOCKERFILE: Final = PROJECT / "deploy" / "docker" / "Dockerfile"
LISTING: Final = """
import importlib.metadata, json, sys
ours = [path for path in sys.path if path.startswith("/opt/tasker-health")]
found = importlib.metadata.distributions(path=ours)
print(json.dumps({one.name: one.version for one in found}))
"""
BUILD_TOOLS: Final = {"pip", "setuptools", "hatchling", "editables", "pathspec", "pluggy"}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """Carry out the Dockerfile, once; pytest would keep what that makes for days."""
    work = tmp_path_factory.mktemp("image")
    yield ImageBuilder(DOCKERFILE, PROJECT, work).build()
    shutil.rmtree(work)


def test_what_is_in_the_image(image: Image) -> None:
    """The project and what it was locked with; nothing that built it, and nothing to fetch with."""
    listed = image.run(["python", "-c", LISTING])
    told: dict[str, str] = json.loads(listed.stdout)
    installed = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in told.items()}
    lock = (PROJECT / "locks" / "image.txt").read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^ \\]+)", lock, re.MULTILINE))
    assert installed.keys() & BUILD_TOOLS == set()
    assert installed.pop("tasker-health")
    assert len(installed) > 20
    assert {name: locked[name] for name in installed} == installed
    for program in ("curl", "wget"):
        assert image.run(["sh", "-c", f"command -v {program}"]).returncode != 0


def test_who_runs_it_and_what_it_may_write(image: Image) -> None:
    """It is nobody with a name or a right, and can write nothing but temporary files."""
    assert image.run(["id", "-u"]).stdout == "10001\n"
    assert image.run(["touch", "/opt/tasker-health/x"]).returncode != 0
    assert image.run(["touch", "/tmp/x"]).returncode == 0  # noqa: S108  in the container
    capabilities = image.run(["grep", "CapEff", "/proc/self/status"])
    assert capabilities.stdout.split() == ["CapEff:", "0" * 16]


def test_the_health_check_tells_how_it_is(
    image: Image, tmp_path: Path, postgres: OwnPostgresServer
) -> None:
    """Healthy while it lives, unhealthy while it hangs and after it was killed."""
    port, log = free_port(), tmp_path / "log"
    arguments = [*image.command[:-1], str(port)]
    check = [*image.healthcheck, "--url", f"http://127.0.0.1:{port}"]
    url = postgres.create_database(Generation.ENGINE)
    with image.started(arguments, log, TASKER_HEALTH_DATABASE_URL=url) as container:
        until_ready(container, port, log)
        assert image.run(check).stdout == "live: 200\n"
        (service,) = children(container)

        os.kill(service, signal.SIGSTOP)
        hangs = image.run(check)
        assert (hangs.returncode, hangs.stdout) == (1, "live: no answer within 2 s\n")
        os.kill(service, signal.SIGCONT)
        assert image.run(check).stdout == "live: 200\n"

        os.kill(service, signal.SIGKILL)
        container.wait(10)
        gone = image.run(check)
        assert (gone.returncode, gone.stdout) == (1, "live: no answer: Connection refused\n")


def test_the_first_process_of_a_container_drains(
    image: Image, tmp_path: Path, postgres: OwnPostgresServer
) -> None:
    """SIGTERM reaches it as the process with the number 1: it drains and ends with 0."""
    port, log = free_port(), tmp_path / "log"
    arguments = [*image.command[:-1], str(port)]
    variables = {
        "TASKER_HEALTH_DATABASE_URL": postgres.create_database(Generation.ENGINE),
        "TASKER_HEALTH_DRAIN_DELAY_SECONDS": "1",
    }
    with image.started(arguments, log, **variables) as container:
        until_ready(container, port, log)
        (service,) = children(container)
        status = Path(f"/proc/{service}/status").read_text()
        assert re.search(r"^NSpid:.*\t1$", status, re.MULTILINE)
        os.kill(service, signal.SIGTERM)
        assert container.wait(1 + 10) == 0


def test_the_first_process_of_a_container_ends_while_it_starts(
    image: Image, tmp_path: Path
) -> None:
    """SIGTERM is heeded before the server is there, where the kernel would have kept it back."""
    nowhere = "postgresql://monitor@127.0.0.1:1/tasker"
    arguments = [*image.command[:-1], str(free_port())]
    log = tmp_path / "log"
    with image.started(arguments, log, TASKER_HEALTH_DATABASE_URL=nowhere) as container:
        deadline = time.monotonic() + 30
        while not any(heeds(pid, signal.SIGTERM) for pid in children(container)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(children(container)[0], signal.SIGTERM)
        assert container.wait(10) == 128 + signal.SIGTERM
        assert "answers on" not in log.read_text()


def heeds(pid: int, number: signal.Signals) -> bool:
    """Tell whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = re.search(r"^SigCgt:\t([0-9a-f]+)$", status, re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


def until_ready(container: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Ask from outside until it is ready."""
    deadline = time.monotonic() + 30
    while True:
        try:
            asking = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            asking.request("GET", "/tasker/health/ready")
            if asking.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
        finally:
            asking.close()
        assert container.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()

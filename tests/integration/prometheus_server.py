"""A real Prometheus over a copy of the shipped configuration, and questions to it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.integration.processes import free_port
from tests.programs import program

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SHIPPED", "Prometheus", "prometheus", "shipped"]

SHIPPED: Final = Path(__file__).parents[2] / "deploy" / "prometheus"
_TARGET: Final = "127.0.0.1:8000"
_INTERVAL: Final = "scrape_interval: 15s"
_START_SECONDS: Final = 30.0


class Prometheus:
    """A running server."""

    def __init__(self, port: int) -> None:
        self.port: Final = port

    def ask(self, what: str, **query: str) -> Any:
        """Ask its API, and give the data of the answer."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urlencode(query)}"
        with urlopen(url, timeout=10) as response:
            answer = json.load(response)
        assert answer["status"] == "success", answer
        return answer["data"]

    def values(self, expression: str) -> list[float]:
        """Evaluate an expression now."""
        found = self.ask("query", query=expression)
        if found["resultType"] == "scalar":
            return [float(found["result"][1])]
        return [float(sample["value"][1]) for sample in found["result"]]

    def wait_for(self, expression: str, *, within_seconds: float) -> list[float]:
        """Evaluate an expression again and again, until it gives something."""
        deadline = time.monotonic() + within_seconds
        while not (found := self.values(expression)):
            assert time.monotonic() < deadline, f"{expression}: {self.ask('targets')}"
            time.sleep(0.2)
        return found


def shipped(folder: Path, name: str, port: int, *, every: str = "15s") -> Path:
    """Copy the shipped configuration and let it scrape this port; nothing else is changed.

    Args:
        folder: where to.
        name: of the configuration.
        port: of the target.
        every: how often to scrape.
    """
    shutil.copytree(SHIPPED, folder, dirs_exist_ok=True)
    file = folder / name
    text = file.read_text()
    wanted = {_TARGET: f"127.0.0.1:{port}", _INTERVAL: f"scrape_interval: {every}"}
    for written, instead in wanted.items():
        assert text.count(written) == 1
        text = text.replace(written, instead)
    file.write_text(text)
    return file


@contextmanager
def prometheus(configuration: Path) -> Iterator[Prometheus]:
    """Start a server and end it at last; its data and its log go beside the configuration."""
    folder, port = configuration.parent, free_port()
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603  a real Prometheus
            [
                program("prometheus"),
                f"--config.file={configuration}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_ready(process, port, folder)
        yield Prometheus(port)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2):
                return
        except (URLError, OSError):
            log = (folder / "prometheus.log").read_text()
            assert process.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.1)

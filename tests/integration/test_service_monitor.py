"""The ServiceMonitor fits the Prometheus operator's own CRD.

The models that are generated from it come in a package whose pytest plugin would meddle with
every run, so that it is fetched into a folder of this test's own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest
import yaml
from tests.manifests import KUBERNETES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.faults

MODELS: Final = "cloudcoil-models-prometheus-operator==0.80.1.0"
MONITOR: Final = KUBERNETES / "components" / "service-monitor" / "service-monitor.yaml"
KEPT: Final = """
import json, sys
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor
for line in sys.stdin:
    taken = ServiceMonitor.model_validate_json(line)
    print(taken.model_dump_json(by_alias=True, exclude_unset=True))
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Fetch the models."""
    folder = tmp_path_factory.mktemp("models")
    fetch = ["-m", "pip", "install", "--quiet", "--no-compile", "--target", str(folder), MODELS]
    ran = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, *fetch], capture_output=True, text=True, check=False, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    yield folder
    shutil.rmtree(folder)


def test_the_monitor_fits_the_crd(models: Path) -> None:
    """Nothing is of a wrong type, and nothing is dropped because the CRD does not know it."""
    monitor = yaml.safe_load(MONITOR.read_text())
    misspelt = yaml.safe_load(MONITOR.read_text().replace("scrapeTimeout", "timeout"))
    ran = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-c", KEPT],
        input=f"{json.dumps(monitor)}\n{json.dumps(misspelt)}\n",
        env={**os.environ, "PYTHONPATH": str(models)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    kept, lost = map(json.loads, ran.stdout.splitlines())
    assert kept == monitor
    assert lost != misspelt

"""The systemd unit: verified by systemd's own tool, and in step with how ``serve`` ends."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.programs import program

from tasker_health import read_configuration
from tasker_health.entrypoints.cli import main

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT: Final = FOLDER / "tasker-health.service"
INSTALLED: Final = "/opt/tasker-health/bin/tasker-health"
UNITS: Final = ("lib/systemd/system", "usr/lib/systemd/system")
EXPOSURE: Final = 15
"""Of a hundred; what is left is mostly that a server needs the network."""


def analyze(*words: object) -> subprocess.CompletedProcess[str]:
    """Run systemd's own tool."""
    return subprocess.run(  # noqa: S603  the program that was found
        [program("systemd-analyze"), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def service() -> Mapping[str, str]:
    """Read what the unit says of its service; the last word on a subject counts."""
    unit = RawConfigParser(strict=False, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names are as written
    unit.read(UNIT)
    return unit["Service"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a root with systemd's own units in it, and a program where ours is installed."""
    places = [
        folder / name for folder in (program("systemd-analyze").parent, Path("/")) for name in UNITS
    ]
    units = next(place for place in places if place.is_dir())
    (tmp_path / "lib" / "systemd").mkdir(parents=True)
    shutil.copytree(units, tmp_path / "lib" / "systemd" / "system", symlinks=True)
    installed = tmp_path / INSTALLED.lstrip("/")
    installed.parent.mkdir(parents=True)
    installed.write_text("#!/bin/sh\n")
    installed.chmod(0o755)
    (tmp_path / "etc" / "systemd" / "system").mkdir(parents=True)
    return tmp_path


def verified(root: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Verify a unit as one of a machine's."""
    (root / "etc" / "systemd" / "system" / UNIT.name).write_text(text)
    return analyze(f"--root={root}", "verify", UNIT.name)


def test_the_unit_is_valid(root: Path) -> None:
    """It loads without a word from systemd, which has one for a value that it does not know."""
    ran = verified(root, UNIT.read_text())
    assert (ran.returncode, ran.stderr) == (0, "")
    ran = verified(root, UNIT.read_text().replace("KillMode=mixed", "KillMode=both"))
    assert "Failed to parse kill mode" in ran.stderr


def test_the_unit_is_confined() -> None:
    """By systemd's own measure it is exposed to little."""
    ran = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", UNIT)
    assert ran.returncode == 0, ran.stdout


def test_a_stop_is_one_signal_and_time_to_drain(service: Mapping[str, str]) -> None:
    """The parent alone is told, once, and gets the drain delay and what is under way.

    The workers would take systemd's signal and the parent's for two, and not drain.
    """
    assert service["KillMode"] == "mixed"
    assert service["KillSignal"] == "SIGTERM"
    configuration = read_configuration({})
    in_flight = configuration.settings.health.status_timeout_seconds + 1
    grace = float(service["TimeoutStopSec"])
    assert grace > configuration.drain_delay_seconds + in_flight


def test_bad_settings_are_not_tried_again(service: Mapping[str, str]) -> None:
    """Exit code 2 is the user's to put right; any other failure is a restart."""
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"
    assert service["Type"] == "exec"


def test_the_command_and_its_settings_are_taken(service: Mapping[str, str]) -> None:
    """``serve`` parses the arguments, and every line of the example is a setting."""
    path, *arguments = shlex.split(service["ExecStart"])
    assert path == INSTALLED
    assert main([*arguments, "--help"]) == 0
    assert service["EnvironmentFile"] == "/etc/tasker-health/environment"
    lines = (FOLDER / "environment").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert read_configuration(given) != read_configuration({})
    assert all(re.fullmatch(r"TASKER_HEALTH_[A-Z_]+", name) for name in given)

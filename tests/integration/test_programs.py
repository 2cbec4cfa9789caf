"""Programs that are not installed are fetched, unpacked and can be run."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.programs import PROGRAMS, ProgramUnavailableError, fetched, program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.faults
def test_what_is_not_installed_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program runs from a cache folder of its own, and is fetched into it once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    script = fetched("memcached", PROGRAMS["memcached"])
    assert script.is_relative_to(tmp_path)
    told = subprocess.run(  # noqa: S603  the program that was fetched
        [script, "--version"], capture_output=True, text=True, check=True
    )
    assert told.stdout.startswith("memcached 1.")
    before = script.stat().st_mtime_ns
    assert fetched("memcached", PROGRAMS["memcached"]).stat().st_mtime_ns == before
    with pytest.raises(ProgramUnavailableError, match="Unable to locate package no-such-one"):
        fetched("no-such-one", ["no-such-one"])


def test_what_is_installed_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program on the PATH is run from where it is."""
    own = tmp_path / "haproxy"
    own.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program("haproxy") == own


def test_what_can_not_be_had_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the distribution's tools, or a folder to write to, the error says so."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramUnavailableError, match="there is no apt-get"):
        fetched("nginx", PROGRAMS["nginx"])
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ProgramUnavailableError, match="XDG_CACHE_HOME names another"):
        fetched("nginx", PROGRAMS["nginx"])

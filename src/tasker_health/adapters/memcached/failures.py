"""What Memcached, emcache and the system say, as one word of the closed set."""

from __future__ import annotations

import errno
import re
import socket
from typing import TYPE_CHECKING, Final

from emcache.client_errors import AuthenticationError

from tasker_health.domain.errors import DeadlineError
from tasker_health.domain.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["reason_of"]

_KINDS: Final[tuple[tuple[type[BaseException], Reason], ...]] = (
    (AuthenticationError, Reason.AUTH),
    (TimeoutError, Reason.TIMEOUT),
    (DeadlineError, Reason.TIMEOUT),
    (socket.gaierror, Reason.DNS),
    (UnicodeError, Reason.DNS),
    (ConnectionRefusedError, Reason.REFUSED),
    (ConnectionError, Reason.RECOVERING),
)
_NUMBERS: Final[Mapping[int, Reason]] = {
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.EHOSTUNREACH: Reason.UNREACHABLE,
    errno.ENETUNREACH: Reason.UNREACHABLE,
}
_WORDS: Final[tuple[tuple[re.Pattern[str], Reason], ...]] = (
    (re.compile(r"unauthenticated|authentication failure"), Reason.AUTH),
    (re.compile(r"out of memory"), Reason.OUT_OF_MEMORY),
    # An attempt on several addresses leaves of the system's errors no more than words.
    (re.compile(rf"\[Errno {errno.ECONNREFUSED}\]"), Reason.REFUSED),
)


def reason_of(error: BaseException) -> Reason:
    """Tell the public reason of a failure; ``failed`` when nothing says more."""
    for kind, reason in _KINDS:
        if isinstance(error, kind):
            return reason
    if isinstance(error, OSError) and error.errno is not None and error.errno in _NUMBERS:
        return _NUMBERS[error.errno]
    return next((reason for words, reason in _WORDS if words.search(str(error))), Reason.FAILED)

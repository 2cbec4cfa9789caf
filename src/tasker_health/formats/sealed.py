"""What is stored in a shared cache: a report's bytes behind a mark of the key they are for.

A store may hold anything, written by anybody, and hand one key's value out under another.
Only what was written for this very key, and is a report, is read.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from tasker_health.formats import snapshot

if TYPE_CHECKING:
    from tasker_health.domain.status import StatusReport

__all__ = ["LARGEST_BYTES", "Seal"]

_MARK_BYTES: Final = 16
LARGEST_BYTES: Final = _MARK_BYTES + snapshot.LARGEST_BYTES
"""Nothing larger is ever read. Who asks a store for one byte more sees that it is larger."""


class Seal:
    """Writes and reads the values of one key.

    Args:
        key: the whole key that a value stands under.
    """

    def __init__(self, key: str) -> None:
        self.mark: Final = hashlib.sha256(key.encode()).hexdigest()[:_MARK_BYTES].encode()

    def write(self, report: StatusReport) -> bytes:
        """Make of a report what is stored.

        Raises:
            ValueError: it could not be read back.
        """
        return self.mark + snapshot.encode(report)

    def read(self, found: bytes) -> StatusReport:
        """Make a report of what is stored.

        Raises:
            ValueError: it is none, or was not written for this key.
        """
        if not found.startswith(self.mark):
            raise ValueError("what stands under the key was not put there for it")
        return snapshot.decode(found[_MARK_BYTES:])

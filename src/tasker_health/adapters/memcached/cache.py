"""One key, one attempt, on the first of the servers that answers.

Every process asks the servers in the same order, which the key decides, and uses the first
that answers; the others are there for when it does not. A server that is away costs one
use: it is tried again in the background, and taken back when it answers.

The value is a report, sealed for the key it was written for. Whatever else stands there is a
miss, and is removed unless somebody has replaced it since. Memcached counts in whole
seconds, so that a report may be gone up to a second early.

What is left out on purpose: TLS, for emcache does not compare the certificate's name.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from emcache import CommandError

from tasker_health.adapters.memcached.failures import reason_of
from tasker_health.domain.errors import CacheError, DeadlineError
from tasker_health.domain.reasons import Reason
from tasker_health.formats.sealed import Seal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from tasker_health.adapters.memcached.node import Connection, Node
    from tasker_health.domain.ports import StatusCache
    from tasker_health.domain.status import StatusReport

__all__ = ["TIMEOUT_SECONDS", "MemcachedStatusCache"]

TIMEOUT_SECONDS: Final = 0.025
_LONGEST_SECONDS: Final = 30 * 86_400
"""A longer time would be taken for a date."""


class MemcachedStatusCache:
    """One report under one key.

    Args:
        nodes: the servers, at least one. Whoever made them closes them.
        key: which Tasker it is; the same in every process that watches it.
        timeout_seconds: what one use costs at most, > 0.
    """

    def __init__(
        self,
        nodes: Iterable[Node],
        *,
        key: str,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._key: Final = f"tasker_health:status:{key}".encode()
        self._seal: Final = Seal(self._key.decode())
        self._nodes: Final = tuple(sorted(nodes, key=self._rank))
        self._timeout_seconds: Final = timeout_seconds
        self._unreadable = 0

    @property
    def unreadable(self) -> int:
        """How many values were found that could not be read."""
        return self._unreadable

    async def get(self) -> StatusReport | None:
        """Give back what was put; None when there is nothing, or nothing readable.

        Raises:
            CacheError: Memcached did not answer, or would not.
        """
        async with self._use() as connection:
            found = await connection.get(self._key)
            if found is None:
                return None
            value, number = found
            try:
                return self._seal.read(value)
            except ValueError:
                self._unreadable += 1
                await connection.remove(self._key, number)
                return None

    async def put(self, report: StatusReport, keep_seconds: float) -> None:
        """Keep the report for ``keep_seconds``, > 0, in place of any other.

        Raises:
            CacheError: Memcached did not take it, or could not give it back as it is.
        """
        try:
            value = self._seal.write(report)
        except ValueError as error:
            raise CacheError(Reason.FAILED) from error
        keep = min(max(1, int(keep_seconds)), _LONGEST_SECONDS)
        async with self._use() as connection:
            await connection.set(self._key, value, keep)

    async def aclose(self) -> None:
        """Nothing is under way here. The nodes stay open: they are their maker's."""

    def _rank(self, node: Node) -> bytes:
        """Order the servers for this key alone, alike in every process."""
        return hashlib.sha256(repr((node.address, self._key)).encode()).digest()

    def _choose(self) -> Node:
        for node in self._nodes:
            if node.is_open:
                return node
            node.begin()
        return self._nodes[0]

    @asynccontextmanager
    async def _use(self) -> AsyncIterator[Connection]:
        """Bound one use of a server, and say what went wrong in our words."""
        node = self._choose()
        try:
            async with asyncio.timeout(self._timeout_seconds), node.connection() as connection:
                yield connection
        except CommandError as error:
            raise CacheError(reason_of(error)) from error
        except (OSError, UnicodeError, DeadlineError) as error:
            node.drop()
            raise CacheError(reason_of(error)) from error


if TYPE_CHECKING:
    _: type[StatusCache] = MemcachedStatusCache

"""One key, one attempt, no waiting for a dead server.

The value is a report, sealed for the key it was written for. Whatever else stands there, of
whatever type and size, is a miss; it is removed in one step on the server, and only while
it is still what was read.

A role needs ``+ping +getrange +exists +set +eval +type +unlink`` on ``~tasker_health:*``.

What is left out on purpose: where the server is. A client is given, opened; ``opening.py``
makes one of a URL.
"""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions as vendor
from redis.client import NEVER_DECODE

from tasker_health.adapters.redis.using import TIMEOUT_SECONDS, BoundedUse
from tasker_health.domain.errors import CacheError
from tasker_health.domain.reasons import Reason
from tasker_health.formats.sealed import LARGEST_BYTES, Seal

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from tasker_health.domain.ports import StatusCache
    from tasker_health.domain.status import StatusReport

__all__ = ["NAMESPACE", "RedisStatusCache"]

NAMESPACE: Final = "tasker_health"
"""What our keys begin with."""

_DISCARD: Final = """
local is_string = redis.call('TYPE', KEYS[1]).ok == 'string'
local seen = is_string and redis.call('GETRANGE', KEYS[1], 0, ARGV[2]) or ''
return seen == ARGV[1] and redis.call('UNLINK', KEYS[1]) or 0
"""


class RedisStatusCache:
    """One report under one key of an opened client.

    Args:
        client: whoever opened it closes it, after :meth:`aclose`. Its own time-outs and
            retries apply within ``timeout_seconds``.
        key: which Tasker it is; the same in every process that watches it.
        namespace: what the key begins with.
        timeout_seconds: what one use costs at most, > 0.
    """

    def __init__(
        self,
        client: Redis,
        *,
        key: str,
        namespace: str = NAMESPACE,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._use: Final = BoundedUse(client, timeout_seconds)
        self._key: Final = f"{namespace}:status:{key}"
        self._seal: Final = Seal(self._key)
        self._unreadable = 0

    @property
    def unreadable(self) -> int:
        """How many values were found that could not be read."""
        return self._unreadable

    async def get(self) -> StatusReport | None:
        """Give back what was put; None when there is nothing, or nothing readable.

        Raises:
            CacheError: Redis did not answer, or would not.
        """
        async with self._use() as client:
            found = await self._stored(client)
            if found is None:
                return None
            try:
                return self._seal.read(found)
            except ValueError:
                await self._discard(client, found)
                return None

    async def put(self, report: StatusReport, keep_seconds: float) -> None:
        """Keep the report for ``keep_seconds``, > 0, in place of any other.

        Raises:
            CacheError: Redis did not take it, or could not give it back as it is.
        """
        try:
            value = self._seal.write(report)
        except ValueError as error:
            raise CacheError(Reason.FAILED) from error
        keep_ms = max(1, math.ceil(keep_seconds * 1000))
        async with self._use() as client:
            await client.set(self._key, value, px=keep_ms)

    async def server_time(self) -> datetime:
        """Tell the server's own time; its role needs ``+time`` for that.

        Raises:
            CacheError: Redis did not tell.
        """
        async with self._use() as client:
            seconds, microseconds = await client.time()
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)

    async def aclose(self) -> None:
        """End what is under way. The client stays open: it is its opener's."""
        await self._use.aclose()

    async def _stored(self, client: Any) -> bytes | None:
        """Read what stands under the key; None for nothing, empty for what is no string.

        Redis reads an empty string where there is nothing, so it is asked for both at once.
        """
        async with client.pipeline(transaction=False) as both:
            # The client may be one that decodes; these bytes are nobody's text yet. The last
            # byte asked for is one more than a good value has: nothing longer is ever sent.
            both.execute_command("GETRANGE", self._key, 0, LARGEST_BYTES, **{NEVER_DECODE: True})
            both.exists(self._key)
            found, exists = await both.execute(raise_on_error=False)
        for answer in (found, exists):
            if isinstance(answer, Exception) and not str(answer).startswith("WRONGTYPE"):
                raise answer
        if not exists:
            return None
        return found if isinstance(found, bytes) else b""

    async def _discard(self, client: Any, found: bytes) -> None:
        """Remove what could not be read, unless somebody has replaced it since."""
        self._unreadable += 1
        with suppress(vendor.ResponseError):  # a replica, say; it stays a miss
            await client.eval(_DISCARD, 1, self._key, found, LARGEST_BYTES)


if TYPE_CHECKING:
    _: type[StatusCache] = RedisStatusCache

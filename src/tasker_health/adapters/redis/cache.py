"""One key, one attempt, no waiting for a dead server.

The value is a fingerprint of the key it was written for, and the report's bytes. Whatever
else stands there, of whatever type and size, is a miss; it is removed in one step on the
server, and only while it is still what was read.

Opening a connection takes several round trips, TLS more; so it goes on in the background,
under a bound of its own, when the caller's time is over.

A role needs ``+ping +getrange +exists +set +eval +type +unlink`` on ``~tasker_health:*``.

What is left out on purpose: Sentinel and Cluster, which need clients of their own. Both
can be opened by the caller and given to :class:`RedisStatusCache`.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions as vendor
from redis.client import NEVER_DECODE

from tasker_health.adapters.redis.failures import reason_of
from tasker_health.domain.errors import CacheError, DeadlineError
from tasker_health.domain.flight import Flight
from tasker_health.domain.reasons import Reason
from tasker_health.formats import snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from tasker_health.domain.ports import StatusCache
    from tasker_health.domain.status import StatusReport

__all__ = ["CONNECT_SECONDS", "TIMEOUT_SECONDS", "RedisStatusCache"]

TIMEOUT_SECONDS: Final = 0.025
CONNECT_SECONDS: Final = 1.0
_FINGERPRINT_BYTES: Final = 16
_LAST_BYTE: Final = _FINGERPRINT_BYTES + snapshot.LARGEST_BYTES
"""One more than a good value has, so that a larger one is seen to be larger. No more than
this is ever sent to us, however much is stored."""

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
        namespace: str = "tasker_health",
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._client: Any = client
        self._key: Final = f"{namespace}:status:{key}"
        digest = hashlib.sha256(self._key.encode()).hexdigest()
        self._fingerprint: Final = digest[:_FINGERPRINT_BYTES].encode()
        self._timeout_seconds: Final = timeout_seconds
        self._reached = False
        self._reaching: Final = Flight[None]()
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
        async with self._use():
            found = await self._stored()
            if found is None:
                return None
            try:
                return self._read(found)
            except ValueError:
                await self._discard(found)
                return None

    async def put(self, report: StatusReport, keep_seconds: float) -> None:
        """Keep the report for ``keep_seconds``, > 0, in place of any other.

        Raises:
            CacheError: Redis did not take it, or could not give it back as it is.
        """
        try:
            value = self._fingerprint + snapshot.encode(report)
        except ValueError as error:
            raise CacheError(Reason.FAILED) from error
        keep_ms = max(1, math.ceil(keep_seconds * 1000))
        async with self._use():
            await self._client.set(self._key, value, px=keep_ms)

    async def aclose(self) -> None:
        """End what is under way. The client stays open: it is its opener's."""
        await self._reaching.aclose()

    async def _stored(self) -> bytes | None:
        """Read what stands under the key; None for nothing, empty for what is no string.

        Redis reads an empty string where there is nothing, so it is asked for both at once.
        """
        async with self._client.pipeline(transaction=False) as both:
            # The client may be one that decodes; these bytes are nobody's text yet.
            both.execute_command("GETRANGE", self._key, 0, _LAST_BYTE, **{NEVER_DECODE: True})
            both.exists(self._key)
            found, exists = await both.execute(raise_on_error=False)
        for answer in (found, exists):
            if isinstance(answer, Exception) and not str(answer).startswith("WRONGTYPE"):
                raise answer
        if not exists:
            return None
        return found if isinstance(found, bytes) else b""

    def _read(self, found: bytes) -> StatusReport:
        if not found.startswith(self._fingerprint):
            raise ValueError("what stands under the key was not put there for it")
        return snapshot.decode(found[_FINGERPRINT_BYTES:])

    async def _discard(self, found: bytes) -> None:
        """Remove what could not be read, unless somebody has replaced it since."""
        self._unreadable += 1
        with suppress(vendor.ResponseError):  # a replica, say; it stays a miss
            await self._client.eval(_DISCARD, 1, self._key, found, _LAST_BYTE)

    @asynccontextmanager
    async def _use(self) -> AsyncIterator[None]:
        """Bound one use of the client, and say what went wrong in our words."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._reach()
                yield
        except vendor.ResponseError as error:
            raise CacheError(reason_of(error)) from error
        except (vendor.RedisError, OSError, UnicodeError, DeadlineError) as error:
            self._reached = False
            raise CacheError(reason_of(error)) from error
        except asyncio.CancelledError:
            self._reached = False
            raise

    async def _reach(self) -> None:
        """Wait until there is an open connection; opening it goes on when a caller gives up."""
        if not self._reached:
            await self._reaching.join(self._ping, patience_seconds=CONNECT_SECONDS)

    async def _ping(self) -> None:
        """Leave an open connection in the pool."""
        async with asyncio.timeout(CONNECT_SECONDS):
            await self._client.ping()
        self._reached = True


if TYPE_CHECKING:
    _: type[StatusCache] = RedisStatusCache

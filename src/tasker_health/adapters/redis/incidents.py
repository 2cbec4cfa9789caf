"""The fleet's memory of its incidents in Redis or Valkey: one hash, changed by scripts.

Who has the claim, until when by the server's clock, and the incidents stand in one key, so
that whether a holder may save and the saving are one step, in a cluster as well. The key is
kept for a week after its last use: long enough for every process to be started anew, and
what outlives it is given back by who remembers.

A role needs ``+ping +eval +type +unlink +time +hget +hmget +hset +hdel +pexpire`` on
``~tasker_health:*``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from redis.client import NEVER_DECODE

from tasker_health.adapters.redis.cache import NAMESPACE
from tasker_health.adapters.redis.using import BoundedUse
from tasker_health.domain.errors import CacheError
from tasker_health.domain.reasons import Reason
from tasker_health.formats import incidents as codec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from tasker_health.domain.alerting import Incident
    from tasker_health.domain.ports import IncidentStore

__all__ = ["RedisIncidentStore"]

_TIMEOUT_SECONDS: Final = 1.0
_KEEP_MS: Final = 7 * 86_400_000

_HOLDING: Final = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('UNLINK', KEYS[1]) end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HMGET', KEYS[1], 'holder', 'until')
local holds = held[1] and (tonumber(held[2]) or 0) > now
"""
"""Who holds the claim, before anything is done about it. What is no hash is not ours."""

_CLAIM: Final = f"""{_HOLDING}
if holds and held[1] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'until', string.format('%.0f', now + ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""

_RELEASE: Final = f"""{_HOLDING}
if held[1] == ARGV[1] then redis.call('HDEL', KEYS[1], 'holder', 'until') end
return 1
"""

_SAVE: Final = f"""{_HOLDING}
if not holds or held[1] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'incidents', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""


class RedisIncidentStore:
    """One hash of an opened client.

    Args:
        client: whoever opened it closes it, after :meth:`aclose`.
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
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self._key: Final = f"{namespace}:alerts:{key}"
        self._use: Final = BoundedUse(client, timeout_seconds)

    async def claim(self, holder: str, seconds: float) -> bool:
        """Be, or stay, the holder, unless another one is by the server's clock.

        Raises:
            CacheError: Redis did not answer, or would not.
        """
        return await self._run(_CLAIM, holder, max(1, math.ceil(seconds * 1000)), _KEEP_MS)

    async def release(self, holder: str) -> None:
        """Give the claim up, if it is this holder's.

        Raises:
            CacheError: Redis did not answer, or would not.
        """
        await self._run(_RELEASE, holder)

    async def load(self) -> Sequence[Incident]:
        """Give back what was saved last; nothing where nothing readable is.

        Raises:
            CacheError: Redis did not answer, or would not.
        """
        async with self._use() as client:
            words = ("HGET", self._key, "incidents")
            found = await client.execute_command(*words, **{NEVER_DECODE: True})
        try:
            return codec.decode(found or b"")
        except ValueError:
            return ()

    async def save(self, holder: str, incidents: Sequence[Incident]) -> bool:
        """Keep these, if the holder has the claim.

        Raises:
            CacheError: Redis did not take it, or could not give it back as it is.
        """
        try:
            data = codec.encode(incidents)
        except ValueError as error:
            raise CacheError(Reason.FAILED) from error
        return await self._run(_SAVE, holder, data, _KEEP_MS)

    async def aclose(self) -> None:
        """End what is under way. The client stays open: it is its opener's."""
        await self._use.aclose()

    async def _run(self, script: str, *words: Any) -> bool:
        async with self._use() as client:
            return bool(await client.eval(script, 1, self._key, *words))


if TYPE_CHECKING:
    _: type[IncidentStore] = RedisIncidentStore

"""The fleet's memory of incidents in a real Redis: its promises, and what else may stand there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import pytest
from redis.asyncio import Redis

from tasker_health.adapters.redis import open_redis
from tasker_health.adapters.redis.incidents import RedisIncidentStore
from tasker_health.domain.alerting import AlertRule, Incident, Phase
from tasker_health.domain.errors import CacheError
from tasker_health.domain.reasons import Reason
from tasker_health.testing.contracts import IncidentStoreContract
from tasker_health.testing.doubles import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.redis_server import RedisServer

pytestmark = pytest.mark.anyio

KEY: Final = "tasker_health:alerts:0123"
INCIDENT: Final = Incident(
    key="tasker-health/0123/failure_rate",
    rule=AlertRule.FAILURE_RATE,
    phase=Phase.TRIGGERED,
    revision=1,
    at=ManualClock().now(),
    observed=0.5,
    threshold=0.05,
    summary="half of them failed",
    numbers={"failed_tasks": 1},
)


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Redis]:
    """Give a client as the service opens it."""
    opened = open_redis(redis_server.url, timeout_seconds=5)
    yield opened.client
    await opened.aclose()


@pytest.fixture
async def store(client: Redis) -> AsyncIterator[RedisIncidentStore]:
    """Give an empty store."""
    made = RedisIncidentStore(client, key="0123", timeout_seconds=5)
    yield made
    await made.aclose()


class TestRedisIncidentStore(IncidentStoreContract):
    """A memory in Redis keeps every promise."""

    @pytest.fixture
    def store(self, store: RedisIncidentStore) -> RedisIncidentStore:
        """Give an empty store."""
        return store

    @pytest.fixture
    async def other_store(self, redis_server: RedisServer) -> AsyncIterator[RedisIncidentStore]:
        """Give the handle of another process, on a client of its own."""
        opened = open_redis(redis_server.url, timeout_seconds=5)
        made = RedisIncidentStore(opened.client, key="0123", timeout_seconds=5)
        yield made
        await made.aclose()
        await opened.aclose()


@pytest.mark.parametrize("planted", [b"", b"\xff", b'{"version":2}', b"[" * 50_000, b"x" * 70_000])
async def test_what_is_no_incident_is_none(
    store: RedisIncidentStore, client: Redis, planted: bytes
) -> None:
    """Whatever stands where incidents should, nothing is read, and saving mends it."""
    await client.hset(KEY, "incidents", planted)
    assert await store.load() == ()
    assert await store.claim("one", 60)
    assert await store.save("one", [INCIDENT])
    assert tuple(await store.load()) == (INCIDENT,)


async def test_a_key_of_another_type_is_taken_over(
    store: RedisIncidentStore, client: Redis
) -> None:
    """A text under our key is nobody's claim; it does not stand in the way."""
    await client.set(KEY, "somebody else's")
    with pytest.raises(CacheError):
        await store.load()
    assert await store.claim("one", 60)
    assert await store.save("one", [INCIDENT])


async def test_a_claim_that_is_no_time_is_over(store: RedisIncidentStore, client: Redis) -> None:
    """A claim until nonsense, or for ever by a mistake of ours, holds nobody up."""
    await client.hset(KEY, mapping={"holder": "old", "until": "soon"})
    assert await store.claim("one", 60)


async def test_what_is_remembered_is_kept_for_days(
    store: RedisIncidentStore, client: Redis
) -> None:
    """Each use by the holder keeps the key for a week more; it is not for ever."""
    assert await store.claim("one", 60)
    await client.pexpire(KEY, 1000)
    assert await store.save("one", [INCIDENT])
    assert await client.pttl(KEY) > 6 * 86_400_000
    await client.pexpire(KEY, 1000)
    assert await store.claim("one", 60)
    assert await client.pttl(KEY) > 6 * 86_400_000


async def test_a_cluster_keeps_it_in_our_slot(client: Redis) -> None:
    """The namespace of a cluster stands in the key, whose braces choose the slot."""
    store = RedisIncidentStore(client, key="0123", namespace="{tasker_health}", timeout_seconds=5)
    assert await store.claim("one", 60)
    assert await client.exists("{tasker_health}:alerts:0123")
    await store.aclose()


async def test_a_redis_that_is_away_is_an_error_of_ours(
    store: RedisIncidentStore, redis_server: RedisServer
) -> None:
    """Each method says that the store did not answer, in our word."""
    redis_server.stop()
    for use in (
        store.claim("one", 60),
        store.load(),
        store.save("one", [INCIDENT]),
        store.release("one"),
    ):
        with pytest.raises(CacheError) as error:
            await use
        assert error.value.reason is Reason.REFUSED


async def test_a_frozen_redis_costs_its_bound(redis_server: RedisServer) -> None:
    """It is given up after a second, or what was chosen."""
    opened = open_redis(redis_server.url)
    store = RedisIncidentStore(opened.client, key="0123", timeout_seconds=0.1)
    assert await store.claim("one", 60)
    redis_server.freeze()
    try:
        with pytest.raises(CacheError) as error:
            await store.claim("one", 60)
        assert error.value.reason is Reason.TIMEOUT
    finally:
        redis_server.thaw()
        await store.aclose()
        await opened.aclose()


async def test_a_role_with_least_rights_suffices(redis_server: RedisServer) -> None:
    """What the module's head says a role needs is all that it needs."""
    rights = "+ping +eval +type +unlink +time +hget +hmget +hset +hdel +pexpire"
    words = f"ACL SETUSER monitor on >secret ~tasker_health:* -@all {rights}".split()
    async with Redis.from_url(redis_server.url) as admin:
        await admin.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py's own
        await admin.set(KEY, "somebody else's")
    url = redis_server.url.replace("redis://", "redis://monitor:secret@")
    opened = open_redis(url, timeout_seconds=5)
    store = RedisIncidentStore(opened.client, key="0123", timeout_seconds=5)
    assert await store.claim("one", 60)
    assert await store.save("one", [INCIDENT])
    assert tuple(await store.load()) == (INCIDENT,)
    await store.release("one")
    await store.aclose()
    await opened.aclose()


async def test_what_could_not_be_read_back_is_not_saved(store: RedisIncidentStore) -> None:
    """An incident that no JSON can hold is refused, and the old one stays."""
    assert await store.claim("one", 60)
    assert await store.save("one", [INCIDENT])
    with pytest.raises(CacheError) as error:
        await store.save("one", [attrs.evolve(INCIDENT, observed=float("inf"))])
    assert error.value.reason is Reason.FAILED
    assert tuple(await store.load()) == (INCIDENT,)

"""The shared status behind sentinels and in a cluster: the contract, and what moves meanwhile."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from redis.asyncio import Redis
from tests.integration.processes import free_port
from tests.integration.receivers import wait_until
from tests.integration.redis_groups import MASTER, Cluster, SentinelGroup
from tests.integration.redis_server import RedisServer

from tasker_health.adapters.redis import RedisStatusCache, open_redis, open_redis_cache
from tasker_health.adapters.redis.seeking import CLUSTER_NAMESPACE
from tasker_health.domain.errors import CacheError, ConfigurationError
from tasker_health.domain.reasons import Reason
from tasker_health.testing.contracts import StoredStatusCacheContract
from tasker_health.testing.reports import report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from tasker_health.domain.ports import StatusCache

pytestmark = pytest.mark.anyio

REPORT: Final = report()
KEY: Final = "tasker_health:status:one"
CLUSTER_KEY: Final = "{tasker_health}:status:one"
PASSWORD: Final = "p@ss:word"
SENTINEL_PASSWORD: Final = "other/s3cr3t"
ROOMY_SECONDS: Final = 2.0
BOUND_SECONDS: Final = 0.3
GRACE_SECONDS: Final = 0.5
FAILOVER_SECONDS: Final = 15.0
"""What the sentinels may take to agree on a new master, on any machine."""


@asynccontextmanager
async def opened(url: str, **given: Any) -> AsyncIterator[RedisStatusCache]:
    """Open a cache and close it."""
    cache = open_redis_cache(url, **{"key": "one", "timeout_seconds": ROOMY_SECONDS, **given})
    try:
        yield cache
    finally:
        await cache.aclose()


def sentinel_url(group: SentinelGroup) -> str:
    """Write the URL of a group that asks for both passwords."""
    return (
        f"redis+sentinel://:p%40ss%3Aword@{group.hosts}/{MASTER}/0?sentinel_password=other%2Fs3cr3t"
    )


async def until_kept(cache: RedisStatusCache, told: Any, seconds: float) -> list[float]:
    """Put and get until a report comes back; no use takes longer than its bound. Gives times."""
    began = time.monotonic()
    taken: list[float] = []
    while True:
        used = time.monotonic()
        try:
            await cache.put(told, 60)
            if await cache.get() == told:
                return taken
        except CacheError:
            taken.append(time.monotonic() - used)
            assert taken[-1] < BOUND_SECONDS + GRACE_SECONDS
        assert time.monotonic() - began < seconds, "it does not heal in time"
        await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def watched() -> Iterator[SentinelGroup]:
    """Start a group that no test of this module breaks."""
    group = SentinelGroup(password=PASSWORD, sentinel_password=SENTINEL_PASSWORD)
    yield group
    group.close()


@pytest.fixture
def group() -> Iterator[SentinelGroup]:
    """Start a group to be broken."""
    group = SentinelGroup(password=PASSWORD, sentinel_password=SENTINEL_PASSWORD)
    yield group
    group.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Start a cluster that tests leave whole."""
    cluster = Cluster()
    yield cluster
    cluster.close()


class _Contract(StoredStatusCacheContract):
    """What is the same for both."""

    keep_seconds = 0.6
    key = KEY

    @pytest.fixture
    def url(self) -> str:
        """Write the URL of the cache."""
        raise NotImplementedError

    @pytest.fixture
    async def beside(self) -> Redis:
        """Give a client of the very server that holds the key."""
        raise NotImplementedError

    @pytest.fixture
    async def cache(self, url: str, beside: Redis) -> AsyncIterator[StatusCache]:
        """Open a cache, empty."""
        await beside.delete(self.key)
        async with opened(url) as cache:
            yield cache

    @pytest.fixture
    async def other_cache(self, url: str) -> AsyncIterator[StatusCache]:
        """Open it again, as another process would."""
        async with opened(url) as cache:
            yield cache

    @pytest.fixture
    def plant(self, beside: Redis) -> Callable[[bytes], Awaitable[None]]:
        """Give a way to put bytes under the key."""

        async def plant(data: bytes) -> None:
            await beside.set(self.key, data)

        return plant

    @pytest.fixture
    def stored(self, beside: Redis) -> Callable[[], Awaitable[bytes | None]]:
        """Give a way to read the bytes under the key."""

        async def stored() -> bytes | None:
            found = await beside.get(self.key)
            assert not isinstance(found, str)
            return found

        return stored


class TestBehindSentinels(_Contract):
    """The promises of the port, kept by the master that sentinels tell of."""

    @pytest.fixture
    def url(self, watched: SentinelGroup) -> str:
        """Write the URL of the sentinels."""
        return sentinel_url(watched)

    @pytest.fixture
    async def beside(self, watched: SentinelGroup) -> AsyncIterator[Redis]:
        """Give a client of the master."""
        async with Redis.from_url(watched.master.url) as client:
            yield client


class TestInACluster(_Contract):
    """The promises of the port, kept by the node that holds our slot."""

    key = CLUSTER_KEY

    @pytest.fixture
    def url(self, cluster: Cluster) -> str:
        """Write the URL of the nodes."""
        return f"redis+cluster://{cluster.hosts}"

    @pytest.fixture
    async def beside(self, cluster: Cluster) -> AsyncIterator[Redis]:
        """Give a client of the node that holds the key."""
        async with Redis.from_url(cluster.owner(CLUSTER_KEY).url) as client:
            yield client


async def test_a_dead_masters_replica_takes_over(group: SentinelGroup) -> None:
    """The master is killed: uses fail in time, and go on at the replica once it is promoted."""
    async with opened(sentinel_url(group), timeout_seconds=BOUND_SECONDS) as cache:
        await until_kept(cache, REPORT, ROOMY_SECONDS)
        group.master.stop()
        assert await until_kept(cache, report(took_ms=2.0), FAILOVER_SECONDS)
        wait_until(lambda: group.told_masters() == {group.replica.port})
        async with Redis.from_url(group.replica.url) as beside:
            assert await beside.exists(KEY) == 1


@pytest.mark.faults
async def test_a_frozen_masters_replica_takes_over(group: SentinelGroup) -> None:
    """The same with a master that falls silent, under load; the thawed one is not believed."""
    async with opened(sentinel_url(group), timeout_seconds=BOUND_SECONDS) as cache:
        await until_kept(cache, REPORT, ROOMY_SECONDS)
        await asyncio.gather(*(cache.get() for _ in range(20)))  # several connections are open
        descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  a count
        group.master.freeze()
        newer = report(took_ms=2.0)
        assert await until_kept(cache, newer, FAILOVER_SECONDS)
        assert set(await asyncio.gather(*(cache.get() for _ in range(20)))) == {newer}
        group.master.thaw()
        for _ in range(20):
            assert await cache.get() == newer
            await asyncio.sleep(0.02)
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 2  # noqa: PTH208  a count


@pytest.mark.faults
async def test_a_frozen_sentinel_costs_nothing(group: SentinelGroup) -> None:
    """All sentinels are asked at once, so that one that is silent holds nobody up."""
    group.sentinels[0].freeze()
    async with opened(sentinel_url(group), timeout_seconds=BOUND_SECONDS) as cache:
        await until_kept(cache, REPORT, ROOMY_SECONDS)


async def test_who_is_asked_for_which_password(watched: SentinelGroup) -> None:
    """A wrong password of either side is told as such and is not in the words."""
    hosts = watched.hosts
    for url in (
        f"redis+sentinel://:wrong-s3cr3t@{hosts}/{MASTER}?sentinel_password=other%2Fs3cr3t",
        f"redis+sentinel://:p%40ss%3Aword@{hosts}/{MASTER}?sentinel_password=wrong-s3cr3t",
        f"redis+sentinel://:p%40ss%3Aword@{hosts}/{MASTER}",
    ):
        async with opened(url) as cache:
            with pytest.raises(CacheError) as raised:
                await cache.get()
            assert raised.value.reason is Reason.AUTH
            assert "s3cr3t" not in f"{raised.value}{raised.value.__cause__}"


async def test_a_master_that_nobody_knows_is_told(watched: SentinelGroup) -> None:
    """The log says which name the sentinels do not know."""
    url = f"redis+sentinel://{watched.hosts}/nobody?sentinel_password=other%2Fs3cr3t"
    async with opened(url) as cache:
        with pytest.raises(CacheError) as raised:
            await cache.get()
    assert "no master called 'nobody'" in str(raised.value.__cause__)


async def test_sentinels_that_are_not_there_are_refused() -> None:
    """With no sentinel there the use fails at once, and says so."""
    url = f"redis+sentinel://127.0.0.1:1,localhost:1/{MASTER}"
    async with opened(url, timeout_seconds=5.0) as cache:
        with pytest.raises(CacheError) as raised:
            await cache.get()
    assert raised.value.reason is Reason.REFUSED


async def test_a_slot_that_moves_costs_one_use(cluster: Cluster) -> None:
    """The report goes with its slot to another node, and the use after the next finds it."""
    async with opened(f"redis+cluster://{cluster.hosts}") as cache:
        await cache.put(REPORT, 60)
        source = cluster.owner(CLUSTER_KEY)
        target = next(node for node in cluster.nodes if node is not source)
        cluster.move_slot(CLUSTER_KEY, to=target)
        try:
            with pytest.raises(CacheError) as raised:
                await cache.get()
            assert raised.value.reason is Reason.RECOVERING
            assert await cache.get() == REPORT
            await cache.put(REPORT, 60)
        finally:
            cluster.move_slot(CLUSTER_KEY, to=source)
        await until_kept(cache, REPORT, ROOMY_SECONDS)


async def test_a_slot_on_its_way_is_a_miss(cluster: Cluster) -> None:
    """While a slot is moving a use may fail, in time; it is right again when the move is over."""
    async with opened(f"redis+cluster://{cluster.hosts}", timeout_seconds=BOUND_SECONDS) as cache:
        await until_kept(cache, REPORT, ROOMY_SECONDS)
        source = cluster.owner(CLUSTER_KEY)
        target = next(node for node in cluster.nodes if node is not source)
        async with Redis.from_url(source.url) as beside:
            await beside.delete(CLUSTER_KEY)
        finish = cluster.begin_move(CLUSTER_KEY, to=target)
        try:
            with pytest.raises(CacheError) as raised:
                await cache.put(REPORT, 60)
            assert raised.value.reason is Reason.RECOVERING
        finally:
            finish()
        await until_kept(cache, REPORT, ROOMY_SECONDS)
        cluster.move_slot(CLUSTER_KEY, to=source)


@pytest.mark.faults
async def test_a_dead_node_of_a_cluster() -> None:
    """A node that holds other slots is not missed; without ours each use fails, and heals."""
    cluster = Cluster()
    try:
        url = f"redis+cluster://{cluster.hosts}"
        owner = cluster.owner(CLUSTER_KEY)
        stranger = next(node for node in cluster.nodes if node is not owner)
        async with opened(url, timeout_seconds=BOUND_SECONDS) as cache:
            await until_kept(cache, REPORT, ROOMY_SECONDS)
            stranger.stop()
            assert await cache.get() == REPORT
        async with opened(url, timeout_seconds=BOUND_SECONDS) as cache:
            await until_kept(cache, REPORT, ROOMY_SECONDS)  # one of its seeds is dead
            owner.freeze()
            for _ in range(5):
                with pytest.raises(CacheError):
                    await cache.get()
            owner.thaw()
            await until_kept(cache, REPORT, FAILOVER_SECONDS)
    finally:
        cluster.close()


async def test_a_cluster_that_does_not_serve_our_slot_is_told() -> None:
    """A cluster that nobody has given slots to is recovering, and heals when somebody does."""
    node = RedisServer({"cluster-enabled": "yes", "cluster-port": str(free_port())})
    try:
        async with opened(f"redis+cluster://127.0.0.1:{node.port}") as cache:
            with pytest.raises(CacheError) as raised:
                await cache.get()
            assert raised.value.reason is Reason.RECOVERING
            async with Redis.from_url(node.url) as beside:
                await beside.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)  # type: ignore[no-untyped-call]  # theirs
            await until_kept(cache, REPORT, FAILOVER_SECONDS)
    finally:
        node.close()


async def test_one_client_serves_several_adapters(cluster: Cluster) -> None:
    """Whatever the URL, an opened client is an ordinary one, and scripts may touch several keys."""
    opened_redis = open_redis(f"redis+cluster://{cluster.hosts}", timeout_seconds=ROOMY_SECONDS)
    assert opened_redis.namespace == CLUSTER_NAMESPACE
    cache = RedisStatusCache(
        opened_redis.client,
        key="shared",
        namespace=opened_redis.namespace,
        timeout_seconds=ROOMY_SECONDS,
    )
    keys = [f"{opened_redis.namespace}:{name}" for name in ("status:shared", "other")]
    try:
        await cache.put(REPORT, 60)
        script = "redis.call('SET', KEYS[2], 'x', 'PX', 60000) return redis.call('EXISTS', KEYS[1])"
        assert await opened_redis.client.eval(script, 2, *keys) == 1
    finally:
        await cache.aclose()
        await opened_redis.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://one:1,two,[::1]:3/master",
        "redis+sentinel://user:pass@one/master/2?sentinel_username=u&sentinel_password=p",
        "rediss+sentinel://one/master?ssl_cert_reqs=none",
        "redis+sentinel://one/master?client_name=me&socket_timeout=5",
        "redis+cluster://one:1,two",
        "redis+cluster://user:pass@one/0",
        "rediss+cluster://one?ssl_check_hostname=false",
    ],
)
async def test_urls_as_users_write_them(url: str) -> None:
    """Any number of hosts, passwords of both sides and TLS are understood."""
    async with opened(url):
        pass


CANARY: Final = "s3cr3tcanary"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"redis+sentinel://:{CANARY}@one", "master"),
        (f"redis+sentinel://:{CANARY}@one:port/master", "redis+sentinel://"),
        (f"redis+sentinel://:{CANARY}@one,,two/master", "redis+sentinel://"),
        (f"redis+sentinel://:{CANARY}@one:0/master", "redis+sentinel://"),
        (f"redis+sentinel://:{CANARY}@one/master/two", "db"),
        (f"redis+sentinel://one/master?colour={CANARY}", "'colour'"),
        (f"redis+cluster://:{CANARY}@one/3", "db"),
        (f"redis+cluster://:{CANARY}@one?db=3", "db"),
        (f"redis+cluster://:{CANARY}@", "redis+cluster://"),
        (f"redis+cluster://one?sentinel_password={CANARY}", "'sentinel_password'"),
        (f"redis+nothing://:{CANARY}@one", "'redis+nothing'"),
    ],
)
def test_a_url_that_cannot_be_had_says_so(url: str, says: str) -> None:
    """A bad URL names the setting, the part and what is allowed, and no secret."""
    with pytest.raises(ConfigurationError) as raised:
        open_redis_cache(url, key="one", source="the environment")
    told = str(raised.value)
    assert told.startswith("CACHE_URL ")
    assert says in told
    error: BaseException | None = raised.value
    while error is not None:
        assert CANARY not in f"{error!r}{error}"
        error = error.__cause__ or error.__context__


def test_nothing_of_a_cache_shows_the_passwords() -> None:
    """Neither the cache nor its client shows a password when it is printed."""
    url = f"redis+sentinel://u:{CANARY}@one/master?sentinel_password={CANARY}"
    cache = open_redis_cache(url, key="one")
    assert CANARY not in f"{cache!r}{vars(cache)!r}"

"""Redis breaks in every way it can: each use fails once, in time and in our words, and heals."""

from __future__ import annotations

import asyncio
import os
import pickle
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tasker_health.adapters.auth import AnonymousAuthenticator, PermissionCoordinator
from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.memory.probe import InMemoryDatabaseProbe
from tasker_health.adapters.memory.tasker import InMemoryTasker
from tasker_health.adapters.memory.world import World
from tasker_health.adapters.redis import RedisStatusCache, open_redis_cache
from tasker_health.domain.checks import CheckStatus
from tasker_health.domain.database import Generation
from tasker_health.domain.errors import CacheError
from tasker_health.domain.reasons import Reason
from tasker_health.domain.service import HealthService
from tasker_health.domain.settings import HealthSettings, Settings
from tasker_health.formats import snapshot
from tasker_health.testing.doubles import RecordingJournal
from tasker_health.testing.reports import report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.integration.conftest import StartRedis
    from tests.integration.redis_server import RedisServer

pytestmark = pytest.mark.anyio

KEY: Final = "tasker_health:status:one"
REPORT: Final = report()
BOUND_SECONDS: Final = 0.5
"""What one use may cost in most tests: short, and longer than a busy machine needs."""
GRACE_SECONDS: Final = 0.5


@asynccontextmanager
async def opened(
    url: str, *, timeout_seconds: float = BOUND_SECONDS
) -> AsyncIterator[RedisStatusCache]:
    """Open a cache and close it."""
    cache = open_redis_cache(url, key="one", timeout_seconds=timeout_seconds)
    try:
        yield cache
    finally:
        await cache.aclose()


@pytest.fixture
async def cache(redis_server: RedisServer) -> AsyncIterator[RedisStatusCache]:
    """Give a cache that holds a report and has a connection open."""
    async with opened(redis_server.url) as cache:
        await cache.put(REPORT, 600)
        yield cache


@pytest.fixture
async def admin(redis_server: RedisServer) -> AsyncIterator[Redis]:
    """Give a client that breaks the server from beside."""
    async with Redis.from_url(redis_server.url) as client:
        yield client


async def fails(use: Awaitable[object]) -> Reason:
    """Use the cache, which fails in time, and tell why."""
    began = time.monotonic()
    with pytest.raises(CacheError) as raised:
        await use
    assert time.monotonic() - began < BOUND_SECONDS + GRACE_SECONDS
    assert raised.value.__cause__ is not None
    return raised.value.reason


async def until(holds: Callable[[], Awaitable[object]], seconds: float = 1.0) -> None:
    """Wait until something holds, and no longer than it may take."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(CacheError, RedisError):
            if await holds():
                return
        assert time.monotonic() < deadline, "it does not come to hold in time"
        await asyncio.sleep(0.01)


@pytest.mark.faults
async def test_frozen_costs_the_bound_and_heals(
    redis_server: RedisServer, cache: RedisStatusCache
) -> None:
    """A frozen Redis costs each use its bound, and the next use after the thaw is right."""
    redis_server.freeze()
    assert {await fails(cache.get()) for _ in range(3)} == {Reason.TIMEOUT}
    assert await fails(cache.put(REPORT, 600)) is Reason.TIMEOUT
    redis_server.thaw()
    await until(cache.get)
    assert await cache.get() == REPORT


@pytest.mark.faults
async def test_frozen_costs_one_connection_at_a_time(
    redis_server: RedisServer, cache: RedisStatusCache
) -> None:
    """However often a frozen Redis is asked, descriptors and tasks do not pile up."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  a count
    redis_server.freeze()
    await asyncio.gather(*(fails(cache.get()) for _ in range(100)))
    assert len(os.listdir("/proc/self/fd")) <= before + 8  # noqa: PTH208  a count
    await asyncio.sleep(1.1)
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208  a count
    assert len(asyncio.all_tasks()) <= 2


@pytest.mark.faults
@pytest.mark.parametrize("steps", range(12))
async def test_a_late_reply_is_never_read_by_another_command(
    redis_server: RedisServer, cache: RedisStatusCache, admin: Redis, steps: int
) -> None:
    """A use cancelled while Redis was frozen leaves no reply behind for the next one."""
    newer = report(took_ms=99.0)
    redis_server.freeze()
    cancelled = [asyncio.create_task(cache.get()), asyncio.create_task(cache.put(newer, 600))]
    for _ in range(steps):
        await asyncio.sleep(0)
    for task in cancelled:
        task.cancel()
    await asyncio.wait(cancelled, timeout=BOUND_SECONDS)
    assert all(task.done() for task in cancelled)
    redis_server.thaw()
    await until(admin.ping)
    for told in (report(took_ms=1.0), report(took_ms=2.0), report(took_ms=3.0)):
        await cache.put(told, 600)
        assert await cache.get() == told
    assert cache.unreadable == 0


@pytest.mark.faults
async def test_frozen_in_the_middle_of_a_use(
    redis_server: RedisServer, cache: RedisStatusCache
) -> None:
    """Freezing and thawing while many uses are under way never gives a wrong report."""
    for _ in range(5):
        uses = [asyncio.create_task(cache.get()) for _ in range(20)]
        await asyncio.sleep(0.001)
        redis_server.freeze()
        await asyncio.sleep(0.005)
        for task in uses[::2]:
            task.cancel()
        redis_server.thaw()
        for answer in await asyncio.gather(*uses, return_exceptions=True):
            assert answer == REPORT or isinstance(answer, CacheError | asyncio.CancelledError)
    assert cache.unreadable == 0


async def test_out_of_memory(cache: RedisStatusCache, admin: Redis) -> None:
    """A full Redis takes no report, and still gives the one it has."""
    await admin.config_set("maxmemory", "1")
    assert await fails(cache.put(REPORT, 600)) is Reason.OUT_OF_MEMORY
    assert await cache.get() == REPORT
    await admin.config_set("maxmemory", "0")
    await cache.put(REPORT, 600)


async def test_a_read_only_replica(cache: RedisStatusCache, admin: Redis) -> None:
    """A replica gives reports and takes none; what it holds unreadable stays a miss."""
    await admin.set("tasker_health:status:one", b"junk")
    await admin.replicaof("127.0.0.1", "1")
    assert await fails(cache.put(REPORT, 600)) is Reason.READ_ONLY
    assert await cache.get() is None
    assert cache.unreadable == 1
    await admin.replicaof("NO", "ONE")
    await cache.put(REPORT, 600)
    assert await cache.get() == REPORT


async def test_a_wrong_password(start_redis: StartRedis) -> None:
    """Redis turning us away is told as such, and the password is not in the words."""
    server = start_redis(requirepass="right-s3cr3t")
    for url in (
        f"redis://:wrong-s3cr3t@127.0.0.1:{server.port}",
        f"redis://nobody:wrong-s3cr3t@127.0.0.1:{server.port}",
        f"redis://127.0.0.1:{server.port}",
    ):
        async with opened(url) as cache:
            assert await fails(cache.get()) is Reason.AUTH
            with pytest.raises(CacheError) as raised:
                await cache.put(REPORT, 1)
            assert "s3cr3t" not in f"{raised.value}{raised.value.__cause__}"
    async with opened(server.url) as cache:
        assert await cache.get() is None


async def test_no_permission(redis_server: RedisServer, admin: Redis) -> None:
    """The documented permissions suffice, and without them the reason is told."""
    rights = ["+ping", "+getrange", "+exists", "+set", "+eval", "+type", "+unlink"]
    await admin.acl_setuser("few", True, passwords="+p", keys="tasker_health:*", commands=rights)  # noqa: FBT003  redis-py's own
    async with opened(f"redis://few:p@127.0.0.1:{redis_server.port}") as cache:
        await cache.put(REPORT, 600)
        assert await cache.get() == REPORT
        await admin.set(KEY, b"junk")
        assert await cache.get() is None
        assert await admin.exists(KEY) == 0
        await admin.acl_setuser("few", commands=["-set"])
        assert await fails(cache.put(REPORT, 600)) is Reason.AUTH


async def test_no_connection_left(redis_server: RedisServer, admin: Redis) -> None:
    """A Redis without a connection to spare says so; a connection that is open goes on."""
    async with opened(redis_server.url) as early, opened(redis_server.url) as late:
        await early.put(REPORT, 600)
        await admin.config_set("maxclients", "2")
        # The server may close before we can read what it says.
        assert await fails(late.get()) in {Reason.TOO_MANY_CONNECTIONS, Reason.RECOVERING}
        assert await early.get() == REPORT
        await admin.config_set("maxclients", "100")
        assert await late.get() == REPORT


async def test_a_busy_script(
    redis_server: RedisServer, cache: RedisStatusCache, admin: Redis
) -> None:
    """A script that keeps Redis busy is told as such, and its end heals."""
    await admin.config_set("lua-time-limit", "5")
    async with Redis.from_url(redis_server.url, socket_timeout=10) as culprit:
        script = asyncio.ensure_future(culprit.eval("while true do end", 0))
        try:

            async def busy() -> bool:
                try:
                    await admin.ping()
                except RedisError as error:
                    return "BUSY" in str(error)
                return False

            await until(busy)
            assert await fails(cache.get()) is Reason.LOCKED
            assert await fails(cache.put(REPORT, 600)) is Reason.LOCKED
        finally:
            await admin.script_kill()
            await asyncio.gather(script, return_exceptions=True)
    assert await cache.get() == REPORT


async def test_loading(start_redis: StartRedis) -> None:
    """A Redis that is still reading its data is starting up, and then answers."""
    server = start_redis(
        key_load_delay="20000", loading_process_events_interval_bytes="1024", dbfilename="x.rdb"
    )
    async with Redis.from_url(server.url) as admin, opened(server.url) as cache:
        for number in range(60):
            await admin.set(f"ballast:{number}", os.urandom(4096))
        await cache.put(REPORT, 600)
        await admin.save()
        server.stop()
        starting = asyncio.create_task(asyncio.to_thread(server.start))
        reasons = set()
        while not starting.done():
            with suppress(CacheError):
                try:
                    await cache.get()
                except CacheError as error:
                    reasons.add(error.reason)
                    raise
            await asyncio.sleep(0.01)
        await starting
        assert Reason.STARTING in reasons
        assert reasons <= {Reason.STARTING, Reason.REFUSED, Reason.RECOVERING, Reason.TIMEOUT}
        assert await cache.get() == REPORT


async def test_a_restart_between_two_uses_is_not_noticed(
    redis_server: RedisServer, cache: RedisStatusCache
) -> None:
    """A connection that died unused is replaced; while Redis is down, it is refused."""
    redis_server.stop()
    await asyncio.sleep(0.02)
    assert await fails(cache.get()) is Reason.REFUSED
    redis_server.start()
    assert await cache.get() is None
    redis_server.stop()
    redis_server.start()
    await asyncio.sleep(0.02)
    await cache.put(REPORT, 600)
    assert await cache.get() == REPORT


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://nobody.invalid:6379", Reason.DNS),
        (f"redis://{'x' * 70}.invalid", Reason.DNS),
        ("redis://localhost:1", Reason.REFUSED),
        ("unix:///nowhere/redis.sock", Reason.REFUSED),
    ],
)
async def test_nowhere(url: str, reason: Reason) -> None:
    """A host, a port or a socket that is not there is told apart."""
    cache = open_redis_cache(url, key="one", timeout_seconds=5)
    with pytest.raises(CacheError) as raised:
        await cache.get()
    await cache.aclose()
    assert raised.value.reason is reason


async def test_a_peer_that_is_no_redis() -> None:
    """Garbage for an answer is a failure like any other, within the bound."""

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server, opened(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}") as cache:
        assert await fails(cache.get()) in {Reason.FAILED, Reason.RECOVERING}


class _Trap:
    """Leaves a trace when it is unpickled."""

    sprung: Final[list[str]] = []

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return _Trap.sprung.append, ("sprung",)


FINGERPRINT: Final = b"\x00"
"""Stands in a value below for the fingerprint that belongs to the key."""

GOOD: Final = snapshot.encode(REPORT)
POISON: Final = {
    "empty": b"",
    "fingerprint alone": FINGERPRINT,
    "no fingerprint": GOOD,
    "another fingerprint": b"0123456789abcdef" + GOOD,
    "truncated": FINGERPRINT + GOOD[:-1],
    "old version": FINGERPRINT + GOOD.replace(b'"version":1', b'"version":0'),
    "NaN": FINGERPRINT + GOOD.replace(b'"took_ms":12.5', b'"took_ms":NaN'),
    "1e999": FINGERPRINT + GOOD.replace(b'"took_ms":12.5', b'"took_ms":1e999'),
    "deep nesting": FINGERPRINT + b"[" * 60_000,
    "huge": FINGERPRINT + GOOD + b" " * 5_000_000,
    "one too large": FINGERPRINT + GOOD + b" " * (snapshot.LARGEST_BYTES - len(GOOD) + 1),
    "pickle": pickle.dumps(_Trap()),
    "pickle of ours": FINGERPRINT + pickle.dumps(_Trap()),
}


@pytest.mark.parametrize("value", POISON.values(), ids=POISON.keys())
async def test_poison_is_a_miss_deleted_and_counted(
    cache: RedisStatusCache, admin: Redis, value: bytes
) -> None:
    """Whatever stands under our key that is no report of ours never becomes one."""
    await admin.set(KEY, value.replace(FINGERPRINT, cache._seal.mark, 1))
    assert await cache.get() is None
    assert await admin.exists(KEY) == 0
    assert cache.unreadable == 1
    assert _Trap.sprung == []
    await cache.put(REPORT, 600)
    assert await cache.get() == REPORT


@pytest.mark.parametrize(
    "plant",
    [
        ("LPUSH", KEY, "x"),
        ("SADD", KEY, "x"),
        ("HSET", KEY, "x", "y"),
        ("ZADD", KEY, "1", "x"),
        ("XADD", KEY, "*", "x", "y"),
    ],
    ids=lambda plant: plant[0],
)
async def test_another_type_under_our_key_is_a_miss_deleted_and_counted(
    cache: RedisStatusCache, admin: Redis, plant: tuple[str, ...]
) -> None:
    """A list, set, hash, sorted set or stream in our place is removed."""
    await admin.delete(KEY)
    await admin.execute_command(*plant)  # type: ignore[no-untyped-call]  # redis-py's own
    assert await cache.get() is None
    assert await admin.exists(KEY) == 0
    assert cache.unreadable == 1


async def test_another_keys_report_is_a_miss(
    redis_server: RedisServer, cache: RedisStatusCache, admin: Redis
) -> None:
    """A report that was copied from another key is not taken for this one's."""
    other = open_redis_cache(redis_server.url, key="two", timeout_seconds=BOUND_SECONDS)
    await other.put(report(took_ms=2.0), 600)
    await other.aclose()
    await admin.copy("tasker_health:status:two", KEY, replace=True)
    assert await cache.get() is None
    assert cache.unreadable == 1


async def test_what_was_replaced_meanwhile_is_not_removed(
    cache: RedisStatusCache, admin: Redis
) -> None:
    """Only the very value that could not be read is removed, never a good one put since."""
    await admin.set(KEY, b"junk")
    found = await cache._stored(admin)
    assert found == b"junk"
    await cache.put(REPORT, 600)
    await cache._discard(admin, found)
    await cache._discard(admin, b"")
    assert await cache.get() == REPORT


@asynccontextmanager
async def served(cache: RedisStatusCache) -> AsyncIterator[tuple[HealthService, RecordingJournal]]:
    """Give a whole service over a Tasker in memory that measures whenever it is asked."""
    journal = RecordingJournal()
    async with HealthService(
        tasker=InMemoryTasker(World(generation=Generation.ENGINE)),
        probe=InMemoryDatabaseProbe(),
        clock=SystemClock(),
        journal=journal,
        authenticator=AnonymousAuthenticator(),
        coordinator=PermissionCoordinator,
        cache=cache,
        settings=Settings(health=HealthSettings(cache_duration_seconds=0.0)),
    ) as service:
        yield service, journal


@pytest.mark.faults
async def test_a_service_answers_from_the_source_while_redis_is_frozen(
    redis_server: RedisServer,
) -> None:
    """Frozen, Redis costs a status its bound and 25 ms at most; ready says so and stays ready."""
    bound = HealthSettings().cache_timeout_seconds
    async with (
        opened(redis_server.url, timeout_seconds=bound) as cache,
        served(cache) as (service, journal),
    ):
        assert not (await service.status()).cached
        redis_server.freeze()
        spent = []
        for _ in range(5):
            began = time.monotonic()
            answer = await service.status()
            spent.append(time.monotonic() - began)
            assert not answer.cached
            assert not answer.stale
        # The least of five: the others may have waited for this machine.
        assert min(spent) <= bound + 0.025
        ready = await service.ready()
        assert ready.ready
        by_name = {check.name: check for check in ready.checks}
        assert by_name["cache"].status is CheckStatus.DEGRADED
        assert by_name["cache"].reason is Reason.TIMEOUT
        redis_server.thaw()

        async def healed() -> bool:
            await service.status()
            return journal.about("status_cache")[-1].after == "answering"

        await until(healed)
        assert [change.after for change in journal.about("status_cache")] == [
            "failing",
            "answering",
        ]

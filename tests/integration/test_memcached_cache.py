"""The shared status in a real Memcached: the contract, the URL, several nodes, the faults."""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs
import emcache
import pytest
from tests.integration import failing_uses
from tests.integration.failing_uses import until
from tests.integration.memcached_server import MemcachedServer

from tasker_health.adapters.memcached import MemcachedStatusCache, open_memcached_cache
from tasker_health.adapters.memcached.failures import reason_of
from tasker_health.domain.errors import CacheError, ConfigurationError
from tasker_health.domain.reasons import Reason
from tasker_health.domain.status import Finding, Rule, Verdict
from tasker_health.testing.contracts import StoredStatusCacheContract
from tasker_health.testing.reports import report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from tasker_health.domain.ports import StatusCache

pytestmark = pytest.mark.anyio

KEY: Final = b"tasker_health:status:one"
REPORT: Final = report()
BOUND_SECONDS: Final = 0.5
GRACE_SECONDS: Final = 0.5
CANARY: Final = "s3cr3tcanary"


class StartMemcached(Protocol):
    """Starts a Memcached of the test's own."""

    def __call__(self, *options: str, user: str = "", password: str = "") -> MemcachedServer:
        """Start one."""
        ...


@pytest.fixture
def start_memcached() -> Iterator[StartMemcached]:
    """Start as many as the test wants."""
    with ExitStack() as running:

        def start(*options: str, user: str = "", password: str = "") -> MemcachedServer:
            server = MemcachedServer(*options, user=user, password=password)
            running.callback(server.close)
            return server

        yield start


@pytest.fixture
def server(start_memcached: StartMemcached) -> MemcachedServer:
    """Give one."""
    return start_memcached()


@asynccontextmanager
async def opened(*hosts: str, **given: Any) -> AsyncIterator[MemcachedStatusCache]:
    """Open a cache and close it."""
    url = f"memcached://{','.join(hosts)}"
    cache = open_memcached_cache(url, **{"key": "one", "timeout_seconds": BOUND_SECONDS, **given})
    try:
        yield cache
    finally:
        await cache.aclose()


@pytest.fixture
async def beside(server: MemcachedServer) -> AsyncIterator[emcache.Client]:
    """Give a client that looks at the server from beside."""
    address = emcache.MemcachedHostAddress("127.0.0.1", server.port)
    client = await emcache.create_client([address], timeout=5.0)
    yield client
    await client.close()


class TestContract(StoredStatusCacheContract):
    """The promises of the port."""

    keep_seconds = 3.0  # it counts whole seconds

    @pytest.fixture
    async def cache(self, server: MemcachedServer) -> AsyncIterator[StatusCache]:
        """Open a cache."""
        async with opened(server.host, timeout_seconds=2.0) as cache:
            yield cache

    @pytest.fixture
    async def other_cache(self, server: MemcachedServer) -> AsyncIterator[StatusCache]:
        """Open it again, as another process would."""
        async with opened(server.host, timeout_seconds=2.0) as cache:
            yield cache

    @pytest.fixture
    def plant(self, beside: emcache.Client) -> Callable[[bytes], Awaitable[None]]:
        """Give a way to put bytes under the key."""

        async def plant(data: bytes) -> None:
            await beside.set(KEY, data)

        return plant

    @pytest.fixture
    def stored(self, beside: emcache.Client) -> Callable[[], Awaitable[bytes | None]]:
        """Give a way to read the bytes under the key."""

        async def stored() -> bytes | None:
            found = await beside.get(KEY)
            return None if found is None else bytes(found.value)

        return stored


fails = partial(failing_uses.fails, within_seconds=BOUND_SECONDS + GRACE_SECONDS)


def descriptors() -> int:
    """Count what this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  a count


async def test_fifty_at_once_use_eight_connections(server: MemcachedServer) -> None:
    """However many ask at once, at most eight connections are opened, and all are answered."""
    before = descriptors()
    async with opened(server.host) as cache:
        await cache.put(REPORT, 60)
        assert set(await asyncio.gather(*(cache.get() for _ in range(50)))) == {REPORT}
        assert descriptors() - before <= 8


async def test_closing_lets_go_of_everything(server: MemcachedServer) -> None:
    """After it is closed neither descriptor nor task of it is left."""
    at_first, tasks = descriptors(), asyncio.all_tasks()
    async with opened(server.host) as cache:
        await cache.put(REPORT, 60)
    await asyncio.sleep(0)
    assert descriptors() == at_first
    assert asyncio.all_tasks() == tasks


async def test_another_keys_report_is_a_miss(
    server: MemcachedServer, beside: emcache.Client
) -> None:
    """A report that was copied from another key is not taken for this one's."""
    async with opened(server.host) as cache, opened(server.host, key="two") as other:
        await other.put(REPORT, 60)
        found = await beside.get(b"tasker_health:status:two")
        assert found is not None
        await beside.set(KEY, bytes(found.value))
        assert await cache.get() is None
        assert cache.unreadable == 1


async def test_what_was_replaced_meanwhile_is_not_removed(
    server: MemcachedServer, beside: emcache.Client
) -> None:
    """Only the very value that could not be read is removed, never a good one put since."""
    async with opened(server.host) as cache:
        await beside.set(KEY, b"junk")
        async with cache._use() as connection:
            found = await connection.get(KEY)
            assert found is not None
            await cache.put(REPORT, 60)
            await connection.remove(KEY, found[1])
        assert await cache.get() == REPORT


async def test_a_dead_node_costs_one_use(start_memcached: StartMemcached) -> None:
    """With one of several nodes dead, one use fails; the next ones go to another node."""
    nodes = [start_memcached() for _ in range(3)]
    async with opened(*(node.host for node in nodes)) as cache:
        await cache.put(REPORT, 60)
        first = next(node for node in nodes if node.host.endswith(str(_port(cache))))
        first.stop()
        assert await fails(cache.get()) in {Reason.REFUSED, Reason.TIMEOUT}
        await until(lambda: put(cache))
        for _ in range(5):
            assert await cache.get() == REPORT
        first.start()
        await until(lambda: _is_back(cache))
        assert await cache.get() is None  # it was emptied, and is asked first again
        await cache.put(REPORT, 60)
        assert await cache.get() == REPORT


def _port(cache: MemcachedStatusCache) -> int:
    return cache._nodes[0].address[1]


async def _is_back(cache: MemcachedStatusCache) -> bool:
    await cache.get()
    return cache._nodes[0].is_open


async def put(cache: MemcachedStatusCache) -> bool:
    """Put the report."""
    await cache.put(REPORT, 60)
    return True


async def test_every_process_asks_the_same_node_first() -> None:
    """The order of the nodes follows from the key, however the URL lists them."""
    hosts = [f"10.0.0.{number}" for number in range(9)]
    async with opened(*hosts) as one, opened(*reversed(hosts)) as two:
        order = [[node.address for node in cache._nodes] for cache in (one, two)]
        assert order[0] == order[1]
        async with opened(*hosts, key="two") as other:
            assert [node.address for node in other._nodes] != order[0]


async def test_all_nodes_away_is_told_at_once_and_heals(server: MemcachedServer) -> None:
    """With nobody there each use says so; the first use after the return is right."""
    async with opened(server.host) as cache:
        await cache.put(REPORT, 60)
        server.stop()
        await asyncio.sleep(0.02)
        await fails(cache.get())
        assert {await fails(cache.get()) for _ in range(3)} == {Reason.REFUSED}
        server.start()
        await until(lambda: put(cache))
        assert await cache.get() == REPORT


async def test_a_restart_between_two_uses_is_not_noticed(server: MemcachedServer) -> None:
    """A connection that died unused is replaced."""
    async with opened(server.host) as cache:
        await cache.put(REPORT, 60)
        server.stop()
        server.start()
        await asyncio.sleep(0.05)
        assert await cache.get() is None
        await cache.put(REPORT, 60)
        assert await cache.get() == REPORT


@pytest.mark.faults
async def test_frozen_costs_the_bound_and_heals(server: MemcachedServer) -> None:
    """A frozen Memcached costs each use its bound; descriptors and tasks do not pile up."""
    async with opened(server.host) as cache:
        await cache.put(REPORT, 60)
        before, tasks = descriptors(), len(asyncio.all_tasks())
        server.freeze()
        assert {await fails(cache.get()) for _ in range(2)} == {Reason.TIMEOUT}
        await asyncio.gather(*(fails(cache.get()) for _ in range(100)))
        assert descriptors() <= before + 8
        server.thaw()
        await until(cache.get)
        assert await cache.get() == REPORT
        assert descriptors() <= before + 8
        assert len(asyncio.all_tasks()) <= tasks + 2


@pytest.mark.faults
@pytest.mark.parametrize("steps", range(8))
async def test_a_late_reply_is_never_read_by_another_command(
    server: MemcachedServer, steps: int
) -> None:
    """A use cancelled while Memcached was frozen leaves no reply behind for the next one."""
    async with opened(server.host) as cache:
        await cache.put(REPORT, 60)
        server.freeze()
        cancelled = [
            asyncio.create_task(cache.get()),
            asyncio.create_task(cache.put(report(took_ms=99.0), 60)),
        ]
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in cancelled:
            task.cancel()
        await asyncio.wait(cancelled, timeout=BOUND_SECONDS)
        assert all(task.done() for task in cancelled)
        server.thaw()
        await until(cache.get)
        for told in (report(took_ms=1.0), report(took_ms=2.0)):
            await cache.put(told, 60)
            assert await cache.get() == told
        assert cache.unreadable == 0


async def test_users_are_known_by_name_and_password(start_memcached: StartMemcached) -> None:
    """A Memcached that asks who is there is told; a wrong answer is told as such, unseen."""
    server = start_memcached(user="health", password="p@ssword")
    async with opened(f"health:p%40ssword@{server.host}") as cache:
        await cache.put(REPORT, 60)
        assert await cache.get() == REPORT
    for who in ("", f"health:{CANARY}@", f"nobody:{CANARY}@"):
        async with opened(f"{who}{server.host}") as cache:
            with pytest.raises(CacheError) as raised:
                await cache.get()
            assert raised.value.reason is Reason.AUTH
            assert CANARY not in f"{raised.value}{raised.value.__cause__}"


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("nobody.invalid", Reason.DNS),
        (f"{'x' * 70}.invalid", Reason.DNS),
        ("127.0.0.1:1", Reason.REFUSED),
        ("localhost:1", Reason.REFUSED),
    ],
)
async def test_nowhere(host: str, reason: Reason) -> None:
    """A host or a port that is not there is told apart."""
    async with opened(host, timeout_seconds=5.0) as cache:
        with pytest.raises(CacheError) as raised:
            await cache.get()
        assert raised.value.reason is reason


async def test_a_peer_that_is_no_memcached() -> None:
    """Who talks unasked, or says what means nothing, fails like any other, within the bound."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"ERROR Too many open connections\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with opened(f"127.0.0.1:{port}") as cache:
            assert await fails(cache.get()) in {Reason.TIMEOUT, Reason.FAILED}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EHOSTUNREACH, "no way"), Reason.UNREACHABLE),
        (OSError("Multiple exceptions: [Errno 111] a, [Errno 111] b"), Reason.REFUSED),
        (OSError(errno.EMFILE, "too many"), Reason.FAILED),
        (emcache.CommandError("SERVER_ERROR out of memory storing object"), Reason.OUT_OF_MEMORY),
        (ConnectionResetError(errno.ECONNRESET, "reset"), Reason.RECOVERING),
    ],
)
def test_failures_are_told_apart(error: Exception, reason: Reason) -> None:
    """What the system and Memcached say becomes one word."""
    assert reason_of(error) is reason


async def test_what_cannot_be_written_is_not_put(
    server: MemcachedServer, beside: emcache.Client
) -> None:
    """A report that could not be read back is refused and leaves nothing behind."""
    bad = attrs.evolve(REPORT, snapshot=attrs.evolve(REPORT.snapshot, took_ms=float("inf")))
    async with opened(server.host) as cache:
        assert await fails(cache.put(bad, 10)) is Reason.FAILED
    assert await beside.get(KEY) is None


async def test_no_room_is_told(start_memcached: StartMemcached) -> None:
    """A report that Memcached takes no item of is refused, and the cache goes on."""
    server = start_memcached("-I", "1k", "-o", "slab_chunk_max=1")
    finding = Finding(
        rule=Rule.STALLED,
        severity=Verdict.UNHEALTHY,
        observed=1.0,
        threshold=0.5,
        since=REPORT.snapshot.at,
        look_at="x" * 2000,
    )
    async with opened(server.host) as cache:
        assert await fails(cache.put(report(findings=[finding]), 60)) is Reason.FAILED
        assert await cache.get() is None


@pytest.mark.parametrize(
    "url",
    [
        "memcached://",
        "memcached:///",
        "cache:11211",
        f"memcached://u:{CANARY}@cache:port",
        f"memcached://u:{CANARY}@cache:99999",
        f"memcached://u:{CANARY}@cache,",
        f"memcached://u:{CANARY}@[::1",
        f"memcached://:{CANARY}@cache",
        "memcached://u@cache",
        f"memcached://u:a/{CANARY}@cache",
        f"memcached://cache?password={CANARY}",
        f"memcached://u:a#{CANARY}@cache",
    ],
)
def test_a_url_that_cannot_be_had_says_so(url: str) -> None:
    """A bad URL names the setting and what is allowed, and no secret."""
    with pytest.raises(ConfigurationError) as raised:
        open_memcached_cache(url, key="one", source="the environment")
    told = str(raised.value)
    assert told.startswith("CACHE_URL (from the environment): allowed is memcached://")
    error: BaseException | None = raised.value
    while error is not None:
        assert CANARY not in f"{error!r}{error}"
        error = error.__cause__ or error.__context__


def test_nothing_of_a_cache_shows_the_password() -> None:
    """Neither the cache nor its nodes show the password when they are printed."""
    cache = open_memcached_cache(f"memcached://u:{CANARY}@cache", key="one")
    assert CANARY not in f"{cache!r}{vars(cache)!r}{vars(cache._nodes[0])!r}"

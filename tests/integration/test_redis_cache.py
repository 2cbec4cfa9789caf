"""The shared status in a real Redis, and in a real Valkey: the contract, the URL, the bounds."""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from redis.asyncio import Redis
from tests.integration.processes import free_port
from tests.integration.redis_groups import MASTER, Sentinel
from tests.integration.redis_server import RedisServer
from tests.programs import program

from tasker_health.adapters.redis import RedisStatusCache, open_redis_cache
from tasker_health.domain.errors import CacheError, ConfigurationError
from tasker_health.domain.reasons import Reason
from tasker_health.testing.contracts import StoredStatusCacheContract
from tasker_health.testing.reports import report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.integration.conftest import StartRedis

    from tasker_health.domain.ports import StatusCache

pytestmark = pytest.mark.anyio

REPORT: Final = report()
KEY: Final = "tasker_health:status:one"
ROOMY_SECONDS: Final = 2.0
"""For tests that are not about the bound."""

RIGHTS: Final = ("+ping", "+getrange", "+exists", "+set", "+eval", "+type", "+unlink")
"""Those that the adapter's documentation names."""


@asynccontextmanager
async def opened(url: str, *, key: str = "one", **given: Any) -> AsyncIterator[RedisStatusCache]:
    """Open a cache and close it."""
    cache = open_redis_cache(url, key=key, **{"timeout_seconds": ROOMY_SECONDS, **given})
    try:
        yield cache
    finally:
        await cache.aclose()


def descriptors() -> int:
    """Count what this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  a count, of what a Path opens too


@pytest.fixture
async def admin(redis_server: RedisServer) -> AsyncIterator[Redis]:
    """Give a client that looks at the server from beside."""
    async with Redis.from_url(redis_server.url) as client:
        yield client


class TestContract(StoredStatusCacheContract):
    """The promises of the port, kept by Redis and by Valkey."""

    keep_seconds = 0.6

    @pytest.fixture(params=["any", "valkey"])
    def server(
        self,
        request: pytest.FixtureRequest,
        start_redis: StartRedis,
        monkeypatch: pytest.MonkeyPatch,
    ) -> RedisServer:
        """Start the server that the PATH names, and the one that a wheel brings."""
        if request.param == "valkey":
            monkeypatch.setenv("PATH", "")
        return start_redis()

    @pytest.fixture
    async def cache(self, server: RedisServer) -> AsyncIterator[StatusCache]:
        """Open a cache."""
        async with opened(server.url) as cache:
            yield cache

    @pytest.fixture
    async def other_cache(self, server: RedisServer) -> AsyncIterator[StatusCache]:
        """Open it again, as another process would."""
        async with opened(server.url) as cache:
            yield cache

    @pytest.fixture
    async def beside(self, server: RedisServer) -> AsyncIterator[Redis]:
        """Give a client that looks at the server from beside."""
        async with Redis.from_url(server.url) as client:
            yield client

    @pytest.fixture
    def plant(self, beside: Redis) -> Callable[[bytes], Awaitable[None]]:
        """Give a way to put bytes under the key."""

        async def plant(data: bytes) -> None:
            await beside.set(KEY, data)

        return plant

    @pytest.fixture
    def stored(self, beside: Redis) -> Callable[[], Awaitable[bytes | None]]:
        """Give a way to read the bytes under the key."""

        async def stored() -> bytes | None:
            found = await beside.get(KEY)
            assert not isinstance(found, str)
            return found

        return stored


async def test_the_key_and_its_life_are_as_documented(
    redis_server: RedisServer, admin: Redis
) -> None:
    """A report stands under ``tasker_health:status:<key>`` for as long as was told."""
    async with opened(redis_server.url) as cache:
        await cache.put(REPORT, 12.5)
    assert await admin.keys() == [KEY.encode()]
    assert 11_500 < await admin.pttl(KEY) <= 12_500


async def test_a_report_is_gone_when_its_time_is_over(redis_server: RedisServer) -> None:
    """Redis itself removes the report in time."""
    async with opened(redis_server.url) as cache:
        await cache.put(REPORT, 0.001)
        await asyncio.sleep(0.01)
        assert await cache.get() is None
        assert cache.unreadable == 0


async def test_one_key_is_not_another(redis_server: RedisServer) -> None:
    """Two Taskers share a Redis without seeing each other."""
    async with opened(redis_server.url) as one, opened(redis_server.url, key="two") as two:
        await one.put(REPORT, 10)
        assert await two.get() is None
        assert await one.get() == REPORT


async def test_an_embedders_client_stays_open(redis_server: RedisServer) -> None:
    """A client that was given is used as it is, a decoding one too, and not closed."""
    async with Redis.from_url(redis_server.url, decode_responses=True) as client:
        cache = RedisStatusCache(client, key="one", timeout_seconds=ROOMY_SECONDS)
        await cache.put(REPORT, 10)
        assert await cache.get() == REPORT
        await client.set(KEY, b"\xff\xfe no text")
        assert await cache.get() is None
        await cache.aclose()
        assert await client.exists(KEY) == 0


async def test_fifty_at_once_use_eight_connections(redis_server: RedisServer, admin: Redis) -> None:
    """However many ask at once, at most eight connections are opened, and all are answered."""
    async with opened(redis_server.url) as cache:
        await cache.put(REPORT, 10)
        assert set(await asyncio.gather(*(cache.get() for _ in range(50)))) == {REPORT}
        ours = [client for client in await admin.client_list() if client["cmd"] == "exists"]
        assert 1 <= len(ours) <= 8


async def test_closing_lets_go_of_everything(redis_server: RedisServer) -> None:
    """After it is closed neither descriptor nor task of it is left."""
    at_first, tasks = descriptors(), asyncio.all_tasks()
    async with opened(redis_server.url) as cache:
        await cache.put(REPORT, 10)
        assert descriptors() > at_first
    assert descriptors() == at_first
    assert asyncio.all_tasks() == tasks


async def test_closing_what_was_never_used_is_nothing() -> None:
    """Opening connects to nothing, and so closing has nothing to do."""
    async with opened("redis://nobody.invalid"):
        pass


PEM: Final = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgff6BIt4h7OJgQt6r
LKwNICVbZ2ry7I8kGY1G1k4X0N+hRANCAAS/Um00XVRbItbEx3mPRJlXxmVD2qCK
xWH6/CANlRO521heoeCOWA2fjvn2ioaQ1yJPDmTmhirNXW5U3ELZpfns
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBXDCCAQKgAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEwMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABL9SbTRdVFsi1sTH
eY9EmVfGZUPaoIrFYfr8IA2VE7nbWF6h4I5YDZ+O+faKhpDXIk8OZOaGKs1dblTc
Qtml+eyjQzBBMA8GA1UdEQQIMAaHBH8AAAEwDwYDVR0TAQH/BAUwAwEB/zAdBgNV
HQ4EFgQU5NfS2Hl3xwJPe0Jg95JDCeTs9RAwCgYIKoZIzj0EAwIDSAAwRQIgS6qT
wS2y/Z/ep3/26LngIiL9rvAl2B5qAEIGZA11QEQCIQCyjXEAfNHdDzf54Jq3ZQnn
wY5101Vji0PMfuzy1O9qdQ==
-----END CERTIFICATE-----
"""
"""A key and a certificate for 127.0.0.1, made for this test and used nowhere else."""


@asynccontextmanager
async def before(
    port: int, *, delay_seconds: float = 0.0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Stand before a server: pass everything on, later, or out of TLS."""
    serving: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await asyncio.sleep(delay_seconds)
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(pass_on(reader, back), pass_on(there, writer))
        finally:
            back.transport.abort()
            writer.transport.abort()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.get_running_loop().create_task(serve(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def test_a_far_redis_is_reached_although_connecting_takes_longer_than_a_use(
    start_redis: StartRedis,
) -> None:
    """Connecting goes on in the background, so that a later use finds an open connection."""
    server = start_redis(requirepass="x")
    async with (
        before(server.port, delay_seconds=0.03) as port,
        opened(f"redis://:x@127.0.0.1:{port}/1", timeout_seconds=0.1) as cache,
    ):
        with pytest.raises(CacheError):  # AUTH, SELECT and PING are three times 0.06 s
            await cache.get()
        await asyncio.sleep(0.3)
        assert await cache.get() is None


async def test_only_what_is_allowed_crosses_the_network(
    redis_server: RedisServer, admin: Redis
) -> None:
    """Of a huge value no more is transferred than a report can have."""
    await admin.set(KEY, b"x" * 30_000_000)
    sent = (await admin.info("stats"))["total_net_output_bytes"]
    async with opened(redis_server.url) as cache:
        assert await cache.get() is None
    assert (await admin.info("stats"))["total_net_output_bytes"] - sent < 200_000
    assert await admin.exists(KEY) == 0


async def test_a_unix_socket_and_tls_are_spoken(start_redis: StartRedis, tmp_path: Path) -> None:
    """A socket file with a database, and TLS with a certificate, work as in redis-py's URLs."""
    pem = tmp_path / "server.pem"
    pem.write_text(PEM)
    server = start_redis(unixsocket=f"{tmp_path}/r.sock")
    async with opened(f"unix://{tmp_path}/r.sock?db=3") as cache:
        await cache.put(REPORT, 10)
        assert await cache.get() == REPORT
    async with opened(f"redis://127.0.0.1:{server.port}/3") as cache:
        assert await cache.get() == REPORT
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    async with before(server.port, tls=tls) as port:
        url = f"rediss://127.0.0.1:{port}/3"
        async with opened(f"{url}?ssl_ca_certs={pem}") as cache:
            assert await cache.get() == REPORT
        async with opened(f"{url}?ssl_cert_reqs=none") as cache:
            assert await cache.get() == REPORT
        async with opened(url) as cache:
            with pytest.raises(CacheError) as raised:
                await cache.get()
            assert raised.value.reason is Reason.TLS


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, str]:
    """Give the options with which a server speaks TLS by our certificate."""
    pem = tmp_path / "server.pem"
    pem.write_text(PEM)
    files = ("tls-cert-file", "tls-key-file", "tls-ca-cert-file")
    return {**dict.fromkeys(files, str(pem)), "tls-auth-clients": "no"}


async def test_a_server_that_speaks_tls_itself_and_knows_users(tls: dict[str, str]) -> None:
    """Over TLS a user with the documented rights gets on; the certificate is verified."""
    port = free_port()
    server = RedisServer({**tls, "tls-port": str(port)}, program("redis-server"))
    try:
        async with Redis.from_url(server.url) as admin:
            await admin.acl_setuser(
                "few",
                enabled=True,
                passwords="+p@ss",
                keys="tasker_health:*",
                commands=RIGHTS,
            )
        url, trusted = f"rediss://few:p%40ss@127.0.0.1:{port}", tls["tls-ca-cert-file"]
        async with opened(f"{url}?ssl_ca_certs={trusted}") as cache:
            await cache.put(REPORT, 10)
            assert await cache.get() == REPORT
        for wrong, reason in (
            (url, Reason.TLS),
            (f"rediss://few:nope@127.0.0.1:{port}?ssl_ca_certs={trusted}", Reason.AUTH),
        ):
            async with opened(wrong) as cache:
                with pytest.raises(CacheError) as raised:
                    await cache.get()
                assert raised.value.reason is reason, wrong
    finally:
        server.close()


async def test_a_sentinel_that_speaks_tls_and_knows_users(tls: dict[str, str]) -> None:
    """Sentinel and master are both spoken to over TLS, each with its own user."""
    found, port = program("redis-server"), free_port()
    master = RedisServer(
        {**tls, "tls-port": str(port), "tls-replication": "yes", "requirepass": "m"}, found
    )
    try:
        options = {**tls, "tls-replication": "yes", "sentinel auth-pass": f"{MASTER} m"}
        right = "+sentinel|get-master-addr-by-name"
        options["user"] = f"asker on >a allchannels -@all {right}"
        sentinel = Sentinel(port, options, quorum=1, tls=True, program=found)
        try:
            url = f"rediss+sentinel://:m@127.0.0.1:{sentinel.port}/{MASTER}"
            who = "sentinel_username=asker&sentinel_password=a"
            async with opened(f"{url}?{who}&ssl_ca_certs={tls['tls-ca-cert-file']}") as cache:
                await cache.put(REPORT, 10)
                assert await cache.get() == REPORT
        finally:
            sentinel.close()
    finally:
        master.close()


async def test_a_cluster_that_speaks_tls_and_knows_users(tls: dict[str, str]) -> None:
    """A cluster's node is found and used over TLS by a user with few rights."""
    port = free_port()
    options = {"tls-port": str(port), "tls-cluster": "yes", "cluster-enabled": "yes"}
    options["cluster-port"] = str(free_port())
    server = RedisServer({**tls, **options}, program("redis-server"))
    try:
        async with Redis.from_url(server.url) as admin:
            await admin.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)  # type: ignore[no-untyped-call]  # redis-py's own
            await admin.acl_setuser(
                "few",
                enabled=True,
                passwords="+p",
                keys="{tasker_health}:*",
                commands=[*RIGHTS, "+cluster|slots"],
            )
        url = f"rediss+cluster://few:p@127.0.0.1:{port}?ssl_ca_certs={tls['tls-ca-cert-file']}"
        async with opened(url) as cache:
            for _ in range(200):
                try:
                    await cache.put(REPORT, 10)
                except CacheError:  # it is not up yet
                    await asyncio.sleep(0.05)
                else:
                    break
            assert await cache.get() == REPORT
    finally:
        server.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://localhost",
        "redis://cache:6380/2",
        "redis://cache?db=2&protocol=3&client_name=me",
        "redis://user:p%40ss@cache/",
        "redis://[::1]:6379/0",
        "redis://cache?socket_timeout=5&max_connections=50&health_check_interval=30",
        "rediss://:x@cache?ssl_cert_reqs=none&ssl_check_hostname=false",
        "unix:///run/redis.sock?db=1",
        "unix://user:pass@/run/redis.sock",
    ],
)
async def test_urls_as_users_write_them(url: str) -> None:
    """What redis-py's users write is understood."""
    async with opened(url):
        pass


CANARY: Final = "s3cr3tcanary"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "redis://"),
        (f"{CANARY}:6379", "redis://"),
        (f"{CANARY}:{CANARY}@cache:6379", "redis://"),
        ("memcached://cache", "of scheme 'memcached'"),
        (f"http://:{CANARY}@cache", "of scheme 'http'"),
        (f"redis://:{CANARY}@cache:port", "redis://"),
        (f"redis://:{CANARY}@cache:99999", "redis://"),
        (f"redis://:{CANARY}@[::1", "redis://"),
        (f"redis://:a/{CANARY}@cache/0", "percent-encoded"),
        (f"redis://:a?{CANARY}=1@cache/0", "percent-encoded"),
        (f"redis://:a#{CANARY}@cache/0", "percent-encoded"),
        (f"redis://:{CANARY}@cache/{CANARY}", "whose db cannot"),
        ("redis://cache?db=-1", "whose db cannot"),
        ("redis://cache?db=%EF%BC%91", "whose db cannot"),
        ("redis://cache?colour=red", "parameter 'colour'"),
        (f"redis://cache?{'x' * 99}=1", "client_name, db"),
        ("redis://cache?protocol=4", "whose protocol cannot"),
        ("redis://cache?ssl_cert_reqs=none", "parameter 'ssl_cert_reqs'"),
        (f"rediss://cache?ssl_cert_reqs={CANARY}", "whose ssl_cert_reqs cannot"),
        (f"rediss://cache?ssl_ca_certs=/{CANARY}", "a file that can be read as ssl_ca_certs"),
        ("unix://run/redis.sock", "unix:///"),
        ("unix://", "unix:///"),
    ],
)
def test_a_url_that_cannot_be_had_says_so(url: str, says: str) -> None:
    """A bad URL names the setting, what was given and what is allowed, and no secret."""
    with pytest.raises(ConfigurationError) as raised:
        open_redis_cache(url, key="one", source="the environment")
    told = str(raised.value)
    assert told.startswith("CACHE_URL ")
    assert says in told
    assert "(from the environment): allowed is" in told
    error: BaseException | None = raised.value
    while error is not None:
        assert CANARY not in f"{error!r}{error}"
        error = error.__cause__ or error.__context__


def test_nothing_of_a_cache_shows_the_password() -> None:
    """Neither the cache nor its client shows the password when it is printed."""
    cache = open_redis_cache(f"redis://u:{CANARY}@cache", key="one")
    assert CANARY not in f"{cache!r}{vars(cache)!r}"


async def test_what_cannot_be_written_is_not_put(redis_server: RedisServer, admin: Redis) -> None:
    """A report that could not be read back is refused and leaves nothing behind."""
    bad = attrs.evolve(REPORT, snapshot=attrs.evolve(REPORT.snapshot, took_ms=float("inf")))
    async with opened(redis_server.url) as cache:
        with pytest.raises(CacheError) as raised:
            await cache.put(bad, 10)
        assert "read back" in str(raised.value.__cause__)
    assert await admin.keys() == []

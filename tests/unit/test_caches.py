"""The scheme of the cache's URL decides which adapter it is, and nothing is opened yet."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tasker_health.domain.errors import ConfigurationError
from tasker_health.entrypoints.caches import cache_scheme, cache_secrets, open_cache
from tasker_health.entrypoints.environment import read_configuration
from tasker_health.entrypoints.server import check
from tasker_health.testing.doubles import ManualClock

if TYPE_CHECKING:
    from tasker_health.entrypoints.options import Configuration

CANARY: Final = "s3cr3tcanary"
ADAPTERS: Final = {
    "memory://": "InMemoryStatusCache",
    "redis://h": "RedisStatusCache",
    "REDIS://h": "RedisStatusCache",
    "rediss://h": "RedisStatusCache",
    "unix:///run/redis.sock": "RedisStatusCache",
    "redis+sentinel://h,i/master": "RedisStatusCache",
    "rediss+sentinel://h/master": "RedisStatusCache",
    "redis+cluster://h,i": "RedisStatusCache",
    "rediss+cluster://h": "RedisStatusCache",
    "memcached://h,i": "_OwnMemcachedStatusCache",
    "postgresql://u:p@h/d": "_OwnSqlStatusCache",
    "postgres://u:p@h/d": "_OwnSqlStatusCache",
    "postgresql+psycopg://u:p@h/d": "_OwnSqlStatusCache",
    "sqlite:///cache.db": "_OwnSqlStatusCache",
}


def configured(cache_url: str) -> Configuration:
    """Read settings that name a cache."""
    return read_configuration(
        {
            "TASKER_HEALTH_DATABASE_URL": "postgresql://u:p@h/d",
            "TASKER_HEALTH_CACHE_URL": cache_url,
        }
    )


@pytest.mark.anyio
@pytest.mark.parametrize(("url", "adapter"), ADAPTERS.items(), ids=ADAPTERS)
async def test_the_scheme_decides(url: str, adapter: str) -> None:
    """Each scheme has its adapter, and what stands before Redis gives its client to others."""
    opened = open_cache(configured(url), "fingerprint", ManualClock())
    try:
        assert type(opened.cache).__name__ == adapter
        assert (opened.redis is not None) is (adapter == "RedisStatusCache")
    finally:
        await opened.aclose()


@pytest.mark.parametrize("url", ADAPTERS)
def test_settings_are_checked_without_opening_anything(url: str) -> None:
    """A check of the settings needs no event loop and nobody who listens."""
    check(configured(url))


@pytest.mark.parametrize("url", ["ftp://h", "h:6379", "redis", "redis+nothing://h", "://h"])
def test_another_scheme_is_refused_with_those_that_there_are(url: str) -> None:
    """The refusal lists the schemes."""
    with pytest.raises(ConfigurationError) as raised:
        cache_scheme(configured(url))
    assert raised.value.setting == "TASKER_HEALTH_CACHE_URL"
    for scheme in ("memory", "redis+sentinel", "redis+cluster", "memcached", "postgresql"):
        assert f"{scheme}://" in raised.value.allowed


def test_who_shares_nothing_imports_no_vendor() -> None:
    """The module that chooses an adapter loads none of them but the one in memory."""
    script = (
        "import sys, tasker_health.entrypoints.caches\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    ran = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert not {"redis", "emcache", "sqlalchemy"} & set(ran.stdout.split())


def test_a_vendor_that_is_not_installed_is_refused_by_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without emcache the refusal says what to install."""
    for name in [name for name in sys.modules if "memcached" in name or "emcache" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "emcache", None)
    with pytest.raises(ConfigurationError) as raised:
        open_cache(configured(f"memcached://u:{CANARY}@h"), "fingerprint", ManualClock())
    assert raised.value.setting == "TASKER_HEALTH_CACHE_URL"
    assert "pip install 'tasker-health[memcached]'" in raised.value.allowed
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("memory://", set()),
        ("redis://:p%40ss@h", {"p@ss"}),
        ("redis://h?password=inside", {"inside"}),
        ("redis+sentinel://:one@h/m?sentinel_password=two", {"one", "two"}),
        ("memcached://u:pass@h", {"pass"}),
        ("postgresql://u:pass@h/d", {"pass"}),
        ("postgresql://h/d?user=u&password=inside&sslpassword=key", {"inside", "key"}),
    ],
)
def test_what_must_not_be_logged(url: str, secrets: set[str]) -> None:
    """The URL itself and every password in it, decoded."""
    told = {secret for secret in cache_secrets(configured(url)) if secret}
    assert told == ({url} if secrets else set()) | secrets

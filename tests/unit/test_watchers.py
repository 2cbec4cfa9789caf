"""Who is told without asking, as the settings name them; and settings that cannot be had."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from tasker_health.adapters.clock import SystemClock
from tasker_health.domain.errors import ConfigurationError
from tasker_health.entrypoints.environment import read_configuration
from tasker_health.entrypoints.server import check
from tasker_health.entrypoints.watchers import open_watchers, watcher_secrets
from tasker_health.testing.doubles import RecordingJournal

if TYPE_CHECKING:
    from pathlib import Path

    from tasker_health.entrypoints.options import Configuration
    from tasker_health.entrypoints.watchers import OpenedWatchers

KEY: Final = "R0123456789abcdef0123456789abcde"
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8G"
ALL: Final = {
    "dogstatsd_url": "udp://127.0.0.1:8125",
    "dogstatsd_interval_seconds": "11",
    "otlp_url": "http://collector:4318/v1/metrics",
    "otlp_interval_seconds": "12",
    "otlp_headers": "api-key=canary-header",
    "pagerduty_routing_key": KEY,
    "alert_webhook_url": "https://example.com/hook?canary-url",
    "alert_webhook_secret": SECRET,
    "alert_interval_seconds": "13",
}


def configured(**settings: str) -> Configuration:
    """Read these settings, over a database in memory that nobody opens."""
    environ = {"database_url": "sqlite:////nowhere/tasker.sqlite3", **settings}
    return read_configuration({f"TASKER_HEALTH_{k.upper()}": v for k, v in environ.items()})


def opened(**settings: str) -> OpenedWatchers:
    """Make what these settings name."""
    return open_watchers(
        configured(**settings),
        fingerprint="0123",
        clock=SystemClock(),
        journal=RecordingJournal(),
        redis=None,
    )


def test_nobody_is_told_unless_asked() -> None:
    """Without a setting there is no watcher, and none of their vendors is loaded."""
    assert opened().watchers == ()


@pytest.mark.anyio
async def test_each_has_its_own_pace() -> None:
    """All that is named is there, by name and interval; closing what was never used is nothing."""
    made = opened(**ALL)
    paces = {watcher.name: watcher.interval_seconds for watcher in made.watchers}
    assert paces == {"dogstatsd": 11, "otlp": 12, "alerts": 13}
    await made.aclose()


def test_two_processes_have_two_names() -> None:
    """Who holds a claim can be told from everybody else."""
    names = {
        next(one for one in opened(**ALL).watchers if one.name == "alerts")._holder  # type: ignore[attr-defined]  # Paging's own
        for _ in range(3)
    }
    assert len(names) == 3


def test_a_process_for_itself_says_so() -> None:
    """Where nothing is shared, the log says at the start what that means for alerts."""
    journal = RecordingJournal()
    for settings in ({"dogstatsd_url": ALL["dogstatsd_url"]}, ALL):
        open_watchers(
            configured(**settings),
            fingerprint="0123",
            clock=SystemClock(),
            journal=journal,
            redis=None,
        )
    (told,) = journal.changes
    assert (told.subject, told.after) == ("alerts", "working")
    assert "CACHE_URL" in told.detail


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    """A file in its place, with or without a line's end, is the same."""
    key, secret = tmp_path / "key", tmp_path / "secret"
    key.write_text(f"{KEY}\n")
    secret.write_text(SECRET)
    configuration = configured(
        pagerduty_routing_key_file=str(key),
        alert_webhook_url="https://example.com/hook",
        alert_webhook_secret_file=str(secret),
    )
    assert {KEY, SECRET} <= set(watcher_secrets(configuration))
    check(configuration)


def test_every_secret_is_known_to_the_log() -> None:
    """What must not be seen is told to who writes, and no setting shows it."""
    configuration = configured(**ALL)
    secrets = set(watcher_secrets(configuration))
    for canary in (KEY, SECRET, ALL["alert_webhook_url"], ALL["otlp_url"], "canary-header"):
        assert canary in secrets
        assert canary not in repr(configuration)


REFUSED: Final[tuple[tuple[dict[str, str], str, str], ...]] = (
    ({"dogstatsd_url": "tcp://canary:1"}, "DOGSTATSD_URL", "udp://host:port"),
    ({"otlp_url": "grpc://canary"}, "OTLP_URL", "an http:// or https:// URL"),
    ({"otlp_headers": "canary"}, "OTLP_HEADERS", "name=value"),
    ({"otlp_resource_attributes": "service"}, "OTLP_RESOURCE_ATTRIBUTES", "name=value"),
    ({"pagerduty_routing_key": "canary"}, "PAGERDUTY_ROUTING_KEY", "an integration's key"),
    (
        {"pagerduty_routing_key": KEY, "pagerduty_url": "http://canary.example/"},
        "PAGERDUTY_URL",
        "an https:// URL",
    ),
    (
        {"pagerduty_routing_key": KEY, "pagerduty_routing_key_file": "canary"},
        "PAGERDUTY_ROUTING_KEY",
        "none beside TASKER_HEALTH_PAGERDUTY_ROUTING_KEY_FILE",
    ),
    ({"pagerduty_routing_key_file": "canary"}, "PAGERDUTY_ROUTING_KEY_FILE", "can be read"),
    (
        {"alert_webhook_url": "http://canary.example/", "alert_webhook_secret": SECRET},
        "ALERT_WEBHOOK_URL",
        "an https:// URL",
    ),
    ({"alert_webhook_url": "https://canary.example/"}, "ALERT_WEBHOOK_SECRET", "missing"),
    (
        {"alert_webhook_url": "https://canary.example/", "alert_webhook_secret": "canary"},
        "ALERT_WEBHOOK_SECRET",
        "whsec_ and base64",
    ),
    ({"alert_webhook_secret": SECRET}, "ALERT_WEBHOOK_SECRET", "none, unless"),
    ({"alert_source": "x" * 101}, "ALERT_SOURCE", "a name of 1 to 100 characters"),
    ({"alert_source": "a\x1bb"}, "ALERT_SOURCE", "a name of 1 to 100 characters"),
    ({"alert_failure_basis": "forever"}, "ALERT_FAILURE_BASIS", "window or lifetime"),
    (
        {"alert_failure_rate": "0.1", "alert_clear_rate": "0.2"},
        "ALERT_CLEAR_RATE",
        "at most alert_failure_rate",
    ),
)


@pytest.mark.parametrize(("settings", "named", "allowed"), REFUSED)
def test_what_cannot_be_had_is_refused_at_the_start(
    settings: dict[str, str], named: str, allowed: str
) -> None:
    """By the setting's name, with what is allowed, and without what was given."""
    with pytest.raises(ConfigurationError) as error:
        check(configured(**settings))
    told = str(error.value)
    assert told.startswith(f"TASKER_HEALTH_{named}")
    assert allowed in told
    assert not any(hidden in told for hidden in ("canary", KEY, SECRET))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are no text are no key."""
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="a text file that can be read"):
        check(configured(pagerduty_routing_key_file=str(tmp_path / "key")))


@pytest.mark.parametrize(
    ("vendor", "settings", "extra"),
    [
        ("datadog", {"dogstatsd_url": ALL["dogstatsd_url"]}, "datadog"),
        ("httpx", {"pagerduty_routing_key": KEY}, "alerts"),
        (
            "httpx",
            {"alert_webhook_url": "https://example.com", "alert_webhook_secret": SECRET},
            "alerts",
        ),
        ("opentelemetry", {"otlp_url": ALL["otlp_url"]}, "otlp"),
    ],
)
def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, vendor: str, settings: dict[str, str], extra: str
) -> None:
    """Whoever asks for what is not installed reads what to install; nobody else notices."""

    class Absent:
        def find_spec(self, name: str, *_: Any) -> None:
            if name.partition(".")[0] == vendor:
                raise ModuleNotFoundError(name)

    for name in [*sys.modules]:
        if name.partition(".")[0] == vendor or ".adapters.sinks." in name:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    with pytest.raises(ConfigurationError) as error:
        check(configured(**settings))
    assert f"pip install 'tasker-health[{extra}]'" in str(error.value)
    check(configured())

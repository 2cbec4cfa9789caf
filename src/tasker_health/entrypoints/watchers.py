"""Those who are told without asking, as the settings name them: a sink, a collector, alerts.

What is not named is not imported. A vendor that is not installed, a URL that cannot be sent
to or a secret that is none is refused at the start, by the setting's name; a receiver that
is down is no error.

Source: guide, *Datadog Integration* and *Alerting Examples*.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from tasker_health.adapters.memory.incidents import InMemoryIncidentStore
from tasker_health.adapters.sinks import places
from tasker_health.domain.events import Changed
from tasker_health.domain.paging import Paging
from tasker_health.domain.ports import Watcher
from tasker_health.domain.secret import Secret, SecretMapping
from tasker_health.entrypoints.refusals import refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasker_health.adapters.redis import OpenedRedis
    from tasker_health.adapters.sinks.pagerduty import PagerDutyNotifier  # noqa: TC004  never evaluated
    from tasker_health.adapters.sinks.webhook import WebhookNotifier  # noqa: TC004  the same
    from tasker_health.domain.ports import Clock, IncidentStore, Journal
    from tasker_health.entrypoints.options import Configuration

__all__ = [
    "OpenedNotifiers",
    "OpenedWatchers",
    "check_watchers",
    "open_notifiers",
    "open_watchers",
    "watcher_secrets",
]

T = TypeVar("T")
Close = Callable[[], Awaitable[None]]

_ROUTING_KEY: Final = re.compile(r"[0-9A-Za-z]{32}", re.ASCII)
_EACH_FOR_ITSELF: Final = Changed(
    subject="alerts",
    before="",
    after="working",
    detail="incidents are remembered in this process alone, so that of several each tells of"
    " them for itself: set CACHE_URL to a Redis that they share",
)

_TRYING_SHARE: Final = 0.5
"""The part of a look that a receiver is tried for; the rest is for remembering it."""


@attrs.frozen(kw_only=True)
class OpenedNotifiers:
    """Who is told of incidents. Nothing of them is connected yet.

    Args:
        notifiers: one a receiver.
        closes: closes what they opened.
    """

    notifiers: tuple[PagerDutyNotifier | WebhookNotifier, ...]
    closes: tuple[Close, ...]

    async def aclose(self) -> None:
        """Close what they opened."""
        for close in self.closes:
            await close()


@attrs.frozen(kw_only=True)
class OpenedWatchers:
    """Who is told how things are. Nothing of them is connected yet.

    Args:
        watchers: each with its own pace.
        closes: closes what they opened, in order; after the service has ended.
    """

    watchers: tuple[Watcher, ...]
    closes: tuple[Close, ...]

    async def aclose(self) -> None:
        """Close what they opened."""
        for close in self.closes:
            await close()


def check_watchers(configuration: Configuration, clock: Clock) -> None:
    """See that all that the settings name can be had, without opening any of it.

    Raises:
        ConfigurationError: it cannot.
    """
    open_notifiers(configuration, clock)
    _sinks(configuration, instance="")


def open_watchers(
    configuration: Configuration,
    *,
    fingerprint: str,
    clock: Clock,
    journal: Journal,
    redis: OpenedRedis | None,
) -> OpenedWatchers:
    """Make all that the settings name.

    Args:
        configuration: all settings.
        fingerprint: which Tasker it is.
        clock: wall and monotonic time.
        journal: where incidents are written down.
        redis: where the fleet remembers its incidents; without it each process tells of
            them for itself, and receivers fold what is the same.

    Raises:
        ConfigurationError: something cannot be had.
    """
    instance = secrets.token_hex(8)
    sinks = _sinks(configuration, instance=instance)
    told = open_notifiers(configuration, clock)
    if not told.notifiers:
        return sinks
    store, close_store = _store(redis, fingerprint, clock)
    if redis is None:
        journal.record(_EACH_FOR_ITSELF)
    paging = Paging(
        told.notifiers,
        store,
        fingerprint=fingerprint,
        holder=instance,
        clock=clock,
        journal=journal,
        settings=configuration.settings.alerts,
    )
    return OpenedWatchers(
        watchers=(*sinks.watchers, paging),
        closes=(paging.aclose, *close_store, *told.closes, *sinks.closes),
    )


def open_notifiers(configuration: Configuration, clock: Clock) -> OpenedNotifiers:
    """Make whoever is told of incidents; nobody where the settings name none.

    Raises:
        ConfigurationError: one of them cannot be had.
    """
    made: list[tuple[PagerDutyNotifier | WebhookNotifier, Close]] = [
        *_pagerduty(configuration),
        *_webhook(configuration, clock),
    ]
    return OpenedNotifiers(
        notifiers=tuple(notifier for notifier, _ in made),
        closes=tuple(close for _, close in made),
    )


def watcher_secrets(configuration: Configuration) -> Iterator[str]:
    """Tell what of all this must not be seen in any line of the log."""
    for name in ("pagerduty_routing_key", "alert_webhook_secret"):
        yield _read_secret(configuration, name)
    yield configuration.alert_webhook_url.reveal()
    yield configuration.otlp_url.reveal()
    yield from _otlp_headers(configuration).values()


def _store(
    redis: OpenedRedis | None, fingerprint: str, clock: Clock
) -> tuple[IncidentStore, tuple[Close, ...]]:
    if redis is None:
        return InMemoryIncidentStore(clock), ()
    from tasker_health.adapters.redis.incidents import RedisIncidentStore  # noqa: PLC0415

    store = RedisIncidentStore(redis.client, key=fingerprint, namespace=redis.namespace)
    return store, (store.aclose,)


def _pagerduty(configuration: Configuration) -> Iterator[tuple[PagerDutyNotifier, Close]]:
    key = _read_secret(configuration, "pagerduty_routing_key")
    if not key:
        return
    setting = _given(configuration, "pagerduty_routing_key")
    if not _ROUTING_KEY.fullmatch(key):
        allowed = "an integration's key: 32 letters and digits, as PagerDuty shows it"
        raise refused(configuration, setting, "", allowed)
    url = _place(configuration, "pagerduty_url", places.receiver_url)
    with _extra(configuration, setting, "alerts"):
        from tasker_health.adapters.sinks.pagerduty import PagerDutyNotifier  # noqa: PLC0415
        from tasker_health.adapters.sinks.posting import Poster  # noqa: PLC0415
    poster = Poster("pagerduty", url)
    made = PagerDutyNotifier(
        poster,
        Secret(key),
        source=configuration.alert_source,
        patience_seconds=_patience(configuration),
    )
    yield made, poster.aclose


def _webhook(configuration: Configuration, clock: Clock) -> Iterator[tuple[WebhookNotifier, Close]]:
    secret = _read_secret(configuration, "alert_webhook_secret")
    setting = _given(configuration, "alert_webhook_secret")
    if not configuration.alert_webhook_url:
        if secret:
            allowed = f"none, unless {configuration.origin('alert_webhook_url').written} is set"
            raise refused(configuration, setting, "", allowed)
        return
    url = _place(configuration, "alert_webhook_url", places.receiver_url)
    try:
        key = Secret(places.signing_secret(secret))
    except ValueError as error:
        given = "" if secret else "missing"
        raise refused(configuration, setting, given, str(error)) from None
    with _extra(configuration, "alert_webhook_url", "alerts"):
        from tasker_health.adapters.sinks.posting import Poster  # noqa: PLC0415
        from tasker_health.adapters.sinks.webhook import WebhookNotifier  # noqa: PLC0415
    poster = Poster("webhook", url)
    made = WebhookNotifier(
        poster,
        key,
        source=configuration.alert_source,
        clock=clock,
        patience_seconds=_patience(configuration),
    )
    yield made, poster.aclose


def _sinks(configuration: Configuration, *, instance: str) -> OpenedWatchers:
    made = [*_dogstatsd(configuration), *_otlp(configuration, instance)]
    return OpenedWatchers(
        watchers=tuple(watcher for watcher, _ in made), closes=tuple(close for _, close in made)
    )


def _dogstatsd(configuration: Configuration) -> Iterator[tuple[Watcher, Close]]:
    if not configuration.dogstatsd_url:
        return
    agent = _place(configuration, "dogstatsd_url", places.agent_address)
    with _extra(configuration, "dogstatsd_url", "datadog"):
        from tasker_health.adapters.sinks.dogstatsd import DogStatsdWatcher  # noqa: PLC0415
    watcher = DogStatsdWatcher(
        agent,
        interval_seconds=configuration.dogstatsd_interval_seconds,
        tags=configuration.dogstatsd_tags,
    )
    yield watcher, watcher.aclose


def _otlp(configuration: Configuration, instance: str) -> Iterator[tuple[Watcher, Close]]:
    headers, resource = _otlp_headers(configuration), _resource(configuration, instance)
    if not configuration.otlp_url:
        return
    url = _place(configuration, "otlp_url", lambda text: places.receiver_url(text, plain=True))
    with _extra(configuration, "otlp_url", "otlp"):
        from tasker_health.adapters.sinks.otlp import OtlpWatcher  # noqa: PLC0415
        from tasker_health.adapters.sinks.posting import Poster  # noqa: PLC0415
    poster = Poster("otlp", url)
    watcher = OtlpWatcher(
        poster,
        interval_seconds=configuration.otlp_interval_seconds,
        resource=resource,
        headers=SecretMapping(headers),
    )
    yield watcher, poster.aclose


def _resource(configuration: Configuration, instance: str) -> dict[str, str]:
    try:
        given = places.pairs(configuration.otlp_resource_attributes)
    except ValueError as error:
        shown = ", ".join(sorted(configuration.otlp_resource_attributes))
        raise refused(configuration, "otlp_resource_attributes", shown, str(error)) from None
    return {
        "service.name": "tasker-health",
        "service.version": version("tasker-health"),
        "service.instance.id": instance,
        **given,
    }


def _otlp_headers(configuration: Configuration) -> dict[str, str]:
    text = configuration.otlp_headers.reveal()
    try:
        return places.pairs(part for part in text.split(",") if part.strip())
    except ValueError as error:
        raise refused(configuration, "otlp_headers", "", str(error)) from None


def _patience(configuration: Configuration) -> float:
    return _TRYING_SHARE * configuration.settings.alerts.alert_interval_seconds


def _given(configuration: Configuration, setting: str) -> str:
    """Tell which of a setting and its file gave the secret."""
    file = f"{setting}_file"
    return file if getattr(configuration, file) else setting


def _read_secret(configuration: Configuration, setting: str) -> str:
    """Read a secret from its setting, or from the file that stands in its place; may be empty.

    Raises:
        ConfigurationError: both are given, or the file cannot be read.
    """
    value: str = getattr(configuration, setting).reveal()
    file = f"{setting}_file"
    path: str = getattr(configuration, file)
    if not path:
        return value
    if value:
        written = configuration.origin(file).written
        raise refused(configuration, setting, "", f"none beside {written}")
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        # What names no file may be the secret itself, put there by mistake: it is not shown.
        allowed = f"a file that can be read ({error.strerror})"
    except ValueError:  # no UTF-8, or a null byte in the path
        allowed = "a text file that can be read"
    raise refused(configuration, file, "", allowed)


def _place(configuration: Configuration, setting: str, read: Callable[[str], T]) -> T:
    value = getattr(configuration, setting)
    try:
        return read(value.reveal() if isinstance(value, Secret) else value)
    except ValueError as error:
        raise refused(configuration, setting, "", str(error)) from None


@contextmanager
def _extra(configuration: Configuration, setting: str, extra: str) -> Iterator[None]:
    """Refuse a setting whose vendor is not installed, by the extra's name."""
    try:
        yield
    except ModuleNotFoundError as error:
        allowed = f"none, unless the extra is installed: pip install 'tasker-health[{extra}]'"
        raise refused(configuration, setting, "", allowed) from error

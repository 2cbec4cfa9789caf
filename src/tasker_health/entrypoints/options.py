"""Every setting there is: the domain's options, and what it takes to run them as a service.

A value that is checked when it is made; where its parts come from is ``environment.py``.
The name of a field is the name of its setting. :data:`CATALOGUE` is derived from the
fields, so that a setting is written down once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import attrs

from tasker_health.domain.bounds import seconds, switch, whole
from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.secret import Secret
from tasker_health.domain.settings import Settings

__all__ = ["CATALOGUE", "LOG_FORMATS", "VARIABLES", "Configuration", "Origin", "Setting"]

VARIABLES: Final = "TASKER_HEALTH_"
"""What the name of every variable of ours in the environment begins with."""

LOG_FORMATS: Final = ("json", "console")
_LONGEST_LABEL: Final = 100
_optional = attrs.validators.optional
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", re.ASCII)


def _prefix(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if _PREFIX.fullmatch(value) is None:
        allowed = "a path without a slash at its end, as in '/tasker'; '/' for none"
        raise ConfigurationError(attribute.name, repr(value), allowed)


def _log_format(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if value not in LOG_FORMATS:
        raise ConfigurationError(attribute.name, repr(value), " or ".join(LOG_FORMATS))


def _label(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not value.isprintable() or not 0 < len(value) <= _LONGEST_LABEL:
        allowed = f"a name of 1 to {_LONGEST_LABEL} characters, on one line"
        raise ConfigurationError(attribute.name, repr(value), allowed)


def _stripped(text: str) -> str:
    return text.strip()


def _kept(url: str | Secret[str]) -> Secret[str]:
    return url if isinstance(url, Secret) else Secret(url.strip())


def _without_root(prefix: str) -> str:
    return "" if prefix == "/" else prefix


def _fixed(origins: Mapping[str, Origin]) -> Mapping[str, Origin]:
    return MappingProxyType(dict(origins))


def _in(table: str, *, secret: bool = False) -> dict[str, object]:
    return {"table": table, "secret": secret}


@attrs.frozen(kw_only=True)
class Origin:
    """Where a value came from.

    Args:
        written: the setting's name, as the user wrote it.
        place: where it stood, as a phrase.
    """

    written: str
    place: str


@attrs.frozen(kw_only=True)
class Configuration:
    """All settings, each with its default.

    Args:
        settings: the guide's options, which the use cases read.
        database_url: Tasker's database; empty when none was given. May hold a password.
        pool_size: connections of one process for the status. This and the next three say
            what the database's URL says, or a default, unless they are given.
        checkout_timeout_seconds: how long a measurement waits for one of them.
        prepared_statements: false behind pgbouncer in transaction mode.
        connect_timeout_seconds: how long an attempt to connect may take.
        cache_url: where the status is shared. May hold a password.
        tokens_file: the file of API tokens, as ``tasker-health token`` writes it.
        prefix: the path before ``/health``; ``/`` for none.
        drain_delay_seconds: how long to go on answering after SIGTERM, while callers
            learn from readiness to go elsewhere.
        log_format: how a line of the log looks.
        debug_requests: whether every health request gets a line in the log.
        jwt_key_file: the secret, or one public key in PEM, that tokens are signed with.
        jwt_jwks_file: a JWK Set of several such keys.
        jwt_algorithms: what tokens may be signed by; they must be those of the keys.
        jwt_issuer: who issues the tokens, as their ``iss`` says.
        jwt_audience: whom they are for, as their ``aud`` says.
        jwt_leeway_seconds: by how much the issuer's clock and ours may differ.
        jwt_permissions_claim: where a token tells what its bearer may.
        jwt_admin_claim: where it tells that they may everything, as ``claim`` or
            ``claim=value``; empty for nowhere.
        dogstatsd_url: the Datadog agent that gets the guide's gauges, as ``udp://host:port`` or
            ``unix:///path`` of a datagram socket; empty for none.
        dogstatsd_interval_seconds: how often it gets them.
        dogstatsd_tags: tags of each gauge, as in ``team:billing``.
        alert_source: which Tasker an alert is about, as people call it.
        pagerduty_routing_key: of the Events API v2 integration that is told of incidents;
            empty for none.
        pagerduty_routing_key_file: a file that holds it, in its place.
        pagerduty_url: the Events API; the EU's is ``https://events.eu.pagerduty.com/v2/enqueue``.
        alert_webhook_url: a receiver of signed webhooks that is told of incidents; empty
            for none. ``https://``, but on this machine. May hold a token.
        alert_webhook_secret: what they are signed with: ``whsec_`` and base64.
        alert_webhook_secret_file: a file that holds it, in its place.
        otlp_url: an OpenTelemetry collector's metrics endpoint, as in
            ``http://collector:4318/v1/metrics``; empty for none. May hold a token.
        otlp_headers: sent to it with each export, as ``name=value,name=value``.
        otlp_interval_seconds: how often.
        otlp_resource_attributes: of what the metrics are, as ``name=value``, besides
            ``service.name``, ``service.version`` and ``service.instance.id``.
        origins: where the settings that were given came from.
    """

    settings: Settings = attrs.field(factory=Settings)
    database_url: Secret[str] = attrs.field(
        default="", metadata=_in("database", secret=True), converter=_kept
    )
    pool_size: int | None = attrs.field(
        default=None, validator=_optional(whole(1, 100)), metadata=_in("database")
    )
    checkout_timeout_seconds: float | None = attrs.field(
        default=None, validator=_optional(seconds(0.01, 600)), metadata=_in("database")
    )
    prepared_statements: bool | None = attrs.field(default=None, metadata=_in("database"))
    connect_timeout_seconds: float | None = attrs.field(
        default=None, validator=_optional(seconds(0.01, 600)), metadata=_in("database")
    )
    cache_url: Secret[str] = attrs.field(
        default="memory://", metadata=_in("cache", secret=True), converter=_kept
    )
    tokens_file: str = attrs.field(default="", metadata=_in("auth"), converter=_stripped)
    prefix: str = attrs.field(
        default="/tasker",
        validator=_prefix,
        metadata=_in("server"),
        converter=_without_root,
    )
    drain_delay_seconds: float = attrs.field(
        default=8.0, validator=seconds(0, 600), metadata=_in("server")
    )
    log_format: Literal["json", "console"] = attrs.field(
        default="json", validator=_log_format, metadata=_in("server")
    )
    debug_requests: bool = attrs.field(default=False, validator=switch, metadata=_in("server"))
    jwt_key_file: str = attrs.field(default="", metadata=_in("auth"))
    jwt_jwks_file: str = attrs.field(default="", metadata=_in("auth"))
    jwt_algorithms: frozenset[str] = attrs.field(
        default=frozenset(), converter=frozenset, metadata=_in("auth")
    )
    jwt_issuer: str = attrs.field(default="", metadata=_in("auth"))
    jwt_audience: str = attrs.field(default="", metadata=_in("auth"))
    jwt_leeway_seconds: float = attrs.field(
        default=30.0, validator=seconds(0, 60), metadata=_in("auth")
    )
    jwt_permissions_claim: str = attrs.field(default="permissions", metadata=_in("auth"))
    jwt_admin_claim: str = attrs.field(default="", metadata=_in("auth"))
    dogstatsd_url: str = attrs.field(default="", metadata=_in("datadog"), converter=_stripped)
    dogstatsd_interval_seconds: float = attrs.field(
        default=30.0, validator=seconds(0.1, 3600), metadata=_in("datadog")
    )
    dogstatsd_tags: frozenset[str] = attrs.field(
        default=frozenset(), converter=frozenset, metadata=_in("datadog")
    )
    alert_source: str = attrs.field(
        default="Tasker", validator=_label, metadata=_in("alerts"), converter=_stripped
    )
    pagerduty_routing_key: Secret[str] = attrs.field(
        default="", metadata=_in("alerts", secret=True), converter=_kept
    )
    pagerduty_routing_key_file: str = attrs.field(
        default="", metadata=_in("alerts"), converter=_stripped
    )
    pagerduty_url: str = attrs.field(
        default="https://events.pagerduty.com/v2/enqueue",
        metadata=_in("alerts"),
        converter=_stripped,
    )
    alert_webhook_url: Secret[str] = attrs.field(
        default="", metadata=_in("alerts", secret=True), converter=_kept
    )
    alert_webhook_secret: Secret[str] = attrs.field(
        default="", metadata=_in("alerts", secret=True), converter=_kept
    )
    alert_webhook_secret_file: str = attrs.field(
        default="", metadata=_in("alerts"), converter=_stripped
    )
    otlp_url: Secret[str] = attrs.field(
        default="", metadata=_in("otlp", secret=True), converter=_kept
    )
    otlp_headers: Secret[str] = attrs.field(
        default="", metadata=_in("otlp", secret=True), converter=_kept
    )
    otlp_interval_seconds: float = attrs.field(
        default=30.0, validator=seconds(0.1, 3600), metadata=_in("otlp")
    )
    otlp_resource_attributes: frozenset[str] = attrs.field(
        default=frozenset(), converter=frozenset, metadata=_in("otlp")
    )
    origins: Mapping[str, Origin] = attrs.field(factory=dict, converter=_fixed, repr=False)

    def origin(self, setting: str) -> Origin:
        """Tell where a setting's value came from."""
        default = Origin(written=f"{VARIABLES}{setting.upper()}", place="the default")
        return self.origins.get(setting, default)


@attrs.frozen(kw_only=True)
class Setting:
    """One setting.

    Args:
        name: in lower case, as in the file.
        table: where it stands in the file.
        kind: the type of its value.
        part: the part of the domain's settings that holds it; None for ours.
        secret: whether its value is never shown.
    """

    name: str
    table: str
    kind: Any
    part: str | None = None
    secret: bool = False


def _catalogue() -> Mapping[str, Setting]:
    found = [
        Setting(name=field.name, table=part.name, kind=field.type, part=part.name)
        for part in attrs.fields(Settings)
        for field in attrs.fields(attrs.resolve_types(_made_by(part)))
    ]
    found += [
        Setting(name=field.name, kind=field.type, **field.metadata)
        for field in attrs.fields(attrs.resolve_types(Configuration))
        if field.metadata
    ]
    return MappingProxyType({setting.name: setting for setting in found})


def _made_by(part: attrs.Attribute[Any]) -> type[attrs.AttrsInstance]:
    attrs.resolve_types(Settings)
    made_by: type[attrs.AttrsInstance] = getattr(attrs.fields(Settings), part.name).type
    return made_by


CATALOGUE: Final = _catalogue()
"""All settings by name, in the order of their tables."""

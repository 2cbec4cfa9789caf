"""``tasker-health alert``: seeing for oneself that an alert arrives.

A test alert goes to every receiver that the settings name, by the way that real ones go;
it is remembered nowhere and asks no database.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import click

from tasker_health.adapters.clock import SystemClock
from tasker_health.domain.alerting import AlertRule, Incident, Phase
from tasker_health.domain.errors import ConfigurationError, DeliveryError
from tasker_health.domain.paging import incident_key
from tasker_health.entrypoints.environment import read_configuration
from tasker_health.entrypoints.watchers import open_notifiers

if TYPE_CHECKING:
    from datetime import datetime

    from tasker_health.entrypoints.options import Configuration

__all__ = ["commands"]

_RECEIVERS: Final = ("pagerduty_routing_key", "pagerduty_routing_key_file", "alert_webhook_url")
_RULE: Final = AlertRule.FAILURE_RATE


@click.group(name="alert", no_args_is_help=False)
def commands() -> None:
    """Try out who is told of incidents."""


@commands.command()
@click.option("--resolve", is_flag=True, help="Close it again right after it was taken.")
def test(resolve: bool) -> int:  # noqa: FBT001  click passes it by name
    """Send a test alert to every receiver, and tell what came back.

    Without --resolve it stays open, to be seen, until it is closed by hand or by this
    command with --resolve. The exit code is 0 when everybody took it, else 1.
    """
    import asyncio  # noqa: PLC0415  it takes its time to import

    return asyncio.run(_test(read_configuration(os.environ), resolve=resolve))


async def _test(configuration: Configuration, *, resolve: bool) -> int:
    clock = SystemClock()
    told = open_notifiers(configuration, clock)
    if not told.notifiers:
        names = ", ".join(configuration.origin(name).written for name in _RECEIVERS)
        raise ConfigurationError(names, "missing", "a receiver of alerts in one of them")
    refusals = 0
    phases = (Phase.TRIGGERED, Phase.RESOLVED) if resolve else (Phase.TRIGGERED,)
    try:
        for notifier in told.notifiers:
            for phase in phases:
                incident = _incident(configuration.alert_source, phase, clock.now())
                try:
                    answer = await notifier.send(incident)
                except DeliveryError as error:
                    click.echo(f"{notifier.name}: not {phase}: {error.told}", err=True)
                    refusals += 1
                    break
                click.echo(f"{notifier.name}: {phase}: answered {answer.status}")
    finally:
        await told.aclose()
    return 1 if refusals else 0


def _incident(source: str, phase: Phase, at: datetime) -> Incident:
    return Incident(
        key=incident_key("test", source),
        rule=_RULE,
        phase=phase,
        revision=1,
        at=at,
        observed=0.0,
        threshold=0.0,
        summary="a test alert of tasker-health; nothing is wrong",
        numbers={},
    )

"""``tasker-health metrics``: what a scrape would tell, once, for the textfile collector.

Measured here, or taken from what the fleet shares; the readiness checks are asked once, too.
Counters are left out: a process that has just begun has counted nothing.

Exit code 0: there is a report; 1: there is none, and ``tasker_health_up 0`` says so; 2:
called wrongly, or a setting cannot be had.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from tasker_health.domain.errors import ConfigurationError, StatusUnavailableError
from tasker_health.domain.reasons import ADVICE

if TYPE_CHECKING:
    from tasker_health.domain.observing import Observation
    from tasker_health.domain.reasons import Reason
    from tasker_health.domain.settings import Settings
    from tasker_health.entrypoints.options import Configuration

__all__ = ["command"]


@click.command("metrics")
@click.option(
    "--output",
    metavar="FILE",
    help="Where to write, as a whole or not at all; standard output unless told.",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    type=click.FloatRange(0.01, 60),
    help="How long a report is waited for.",
)
def command(*, output: str | None, timeout_seconds: float) -> int:
    """Measure Tasker once and write it down for Prometheus, in its text format.

    Straight from the database of TASKER_HEALTH_DATABASE_URL. Exit code 0: there is a report;
    1: there is none, which is written, too; 2: called wrongly.
    """
    from tasker_health.entrypoints.environment import read_configuration  # noqa: PLC0415
    from tasker_health.entrypoints.exposing import version  # noqa: PLC0415  not for --help
    from tasker_health.formats import openmetrics  # noqa: PLC0415

    configuration = read_configuration(os.environ)
    observation, failure = asyncio.run(_observed(configuration, timeout_seconds))
    written = openmetrics.metrics(observation, version=version())
    if output is None:
        sys.stdout.write(written.decode())
    else:
        _replace(Path(output), written)
    if failure is None:
        return 0
    sys.stderr.write(f"tasker-health: there is no report: {failure}: {ADVICE[failure]}\n")
    return 1


async def _observed(
    configuration: Configuration, timeout_seconds: float
) -> tuple[Observation, Reason | None]:
    """Find out all there is to tell, and why there is no report.

    Nobody is asked who they are: whoever has the database's URL may read the database.
    """
    # A second's import.
    from tasker_health.adapters.auth import (  # noqa: PLC0415
        AnonymousAuthenticator,
        PermissionCoordinator,
    )
    from tasker_health.domain.observing import Observation  # noqa: PLC0415
    from tasker_health.domain.service import HealthService  # noqa: PLC0415
    from tasker_health.entrypoints.fetching import SilentJournal  # noqa: PLC0415
    from tasker_health.entrypoints.sources import open_sources  # noqa: PLC0415

    async with (
        open_sources(configuration) as sources,
        HealthService(
            tasker=sources.database.tasker,
            probe=sources.database.probe,
            clock=sources.clock,
            journal=SilentJournal(),
            authenticator=AnonymousAuthenticator(),
            coordinator=PermissionCoordinator,
            cache=sources.cache,
            settings=_patient(configuration.settings, timeout_seconds),
        ) as service,
    ):
        status, failure = None, None
        try:
            status = await service.status()
        except StatusUnavailableError as error:
            failure = error.reason
        readiness = await service.ready()
        return Observation(at=sources.clock.now(), status=status, readiness=readiness), failure


def _patient(settings: Settings, timeout_seconds: float) -> Settings:
    """Open the door, and take the time that a process needs which is not connected yet."""
    from tasker_health.domain.settings import AuthSettings  # noqa: PLC0415

    health = attrs.evolve(
        settings.health,
        status_requires_authentication=False,
        status_timeout_seconds=timeout_seconds,
        readiness_timeout_seconds=timeout_seconds,
    )
    return attrs.evolve(settings, health=health, auth=AuthSettings())


def _replace(path: Path, written: bytes) -> None:
    """Put a file in the place of another, so that no reader sees half of it.

    The name in between begins with a dot and does not end like the file's: the textfile
    collector passes it over.

    Raises:
        ConfigurationError: it cannot be written there.
    """
    between = path.parent / f".{path.name}.{os.getpid()}"
    try:
        between.write_bytes(written)
        between.replace(path)
    except OSError as error:
        with suppress(OSError):
            between.unlink(missing_ok=True)
        allowed = f"a file that can be written ({error.strerror})"
        raise ConfigurationError("--output", repr(str(path)), allowed) from error

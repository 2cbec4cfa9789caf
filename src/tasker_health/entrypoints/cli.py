"""The commands, but for ``check``, which starts without any of this (``check.py``).

A command reads the settings, does its one thing, and turns what a user did wrong into one
line on standard error and exit code 2. Most stand in a module of their own, which is
imported when its command is asked for; what a command needs, when it runs.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

import click

from tasker_health.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_BAD_INPUT: Final = 2
_HOST: Final = "127.0.0.1"
_PORT: Final = 8000

_ELSEWHERE: Final = {
    "alert": "alert_command:commands",
    "config": "config_command:commands",
    "doctor": "doctor_command:command",
    "metrics": "metrics_command:command",
    "status": "status_command:command",
    "token": "tokens:commands",
}
"""Commands by name: the module beside this one that holds each, and what it is called there."""

_host = click.option(
    "--host", default=_HOST, show_default=True, metavar="ADDRESS", help="Where to listen."
)
_port = click.option(
    "--port",
    default=_PORT,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="The same; 0 for any that is free.",
)


def main(argv: Sequence[str]) -> int:
    """Run the command that the arguments name.

    Returns:
        The exit code: 2 for anything the user can put right.
    """
    try:
        code = _commands.main(args=list(argv), prog_name="tasker-health", standalone_mode=False)
    except ConfigurationError as error:
        return _refuse(str(error))
    except click.UsageError as error:
        return _refuse(f"{error.format_message()} (see: {_help_of(error)})")
    except click.Abort:  # Ctrl-C, before anybody else listened to it
        return 130
    return code if isinstance(code, int) else 0


def _refuse(told: str) -> int:
    sys.stderr.write(f"tasker-health: {' '.join(told.split())}\n")
    return _BAD_INPUT


def _help_of(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx else "tasker-health"
    return f"{path} --help"


class _Commands(click.Group):
    """The commands of this module, and those that stand elsewhere."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name them all, in order."""
        return sorted({*super().list_commands(ctx), *_ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find one, loading its module."""
        place = _ELSEWHERE.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, name = place.partition(":")
        command: click.Command = getattr(import_module(f"tasker_health.entrypoints.{module}"), name)
        return command


@click.group(cls=_Commands, no_args_is_help=False)
@click.version_option(package_name="tasker-health", prog_name="tasker-health")
def _commands() -> None:
    """Health, readiness and status of a Tasker workflow engine.

    Settings are read from TASKER_HEALTH_* in the environment, over the TOML file that
    TASKER_HEALTH_CONFIG names.
    """


@_commands.command()
@_host
@_port
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="How many processes.",
)
def serve(host: str, port: int, workers: int) -> int:
    """Serve the endpoints over the database of TASKER_HEALTH_DATABASE_URL."""
    from tasker_health.entrypoints.environment import read_configuration  # noqa: PLC0415

    configuration = read_configuration(os.environ)
    from tasker_health.entrypoints.serving import run_server  # noqa: PLC0415  a second's import

    return run_server(
        configuration,
        host=host,
        port=port,
        workers=workers,
        started=_announce,
    )


@_commands.command()
@_host
@_port
@click.option(
    "--database-url",
    metavar="URL",
    help="An empty PostgreSQL database to fill, in place of a SQLite file of its own.",
)
@click.option(
    "--generation",
    default="engine",
    show_default=True,
    type=click.Choice(["engine", "core"]),
    help="Whose tables to make; SQLite has the engine's.",
)
@click.option("--seed", default=1, show_default=True, help="The same seed works the same way.")
def demo(host: str, port: int, database_url: str | None, generation: str, seed: int) -> int:
    """Serve the endpoints over a living, simulated Tasker; nothing else is needed.

    The database of the environment is never touched.
    """
    from tasker_health.entrypoints.demo import run_demo  # noqa: PLC0415  a second's import

    return run_demo(
        os.environ,
        host=host,
        port=port,
        database_url=database_url,
        generation=generation,
        seed=seed,
        started=_announce,
    )


@_commands.command()
def check() -> int:
    """Ask one endpoint of a running service; see: tasker-health check --help."""
    from tasker_health.entrypoints.check import main as check_main  # noqa: PLC0415

    return check_main([])


def _announce(host: str, port: int, prefix: str) -> None:
    """Say where we answer, once we do."""
    shown = f"[{host}]" if ":" in host else host
    base = f"http://{shown}:{port}{prefix}"
    click.echo("tasker-health answers on")
    for path in ("health/ready", "health/live", "health/status", "metrics"):
        click.echo(f"  {base}/{path}")
    click.echo(f"Try: curl -i {base}/health/status")

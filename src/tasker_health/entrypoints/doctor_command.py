"""``tasker-health doctor``: the guide's troubleshooting, done for the user.

Exit code 0: no problem, though there may be warnings; 1: there is one; 2: called wrongly, or
a setting cannot be had.
"""

from __future__ import annotations

import asyncio
import os
import sys

import click

from tasker_health.domain.diagnosis import Grade
from tasker_health.domain.errors import (
    ConfigurationError,
    PermissionFormatError,
    UnknownPermissionError,
)
from tasker_health.domain.permissions import REGISTRY, STATUS_INDEX, Permission
from tasker_health.entrypoints.status_command import token_options

__all__ = ["command"]


@click.command("doctor")
@token_options
@click.option(
    "--permission",
    default=str(STATUS_INDEX),
    show_default=True,
    metavar="RESOURCE:ACTION",
    help="What the token should permit.",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    type=click.FloatRange(0.1, 600),
    help="How long each question may take.",
)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def command(
    *,
    token_file: str | None,
    token_env: str | None,
    permission: str,
    timeout_seconds: float,
    as_json: bool,
) -> int:
    """Look for what is wrong, and say how to put it right.

    Asks the database, its schema, our role's privileges, the pool, the server, clocks, the
    statements and their indexes, the cache, and who may see the status. Writes nothing of
    Tasker's; the cache is tried under a key apart. Exit code 0: no problem; 1: a problem;
    2: called wrongly.
    """
    wanted = _permission(permission)
    from tasker_health.entrypoints.environment import read_configuration  # noqa: PLC0415
    from tasker_health.entrypoints.fetching import read_token  # noqa: PLC0415  not for --help

    token, configuration = read_token(token_file, token_env), read_configuration(os.environ)
    from tasker_health.entrypoints.doctor import diagnose  # noqa: PLC0415  a second's import
    from tasker_health.formats import diagnosis as written  # noqa: PLC0415  not for --help

    found = asyncio.run(
        diagnose(configuration, token=token, permission=wanted, timeout_seconds=timeout_seconds)
    )
    if as_json:
        click.echo(written.json(found).decode())
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        click.echo(written.text(found, colour=colour), nl=False, color=colour)
    return int(found.grade is Grade.PROBLEM)


def _permission(text: str) -> Permission:
    try:
        return Permission.known(text)
    except (PermissionFormatError, UnknownPermissionError):
        known = sorted(
            f"{resource}:{action}" for resource, actions in REGISTRY.items() for action in actions
        )
    raise ConfigurationError("--permission", repr(text), f"one of {', '.join(known)}")

"""``tasker-health token``: making, listing and revoking API tokens.

A new token is written to standard output, once and alone, so that a script can take it from
there; all that is said about it goes to standard error. The service needs no restart.
"""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

from tasker_health.adapters.auth.token_file import (
    NAMES,
    PREFIX,
    TokenFile,
    TokenRecord,
    is_name,
)
from tasker_health.adapters.auth.tokens import digest, new_token
from tasker_health.adapters.clock import SystemClock
from tasker_health.domain.errors import (
    ConfigurationError,
    PermissionFormatError,
    UnknownPermissionError,
)
from tasker_health.domain.permissions import REGISTRY, Permission
from tasker_health.entrypoints.environment import read_configuration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["commands"]

_DAYS: Final = re.compile(r"([1-9][0-9]{0,4})d", re.ASCII)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_USE: Final = 'curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8000/tasker/health/status'
_WHEN: Final = "%Y-%m-%dT%H:%M:%SZ"

_name = click.argument("name")
_file = click.option(
    "--file", "path", metavar="PATH", help="The token file, in place of the setting's."
)


@click.group(name="token", no_args_is_help=False)
def commands() -> None:
    """Make, list and revoke API tokens.

    They stand in the file that TASKER_HEALTH_TOKENS_FILE names. A running service notices
    a change within a second.
    """


@commands.command()
@_name
@click.option(
    "--permission",
    "permissions",
    multiple=True,
    metavar="RESOURCE:ACTION",
    help="What it may, as in tasker.health_status:index; may be given again.",
)
@click.option("--admin", is_flag=True, help="It may everything.")
@click.option("--expires", metavar="90d|2026-12-31", help="How long, or the last day, in UTC.")
@_file
def create(
    name: str,
    permissions: Sequence[str],
    admin: bool,  # noqa: FBT001  click passes it by name
    expires: str | None,
    path: str | None,
) -> None:
    """Make a token called NAME and print it, this once."""
    now = SystemClock().now().replace(microsecond=0)
    _check_name(name)
    held = frozenset(map(_permission, permissions))
    token, file = new_token(), _opened(path)
    record = TokenRecord(
        name=name,
        sha256=digest(token),
        permissions=held,
        admin=admin,
        created=now,
        expires=_end(expires, now) if expires is not None else None,
    )
    file.add(record)
    click.echo(token)
    click.echo(
        f"This is the token {name!r} ({_may(record)}; {_until(record, now)}). It is shown this"
        f" once: keep it in a secret store, as TOKEN for example, and use it so:\n  {_USE}",
        err=True,
    )


@commands.command(name="list")
@_file
def list_(path: str | None) -> None:
    """List the tokens, without their secrets."""
    now = SystemClock().now()
    rows = [("NAME", "CREATED", "EXPIRES", "MAY")]
    rows += [
        (
            record.name,
            record.created.strftime(_WHEN),
            _until(record, now),
            _may(record),
        )
        for record in _opened(path).read()
    ]
    for line in _columns(rows):
        click.echo(line)


@commands.command()
@_name
@_file
def revoke(name: str, path: str | None) -> None:
    """Let the token called NAME be good no more."""
    _check_name(name)
    _opened(path).remove(name)
    click.echo(f"The token {name!r} is revoked.", err=True)


def _opened(path: str | None) -> TokenFile:
    """Find the file: the option's, or the setting's.

    Raises:
        ConfigurationError: neither was given.
    """
    if path is not None:
        return TokenFile(path, setting="--file", source="the command line")
    configuration = read_configuration(os.environ)
    origin = configuration.origin("tokens_file")
    if not configuration.tokens_file:
        allowed = f"the path of the token file, here or as {origin.written}"
        raise ConfigurationError("--file", "missing", allowed)
    return TokenFile(configuration.tokens_file, setting=origin.written, source=origin.place)


def _check_name(name: str) -> None:
    if not is_name(name):
        raise ConfigurationError("NAME", _shown(name), NAMES)


def _permission(text: str) -> Permission:
    try:
        return Permission.known(text)
    except (PermissionFormatError, UnknownPermissionError):
        known = sorted(
            f"{resource}:{action}" for resource, actions in REGISTRY.items() for action in actions
        )
    raise ConfigurationError("--permission", _shown(text), f"one of {', '.join(known)}")


def _end(text: str, now: datetime) -> datetime:
    """Read ``90d``, or a day that is good to its end.

    Raises:
        ConfigurationError: it is neither, or already over.
    """
    try:
        if days := _DAYS.fullmatch(text):
            return now + timedelta(days=int(days[1]))
        if _DATE.fullmatch(text):
            end = datetime.fromisoformat(f"{text}T23:59:59+00:00")
            if end > now:
                return end
    except (ValueError, OverflowError):
        pass  # no such day, which is refused like any other text
    allowed = "days from now, as in 90d, or a day that is not over, as in 2026-12-31"
    raise ConfigurationError("--expires", _shown(text), allowed)


def _shown(given: str) -> str:
    """Show what was given, unless somebody pasted a token there."""
    return "" if PREFIX in given else repr(given)


def _may(record: TokenRecord) -> str:
    if record.admin:
        return "everything"
    return " ".join(sorted(map(str, record.permissions))) or "nothing that takes a permission"


def _until(record: TokenRecord, now: datetime) -> str:
    if record.expires is None:
        return "never expires"
    told = record.expires.strftime(_WHEN)
    return f"expired {told}" if record.expired(now) else f"expires {told}"


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()

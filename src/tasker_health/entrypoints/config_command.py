"""``tasker-health config``: which settings hold, where each came from, and whether all can be had.

Secrets are never shown: a password is ``***``, and of a URL neither the user nor the value
of any parameter is seen.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import attrs
import click

from tasker_health.domain.secret import Secret
from tasker_health.entrypoints.environment import (
    FILE_SETTING,
    read_configuration,
    read_what_can_be,
)
from tasker_health.entrypoints.options import CATALOGUE, VARIABLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasker_health.entrypoints.options import Configuration, Setting

__all__ = ["commands", "hidden"]

_HIDDEN: Final = "***"
_URLS: Final = frozenset({"database_url", "cache_url"})
"""Secrets of which the rest may be seen: where something is, and not who may go there."""
_PLACE: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.-]*)(?::\d+)?", re.ASCII)
_BAD_INPUT: Final = 2


@attrs.frozen
class _Shown:
    """One setting as it is shown."""

    name: str
    table: str
    value: object
    source: str
    changed: bool


@click.group(name="config", no_args_is_help=False)
def commands() -> None:
    """Show the settings, or check them."""


@commands.command()
@click.option("--all/--changed", "everything", default=True, help="All of them, or those given.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def show(*, everything: bool, as_json: bool) -> int:
    """Show every setting, its value and where it came from; secrets as ***."""
    configuration = read_configuration(os.environ)
    rows = [_shown(configuration, setting) for setting in CATALOGUE.values()]
    rows = [row for row in rows if everything or row.changed]
    if as_json:
        fields = attrs.filters.exclude("changed")
        told = {"settings": [attrs.asdict(row, filter=fields) for row in rows]}
        click.echo(json.dumps(told, separators=(",", ":")))
    elif not rows:
        click.echo("tasker-health: every setting has its default")
    else:
        for line in _lines(rows):
            click.echo(line)
    return 0


@commands.command()
def check() -> int:
    """See that everything the settings name can be had, without opening any of it.

    One line on standard error for each problem. Exit code 0: none; 2: there are some.
    """
    configuration, unreadable = read_what_can_be(os.environ)
    from tasker_health.entrypoints.server import problems  # noqa: PLC0415  a second's import

    # A setting that could not be read is missing now: what follows from that is no news.
    told = {_plain(error.setting) for error in unreadable}
    missing = () if _plain(FILE_SETTING) in told else problems(configuration)
    found = [*unreadable, *(error for error in missing if _plain(error.setting) not in told)]
    for error in found:
        sys.stderr.write(f"tasker-health: {' '.join(str(error).split())}\n")
    if found:
        return _BAD_INPUT
    click.echo("tasker-health: all that the settings name can be had")
    return 0


def _plain(setting: str) -> str:
    return setting.removeprefix(VARIABLES).lower()


def hidden(url: str) -> str:
    """Write a URL without its user, its password and the values of its parameters."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return _HIDDEN
    who, _, where = parts.netloc.rpartition("@")
    places = where.split(",")
    if not parts.scheme or "://" not in url or not all(map(_PLACE.fullmatch, places)):
        return _HIDDEN
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        return _HIDDEN  # a password that was not encoded; what looks like a host may be part of it
    names = [field.partition("=")[0] for field in parts.query.split("&") if field]
    query = f"?{'&'.join(f'{name}={_HIDDEN}' for name in names)}" if names else ""
    return f"{parts.scheme}://{f'{_HIDDEN}@' if who else ''}{where}{parts.path}{query}"


def _shown(configuration: Configuration, setting: Setting) -> _Shown:
    holder: Any = configuration
    if setting.part is not None:
        holder = getattr(configuration.settings, setting.part)
    origin = configuration.origins.get(setting.name)
    source = "the default" if origin is None else f"{origin.place}, as {origin.written}"
    return _Shown(
        name=setting.name,
        table=setting.table,
        value=_value(setting, getattr(holder, setting.name)),
        source=source,
        changed=origin is not None,
    )


def _value(setting: Setting, value: object) -> object:
    """Give a value as JSON has it; of a secret no more than may be seen."""
    if setting.secret or isinstance(value, Secret):
        text = str(value.reveal() if isinstance(value, Secret) else value)
        if not text:
            return ""
        return hidden(text) if setting.name in _URLS else _HIDDEN
    if setting.name == "tasker_schema" and value is None:
        return "auto"
    if isinstance(value, frozenset | tuple):
        return sorted(map(str, value))
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _lines(rows: Sequence[_Shown]) -> list[str]:
    texts = [(f"{VARIABLES}{row.name.upper()}", _text(row.value), row.source) for row in rows]
    widths = [max(len(text[n]) for text in texts) for n in range(2)]
    return [
        f"{name:<{widths[0]}} = {value:<{min(widths[1], 40)}}  # {source}"
        for name, value, source in texts
    ]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(value)
    return "" if value is None else " ".join(str(value).split())

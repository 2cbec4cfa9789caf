"""The settings as a user gives them: the command line over the environment over a file.

``TASKER_HEALTH_*`` in the environment, and the TOML file that ``TASKER_HEALTH_CONFIG``
names, with a table for each group of settings. Read by a function, when a command asks
for it, never on import. Whatever cannot be understood is refused here in one line that
names the setting as the user wrote it, what was given (secrets never), what is allowed,
and where it stood. An empty value is no value.

Source: guide, *Configuration Options*.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from tasker_health.domain.database import Generation
from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.settings import Settings
from tasker_health.entrypoints.options import CATALOGUE, VARIABLES, Configuration, Origin, Setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["FILE_SETTING", "read_configuration", "read_what_can_be"]

FILE_SETTING: Final = f"{VARIABLES}CONFIG"

_ENVIRONMENT: Final = "the environment"
_COMMAND_LINE: Final = "the command line"

_KUBERNETES: Final = re.compile(
    rf"{VARIABLES}(?:\w+_)?(?:SERVICE_HOST=.*|SERVICE_PORT(?:_\w+)?=\d+"
    r"|PORT=(?:tcp|udp|sctp)://.*|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?=.*)"
)
"""What Kubernetes itself puts into every pod beside a Service called ``tasker-health`` or
``tasker-health-…``: no settings of ours, and no mistakes of the user's."""

_LONGEST_SHOWN: Final = 80
_SWITCHES: Final = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


@attrs.frozen(kw_only=True)
class _Given:
    """One value as it was written.

    Args:
        setting: which setting it is for.
        origin: where it stood, and under which name.
        value: a text, or what TOML made of it.
    """

    setting: Setting
    origin: Origin
    value: object = attrs.field(repr=False)

    def refused(self, allowed: str) -> ConfigurationError:
        """Make the error that says so."""
        shown = "" if self.setting.secret else _shown(self.value)
        return ConfigurationError(self.origin.written, shown, allowed, self.origin.place)


def read_configuration(
    environ: Mapping[str, str], *, overrides: Mapping[str, str] | None = None
) -> Configuration:
    """Read all settings.

    Args:
        environ: the environment.
        overrides: texts by setting name, from the command line; they win.

    Raises:
        ConfigurationError: a setting that there is not, a value that it cannot have, or a
            file that cannot be read.
    """
    configuration, problems = read_what_can_be(environ, overrides=overrides)
    for problem in problems:
        raise problem
    return configuration


def read_what_can_be(
    environ: Mapping[str, str], *, overrides: Mapping[str, str] | None = None
) -> tuple[Configuration, tuple[ConfigurationError, ...]]:
    """Read all settings, and go on where one cannot be had, as if it had not been given.

    Returns:
        What was read, and everything that is wrong with it, the gravest first.
    """
    problems: list[ConfigurationError] = []
    given: dict[str, _Given] = {}
    values: dict[str, object] = {}
    for one in (
        *_from_file(environ.get(FILE_SETTING, "")),
        *_from_environment(environ),
        *_from_command_line(overrides or {}),
    ):
        if isinstance(one, ConfigurationError):
            problems.append(one)
        else:
            given[one.setting.name] = one
    for name, one in given.items():
        try:
            values[name] = _value(one)
        except ConfigurationError as error:
            problems.append(error)
    while True:
        try:
            origins = {name: given[name].origin for name in values}
            return _build(values, origins), tuple(problems)
        except ConfigurationError as error:
            problems.append(_as_written(error, given))
            for name in _at_fault(error.setting, values):
                del values[name]


def _from_file(path: str) -> Iterator[_Given | ConfigurationError]:
    if not path:
        return
    try:
        document = _document(path)
    except ConfigurationError as error:
        yield error
        return
    for table, keys in document.items():
        known = [setting for setting in CATALOGUE.values() if setting.table == table]
        if not known or not isinstance(keys, dict):
            tables = [f"[{setting.table}]" for setting in CATALOGUE.values()]
            yield _unknown(f"[{table}]" if isinstance(keys, dict) else table, tables, path)
            continue
        for key, value in keys.items():
            setting = CATALOGUE.get(key)
            if setting is None or setting.table != table:
                yield _unknown(key, (s.name for s in known), f"[{table}] of {path}")
            elif value != "":
                origin = Origin(written=key, place=f"[{table}] of {path}")
                yield _Given(setting=setting, origin=origin, value=value)


def _document(path: str) -> dict[str, object]:
    def refused(allowed: str) -> ConfigurationError:
        return ConfigurationError(FILE_SETTING, repr(path), allowed, _ENVIRONMENT)

    try:
        return tomllib.loads(Path(path).read_bytes().decode())
    except OSError as error:
        raise refused(f"a file that can be read ({error.strerror})") from error
    except tomllib.TOMLDecodeError as error:
        raise refused(f"a TOML file ({' '.join(str(error).split())})") from error
    except ValueError as error:  # no UTF-8, or a null byte in the path
        raise refused("a TOML file in UTF-8") from error


def _from_environment(environ: Mapping[str, str]) -> Iterator[_Given | ConfigurationError]:
    for written, text in sorted(environ.items()):
        if not written.startswith(VARIABLES) or written == FILE_SETTING:
            continue
        setting = CATALOGUE.get(written.removeprefix(VARIABLES).lower())
        if setting is None or not written.isupper():
            if not _KUBERNETES.fullmatch(f"{written}={text}"):
                yield _unknown(written, (_variable(name) for name in CATALOGUE), _ENVIRONMENT)
        elif text.strip():
            origin = Origin(written=written, place=_ENVIRONMENT)
            yield _Given(setting=setting, origin=origin, value=text.strip())


def _from_command_line(overrides: Mapping[str, str]) -> Iterator[_Given]:
    for name, text in overrides.items():
        origin = Origin(written=f"--{name.replace('_', '-')}", place=_COMMAND_LINE)
        yield _Given(setting=CATALOGUE[name], origin=origin, value=text.strip())


def _variable(name: str) -> str:
    return f"{VARIABLES}{name.upper()}"


def _unknown(written: str, known: Iterable[str], source: str) -> ConfigurationError:
    candidates = sorted(set(known))
    near = difflib.get_close_matches(written, candidates, n=1, cutoff=0.6)
    if near:
        allowed = f"a known name; the nearest is {near[0]}"
    else:
        allowed = f"one of {', '.join(candidates)}"
    name = written if written.isprintable() else repr(written)
    return ConfigurationError(name, "unknown", allowed, source)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def _value(given: _Given) -> object:
    """Turn what was written into a value of the setting's type; its range is checked later."""
    kind = given.setting.kind
    if kind in (bool, bool | None):
        return _switch(given)
    if kind in (*_WHOLE, float, float | None):
        return _number(given)
    if kind == frozenset[str]:
        return _names(given)
    if not isinstance(given.value, str):
        raise given.refused("a text")
    if kind == Generation | None:
        return _generation(given)
    return given.value


_WHOLE: Final = (int, int | None)


def _switch(given: _Given) -> bool:
    value = given.value
    found = _SWITCHES.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise given.refused("true or false")
    return found


def _number(given: _Given) -> object:
    """Read a number. A whole one stays whole, so that a setting may insist on it.

    What is none is passed on as it is: the setting knows what is allowed.
    """
    value = given.value
    if isinstance(value, str) and value.isascii() and "_" not in value:
        for read in (int, float):
            try:
                return read(value)
            except ValueError:
                continue
    return value


def _names(given: _Given) -> frozenset[str]:
    value = given.value
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(type(part) in (str, int) for part in parts):
        raise given.refused("a list of names, in the environment with commas between them")
    return frozenset(name for part in parts if (name := str(part).strip()))


def _generation(given: _Given) -> Generation | None:
    name = str(given.value).lower()
    if name == "auto":
        return None
    if name not in set(Generation):
        raise given.refused(f"auto, {' or '.join(Generation)}")
    return Generation(name)


def _build(values: Mapping[str, object], origins: Mapping[str, Origin]) -> Configuration:
    def chosen(part: str | None) -> dict[str, Any]:
        return {name: value for name, value in values.items() if CATALOGUE[name].part == part}

    parts = {
        field.name: type(getattr(_DEFAULTS, field.name))(**chosen(field.name))
        for field in attrs.fields(Settings)
    }
    return Configuration(settings=Settings(**parts), origins=origins, **chosen(None))


def _at_fault(setting: str, values: Mapping[str, object]) -> tuple[str, ...]:
    """Name what to do without: the setting, or what was given beside its default."""
    if setting in values:
        return (setting,)
    part = CATALOGUE[setting].part
    return tuple(name for name in values if CATALOGUE[name].part == part)


def _as_written(error: ConfigurationError, given: Mapping[str, _Given]) -> ConfigurationError:
    """Give the error of a value the name that the user knows, and its source."""
    if error.setting in given:
        return given[error.setting].refused(error.allowed)
    return attrs.evolve(error, setting=_variable(error.setting), source="the default")


_DEFAULTS: Final = Settings()

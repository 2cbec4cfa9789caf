"""The user's own classes, by name.

A class is loaded only from the configuration, at start, and must fit its port, so that a
misspelt name or a wrong class never turns security off: the service does not start.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

import attrs

from tasker_health.domain.coordination import BaseCoordinator, coordinator_of, takes
from tasker_health.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from tasker_health.domain.ports import Authenticator, Coordinator

__all__ = ["load_authenticator", "load_class", "load_coordinator"]

_FORM: Final = "'package.module:Class'"


def load_authenticator(path: str, *, setting: str, source: str = "") -> Authenticator:
    """Make the authenticator that ``path`` names.

    Args:
        path: ``package.module:Class``; the class is called without arguments.
        setting: what the user calls the setting that gave it.
        source: where its value came from.

    Raises:
        ConfigurationError: it cannot be loaded, or does not fit the port.
    """
    made = _make(path, "authenticate", ("credentials",), setting=setting, source=source)
    return cast("Authenticator", made)


def load_coordinator(path: str, *, setting: str, source: str = "") -> Coordinator:
    """Make the coordinator that ``path`` names; the rest is as in :func:`load_authenticator`.

    A subclass of BaseCoordinator is made anew for each user instead.
    """
    named = load_class(path, setting=setting, source=source)
    if issubclass(named, BaseCoordinator):
        return coordinator_of(named, setting=setting, shown=repr(path), source=source)
    try:
        made = _make(path, "is_authorized", ("user", "permission"), setting=setting, source=source)
    except ConfigurationError as error:
        allowed = f"a subclass of tasker_health.BaseCoordinator, or {error.allowed}"
        raise attrs.evolve(error, allowed=allowed) from error.__cause__
    return cast("Coordinator", made)


def load_class(path: str, *, setting: str, source: str = "") -> type[object]:
    """Find the class that ``path`` names.

    Raises:
        ConfigurationError: the module cannot be imported, has no such name, or what bears
            the name is no class.
    """

    def refused(allowed: str) -> ConfigurationError:
        return ConfigurationError(setting, repr(path), allowed, source)

    module_name, _, class_name = path.partition(":")
    if not class_name.isidentifier() or not all(map(str.isidentifier, module_name.split("."))):
        raise refused(_FORM)
    try:
        module = import_module(module_name)
    except (Exception, SystemExit) as error:
        # A module's own error may hold anything: only Python's word on imports is repeated.
        told = f": {error}" if isinstance(error, ImportError) else ""
        why = " ".join(f"{type(error).__name__}{told}".split())
        raise refused(f"{_FORM} of a module that can be imported ({why})") from error
    found = getattr(module, class_name, None)
    if found is None:
        raise refused(f"{_FORM}, and {module_name} has no {class_name}")
    if not isinstance(found, type):
        raise refused(f"{_FORM}, and {class_name} is no class")
    return found


def _make(
    path: str, method: str, arguments: tuple[str, ...], *, setting: str, source: str
) -> object:
    """Make an instance, and see that it has the one coroutine method that its port asks for."""
    made_by = load_class(path, setting=setting, source=source)
    try:
        made = made_by()
    except Exception as error:
        allowed = f"a class that can be called without arguments ({type(error).__name__})"
        raise ConfigurationError(setting, repr(path), allowed, source) from error
    found = getattr(made, method, None)
    if not inspect.iscoroutinefunction(found) or not takes(found, len(arguments)):
        allowed = f"a class with 'async def {method}(self, {', '.join(arguments)})'"
        raise ConfigurationError(setting, repr(path), allowed, source)
    return made

"""Who tells who is asking, and who may: the authenticator and coordinator of the settings.

Nobody, unless a file of API tokens, keys for JSON Web Tokens or both are named, or a class
of the user's own. Security that is asked for and cannot be had is refused at the start: a
file that is not good, settings without the ones they belong to, a status that requires
authentication where nobody could ever be recognised.

Source: guide, *Authentication Configuration*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tasker_health.adapters.auth import (
    AnonymousAuthenticator,
    PermissionCoordinator,
    load_authenticator,
    load_coordinator,
)
from tasker_health.adapters.auth.chain import ChainedAuthenticator
from tasker_health.adapters.auth.claims import ClaimRules
from tasker_health.adapters.auth.watched_file import WatchedFile
from tasker_health.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tasker_health.adapters.auth.chain import Link
    from tasker_health.adapters.auth.jwt import JwtAuthenticator
    from tasker_health.domain.coordination import BaseCoordinator
    from tasker_health.domain.ports import Authenticator, Clock, Coordinator
    from tasker_health.entrypoints.options import Configuration

__all__ = ["build_authenticator", "knows_nobody", "named_coordinator"]

_KEYS: Final = ("jwt_key_file", "jwt_jwks_file")
_FILES: Final = ("tokens_file", *_KEYS)
_NEEDED: Final = ("jwt_algorithms", "jwt_issuer", "jwt_audience")
_OPTIONAL: Final = ("jwt_leeway_seconds", "jwt_permissions_claim", "jwt_admin_claim")
_EXTRA: Final = "pip install 'tasker-health[jwt]'"


def build_authenticator(
    configuration: Configuration, clock: Clock, *, default: Authenticator | None = None
) -> Authenticator:
    """Make the authenticator that the settings name.

    Args:
        configuration: all settings.
        clock: tells what has expired, and when to look at a file again.
        default: who tells where the settings name nobody; the one that knows nobody unless
            given.

    Raises:
        ConfigurationError: it cannot be had, or could never do what is asked.
    """
    made = _named(configuration, clock) or default or AnonymousAuthenticator()
    required = configuration.settings.health.status_requires_authentication
    if required and knows_nobody(made):
        ways = _listed(configuration, ("authenticator_class", *_FILES))
        allowed = f"false, unless one of {ways} lets somebody be recognised"
        raise _refused(configuration, "status_requires_authentication", "true", allowed)
    return made


def named_coordinator(configuration: Configuration) -> Coordinator | type[BaseCoordinator]:
    """Load the coordinator that the settings name; the shipped one where they name none.

    Raises:
        ConfigurationError: it cannot be had.
    """
    path = configuration.settings.auth.authorization_coordinator_class
    origin = configuration.origin("authorization_coordinator_class")
    if not path:
        return PermissionCoordinator
    return load_coordinator(path, setting=origin.written, source=origin.place)


def knows_nobody(made: Authenticator) -> bool:
    """Tell whether an authenticator can recognise nobody, whatever they bring."""
    return isinstance(made, AnonymousAuthenticator)


def _named(configuration: Configuration, clock: Clock) -> Authenticator | None:
    files = [name for name in _FILES if getattr(configuration, name)]
    path = configuration.settings.auth.authenticator_class
    if path and files:
        allowed = f"none beside {_listed(configuration, files)}"
        raise _refused(configuration, "authenticator_class", repr(path), allowed)
    links = tuple(_links(configuration, clock))
    if path:
        origin = configuration.origin("authenticator_class")
        return load_authenticator(path, setting=origin.written, source=origin.place)
    if len(links) > 1:
        return ChainedAuthenticator(*links)
    return links[0] if links else None


def _links(configuration: Configuration, clock: Clock) -> Iterator[Link]:
    if configuration.tokens_file:
        # What is not configured is not imported: who serves an open status pays for none of it.
        from tasker_health.adapters.auth.tokens import open_tokens  # noqa: PLC0415

        origin = configuration.origin("tokens_file")
        yield open_tokens(
            configuration.tokens_file, clock, setting=origin.written, source=origin.place
        )
    if configuration.jwt_key_file or configuration.jwt_jwks_file:
        yield _jwt(configuration, clock)
    else:
        _refuse_strays(configuration)


def _refuse_strays(configuration: Configuration) -> None:
    """A setting for tokens that nothing could verify is a mistake, not a wish."""
    for name in (*_NEEDED, *_OPTIONAL):
        if name in configuration.origins:
            allowed = f"none, unless {_listed(configuration, _KEYS)} is set"
            raise _refused(configuration, name, repr(getattr(configuration, name)), allowed)


def _jwt(configuration: Configuration, clock: Clock) -> JwtAuthenticator:
    setting = _key_setting(configuration)
    for name in _NEEDED:
        if not getattr(configuration, name):
            allowed = f"a value, which {configuration.origin(setting).written} asks for"
            raise ConfigurationError(configuration.origin(name).written, "missing", allowed)
    try:
        # joserfc is an extra: it is imported by those who have it and need it.
        from tasker_health.adapters.auth import jwt, jwt_keys  # noqa: PLC0415
    except ModuleNotFoundError as error:
        allowed = f"none, unless the extra is installed: {_EXTRA}"
        raise _refused(configuration, setting, "", allowed) from error
    parse = jwt_keys.parse_key if setting == "jwt_key_file" else jwt_keys.parse_jwks
    algorithms, path = configuration.jwt_algorithms, getattr(configuration, setting)
    keys = WatchedFile(path, lambda data: parse(data, algorithms), clock)
    try:
        keys.load()
    except jwt_keys.AlgorithmsError as error:
        given = ", ".join(sorted(algorithms))
        raise _refused(configuration, "jwt_algorithms", given, str(error)) from error
    except OSError as error:
        # What names no file may be the key itself, put there by mistake: it is not shown.
        allowed = f"a file that can be read ({error.strerror})"
        raise _refused(configuration, setting, "", allowed) from None
    except ValueError as error:
        raise _refused(configuration, setting, repr(path), f"a file with {error}") from None
    return jwt.JwtAuthenticator(keys, _rules(configuration), clock)


def _key_setting(configuration: Configuration) -> str:
    """Tell which of the two settings gives the keys.

    Raises:
        ConfigurationError: both do.
    """
    if configuration.jwt_key_file and configuration.jwt_jwks_file:
        allowed = f"none beside {configuration.origin('jwt_jwks_file').written}"
        raise _refused(configuration, "jwt_key_file", "", allowed)
    return "jwt_key_file" if configuration.jwt_key_file else "jwt_jwks_file"


def _rules(configuration: Configuration) -> ClaimRules:
    return ClaimRules(
        issuer=configuration.jwt_issuer,
        audience=configuration.jwt_audience,
        leeway_seconds=configuration.jwt_leeway_seconds,
        permissions_claim=configuration.jwt_permissions_claim,
        admin_claim=configuration.jwt_admin_claim,
    )


def _refused(
    configuration: Configuration, setting: str, given: str, allowed: str
) -> ConfigurationError:
    origin = configuration.origin(setting)
    return ConfigurationError(origin.written, given, allowed, origin.place)


def _listed(configuration: Configuration, settings: Iterable[str]) -> str:
    return ", ".join(configuration.origin(name).written for name in settings)

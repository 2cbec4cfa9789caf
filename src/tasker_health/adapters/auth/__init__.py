"""Who is asking and who may: the shipped answers, and the user's own classes by name."""

from tasker_health.adapters.auth.anonymous import AnonymousAuthenticator
from tasker_health.adapters.auth.coordinators import PermissionCoordinator
from tasker_health.adapters.auth.host import HostUserAuthenticator
from tasker_health.adapters.auth.loading import (
    load_authenticator,
    load_class,
    load_coordinator,
)

__all__ = [
    "AnonymousAuthenticator",
    "HostUserAuthenticator",
    "PermissionCoordinator",
    "load_authenticator",
    "load_class",
    "load_coordinator",
]
